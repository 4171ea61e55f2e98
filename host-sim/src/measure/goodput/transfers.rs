//! The measurement in real time: as many transfers at one time as do each other no harm.

use std::cmp::Reverse;
use std::time::Duration;

use anyhow::Result;
use lossy_path::{MSS, Path};

use super::cases::{self, Case};
use crate::lan::{Buffers, Flow, FlowOptions, MAX_FLOWS, Net};

/// A transfer ends with so many full segments' payload, if its time has not ended before.
pub(super) const MAX_SEGMENTS: u64 = 4_000;
/// How long a handshake may take: SYNs are lost too.
const MAX_HANDSHAKE: Duration = Duration::from_secs(30);

/// What a transfer has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Bytes that the receiver's application has read.
    pub(super) bytes: u64,
    /// From the end of the sender's handshake to the last of them, or to the end of the time.
    pub(super) elapsed: Duration,
}

/// Measures every case; returns the outcomes in the order of the cases, with the reason where a connection ended.
///
/// # Errors
/// If the network breaks.
pub(super) fn measure(net: &mut Net, cases: &[Case], limit: Duration) -> Result<Vec<Result<Outcome, String>>> {
    let mut waiting: Vec<_> = cases.iter().copied().enumerate().collect();
    // The most frames first: what has few ends beside many others.
    waiting.sort_by_key(|(_, case)| Reverse(case.frames()));
    let mut outcomes = vec![Err("it was not measured".to_owned()); cases.len()];
    // As the network's flows, by their numbers.
    let mut running: Vec<(usize, Case)> = Vec::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < MAX_FLOWS
            && let Some(at) = cases::next_beside(running.iter().map(|(_, case)| case.frames()).sum(), &waiting)
        {
            let (number, case) = waiting.remove(at);
            net.open(options(&case))?;
            running.push((number, case));
        }
        net.step()?;
        for i in (0..running.len()).rev() {
            if let Some(outcome) = outcome(&net.flows()[i], net.now(), limit) {
                outcomes[running.remove(i).0] = outcome;
                net.close(i)?;
            }
        }
    }
    Ok(outcomes)
}

fn options(case: &Case) -> FlowOptions {
    let buffer = case.cell.buffer;
    let buffers = Buffers { ours: buffer, linux: u32::try_from(buffer).ok() };
    FlowOptions { places: case.pair.stations(), buffers, path: Path::new(case.conditions(), case.seed) }
}

/// Returns what a transfer has shown, once it is over.
fn outcome(flow: &Flow, now: Duration, limit: Duration) -> Option<Result<Outcome, String>> {
    if let Some(why) = flow.failure() {
        return Some(Err(why.to_owned()));
    }
    let Some(started) = flow.started() else {
        return (now - flow.opened() > MAX_HANDSHAKE).then(|| Err("no connection was made".into()));
    };
    let (bytes, elapsed) = (flow.bytes(), now - started);
    let is_over = elapsed >= limit || bytes >= MAX_SEGMENTS * MSS as u64;
    is_over.then_some(Ok(Outcome { bytes, elapsed }))
}
