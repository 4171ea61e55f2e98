//! The way out: events, answers, connections' segments, and then the next deadline.

use core::net::SocketAddr;

#[cfg(feature = "user-timeout-option")]
use crate::connection::flags::Due;
use crate::connection::flags::Marks;
use crate::connection::send::{Kind, Plan};
use crate::connection::settings::Settings;
use crate::connection::slot::{Connection, Events};
use crate::connection::{receive, send};
use crate::counters::{ResetKind, SaidCode, count};
use crate::engine::event::Event;
use crate::engine::keeping::Probe;
use crate::engine::replies::Reply;
use crate::engine::tcp::Tcp;
use crate::id::Id;
use crate::rules::ecn::Agreed;
use crate::rules::scale::Scale;
use crate::rules::tcb::Flags;
use crate::rules::verdict::{CloseReason, ResetReason, State, Timer};
use crate::time::{Instant, Millis};
use crate::wire::addr::{LinkAddr, Tuple, endpoints};
use crate::wire::checksum::{self, Sum};
use crate::wire::ecn::Codepoint;
#[cfg(feature = "sack")]
use crate::wire::options::MAX_OPTIONS_LEN;
use crate::wire::options::Options;
use crate::wire::segment::{BufferTooSmall, Control, HEADER_LEN, Header};
use crate::wire::seq::Seq;

/// The next thing to do, as [`crate::Tcp::poll_output`] says it.
#[derive(Debug)]
#[must_use]
pub enum Output<'t, 's> {
    /// A segment wants to go out.
    Transmit(Transmit<'t, 's>),
    /// Something an application waits for.
    Event(Event),
    /// Nothing more now: call [`crate::Tcp::handle_timeout`] at this time, for this reason. `None`: nothing is pending.
    Timeout(Option<(Instant, Timer)>),
}

/// What comes next but events, without a borrow of the engine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Transmit(What),
    Timeout(Option<(Instant, Timer)>),
}

/// Which segment wants to go out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// The first of the queued replies.
    Reply,
    /// The first ready slot's.
    Segment(Id<Connection>, Plan),
    /// A question to a peer that a restart of ours has lost, or its RST.
    Probe(Probe),
}

impl What {
    /// The pair of endpoints it goes between.
    pub(crate) fn tuple<'a>(&'a self, tcp: &'a Tcp<'_>) -> &'a Tuple {
        match self {
            What::Reply => &tcp.first_reply().tuple,
            What::Segment(i, _) => &tcp.connections[*i].tcb.tuple,
            What::Probe(probe) => &tcp.offered(*probe).reply.tuple,
        }
    }

    /// Returns whether it goes over IPv4.
    pub(crate) fn is_v4(&self, tcp: &Tcp<'_>) -> bool {
        !cfg!(feature = "ipv6") || self.tuple(tcp).remote_addr.is_v4()
    }

    pub(crate) fn hop_limit(&self, tcp: &Tcp<'_>) -> u8 {
        match self {
            What::Reply | What::Probe(_) => tcp.settings.hop_limit.get(),
            What::Segment(i, _) => tcp.connections[*i].hop_limit(&tcp.settings),
        }
    }

    pub(crate) fn reset_reason(&self, tcp: &Tcp<'_>) -> Option<ResetReason> {
        match self {
            What::Reply => tcp.first_reply().reason,
            What::Segment(_, Plan { kind: Kind::Reset(reason), .. }) => Some(*reason),
            What::Segment(..) => None,
            What::Probe(probe) => tcp.offered(*probe).reply.reason,
        }
    }

    /// An RST of a connection's end goes where the peer was last heard; one that ends what a restart has lost may have to ask first.
    pub(crate) fn is_last_word(&self) -> bool {
        matches!(self, What::Segment(_, Plan { kind: Kind::Reset(_), .. }))
    }
}

