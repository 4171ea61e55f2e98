//! Other TCPs in memory as whole ends of connections: scenarios hold against them as against the kernel.
//!
//! ```sh
//! apt-get install gcc libc6-dev liblwip-dev
//! cargo test -p host-sim --features peers --test peers
//! ```
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::time::Duration;

use host_sim::family::Family;
use host_sim::lwip_peer::{LwipPeer, LwipProgram};
use host_sim::peer::Peer;
use host_sim::run::play_and_judge;
use host_sim::scenarios::{SCENARIOS, Scenario};
use host_sim::smoltcp_peer::SmoltcpPeer;
use host_sim::world::{PEER_MAC, Stage, World};

/// Virtual time that a scenario may wait in all.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first of a scenario's ports.
const FIRST_PORT: u16 = 20_000;

/// Scenarios that ask for nothing that one of the stacks lacks, and judge nothing that RFC 9293 leaves to it.
const STORIES: [&str; 40] = [
    "echo-peer-half-closes",
    "echo-we-half-close",
    "simultaneous-open",
    "refused-by-us",
    "refused-by-peer",
    "we-restart",
    "forged-rst-in-window",
    "forged-rst-exact",
    "forged-rst-outside",
    "forged-syn",
    "forged-text",
    "rst-in-listen",
    "bad-ack-in-syn-sent",
    "bad-ack-in-syn-received",
    "close-unread",
    "data-after-close",
    "fresh-after-our-reset",
    "fresh-after-peer-reset",
    "cable-pulled",
    "silent-peer",
    "silent-to-syn",
    "syn-ack-lost",
    "half-open-expires",
    "orphan-without-fin",
    "silent-idle",
    "power-idle",
    "power-data",
    "power-fin-wait-1",
    "power-fin-wait-2",
    "power-close-wait",
    "power-closing",
    "power-last-ack",
    "sockstress",
    "reboot-any-peer",
    "reboot-numbers-noted",
    "reboot-peer-gone",
    "reboot-peer-again",
    "reboot-garbage",
    "challenge-quota",
    "reason-ours",
];

#[test]
fn scenarios_hold_against_smoltcp() {
    play_all(|family| Box::new(SmoltcpPeer::new(family, PEER_MAC).expect("smoltcp starts")));
}

#[test]
fn scenarios_hold_against_lwip() {
    let program = LwipProgram::build().unwrap_or_else(|error| panic!("{error:#}"));
    play_all(|family| Box::new(LwipPeer::start(&program, family, PEER_MAC).expect("lwIP starts")));
}

fn play_all(start: impl Fn(Family) -> Box<dyn Peer>) {
    let mut failures = Vec::new();
    for name in STORIES {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name);
        let scenario = scenario.unwrap_or_else(|| panic!("{name} is no scenario"));
        for family in Family::ALL {
            if let Err(error) = play(scenario, family, &mut *start(family)) {
                failures.push(format!("{name} over {family}: {error:#}"));
            }
        }
    }
    assert!(failures.is_empty(), "scenarios that do not hold:\n{}", failures.join("\n"));
}

fn play(scenario: &Scenario, family: Family, peer: &mut dyn Peer) -> anyhow::Result<()> {
    let stage = Stage {
        family,
        peer,
        capture: None,
        first_port: FIRST_PORT,
        tuning: (scenario.tuning)(),
        hostility: None,
        fault: None,
        patience: PATIENCE,
    };
    play_and_judge(scenario, &mut World::new(stage)?).result
}
