//! What an application asks for (RFC 9293 §3.9.1, §3.10.1 to §3.10.6). Poll for output after each call that takes `now`.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::num::NonZeroU8;
use core::time::Duration;

#[cfg(feature = "keepalive")]
use crate::config::KeepAlive;
use crate::config::{ListenOptions, StreamOptions};
use crate::connection::flags::{Due, Marks};
use crate::connection::settings::{Listen, Stream};
use crate::connection::slot::{Accepting, Connection, Events, Owner};
use crate::connection::timers::Timers;
use crate::connection::{limits, receive, send};
use crate::counters::{Counters, ResetRecord};
use crate::engine::event::{ConnectionHandle, ListenerHandle, RecordStatus, Status};
use crate::engine::handshakes::apply_options;
use crate::engine::tcp::Tcp;
use crate::error::Error;
use crate::id::{Id, ListenerId};
use crate::rules::reset;
use crate::rules::stamps::Recent;
use crate::rules::tcb::{Flags, Tcb};
use crate::rules::verdict::{CloseReason, State, Timer};
use crate::size::Size;
use crate::tables::time_wait::TimeWait;
use crate::time::{Instant, Millis};
use crate::wire::addr::{Addr, LinkAddr, Tuple, endpoints, is_pair_answerable};
use crate::wire::seq::Seq;

