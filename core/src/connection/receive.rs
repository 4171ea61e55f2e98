//! Received payload: where it goes, when it is acknowledged, what window is offered (RFC 9293 §3.8.6).

use crate::connection::flags::{Due, Marks};
use crate::connection::pool::Pool;
use crate::connection::runs::Runs;
use crate::connection::settings::Settings;
use crate::connection::slot::{Connection, Events};
use crate::rules::judgement::Span;
use crate::rules::tcb::Flags;
use crate::rules::verdict::State;
use crate::size::Size;
use crate::time::Millis;
use crate::wire::segment::{Control, Segment};

/// Segments that a receive buffer has room for whose peer may be kept waiting by an acknowledgment that is held back.
const SMALL_BUFFER: usize = 8;

/// Stores payload that the window admits.
pub(crate) fn store_payload(
    c: &mut Connection,
    pool: &mut Pool<'_>,
    span: Span,
    seg: &Segment<'_>,
    now: Millis,
    settings: &Settings,
) {
    // Nothing comes behind the peer's FIN.
    let len = if c.has(Flags::FIN_HELD) {
        u32::from(span.len).min(c.last_word_at.saturating_sub(span.offset).into()) as u16
    } else {
        span.len
    };
    record_duplicate(c, span, len, seg);
    let skip = span.skip as usize;
    let Some(payload) = seg.payload.get(skip..skip + usize::from(len)).filter(|payload| !payload.is_empty()) else {
        return;
    };
    let at = c.tcb.rcv_nxt + u32::from(span.offset);
    if span.offset > 0 {
        if c.reassembly.add(span.offset, span.offset.saturating_add(len.into())) {
            pool.rx(c.buffers).write(at, payload);
        }
        return;
    }
    pool.rx(c.buffers).write(at, payload);
    let fills_gap = !c.reassembly.is_empty();
    let n = c.reassembly.advance(len.into());
    take(c, n, fills_gap, seg, now, settings);
}

/// Remembers what of a segment was here before, for its sender to know at once (RFC 2883 §4).
fn record_duplicate(c: &mut Connection, span: Span, len: u16, seg: &Segment<'_>) {
    let before = (span.skip as usize).min(seg.payload.len()) as Size;
    let is_one = if before > 0 {
        c.sack.record_duplicate(c.tcb.rcv_nxt - u32::from(span.skip), before)
    } else {
        c.sack.record_duplicate_in(&c.reassembly, c.tcb.rcv_nxt, span.offset, len.into())
    };
    if is_one {
        c.set(Due::ACK_NOW);
    }
}

/// The same of payload that is all before RCV.NXT, by no more than a window: no sender has what is further off still out.
pub(crate) fn record_whole_duplicate(c: &mut Connection, seg: &Segment<'_>) {
    let start = seg.payload_seq();
    let (len, before) = (seg.payload.len() as u32, c.tcb.rcv_nxt.since(start));
    if 0 < len && len <= before && before <= u32::from(u16::MAX).max(c.buffers.rx_size() as u32) {
        c.sack.record_duplicate(start, len as Size);
    }
}

/// So many bytes from RCV.NXT on are there now, and stored: `seg` brought them, or filled the gap before them.
pub(crate) fn take(c: &mut Connection, n: Size, fills_gap: bool, seg: &Segment<'_>, now: Millis, settings: &Settings) {
    advance(c, n);
    c.rx_len += n;
    c.moved(now);
    let is_first = !c.has(Marks::PEER_SPOKE);
    c.peer_spoke();
    if c.has_reader() {
        c.events.insert(Events::READABLE);
    }
    // A full segment is one of many, and so is one that is not pushed: its peer waits for nothing, unless ours or its buffer has room for few.
    let mss = usize::from(c.tcb.mss);
    let is_pushed = seg.has(Control::PSH);
    let is_awaited = is_pushed && seg.payload.len() < mss || has_small_buffer(c);
    // More of it waits for the peer's first window.
    if fills_gap || is_first && !(is_pushed && is_awaited) {
        c.set(Due::ACK_NOW);
    } else {
        acknowledge_later(c, is_awaited, now, settings);
    }
}

/// Remembers a FIN at `distance` from RCV.NXT. The first place a peer names is the one that counts.
pub(crate) fn hold_fin(c: &mut Connection, distance: Size) {
    if !c.has(Flags::FIN_HELD) {
        c.set(Flags::FIN_HELD);
        c.last_word_at = distance;
    }
}

/// Takes a remembered FIN whose turn has come; returns whether there was one.
pub(crate) fn process_fin(c: &mut Connection) -> bool {
    if !c.has(Flags::FIN_HELD) || c.last_word_at > 0 {
        return false;
    }
    c.clear(Flags::FIN_HELD);
    c.set(Flags::PEER_FIN);
    c.set(Due::ACK_NOW);
    c.peer_spoke();
    advance(c, 1);
    // What is beyond it was never the peer's.
    c.reassembly = Runs::EMPTY;
    if c.has_reader() {
        c.events.insert(Events::PEER_FINISHED);
    }
    true
}

