//! `host-sim boards`: builds the firmware for every board, prints what it takes of each, and checks it against the budget and, with
//! feature `probe-rs`, against the chip.

#[cfg(feature = "probe-rs")]
mod chip;
mod elf;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Deserialize;

use self::elf::Image;
use crate::image;

/// The most that each binary may take, beside the firmware's sources.
const BUDGET: &str = "../firmware/budget.toml";

/// One of the firmware's binaries.
struct Binary {
    name: &'static str,
    target: &'static str,
    /// The chip as probe-rs calls it; none for a board that is no chip's.
    chip: Option<&'static str>,
}

const BINARIES: &[Binary] = &[
    Binary { name: "qemu-mps2-an385", target: "thumbv7m-none-eabi", chip: None },
    Binary { name: "qemu-mps2-an500", target: "thumbv7em-none-eabihf", chip: None },
    Binary { name: "nucleo-h743zi", target: "thumbv7em-none-eabihf", chip: Some("STM32H743ZITx") },
    Binary { name: "w5500-evb-pico2", target: "thumbv8m.main-none-eabihf", chip: Some("RP235x") },
    Binary { name: "bench-core", target: "thumbv7m-none-eabi", chip: None },
    Binary { name: "bench-embassy-net", target: "thumbv7m-none-eabi", chip: None },
];

/// What a binary may take, in octets.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    flash: u64,
    ram: u64,
}

/// Builds, prints and checks; says whether everything fits.
///
/// # Errors
/// If a binary cannot be built or read, or the budget names none for it.
pub fn run() -> Result<bool> {
    let budgets = read_budgets(&Path::new(env!("CARGO_MANIFEST_DIR")).join(BUDGET))?;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["binary", "flash", "budget", "RAM", "budget", "left for the stack"]);
    let mut faults = Vec::new();
    for binary in BINARIES {
        let path = image::build(binary.target, binary.name)?;
        let image = Image::read(&path)?;
        let budget = budgets.get(binary.name).with_context(|| format!("{BUDGET} has no [{}]", binary.name))?;
        let (flash, ram) = (image.flash(), image.ram());
        for (what, takes, may) in [("flash", flash, budget.flash), ("RAM", ram, budget.ram)] {
            if takes > may {
                faults.push(format!("{} takes {takes} octets of {what}, and may take {may}", binary.name));
            }
        }
        let stack = image.stack().with_context(|| format!("{} tells no end of its stack", binary.name))?;
        table.add_row([
            binary.name.to_owned(),
            flash.to_string(),
            budget.flash.to_string(),
            ram.to_string(),
            budget.ram.to_string(),
            stack.to_string(),
        ]);
        faults.extend(check_chip(binary, &image)?);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!(
        "{table}\nOctets. RAM without the stack, which has the rest: its deepest use is on the status page."
    );
    if cfg!(not(feature = "probe-rs")) {
        anstream::println!("Not checked against the chips: that takes `--features probe-rs`.");
    }
    for fault in &faults {
        anstream::println!("FAULT: {fault}");
    }
    Ok(faults.is_empty())
}

#[cfg(feature = "probe-rs")]
fn check_chip(binary: &Binary, image: &Image) -> Result<Vec<String>> {
    let Some(chip) = binary.chip else { return Ok(Vec::new()) };
    let faults = chip::check(chip, image)?;
    if faults.is_empty() {
        anstream::println!("{}: fits {chip}'s memory, and probe-rs finds its log", binary.name);
    }
    Ok(faults.into_iter().map(|fault| format!("{} on {chip}: {fault}", binary.name)).collect())
}

#[cfg(not(feature = "probe-rs"))]
fn check_chip(binary: &Binary, _image: &Image) -> Result<Vec<String>> {
    let _ = binary.chip;
    Ok(Vec::new())
}

fn read_budgets(path: &Path) -> Result<BTreeMap<String, Budget>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the budget {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the budget {} is not understood", path.display()))
}
