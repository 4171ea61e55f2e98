//! The scenarios: each tells one story of how a connection begins, breaks or ends, and judges it.

mod closing;
mod crowding;
mod forged;
mod half_open;
mod handshake;
mod idle;
mod keeping;
mod losing;
mod lost;
mod opening;
mod power;
mod reasons;
mod rebooting;
mod silence;
mod sockstress;
mod timing;

use anyhow::Result;

use crate::judge::{Leaves, Rst};
use crate::tuning::Tuning;
use crate::world::World;

/// One story.
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What must hold.
    pub title: &'static str,
    /// It needs a clock that can be turned: only two cores in memory have one.
    pub needs_virtual_time: bool,
    /// It judges no single frame, so it holds on a hostile wire too.
    pub holds_when_hostile: bool,
    /// The RSTs that are seen on the wire.
    pub resets: &'static [Rst],
    /// What our tables hold at its end.
    pub leaves: Leaves,
    /// The settings of our endpoint.
    pub tuning: fn() -> Tuning,
    /// Plays it; an error says what did not hold.
    pub play: fn(&mut World<'_>) -> Result<()>,
}

/// A story that leaves one connection, open, and sees no RST.
const fn scenario(name: &'static str, title: &'static str, play: fn(&mut World<'_>) -> Result<()>) -> Scenario {
    Scenario {
        name,
        title,
        needs_virtual_time: false,
        holds_when_hostile: false,
        resets: &[],
        leaves: (1, 0, 0),
        tuning: Tuning::usual,
        play,
    }
}

impl Scenario {
    const fn resets(self, resets: &'static [Rst]) -> Scenario {
        Scenario { resets, ..self }
    }

    const fn leaves(self, connections: usize, half_open: usize, time_wait: usize) -> Scenario {
        Scenario { leaves: (connections, half_open, time_wait), ..self }
    }

    const fn tuned(self, tuning: fn() -> Tuning) -> Scenario {
        Scenario { tuning, ..self }
    }

    const fn in_memory(self) -> Scenario {
        Scenario { needs_virtual_time: true, ..self }
    }

    const fn or_hostile(self) -> Scenario {
        Scenario { holds_when_hostile: true, ..self }
    }
}

/// All of them, in the order they run.
pub const SCENARIOS: &[Scenario] = &[
    scenario("echo-we-close", "echo of 1 MiB, then we close first", closing::we_close_first)
        .leaves(0, 0, 1)
        .or_hostile(),
    scenario("echo-peer-closes", "echo of 1 MiB, then the peer closes first", closing::peer_closes_first)
        .leaves(0, 0, 0)
        .or_hostile(),
    scenario("echo-both-close", "echo of 1 MiB, then both close at once", closing::both_close)
        .leaves(0, 0, 1)
        .tuned(timing::short_time_wait)
        .or_hostile(),
    scenario(
        "echo-peer-half-closes",
        "echo of 1 MiB, the peer half-closes, we go on sending",
        closing::peer_half_closes,
    )
    .leaves(0, 0, 0)
    .or_hostile(),
    scenario("echo-we-half-close", "echo of 1 MiB, we half-close, the peer goes on sending", closing::we_half_close)
        .leaves(1, 0, 1)
        .or_hostile(),
    scenario("simultaneous-open", "both sides open at once: one connection", opening::simultaneous_open),
    scenario("refused-by-us", "a SYN to a closed port of ours: ECONNREFUSED", opening::refused_by_us)
        .resets(&[Rst::ours("RST,ACK SEQ=0 ACK=1")])
        .leaves(0, 0, 0),
    scenario("refused-by-peer", "a SYN to a closed port of the peer: Refused", opening::refused_by_peer)
        .resets(&[Rst::theirs("RST,ACK SEQ=0 ACK=1")]),
    scenario("we-restart", "we restart silently: the peer's next segment draws RST", half_open::we_restart)
        .resets(&[Rst::ours("RST SEQ=101")])
        .leaves(0, 0, 0)
        .or_hostile(),
    scenario("peer-vanishes", "the peer vanishes: our next segment draws RST", half_open::peer_vanishes)
        .resets(&[Rst::theirs("RST SEQ=101")])
        .or_hostile(),
    scenario(
        "peer-reboots",
        "a rebooted peer reuses its port: challenge, RST, new connection",
        half_open::peer_reboots,
    )
    .resets(&[Rst::theirs("RST SEQ=101′")])
    .leaves(2, 0, 0),
    scenario("we-reboot", "we reboot and reuse our port: challenge, RST, new connection", half_open::we_reboot)
        .resets(&[Rst::ours("RST SEQ=101′")]),
    scenario("forged-rst-in-window", "a forged RST in the window: challenged, the echo goes on", forged::rst_in_window),
    scenario("forged-rst-exact", "an RST at the exact number: reset, and told why", forged::rst_exact)
        .resets(&[Rst::ours("RST SEQ=101")]),
    scenario(
        "forged-rst-outside",
        "a forged RST outside the window: nothing, at its very edges a challenge",
        forged::rst_outside,
    ),
    scenario("forged-syn", "a forged SYN on a live connection: challenged", forged::syn),
    scenario("forged-text", "forged text with a wrong acknowledgement: challenged, not delivered", forged::text),
    scenario("rst-in-listen", "RST to a listener: the next client is served", handshake::rst_in_listen),
    scenario(
        "rst-in-syn-received",
        "RST to a half-open connection: the next client is served",
        handshake::rst_in_syn_received,
    )
    .resets(&[Rst::theirs("RST SEQ=1").times(2, 2)]),
    scenario(
        "bad-ack-in-syn-sent",
        "a wrong ACK in SYN-SENT: RST, the attempt goes on",
        handshake::bad_ack_in_syn_sent,
    )
    .resets(&[Rst::ours("RST SEQ=-100000").times(2, 2)]),
    scenario(
        "bad-ack-in-syn-received",
        "a wrong ACK in SYN-RECEIVED: RST, the handshake goes on",
        handshake::bad_ack_in_syn_received,
    )
    .resets(&[Rst::ours("RST SEQ=-100000")]),
    scenario("close-unread", "close with unread data: RST, the peer sees it", losing::close_with_unread)
        .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=201")])
        .leaves(0, 0, 0),
    scenario("data-after-close", "data after close: RST, the peer sees it", losing::data_after_close)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=101")])
        .leaves(0, 0, 0),
    scenario("abort-closed-window", "abort into a closed window: the peer obeys", losing::abort_into_closed_window)
        .leaves(0, 0, 0),
    scenario(
        "fresh-after-our-reset",
        "after our reset the same ports connect at once",
        half_open::fresh_after_our_reset,
    )
    .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=101")]),
    scenario(
        "fresh-after-peer-reset",
        "after the peer's reset the same ports connect at once",
        half_open::fresh_after_peer_reset,
    )
    .resets(&[Rst::theirs("RST,ACK SEQ=101 ACK=101")])
    .leaves(2, 0, 0),
    scenario(
        "time-wait-reopens",
        "the peer's new SYN in our TIME-WAIT: a new connection at once",
        half_open::time_wait_reopens,
    ),
    scenario("last-ack-lost", "our last ACK is lost: in TIME-WAIT we answer the FIN that comes again", lost::last_ack)
        .leaves(0, 0, 1),
    scenario("cable-pulled", "the cable is pulled for a second: nothing is lost", silence::cable_pulled).or_hostile(),
    scenario("back-off", "no answer: each retransmission waits twice as long as the last", silence::back_off)
        .tuned(timing::quick),
    scenario("silent-peer", "no answer until R2: TimedOut, an RST is tried, the peer learns it later", silence::r2)
        .tuned(timing::short_r2)
        .resets(&[Rst::ours("RST,ACK SEQ=121 ACK=101"), Rst::ours("RST SEQ=101")]),
    scenario("silent-closed-window", "no answer to window probes until R2: TimedOut", silence::closed_window)
        .tuned(timing::short_probes),
    scenario("window-reopens", "the peer's window update is lost: a probe finds the window open", lost::window_update)
        .tuned(timing::quick),
    scenario("silent-to-syn", "no answer to our SYN: it backs off, then TimedOut", silence::connect)
        .tuned(timing::short_connect),
    scenario("syn-ack-lost", "our SYN,ACK is lost: our timer sends it again, the client is served", lost::syn_ack),
    scenario("half-open-expires", "our SYN,ACK stays unanswered: the peer is told by RST", silence::half_open_expires)
        .tuned(timing::short_half_open)
        .leaves(0, 0, 0)
        .resets(&[Rst::ours("RST SEQ=1")]),
    scenario(
        "orphan-closed-window",
        "we closed, the peer never reads: it is reset in time",
        silence::orphan_closed_window,
    )
    .tuned(timing::short_orphan)
    .leaves(0, 0, 0),
    scenario(
        "orphan-without-fin",
        "we closed, the peer never does: the slot is freed in time",
        silence::orphan_without_fin,
    )
    .tuned(timing::short_orphan)
    .leaves(0, 0, 0)
    .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=101")]),
    scenario(
        "unread-ack-lost",
        "close with unread data in CLOSE-WAIT, our ACK lost: ECONNRESET",
        silence::unread_ack_lost,
    )
    .leaves(0, 0, 0)
    .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=202")]),
    scenario("unread-rst-lost", "the same with our RST lost too: the next segment draws it", silence::unread_rst_lost)
        .leaves(0, 0, 0)
        .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=202"), Rst::ours("RST SEQ=101").times(1, 2)]),
    scenario(
        "silent-idle",
        "the cable is pulled while all is idle: keepalive ends it, the peer learns it later",
        power::idle_cable,
    )
    .tuned(timing::watchful)
    .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=101"), Rst::ours("RST SEQ=101")]),
    scenario("power-idle", "the peer loses power while all is idle: keepalive, the client comes back", power::idle)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=101")]),
    scenario("power-data", "the peer loses power, data in flight: user timeout, the client comes back", power::data)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=121 ACK=101")]),
    scenario("power-data-r2", "the same without a user timeout: R2", power::data_r2)
        .tuned(timing::short_probes)
        .resets(&[Rst::ours("RST,ACK SEQ=121 ACK=101")]),
    scenario("power-window", "the peer loses power, its window closed: user timeout, it comes back", power::window)
        .tuned(timing::watchful),
    scenario("power-fin-wait-1", "the peer loses power before our FIN comes: user timeout", power::fin_wait_1)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=101")]),
    scenario("power-fin-wait-2", "the peer loses power, we are in FIN-WAIT-2: keepalive", power::fin_wait_2)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=101")]),
    scenario("power-orphan", "the same with our application gone: the limit for orphans", power::orphan)
        .tuned(timing::short_orphan)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=101")]),
    scenario("power-orphan-last-ack", "our application gone in LAST-ACK: the same limit", power::orphan_last_ack)
        .tuned(timing::short_orphan)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=102")]),
    scenario("power-close-wait", "the peer loses power, we are in CLOSE-WAIT: keepalive", power::close_wait)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=102")]),
    scenario("power-closing", "the peer loses power when the FINs have crossed: user timeout", power::closing)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=102")]),
    scenario("power-last-ack", "the peer loses power before our last FIN comes: user timeout", power::last_ack)
        .tuned(timing::watchful)
        .resets(&[Rst::ours("RST,ACK SEQ=102 ACK=102")]),
    scenario(
        "keepalive-answered",
        "our keepalive is answered: an idle connection lives, then carries data",
        keeping::peer_answers,
    )
    .tuned(timing::unhurried),
    scenario(
        "keepalive-half-closed",
        "the same in FIN-WAIT-2: the peer may go on for as long as it is there",
        keeping::peer_answers_half_closed,
    )
    .tuned(timing::unhurried),
    scenario("peer-keepalive", "we answer the peer's keepalive: an idle connection lives", keeping::peer_asks),
    scenario("peer-keepalive-idle", "the peer's keepalive does not move our idle timeout", keeping::peer_asks_idle)
        .tuned(timing::short_idle)
        .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=101")]),
    scenario(
        "we-lose-power-idle",
        "we lose power while all is idle: the peer's keepalive, ETIMEDOUT",
        keeping::peer_asks_in_vain,
    )
    .resets(&[Rst::theirs("RST,ACK SEQ=101 ACK=101")]),
    scenario(
        "we-lose-power-data",
        "we lose power, the peer's data in flight: its user timeout, ETIMEDOUT",
        keeping::peer_waits_in_vain,
    )
    // Linux sends none.
    .resets(&[Rst::theirs("RST,ACK SEQ=121 ACK=101").times(0, 1)]),
    scenario(
        "our-window-stays-closed",
        "nobody reads here: we answer each window probe, nothing is lost",
        keeping::our_window_stays_closed,
    ),
    scenario(
        "peer-user-timeout",
        "the same until the peer's user timeout: both applications are told",
        keeping::our_window_stays_closed_too_long,
    )
    // Linux ends it in silence and answers what we say afterwards, a second core sends RST at once.
    .resets(&[Rst::theirs("RST SEQ=16385").times(0, 2), Rst::theirs("RST,ACK SEQ=16385 ACK=1").times(0, 1)]),
    scenario(
        "sockstress",
        "7 starved connections: each ended within the budget, an honest client served",
        sockstress::bounded,
    )
    .tuned(timing::on_guard)
    .leaves(2, 0, 0)
    .resets(&[
        Rst::ours("RST,ACK SEQ=1 ACK=1").times(3, 3),
        Rst::ours("RST,ACK SEQ=501 ACK=11").times(2, 2),
        Rst::ours("RST,ACK SEQ=1 ACK=11"),
        Rst::ours("RST,ACK SEQ=4 ACK=11"),
    ]),
    scenario(
        "sockstress-evicted",
        "the same without limits: an honest client takes the longest idle's place",
        sockstress::evicted,
    )
    .tuned(timing::making_way)
    .leaves(8, 0, 0)
    .resets(&[
        Rst::ours("RST,ACK SEQ=1 ACK=1"),
        Rst::ours("RST,ACK SEQ=501 ACK=11"),
        Rst::ours("RST,ACK SEQ=1 ACK=11"),
    ]),
    scenario(
        "reboot-all-told",
        "we reboot with a journal: 6 processes see ECONNRESET in 2 round trips",
        rebooting::all_are_told,
    )
    .resets(&[Rst::ours("RST SEQ=101").times(6, 6)])
    .leaves(0, 0, 0),
    scenario(
        "reboot-numbers-noted",
        "the same with SND.NXT noted: the exact RST, in half a round trip",
        rebooting::numbers_were_noted,
    )
    .resets(&[Rst::ours("RST SEQ=101").times(6, 6)])
    .leaves(0, 0, 0),
    scenario(
        "reboot-any-peer",
        "whatever TCP the peer has: told by the second question",
        rebooting::all_are_told_by_the_second,
    )
    // An acknowledgment that lwIP held back draws one more.
    .resets(&[Rst::ours("RST SEQ=101").times(6, 12)])
    .leaves(0, 0, 0),
    scenario("reboot-question-lost", "our first question is lost: told by the second", rebooting::question_lost)
        .resets(&[Rst::ours("RST SEQ=101")])
        .leaves(0, 0, 0),
    scenario("reboot-answer-lost", "the peer's first answer is lost: told by the second", rebooting::answer_lost)
        .resets(&[Rst::ours("RST SEQ=101")])
        .leaves(0, 0, 0),
    scenario("reboot-rst-lost", "our first RST is lost: told by the second", rebooting::rst_lost)
        .resets(&[Rst::ours("RST SEQ=101").times(2, 2)])
        .leaves(0, 0, 0),
    scenario("reboot-peer-gone", "the peer has no connection any more: one question", rebooting::peer_is_gone)
        .leaves(0, 0, 0),
    scenario("reboot-peer-again", "the peer's client comes again, same port: served", rebooting::peer_comes_again),
    scenario("reboot-we-again", "we connect again from the same port: told, served", rebooting::we_come_again)
        // Before the new SYN has left, or after it.
        .resets(&[Rst::ours("RST SEQ=101").times(0, 2), Rst::ours("RST SEQ=101′").times(0, 2)]),
    scenario("reboot-elsewhere", "we reboot on another address: nobody is asked", rebooting::on_another_address)
        .resets(&[Rst::ours("RST SEQ=101")])
        .leaves(0, 0, 0),
    scenario("reboot-garbage", "garbage where the journal is: nobody is asked", rebooting::garbage)
        .resets(&[Rst::ours("RST SEQ=101").times(2, 4)])
        .leaves(0, 0, 0),
    scenario("reason-ours", "our RST says why: the peer obeys", reasons::we_say_why)
        .tuned(reasons::speaking)
        .resets(&[Rst::ours("RST,ACK SEQ=101 ACK=101 LEN=8")])
        .leaves(0, 0, 0),
    scenario("reason-refused", "a SYN to a closed port is told why", reasons::we_say_why_to_a_stranger)
        .tuned(reasons::speaking)
        // A second core's SYN is too short for that.
        .resets(&[Rst::ours("RST,ACK SEQ=0 ACK=1 LEN=8").times(0, 1), Rst::ours("RST,ACK SEQ=0 ACK=1").times(0, 1)])
        .leaves(0, 0, 0),
    scenario("reason-theirs", "the peer's RST says why: our application reads it", reasons::peer_says_why)
        .tuned(reasons::speaking)
        .resets(&[Rst::ours("RST SEQ=101 LEN=8").times(2, 2)])
        .leaves(0, 0, 0),
    scenario("challenge-quota", "100 forged RSTs in the window: few challenges, the echo goes on", crowding::quota),
    scenario("backlog-soak", "210 clients, a third reset before accept: every slot returns", crowding::soak)
        .tuned(timing::small_backlog)
        .leaves(0, 0, 1)
        .resets(&[
            Rst::theirs("RST,ACK SEQ=1 ACK=1").times(crowding::ROUNDS, crowding::ROUNDS),
            Rst::ours("RST,ACK SEQ=1 ACK=1").times(crowding::ROUNDS, crowding::ROUNDS),
        ]),
    scenario("idle-60-days", "60 idle days, across the wraps of 2^32 us and 2^32 ms: data flows", idle::sixty_days)
        .in_memory(),
];
