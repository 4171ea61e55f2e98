//! The snapshot in the tree: what was measured last, to compare with.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::grid::{Cell, Grid, Row};

/// How far a value may be from the snapshot's, as a share of it.
const TOLERANCE: f64 = 0.03;

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    loss_ppm: u32,
    reorder_ppm: u32,
    rtt_ms: u32,
    buffer_bytes: usize,
    stack: String,
    goodput_kilobytes_per_second: f64,
}

type Values = BTreeMap<(Cell, String), f64>;

/// Writes the values of a grid; what is not available has no line.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, grid: &Grid, rows: &[Row]) -> Result<()> {
    let mut writer = csv::Writer::from_path(path).with_context(|| format!("cannot write {}", path.display()))?;
    for (cell, values) in rows {
        for (contender, value) in grid.contenders.iter().zip(values) {
            let Some(goodput) = value.goodput() else { continue };
            let Cell { reorder, loss, rtt, buffer } = *cell;
            writer.serialize(Line {
                loss_ppm: loss,
                reorder_ppm: reorder,
                rtt_ms: rtt,
                buffer_bytes: buffer,
                stack: contender.name().into(),
                goodput_kilobytes_per_second: (goodput * 1_000.0).round() / 1_000.0,
            })?;
        }
    }
    Ok(writer.flush()?)
}

/// Compares the values of a grid with the file; returns a line for each that differs by more than the tolerance, or is in one of them
/// alone.
///
/// # Errors
/// If the file cannot be read.
pub fn differences(path: &Path, grid: &Grid, rows: &[Row]) -> Result<Vec<String>> {
    let mut expected = read(path)?;
    let mut differences = Vec::new();
    for (cell, values) in rows {
        for (contender, value) in grid.contenders.iter().zip(values) {
            let before = expected.remove(&(*cell, contender.name().into()));
            let name = format!("{}, {cell}", contender.title());
            match (before, value.goodput()) {
                (None, None) => {}
                (Some(before), Some(now)) if (now - before).abs() <= TOLERANCE * before => {}
                (Some(before), Some(now)) => {
                    let change = 100.0 * (now / before - 1.0);
                    differences.push(format!("{name}: {before} kB/s before, {now:.3} now ({change:+.1} %)"));
                }
                (Some(before), None) => differences.push(format!("{name}: {before} kB/s before, none now")),
                (None, Some(now)) => differences.push(format!("{name}: none before, {now:.3} kB/s now")),
            }
        }
    }
    differences.extend(expected.keys().map(|(cell, stack)| format!("{stack}, {cell}: in the snapshot alone")));
    Ok(differences)
}

fn read(path: &Path) -> Result<Values> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut values = Values::new();
    for line in reader.deserialize() {
        let Line { loss_ppm, reorder_ppm, rtt_ms, buffer_bytes, stack, goodput_kilobytes_per_second } =
            line.with_context(|| format!("{} is not a snapshot", path.display()))?;
        let cell = Cell { reorder: reorder_ppm, loss: loss_ppm, rtt: rtt_ms, buffer: buffer_bytes };
        values.insert((cell, stack), goodput_kilobytes_per_second);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Value;

    #[test]
    fn a_change_beyond_the_tolerance_and_a_value_that_is_gone_are_told() {
        let grid = Grid::default();
        let rows = |goodput: f64| -> Vec<Row> {
            vec![(grid.cells[0], vec![Value::Goodput(goodput), Value::Goodput(50.0), Value::NotAvailable])]
        };
        let path = std::env::temp_dir().join(format!("goodput-snapshot-{}.csv", std::process::id()));
        write(&path, &grid, &rows(100.0)).expect("it is written");
        let compare = |rows: &[Row]| differences(&path, &grid, rows).expect("it is read");
        assert!(compare(&rows(102.9)).is_empty());
        assert_eq!(compare(&rows(96.9)).len(), 1);
        assert_eq!(compare(&[(grid.cells[0], vec![Value::Goodput(100.0)])]).len(), 1);
        assert_eq!(compare(&[(grid.cells[1], vec![Value::Goodput(100.0)])]).len(), 3);
        std::fs::remove_file(path).expect("it was there");
    }
}
