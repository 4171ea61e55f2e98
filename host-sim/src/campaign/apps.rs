//! The applications of a world: what they write and read, and how they end.

use std::sync::LazyLock;

use tcp_reset_core::{CloseReason, ConnectionHandle, Error, Event, Seq, StreamOptions};

use super::addresses::{Ep, name};
use super::conn::{Conn, irs_of};
use super::due::Due;
use super::host::{Listening, SIZES};
use super::plan::{Act, App, Ending, SECOND, Sizes, What};
use super::world::{Phase, World};

/// The stream's bytes come from here; the length is odd, so that no multiple of a buffer looks like another.
const PATTERN: usize = 65_521;
static PATTERN_BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; PATTERN + 4_096];
    fastrand::Rng::with_seed(1).fill(&mut bytes[..PATTERN]);
    bytes.copy_within(..4_096, PATTERN);
    bytes
});
/// How long a polite application waits for its peer once the world is quiet.
const PATIENCE: u64 = 20 * SECOND;
/// The clock of the ISN goes on by one in this time.
const ISN_TICK_US: u64 = 4;

/// Where a stream's bytes begin in the pattern.
fn key(from: Ep, to: Ep, isn: Seq) -> usize {
    let n = u64::from(from.0) << 32 ^ u64::from(to.0) << 7 ^ u64::from(isn.0).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 20) as usize % PATTERN
}

fn bytes(key: usize, at: u64, len: usize) -> &'static [u8] {
    let start = (key + at as usize) % PATTERN;
    &PATTERN_BYTES[start..start + len.min(4_096)]
}

/// Returns when the clock of the ISN has passed all numbers of a connection and what may be in flight. A faster stream overtakes the clock
/// (RFC 9293 §3.4.1), and after an RST no TIME-WAIT keeps its segments out of the next connection between the same ports.
fn isn_clock_passes(conn: &Conn, sizes: Sizes) -> u64 {
    // The largest buffers of both ends, with SYN and FIN.
    let in_flight = 2 * u64::from(sizes.buffer) + 2;
    conn.opened_at + ISN_TICK_US * (conn.written.max(conn.read) + in_flight)
}

