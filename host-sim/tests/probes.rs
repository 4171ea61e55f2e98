//! Which TCP learns by which probe that its peer has lost a connection: `host-sim probes`, asked for its JSON. What a device sends after it
//! has lost power rests on this.
//!
//! ```sh
//! apt-get install gcc libc6-dev liblwip-dev
//! cargo test -p host-sim --features peers --test probes
//! ```
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::process::{Command, Output};
use std::sync::LazyLock;

use serde::Deserialize;

const STACKS: [&str; 4] = ["tcp-reset-core", "smoltcp", "lwIP", "Linux"];
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
/// States in which an application has the connection.
const CONNECTED: [&str; 4] = ["passive", "active", "CLOSE-WAIT", "FIN-WAIT-2"];
/// The other states: half-open, and no connection.
const OTHERS: [&str; 3] = ["SYN-RCVD", "LISTEN", "CLOSED"];
/// Each probe, and how many choices of foreign numbers it has.
const PROBES: [(&str, usize); 9] = [
    ("ack-window-0", 4),
    ("ack", 4),
    ("ack-twice", 4),
    ("syn", 2),
    ("syn-ack", 4),
    ("fin-ack", 4),
    ("rst-next-1", 1),
    ("rst-outside", 2),
    ("keepalive", 1),
];

#[derive(Deserialize, Debug)]
struct Record {
    stack: String,
    family: String,
    state: String,
    probe: String,
    ack: Option<String>,
    is_exact: Option<bool>,
    found: String,
    told: Option<String>,
}

impl Record {
    fn has_application(&self) -> bool {
        CONNECTED.contains(&self.state.as_str())
    }

    /// smoltcp drops a segment whose SEG.ACK is behind its SND.UNA before it looks at SEG.SEQ.
    fn is_behind_for_smoltcp(&self) -> bool {
        self.stack == "smoltcp" && self.ack.as_deref() == Some("behind")
    }
}

/// What every TCP did. One that cannot be probed here is an error, which says what it lacks.
static RECORDS: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let stacks = ["core", "smoltcp", "lwip", "kernel"];
    let arguments: Vec<_> = stacks.iter().flat_map(|stack| ["--stack", stack]).chain(["--json"]).collect();
    let output = probes(&arguments, None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
});

fn probes(arguments: &[&str], path: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-sim"));
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.arg("probes").args(arguments).output().expect("the program was just built")
}

/// The records of one probe in some states; there is one for each TCP, family, state and choice of numbers.
fn of(probe: &str, states: &[&str]) -> Vec<&'static Record> {
    let is_it = |record: &&Record| record.probe == probe && states.contains(&record.state.as_str());
    let found: Vec<_> = RECORDS.iter().filter(is_it).collect();
    let (_, choices) = PROBES.iter().find(|(name, _)| *name == probe).expect("a probe");
    assert_eq!(found.len(), STACKS.len() * FAMILIES.len() * states.len() * choices, "{probe} in {states:?}");
    found
}

fn assert_found(records: &[&Record], expected: impl Fn(&Record) -> &'static str) {
    let others: Vec<_> = records.iter().filter(|record| record.found != expected(record)).collect();
    assert!(others.is_empty(), "{} of {} differ, the first: {:#?}", others.len(), records.len(), others[0]);
}

#[test]
fn every_tcp_is_probed_in_every_state_over_each_family() {
    for stack in STACKS {
        for family in FAMILIES {
            for state in CONNECTED.iter().chain(&OTHERS) {
                for (probe, choices) in PROBES {
                    let is_it = |record: &&Record| {
                        (&*record.stack, &*record.family, &*record.state, &*record.probe)
                            == (stack, family, *state, probe)
                    };
                    let count = RECORDS.iter().filter(is_it).count();
                    assert_eq!(count, choices, "{stack} over {family} in {state}: {probe}");
                }
            }
        }
    }
}

#[test]
fn two_acks_half_of_all_numbers_apart_are_learned_by_every_tcp() {
    let records = of("ack-twice", &CONNECTED);
    assert_found(&records, |_| "learns");
    assert!(records.iter().all(|record| record.is_exact == Some(true) && record.told.is_some()));
}

#[test]
fn one_foreign_ack_is_learned_but_by_smoltcp_where_its_ack_is_behind() {
    for probe in ["ack-window-0", "ack", "syn-ack", "fin-ack"] {
        let records = of(probe, &CONNECTED);
        assert_found(&records, |record| if record.is_behind_for_smoltcp() { "silent" } else { "learns" });
    }
}

#[test]
fn foreign_syn_is_learned_but_by_smoltcp_and_opens_where_somebody_listens() {
    let records = of("syn", &CONNECTED);
    assert_found(&records, |record| if record.stack == "smoltcp" { "silent" } else { "learns" });
    assert_found(&of("syn", &["LISTEN"]), |_| "SYN,ACK");
}

#[test]
fn rst_that_is_not_exact_is_no_probe() {
    let all: Vec<_> = CONNECTED.iter().chain(&OTHERS).copied().collect();
    assert_found(&of("rst-outside", &all), |_| "silent");
    // In the window: smoltcp takes it for exact.
    assert_found(&of("rst-next-1", &CONNECTED), |record| if record.stack == "smoltcp" { "ended" } else { "learns" });
}

#[test]
fn keepalive_with_the_own_numbers_is_answered_by_every_tcp() {
    assert_found(&of("keepalive", &CONNECTED), |_| "learns");
}

/// A probe to a peer that has forgotten the connection too, or never had one, opens nothing there.
#[test]
fn peer_without_the_connection_answers_acks_with_rst_at_their_ack() {
    for probe in ["ack-window-0", "ack", "ack-twice", "syn-ack", "fin-ack"] {
        assert_found(&of(probe, &["LISTEN", "CLOSED"]), |_| "RST@ACK");
    }
}

/// In SYN-RECEIVED the entry's own timer bounds the loss: nothing but this TCP needs to learn.
#[test]
fn half_open_entry_is_challenged_by_this_tcp_and_answered_with_rst_by_the_others() {
    for probe in ["ack-window-0", "ack", "ack-twice"] {
        let records = of(probe, &["SYN-RCVD"]);
        assert_found(&records, |record| if record.stack == "tcp-reset-core" { "learns" } else { "RST" });
    }
}

#[test]
fn every_answer_but_rst_carries_the_exact_number() {
    let answered = RECORDS.iter().filter(|record| record.has_application() && record.is_exact.is_some());
    let inexact: Vec<_> = answered.filter(|record| record.is_exact != Some(true)).collect();
    assert!(inexact.is_empty(), "{inexact:#?}");
}

#[test]
fn tables_name_every_tcp_and_are_no_wider_than_a_hundred_columns() {
    for arguments in [&["--stack", "core", "--stack", "smoltcp"][..], &["--stack", "smoltcp", "--markdown"]] {
        let output = probes(arguments, None);
        let text = String::from_utf8(output.stdout).expect("the program writes UTF-8");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("smoltcp 0.14.") && text.contains(" over IPv4 and IPv6\n"), "{text}");
        let is_prose = |line: &str| arguments.contains(&"--markdown") && !line.starts_with('|');
        assert!(text.lines().all(|line| is_prose(line) || line.chars().count() <= 100), "{text}");
    }
}

#[test]
fn missing_compiler_is_told_with_the_way_out() {
    let output = probes(&["--stack", "lwip"], Some("/nowhere"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("the lwIP peer cannot be built") && text.contains("apt-get install"), "{text}");
}