/// A segment that wants to go out. Dropping it loses nothing: the next poll offers it again.
#[must_use]
pub struct Transmit<'t, 's> {
    tcp: &'t mut Tcp<'s>,
    what: What,
    now: Instant,
}

impl<'s> Tcp<'s> {
    /// Says what to do next. Call it again until it says [`Output::Timeout`].
    pub fn poll_output(&mut self, now: Instant) -> Output<'_, 's> {
        if let Some(event) = self.poll_event(now) {
            return Output::Event(event);
        }
        match self.next_but_events() {
            Next::Transmit(what) => Output::Transmit(Transmit { tcp: self, what, now }),
            Next::Timeout(at) => Output::Timeout(at),
        }
    }

    pub(crate) fn transmit(&mut self, what: What, now: Instant) -> Transmit<'_, 's> {
        Transmit { tcp: self, what, now }
    }

    /// The next thing an application waits for.
    pub(crate) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        self.catch_up(now);
        self.next_event()
    }

    /// Returns what comes next where no event waits.
    pub(crate) fn next_but_events(&mut self) -> Next {
        // By turns, so that neither a scan of ports silences connections, nor they the answers.
        let has_reply = !self.replies.is_empty();
        if !self.is_segments_turn {
            if has_reply {
                return Next::Transmit(What::Reply);
            }
            if let Some(probe) = self.next_probe() {
                return Next::Transmit(What::Probe(probe));
            }
        }
        while let Some(i) = self.ready.first() {
            if let Some(plan) = send::next(&self.connections[i]) {
                return Next::Transmit(What::Segment(i, plan));
            }
            self.pop_ready();
        }
        if has_reply {
            return Next::Transmit(What::Reply);
        }
        if let Some(probe) = self.next_probe() {
            return Next::Transmit(What::Probe(probe));
        }
        self.is_segments_turn = false;
        Next::Timeout(self.next_due())
    }

    /// Says when [`Tcp::handle_timeout`] is due and why, also while something waits to be transmitted.
    pub fn next_timeout(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        self.catch_up(now);
        self.next_due()
    }

    /// Returns when [`Tcp::handle_timeout`] is due.
    #[cfg(feature = "embassy")]
    pub(crate) fn next_wake_at(&mut self, now: Instant) -> Option<Instant> {
        self.catch_up(now);
        self.next_wake().map(|at| self.clock.expand(at))
    }

    fn next_due(&mut self) -> Option<(Instant, Timer)> {
        self.next_deadline().map(|(at, timer)| (self.clock.expand(at), timer))
    }

    /// Returns whether [`Tcp::poll_output`] may have more to say than a time. Where this is false, it has not, as of the last call that was
    /// told the time.
    pub fn has_output(&self) -> bool {
        let has_news = self.eventful.first().is_some() || self.listeners.has_news();
        // Slots that wait for a neighbor have nothing to say now.
        has_news || !self.replies.is_empty() || self.ready.first().is_some() || self.journal.has_output(self.clock.ms())
    }

    pub(crate) fn len_of(&self, what: &What) -> usize {
        match what {
            What::Reply => HEADER_LEN + self.first_reply().options.wire_len() + self.reason_of(what).len(),
            What::Probe(probe) => HEADER_LEN + self.offered(*probe).reply.options.wire_len(),
            What::Segment(i, plan) => {
                let options = options_of(&self.connections[*i], plan, self.clock.ms(), &self.settings);
                HEADER_LEN + options.wire_len() + usize::from(plan.len) + self.reason_of(what).len()
            }
        }
    }

    fn next_event(&mut self) -> Option<Event> {
        while let Some(i) = self.eventful.first() {
            if let Some(event) = self.take_event(i) {
                return Some(event);
            }
            self.pop_event();
        }
        self.next_listener_event().or_else(|| self.next_lost_peer_event())
    }

    fn take_event(&mut self, i: Id<Connection>) -> Option<Event> {
        let handle = self.handle(i);
        let c = &mut self.connections[i];
        let flag = c.events.iter().next()?;
        c.events.remove(flag);
        let (is_last, is_over) = (c.events.is_empty(), c.is_over());
        let event = match flag {
            Events::CONNECTED => Event::Connected(handle),
            Events::READABLE => Event::Readable(handle),
            Events::WRITABLE => Event::Writable(handle),
            Events::PEER_FINISHED => Event::PeerFinished(handle),
            Events::STALLED => Event::Stalled(handle),
            _ => Event::Closed(handle, c.closed().unwrap_or(CloseReason::Aborted)),
        };
        if is_last {
            self.pop_event();
        }
        if is_over {
            self.free_if_done(i);
        }
        Some(event)
    }

    fn next_listener_event(&mut self) -> Option<Event> {
        self.listeners.take_news().map(|l| Event::Acceptable(self.listener_handle(l)))
    }
}

