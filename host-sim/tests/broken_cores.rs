//! The scenarios notice broken cores, and only those.
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::thread;
use std::time::Duration;

use anyhow::Result;
use host_sim::broken::Fault;
use host_sim::cable::Hostility;
use host_sim::family::Family;
use host_sim::memory_peer::MemoryPeer;
use host_sim::run::play_and_judge;
use host_sim::scenarios::{SCENARIOS, Scenario};
use host_sim::world::{PEER_MAC, Stage, World};

const FIRST_PORT: u16 = 20_000;
/// One for all scenarios, so that a broken core is noticed by nothing that an honest one would fail too.
const PATIENCE: Duration = Duration::from_secs(120);

fn play(
    scenario: &Scenario,
    family: Family,
    fault: Option<Fault>,
    hostility: Option<Hostility>,
    patience: Duration,
) -> Result<()> {
    let mut peer = MemoryPeer::new(family, PEER_MAC).expect("random bytes");
    let tuning = (scenario.tuning)();
    let stage =
        Stage { family, peer: &mut peer, capture: None, first_port: FIRST_PORT, tuning, hostility, fault, patience };
    let mut world = World::new(stage).expect("random bytes");
    play_and_judge(scenario, &mut world).result
}

#[test]
fn every_broken_core_is_noticed() {
    let unnoticed_over = |family: Family| {
        let is_noticed = |fault: Fault| {
            let notices = |scenario: &&Scenario| play(scenario, family, Some(fault), None, PATIENCE).is_err();
            let names: Vec<_> = SCENARIOS.iter().filter(notices).map(|scenario| scenario.name).collect();
            println!("{fault:?} over {family}: {} scenarios, {}", names.len(), names.join(" "));
            !names.is_empty()
        };
        Fault::ALL.iter().filter(|fault| !is_noticed(**fault)).map(|fault| (*fault, family)).collect::<Vec<_>>()
    };
    let unnoticed: Vec<_> = thread::scope(|scope| {
        let threads = Family::ALL.map(|family| scope.spawn(move || unnoticed_over(family)));
        threads.into_iter().flat_map(|thread| thread.join().expect("a family's faults")).collect()
    });
    assert!(unnoticed.is_empty(), "no scenario notices {unnoticed:?}");
}

/// The story of this one has no RST; the peer's comes when its connections are ended.
#[test]
fn an_answer_to_an_rst_after_the_story_is_noticed() {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == "simultaneous-open").expect("a scenario");
    for family in Family::ALL {
        let error = play(scenario, family, Some(Fault::AnswersRst), None, PATIENCE).expect_err("an RST is answered");
        assert!(error.to_string().starts_with("an RST of ours answers an RST"), "{error:#}");
    }
}

#[test]
fn the_honest_core_is_noticed_by_none() {
    for family in Family::ALL {
        for scenario in SCENARIOS {
            play(scenario, family, None, None, PATIENCE).unwrap_or_else(|error| panic!("{}: {error:#}", scenario.name));
        }
    }
}

#[test]
fn transfers_hold_on_a_hostile_cable() {
    let hostile = SCENARIOS.iter().filter(|scenario| scenario.holds_when_hostile);
    for scenario in hostile {
        for seed in 0..20 {
            for family in Family::ALL {
                let hostility = Some(Hostility::moderate(seed));
                play(scenario, family, None, hostility, PATIENCE)
                    .unwrap_or_else(|error| panic!("{} over {family}, seed {seed}: {error:#}", scenario.name));
            }
        }
    }
}

/// One that is worse than any real link, and comes out of its socket in between.
#[test]
fn transfers_hold_on_a_very_hostile_cable() {
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.holds_when_hostile) {
        for seed in 0..5 {
            let pull = Some(Duration::from_secs(2));
            let delay = Duration::from_millis(30);
            let hostility = Hostility { seed, loss: 15, duplicate: 15, reorder: 20, corrupt: 0, mark: 0, delay, pull };
            play(scenario, Family::Ipv4, None, Some(hostility), 20 * PATIENCE)
                .unwrap_or_else(|error| panic!("{}, seed {seed}: {error:#}", scenario.name));
        }
    }
}
