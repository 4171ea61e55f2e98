//! Frames out: whose turn it is, where it goes, and its headers.

use super::headers;
use super::medium::Medium;
use super::neighbors::Question;
use super::state::Link;
use crate::counters::count;
use crate::engine::event::Event;
use crate::engine::poll::{Next, What};
use crate::rules::verdict::{ResetReason, Timer};
use crate::time::{Instant, earlier};
use crate::wire::addr::{LinkAddr, Tuple};
use crate::wire::segment::BufferTooSmall;

/// The next thing to do, as [`Link::poll_output`] says it.
#[derive(Debug)]
#[must_use]
pub enum LinkOutput<'t, 's> {
    /// A frame wants to go out.
    Transmit(Frame<'t, 's>),
    /// Something an application waits for.
    Event(Event),
    /// Nothing more now: call [`Link::handle_timeout`] at this time, for this reason.
    Timeout(Option<(Instant, Timer)>),
}

/// A frame that wants to go out. Dropping it loses nothing.
#[must_use]
pub struct Frame<'t, 's> {
    link: &'t mut Link<'s>,
    content: Content,
    /// All of it, in bytes.
    len: usize,
    now: Instant,
}

enum Content {
    Question(Question),
    Segment(What, LinkAddr),
}

impl<'s> Link<'s> {
    /// Does everything that is due at `now`. Poll for output afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.tcp.handle_timeout(now);
        let unanswered = self.neighbors.handle_timeout(now);
        if unanswered > 0 {
            self.tcp.wake_unresolved_after(unanswered);
            self.tcp.wake_unasked();
        }
    }

    /// Says what to do next. Call it again until it says [`LinkOutput::Timeout`].
    #[inline(never)]
    pub fn poll_output(&mut self, now: Instant) -> LinkOutput<'_, 's> {
        // Before what may have to wait for the device.
        if let Some(event) = self.tcp.poll_event(now) {
            return LinkOutput::Event(event);
        }
        loop {
            if let Some(question) = self.neighbors.question() {
                let len = self.medium.header_len() + question.len();
                return LinkOutput::Transmit(Frame { link: self, content: Content::Question(question), len, now });
            }
            match self.tcp.next_but_events() {
                Next::Timeout(tcp) => return LinkOutput::Timeout(self.earlier_timeout(tcp)),
                Next::Transmit(what) => match self.route(what, now) {
                    Some(link_addr) => {
                        let content = Content::Segment(what, link_addr);
                        let ip_header = headers::ip_header_len(what.is_v4(&self.tcp));
                        let len = self.medium.header_len() + ip_header + self.tcp.len_of(&what);
                        return LinkOutput::Transmit(Frame { link: self, content, len, now });
                    }
                    // The others go first.
                    None => self.defer(what, now),
                },
            }
            if let Some(event) = self.tcp.poll_event(now) {
                return LinkOutput::Event(event);
            }
        }
    }

    /// Returns whether [`Link::poll_output`] may have more to say than a time. Where this is false, it has not, as of the last call that was
    /// told the time.
    pub fn has_output(&self) -> bool {
        self.tcp.has_output() || self.neighbors.question().is_some()
    }

    /// Says when [`Link::handle_timeout`] is due and why, also while something waits to be transmitted.
    pub fn next_timeout(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        let tcp = self.tcp.next_timeout(now);
        self.earlier_timeout(tcp)
    }

    fn earlier_timeout(&self, tcp: Option<(Instant, Timer)>) -> Option<(Instant, Timer)> {
        let neighbor = self.neighbors.next_timeout().map(|at| (at, Timer::Neighbor));
        earlier(tcp, neighbor, |(at, _), (than, _)| at < than)
    }

    /// Returns when [`Link::handle_timeout`] is due.
    #[cfg(feature = "embassy")]
    pub(crate) fn next_wake(&mut self, now: Instant) -> Option<Instant> {
        earlier(self.tcp.next_wake_at(now), self.neighbors.next_timeout(), |at, than| at < than)
    }

    /// A probe whose next hop cannot be asked for, because too many are, is put off until there is room.
    fn defer(&mut self, what: What, now: Instant) {
        if let What::Probe(probe) = what {
            let next = self.next_hop(what.tuple(&self.tcp).remote_addr);
            let is_asked = next.is_none_or(|next| self.neighbors.is_asked_for(next));
            return self.tcp.defer_probe(probe, is_asked);
        }
        self.tcp.transmit(what, now).defer();
    }

    /// Where a segment goes; `None` while the answer to a question is awaited. A connection whose path is in doubt asks again;
    /// where no network and no router leads to the peer, its frames' source is all there is.
    fn route(&mut self, what: What, now: Instant) -> Option<LinkAddr> {
        if self.medium == Medium::Ip {
            return Some(LinkAddr::default());
        }
        let mut transmit = self.tcp.transmit(what, now);
        if let Some(link_addr) = transmit.link_addr()
            // A journal of a firmware that spoke plain IP has nobody's.
            && !(matches!(what, What::Probe(_)) && link_addr == LinkAddr::default())
        {
            return Some(link_addr);
        }
        let (last, is_doubted) = (transmit.last_link_addr(), transmit.is_path_doubted());
        let Tuple { local_addr: local, remote_addr: remote, .. } = *what.tuple(&self.tcp);
        // An RST is the last word: it goes where the peer was last heard, and does not keep the slot waiting for an answer.
        let is_last_word = what.is_last_word();
        let was_heard = (last != LinkAddr::default()).then_some(last);
        let found = match self.next_hop(remote) {
            Some(next) if !is_last_word => self.neighbors.resolve(next, local, now, is_doubted),
            Some(next) => was_heard.or_else(|| self.neighbors.known(next, now)),
            None => was_heard,
        };
        if let Some(link_addr) = found {
            transmit = self.tcp.transmit(what, now);
            transmit.set_link_addr(link_addr);
        }
        found
    }
}

