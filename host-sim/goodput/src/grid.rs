//! The cells of the table, and their measurement.

use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::path::Conditions;
use crate::run::{self, Contender, Outcome};
use crate::stack::ConnectionEnded;

/// Packets lost, per million.
pub const LOSSES: [u32; 5] = [0, 1_000, 10_000, 30_000, 100_000];
/// Packets delayed by a further quarter RTT, per million, in the rows of reordering.
pub const REORDERED: u32 = 10_000;
/// Round-trip times in milliseconds.
pub const RTTS: [u32; 3] = [1, 20, 100];
/// Buffers in bytes.
pub const BUFFERS: [usize; 4] = [2_048, 8_192, 32_768, 65_536];
/// Seeds that each cell is averaged over.
pub const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];

/// A run transfers as many segments as bring so many faults, within bounds: enough for a stable value, few enough for the time they take.
const FAULTS: u64 = 150;
const MIN_SEGMENTS: u64 = 4_000;
const MAX_SEGMENTS: u64 = 25_000;

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cell {
    /// Packets delayed by a further quarter RTT, per million.
    pub reorder: u32,
    /// Packets lost, per million.
    pub loss: u32,
    /// Round-trip time in milliseconds.
    pub rtt: u32,
    /// Each buffer in bytes.
    pub buffer: usize,
}

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

impl Cell {
    /// Returns every combination, the last varying fastest.
    #[must_use]
    pub fn product(reorders: &[u32], losses: &[u32], rtts: &[u32], buffers: &[usize]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &reorder in reorders {
            for &loss in losses {
                for &rtt in rtts {
                    cells.extend(buffers.iter().map(|&buffer| Cell { reorder, loss, rtt, buffer }));
                }
            }
        }
        cells
    }

    /// Returns the default rows of loss, and then those of reordering.
    #[must_use]
    pub fn of_loss_and_reordering(rtts: &[u32], buffers: &[usize]) -> Vec<Cell> {
        let mut cells = Cell::product(&[0], &LOSSES, rtts, buffers);
        cells.extend(Cell::product(&[REORDERED], &[0], rtts, buffers));
        cells
    }

    /// Returns the path's conditions in this cell.
    #[must_use]
    pub fn conditions(self, base: Conditions) -> Conditions {
        let Cell { reorder, loss, rtt, buffer: _ } = self;
        Conditions { reorder, loss, rtt: std::time::Duration::from_millis(rtt.into()), ..base }
    }
}

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
