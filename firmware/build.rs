//! Returns the linker the board's memory map and the scripts of the runtime and the logger.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Boards that bring their memory map here, by feature; a chip's crate may bring it instead.
const MEMORY: &[(&str, &str)] = &[
    ("CARGO_FEATURE_QEMU_MPS2_AN385", "mps2.x"),
    ("CARGO_FEATURE_BENCH", "mps2.x"),
    ("CARGO_FEATURE_QEMU_MPS2_AN500", "mps2.x"),
    ("CARGO_FEATURE_W5500_EVB_PICO2", "rp2350.x"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=memory");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return Ok(());
    }
    let out = env::var("OUT_DIR")?;
    for (feature, map) in MEMORY {
        if env::var_os(feature).is_some() {
            fs::copy(Path::new("memory").join(map), Path::new(&out).join("memory.x"))?;
        }
    }
    println!("cargo:rustc-link-search={out}");
    for script in ["link.x", "defmt.x"] {
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
    // Segments of a flash image need not begin at a page.
    println!("cargo:rustc-link-arg-bins=--nmagic");
    Ok(())
}
