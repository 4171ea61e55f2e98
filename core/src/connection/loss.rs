//! What was lost, and what is sent again for it: fast retransmit and NewReno (RFC 5681 §3.2, RFC 6582), limited transmit (RFC 3042), early
//! retransmit (RFC 5827), the tail loss probe (after RFC 8985 §7), and the timeout (RFC 6298 §5).

use crate::connection::congestion::Progress;
use crate::connection::flags::{Due, Marks};
use crate::connection::recovery::{DUP_THRESH, Phase, State};
use crate::connection::slot::Connection;
use crate::rules::tcb::Flags;
use crate::rules::verdict::State as TcpState;
use crate::size::saturated;
use crate::time::Millis;
use crate::wire::segment::{Control, Segment};

/// Segments that limited transmit lets out beyond the congestion window (RFC 3042).
const LIMITED: u8 = 2;
/// The soonest time of a tail loss probe: two ticks of a slow clock.
const LEAST_PROBE_MS: u32 = 10;

/// Numbers sent and not acknowledged.
#[inline]
pub(crate) fn flight(c: &Connection) -> u32 {
    c.tcb.snd_nxt.since(c.tcb.snd_una)
}

/// How much may be in flight for new data to be added. After a timeout nothing is added before all has been sent again.
#[inline]
pub(crate) fn allowance(c: &Connection) -> u32 {
    let (until, resent, duplicates) = (c.recovery.until, c.recovery.resent, c.recovery.duplicates());
    match c.recovery.phase() {
        Phase::Open | Phase::Probing => {
            c.congestion.window() + u32::from(duplicates.min(LIMITED)) * u32::from(c.tcb.mss)
        }
        // More by what has left the network.
        Phase::Fast => (c.congestion.window() + flight(c)).saturating_sub(pipe(c)),
        Phase::Timeout if c.sack.next_unsacked(resent.into()).0 < u32::from(until) => 0,
        Phase::Timeout => c.congestion.window(),
    }
}

/// Returns how much of that is in the network; without SACK no more is known.
pub(crate) fn pipe(c: &Connection) -> u32 {
    if c.sack.is_enabled() { c.sack.pipe(flight(c), c.recovery.resent.into(), lost_end(c)) } else { flight(c) }
}

/// Returns the end of what is lost for certain; what the peer has of it is not.
pub(crate) fn lost_end(c: &Connection) -> u32 {
    let lost_end = c.sack.lost_end(c.tcb.mss);
    if c.recovery.has(State::REST_LOST) { lost_end.max(c.recovery.until.into()) } else { lost_end }
}

/// Returns whether losses are made good one by one, as SACK names them.
pub(crate) fn is_selective(c: &Connection) -> bool {
    c.recovery.phase() == Phase::Fast && c.sack.is_enabled()
}

/// Returns whether more than one segment may go again, as far as the windows admit it.
#[inline]
pub(crate) fn has_many_to_resend(c: &Connection) -> bool {
    !c.recovery.is_open() && (c.recovery.phase() == Phase::Timeout || is_selective(c))
}

/// Returns whether a segment is a duplicate acknowledgment (RFC 5681 §2): the peer has got something, and not what it waits for. With SACK it says what,
/// and that is more than was known (RFC 6675 §2).
#[inline]
pub(crate) fn is_duplicate(c: &mut Connection, seg: &Segment<'_>) -> bool {
    if c.sack.is_enabled() {
        return update_scoreboard(c, seg);
    }
    let is_empty = seg.payload.is_empty() && !seg.header.control.intersects(Control::SYN | Control::FIN);
    flight(c) > 0 && is_empty && seg.header.ack == c.tcb.snd_una && c.tcb.scale.offered_in(&seg.header) == c.tcb.snd_wnd
}

/// Notes what the peer says that it has beyond SND.UNA; returns whether that is more than was known.
pub(crate) fn update_scoreboard(c: &mut Connection, seg: &Segment<'_>) -> bool {
    c.sack.update_scoreboard(&seg.header.options, c.tcb.snd_una, c.tcb.snd_nxt)
}

