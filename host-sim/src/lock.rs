//! Versions in Cargo.lock, as it was when this program was built.

use anyhow::{Context, Result};

const LOCK: &str = include_str!("../../Cargo.lock");

/// Returns the version of smoltcp that begins with `prefix`: there are two, of which the core depends on the older.
///
/// # Errors
/// If there is none.
pub(crate) fn smoltcp_version(prefix: &str) -> Result<String> {
    let lock: toml::Table = LOCK.parse().context("Cargo.lock is not understood")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock names no package")?;
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let versions = packages.iter().filter(|package| text(package, "name").as_deref() == Some("smoltcp"));
    let found = versions.filter_map(|package| text(package, "version")).find(|version| version.starts_with(prefix));
    found.with_context(|| format!("Cargo.lock names no smoltcp {prefix}"))
}