impl<'t, 's> Transmit<'t, 's> {
    /// Returns the segment's length in bytes, TCP header included.
    #[allow(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> usize {
        self.tcp.len_of(&self.what)
    }

    /// Returns our endpoint.
    pub fn local(&self) -> SocketAddr {
        endpoints(&self.tuple(), self.tcp.settings.zone).0
    }

    /// Returns the peer's endpoint.
    pub fn remote(&self) -> SocketAddr {
        endpoints(&self.tuple(), self.tcp.settings.zone).1
    }

    /// Returns the hop limit, or time to live, for the segment's packet (MUST-49).
    pub fn hop_limit(&self) -> u8 {
        self.what.hop_limit(self.tcp)
    }

    /// Returns whether the segment's packet must say ECT(0) (RFC 3168 §5), so that the network marks it instead of dropping it. To be asked before
    /// [`Transmit::emit`].
    #[cfg(feature = "ecn")]
    pub fn is_ecn_capable(&self) -> bool {
        match &self.what {
            What::Reply | What::Probe(_) => false,
            What::Segment(i, plan) => send::codepoint(self.connection(*i), plan) == Codepoint::ECT,
        }
    }

    /// Returns the link address to send to; `None` if it must be resolved first, see [`Transmit::set_link_addr`] and [`Transmit::defer`].
    pub fn link_addr(&self) -> Option<LinkAddr> {
        match &self.what {
            What::Reply => Some(self.tcp.first_reply().link_addr),
            What::Segment(i, _) => {
                let c = self.connection(*i);
                c.has(Marks::LINK_ADDR_KNOWN).then_some(c.link_addr)
            }
            What::Probe(probe) => self.tcp.offered(*probe).link_addr,
        }
    }

    /// Returns the link address the peer's frames last came from, or were last sent to.
    pub(crate) fn last_link_addr(&self) -> LinkAddr {
        match &self.what {
            What::Reply => self.tcp.first_reply().link_addr,
            What::Segment(i, _) => self.connection(*i).link_addr,
            What::Probe(probe) => self.tcp.offered(*probe).last,
        }
    }

    /// Sets the link address to send to, from now on.
    pub fn set_link_addr(&mut self, link_addr: LinkAddr) {
        match &mut self.what {
            What::Reply => {
                if let Some(reply) = self.tcp.replies.front_mut() {
                    reply.link_addr = link_addr;
                }
            }
            What::Segment(i, _) => {
                let c = &mut self.tcp.connections[*i];
                c.link_addr = link_addr;
                c.set(Marks::LINK_ADDR_KNOWN);
            }
            What::Probe(probe) => self.tcp.set_probe_link_addr(*probe, link_addr),
        }
    }

    /// Puts the segment off until [`Tcp::neighbor_changed`]; others go first. An answer to a segment knows where to go and cannot
    /// wait: it is given up and counted, the peer's repetition draws it again. So is the RST of a connection that has ended, which must not
    /// hold its slot.
    pub fn defer(self) {
        match self.what {
            What::Segment(i, Plan { kind: Kind::Reset(_), .. }) => {
                self.tcp.pop_ready();
                self.tcp.drop_reset(i);
            }
            What::Segment(..) => self.tcp.park_ready(),
            What::Probe(probe) => self.tcp.defer_probe(probe, true),
            What::Reply => {
                self.tcp.pop_reply();
                count(&mut self.tcp.counters.replies_lost);
            }
        }
    }

    /// Returns whether the segment's path is in doubt: R1 attempts were in vain.
    pub(crate) fn is_path_doubted(&self) -> bool {
        match &self.what {
            What::Reply | What::Probe(_) => false,
            What::Segment(i, _) => self.connection(*i).has(Marks::DOUBTED),
        }
    }

    /// Returns the reason, if the segment is an RST.
    pub fn reset_reason(&self) -> Option<ResetReason> {
        self.what.reset_reason(self.tcp)
    }

    /// Returns whether it was sent before: a retransmission or a window probe.
    pub fn is_again(&self) -> bool {
        match &self.what {
            What::Reply | What::Probe(_) => false,
            What::Segment(i, plan) => is_again(self.connection(*i), plan),
        }
    }

    /// Writes the segment, and only now counts it as sent. Returns its length in bytes.
    ///
    /// # Errors
    /// [`BufferTooSmall`] if `buf` is shorter than [`Transmit::len`]; nothing is sent or lost then.
    pub fn emit(self, buf: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let len = self.len();
        self.emit_whole(buf.get_mut(..len).ok_or(BufferTooSmall)?)?;
        Ok(len)
    }

    /// Writes the segment into a buffer that is just as long. Returns the codepoint of its packet.
    pub(crate) fn emit_whole(self, buf: &mut [u8]) -> Result<Codepoint, BufferTooSmall> {
        debug_assert_eq!(buf.len(), self.len(), "the buffer is as long as the segment");
        match self.what {
            What::Reply => {
                let reason = self.write_reply(self.tcp.first_reply(), buf)?;
                self.tcp.pop_reply();
                self.tcp.is_segments_turn = true;
                self.finish(reason);
                Ok(Codepoint::NOT_ECT)
            }
            What::Probe(probe) => {
                let reason = self.write_reply(&self.tcp.offered(probe).reply, buf)?;
                self.tcp.sent_probe(probe);
                self.tcp.is_segments_turn = true;
                self.finish(reason);
                Ok(Codepoint::NOT_ECT)
            }
            What::Segment(i, plan) => self.emit_segment(i, &plan, buf),
        }
    }

    fn write_reply(&self, reply: &Reply, buf: &mut [u8]) -> Result<Option<ResetReason>, BufferTooSmall> {
        let Tuple { local_addr, remote_addr, .. } = &reply.tuple;
        let checksum = self.tcp.settings.checksum;
        let header = reply.header();
        let sum = write_said(&self.tcp.reason_of(&self.what), header.wire_len(), buf)?;
        header.emit_before(buf, sum, local_addr, remote_addr, checksum)?;
        Ok(reply.reason)
    }

    fn emit_segment(self, i: Id<Connection>, plan: &Plan, buf: &mut [u8]) -> Result<Codepoint, BufferTooSmall> {
        debug_assert_eq!(self.tcp.ready.first(), Some(i), "the segment offered is the first ready one's");
        let said = self.tcp.reason_of(&self.what);
        let Tcp { settings, connections, pool, clock, counters, .. } = &mut *self.tcp;
        let c = &mut connections[i];
        let header = header_of(c, plan, clock.ms(), settings);
        let mut sum = write_said(&said, header.wire_len(), buf)?;
        if plan.len > 0 {
            let (_, payload) = buf.split_at_mut_checked(header.wire_len()).ok_or(BufferTooSmall)?;
            let ring = pool.tx(c.buffers);
            if settings.checksum.is_filled_here() {
                sum = ring.read_and_sum(plan.seq, payload);
            } else {
                ring.read(plan.seq, payload);
            }
        }
        let Tuple { local_addr, remote_addr, .. } = &c.tcb.tuple;
        header.emit_before(buf, sum, local_addr, remote_addr, settings.checksum)?;
        if is_again(c, plan) {
            count(&mut counters.retransmissions);
        }
        let codepoint = send::codepoint(c, plan);
        send::sent(c, plan, clock.ms(), settings);
        // The next one's turn; this one comes back if it has more.
        self.tcp.pop_ready();
        self.tcp.is_segments_turn = false;
        let reason = match plan.kind {
            Kind::Reset(reason) => {
                let tuple = self.tuple();
                let what = ResetKind::Sent(reason);
                self.tcp.log_reset(self.now, &tuple, plan.seq, what, SaidCode::NONE);
                self.tcp.settle(i);
                Some(reason)
            }
            Kind::Syn | Kind::SynAck | Kind::Ack | Kind::New | Kind::Again | Kind::Probe | Kind::KeepAlive => {
                self.tcp.settle_sent(i);
                None
            }
        };
        self.finish(reason);
        Ok(codepoint)
    }

    fn finish(self, reset: Option<ResetReason>) {
        count(&mut self.tcp.counters.segments_out);
        if let Some(reason) = reset {
            self.tcp.counters.sent_reset(reason);
        }
    }

    fn connection(&self, i: Id<Connection>) -> &Connection {
        &self.tcp.connections[i]
    }

    fn tuple(&self) -> Tuple {
        *self.what.tuple(self.tcp)
    }
}

