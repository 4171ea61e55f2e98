//! `host-sim boards`: builds the firmware for every board and the smallest echo servers, prints what they take, and checks it against the budget
//! and, with feature `probe-rs`, against the chip.

mod budget;
#[cfg(feature = "probe-rs")]
mod chip;
mod echo;
mod elf;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};

use self::budget::{Budget, Budgets};
use self::elf::Image;
use crate::image::{self, Speaks};

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

/// Builds, prints and checks; returns whether everything fits.
///
/// # Errors
/// If a binary cannot be built or read, or the budget names none for it.
pub fn run() -> Result<bool> {
    let budgets = Budgets::read()?;
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["binary", "families", "flash", "budget", "RAM", "budget", "left for the stack"]);
    let mut faults = Vec::new();
    for binary in BINARIES {
        for speaks in [Speaks::Both, Speaks::Ipv4] {
            let (row, found) = weigh(binary, speaks, budgets.of(binary.name, speaks)?)?;
            table.add_row(row);
            faults.extend(found);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!(
        "{table}\nBytes. RAM without the stack, which has the rest: its deepest use is on the status page."
    );
    if cfg!(not(feature = "probe-rs")) {
        anstream::println!("Not checked against the chips: that takes `--features probe-rs`.");
    }
    faults.extend(echo::weigh(&budgets)?);
    for fault in &faults {
        anstream::println!("FAULT: {fault}");
    }
    Ok(faults.is_empty())
}

/// Builds a binary; gives its row of the table, and what is wrong with it.
fn weigh(binary: &Binary, speaks: Speaks, budget: Budget) -> Result<([String; 7], Vec<String>)> {
    let path = image::build(binary.target, binary.name, speaks)?;
    let image = Image::read(&path)?;
    let name = binary.name;
    let mut faults = check_chip(binary, &image)?;
    let (flash, ram) = (image.flash(), image.ram());
    faults.extend(budget.faults(name, speaks, flash, ram));
    let stack = image.stack().with_context(|| format!("{name} tells no end of its stack"))?;
    let [flash, flash_budget, ram, ram_budget, stack] =
        [flash, budget.flash, ram, budget.ram, stack].map(|bytes| bytes.to_string());
    Ok(([name.to_owned(), speaks.families().to_owned(), flash, flash_budget, ram, ram_budget, stack], faults))
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
