//! The language of the tests: what the application and the peer do, and what must leave. Nothing may leave that no step expects: each step but an
//! expectation first asserts that all of it was expected.

use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use tcp_reset_core::{ListenOptions, State, StreamOptions};

use crate::support::family::over_each;
use crate::support::packet::segment::{Seg, mss_option, offered_kinds, options_of, sack_option};
use crate::support::rig::{Engine, LargeStore, PEER_ISN, Raw, Rig, Sent, reno, stream};
use crate::support::table::{ACK, FIN, PSH, SYN};

/// What the peer's SYN announces.
pub(crate) const MSS: u32 = 1_000;
/// What the peer offers unless a script says otherwise: 257 in units of 128, as most scripts have it, is more than any of them sends.
pub(crate) const WINDOW: u16 = 32_896;

/// Who opens, whether the peer knows SACK, and our settings.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    pub(crate) is_active: bool,
    pub(crate) is_sack_permitted: bool,
    pub(crate) round_trip_ms: u64,
    pub(crate) nagle: bool,
    pub(crate) rx_buffer: usize,
}

/// A peer without SACK opens; a round trip is 100 ms.
pub(crate) const PLAIN: Opening =
    Opening { is_active: false, is_sack_permitted: false, round_trip_ms: 100, nagle: true, rx_buffer: 32_768 };

/// The same with SACK, where this build has it.
pub(crate) const SACK: Opening = Opening { is_sack_permitted: true, ..PLAIN };

/// Plays a script over each family; whatever has left at its end must have been expected.
pub(crate) fn play(opening: Opening, script: impl Fn(&mut Script<'_>)) {
    over_each(|family| {
        let mut store = Box::new(LargeStore::new());
        let rig = Rig::new(Engine::new(&mut *store, reno()), family, PEER_ISN);
        let mut s = Script::open(rig, opening);
        script(&mut s);
        s.nothing_leaves();
    });
}

/// One connection and what has left on it.
pub(crate) struct Script<'s> {
    rig: Rig<'s>,
    iss: u32,
    /// The window that the peer offers from now on.
    pub(crate) window: u16,
    /// The next number of the peer, and of the application.
    peer_next: u32,
    next: u32,
    /// The last number that left, and one.
    sent_end: u32,
    /// What has left and was not expected yet.
    left: VecDeque<Sent>,
}