impl Tcp<'_> {
    /// Offers deferred segments again, because an address on the link was learned or its absence was waited for long enough.
    pub fn neighbor_changed(&mut self) {
        self.wake_unresolved();
        self.wake_parked();
    }

    /// Returns the state of the pair of endpoints: of a connection, a half-open or TIME-WAIT record, LISTEN, or CLOSED.
    pub fn state_of(&self, local: SocketAddr, remote: SocketAddr) -> State {
        let (Ok(local_addr), Ok(remote_addr)) = (self.addr_of(local), self.addr_of(remote)) else {
            return State::Closed;
        };
        let tuple = Tuple { local_addr, remote_addr, local_port: local.port(), remote_port: remote.port() };
        let hash = self.keyed.index_hash(&tuple);
        if let Some(i) = self.connections.find(&tuple, hash) {
            return self.connections[i].tcb.state();
        }
        if self.half_open.find(&tuple, hash).is_some() {
            return State::SynReceived;
        }
        if self.time_wait.find(&tuple, hash).is_some() {
            return State::TimeWait;
        }
        let listens = self.listeners.find(&tuple).is_some();
        if listens { State::Listen } else { State::Closed }
    }
}

/// Writes behind the header what an RST says of itself, and returns its sum.
#[inline]
fn write_said(said: &[u8], header_len: usize, buf: &mut [u8]) -> Result<Sum, BufferTooSmall> {
    if said.is_empty() {
        return Ok(Sum::ZERO);
    }
    let (_, payload) = buf.split_at_mut_checked(header_len).ok_or(BufferTooSmall)?;
    Ok(checksum::copy_and_sum(said, payload))
}

