//! What the words `name=value` of the command line ask for.

use std::fmt::Display;
use std::mem::discriminant;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use goodput::grid::{BUFFERS, Cell, Grid, RTTS};
use goodput::run::Contender;

/// One word.
#[derive(Clone, Debug)]
pub(crate) enum Setting {
    Rtt(Vec<u32>),
    Loss(Vec<u32>),
    Reorder(Vec<u32>),
    Duplicate(u32),
    Corrupt(u32),
    Buffer(Vec<usize>),
    Rate(u64),
    Queue(usize),
    Seed(Vec<u64>),
    Segments(u64),
    Stack(Vec<Contender>),
}

const MAX_RTT_MS: u32 = 60_000;
/// A path that loses more delivers nothing worth measuring.
const MAX_PPM: u32 = 500_000;
const MAX_BUFFER: usize = 1 << 20;
const MAX_RATE: u64 = 100_000_000_000;
const MAX_SEGMENTS: u64 = 100_000_000;

impl FromStr for Setting {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Setting> {
        let (name, value) = word.split_once('=').context("a setting is a name, `=` and a value")?;
        Ok(match name {
            "rtt" => Setting::Rtt(numbers(value, 1, MAX_RTT_MS)?),
            "loss" => Setting::Loss(numbers(value, 0, MAX_PPM)?),
            "reorder" => Setting::Reorder(numbers(value, 0, MAX_PPM)?),
            "duplicate" => Setting::Duplicate(number(value, 0, MAX_PPM)?),
            "corrupt" => Setting::Corrupt(number(value, 0, MAX_PPM)?),
            "buffer" => Setting::Buffer(numbers(value, 64, MAX_BUFFER)?),
            "rate" => Setting::Rate(number(value, 1_000, MAX_RATE)?),
            "queue" => Setting::Queue(number(value, 1, usize::MAX)?),
            "seed" => Setting::Seed(numbers(value, 0, u64::MAX)?),
            "segments" => Setting::Segments(number(value, 1, MAX_SEGMENTS)?),
            "stack" => Setting::Stack(value.split(',').map(contender).collect::<Result<_>>()?),
            _ => bail!(
                "there is no setting `{name}`; there are rtt, loss, reorder, duplicate, corrupt, buffer, rate, queue, seed, segments, stack"
            ),
        })
    }
}

fn numbers<N: FromStr + PartialOrd + Display>(list: &str, least: N, most: N) -> Result<Vec<N>> {
    list.split(',').map(|value| number(value, &least, &most)).collect()
}

fn number<N: FromStr + PartialOrd + Display>(
    value: &str,
    least: impl std::borrow::Borrow<N>,
    most: impl std::borrow::Borrow<N>,
) -> Result<N> {
    let (least, most) = (least.borrow(), most.borrow());
    let parsed = value.parse().ok().filter(|number| least <= number && number <= most);
    parsed.ok_or_else(|| anyhow!("`{value}` is not a number from {least} to {most}"))
}

fn contender(name: &str) -> Result<Contender> {
    let found = Contender::ALL.into_iter().find(|contender| contender.name() == name);
    found.ok_or_else(|| anyhow!("there is no stack `{name}`; there are ours, sack, sack-cubic, none, reno, cubic"))
}

/// Returns what the settings ask for; without any the whole table.
pub(crate) fn grid(settings: &[Setting]) -> Result<Grid> {
    let mut grid = Grid::default();
    let (mut rtts, mut losses, mut reorders, mut buffers) = (None, None, None, None);
    for (at, setting) in settings.iter().cloned().enumerate() {
        if settings[..at].iter().any(|before| discriminant(before) == discriminant(&setting)) {
            bail!("a setting is given twice: {setting:?}");
        }
        match setting {
            Setting::Rtt(list) => rtts = Some(list),
            Setting::Loss(list) => losses = Some(list),
            Setting::Reorder(list) => reorders = Some(list),
            Setting::Duplicate(ppm) => grid.conditions.duplicate = ppm,
            Setting::Corrupt(ppm) => grid.conditions.corrupt = ppm,
            Setting::Buffer(list) => buffers = Some(list),
            Setting::Rate(rate) => grid.conditions.rate = rate,
            Setting::Queue(packets) => grid.conditions.queue = Some(packets),
            Setting::Seed(list) => grid.seeds = list,
            Setting::Segments(segments) => grid.segments = Some(segments),
            Setting::Stack(list) => grid.contenders = list,
        }
    }
    let (rtts, buffers) = (rtts.unwrap_or(RTTS.into()), buffers.unwrap_or(BUFFERS.into()));
    grid.cells = match (losses, reorders) {
        (None, None) => Cell::of_loss_and_reordering(&rtts, &buffers),
        // What is named alone is measured without the other.
        (losses, reorders) => Cell::product(&reorders.unwrap_or(vec![0]), &losses.unwrap_or(vec![0]), &rtts, &buffers),
    };
    Ok(grid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_for(words: &[&str]) -> Result<Grid> {
        grid(&words.iter().map(|word| word.parse()).collect::<Result<Vec<_>>>()?)
    }

    #[test]
    fn settings_choose_cells_and_without_any_all_are_measured() {
        assert_eq!(asked_for(&[]).expect("nothing is wrong").cells.len(), 90);
        assert_eq!(asked_for(&["rtt=7", "buffer=4096"]).expect("nothing is wrong").cells.len(), 6);
        let grid = asked_for(&["loss=0,1000", "rtt=5", "buffer=4096", "stack=ours"]).expect("nothing is wrong");
        let cell = Cell { reorder: 0, loss: 0, rtt: 5, buffer: 4_096 };
        assert_eq!(grid.cells, [cell, Cell { loss: 1_000, ..cell }]);
        assert_eq!(grid.contenders, [Contender::Ours]);
    }

    #[test]
    fn what_is_unknown_out_of_bounds_or_given_twice_is_refused() {
        for words in [&["rto=1"][..], &["rtt"], &["rtt=0"], &["loss=x"], &["stack=linux"], &["seed=1", "seed=2"]] {
            assert!(asked_for(words).is_err(), "{words:?}");
        }
    }
}
