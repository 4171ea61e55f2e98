//! Returns the linker the memory map and the script of the runtime.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Any Cortex-M4 would do; QEMU's has this map.
const MAP: &str = "../memory/mps2.x";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={MAP}");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return Ok(());
    }
    let out = env::var("OUT_DIR")?;
    fs::copy(MAP, Path::new(&out).join("memory.x"))?;
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // Segments of a flash image need not begin at a page.
    println!("cargo:rustc-link-arg-bins=--nmagic");
    Ok(())
}
