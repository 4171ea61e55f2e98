//! An image against a chip as probe-rs describes it, without a probe: what `probe-rs run` would write, and where it would look for the log.

use anyhow::{Context, Result};
use probe_rs::config::{MemoryRegion, Registry};
use probe_rs::rtt::ScanRegion;

use super::elf::Image;

/// The log's place, as the logger names it and `probe-rs run` finds it.
const RTT: &str = "_SEGGER_RTT";

/// Lists what does not fit.
///
/// # Errors
/// If probe-rs does not know the chip.
pub(super) fn check(chip: &str, image: &Image) -> Result<Vec<String>> {
    let registry = Registry::from_builtin_families();
    let target = registry.get_target_by_name(chip).with_context(|| format!("probe-rs does not know {chip}"))?;
    let is_in = |address: u64, len: u64, is_wanted: fn(&MemoryRegion) -> bool| {
        target.memory_map.iter().filter(|region| is_wanted(region)).any(|region| {
            let range = region.address_range();
            range.start <= address && address + len <= range.end
        })
    };
    let is_nvm = |region: &MemoryRegion| region.is_nvm();
    let is_ram = |region: &MemoryRegion| region.is_ram();
    let mut faults = Vec::new();
    let mut loader = target.flash_loader();
    for segment in &image.segments {
        let (at, len) = (segment.load_at, segment.bytes.len() as u64);
        if !is_in(at, len, is_nvm) {
            faults.push(format!("{len} bytes at {at:#x} are not in its flash"));
        }
        if let Err(error) = loader.add_data(at, &segment.bytes) {
            faults.push(format!("probe-rs does not write {len} bytes at {at:#x}: {error}"));
        }
    }
    match image.symbol("_stack_start") {
        // The stack grows down from here: the byte below must be RAM.
        Some(top) if is_in(top - 1, 1, is_ram) => {}
        Some(top) => faults.push(format!("the stack begins at {top:#x}, where there is no RAM")),
        None => faults.push("the image names no stack".into()),
    }
    match image.symbol("Reset") {
        Some(reset) if is_in(reset, 1, is_nvm) => {}
        Some(reset) => faults.push(format!("the program begins at {reset:#x}, which is not in its flash")),
        None => faults.push("the image names no beginning".into()),
    }
    match image.symbol(RTT) {
        Some(rtt) if is_in(rtt, 16, is_ram) && is_scanned(&target.rtt_scan_regions, rtt) => {}
        Some(rtt) => faults.push(format!("probe-rs does not look for the log at {rtt:#x}")),
        None => faults.push(format!("the image has no {RTT}: there would be no log")),
    }
    Ok(faults)
}

/// The symbol names the place exactly; a probe that attaches without the image scans these.
fn is_scanned(regions: &ScanRegion, address: u64) -> bool {
    match regions {
        ScanRegion::Ram => true,
        ScanRegion::Ranges(ranges) => ranges.iter().any(|range| range.contains(&address)),
        ScanRegion::Exact(exact) => *exact == address,
    }
}
