//! The segments that are tried: every combination of flags with each interesting sequence number, acknowledgment number and length.

use std::collections::{BTreeSet, HashMap};

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

/// Acknowledgment numbers around both ends of what may be acknowledged, around SND.UNA, and half the circle away.
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

/// TSvals around TS.Recent and half the circle away from it, and none at all. Where there is no TS.Recent yet, `clock` takes its place.
fn timestamps(m: &Model, clock: u32) -> Vec<Option<u32>> {
    let recent = m.recent.unwrap_or(clock);
    let offsets = [0_u32.wrapping_sub(1), 0, 1, 0x7fff_ffff, 0x8000_0000];
    [None].into_iter().chain(offsets.map(|by| Some(recent.wrapping_add(by)))).collect()
}

/// All segments tried in a scene, by number: they are too many to be kept.
pub(crate) struct Segments {
    flags: Vec<u8>,
    seqs: Vec<u32>,
    acks: Vec<u32>,
    /// Without ACK the acknowledgment number may be anything; two stand for all.
    acks_without_bit: Vec<u32>,
    texts: Vec<u32>,
    stamps: Vec<Option<u32>>,
    wnd: u32,
}

impl Segments {
    /// `clock` is what the peer's timestamps are about, where it has them.
    pub(crate) fn new(m: &Model, scene: &Scene, clock: Option<u32>) -> Segments {
        let texts = BTreeSet::from([0, 1, 2, BUFFER, BUFFER + 1, m.rcv_wnd, m.rcv_wnd + 1]);
        Segments {
            flags: (0..64_u8).filter(|flags| flags & scene.only == scene.only).collect(),
            seqs: sequence_numbers(m),
            acks: acknowledgement_numbers(m),
            acks_without_bit: vec![m.snd_nxt, 0],
            texts: texts.into_iter().collect(),
            stamps: clock.map_or_else(|| vec![None], |clock| timestamps(m, clock)),
            wnd: scene.wnd,
        }
    }

    fn acks(&self, flags: u8) -> &[u32] {
        if flags & ACK == 0 { &self.acks_without_bit } else { &self.acks }
    }

    fn has_timestamps(&self) -> bool {
        self.stamps.len() > 1
    }

    /// How many lengths go with each timestamp: no text and one other length take the place of all where there are several timestamps.
    fn lengths(&self) -> usize {
        if self.has_timestamps() { 2 } else { self.texts.len() }
    }

    /// How many there are with these flags.
    fn count(&self, flags: u8) -> usize {
        self.seqs.len() * self.acks(flags).len() * self.stamps.len() * self.lengths()
    }

    pub(crate) fn len(&self) -> usize {
        self.flags.iter().map(|&flags| self.count(flags)).sum()
    }

    /// The one of this number among those with these flags.
    fn with_flags(&self, flags: u8, index: usize) -> Seg {
        let acks = self.acks(flags);
        let (rest, length) = (index / self.lengths(), index % self.lengths());
        let (rest, stamp) = (rest / self.stamps.len(), self.stamps[rest % self.stamps.len()]);
        let (seq, ack) = (self.seqs[rest / acks.len()], acks[rest % acks.len()]);
        let text = if self.has_timestamps() && length > 0 {
            // Each length meets each timestamp and each number, without a pattern.
            let spread = (index as u32 ^ u32::from(flags) << 24).wrapping_mul(0x9e37_79b9) >> 16;
            1 + spread as usize % (self.texts.len() - 1)
        } else {
            length
        };
        Seg { stamp, ..Seg::new(flags, seq, ack, self.texts[text], self.wnd) }
    }

    pub(crate) fn at(&self, mut index: usize) -> Seg {
        for &flags in &self.flags {
            let count = self.count(flags);
            if index < count {
                return self.with_flags(flags, index);
            }
            index -= count;
        }
        panic!("no segment has this number");
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Seg> {
        self.flags.iter().flat_map(move |&flags| (0..self.count(flags)).map(move |at| self.with_flags(flags, at)))
    }
}

/// Picks at most `count` of the numbers below `len`, spread without a pattern but the same each time: from a list that each pick is
/// swapped out of, of which only the changed places are kept.
pub(crate) fn sample(len: usize, count: usize) -> Vec<usize> {
    let (mut state, mut moved) = (0x9e37_79b9_u32, HashMap::new());
    let mut pick = |left: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (place, last) = ((state >> 8) as usize % left, left - 1);
        let last_one = moved.remove(&last).unwrap_or(last);
        if place == last { last_one } else { moved.insert(place, last_one).unwrap_or(place) }
    };
    (len.saturating_sub(count) + 1..=len).rev().map(&mut pick).collect()
}