impl Tcp<'_> {
    /// Listens on `local` (§3.10.1, passive OPEN). Its address may be unspecified: `0.0.0.0` is every IPv4 address of ours, `::` every
    /// address of every family this build speaks. Where several listen on a port, the one that names the address takes the SYN, then that of IPv4, then
    /// that of all.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::InvalidBufferSize`], [`Error::InvalidSetting`], [`Error::NoBuffer`] where the whole pool is shorter than
    /// the buffers of one connection, [`Error::AddressInUse`], [`Error::NoListener`].
    pub fn listen(&mut self, local: SocketAddr, options: ListenOptions) -> Result<ListenerHandle, Error> {
        let is_all = local.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let addr = if is_all { Addr::ZERO } else { self.addr_of(local)? };
        if local.port() == 0 || !(addr == addr.unspecified() || addr.is_one_host()) {
            return Err(Error::InvalidAddress);
        }
        let options = Listen::new(&options)?;
        // Nobody could ever be served.
        if !self.pool.could_hold(options.stream.rx_buffer(), options.stream.tx_buffer()) {
            return Err(Error::NoBuffer);
        }
        if self.listeners.has(addr, local.port()) {
            return Err(Error::AddressInUse);
        }
        let l = self.listeners.open(addr, local.port(), options).ok_or(Error::NoListener)?;
        Ok(self.listener_handle(l))
    }

    /// Closes a listener. Connections it has completed and nobody accepted are reset, and so are handshakes in progress. Accepted
    /// connections go on.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn unlisten(&mut self, now: Instant, handle: ListenerHandle) -> Result<(), Error> {
        self.catch_up(now);
        let l = self.listener(handle)?;
        self.close_listener(l);
        Ok(())
    }

    fn close_listener(&mut self, l: ListenerId) {
        while let Some(i) = self.listeners[l].first() {
            self.abort_slot(i);
        }
        self.reset_half_open_of(l);
        self.listeners.close(l);
    }

    /// Hands over the oldest completed connection.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if there is none, [`Error::StaleHandle`].
    pub fn accept(&mut self, now: Instant, handle: ListenerHandle) -> Result<ConnectionHandle, Error> {
        self.catch_up(now);
        let l = self.listener(handle)?;
        let i = self.listeners[l].first().ok_or(Error::WouldBlock)?;
        self.take_from_backlog(l, i);
        let options = &self.listeners[l].options.stream;
        let c = &mut self.connections[i];
        c.wait_for(options.first_byte_ms().filter(|_| !c.has(Marks::PEER_SPOKE)), self.clock.ms());
        c.events.set(Events::READABLE, c.rx_len > 0);
        c.events.set(Events::PEER_FINISHED, c.has(Flags::PEER_FIN));
        self.settle(i);
        Ok(self.handle(i))
    }

    fn take_from_backlog(&mut self, l: ListenerId, i: Id<Connection>) {
        self.listeners.unlink(l, &mut self.connections, i);
        self.connections[i].accepted(&self.listeners[l].options.stream, &self.settings);
    }

    /// Opens a connection (§3.10.1, active OPEN). Port 0 in `local` asks for an ephemeral port (RFC 6056). `hop` is the link address of
    /// the next hop, if it is known.
    ///
    /// [`crate::Event::Connected`] or [`crate::Event::Closed`] tells how it went; data may be queued meanwhile.
    ///
    /// With `Config::eviction` a connection that has been idle for long enough is ended where there is no slot or no room for buffers. The call fails
    /// nevertheless: there is room once the RST has left and the application of the other, if it has one, has given its handle up.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], [`Error::InvalidBufferSize`], [`Error::InvalidSetting`], [`Error::AddressInUse`], [`Error::NoPort`],
    /// [`Error::NoSlot`], [`Error::NoBuffer`].
    pub fn connect(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        link_addr: Option<LinkAddr>,
        options: StreamOptions,
    ) -> Result<ConnectionHandle, Error> {
        self.catch_up(now);
        let options = Stream::new(&options)?;
        let tuple = self.tuple_to_connect(local, remote)?;
        let Some(i) = self.allocate_connection(options.rx_buffer(), options.tx_buffer()) else {
            let is_slot_free = self.connections.has_room();
            #[cfg(feature = "eviction")]
            if self.pool.could_hold(options.rx_buffer(), options.tx_buffer()) {
                self.make_way(self.waiting_for_room() + 1);
            }
            return Err(if is_slot_free { Error::NoBuffer } else { Error::NoSlot });
        };
        let iss = self.keyed.initial_seq(now, &tuple);
        let stamps = self.stamps_of(&tuple, Recent::NONE);
        let c = &mut self.connections[i];
        c.tcb.stamps = stamps;
        apply_options(c, &options);
        c.accepted(&options, &self.settings);
        c.tcb.tuple = tuple;
        c.link_addr = link_addr.unwrap_or_default();
        c.marks.set(Marks::LINK_ADDR_KNOWN, link_addr.is_some());
        c.tcb.snd_una = iss;
        c.tcb.snd_nxt = iss;
        c.buffers.begin_tx(iss + 1);
        c.tcb.enter(State::SynSent);
        c.set(Due::RESEND);
        c.since = self.clock.ms();
        c.heard_at = c.since;
        c.wait_for(options.first_byte_ms(), c.since);
        send::arm_retransmission(c, self.clock.ms(), &self.settings);
        let hash = self.keyed.index_hash(&tuple);
        self.connections.insert(i, hash);
        self.note_begin(i);
        self.settle(i);
        Ok(self.handle(i))
    }

    /// The address of an endpoint, if this build speaks its family and its zone, where one belongs to it, is ours or is left open
    /// (RFC 4007 §6).
    pub(crate) fn addr_of(&self, endpoint: SocketAddr) -> Result<Addr, Error> {
        let addr = Addr::of(endpoint.ip()).ok_or(Error::InvalidAddress)?;
        match endpoint {
            SocketAddr::V6(v6) if addr.is_link_local() && ![0, self.settings.zone].contains(&v6.scope_id()) => {
                Err(Error::InvalidAddress)
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => Ok(addr),
        }
    }

    fn tuple_to_connect(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<Tuple, Error> {
        let (local_addr, remote_addr) = (self.addr_of(local)?, self.addr_of(remote)?);
        if !is_pair_answerable(local_addr, remote_addr)
            || local_addr.is_v4() != remote_addr.is_v4()
            || remote.port() == 0
        {
            return Err(Error::InvalidAddress);
        }
        let mut tuple = Tuple { local_addr, remote_addr, local_port: local.port(), remote_port: remote.port() };
        if tuple.local_port == 0 {
            tuple.local_port = self.ephemeral_port(tuple).ok_or(Error::NoPort)?;
        } else if self.is_in_use(&tuple) {
            return Err(Error::AddressInUse);
        }
        Ok(tuple)
    }

    /// RFC 6056 §3.3.3: an offset only we know for each peer, and a counter, so that a port is not used again soon. Ports that a listener
    /// has are left out: a peer's SYN there is meant for the listener.
    fn ephemeral_port(&mut self, mut tuple: Tuple) -> Option<u16> {
        let ports = self.settings.ephemeral_ports;
        let offset = self.keyed.port_offset(&tuple);
        for _ in 0..ports.count() {
            let at = offset.wrapping_add(self.ports_used) % ports.count();
            self.ports_used = self.ports_used.wrapping_add(1);
            tuple.local_port = ports.first + at as u16;
            let is_taken = self.listeners.is_port_taken(tuple.local_port) || self.is_in_use(&tuple);
            if !is_taken && !self.is_lost(&tuple) {
                return Some(tuple.local_port);
            }
        }
        None
    }

    fn is_in_use(&self, tuple: &Tuple) -> bool {
        let hash = self.keyed.index_hash(tuple);
        self.connections.find(tuple, hash).is_some()
            || self.half_open.find(tuple, hash).is_some()
            || self.time_wait.find(tuple, hash).is_some()
    }

    /// Queues bytes to be sent; returns how many fitted (§3.10.2). Bytes queued before the handshake is done follow it.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if the buffer is full, [`Error::SendShutdown`] after shutdown, [`Error::Closed`] with the reason,
    /// [`Error::StaleHandle`].
    pub fn send(&mut self, now: Instant, handle: ConnectionHandle, data: &[u8]) -> Result<usize, Error> {
        let (i, at, room) = self.room_to_send(now, handle)?;
        let n = room.min(data.len());
        if n == 0 {
            return if data.is_empty() { Ok(0) } else { Err(Error::WouldBlock) };
        }
        let c = &self.connections[i];
        self.pool.tx(c.buffers).write(at, &data[..n]);
        self.queued_to_send(i, n);
        Ok(n)
    }

    /// The same without a copy: `fill` writes into the send buffer itself and says how many bytes are to be sent, at most all it was shown, and
    /// what is returned. It sees at least one byte, and perhaps not all free ones: no further than the buffer's end. What it finds there is of no
    /// meaning.
    ///
    /// # Errors
    /// Those of [`Tcp::send`]; `fill` is not called then.
    pub fn send_with<R>(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        fill: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        let (i, at, room) = self.room_to_send(now, handle)?;
        if room == 0 {
            return Err(Error::WouldBlock);
        }
        let mut ring = self.pool.tx(self.connections[i].buffers);
        let free = ring.stretch(at, room);
        let most = free.len();
        let (n, result) = fill(free);
        if n > 0 {
            self.queued_to_send(i, n.min(most));
        }
        Ok(result)
    }

    /// The number of the next byte to be queued, and how many there is room for.
    fn room_to_send(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(Id<Connection>, Seq, usize), Error> {
        self.catch_up(now);
        let i = self.held(handle)?;
        let c = &self.connections[i];
        if let Some(reason) = c.closed() {
            return Err(Error::Closed(reason));
        }
        if c.has(Flags::FIN_QUEUED) || c.has(Flags::FIN_OUT) {
            return Err(Error::SendShutdown);
        }
        let syn = u32::from(!c.tcb.state().is_synchronized());
        let at = c.tcb.snd_una + syn + u32::from(c.tx_len);
        Ok((i, at, c.buffers.tx_size() - c.tx_len as usize))
    }

    fn queued_to_send(&mut self, i: Id<Connection>, n: usize) {
        let c = &mut self.connections[i];
        // No more than the buffer.
        c.tx_len += n as Size;
        send::update_persist_timer(c, self.clock.ms(), &self.settings);
        self.queue(i);
    }

    /// Copies received bytes out; returns how many, and 0 at the end of the stream, or if `buf` is empty (§3.10.3). Bytes
    /// received in order before a reset are delivered before the error (the RFC flushes them).
    ///
    /// Asking for more than there is says that nothing will be sent in answer to what was read: if the peer pushed it, in a segment
    /// that is not full, and its acknowledgment is held back, that leaves at once.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] if there are none now, [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn recv(&mut self, _now: Instant, handle: ConnectionHandle, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return self.held(handle).map(|_| 0);
        }
        let Some((i, at, readable)) = self.received(handle)? else { return Ok(0) };
        let n = readable.min(buf.len());
        let c = &self.connections[i];
        self.pool.rx(c.buffers).read(at, &mut buf[..n]);
        self.read(i, n);
        Ok(n)
    }

    /// The same without a copy: `look` is shown received bytes in the receive buffer itself and says how many of them it has taken, at most all, and what is
    /// returned. It sees at least one byte, and perhaps not all there are: no further than the buffer's end. At the end of the stream it sees none.
    ///
    /// # Errors
    /// Those of [`Tcp::recv`]; `look` is not called then.
    pub fn recv_with<R>(
        &mut self,
        _now: Instant,
        handle: ConnectionHandle,
        look: impl FnOnce(&mut [u8]) -> (usize, R),
    ) -> Result<R, Error> {
        let Some((i, at, readable)) = self.received(handle)? else { return Ok(look(&mut []).1) };
        let mut ring = self.pool.rx(self.connections[i].buffers);
        let bytes = ring.stretch(at, readable);
        let most = bytes.len();
        let (n, result) = look(bytes);
        self.read(i, n.min(most));
        Ok(result)
    }

    /// The number of the first byte that was not read, and how many there are; `None` at the end of the stream.
    fn received(&mut self, handle: ConnectionHandle) -> Result<Option<(Id<Connection>, Seq, usize)>, Error> {
        let i = self.held(handle)?;
        let c = &mut self.connections[i];
        if c.rx_len > 0 {
            let fin = u32::from(c.has(Flags::PEER_FIN));
            let at = c.tcb.rcv_nxt - fin - u32::from(c.rx_len);
            return Ok(Some((i, at, c.rx_len as usize)));
        }
        if c.has(Flags::PEER_FIN) {
            return Ok(None);
        }
        if let Some(reason) = c.closed() {
            return Err(Error::Closed(reason));
        }
        receive::acknowledge_asked(c);
        if c.has(Due::ACK_NOW) {
            self.queue(i);
        }
        Err(Error::WouldBlock)
    }

    fn read(&mut self, i: Id<Connection>, n: usize) {
        let c = &mut self.connections[i];
        c.rx_len -= n as Size;
        receive::announce_window(c);
        if c.has(Due::ACK_NOW) {
            self.queue(i);
        }
    }

    /// Returns the sizes in bytes of the receive and the send buffer.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn buffer_sizes(&self, handle: ConnectionHandle) -> Result<(usize, usize), Error> {
        let buffers = self.connections[self.held(handle)?].buffers;
        Ok((buffers.rx_size(), buffers.tx_size()))
    }

    /// Sets how long an acknowledgment may be held back, from now on: see [`StreamOptions::delayed_ack`]. One that is held back now leaves at once.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::NotConnected`] while nobody has accepted the connection, [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn set_delayed_ack(&mut self, now: Instant, handle: ConnectionHandle, delay: Duration) -> Result<(), Error> {
        let delay_ms = limits::delayed_ack(delay)?;
        self.check_accepted(handle)?;
        self.change(now, handle, |c, _| {
            c.accepting = Accepting::delayed_by(delay_ms);
            c.due.set(Due::ACK_NOW, c.has(Due::ACK_NOW) || c.has(Marks::DELACK));
        })
    }

    /// Sets the hop limit of a connection's packets, from now on; `None`: [`Config::hop_limit`](crate::Config::hop_limit). See [`StreamOptions::hop_limit`].
    ///
    /// # Errors
    /// [`Error::NotConnected`] while nobody has accepted the connection, [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn set_hop_limit(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        hop_limit: Option<NonZeroU8>,
    ) -> Result<(), Error> {
        let hop_limit = hop_limit.unwrap_or(self.settings.hop_limit);
        self.check_accepted(handle)?;
        self.change(now, handle, |c, _| c.owner = Owner::application(hop_limit))
    }

    /// Switches Nagle's algorithm on or off, from now on: see [`StreamOptions::nagle`]. What it held back leaves at once.
    ///
    /// # Errors
    /// [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn set_nagle(&mut self, now: Instant, handle: ConnectionHandle, is_on: bool) -> Result<(), Error> {
        self.change(now, handle, |c, _| c.marks.set(Marks::NAGLE, is_on))
    }

    /// Sets the user timeout of a connection, from now on: see [`StreamOptions::user_timeout`]. What has waited for longer already ends it.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn set_user_timeout(&mut self, now: Instant, handle: ConnectionHandle, timeout: Duration) -> Result<(), Error> {
        let timeout = limits::user_timeout(timeout)?;
        self.change(now, handle, |c, _| {
            c.set_user_timeout(timeout);
            #[cfg(feature = "user-timeout-option")]
            c.announce_user_timeout();
        })
    }

    /// Sets R2 of a connection, from now on, and takes a user timeout away: see [`StreamOptions::r2`].
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn set_r2(&mut self, now: Instant, handle: ConnectionHandle, r2: Duration) -> Result<(), Error> {
        let seconds = limits::r2(r2)?;
        self.change(now, handle, |c, _| {
            c.set_r2(seconds);
            #[cfg(feature = "user-timeout-option")]
            c.announce_user_timeout();
        })
    }

    /// Switches keepalive on or off, or changes it, from now on: see [`KeepAlive`]. It counts from when the peer was last heard.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    #[cfg(feature = "keepalive")]
    pub fn set_keep_alive(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        keep_alive: Option<KeepAlive>,
    ) -> Result<(), Error> {
        let keep_alive = limits::keep_alive(keep_alive)?;
        self.change(now, handle, |c, _| c.set_keep_alive(keep_alive))
    }

    /// Sets the idle timeout of a connection, or takes it away: see [`StreamOptions::idle_timeout`]. Where there was none it counts from now,
    /// else from the last byte.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    #[cfg(feature = "deadlines")]
    pub fn set_idle_timeout(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let timeout = limits::idle_timeout(timeout)?;
        self.change(now, handle, |c, ms| c.set_idle_timeout(ms, timeout))
    }

    /// Sets how long the peer may take until its first byte, from now, or takes the limit away: see [`StreamOptions::first_byte_timeout`]. After
    /// that byte it does nothing.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`], [`Error::NotConnected`] while nobody has accepted the connection, [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    #[cfg(feature = "deadlines")]
    pub fn set_first_byte_timeout(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        let timeout_ms = limits::first_byte_timeout(timeout)?;
        self.check_accepted(handle)?;
        self.change(now, handle, |c, ms| c.wait_for(timeout_ms.filter(|_| !c.has(Marks::PEER_SPOKE)), ms))
    }

    fn check_accepted(&self, handle: ConnectionHandle) -> Result<(), Error> {
        let is_unaccepted = self.connections[self.held(handle)?].has(Marks::UNACCEPTED);
        if is_unaccepted { Err(Error::NotConnected) } else { Ok(()) }
    }

    /// Changes the limits of a connection that goes on.
    fn change(
        &mut self,
        now: Instant,
        handle: ConnectionHandle,
        how: impl FnOnce(&mut Connection, Millis),
    ) -> Result<(), Error> {
        self.catch_up(now);
        let i = self.held(handle)?;
        let c = &mut self.connections[i];
        if let Some(reason) = c.closed() {
            return Err(Error::Closed(reason));
        }
        how(c, self.clock.ms());
        send::bound_by_r2(c, &self.settings);
        self.settle(i);
        Ok(())
    }

    /// Ends our direction: FIN follows what is queued, receiving goes on (§3.6.1, half-close). Again is harmless.
    ///
    /// # Errors
    /// [`Error::NotConnected`] before the peer's SYN was seen, [`Error::Closed`] with the reason, [`Error::StaleHandle`].
    pub fn shutdown(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), Error> {
        self.catch_up(now);
        let i = self.held(handle)?;
        let c = &mut self.connections[i];
        if let Some(reason) = c.closed() {
            return Err(Error::Closed(reason));
        }
        if c.tcb.state() == State::SynSent {
            return Err(Error::NotConnected);
        }
        queue_fin(c);
        send::update_persist_timer(c, self.clock.ms(), &self.settings);
        self.settle(i);
        Ok(())
    }

    /// Closes both ways and gives the handle up (§3.10.4). What is queued is still delivered, then FIN. With bytes unread, or if
    /// more come, the peer is told by RST that data was lost (§3.6.1 SHLD-3, RFC 2525 §2.17). The end is told by
    /// [`crate::Event::Closed`], after which the slot is free; if that was told before, it is free at once. A connection that nobody has accepted
    /// leaves its listener's backlog.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn close(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), Error> {
        self.catch_up(now);
        let i = self.held(handle)?;
        if self.connections[i].has(Marks::UNACCEPTED) {
            self.take_from_backlog(self.connections[i].owner.as_listener(), i);
        }
        let c = &mut self.connections[i];
        let has_unread = c.rx_len > 0;
        let state = c.tcb.state();
        give_up(c);
        if !c.is_over() {
            // The time an abandoned connection is given starts now.
            c.since = self.clock.ms();
        }
        match state {
            State::SynSent => self.end(i, CloseReason::ClosedBeforeOpen, false),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck
                if has_unread =>
            {
                self.end(i, CloseReason::DataLost, reset::is_told(state));
            }
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::Closing
            | State::LastAck => {
                queue_fin(c);
                send::update_persist_timer(c, self.clock.ms(), &self.settings);
                // R2 counts where a user timeout did.
                send::bound_by_r2(c, &self.settings);
            }
            // Over already, or over but for TIME-WAIT: only the slot is left.
            State::Closed | State::Listen | State::TimeWait => {}
        }
        self.settle(i);
        Ok(())
    }

    /// Ends the connection at once and gives the handle up (§3.10.5). The peer is told by RST where it has a connection to end. In TIME-WAIT
    /// the record is deleted.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn abort(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), Error> {
        self.catch_up(now);
        let i = self.slot(handle)?;
        self.forget_time_wait_of(i);
        give_up(&mut self.connections[i]);
        self.abort_slot(i);
        self.settle(i);
        Ok(())
    }

    /// The same, but the handle is kept: the application learns the end as it learns every other, and gives the slot back by [`Tcp::close`].
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn reset(&mut self, now: Instant, handle: ConnectionHandle) -> Result<(), Error> {
        self.catch_up(now);
        let i = self.held(handle)?;
        self.forget_time_wait_of(i);
        self.abort_slot(i);
        self.settle(i);
        Ok(())
    }

    fn abort_slot(&mut self, i: Id<Connection>) {
        let c = &self.connections[i];
        if !c.is_over() {
            self.end(i, CloseReason::Aborted, reset::is_told(c.tcb.state()));
        }
    }

    /// Frees the compact record that goes on for a slot in TIME-WAIT, if it is still the same connection's.
    fn forget_time_wait_of(&mut self, i: Id<Connection>) {
        if let Some(w) = self.time_wait_of(&self.connections[i].tcb) {
            self.free_time_wait(w);
        }
    }

    fn time_wait_of(&self, tcb: &Tcb) -> Option<Id<TimeWait>> {
        if tcb.state() != State::TimeWait {
            return None;
        }
        let found = self.time_wait.find(&tcb.tuple, self.keyed.index_hash(&tcb.tuple));
        found.filter(|w| self.time_wait[*w].snd_nxt == tcb.snd_nxt)
    }

    /// Ends everything at once, before a planned restart, so that no peer is left half-open (§3.10.5): connections are aborted, also
    /// those nobody has accepted, handshakes in progress are reset, and listeners close. What applications hold ends with
    /// [`crate::Event::Closed`] as ever. Poll for output until none is left: everybody is told then.
    pub fn abort_all(&mut self, now: Instant) {
        self.catch_up(now);
        for i in self.connections.ids() {
            if self.connections[i].is_used() {
                self.abort_slot(i);
            }
        }
        for l in self.listeners.ids() {
            if self.listeners[l].is_open() {
                self.close_listener(l);
            }
        }
    }

    /// Ends what is on an address that is not ours any more. Nobody can be told: nothing may be sent from there.
    pub(crate) fn keep_addresses(&mut self, is_ours: impl Fn(Addr) -> bool) {
        // Whom a segment may come from is judged anew.
        self.last_connection = None;
        for i in self.connections.ids() {
            let c = &mut self.connections[i];
            if !c.is_used() || is_ours(c.tcb.tuple.local_addr) {
                continue;
            }
            c.clear(Due::RESET);
            if !c.is_over() {
                self.end(i, CloseReason::AddressLost, false);
            } else {
                self.settle(i);
            }
        }
        self.forget_records_on(|addr| !is_ours(addr));
    }

    /// Returns the status of a connection (§3.10.6). Works after close and abort too, until the end was told.
    ///
    /// # Errors
    /// [`Error::StaleHandle`].
    pub fn status(&self, handle: ConnectionHandle) -> Result<Status, Error> {
        self.slot(handle).map(|i| self.status_of(&self.connections[i]))
    }

    /// Lists the connections that hold a slot. Looks at every slot: for a status page, not for each segment.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionHandle, Status)> + '_ {
        self.connections.iter().map(|(i, c)| (self.handle(i), self.status_of(c)))
    }

    /// The compact record that goes on in TIME-WAIT has the last of them.
    fn timers_of(&self, c: &Connection) -> Timers {
        let mut timers = c.timers(self.clock.ms(), &self.settings);
        let found = self.time_wait_of(&c.tcb);
        if let Some(at) = found.and_then(|w| self.time_wait.deadline_of(w)) {
            timers.set(Timer::TimeWait, at, self.clock.ms());
        }
        timers
    }

    fn status_of(&self, c: &Connection) -> Status {
        let (local, remote) = endpoints(&c.tcb.tuple, self.settings.zone);
        Status {
            local,
            remote,
            state: c.tcb.state(),
            closed: c.closed(),
            snd_una: c.tcb.snd_una,
            snd_nxt: c.tcb.snd_nxt,
            snd_wnd: u32::from(c.tcb.snd_wnd),
            congestion_window: c.congestion.window(),
            slow_start_threshold: c.congestion.threshold(),
            round_trip_time: c.rtt.smoothed_ms().map(|ms| Duration::from_millis(ms.into())),
            rcv_nxt: c.tcb.rcv_nxt,
            rcv_wnd: u32::from(c.tcb.rcv_wnd),
            mss: c.tcb.mss,
            #[cfg(feature = "sack")]
            sack: c.sack.is_enabled(),
            #[cfg(feature = "timestamps")]
            timestamps: c.tcb.stamps.is_enabled(),
            #[cfg(feature = "ecn")]
            ecn: c.ecn.is_enabled(),
            readable: c.rx_len as usize,
            writable: c.buffers.tx_size() - c.tx_len as usize,
            unacknowledged: c.tx_len as usize,
            retries: c.retries,
            timer: c.next_timer(&self.settings).map(|(due, timer)| (self.clock.expand(due), timer)),
            timers: self.timers_of(c),
            heard_at: self.clock.expand_past(c.heard_at),
        }
    }

    /// Lists the handshakes in progress of all listeners, and how long each is still kept.
    pub fn half_open(&self) -> impl Iterator<Item = RecordStatus> + '_ {
        let records = self.half_open.iter();
        records.map(|(h, half)| self.compact(&half.tuple, Timer::SynReceived, self.half_open_left_ms(h)))
    }

    /// Lists the records in TIME-WAIT, and how long each is still kept.
    pub fn time_waits(&self) -> impl Iterator<Item = RecordStatus> + '_ {
        self.time_wait.iter().map(|(w, wait)| {
            let left = self.time_wait.deadline_of(w).map_or(0, |at| at.left(self.clock.ms()));
            self.compact(&wait.tuple, Timer::TimeWait, left)
        })
    }

    fn compact(&self, tuple: &Tuple, timer: Timer, left_ms: u32) -> RecordStatus {
        let (local, remote) = endpoints(tuple, self.settings.zone);
        RecordStatus { local, remote, timer, left: Duration::from_millis(u64::from(left_ms)) }
    }

    /// Returns how many connection slots, half-open records and TIME-WAIT records are in use.
    pub fn in_use(&self) -> (usize, usize, usize) {
        (self.connections.len(), self.half_open.len(), self.time_wait.len())
    }

    /// Returns the bytes of the pool that connections' buffers take up.
    pub fn pool_in_use(&self) -> usize {
        self.pool.in_use()
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Lists the last resets that ended a connection, the oldest first. What strangers send, or are sent, is counted alone: a scan of ports
    /// must not push out what a reader looks for.
    pub fn last_resets(&self) -> impl Iterator<Item = ResetRecord> {
        self.last_resets.oldest_ordered().map(|reset| reset.record(self.settings.zone))
    }

    pub(crate) fn handle(&self, i: Id<Connection>) -> ConnectionHandle {
        ConnectionHandle { index: i.number(), generation: self.connections[i].links.generation }
    }

    pub(crate) fn listener_handle(&self, l: ListenerId) -> ListenerHandle {
        ListenerHandle { index: l.number(), generation: self.listeners[l].generation }
    }

    fn listener(&self, handle: ListenerHandle) -> Result<ListenerId, Error> {
        let is_its = |l: &ListenerId| self.listeners[*l].is_open() && self.listener_handle(*l) == handle;
        self.listeners.at(handle.index()).filter(is_its).ok_or(Error::StaleHandle)
    }

    pub(crate) fn slot(&self, handle: ConnectionHandle) -> Result<Id<Connection>, Error> {
        let is_its = |i: &Id<Connection>| self.connections[*i].is_used() && self.handle(*i) == handle;
        self.connections.at(handle.index()).filter(is_its).ok_or(Error::StaleHandle)
    }

    /// A slot whose handle the application has not given up.
    fn held(&self, handle: ConnectionHandle) -> Result<Id<Connection>, Error> {
        let i = self.slot(handle)?;
        if self.connections[i].has(Flags::APP_GONE) { Err(Error::StaleHandle) } else { Ok(i) }
    }
}

/// The application has let go: of its events only the end is still told.
fn give_up(c: &mut Connection) {
    c.set(Flags::APP_GONE);
    c.clear(Marks::DEADLINE);
    c.events &= Events::CLOSED;
}

/// §3.10.4: the FIN waits behind what is queued, and in SYN-RECEIVED for ESTABLISHED (CVE-2024-36905).
fn queue_fin(c: &mut Connection) {
    match c.tcb.state() {
        State::SynReceived => c.set(Flags::FIN_QUEUED),
        State::Established => {
            c.set(Flags::FIN_QUEUED);
            c.tcb.enter(State::FinWait1);
        }
        State::CloseWait => {
            c.set(Flags::FIN_QUEUED);
            c.tcb.enter(State::LastAck);
        }
        State::Closed
        | State::Listen
        | State::SynSent
        | State::FinWait1
        | State::FinWait2
        | State::Closing
        | State::LastAck
        | State::TimeWait => {}
    }
}
