//! An engine and what came out of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tcp_reset_core::{
    Arrival, ChecksumBy, Config, Event, Instant, LinkAddr, Output, ResetReason, SecretKey, Storage, Tcp, Timer,
    Transmit, Verdict,
};

use super::{MOST_DEADLINES, MOST_OUTPUTS, START, key};
use crate::support::packet::segment::Raw;
use crate::support::packet::{segment, tcp_checksum, u16_at};
use crate::support::table::{FIN, RST, SYN};

/// A segment that the engine sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sent {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    /// ECE and CWR.
    pub(crate) ecn: u8,
    /// The packet says ECT(0).
    pub(crate) is_capable: bool,
    pub(crate) wnd: u32,
    pub(crate) options: Vec<u8>,
    pub(crate) text: Vec<u8>,
    pub(crate) reason: Option<ResetReason>,
    pub(crate) checksum: u16,
}

impl Sent {
    /// The sequence number after the segment.
    pub(crate) fn end(&self) -> u32 {
        let controls = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.seq.wrapping_add(self.text.len() as u32).wrapping_add(controls)
    }

    fn read(src: SocketAddr, dst: SocketAddr, reason: Option<ResetReason>, is_capable: bool, bytes: &[u8]) -> Sent {
        let segment::Seg { sport, dport, seq, ack, flags, ecn, wnd, urgent: _, options, text } =
            segment::Seg::parse(bytes);
        assert_eq!((sport, dport), (src.port(), dst.port()), "ports in the header");
        // RFC 3168 §6.1.1, §6.1.4.
        assert!(!is_capable || !text.is_empty() && flags & (SYN | RST) == 0, "ECT on what must not be marked");
        let (wnd, checksum) = (wnd.into(), u16_at(bytes, 16));
        Sent { src, dst, seq, ack, flags, ecn, is_capable, wnd, options, text, reason, checksum }
    }
}

fn is_ecn_capable(transmit: &Transmit<'_, '_>) -> bool {
    #[cfg(feature = "ecn")]
    let is_capable = transmit.is_ecn_capable();
    #[cfg(not(feature = "ecn"))]
    let (is_capable, _) = (false, transmit);
    is_capable
}

/// An engine and what came out of it.
pub(crate) struct Engine<'s> {
    pub(crate) tcp: Tcp<'s>,
    pub(crate) now: Instant,
    software: bool,
    /// What the last call sent.
    pub(crate) sent: Vec<Sent>,
    /// Everything the application was told.
    pub(crate) events: Vec<Event>,
    pub(crate) deadline: Option<(Instant, Timer)>,
    /// Whether the engine is audited after each call.
    pub(crate) is_audited: bool,
    /// Whether the packets of the segments that arrive are marked: Congestion Experienced.
    pub(crate) is_marked: bool,
    /// Where the engine writes; as long as the longest segment so far.
    buffer: Vec<u8>,
}

impl<'s> Engine<'s> {
    pub(crate) fn new<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        store: &'s mut Storage<C, L, H, T, P>,
        config: Config,
    ) -> Engine<'s> {
        Engine::with(store, config, key(0x5a), START)
    }

    pub(crate) fn with<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        store: &'s mut Storage<C, L, H, T, P>,
        config: Config,
        key: SecretKey,
        now: Instant,
    ) -> Engine<'s> {
        let software = config.checksum.is_none_or(|by| by == ChecksumBy::Software);
        let tcp = Tcp::new(store, config, key).unwrap();
        Engine {
            tcp,
            now,
            software,
            sent: Vec::new(),
            events: Vec::new(),
            deadline: None,
            is_audited: true,
            is_marked: false,
            buffer: Vec::new(),
        }
    }

    /// Delivers a segment and collects what follows.
    pub(crate) fn arrive(&mut self, src: SocketAddr, dst: SocketAddr, raw: &Raw<'_>) -> Verdict {
        self.arrive_bytes(src.ip(), dst.ip(), &raw.octets(src, dst, self.software))
    }

    /// Delivers bytes as they are and collects what follows.
    pub(crate) fn arrive_bytes(&mut self, src: IpAddr, dst: IpAddr, bytes: &[u8]) -> Verdict {
        let arrival = Arrival { src, dst, link_addr: LinkAddr::default() };
        #[cfg(feature = "ecn")]
        if self.is_marked {
            let verdict = self.tcp.handle_marked_segment(self.now, &arrival, bytes);
            self.drain();
            return verdict;
        }
        let verdict = self.tcp.handle_segment(self.now, &arrival, bytes);
        self.drain();
        verdict
    }

    /// Collects all output; what was sent before is forgotten.
    pub(crate) fn drain(&mut self) {
        self.sent.clear();
        self.drain_more();
    }

    fn drain_more(&mut self) {
        for _ in 0..MOST_OUTPUTS {
            match self.tcp.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    let buffer = &mut self.buffer;
                    let (len, src, dst) = (transmit.len(), transmit.local(), transmit.remote());
                    let (reason, is_capable) = (transmit.reset_reason(), is_ecn_capable(&transmit));
                    if buffer.len() < len {
                        buffer.resize(len, 0);
                    }
                    let written = transmit.emit(buffer).unwrap();
                    assert_eq!(written, len, "announced and written length");
                    let sent = Sent::read(src, dst, reason, is_capable, &buffer[..written]);
                    if self.software {
                        let sum = tcp_checksum(src.ip(), dst.ip(), &buffer[..written]);
                        assert_eq!(sum, 0, "checksum of {sent:?}");
                    }
                    self.sent.push(sent);
                }
                Output::Event(event) => self.events.push(event),
                Output::Timeout(deadline) => {
                    self.deadline = deadline;
                    if self.is_audited {
                        assert_eq!(self.tcp.audit(), Ok(()));
                    }
                    return;
                }
            }
        }
        panic!("output without end");
    }

    /// Lets time pass, serving every deadline on the way.
    pub(crate) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        self.sent.clear();
        for _ in 0..MOST_DEADLINES {
            let due = self.deadline.map(|(at, _)| at).filter(|&at| at <= end);
            let Some(at) = due else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.tcp.handle_timeout(self.now);
            self.drain_more();
        }
        panic!("deadlines without end");
    }

    /// Serves the next deadline and says which it was.
    pub(crate) fn next_deadline(&mut self) -> Timer {
        let (at, timer) = self.deadline.expect("a deadline is pending");
        self.now = self.now.max(at);
        self.sent.clear();
        self.tcp.handle_timeout(self.now);
        self.drain_more();
        timer
    }

    /// Returns the only segment that the last call sent.
    pub(crate) fn only(&self) -> &Sent {
        assert_eq!(self.sent.len(), 1, "segments sent: {:?}", self.sent);
        &self.sent[0]
    }
}
