//! What the test programs that run examples share.

use std::env;
use std::path::PathBuf;

/// Cargo names a test's own binaries to it, but not its examples: these lie beside the folder that this program lies in. `feature` is what
/// builds them.
pub(crate) fn example(name: &str, feature: &str) -> PathBuf {
    let program = env::current_exe().expect("the test's own path");
    let profile = program.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let path = profile.join("examples").join(name);
    let has_it = path.exists();
    assert!(has_it, "{} is missing; build it: cargo build -p host-sim --features {feature} --examples", path.display());
    path
}
