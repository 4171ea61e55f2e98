//! Programs that cargo builds for other commands: the firmware's images, and those of `host-sim measure`.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The families that an image is built for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaks {
    /// IPv4 and IPv6.
    Both,
    /// IPv4 alone, in a smaller image.
    Ipv4,
}

impl Speaks {
    fn name(self) -> &'static str {
        match self {
            Speaks::Both => "both",
            Speaks::Ipv4 => "ipv4",
        }
    }

    /// The families as tables show them.
    pub(crate) fn families(self) -> &'static str {
        match self {
            Speaks::Both => "IPv4, IPv6",
            Speaks::Ipv4 => "IPv4",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Speaks::Both => &[],
            Speaks::Ipv4 => &["--no-default-features"],
        }
    }
}

/// Builds one of the firmware's binaries, whose feature has the same name, and gives the image's place, which no other build touches.
///
/// # Errors
/// If cargo cannot build it; what cargo says is on standard error.
pub(crate) fn build(target: &str, binary: &str, speaks: Speaks) -> Result<PathBuf> {
    build_with(target, binary, speaks, &[])
}

/// The same with more of the firmware's features.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_with(target: &str, binary: &str, speaks: Speaks, more: &[&str]) -> Result<PathBuf> {
    let features = [&[binary], more].concat().join(",");
    let mut arguments = vec!["--package", "firmware", "--profile", "firmware"];
    arguments.extend(["--bin", binary, "--features", &features, "--target", target]);
    arguments.extend(speaks.arguments());
    let name = [&[binary, speaks.name()], more].concat().join("-");
    let built = build_binary(binary, &arguments, &name);
    built
        .with_context(|| format!("the firmware was not built; where the target is missing: rustup target add {target}"))
}

/// Builds one of the smallest echo servers, whose feature has the same name, with more features of its package.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_echo(target: &str, binary: &str, features: &[&str]) -> Result<PathBuf> {
    let name = [&[binary, "image"], features].concat().join("-");
    let features = [&[binary], features].concat().join(",");
    let arguments =
        ["--package", "echo", "--profile", "firmware", "--bin", binary, "--features", &features, "--target", target];
    let built = build_binary(binary, &arguments, &name);
    built.with_context(|| {
        format!("the echo server was not built; where the target is missing: rustup target add {target}")
    })
}

/// Builds the program of `host-sim measure`, for this machine.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_measure(speaks: Speaks) -> Result<PathBuf> {
    let mut arguments = vec!["--package", "measure", "--profile", "measure", "--bin", "measure"];
    if speaks == Speaks::Both {
        arguments.extend(["--features", "ipv6"]);
    }
    let name = format!("measure-{}", speaks.name());
    build_binary("measure", &arguments, &name).context("the program to be measured was not built")
}

/// Builds the program of `cargo goodput`, by itself: its smoltcp has congestion control.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_goodput() -> Result<PathBuf> {
    let arguments = ["--package", "goodput", "--release", "--bin", "goodput"];
    build_binary("goodput", &arguments, "goodput-image").context("the program of goodput was not built")
}

/// Builds `binary` and copies it to `name` beside it.
fn build_binary(binary: &str, arguments: &[&str], name: &str) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Cargo has one place for a binary, whatever its features: until the image is copied, nobody else may build.
    let lock = File::open(workspace.join("Cargo.toml")).context("cannot find the workspace")?;
    lock.lock().context("cannot wait for another build")?;
    let built = run_cargo(&workspace, binary, arguments)?;
    let image = built.with_file_name(name);
    let fresh = built.with_file_name(format!("{name}-{}", std::process::id()));
    // In one step, since a machine may be starting from the image there is.
    fs::copy(&built, &fresh).and_then(|_| fs::rename(&fresh, &image)).context("cannot copy the image")?;
    Ok(image)
}

fn run_cargo(workspace: &Path, binary: &str, arguments: &[&str]) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--locked", "--message-format=json-render-diagnostics"])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo ended with {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let executable = text.lines().filter_map(executable_of).find(|path| path.ends_with(binary));
    executable.with_context(|| format!("cargo named no image for {binary}"))
}

/// What one of cargo's messages says of a finished binary.
fn executable_of(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