impl World<'_> {
    pub(super) fn ms(&self, h: usize) -> u64 {
        (self.now + self.hosts[h].ahead_us) / 1_000
    }

    /// What an application asks for.
    pub(super) fn call(&mut self, what: &What) {
        match *what {
            What::Listen { host, port, options, app, accept_every_us } => {
                let listening = Listening {
                    port,
                    options,
                    app,
                    accept_every_us,
                    awaits_accept: false,
                    handle: None,
                    changed_at: self.now,
                };
                let listeners = &mut self.hosts[host].listeners;
                let l = listeners.iter().position(|l| l.port == port).unwrap_or(listeners.len());
                if l == listeners.len() {
                    listeners.push(listening);
                }
                if self.hosts[host].listeners[l].handle.is_none() {
                    self.open_listener(host, l);
                }
            }
            What::Unlisten { host, port } => self.unlisten(host, port),
            What::AbortAll { host } => self.abort_all(host),
            What::Connect { id, from, to, family, local, port, options, app } => {
                self.connect(id, from, Ep::new(to, family, port), local, options, app);
            }
            What::Do { id, side, act } => self.act(id, side, act),
            What::Wire(_)
            | What::Silence { .. }
            | What::Reboot { .. }
            | What::Freeze { .. }
            | What::Jump { .. }
            | What::DeviceFull { .. }
            | What::DropOffers { .. }
            | What::LoseAddress { .. }
            | What::Forge { .. }
            | What::Flood { .. }
            | What::FloodFrom { .. } => {}
        }
    }

    pub(super) fn open_listener(&mut self, h: usize, l: usize) {
        let now = self.now;
        let listening = &mut self.hosts[h].listeners[l];
        listening.changed_at = now;
        listening.awaits_accept = true;
        let port = listening.port;
        let all = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port));
        self.fit_into_pool(h, l, all);
        let options = self.hosts[h].listeners[l].options;
        let opened = self.hosts[h].link.tcp().listen(all, options);
        self.note(|| format!("{} listens on {port}: {:?}", name(h), options));
        match opened {
            Ok(handle) => self.hosts[h].listeners[l].handle = Some(handle),
            Err(error) => self.fail(format!("listen: {error}")),
        }
    }

    /// A listener whose connections no empty pool could hold is refused; smaller buffers are taken.
    fn fit_into_pool(&mut self, h: usize, l: usize, all: std::net::SocketAddr) {
        let pool = SIZES[usize::from(self.hosts[h].plan.shape)].4;
        loop {
            let options = self.hosts[h].listeners[l].options;
            if options.stream.rx_buffer + options.stream.tx_buffer <= pool {
                return;
            }
            if self.hosts[h].link.tcp().listen(all, options) != Err(Error::NoBuffer) {
                return self.fail("a listener nobody can be served by is taken");
            }
            let stream = &mut self.hosts[h].listeners[l].options.stream;
            stream.rx_buffer = (stream.rx_buffer / 2).max(64);
            stream.tx_buffer = (stream.tx_buffer / 2).max(64);
        }
    }

    fn unlisten(&mut self, h: usize, port: u16) {
        if self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now {
            return;
        }
        let (at, now) = (self.now, self.hosts[h].now(self.now));
        let Some(listening) = self.hosts[h].listeners.iter_mut().find(|l| l.port == port) else { return };
        listening.changed_at = at;
        if let Some(handle) = listening.handle.take() {
            self.note(|| format!("{} closes its listener on {port}", name(h)));
            if let Err(error) = self.hosts[h].link.tcp().unlisten(now, handle) {
                self.fail(format!("unlisten: {error}"));
            }
        }
        self.drain(h);
    }

    fn abort_all(&mut self, h: usize) {
        if self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now {
            return;
        }
        self.note(|| format!("{} aborts all", name(h)));
        self.hosts[h].aborted_at = self.now;
        let now = self.hosts[h].now(self.now);
        for c in 0..self.conns.len() {
            if self.conns[c].host == h && self.conns[c].is_live() {
                self.refresh(c);
                self.owes_rst(c, "abort_all");
                self.conns[c].is_in_abort_all = true;
            }
        }
        self.hosts[h].link.tcp().abort_all(now);
        let at = self.now;
        for l in 0..self.hosts[h].listeners.len() {
            let listening = &mut self.hosts[h].listeners[l];
            listening.changed_at = at;
            listening.handle = None;
        }
        self.drain(h);
    }

    pub(super) fn connect(
        &mut self,
        id: u32,
        from: usize,
        to: Ep,
        local: u16,
        options: StreamOptions,
        app: App,
    ) -> Option<usize> {
        if self.hosts[from].down_until > self.now || self.hosts[from].frozen_until > self.now {
            return None;
        }
        let now = self.hosts[from].now(self.now);
        let opened = self.hosts[from].link.connect(now, local, to.addr(), options);
        self.note(|| format!("{} connects #{id} to {to}: {opened:?} {options:?}", name(from)));
        let handle = match opened {
            Ok(handle) => handle,
            Err(error @ (Error::NoBuffer | Error::NoSlot)) => {
                if error == Error::NoBuffer {
                    self.no_buffer(from, &options);
                }
                // Another may have been evicted.
                self.drain(from);
                return None;
            }
            Err(Error::AddressInUse | Error::NoPort) => return None,
            Err(error) => {
                self.fail(format!("connect: {error}"));
                return None;
            }
        };
        let c = self.hold(id, 0, from, handle, app, options);
        self.drain(from);
        c
    }

    /// The application that opened a connection wants it back.
    pub(super) fn connect_again(&mut self, c: usize) {
        let conn = &self.conns[c];
        if self.phase == Phase::Busy && !conn.is_forgotten {
            let (id, from, to, local) = (conn.id, conn.host, conn.remote, conn.local.port());
            let (options, app) = (conn.options, App { again: conn.app.again - 1, ..conn.app });
            self.connect(id, from, to, local, options, app);
        }
    }

    /// An application holds a connection from now on.
    fn hold(
        &mut self,
        id: u32,
        side: usize,
        h: usize,
        handle: ConnectionHandle,
        app: App,
        options: StreamOptions,
    ) -> Option<usize> {
        let status = match self.hosts[h].link.tcp_ref().status(handle) {
            Ok(status) => status,
            Err(error) => {
                self.fail(format!("a new connection's status: {error}"));
                return None;
            }
        };
        let (local, remote) = (Ep::of(status.local), Ep::of(status.remote));
        let pair = self.pair_made(local, remote);
        let irs = irs_of(&status);
        // The number of our SYN is known before it leaves; a record taken over from a listener has its own sent already.
        let place = self.pairs[pair].place(local);
        let iss =
            if side == 0 { status.snd_una } else { self.pairs[pair].ways[place].isn.unwrap_or(status.snd_una - 1) };
        let opened_ms = self.ms(h);
        self.conns.push(Conn {
            id,
            side,
            host: h,
            handle,
            local,
            remote,
            pair,
            app,
            options,
            iss,
            irs,
            opened_at: self.now,
            held_since: self.now,
            opened_ms,
            written: 0,
            read: 0,
            is_at_end: false,
            awaits_read: false,
            awaits_write: false,
            is_connected: side == 1,
            is_shut: false,
            is_aborted: false,
            is_in_abort_all: false,
            closed_ms: None,
            ended: None,
            ended_at: 0,
            is_forgotten: false,
            last: Some(status),
            moved_ms: opened_ms,
            rested_ms: opened_ms,
            byte_ms: opened_ms,
            bytes: status.readable as u64,
            drained_ms: opened_ms,
            changed_ms: opened_ms,
            is_synchronized: side == 1,
            has_large_flight: false,
            has_large_wrap: false,
        });
        let c = self.conns.len() - 1;
        if app.every_us > 0 {
            self.at(self.now + app.every_us, Due::App(c));
        }
        Some(c)
    }

    pub(super) fn accept(&mut self, h: usize, l: usize) {
        if self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now {
            return;
        }
        let now = self.hosts[h].now(self.now);
        loop {
            let Listening { handle, app, options, accept_every_us, .. } = &self.hosts[h].listeners[l];
            let (Some(listener), app, stream, every) = (*handle, *app, options.stream, *accept_every_us) else {
                return;
            };
            match self.hosts[h].link.tcp().accept(now, listener) {
                Ok(handle) => {
                    let Some(c) = self.hold(u32::MAX, 1, h, handle, app, stream) else { return };
                    if let Some(opener) = self.opener_of(c) {
                        let (id, at) = (self.conns[opener].id, self.conns[opener].opened_at);
                        self.conns[c].id = id;
                        // It exists since the handshake, whenever it was accepted.
                        self.conns[c].opened_ms -= (self.now - at) / 1_000;
                        self.conns[c].opened_at = at;
                        self.conns[c].byte_ms = self.conns[c].opened_ms;
                    }
                    self.note(|| format!("{} accepts", name(h)));
                    if self.phase == Phase::Closing {
                        self.app_leaves(c);
                    } else {
                        self.app_turn(c, false);
                    }
                    if every > 0 {
                        return self.at(self.now + every, Due::Accept(h, l));
                    }
                }
                Err(Error::WouldBlock) => {
                    self.hosts[h].listeners[l].awaits_accept = true;
                    return;
                }
                Err(error) => return self.fail(format!("accept: {error}")),
            }
        }
    }

    /// The connection at the other end that belongs to this one.
    pub(super) fn opener_of(&self, c: usize) -> Option<usize> {
        let conn = &self.conns[c];
        let is_it = |other: &Conn| {
            other.local == conn.remote
                && other.remote == conn.local
                && conn.irs == Some(other.iss)
                && (other.irs.is_none() || other.irs == Some(conn.iss))
        };
        self.conns.iter().rposition(is_it)
    }

    pub(super) fn index_of(&self, h: usize, handle: ConnectionHandle) -> Option<usize> {
        self.conns.iter().rposition(|c| c.host == h && c.handle == handle && !c.is_forgotten)
    }

    pub(super) fn connected(&mut self, h: usize, handle: ConnectionHandle) {
        let Some(c) = self.index_of(h, handle) else { return self.fail("news of an unknown connection") };
        if self.conns[c].is_connected {
            return self.fail("connected twice");
        }
        self.conns[c].is_connected = true;
        let irs = self.hosts[h].link.tcp_ref().status(handle).ok().and_then(|status| irs_of(&status));
        self.conns[c].irs = irs;
        self.note(|| format!("{}: connected", name(h)));
        self.conn_event(h, handle);
    }

    /// What a blocked application may try again.
    pub(super) fn note_told(&mut self, h: usize, event: &Event) {
        match *event {
            Event::Acceptable(handle) => {
                if let Some(listening) = self.hosts[h].listeners.iter_mut().find(|l| l.handle == Some(handle)) {
                    listening.awaits_accept = false;
                }
            }
            Event::Readable(handle) | Event::PeerFinished(handle) => {
                if let Some(c) = self.index_of(h, handle) {
                    self.conns[c].awaits_read = false;
                }
            }
            Event::Writable(handle) => {
                if let Some(c) = self.index_of(h, handle) {
                    self.conns[c].awaits_write = false;
                }
            }
            Event::Connected(_) | Event::Stalled(_) | Event::Closed(..) | Event::LostPeer(..) => {}
        }
    }

    pub(super) fn conn_event(&mut self, h: usize, handle: ConnectionHandle) {
        let Some(c) = self.index_of(h, handle) else { return self.fail("news of an unknown connection") };
        if self.conns[c].app.every_us == 0 || self.phase >= Phase::Closing {
            self.app_turn(c, false);
        }
    }

    /// One turn of an application: it reads, writes, and ends where it wants to.
    pub(super) fn app_turn(&mut self, c: usize, is_timed: bool) {
        let h = self.conns[c].host;
        let conn = &self.conns[c];
        if !conn.is_live() || conn.is_given_up() {
            return;
        }
        if is_timed && self.phase == Phase::Idle {
            return;
        }
        if is_timed && self.phase == Phase::Closing {
            self.conns[c].app.ending = Ending::Close;
        }
        let conn = &self.conns[c];
        if is_timed && conn.app.every_us > 0 {
            self.at(self.now + conn.app.every_us.max(1_000), Due::App(c));
        }
        if self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now {
            return;
        }
        self.app_reads(c);
        if self.phase != Phase::Idle {
            self.app_writes(c);
        }
        self.app_ends(c);
    }

    fn app_reads(&mut self, c: usize) {
        let h = self.conns[c].host;
        let now = self.hosts[h].now(self.now);
        let mut buf = [0; 4_096];
        loop {
            let conn = &self.conns[c];
            let (handle, want) = (conn.handle, usize::from(conn.app.read));
            if want == 0 || conn.is_at_end {
                return;
            }
            let got = self.hosts[h].link.tcp().recv(now, handle, &mut buf[..want.min(4_096)]);
            self.conns[c].awaits_read = got == Err(Error::WouldBlock);
            match got {
                Ok(0) => return self.at_end(c),
                Ok(n) => self.check_read(c, &buf[..n]),
                Err(Error::WouldBlock | Error::Closed(_)) => return,
                Err(error) => return self.fail(format!("recv: {error}")),
            }
            if self.conns[c].app.every_us > 0 && self.phase < Phase::Closing {
                return;
            }
        }
    }

    fn check_read(&mut self, c: usize, got: &[u8]) {
        let conn = &mut self.conns[c];
        let at = conn.read;
        conn.read += got.len() as u64;
        let Some(irs) = conn.irs else {
            return self.fail("bytes were read before the peer's SYN was seen");
        };
        if conn.remote.host() >= self.plan.hosts.len() {
            return;
        }
        let want = bytes(key(conn.remote, conn.local, irs), at, got.len());
        if got != want {
            let (local, remote) = (conn.local, conn.remote);
            return self.fail(format!("{local} read other bytes than {remote} wrote, at {at}"));
        }
        if let Some(peer) = self.opener_of(c)
            && self.conns[c].read > self.conns[peer].written
        {
            self.fail("more was read than was written");
        }
    }

    /// The end of the stream: everything was read.
    fn at_end(&mut self, c: usize) {
        self.conns[c].is_at_end = true;
        if let Some(peer) = self.opener_of(c) {
            let (written, read) = (self.conns[peer].written, self.conns[c].read);
            if written != read {
                self.fail(format!("the stream ended after {read} bytes of {written}"));
            } else if !self.conns[peer].is_shut && self.conns[peer].closed_ms.is_none() {
                self.fail("the stream ended although its writer has not finished");
            }
        }
    }

    fn app_writes(&mut self, c: usize) {
        let h = self.conns[c].host;
        let now = self.hosts[h].now(self.now);
        loop {
            let conn = &self.conns[c];
            let left = u64::from(conn.app.total).saturating_sub(conn.written);
            if left == 0 || conn.is_shut || self.phase == Phase::Closing {
                return;
            }
            let n = left.min(u64::from(conn.app.chunk)).min(4_096) as usize;
            let data = bytes(key(conn.local, conn.remote, conn.iss), conn.written, n);
            let handle = conn.handle;
            let taken = self.hosts[h].link.tcp().send(now, handle, data);
            self.conns[c].awaits_write = taken == Err(Error::WouldBlock);
            match taken {
                Ok(n) => self.conns[c].written += n as u64,
                Err(Error::WouldBlock | Error::Closed(_)) => return,
                Err(error) => return self.fail(format!("send: {error}")),
            }
            if self.conns[c].app.every_us > 0 {
                return;
            }
        }
    }

    fn app_ends(&mut self, c: usize) {
        let conn = &self.conns[c];
        let is_closing =
            self.phase == Phase::Closing || (self.phase == Phase::Fresh && conn.written >= u64::from(conn.app.total));
        let is_written = conn.written >= u64::from(conn.app.total) || self.phase >= Phase::Idle;
        if !(conn.is_connected || is_closing) || !is_written {
            return;
        }
        let is_done = is_closing || self.phase == Phase::Busy;
        match conn.app.ending {
            _ if !is_done => {}
            Ending::Shutdown => {
                if !conn.is_shut {
                    self.shut(c);
                }
                if self.conns[c].is_at_end {
                    self.close(c);
                }
            }
            Ending::Close => self.close(c),
            Ending::AfterPeer | Ending::Stay if is_closing => self.close(c),
            Ending::AfterPeer if conn.is_at_end => self.close(c),
            Ending::Abort => self.abort(c),
            Ending::AfterPeer | Ending::Stay => {}
        }
    }

    /// The world is quiet: the application lets go, politely or not.
    pub(super) fn app_leaves(&mut self, c: usize) {
        let app = &mut self.conns[c].app;
        app.every_us = 0;
        if app.ending == Ending::Abort {
            app.ending = Ending::Close;
        }
        self.app_turn(c, false);
        if self.conns[c].is_live() && !self.conns[c].is_given_up() {
            self.at(self.now + PATIENCE, Due::App(c));
        }
    }

    fn act(&mut self, id: u32, side: usize, act: Act) {
        let Some(c) = self.conns.iter().rposition(|c| c.id == id && c.side == side && c.is_live()) else { return };
        let h = self.conns[c].host;
        let is_asleep = self.hosts[h].down_until > self.now || self.hosts[h].frozen_until > self.now;
        if self.conns[c].is_given_up() || is_asleep {
            return;
        }
        self.note(|| format!("{}: {act:?} #{id}", name(h)));
        match act {
            Act::Shutdown => self.shut(c),
            Act::Close => self.close(c),
            Act::Abort => self.abort(c),
            Act::StopReading => self.conns[c].app.read = 0,
            Act::ReadAll => {
                self.conns[c].app.read = 4_096;
                self.app_reads(c);
            }
            Act::Limits(limits) => self.change_limits(c, limits),
            Act::Write(more) => {
                self.conns[c].app.total += more;
                self.app_writes(c);
            }
        }
        self.drain(h);
    }

    fn shut(&mut self, c: usize) {
        let (h, handle) = (self.conns[c].host, self.conns[c].handle);
        let now = self.hosts[h].now(self.now);
        match self.hosts[h].link.tcp().shutdown(now, handle) {
            Ok(()) => self.conns[c].is_shut = true,
            Err(Error::NotConnected | Error::Closed(_)) => {}
            Err(error) => self.fail(format!("shutdown: {error}")),
        }
    }

    fn close(&mut self, c: usize) {
        self.refresh(c);
        let (h, handle) = (self.conns[c].host, self.conns[c].handle);
        if self.conns[c].last.is_some_and(|status| status.readable > 0) {
            self.owes_rst(c, "closed with unread data");
        }
        let (now, ms) = (self.hosts[h].now(self.now), self.ms(h));
        self.conns[c].closed_ms = Some(ms);
        if let Err(error) = self.hosts[h].link.tcp().close(now, handle) {
            self.fail(format!("close: {error}"));
        }
    }

    fn abort(&mut self, c: usize) {
        self.refresh(c);
        let (h, handle) = (self.conns[c].host, self.conns[c].handle);
        self.owes_rst(c, "aborted");
        let now = self.hosts[h].now(self.now);
        self.conns[c].is_aborted = true;
        if let Err(error) = self.hosts[h].link.tcp().abort(now, handle) {
            self.fail(format!("abort: {error}"));
        }
    }

    /// Notes how the engine has it.
    pub(super) fn refresh(&mut self, c: usize) {
        let conn = &self.conns[c];
        let status = self.hosts[conn.host].link.tcp_ref().status(conn.handle).ok();
        let ms = self.ms(conn.host);
        let conn = &mut self.conns[c];
        if let (Some(before), Some(after)) = (&conn.last, &status)
            && before.snd_una != after.snd_una
        {
            conn.moved_ms = ms;
        }
        if conn.last.is_some_and(|before| before.snd_una == before.snd_nxt || before.snd_wnd == 0) {
            conn.rested_ms = ms;
        }
        if let Some(status) = status {
            let bytes =
                (conn.written + conn.read + status.readable as u64).saturating_sub(status.unacknowledged as u64);
            let is_open = status.state.is_synchronized();
            if bytes > conn.bytes || is_open && !conn.is_synchronized {
                conn.byte_ms = ms;
            }
            conn.bytes = conn.bytes.max(bytes);
            conn.is_synchronized |= is_open;
            if status.unacknowledged == 0 || conn.last.is_some_and(|before| before.unacknowledged == 0) {
                conn.drained_ms = ms;
            }
        }
        if let Some(status) = &status {
            conn.note_flight(status);
        }
        conn.last = status.or(conn.last);
    }

    pub(super) fn forget_connections(&mut self, h: usize) {
        for conn in self.conns.iter_mut().filter(|c| c.host == h) {
            conn.is_forgotten = true;
        }
    }

    pub(super) fn closed(&mut self, h: usize, handle: ConnectionHandle, reason: CloseReason) {
        let Some(c) = self.index_of(h, handle) else { return self.fail("the end of an unknown connection") };
        if self.conns[c].ended.is_some() {
            return self.fail("a connection ended twice");
        }
        self.note(|| format!("{}: closed, {reason}", name(h)));
        // What arrived in order before the end is still there.
        if !self.conns[c].is_given_up() {
            self.app_reads(c);
        }
        self.check_end(c, reason);
        let conn = &self.conns[c];
        if conn.side == 0 && conn.app.again > 0 {
            let passed = if reason.is_orderly() { 0 } else { isn_clock_passes(conn, self.plan.sizes) };
            self.at((self.now + conn.app.again_us).max(passed), Due::Again(c));
        }
        let now = self.hosts[h].now(self.now);
        self.conns[c].ended = Some(reason);
        self.conns[c].ended_at = self.now;
        if !self.conns[c].is_given_up()
            && let Err(error) = self.hosts[h].link.tcp().close(now, handle)
        {
            self.fail(format!("close after the end: {error}"));
        }
    }
}
