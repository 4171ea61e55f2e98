//! What two endpoints say to each other: noted with their pair, and judged against what they may.

use tcp_reset_core::{Control, MAX_BUFFER};

use super::addresses::{Ep, name};
use super::due::InFlight;
use super::pair::{Pair, Way};
use super::plan::HostPlan;
use super::world::World;
use crate::frame::{Seen, window_scale};

/// Records of one pair that may answer empty ACKs at a host: a connection or a handshake, and what is left of the connection before it.
const RECORDS: u32 = 2;
/// Periods of the quota, 4.19 s each, that two handshakes with foreign numbers may go on: three minutes.
const PERIODS: u16 = 48;
/// Segments without payload between two endpoints in one second of virtual time, beside what the quotas grant.
const IN_A_SECOND: u32 = 150;
/// One in so many segments with payload may go out again on a wire that loses nothing: a flight or two, until the round trip is learned.
const AGAIN: u32 = 3;
/// From so many on it is judged.
const JUDGED: u32 = 120;
/// The largest window twice over: further from an edge, numbers have nothing to do with it.
const FAR: u32 = 2 * MAX_BUFFER as u32;

impl World<'_> {
    pub(super) fn pair_of(&self, a: Ep, b: Ep) -> Option<usize> {
        self.pairs.iter().position(|pair| pair.ends == [a, b] || pair.ends == [b, a])
    }

    pub(super) fn pair_made(&mut self, a: Ep, b: Ep) -> usize {
        self.pair_of(a, b).unwrap_or_else(|| {
            self.pairs.push(Pair::new(a, b));
            self.pairs.len() - 1
        })
    }

    /// Before a host's engine gets a segment: what it is the answer to, later.
    pub(super) fn before_arrival(&mut self, _h: usize, seen: &Seen, frame: &InFlight) {
        let (from, to) = (Ep::of(seen.from), Ep::of(seen.to));
        let Some(p) = self.pair_of(from, to) else { return };
        if frame.is_corrupt {
            return;
        }
        if seen.control.contains(Control::RST) && !frame.is_forged {
            let place = self.pairs[p].place(to);
            self.pairs[p].told_at[place] = Some(self.now);
            self.pairs[p].told_seq[place] = Some(seen.seq);
        }
        let place = self.pairs[p].place(from);
        if seen.control.contains(Control::SYN) && frame.is_forged {
            self.pairs[p].forged[place].push(seen.seq + 1);
        } else if seen.control.contains(Control::SYN) {
            let shift = &mut self.pairs[p].shifts[place];
            *shift = (*shift).max(window_scale(&frame.bytes));
        }
        self.note_edge(p, to, seen, frame.is_forged);
        let is_empty_ack = seen.control == Control::ACK && seen.len == 0;
        self.stimulus = (is_empty_ack && !frame.is_forged).then_some((p, frame.depth));
    }

    /// What the peer offers the end that hears it.
    fn note_edge(&mut self, p: usize, to: Ep, seen: &Seen, is_forged: bool) {
        if is_forged || seen.control.contains(Control::RST) || !seen.control.contains(Control::ACK) {
            return;
        }
        let place = self.pairs[p].place(to);
        let is_scaled = !seen.control.contains(Control::SYN);
        let shift = if is_scaled { self.pairs[p].shift_of(Ep::of(seen.from)) } else { 0 };
        let (way, edge) = (&mut self.pairs[p].ways[place], seen.ack + (u32::from(seen.wnd) << shift));
        if way.edge.is_none_or(|largest| edge.gt(largest)) {
            way.edge = Some(edge);
        }
    }

    /// A host's engine sent a segment. Returns how deep in a row of answering ACKs it stands.
    pub(super) fn sent(&mut self, h: usize, seen: &Seen) -> u16 {
        let (from, to) = (Ep::of(seen.from), Ep::of(seen.to));
        if from.host() != h && !self.hosts[h].listeners.is_empty() && from.host() < self.hosts.len() {
            self.fail(format!("{} speaks for another", name(h)));
        }
        if seen.control.contains(Control::RST) {
            self.hosts[h].owed.retain(|owed| (owed.local, owed.remote) != (from, to));
        }
        self.promised.take_if(|promise| promise.is_kept_by(from, to, seen));
        let Some(p) = self.pair_of(from, to) else { return 0 };
        self.count_again(p, from, seen);
        self.count_empty(p, seen);
        let is_empty_ack = seen.control == Control::ACK && seen.len == 0;
        match self.stimulus {
            Some((of, depth)) if of == p && is_empty_ack => {
                if depth >= self.most_answers() {
                    self.fail(format!("storm: {from} and {to} answer each other's empty ACKs"));
                }
                depth + 1
            }
            _ => 0,
        }
    }

    /// Empty ACKs that may answer one another in a row: no more than the quotas of both hosts grant (RFC 5961 §7) in as many periods as a
    /// handshake may take.
    fn most_answers(&self) -> u16 {
        PERIODS * self.granted() as u16
    }

    /// What the quotas of both hosts grant in a period.
    fn granted(&self) -> u32 {
        let limit = |host: &HostPlan| u32::from(host.config.challenge_limit);
        2 * RECORDS * self.plan.hosts.iter().map(limit).max().unwrap_or(0).max(1)
    }

    fn count_empty(&mut self, p: usize, seen: &Seen) {
        // An ACK that is granted can draw an RST and a SYN. What is old draws one each: a flight that arrives twice.
        let most = IN_A_SECOND.max(2 * self.plan.sizes.longest_flight()) + self.granted() / 2 * 3;
        let (second, pair) = (self.now / 1_000_000, &mut self.pairs[p]);
        if pair.second != second {
            (pair.second, pair.empty) = (second, 0);
        }
        if seen.len == 0 {
            pair.empty += 1;
        } else {
            pair.empty = pair.empty.saturating_sub(3);
        }
        if pair.empty > most {
            self.fail(format!(
                "storm: {most} segments without payload in a second between {} and {}",
                seen.from, seen.to
            ));
        }
    }

    fn count_again(&mut self, p: usize, from: Ep, seen: &Seen) {
        let place = self.pairs[p].place(from);
        let is_rst = seen.control.contains(Control::RST);
        if seen.wnd == 0 && !is_rst {
            self.pairs[p].ways[1 - place].is_narrow = true;
        }
        let way = &mut self.pairs[p].ways[place];
        if seen.control.contains(Control::SYN) && way.isn != Some(seen.seq) {
            *way = Way { isn: Some(seen.seq), ..Way::default() };
        }
        if seen.len == 0 || is_rst {
            return;
        }
        let end = seen.seq + seen.len as u32;
        // A probe of a closed window is one byte. What is far off is an edge of another connection's numbers.
        let beyond = way.edge.map_or(0, |edge| end.0.wrapping_sub(edge.0));
        if (2..FAR).contains(&beyond) {
            return self.fail(format!("{from} sends {beyond} bytes beyond every window it was offered"));
        }
        way.sent += 1;
        way.again += u32::from(way.high.is_some_and(|high| seen.seq.lt(high)));
        if way.high.is_none_or(|high| end.gt(high)) {
            way.high = Some(end);
        }
        // Half of the longest flight is forgiven.
        let forgiven = self.plan.sizes.longest_flight() / 2;
        let is_wasteful = way.sent >= JUDGED && way.again > way.sent / AGAIN + forgiven && !way.is_narrow;
        let is_honest = self.pairs[p].ends.iter().all(|end| end.host() < self.hosts.len());
        if self.is_steady && is_wasteful && is_honest {
            self.fail(format!("{from} sends everything twice on a wire that loses nothing"));
        }
    }
}