fn is_again(c: &Connection, plan: &Plan) -> bool {
    match plan.kind {
        Kind::Again | Kind::Probe => true,
        Kind::Syn => c.tcb.snd_nxt != c.tcb.snd_una,
        Kind::SynAck => c.retries > 0,
        Kind::Ack | Kind::New | Kind::KeepAlive | Kind::Reset(_) => false,
    }
}

fn options_of(c: &Connection, plan: &Plan, now: Millis, settings: &Settings) -> Options {
    let mut options = Options::NONE;
    match plan.kind {
        Kind::Syn => c.tcb.stamps.offer_in(&mut options, now, settings.timestamps),
        Kind::SynAck | Kind::Ack | Kind::New | Kind::Again | Kind::Probe | Kind::KeepAlive | Kind::Reset(_) => {
            c.tcb.stamps.add_to(&mut options, now);
        }
    }
    match plan.kind {
        Kind::Syn | Kind::SynAck => {
            if c.tcb.state() == State::SynSent {
                Scale::offer_in(&mut options, settings.window_scale, c.buffers.rx_size());
            } else {
                c.tcb.scale.add_to(&mut options);
            }
            options.mss = Some(settings.receive_mss(c.tcb.tuple.remote_addr));
            #[cfg(feature = "user-timeout-option")]
            {
                options.user_timeout = c.limits.user_timeout_to_announce(c.marks);
            }
            #[cfg(feature = "sack")]
            {
                options.sack_permitted =
                    if c.tcb.state() == State::SynSent { settings.sack } else { c.sack.is_enabled() };
            }
        }
        #[cfg(feature = "user-timeout-option")]
        Kind::Ack if c.has(Due::USER_TIMEOUT_OPTION) => {
            options.user_timeout = c.limits.user_timeout_to_announce(c.marks);
        }
        Kind::Ack | Kind::New | Kind::Again | Kind::Probe | Kind::KeepAlive | Kind::Reset(_) => {}
    }
    #[cfg(feature = "sack")]
    if let Kind::Ack | Kind::New | Kind::Again | Kind::Probe = plan.kind {
        // Payload has what a segment has room for, and leaves the option the rest (RFC 6691).
        let beside = usize::from(c.tcb.mss + c.tcb.stamps.wire_len()).saturating_sub(plan.len.into());
        let room = MAX_OPTIONS_LEN.min(beside).saturating_sub(options.wire_len());
        options.sack = c.sack.blocks(&c.reassembly, c.tcb.rcv_nxt, room);
    }
    options
}

