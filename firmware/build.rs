//! Returns the linker the board's memory map and the scripts of the runtime and the logger.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Memory maps and vectors that the linker asks for by name, by feature; a chip's crate may bring them instead.
const SCRIPTS: &[(&str, &str, &str)] = &[
    ("CARGO_FEATURE_QEMU_MPS2_AN385", "mps2.x", "memory.x"),
    ("CARGO_FEATURE_BARE", "mps2.x", "memory.x"),
    ("CARGO_FEATURE_BARE", "mps2-device.x", "device.x"),
    ("CARGO_FEATURE_BENCH", "mps2.x", "memory.x"),
    ("CARGO_FEATURE_QEMU_MPS2_AN500", "mps2.x", "memory.x"),
    ("CARGO_FEATURE_W5500_EVB_PICO2", "rp2350.x", "memory.x"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=memory");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return Ok(());
    }
    let out = env::var("OUT_DIR")?;
    for (feature, script, name) in SCRIPTS {
        if env::var_os(feature).is_some() {
            fs::copy(Path::new("memory").join(script), Path::new(&out).join(name))?;
        }
    }
    println!("cargo:rustc-link-search={out}");
    for programs in ["bins", "examples"] {
        // Segments of a flash image need not begin at a page.
        for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
            println!("cargo:rustc-link-arg-{programs}={argument}");
        }
    }
    Ok(())
}
