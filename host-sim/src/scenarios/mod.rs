//! The scenarios: each tells one story of how a connection begins, breaks or ends, and judges it.

mod closing;
mod forged;
mod half_open;
mod handshake;
mod idle;
mod losing;
mod opening;
mod script;

use anyhow::Result;

use crate::world::World;

/// One story.
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What must hold.
    pub title: &'static str,
    /// It needs a clock that can be turned: only two cores in memory have one.
    pub needs_virtual_time: bool,
    /// Plays it; an error says what did not hold.
    pub play: fn(&mut World<'_>) -> Result<()>,
}

const fn scenario(name: &'static str, title: &'static str, play: fn(&mut World<'_>) -> Result<()>) -> Scenario {
    Scenario { name, title, needs_virtual_time: false, play }
}

/// All of them, in the order they run.
pub const SCENARIOS: &[Scenario] = &[
    scenario("echo-we-close", "echo of 1 MiB, then we close first", closing::we_close_first),
    scenario("echo-peer-closes", "echo of 1 MiB, then the peer closes first", closing::peer_closes_first),
    scenario("echo-both-close", "echo of 1 MiB, then both close at once", closing::both_close),
    scenario(
        "echo-peer-half-closes",
        "echo of 1 MiB, the peer half-closes, we go on sending",
        closing::peer_half_closes,
    ),
    scenario("echo-we-half-close", "echo of 1 MiB, we half-close, the peer goes on sending", closing::we_half_close),
    scenario("simultaneous-open", "both sides open at once: one connection", opening::simultaneous_open),
    scenario("refused-by-us", "a SYN to a closed port of ours: ECONNREFUSED", opening::refused_by_us),
    scenario("refused-by-peer", "a SYN to a closed port of the peer: Refused", opening::refused_by_peer),
    scenario("we-restart", "we restart silently: the peer's next segment draws RST", half_open::we_restart),
    scenario("peer-vanishes", "the peer vanishes: our next segment draws RST", half_open::peer_vanishes),
    scenario(
        "peer-reboots",
        "a rebooted peer reuses its port: challenge, RST, new connection",
        half_open::peer_reboots,
    ),
    scenario("we-reboot", "we reboot and reuse our port: challenge, RST, new connection", half_open::we_reboot),
    scenario("forged-rst-in-window", "a forged RST in the window: challenged, the echo goes on", forged::rst_in_window),
    scenario("forged-rst-exact", "an RST at the exact number: reset, and told why", forged::rst_exact),
    scenario("forged-rst-outside", "a forged RST outside the window: nothing", forged::rst_outside),
    scenario("forged-syn", "a forged SYN on a live connection: challenged", forged::syn),
    scenario("forged-text", "forged text with a wrong acknowledgement: challenged, not delivered", forged::text),
    scenario("rst-in-listen", "RST to a listener: the next client is served", handshake::rst_in_listen),
    scenario(
        "rst-in-syn-received",
        "RST to a half-open connection: the next client is served",
        handshake::rst_in_syn_received,
    ),
    scenario(
        "bad-ack-in-syn-sent",
        "a wrong ACK in SYN-SENT: RST, the attempt goes on",
        handshake::bad_ack_in_syn_sent,
    ),
    scenario(
        "bad-ack-in-syn-received",
        "a wrong ACK in SYN-RECEIVED: RST, the handshake goes on",
        handshake::bad_ack_in_syn_received,
    ),
    scenario("close-unread", "close with unread data: RST, the peer sees it", losing::close_with_unread),
    scenario("data-after-close", "data after close: RST, the peer sees it", losing::data_after_close),
    scenario("abort-closed-window", "abort into a closed window: the peer obeys", losing::abort_into_closed_window),
    scenario(
        "fresh-after-our-reset",
        "after our reset the same ports connect at once",
        half_open::fresh_after_our_reset,
    ),
    scenario(
        "fresh-after-peer-reset",
        "after the peer's reset the same ports connect at once",
        half_open::fresh_after_peer_reset,
    ),
    scenario(
        "time-wait-reopens",
        "the peer's new SYN in our TIME-WAIT: a new connection at once",
        half_open::time_wait_reopens,
    ),
    Scenario {
        name: "idle-60-days",
        title: "60 idle days, across the wraps of 2^32 us and 2^32 ms: data flows",
        needs_virtual_time: true,
        play: idle::sixty_days,
    },
];