fn header_of(c: &Connection, plan: &Plan, now: Millis, settings: &Settings) -> Header {
    let window = if let Kind::KeepAlive = plan.kind { c.tcb.rcv_wnd } else { receive::window_to_offer(c) };
    let mut header = Header {
        src_port: c.tcb.tuple.local_port,
        dst_port: c.tcb.tuple.remote_port,
        seq: plan.seq,
        ack: c.tcb.rcv_nxt,
        control: Control::ACK,
        wnd: c.tcb.scale.field(window, matches!(plan.kind, Kind::Syn | Kind::SynAck)),
        urgent: 0,
        options: options_of(c, plan, now, settings),
    };
    match plan.kind {
        Kind::Syn => {
            header.control = Control::SYN;
            header.ack = Seq(0);
        }
        Kind::SynAck => header.control = Control::SYN | Control::ACK,
        Kind::Reset(_) => {
            header.control = Control::RST | Control::ACK;
            header.wnd = 0;
        }
        Kind::Ack | Kind::New | Kind::Again | Kind::Probe | Kind::KeepAlive => {
            header.control.set(Control::FIN, plan.fin);
            header.control.set(Control::PSH, plan.push);
        }
    }
    if cfg!(feature = "ecn") {
        header.control |= ecn_flags(c, plan, settings);
    }
    header
}

/// The flags of RFC 3168. A SYN that must be sent again does not ask: a middlebox may drop one that does (§6.1.1.1).
fn ecn_flags(c: &Connection, plan: &Plan, settings: &Settings) -> Control {
    match plan.kind {
        Kind::Syn => Agreed::asking(settings.ecn && !c.has(Flags::SYN_RESENT)),
        Kind::SynAck => c.ecn.agreed().answering(),
        Kind::Reset(_) => Control::empty(),
        Kind::Ack | Kind::New | Kind::Again | Kind::Probe | Kind::KeepAlive => c.ecn.flags(send::is_new_payload(plan)),
    }
}
