//! What must hold of the firmware, on the board's own Ethernet, against the kernel's TCP.

mod attacks;
mod breaking;
mod serving;

use std::time::Instant as WallClock;

use anyhow::Result;

use super::BOARD_ADDR;
use super::lab::Lab;
use crate::report::{Outcome, print_table, tell};

/// A scenario. It begins with a board powered on, without a server for its client, and may leave it in any state.
pub(super) struct Scenario {
    /// What `--scenario` calls it.
    pub(super) name: &'static str,
    /// What must hold.
    pub(super) title: &'static str,
    play: fn(&mut Lab) -> Result<()>,
}

/// All of them, in the order they are played.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "start",
        title: "boots, says so as it always did, and gets its address by DHCP",
        play: serving::start,
    },
    Scenario { name: "ping", title: "answers ping, of every length that fits", play: serving::ping_answers },
    Scenario { name: "echo", title: "256 KiB come back unchanged, three clients at once", play: serving::echo_service },
    Scenario { name: "discard", title: "takes 64 KiB and says nothing", play: serving::discard_service },
    Scenario {
        name: "ports",
        title: "closed ports refuse, open ones do not, and no ICMP calls TCP unreachable",
        play: serving::ports,
    },
    Scenario {
        name: "status-page",
        title: "the page that curl fetches agrees with what was done",
        play: serving::status_page,
    },
    Scenario {
        name: "bad-requests",
        title: "strange requests get their error, slow clients do not keep others out",
        play: serving::bad_requests,
    },
    Scenario {
        name: "client",
        title: "connects to its server, reconnects, says why it lost the last one",
        play: serving::client,
    },
    Scenario {
        name: "forged-rst-in-window",
        title: "is challenged, counted and logged; the connection lives",
        play: attacks::rst_in_window,
    },
    Scenario { name: "forged-rst-outside", title: "is dropped, the connection lives", play: attacks::rst_outside },
    Scenario {
        name: "forged-rst-exact",
        title: "ends the connection; the kernel learns it when it speaks",
        play: attacks::rst_exact,
    },
    Scenario { name: "forged-syn", title: "is challenged wherever it sits, the connection lives", play: attacks::syn },
    Scenario {
        name: "syn-flood",
        title: "a client is served and ping answered while 4,000 SYNs come from nowhere",
        play: attacks::syn_flood,
    },
    Scenario { name: "garbage", title: "damaged, strange and endless frames do no harm", play: attacks::garbage },
    Scenario {
        name: "board-restarts",
        title: "the kernel's old connection is told by RST, and a fresh one opens",
        play: breaking::board_restarts,
    },
    Scenario {
        name: "peer-vanishes",
        title: "a peer that is gone is found out by its RST",
        play: breaking::peer_vanishes,
    },
    Scenario {
        name: "peer-reboots",
        title: "a peer that reuses its port gets through at once",
        play: breaking::peer_reboots,
    },
    Scenario { name: "cable", title: "a cable pulled for a moment ends no connection", play: breaking::cable },
    Scenario {
        name: "other-address",
        title: "with another address from DHCP the old connections end, the services go on",
        play: breaking::other_address,
    },
    Scenario {
        name: "planned-restart",
        title: "before a planned restart every peer is told by RST, accepted or not",
        play: breaking::planned_restart,
    },
    Scenario {
        name: "panic",
        title: "a panic is logged and restarts the board, which knows why; its old peers are told",
        play: breaking::panic,
    },
    Scenario {
        name: "static-address",
        title: "without DHCP, and without an answer from it, the fixed address is used",
        play: serving::static_address,
    },
    Scenario {
        name: "slow-router",
        title: "a router that comes back late finds the board and its connections where they were",
        play: breaking::slow_router,
    },
    Scenario {
        name: "sleeps",
        title: "an idle board with a connection takes no processor time",
        play: serving::sleeps,
    },
    Scenario { name: "stack", title: "the deepest use of the stack stays within its bound", play: serving::stack },
];

/// Plays scenarios; says whether all hold.
pub(super) fn play_all(lab: &mut Lab, scenarios: &[&'static Scenario]) -> bool {
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let began = WallClock::now();
        let before = lab.cable.count(|_, _| true);
        let result = ready(lab).and_then(|()| (scenario.play)(lab));
        let outcome = Outcome {
            name: scenario.name,
            title: scenario.title,
            peer: "board",
            segments: lab.cable.count(|_, _| true).saturating_sub(before),
            took: began.elapsed(),
            result,
        };
        tell(&outcome);
        if outcome.result.is_err() {
            for line in lab.log.lines().iter().rev().take(20).rev() {
                anstream::println!("    {line}");
            }
        }
        outcomes.push(outcome);
    }
    print_table(&outcomes);
    outcomes.iter().all(|outcome| outcome.result.is_ok())
}

/// A board that runs as it should is left running, so that what earlier scenarios did to it counts.
fn ready(lab: &mut Lab) -> Result<()> {
    lab.cable.lease(Some(BOARD_ADDR));
    if lab.machine().is_ok() && lab.status().is_ok_and(|status| status["client_server"] == "none") {
        return Ok(());
    }
    lab.power_on(&[])
}