impl<'s> Script<'s> {
    fn open(rig: Rig<'s>, opening: Opening) -> Script<'s> {
        let (left, window) = (VecDeque::new(), WINDOW);
        let mut s = Script { rig, iss: 0, window, peer_next: 1, next: 1, sent_end: 1, left };
        if opening.is_active {
            s.connect(opening);
        } else {
            s.accept(opening);
        }
        assert_eq!(s.rig.state(), State::Established);
        s
    }

    fn accept(&mut self, opening: Opening) {
        self.rig.listen(ListenOptions { stream: stream_options(opening), ..ListenOptions::default() });
        self.peer_syn(opening, SYN, 0);
        let syn_ack = self.left.pop_front().unwrap();
        assert_eq!((syn_ack.flags, syn_ack.ack), (SYN | ACK, PEER_ISN.wrapping_add(1)));
        let sack_permitted: &[u8] =
            if opening.is_sack_permitted && cfg!(feature = "sack") { &[1, 1, 4, 2] } else { &[] };
        assert_eq!(&syn_ack.options[4..], sack_permitted, "SACK is accepted where it is offered");
        self.iss = syn_ack.seq;
        self.after(opening.round_trip_ms);
        self.acks(1);
        self.rig.accept();
        self.collect();
    }

    fn connect(&mut self, opening: Opening) {
        self.rig.dial_with(stream_options(opening));
        self.collect();
        let syn = self.left.pop_front().unwrap();
        let kinds: Vec<u8> = options_of(&syn.options).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!((syn.flags, kinds), (SYN, [vec![2], offered_kinds()].concat()));
        self.iss = syn.seq;
        self.after(opening.round_trip_ms);
        self.peer_syn(opening, SYN | ACK, 1);
        self.expect_ack(1, &[]);
    }

    fn peer_syn(&mut self, opening: Opening, flags: u8, ack: u32) {
        let mut options = mss_option(MSS as u16);
        if opening.is_sack_permitted {
            options.extend([1, 1, 4, 2]);
        }
        self.arrives(0, flags, ack, &options, &[]);
    }

    // What happens

    /// Time passes, and nothing leaves.
    pub(crate) fn after(&mut self, ms: u64) {
        self.nothing_leaves();
        self.rig.engine.wait(Duration::from_millis(ms));
        self.collect();
        self.nothing_leaves();
    }

    /// The application queues so many bytes.
    pub(crate) fn writes(&mut self, len: u32) {
        self.nothing_leaves();
        let bytes = stream(self.next, len);
        let taken = self.rig.engine.tcp.send(self.rig.engine.now, self.rig.handle.unwrap(), &bytes);
        assert_eq!(taken, Ok(bytes.len()));
        self.next += len;
        self.rig.engine.drain();
        self.collect();
    }

    /// The application reads all there is, and asks for more.
    pub(crate) fn reads(&mut self, bytes: Range<u32>) {
        self.nothing_leaves();
        let (now, handle) = (self.rig.engine.now, self.rig.handle.unwrap());
        let mut buf = [0; 65_536];
        let count = self.rig.engine.tcp.recv(now, handle, &mut buf).unwrap();
        assert_eq!(&buf[..count], stream(bytes.start, bytes.end - bytes.start));
        let _ = self.rig.engine.tcp.recv(now, handle, &mut buf);
        self.rig.engine.drain();
        self.collect();
    }

    /// The application closes the sending direction.
    pub(crate) fn closes(&mut self) {
        self.nothing_leaves();
        self.rig.shutdown();
        self.collect();
    }

    /// The peer acknowledges all before `ack`.
    pub(crate) fn acks(&mut self, ack: u32) {
        self.acks_and_has(ack, &[]);
    }

    /// The same, and it tells of these runs beyond.
    pub(crate) fn acks_and_has(&mut self, ack: u32, blocks: &[Range<u32>]) {
        let blocks: Vec<_> = blocks.iter().map(|block| (block.start, block.end)).collect();
        self.arrives(self.peer_next, ACK, ack, &sack_option(self.iss, &blocks), &[]);
    }

    /// The peer sends these bytes, pushed, and acknowledges all before `ack`.
    pub(crate) fn sends(&mut self, bytes: Range<u32>, ack: u32) {
        let text = stream(bytes.start, bytes.end - bytes.start);
        self.peer_next = self.peer_next.max(bytes.end);
        self.arrives(bytes.start, ACK | PSH, ack, &[], &text);
    }

    /// The peer sends bytes beyond a gap, or once more: they are no part of what is acknowledged by [`Script::expect`].
    pub(crate) fn sends_early(&mut self, bytes: Range<u32>) {
        let next = self.peer_next;
        self.sends(bytes, self.sent_end);
        self.peer_next = next;
    }

    /// The peer sends its FIN, and acknowledges all before `ack`.
    pub(crate) fn finishes(&mut self, ack: u32) {
        self.arrives(self.peer_next, ACK | FIN, ack, &[], &[]);
    }

    // What must leave

    /// These bytes leave, in whole segments but for the last, and with them the acknowledgment of all that the peer sent. What is sent for the first time
    /// is pushed where nothing is queued behind it.
    pub(crate) fn expect(&mut self, bytes: Range<u32>) {
        let mut at = bytes.start;
        while at < bytes.end {
            let end = bytes.end.min(at + MSS);
            let segment = self.leaves_next(&(at..end));
            self.assert_text(&segment, at..end);
            at = end;
        }
    }

    /// Time passes, so many milliseconds, and then these bytes leave, in one segment. Returns how many it were.
    pub(crate) fn expect_at(&mut self, ms: RangeInclusive<u64>, bytes: Range<u32>) -> u64 {
        self.nothing_leaves();
        let begin = self.rig.engine.now;
        let end = begin + Duration::from_millis(*ms.end());
        while self.left.is_empty() && self.rig.engine.deadline.is_some_and(|(at, _)| at <= end) {
            let _ = self.rig.engine.next_deadline();
            self.collect();
        }
        let segment = self.leaves_next(&bytes);
        self.assert_text(&segment, bytes);
        let elapsed = self.rig.engine.now.duration_since(begin).as_millis() as u64;
        assert!(ms.contains(&elapsed), "it left after {elapsed} ms");
        elapsed
    }

    /// An acknowledgment without payload leaves, with these blocks: the first of them first, the others in any order (RFC 2018 §4).
    pub(crate) fn expect_ack(&mut self, ack: u32, blocks: &[Range<u32>]) {
        let segment = self.leaves_next(&(self.sent_end..self.sent_end));
        let number = |n: u32| n.wrapping_sub(PEER_ISN);
        let (flags, len) = (segment.flags & !PSH, segment.text.len());
        assert_eq!((number(segment.ack), flags, len), (ack, ACK, 0));
        assert_eq!(self.number(segment.seq), self.sent_end);
        let read = Seg { options: segment.options, ..Seg::default() }.sack();
        let told: Vec<_> = read.into_iter().map(|(start, end)| number(start)..number(end)).collect();
        assert_eq!((told.first(), told.len()), (blocks.first(), blocks.len()), "{told:?}");
        assert!(blocks.iter().all(|block| told.contains(block)), "{told:?}");
    }

    /// The same, and it offers this window.
    pub(crate) fn expect_ack_with_window(&mut self, ack: u32, window: u32) {
        let offered = self.left.front().map(|segment| segment.wnd);
        self.expect_ack(ack, &[]);
        assert_eq!(offered, Some(window));
    }

    /// Our FIN leaves.
    pub(crate) fn expect_fin(&mut self) {
        let segment = self.leaves_next(&(self.next..self.next));
        assert_eq!((self.number(segment.seq), segment.flags & !PSH, segment.text.len()), (self.next, FIN | ACK, 0));
        self.next += 1;
        self.sent_end = self.next;
    }

    /// All that has left was expected.
    pub(crate) fn nothing_leaves(&self) {
        let unexpected: Vec<_> = self.left.iter().map(|segment| self.range(segment)).collect();
        assert!(unexpected.is_empty(), "nobody expects {unexpected:?}");
    }

    /// Both sides finish, the peer second, all of ours acknowledged before.
    pub(crate) fn ends(&mut self) {
        self.closes();
        self.expect_fin();
        self.after(100);
        self.finishes(self.next);
        self.expect_ack(self.peer_next + 1, &[]);
        assert_eq!(self.rig.state(), State::TimeWait);
    }

    /// How many bytes the congestion window admits.
    pub(crate) fn congestion_window(&self) -> u32 {
        self.rig.status().unwrap().congestion_window
    }

    fn arrives(&mut self, seq: u32, flags: u8, ack: u32, options: &[u8], text: &[u8]) {
        self.nothing_leaves();
        let seq = PEER_ISN.wrapping_add(seq);
        let ack = if flags & ACK != 0 { self.iss.wrapping_add(ack) } else { 0 };
        let raw = Raw { seq, ack, flags, wnd: self.window, options, text, ..Raw::default() };
        let _ = self.rig.engine.arrive(self.rig.peer, self.rig.us, &raw);
        self.collect();
    }

    fn collect(&mut self) {
        self.left.extend(self.rig.engine.sent.drain(..));
    }

    fn leaves_next(&mut self, expected: &Range<u32>) -> Sent {
        self.left.pop_front().unwrap_or_else(|| panic!("{expected:?} does not leave"))
    }

    fn assert_text(&mut self, segment: &Sent, bytes: Range<u32>) {
        assert_eq!(self.range(segment), bytes);
        assert_eq!(segment.text, stream(bytes.start, bytes.end - bytes.start), "the payload of {bytes:?}");
        assert_eq!(segment.ack.wrapping_sub(PEER_ISN), self.peer_next, "the acknowledgment with {bytes:?}");
        assert_eq!(segment.flags & !PSH, ACK);
        let is_new = bytes.start >= self.sent_end;
        assert!(!is_new || (segment.flags & PSH != 0) == (bytes.end == self.next), "PSH of {bytes:?}");
        self.sent_end = self.sent_end.max(bytes.end);
    }

    fn number(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.iss)
    }

    fn range(&self, segment: &Sent) -> Range<u32> {
        let start = self.number(segment.seq);
        start..start + segment.text.len() as u32
    }
}

fn stream_options(opening: Opening) -> StreamOptions {
    StreamOptions { rx_buffer: opening.rx_buffer, tx_buffer: 32_768, nagle: opening.nagle, ..StreamOptions::default() }
}