/// Moves RCV.NXT; the window's right edge stays where it is.
fn advance(c: &mut Connection, n: Size) {
    let tcb = &mut c.tcb;
    tcb.rcv_nxt += u32::from(n);
    tcb.rcv_wnd = tcb.rcv_wnd.saturating_sub(n);
    tcb.rcv_unacked = tcb.rcv_unacked.saturating_add(n);
    c.last_word_at = c.last_word_at.saturating_sub(n);
}

/// §3.8.6.3: at once for every second full-sized segment, else after a short while, in which an answer may take it along. What fills a gap
/// ([`take`]) is acknowledged at once (RFC 5681 §4.2), and so is a connection's first payload that is not pushed: a peer whose congestion window begins
/// with one segment does not wait for the timer.
fn acknowledge_later(c: &mut Connection, is_awaited: bool, now: Millis, settings: &Settings) {
    let delay_ms = ack_delay_ms(c, settings);
    let is_second = c.has(Marks::DELACK) || u32::from(c.tcb.rcv_unacked) >= 2 * u32::from(c.tcb.mss);
    // The field is a challenge's while that is unanswered.
    if is_second || delay_ms == 0 || c.has(Marks::ASKING) {
        c.set(Due::ACK_NOW);
    } else {
        c.set(Marks::DELACK);
        c.ack_at = now.after(delay_ms);
        if !c.has(Marks::UNACCEPTED) {
            c.accepting.set_awaited(is_awaited);
        }
    }
}

fn ack_delay_ms(c: &Connection, settings: &Settings) -> u32 {
    if c.has(Marks::UNACCEPTED) { settings.delayed_ack_ms.into() } else { c.accepting.delay_ms() }
}

/// The application asks for more and there is none: it has read what came and answered nothing to it, so nothing will take the
/// acknowledgment along. A peer that holds its next segment back for it (Nagle's algorithm) is not kept waiting.
pub(crate) fn acknowledge_asked(c: &mut Connection) {
    if c.has(Marks::DELACK) && !c.has(Marks::UNACCEPTED) && c.accepting.is_awaited() {
        c.set(Due::ACK_NOW);
    }
}

/// A segment with RCV.NXT and the window went out.
pub(crate) fn acknowledged(c: &mut Connection) {
    c.clear(Due::ACK_NOW | Due::CHALLENGE);
    c.clear(Marks::DELACK);
    c.sack.clear_duplicate();
    c.tcb.rcv_unacked = 0;
    c.tcb.rcv_wnd = window_to_offer(c);
}

/// The window of the next segment. It grows in steps worth having (§3.8.6.2.2) and its right edge never moves left. Where the buffer has room for few segments
/// half a segment is worth having, as it is worth sending: else each that is cut short narrows the window until the next one comes. That deviates from
/// §3.8.6.2.2, which wants a whole one.
pub(crate) fn window_to_offer(c: &Connection) -> Size {
    // A SYN can say no more.
    let most = if c.tcb.state().is_synchronized() { Size::MAX } else { Size::from(u16::MAX) };
    let free = c.tcb.scale.sayable(room(c).min(most));
    let mss = usize::from(c.tcb.mss);
    let step = (c.buffers.rx_size() / 2).min(if has_small_buffer(c) { mss / 2 } else { mss }) as Size;
    if free.saturating_sub(c.tcb.rcv_wnd) >= step { free } else { c.tcb.rcv_wnd }
}

/// The application has read: says by an ACK that the window opened, where the peer may still send.
pub(crate) fn announce_window(c: &mut Connection) {
    match c.tcb.state() {
        State::Established | State::FinWait1 | State::FinWait2 => {
            if is_window_worth_telling(c) {
                c.set(Due::ACK_NOW);
            }
        }
        State::Closed
        | State::Listen
        | State::SynSent
        | State::SynReceived
        | State::CloseWait
        | State::Closing
        | State::LastAck
        | State::TimeWait => {}
    }
}

/// An ACK of its own for the window alone: when the peer may be waiting for it, or when it grew by two segments. Until then the next
/// ordinary ACK tells it.
fn is_window_worth_telling(c: &Connection) -> bool {
    let mss = usize::from(c.tcb.mss);
    let is_narrow = (c.tcb.rcv_wnd as usize) < mss;
    let step = (c.buffers.rx_size() / 2).min(if is_narrow { mss } else { 2 * mss });
    c.tcb.scale.sayable(room(c)).saturating_sub(c.tcb.rcv_wnd) as usize >= step
}

/// Returns whether the receive buffer has room for few segments.
#[inline]
fn has_small_buffer(c: &Connection) -> bool {
    c.buffers.rx_size() <= SMALL_BUFFER * usize::from(c.tcb.mss)
}

/// Free bytes of the receive buffer, as a window.
fn room(c: &Connection) -> Size {
    (c.buffers.rx_size() as Size).saturating_sub(c.rx_len)
}
