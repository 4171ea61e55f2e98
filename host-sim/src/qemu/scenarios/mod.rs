//! What must hold of the firmware, on the board's own Ethernet, against the kernel's TCP.

mod attacks;
mod breaking;
mod holding;
mod page;
mod resetting;
mod serving;

use std::time::Instant as WallClock;

use anyhow::Result;

use super::BOARD_ADDR;
use super::lab::Lab;
use crate::family::Family;
use crate::report::{Outcome, print_table, tell};

/// A scenario. It begins with a board powered on, without a server for its client, and may leave it in any state.
pub(super) struct Scenario {
    /// What `--scenario` calls it.
    pub(super) name: &'static str,
    /// What must hold.
    pub(super) title: &'static str,
    /// The families that the board is spoken to in, one after the other.
    pub(super) families: &'static [Family],
    play: fn(&mut Lab) -> Result<()>,
}

const BOTH: &[Family] = &Family::ALL;
/// What has to do with DHCP or is no matter of a family.
const V4: &[Family] = &[Family::Ipv4];
const V6: &[Family] = &[Family::Ipv6];

/// All of them, in the order they are played.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "start",
        title: "boots, says so as it always did, and gets its address by DHCP",
        families: V4,
        play: serving::start,
    },
    Scenario {
        name: "ping",
        title: "answers ping, of every length that fits",
        families: BOTH,
        play: serving::ping_answers,
    },
    Scenario {
        name: "echo",
        title: "256 KiB come back unchanged, three clients at once",
        families: BOTH,
        play: serving::echo_service,
    },
    Scenario {
        name: "discard",
        title: "takes 64 KiB and says nothing",
        families: BOTH,
        play: serving::discard_service,
    },
    Scenario {
        name: "ports",
        title: "closed ports refuse, open ones do not, and no ICMP calls TCP unreachable",
        families: BOTH,
        play: serving::ports,
    },
    Scenario {
        name: "status-page",
        title: "the page that curl fetches agrees with what was done",
        families: BOTH,
        play: serving::status_page,
    },
    Scenario {
        name: "strangers-page",
        title: "a stranger's status page shows no connection to aim at, and no forged segment's verdict",
        families: BOTH,
        play: page::strangers_page,
    },
    Scenario {
        name: "bad-requests",
        title: "strange requests get their error, slow clients do not keep others out",
        families: BOTH,
        play: serving::bad_requests,
    },
    Scenario {
        name: "client",
        title: "connects to its server, reconnects, says why it lost the last one",
        families: BOTH,
        play: serving::client,
    },
    Scenario {
        name: "forged-rst-in-window",
        title: "is challenged, counted and logged; the connection lives",
        families: BOTH,
        play: attacks::rst_in_window,
    },
    Scenario {
        name: "forged-rst-outside",
        title: "is dropped, the connection lives",
        families: BOTH,
        play: attacks::rst_outside,
    },
    Scenario {
        name: "forged-rst-exact",
        title: "ends the connection; the kernel learns it when it speaks",
        families: BOTH,
        play: attacks::rst_exact,
    },
    Scenario {
        name: "forged-syn",
        title: "is challenged wherever it sits, the connection lives",
        families: BOTH,
        play: attacks::syn,
    },
    Scenario {
        name: "syn-flood",
        title: "a client is served and ping answered while 4,000 SYNs come from nowhere",
        families: BOTH,
        play: attacks::syn_flood,
    },
    Scenario {
        name: "garbage",
        title: "damaged, strange and endless frames do no harm",
        families: BOTH,
        play: attacks::garbage,
    },
    Scenario {
        name: "board-restarts",
        title: "the kernel's old connection is told by RST, and a fresh one opens",
        families: BOTH,
        play: breaking::board_restarts,
    },
    Scenario {
        name: "peer-vanishes",
        title: "a peer that is gone is found out by its RST",
        families: BOTH,
        play: breaking::peer_vanishes,
    },
    Scenario {
        name: "peer-reboots",
        title: "a peer that reuses its port gets through at once",
        families: BOTH,
        play: breaking::peer_reboots,
    },
    Scenario {
        name: "cable",
        title: "a cable pulled for a moment ends no connection",
        families: BOTH,
        play: breaking::cable,
    },
    Scenario {
        name: "other-address",
        title: "with another address from DHCP the old connections end, the services go on",
        families: V4,
        play: breaking::other_address,
    },
    Scenario {
        name: "planned-restart",
        title: "before a planned restart every peer is told by RST, accepted or not",
        families: BOTH,
        play: breaking::planned_restart,
    },
    Scenario {
        name: "reset-by-panic",
        title: "a panic is logged and restarts the board, which knows why; every peer is told before it says a word",
        families: BOTH,
        play: resetting::by_panic,
    },
    Scenario {
        name: "reset-by-watchdog",
        title: "after the watchdog's reset every peer is told before it says a word",
        families: BOTH,
        play: resetting::by_watchdog,
    },
    Scenario {
        name: "reset-from-outside",
        title: "after the machine's reset, twice, every peer is told before it says a word",
        families: BOTH,
        play: resetting::from_outside,
    },
    Scenario {
        name: "restart-without-cable",
        title: "whom a planned restart could not tell is told by the exact RST once the cable is in",
        families: BOTH,
        play: resetting::without_cable,
    },
    Scenario {
        name: "lost-peers",
        title: "of the peers that a reset lost one is told, one is gone, one gives no answer",
        families: BOTH,
        play: resetting::each_fate,
    },
    Scenario {
        name: "journal-garbage",
        title: "garbage in the journal at power-on is counted, and nobody is sent anything",
        families: BOTH,
        play: resetting::garbage,
    },
    Scenario {
        name: "static-address",
        title: "without DHCP, and without an answer from it, the fixed address is used",
        families: V4,
        play: serving::static_address,
    },
    Scenario {
        name: "slow-router",
        title: "a router that comes back late finds the board and its connections where they were",
        families: V4,
        play: breaking::slow_router,
    },
    Scenario {
        name: "link-local",
        title: "link-local addresses are served, and connected to",
        families: V6,
        play: serving::link_local,
    },
    Scenario {
        name: "extension-headers",
        title: "a client is served whose every segment comes behind hop-by-hop and destination options",
        families: V6,
        play: serving::extension_headers,
    },
    Scenario {
        name: "static-address-v6",
        title: "a fixed IPv6 address takes the place of the prefix's",
        families: V6,
        play: serving::static_address_v6,
    },
    Scenario {
        name: "prefix-taken-back",
        title: "a forged advertisement takes no address away, and ends no connection",
        families: V6,
        play: breaking::prefix_taken_back,
    },
    Scenario {
        name: "prefix-lost",
        title: "connections on an address end with its prefix, the other family goes on",
        families: V6,
        play: breaking::prefix_lost,
    },
    Scenario {
        name: "both-families",
        title: "connections of both families between the same ports do not touch each other",
        families: V6,
        play: serving::both_families,
    },
    Scenario {
        name: "hosts-vanish",
        title: "six idle clients' host loses power; the next client is served within the budget in the log",
        families: BOTH,
        play: holding::hosts_vanish,
    },
    Scenario {
        name: "trickle",
        title: "a byte a minute keeps a connection for an hour; one that gives none ends by the idle timeout",
        families: BOTH,
        play: holding::trickle,
    },
    Scenario {
        name: "full-table",
        title: "with idle clients in all slots the longest idle leaves for the next one, by RST",
        families: BOTH,
        play: holding::full_table,
    },
    Scenario {
        name: "silent-server",
        title: "the client gives a server up that takes nothing, and says which timer",
        families: BOTH,
        play: holding::silent_server,
    },
    Scenario {
        name: "sleeps",
        title: "an idle board with a connection takes no processor time",
        families: BOTH,
        play: serving::sleeps,
    },
    Scenario {
        name: "burst",
        title: "after a hundred segments at once a client is served as before",
        families: BOTH,
        play: attacks::burst,
    },
    Scenario {
        name: "syn-ack-again",
        title: "a SYN-ACK that nobody acknowledges is sent again",
        families: BOTH,
        play: attacks::syn_ack_again,
    },
    Scenario {
        name: "stack",
        title: "the deepest use of the stack stays within its bound",
        families: V4,
        play: serving::stack,
    },
];

