//! The firmware's image, as cargo builds it.

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
    build_with(target, binary, speaks, false)
}

/// The same, if asked for with the firmware's feature `diagnostics`.
///
/// # Errors
/// As [`build`].
pub(crate) fn build_with(target: &str, binary: &str, speaks: Speaks, has_diagnostics: bool) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Cargo has one place for a binary, whatever its features: until the image is copied, nobody else may build.
    let lock = File::open(workspace.join("Cargo.toml")).context("cannot find the workspace")?;
    lock.lock().context("cannot wait for another build")?;
    let features = if has_diagnostics { format!("{binary},diagnostics") } else { binary.to_owned() };
    let built = run_cargo(&workspace, target, binary, &features, speaks)?;
    let name = format!("{binary}-{}{}", speaks.name(), if has_diagnostics { "-diagnostics" } else { "" });
    let image = built.with_file_name(&name);
    let fresh = built.with_file_name(format!("{name}-{}", std::process::id()));
    // In one step, since a machine may be starting from the image there is.
    fs::copy(&built, &fresh).and_then(|_| fs::rename(&fresh, &image)).context("cannot copy the image")?;
    Ok(image)
}

fn run_cargo(workspace: &Path, target: &str, binary: &str, features: &str, speaks: Speaks) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--package", "firmware", "--profile", "firmware"])
        .args(["--bin", binary, "--features", features, "--target", target])
        .args(speaks.arguments())
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo to build the firmware")?;
    if !output.status.success() {
        bail!("the firmware was not built; where the target is missing: rustup target add {target}");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let executable = text.lines().filter_map(executable_of).find(|path| path.ends_with(binary));
    executable.with_context(|| format!("cargo built the firmware, but named no image for {binary}"))
}

/// What one of cargo's messages says of a finished binary.
fn executable_of(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    message.get("executable")?.as_str().map(PathBuf::from)
}