/// Counts a duplicate acknowledgment; new data may follow it.
pub(crate) fn count_duplicate(c: &mut Connection) {
    c.recovery.count_duplicate();
    if c.recovery.phase() == Phase::Fast && !c.sack.is_enabled() {
        c.congestion.inflate(1, c.tcb.mss);
    }
}

/// Returns whether the duplicates mean a loss, for which the front is sent again now. `is_sending` says whether new data follows, which draws more of them.
pub(crate) fn do_duplicates_mean_loss(c: &mut Connection, is_sending: bool) -> bool {
    if matches!(c.recovery.phase(), Phase::Fast | Phase::Timeout) {
        return false;
    }
    let mss = c.tcb.mss;
    let segments = flight(c).div_ceil(u32::from(mss).max(1));
    // Too few are out to bring as many (RFC 5827 §3.1).
    let is_early = !is_sending && (2..=u32::from(DUP_THRESH)).contains(&segments);
    let (duplicates, is_enabled) = (c.recovery.duplicates(), c.sack.is_enabled());
    let is_lost = if is_enabled {
        let is_all_but_one_there = is_early && c.sack.sacked_bytes() + u32::from(mss) >= flight(c);
        duplicates >= DUP_THRESH || c.sack.lost_end(mss) > 0 || is_all_but_one_there
    } else {
        // What was sent again in vain is acknowledged once more. Where one is enough, that would be taken for a loss, and so on for ever.
        let early = (segments as u8).saturating_sub(1).saturating_add(c.recovery.echoes());
        let enough = if is_early { early.min(DUP_THRESH) } else { DUP_THRESH };
        duplicates >= enough && !c.recovery.has(State::AT_END)
    };
    if is_lost {
        // What limited transmit has let out does not count.
        let flight_then = flight(c).min(c.congestion.window());
        reduce(c, flight_then, flight(c));
        if !is_enabled {
            c.congestion.inflate(c.recovery.duplicates().into(), mss);
        }
        send_front_again(c, Phase::Fast);
    }
    is_lost
}

/// Reduces the window for a loss: by `flight`, which is what counts of the numbers that are `out`. A window of data reduces it once, whether the network marks
/// or drops (RFC 3168 §6.1.2).
#[cfg_attr(feature = "ecn", inline(never))]
fn reduce(c: &mut Connection, flight: u32, out: u32) {
    if !c.ecn.is_held() {
        c.congestion.on_loss(flight, c.tcb.mss);
        c.ecn.reduced(out);
    }
}

/// The peer tells of a mark: as of a loss, but nothing is sent again.
#[cold]
pub(crate) fn reduce_for_mark(c: &mut Connection) {
    let out = flight(c);
    if out > 0 && matches!(c.recovery.phase(), Phase::Open | Phase::Probing) {
        let window = c.congestion.window();
        // Two segments are left at least: a smaller window would grow.
        if window >= 2 * u32::from(c.tcb.mss) {
            c.congestion.on_loss(out.min(window), c.tcb.mss);
        }
        c.ecn.reduced(out);
    }
}

/// SND.UNA has moved by `n`, of `flight` that were out. `is_late` says that it was no tail loss probe that drew the answer.
#[inline]
pub(crate) fn progressed(c: &mut Connection, n: u32, flight: u32, is_late: bool, now: Millis) {
    c.recovery.forget_duplicates();
    // Reno does not ask for it.
    let srtt_ms = if cfg!(feature = "cubic") { c.rtt.smoothed_ms().unwrap_or(0) } else { 0 };
    let progress = Progress { now, acked: n, flight, srtt_ms };
    if c.recovery.is_open() {
        c.recovery.pass(n);
        // While marks of what was out arrive the window does not grow.
        if !c.ecn.is_held() {
            c.congestion.on_ack(&progress, c.tcb.mss, false);
        }
    } else {
        progressed_in_recovery(c, &progress, is_late);
    }
    c.ecn.acknowledged(n);
}

