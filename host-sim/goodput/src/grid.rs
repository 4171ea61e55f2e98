//! The cells of the table, and their measurement.

use anyhow::{Context, Result};
use rayon::prelude::*;

pub use crate::path::cell::{Cell, RTTS};

use crate::path::Conditions;
use crate::run::{self, Contender, Outcome};
use crate::stack::ConnectionEnded;

/// Buffers in bytes.
pub const BUFFERS: [usize; 5] = [2_048, 8_192, 32_768, 65_536, 262_144];
/// Seeds that each cell is averaged over.
pub const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// A run transfers as many segments as bring so many faults, within bounds: enough for a stable value, few enough for the time they take.
const FAULTS: u64 = 150;
const MIN_SEGMENTS: u64 = 4_000;
const MAX_SEGMENTS: u64 = 25_000;

/// What is measured.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The rows.
    pub cells: Vec<Cell>,
    /// The columns.
    pub contenders: Vec<Contender>,
    /// Conditions that no cell changes.
    pub conditions: Conditions,
    /// Seeds that each cell is averaged over.
    pub seeds: Vec<u64>,
    /// Full segments of each run; `None`: as many as a stable value asks for.
    pub segments: Option<u64>,
}

/// A cell's goodput with one stack.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// In kB/s (1,000 bytes per second): the bytes of all seeds over the time of all seeds.
    Goodput(f64),
    /// The stack cannot have such a buffer.
    NotAvailable,
    /// A stack ended the connection.
    Ended(String),
    /// A run failed.
    Failed(String),
}

/// A row: the cell, and a value for each column.
pub type Row = (Cell, Vec<Value>);

impl Default for Grid {
    /// The whole table: rows of loss, then of reordering.
    fn default() -> Grid {
        Grid {
            cells: Cell::of_loss_and_reordering(&RTTS, &BUFFERS),
            contenders: Contender::ALL.into(),
            conditions: Conditions::DEFAULT,
            seeds: SEEDS.into(),
            segments: None,
        }
    }
}

impl Grid {
    /// Measures every cell with every stack, as many at a time as there are processors.
    #[must_use]
    pub fn measure(&self) -> Vec<Row> {
        let row = |cell: &Cell| (*cell, self.contenders.par_iter().map(|one| self.value(*cell, *one)).collect());
        self.cells.par_iter().map(row).collect()
    }

    fn value(&self, cell: Cell, contender: Contender) -> Value {
        if !contender.has_buffer(cell.buffer) {
            return Value::NotAvailable;
        }
        match self.goodput(cell, contender) {
            Ok(goodput) => Value::Goodput(goodput),
            Err(error) if error.is::<ConnectionEnded>() => Value::Ended(format!("{error:#}")),
            Err(error) => Value::Failed(format!("{error:#}")),
        }
    }

    fn goodput(&self, cell: Cell, contender: Contender) -> Result<f64> {
        let conditions = cell.conditions(self.conditions);
        // Where nothing is drawn all seeds are the same.
        let seeds = if conditions.is_random() { self.seeds.len() } else { 1 };
        let (mut bytes, mut seconds) = (0, 0.0);
        for seed in &self.seeds[..seeds] {
            let outcome = run::run(contender, cell.buffer, conditions, self.segments(&conditions), *seed, None);
            let Outcome { bytes: received, elapsed, .. } = outcome.with_context(|| format!("seed {seed}"))?;
            bytes += received;
            seconds += elapsed.as_secs_f64();
        }
        Ok(bytes as f64 / seconds / 1_000.0)
    }

    /// Returns the full segments that a run transfers.
    #[must_use]
    pub fn segments(&self, conditions: &Conditions) -> u64 {
        let Conditions { loss, reorder, duplicate, corrupt, .. } = *conditions;
        let faults: u64 = [loss, reorder, duplicate, corrupt].map(u64::from).iter().sum();
        let enough = (FAULTS * 1_000_000).checked_div(faults).unwrap_or(MIN_SEGMENTS);
        self.segments.unwrap_or(enough.clamp(MIN_SEGMENTS, MAX_SEGMENTS))
    }
}