impl Frame<'_, '_> {
    /// Returns the frame's length in bytes, link header included, check sequence not.
    #[allow(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns the reason, if the frame carries an RST.
    pub fn reset_reason(&self) -> Option<ResetReason> {
        match self.content {
            Content::Question(_) => None,
            Content::Segment(what, _) => what.reset_reason(&self.link.tcp),
        }
    }

    /// Writes the frame, and only now counts it as sent. Returns its length in bytes.
    ///
    /// # Errors
    /// [`BufferTooSmall`] if `buf` is shorter than [`Frame::len`]; nothing is sent or lost then.
    #[inline(never)]
    pub fn emit(self, buf: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let Frame { link, content, len, now } = self;
        let buf = buf.get_mut(..len).ok_or(BufferTooSmall)?;
        match content {
            Content::Question(question) => link.emit_question(question, now, buf),
            Content::Segment(what, link_addr) => link.emit_segment(what, link_addr, now, buf)?,
        }
        count(&mut link.counters.frames_out);
        Ok(len)
    }
}

impl Link<'_> {
    #[cfg(not(feature = "ethernet"))]
    fn emit_question(&mut self, question: Question, _: Instant, _: &mut [u8]) {
        match question {}
    }

    fn emit_segment(
        &mut self,
        what: What,
        link_addr: LinkAddr,
        now: Instant,
        buf: &mut [u8],
    ) -> Result<(), BufferTooSmall> {
        let Tuple { local_addr, remote_addr, .. } = *what.tuple(&self.tcp);
        let is_v4 = remote_addr.is_v4();
        let hop_limit = what.hop_limit(&self.tcp);
        let packet = self.medium.emit_header(buf, link_addr, headers::ethertype(is_v4));
        let (_, segment) = packet.split_at_mut_checked(headers::ip_header_len(is_v4)).ok_or(BufferTooSmall)?;
        let codepoint = self.tcp.transmit(what, now).emit_whole(segment)?;
        headers::emit_ip_header(packet, &local_addr, &remote_addr, hop_limit, codepoint, self.checksum);
        Ok(())
    }
}
