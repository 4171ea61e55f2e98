//! The cells that goodput is measured in, the same in virtual and in real time.

use std::fmt;
use std::time::Duration;

use crate::Conditions;

/// Packets lost, per million.
pub const LOSSES: [u32; 5] = [0, 1_000, 10_000, 30_000, 100_000];
/// Packets delayed by a further quarter RTT, per million, in the rows of reordering.
pub const REORDERED: u32 = 10_000;
/// Round-trip times in milliseconds.
pub const RTTS: [u32; 3] = [1, 20, 100];

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
        Conditions { reorder, loss, rtt: Duration::from_millis(rtt.into()), ..base }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cell { reorder, loss, rtt, buffer } = *self;
        write!(f, "loss={loss} reorder={reorder} rtt={rtt} buffer={buffer}")
    }
}

/// Returns parts per million as a percentage.
#[must_use]
pub fn percent(ppm: u32) -> f64 {
    f64::from(ppm) / 10_000.0
}

/// Returns a number of bytes for readers.
#[must_use]
pub fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1_024) { format!("{} KiB", bytes / 1_024) } else { format!("{bytes} B") }
}
