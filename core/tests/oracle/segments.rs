//! The segments that are tried: every combination of flags with each interesting sequence number, acknowledgment number and length.

use std::collections::BTreeSet;

use crate::scenes::Scene;
use crate::support::rig::BUFFER;
use crate::support::table::{ACK, Model, Seg};

/// Far away from every window, to ask a record for its numbers.
pub(crate) const FAR: u32 = 0x4000_0000;

/// Sequence numbers around both edges of the receive window, around IRS, and half the circle away.
fn sequence_numbers(m: &Model) -> Vec<u32> {
    let edge = m.rcv_nxt.wrapping_add(m.rcv_wnd);
    let far = m.rcv_nxt.wrapping_add(1 << 31);
    let held = m.held.map_or(m.rcv_nxt, |held| held.start.wrapping_add(held.len));
    let old = m.rcv_nxt.wrapping_sub(BUFFER);
    let around = [(m.rcv_nxt, 2), (edge, 2), (m.irs, 2), (far, 1), (held, 1), (old, 1), (FAR, 0)];
    positions(&around)
}

/// Acknowledgement numbers around both ends of what may be acknowledged, around SND.UNA, and half the circle away.
fn acknowledgement_numbers(m: &Model) -> Vec<u32> {
    let lowest = m.snd_una.wrapping_sub(m.max_snd_wnd);
    let far = |seq: u32| seq.wrapping_add(1 << 31);
    let around =
        [(lowest, 2), (m.snd_una, 2), (m.snd_nxt, 2), (far(m.snd_una), 1), (far(m.snd_nxt), 1), (m.iss, 1), (0, 0)];
    positions(&around)
}

fn positions(around: &[(u32, u32)]) -> Vec<u32> {
    let all = around.iter().flat_map(|&(at, by)| (0..=2 * by).map(move |i| at.wrapping_sub(by).wrapping_add(i)));
    all.collect::<BTreeSet<u32>>().into_iter().collect()
}

/// All segments tried in a scene. Without ACK the acknowledgement number may be anything; two stand for all.
pub(crate) fn segments(m: &Model, scene: &Scene) -> Vec<Seg> {
    let mut all = Vec::new();
    let (seqs, acks) = (sequence_numbers(m), acknowledgement_numbers(m));
    let texts = BTreeSet::from([0, 1, 2, BUFFER, BUFFER + 1, m.rcv_wnd, m.rcv_wnd + 1]);
    for flags in (0..64_u8).filter(|flags| flags & scene.only == scene.only) {
        let acks: &[u32] = if flags & ACK == 0 { &[m.snd_nxt, 0] } else { &acks };
        for &seq in &seqs {
            for &ack in acks {
                all.extend(texts.iter().map(|&text| Seg::new(flags, seq, ack, text, scene.wnd)));
            }
        }
    }
    all
}

/// Picks at most `count` of them, spread without a pattern but the same each time.
pub(crate) fn sample<T>(mut from: Vec<T>, count: usize) -> Vec<T> {
    let (mut state, mut picked) = (0x9e37_79b9_u32, Vec::new());
    while picked.len() < count && !from.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        picked.push(from.swap_remove((state >> 8) as usize % from.len()));
    }
    picked
}