fn progressed_in_recovery(c: &mut Connection, progress: &Progress, is_late: bool) {
    let &Progress { acked: n, flight, .. } = progress;
    let (mss, phase) = (c.tcb.mss, c.recovery.phase());
    let is_of_resent = n <= c.recovery.resent.into();
    let is_over = c.recovery.advance(n, flight);
    match phase {
        Phase::Open => {}
        Phase::Probing if is_late => c.recovery.end(flight.saturating_sub(n)),
        // The answer to the probe: there was a loss (RFC 8985 §7.4), and what follows is perhaps lost as well.
        Phase::Probing => {
            reduce(c, flight, flight);
            if !is_over {
                c.recovery.enter(Phase::Fast);
            }
        }
        Phase::Fast if is_over => c.congestion.on_recovered(flight.saturating_sub(n), mss),
        // Whatever left before what was sent again, and arrived, is told with it (after RFC 8985 §6.2).
        Phase::Fast if c.sack.is_enabled() => {
            let is_rest_lost = is_of_resent && c.sack.sacked_end() == 0;
            c.recovery.set(State::REST_LOST, c.recovery.has(State::REST_LOST) || is_rest_lost);
        }
        Phase::Fast => c.congestion.deflate(n, mss),
        Phase::Timeout => {
            let used = Progress { flight: c.congestion.window(), ..*progress };
            c.congestion.on_ack(&used, mss, true);
        }
    }
    // Without SACK one hole is made good at a time, however it is acknowledged.
    let is_next = c.recovery.resent == 0 || c.sack.is_enabled();
    let is_due = c.recovery.phase() == Phase::Timeout || c.recovery.phase() == Phase::Fast && is_next;
    c.due.set(Due::RESEND, is_due);
}

/// What was out was sent again up to `end`, which counts from SND.UNA.
pub(crate) fn sent_again(c: &mut Connection, end: u32) {
    c.recovery.count_echo();
    c.recovery.resent = c.recovery.resent.max(saturated(end));
    if !has_many_to_resend(c) {
        c.clear(Due::RESEND);
    }
}

/// The retransmission timer has expired, or what was sent in vain is to be sent at once.
pub(crate) fn begin_timeout(c: &mut Connection) {
    // Lost again, without progress, it says nothing new about the path (RFC 5681 §3.1).
    let is_first = c.recovery.phase() != Phase::Timeout || c.retries <= 1;
    send_all_again(c, is_first);
}

/// All that is out is sent again, by slow start; with `is_loss` because it was lost.
pub(crate) fn send_all_again(c: &mut Connection, is_loss: bool) {
    if c.tcb.state().is_synchronized() {
        c.congestion.on_timeout(flight(c), c.tcb.mss, is_loss);
        c.ecn.reduced(flight(c));
        c.recovery.forget_duplicates();
        c.sack.clear_scoreboard();
    }
    send_front_again(c, Phase::Timeout);
}

/// How long after it was sent the tail is probed, where that is sooner than `rto_ms`. A segment alone may be acknowledged late by a peer that delays
/// it: at least two must be out.
#[inline]
pub(crate) fn probe_ms(c: &Connection, rto_ms: u32) -> Option<u32> {
    let is_open = c.recovery.is_open() && flight(c) > u32::from(c.tcb.mss);
    // A last word that was sent in vain would be acknowledged to a connection that is gone.
    if !is_open
        || c.tcb.state() == TcpState::LastAck
        || c.recovery.has(State::PROBE_SPENT)
        || c.retries > 0
        || c.backoff > 0
        || c.marks.intersects(Marks::PERSIST | Marks::LAST_TRY)
    {
        return None;
    }
    let probe_ms = c.rtt.answer_ms()?.max(LEAST_PROBE_MS);
    (probe_ms < rto_ms && c.tcb.snd_wnd > 0 && !c.has(Flags::PROBE_OUT)).then_some(probe_ms)
}

/// Nothing was heard for longer than a round trip takes: the front is sent again, once, before the timeout.
pub(crate) fn probe_tail(c: &mut Connection) {
    c.recovery.set(State::PROBE_SPENT, true);
    send_front_again(c, Phase::Probing);
}

fn send_front_again(c: &mut Connection, phase: Phase) {
    c.rtt.cancel();
    c.recovery.begin(phase, flight(c));
    c.set(Due::RESEND);
}
