//! The table is complete: every rule and every requirement has a row, and every row has its test.

use tcp_reset_core::{RULE_TABLE, Requirement, Rule, RuleRow, State};

use crate::support::table::CHECKED;

/// The files of this program that hold the tests of the rules.
const RULES: &[&str] = &[
    include_str!("any_state.rs"),
    include_str!("aborts.rs"),
    include_str!("challenges.rs"),
    include_str!("close_wait.rs"),
    include_str!("closed.rs"),
    include_str!("closing.rs"),
    include_str!("established.rs"),
    include_str!("fin_wait.rs"),
    include_str!("isn.rs"),
    include_str!("last_ack.rs"),
    include_str!("listen.rs"),
    include_str!("resets.rs"),
    include_str!("syn_received.rs"),
    include_str!("syn_sent.rs"),
    include_str!("time_wait.rs"),
    include_str!("timestamps.rs"),
    include_str!("two_engines.rs"),
];
/// Modules of this program without a test of a rule.
const OTHERS: &[&str] = &["checks", "coverage", "support"];

/// Where the other tests named in the table live.
const ELSEWHERE: &[&str] = &[
    include_str!("../oracle/main.rs"),
    include_str!("../connections/diagnostics.rs"),
    include_str!("../connections/user_timeout_option.rs"),
    include_str!("../journal/asking.rs"),
    include_str!("../journal/frames.rs"),
    include_str!("../journal/keeping.rs"),
    include_str!("../journal/numbers.rs"),
    include_str!("../journal/records.rs"),
    include_str!("../liveness/deadlines.rs"),
    include_str!("../liveness/eviction.rs"),
    include_str!("../liveness/healthy.rs"),
    include_str!("../liveness/keepalive.rs"),
    include_str!("../liveness/matrix.rs"),
    include_str!("../liveness/user_timeout.rs"),
];

/// The name of each test of a rule, and what follows it.
fn tests_of_rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    let modules = include_str!("main.rs").lines().filter(|line| line.starts_with("mod ")).count();
    assert_eq!(modules, RULES.len() + OTHERS.len(), "each module of this program is listed");
    let tests = RULES.iter().flat_map(|text| text.split("#[test]\nfn ").skip(1));
    tests.map(|text| text.split_once('(').expect("a function"))
}

#[test]
fn every_rule_has_a_row() {
    for &rule in Rule::ALL {
        assert!(RULE_TABLE.iter().any(|row| row.rule == Some(rule)), "{rule} is missing");
    }
}

#[test]
fn every_requirement_has_a_row() {
    for id in Requirement::ALL {
        assert!(RULE_TABLE.iter().any(|row| row.requirements.contains(id)), "{id:?} is missing");
    }
}

#[test]
fn every_row_has_its_test() {
    for row in RULE_TABLE {
        let head = format!("#[test]\nfn {}() {{", row.test);
        assert!(RULES.iter().chain(ELSEWHERE).any(|file| file.contains(&head)), "no test is called {}", row.test);
    }
}

/// What runs a test of a rule over each family.
const RUNNERS: &[&str] =
    &["on_link(", "on_large_link(", "on_link_with(", "with_delayed_ack(", "with_clock(", "on_pair(", "over_each("];
/// Tests of what has no family, or only one.
const FAMILYLESS: &[&str] = &["weak_key_is_refused", "any_state_too_many_headers_are_dropped"];

#[test]
fn every_test_of_a_rule_runs_over_each_family() {
    for (name, rest) in tests_of_rules() {
        let body = rest.split_once("\n}\n").map_or(rest, |(body, _)| body);
        let runs = RUNNERS.iter().any(|runner| body.contains(runner));
        assert!(runs != FAMILYLESS.contains(&name), "{name}: over each family, {runs}");
    }
    for word in ["Ipv4Addr", "Family::V4", "SocketAddrV4"] {
        assert!(RULES.iter().all(|text| !text.contains(word)), "a test of rules names {word}");
    }
}

#[test]
fn every_test_of_a_rule_is_in_the_table() {
    for (name, _) in tests_of_rules() {
        assert!(RULE_TABLE.iter().any(|row| row.test == name), "{name} belongs to no row");
    }
}

#[test]
fn printed_states_are_the_computed_ones() {
    for (row, check) in &*CHECKED {
        let printed: Vec<&str> = row.states.split(", ").collect();
        let computed: Vec<&str> = check.on.iter().map(|state| state.name()).collect();
        let any = row.states == "any" && check.on == State::ALL;
        assert!(any || printed == computed, "{}: {printed:?}, {computed:?}", row.test);
    }
}

#[test]
fn every_row_says_all_it_should() {
    let is_complete = |row: &RuleRow| {
        let texts = [row.states, row.stimulus, row.action, row.section, row.test];
        !row.requirements.is_empty() && texts.iter().all(|text| !text.is_empty())
    };
    assert!(RULE_TABLE.iter().all(is_complete));
}
