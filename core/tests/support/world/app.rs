//! What an application does with its one connection, on events alone.

use tcp_reset_core::{CloseReason, ConnectionHandle, Error, Event, Instant, ListenerHandle, StreamOptions, Tcp};

use super::random::{Rng, stream_bytes};

/// What an application wants to do with its one connection.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) connects: bool,
    pub(crate) listens: bool,
    /// Bytes to send before the sending direction is shut down.
    pub(crate) total: usize,
    /// The most bytes of one write and of one read.
    pub(crate) write_chunk: usize,
    pub(crate) read_chunk: usize,
    /// How likely it pauses after a read or write, in percent, and for how long at most.
    pub(crate) read_pause: u64,
    pub(crate) write_pause: u64,
    pub(crate) pause_us: u64,
    /// Reads nothing before this time.
    pub(crate) reads_from: u64,
    /// Shuts its direction down when everything is queued; otherwise it waits for the peer's end of stream first.
    pub(crate) shuts_first: bool,
    /// Never shuts down by itself.
    pub(crate) stays: bool,
    /// Returns the handle up as soon as both directions are done for it, not when the end is told.
    pub(crate) closes_early: bool,
    pub(crate) stream: StreamOptions,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            connects: false,
            listens: false,
            total: 0,
            write_chunk: 4_096,
            read_chunk: 4_096,
            read_pause: 0,
            write_pause: 0,
            pause_us: 0,
            reads_from: 0,
            shuts_first: true,
            stays: false,
            closes_early: false,
            stream: StreamOptions::default(),
        }
    }
}

pub(crate) struct App {
    pub(crate) plan: Plan,
    out_stream: u64,
    pub(crate) in_stream: u64,
    pub(crate) handle: Option<ConnectionHandle>,
    pub(crate) listener: Option<ListenerHandle>,
    pub(crate) sent: usize,
    pub(crate) received: usize,
    pub(crate) reads_from: u64,
    pub(crate) writes_from: u64,
    pub(crate) is_connected: bool,
    pub(crate) is_shut: bool,
    /// The peer's stream was read to its end.
    pub(crate) is_at_end: bool,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) has_given_up: bool,
}

impl App {
    pub(crate) fn new(plan: Plan, out_stream: u64, in_stream: u64) -> App {
        App {
            reads_from: plan.reads_from,
            plan,
            out_stream,
            in_stream,
            handle: None,
            listener: None,
            sent: 0,
            received: 0,
            writes_from: 0,
            is_connected: false,
            is_shut: false,
            is_at_end: false,
            closed: None,
            has_given_up: false,
        }
    }

    pub(crate) fn told(&mut self, event: Event) {
        let about = match event {
            Event::Acceptable(listener) => {
                assert_eq!(Some(listener), self.listener);
                return;
            }
            Event::Connected(h)
            | Event::Readable(h)
            | Event::Writable(h)
            | Event::PeerFinished(h)
            | Event::Stalled(h)
            | Event::Closed(h, _) => h,
            Event::LostPeer(..) => panic!("no journal is kept"),
        };
        assert_eq!(Some(about), self.handle, "an event for nobody: {event:?}");
        if let Event::Closed(_, reason) = event {
            assert_eq!(self.closed, None, "told twice of the end");
            self.closed = Some(reason);
        } else {
            assert!(!self.has_given_up, "{event:?} after the handle was given up");
        }
        self.is_connected |= matches!(event, Event::Connected(_));
    }

    /// Does all that can be done now.
    pub(crate) fn act(&mut self, tcp: &mut Tcp<'_>, now: u64, rng: &mut Rng) {
        let at = Instant::from_micros(now);
        if self.handle.is_none()
            && let Some(listener) = self.listener
        {
            match tcp.accept(at, listener) {
                Ok(handle) => self.handle = Some(handle),
                Err(error) => assert_eq!(error, Error::WouldBlock),
            }
        }
        let Some(handle) = self.handle.filter(|_| !self.has_given_up) else {
            return;
        };
        let is_drained = self.read(tcp, handle, now, rng);
        self.write(tcp, handle, now, rng);
        let is_all_queued = self.sent == self.plan.total && !self.plan.stays;
        if is_all_queued && !self.is_shut && (self.plan.shuts_first || self.is_at_end) {
            match tcp.shutdown(at, handle) {
                Ok(()) => self.is_shut = true,
                Err(error) => {
                    assert!(matches!(error, Error::NotConnected | Error::Closed(_)));
                }
            }
        }
        let is_done_early = self.plan.closes_early && self.is_shut && self.is_at_end;
        if is_done_early || self.closed.is_some() && is_drained {
            tcp.close(at, handle).unwrap();
            self.has_given_up = true;
        }
    }

    /// Returns whether nothing is left to read and nothing will come.
    pub(crate) fn read(&mut self, tcp: &mut Tcp<'_>, handle: ConnectionHandle, now: u64, rng: &mut Rng) -> bool {
        while now >= self.reads_from {
            let mut buf = vec![0; 1 + rng.below(self.plan.read_chunk as u64) as usize];
            match tcp.recv(Instant::from_micros(now), handle, &mut buf) {
                Ok(0) => {
                    self.is_at_end = true;
                    return true;
                }
                Ok(n) => {
                    assert_eq!(
                        buf[..n],
                        stream_bytes(self.in_stream, self.received, n),
                        "bytes from {}",
                        self.received
                    );
                    self.received += n;
                    if rng.percent(self.plan.read_pause) {
                        self.reads_from = now + 1 + rng.below(self.plan.pause_us);
                    }
                }
                Err(Error::WouldBlock) => return false,
                Err(error) => {
                    assert!(matches!(error, Error::Closed(_)), "{error:?}");
                    return true;
                }
            }
        }
        false
    }

    pub(crate) fn write(&mut self, tcp: &mut Tcp<'_>, handle: ConnectionHandle, now: u64, rng: &mut Rng) {
        while self.sent < self.plan.total && now >= self.writes_from {
            let chunk = 1 + rng.below(self.plan.write_chunk as u64) as usize;
            let chunk = chunk.min(self.plan.total - self.sent);
            let bytes = stream_bytes(self.out_stream, self.sent, chunk);
            match tcp.send(Instant::from_micros(now), handle, &bytes) {
                Ok(n) => self.sent += n,
                Err(error) => {
                    assert!(matches!(error, Error::WouldBlock | Error::Closed(_)));
                    return;
                }
            }
            if rng.percent(self.plan.write_pause) {
                self.writes_from = now + 1 + rng.below(self.plan.pause_us);
            }
        }
    }

    /// When it wants to act without being told anything.
    pub(crate) fn wakes_at(&self, now: u64) -> Option<u64> {
        let is_idle = self.has_given_up || self.handle.is_none();
        [self.reads_from, self.writes_from].into_iter().filter(|&at| at > now && !is_idle).min()
    }
}
