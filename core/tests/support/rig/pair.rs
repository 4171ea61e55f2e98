//! Two engines and the wire between them.

use std::net::IpAddr;
use std::time::Duration;

use super::{Engine, MOST_DEADLINES, Sent, us};
use crate::support::family::Family;
use crate::support::packet::segment::Raw;

/// Two engines and the wire between them.
pub(crate) struct Pair<'s> {
    pub(crate) family: Family,
    pub(crate) a: Engine<'s>,
    pub(crate) b: Engine<'s>,
    /// Where `a` lives; everything else goes to `b`.
    pub(crate) at_a: IpAddr,
    /// Every so manieth segment is lost; zero loses none.
    pub(crate) lose_each: usize,
    pub(crate) carried: usize,
    /// Flags of the segments that arrived, in order.
    pub(crate) log: Vec<(IpAddr, u8)>,
}

impl<'s> Pair<'s> {
    pub(crate) fn new(family: Family, a: Engine<'s>, b: Engine<'s>) -> Pair<'s> {
        Pair { family, a, b, at_a: us(family).ip(), lose_each: 0, carried: 0, log: Vec::new() }
    }

    /// Carries segments until both are silent.
    pub(crate) fn carry(&mut self) {
        let mut queue: std::collections::VecDeque<Sent> = self.a.sent.drain(..).chain(self.b.sent.drain(..)).collect();
        for _ in 0..100_000 {
            let Some(sent) = queue.pop_front() else {
                return;
            };
            self.carried += 1;
            if self.lose_each != 0 && self.carried.is_multiple_of(self.lose_each) {
                continue;
            }
            let to_a = sent.dst.ip() == self.at_a;
            self.log.push((sent.src.ip(), sent.flags));
            let to = if to_a { &mut self.a } else { &mut self.b };
            let _ = to.arrive(sent.src, sent.dst, &raw_of(&sent));
            queue.extend(to.sent.drain(..));
        }
        panic!("the two never fall silent");
    }

    /// Lets time pass for both, carrying what their timers send.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.a.now.max(self.b.now) + time;
        for _ in 0..MOST_DEADLINES {
            self.carry();
            let due = [self.a.deadline, self.b.deadline].into_iter().flatten().map(|(at, _)| at).min();
            let now = due.filter(|&at| at <= end).unwrap_or(end).max(self.a.now);
            for engine in [&mut self.a, &mut self.b] {
                engine.now = now;
                if engine.deadline.is_some_and(|(at, _)| at <= now) {
                    engine.tcp.handle_timeout(now);
                    engine.drain();
                }
            }
            if due.is_none_or(|at| at > end) {
                return;
            }
        }
        panic!("deadlines without end");
    }
}

/// The segment that `sent` was.
pub(crate) fn raw_of(sent: &Sent) -> Raw<'_> {
    let (seq, ack, flags, wnd) = (sent.seq, sent.ack, sent.flags | sent.ecn, sent.wnd as u16);
    Raw { seq, ack, flags, wnd, urgent: 0, options: &sent.options, text: &sent.text }
}
