//! The model of a sender to which SACK is spoken holds over random worlds.

use crate::sack_model::Tally;
use crate::sack_receiver::MANNERS;
use crate::sack_world::{Plan, live, seeds};

/// Worlds of the test.
const WORLDS: u64 = 4_000;

/// The same worlds each time; each manner of receiver is met, and each rule of the sender is used.
#[test]
fn sender_follows_the_model_of_sack() {
    let mut sums = [Tally::default(); MANNERS.len()];
    for seed in seeds("SACK_WORLDS", WORLDS) {
        let plan = Plan::drawn(seed);
        let i = MANNERS.iter().position(|manner| *manner == plan.manner).unwrap();
        let tally = live(&plan).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        add(&mut sums[i], &tally);
    }
    for (manner, sum) in MANNERS.iter().zip(&sums) {
        println!("{manner:?}: {sum:?}");
    }
    let [truthful, ..] = sums;
    let used = [truthful.recoveries, truthful.partial_acks, truthful.by_rule_1, truthful.by_rule_3, truthful.timeouts];
    assert!(used.iter().all(|count| *count > 30), "{truthful:?}");
}

/// The same through windows beyond 65,535 bytes.
#[cfg(feature = "window-scale")]
#[test]
fn sender_follows_the_model_of_sack_through_large_windows() {
    const WORLDS: u64 = 150;
    let mut large = 0;
    let seeds = seeds("LARGE_SACK_WORLDS", WORLDS);
    let worlds = seeds.end - seeds.start;
    for seed in seeds {
        let tally = live(&Plan::drawn_large(seed)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        large += u64::from(tally.most_out > 65_535);
    }
    assert!(large > worlds / 8, "{large} worlds with a large flight");
}

fn add(sum: &mut Tally, tally: &Tally) {
    let Tally {
        timeouts,
        probes,
        window_probes,
        recoveries,
        early,
        partial_acks,
        by_rule_1,
        by_rule_3,
        beyond_recover,
        unclear,
        overflows,
        again,
        sent,
        most_out,
    } = *tally;
    sum.timeouts += timeouts;
    sum.probes += probes;
    sum.window_probes += window_probes;
    sum.recoveries += recoveries;
    sum.early += early;
    sum.partial_acks += partial_acks;
    sum.by_rule_1 += by_rule_1;
    sum.by_rule_3 += by_rule_3;
    sum.beyond_recover += beyond_recover;
    sum.unclear += unclear;
    sum.overflows += overflows;
    sum.again += again;
    sum.sent += sent;
    sum.most_out = sum.most_out.max(most_out);
}