/// Plays scenarios, each in its families or in the one that is asked for; returns whether all hold.
pub(super) fn play_all(lab: &mut Lab, scenarios: &[&'static Scenario], only: Option<Family>) -> bool {
    // The scenarios judge by counters; strangers come from another address.
    lab.show_everything_to(Family::ALL.map(|family| family.peer_addr().to_string()).join(","));
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        for &family in scenario.families.iter().filter(|&&family| only.is_none_or(|only| only == family)) {
            let outcome = play(lab, scenario, family);
            tell(&outcome);
            if outcome.result.is_err() {
                for line in lab.log.lines().iter().rev().take(20).rev() {
                    anstream::println!("    {line}");
                }
            }
            outcomes.push(outcome);
        }
    }
    print_table(&outcomes);
    outcomes.iter().all(|outcome| outcome.result.is_ok())
}

fn play(lab: &mut Lab, scenario: &Scenario, family: Family) -> Outcome {
    let began = WallClock::now();
    let before = lab.cable.count(|_, _| true);
    let result = lab.speak(family).and_then(|()| ready(lab)).and_then(|()| (scenario.play)(lab));
    Outcome {
        name: scenario.name,
        title: scenario.title,
        family,
        peer: "board",
        segments: lab.cable.count(|_, _| true).saturating_sub(before),
        took: began.elapsed(),
        result,
    }
}

/// A board that runs as it should is left running, so that what earlier scenarios did to it counts.
fn ready(lab: &mut Lab) -> Result<()> {
    lab.cable.lease(Some(BOARD_ADDR));
    if lab.machine().is_ok() && lab.status().is_ok_and(|status| status["client_server"].is_null()) {
        return Ok(());
    }
    lab.power_on(&[])
}
