//! The firmware's image, as cargo builds it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Builds one of the firmware's binaries, whose feature has the same name, and gives the image's place.
///
/// # Errors
/// If cargo cannot build it; what cargo says is on standard error.
pub(crate) fn build(target: &str, binary: &str) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(cargo)
        .current_dir(workspace)
        .args(["build", "--quiet", "--locked", "--package", "firmware", "--profile", "firmware"])
        .args(["--bin", binary, "--features", binary, "--target", target])
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
