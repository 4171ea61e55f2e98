//! What the images may take.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::image::Speaks;

/// The most that each binary may take, beside the firmware's sources.
const BUDGET: &str = "../firmware/budget.toml";

/// What the binaries may take, by the families they are built for and by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budgets {
    both: BTreeMap<String, Budget>,
    ipv4: BTreeMap<String, Budget>,
}

impl Budgets {
    /// Reads all budgets.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub(super) fn read() -> Result<Budgets> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(BUDGET);
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read the budget {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("the budget {} is not understood", path.display()))
    }

    /// Returns the budget of a binary.
    ///
    /// # Errors
    /// If it has none.
    pub(super) fn of(&self, name: &str, speaks: Speaks) -> Result<Budget> {
        let (table, budgets) = match speaks {
            Speaks::Both => ("both", &self.both),
            Speaks::Ipv4 => ("ipv4", &self.ipv4),
        };
        let budget = budgets.get(name).copied();
        budget.with_context(|| format!("{BUDGET} has no [{table}.{name}]"))
    }
}

/// What a binary may take, in bytes.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    pub(super) flash: u64,
    pub(super) ram: u64,
}

impl Budget {
    /// Lists what is beyond it of the flash and RAM that an image takes.
    pub(super) fn faults(self, name: &str, speaks: Speaks, flash: u64, ram: u64) -> Vec<String> {
        let families = speaks.families();
        let mut faults = Vec::new();
        for (what, takes, may) in [("flash", flash, self.flash), ("RAM", ram, self.ram)] {
            if takes > may {
                faults.push(format!("{name} ({families}) takes {takes} bytes of {what}, and may take {may}"));
            }
        }
        faults
    }
}
