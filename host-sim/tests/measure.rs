//! `host-sim measure` as a user runs it. No test depends on speed.
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::process::{Command, Output};

use serde_json::Value;

/// Each work's name in the JSON and title in the table.
const WORK: [(&str, &str); 8] = [
    ("syn-to-closed-port", "SYN to a closed port, RST"),
    ("pure-ack", "pure ACK on one connection"),
    ("pure-ack-1024", "pure ACK, 1,024 connections in turn"),
    ("bulk", "bulk, both ends"),
    ("request-response", "1-byte request and response, both ends"),
    ("set-up-and-close", "set-up and close, both ends"),
    ("stray-ack", "stray ACK with one listener, RST"),
    ("stray-ack-250", "stray ACK with 250 listeners, RST"),
];
/// Families of the build, and of the traffic.
const COLUMNS: [(&str, &str); 3] = [("IPv4", "IPv4"), ("both", "IPv4"), ("both", "IPv6")];

fn measure(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-sim"))
        .arg("measure")
        .args(arguments)
        .output()
        .expect("the program was just built")
}

fn stdout(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).expect("the program writes UTF-8");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn rows(report: &Value) -> &[Value] {
    report["rows"].as_array().expect("the report has rows")
}

#[test]
fn json_has_every_work_of_both_stacks_in_each_build() {
    let report: Value =
        serde_json::from_str(&stdout(&measure(&["--milliseconds", "1", "--json"]))).expect("it is JSON");
    assert_eq!(report["measure"], "nanoseconds");
    assert!(report["versions"]["smoltcp"].as_str().is_some_and(|version| version.starts_with("0.14.")), "{report}");
    let rows = rows(&report);
    assert_eq!(rows.len(), COLUMNS.len() * WORK.len());
    for (build, family) in COLUMNS {
        for (work, title) in WORK {
            let is_it = |row: &&Value| row["build"] == build && row["family"] == family && row["work"] == work;
            let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("{build} {family} {work}: {report}"));
            assert_eq!(row["title"], title);
            for cost in ["ours", "smoltcp", "smoltcp_with_poll_at", "ratio", "reached"] {
                assert!(row[cost].as_f64().is_some_and(|cost| cost > 0.0), "{cost}: {row}");
            }
            assert_eq!(row["target"].is_null(), work == "stray-ack", "{row}");
        }
    }
}

#[test]
fn the_table_has_a_line_for_each_and_says_whether_the_target_is_met() {
    let text = stdout(&measure(&["--milliseconds", "1", "--work", "stray-ack-250"]));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    for (build, family) in COLUMNS {
        // The one asked for and the one it is compared with.
        for (work, title) in WORK {
            let line = lines.iter().find(|line| line.len() == 12 && line[1..4] == [build, family, title]);
            assert_eq!(line.is_some(), work.starts_with("stray-ack"), "{title}: {text}");
            if let Some(line) = line {
                let has_target = work == "stray-ack-250";
                assert_eq!(line[8].starts_with('≤'), has_target, "{line:?}");
                assert_eq!(["yes", "no"].contains(&line[10]), has_target, "{line:?}");
            }
        }
    }
}

/// Without valgrind the error names the way out.
#[test]
fn instructions_are_the_same_at_each_run() {
    let arguments = ["--instructions", "--units", "64", "--work", "pure-ack", "--work", "bulk", "--json"];
    let outputs = [measure(&arguments), measure(&arguments)];
    if outputs[0].status.code() == Some(2) {
        let text = String::from_utf8_lossy(&outputs[0].stderr);
        return assert!(text.contains("apt-get install valgrind"), "{text}");
    }
    let [first, second] = outputs.map(|output| stdout(&output));
    assert_eq!(first, second);
    let report: Value = serde_json::from_str(&first).expect("it is JSON");
    assert_eq!(report["measure"], "instructions");
    for row in rows(&report) {
        let counts = ["ours", "smoltcp"].map(|stack| row[stack].as_f64().unwrap_or_default());
        assert!(counts.iter().all(|count| (100.0..100_000.0).contains(count)), "{row}");
        assert!(row["bound"].as_f64().is_some_and(|bound| bound > 0.0), "{row}");
    }
}

/// Where namespaces are forbidden the error names the way out.
fn is_forbidden(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stderr);
    output.status.code() == Some(2) && text.contains("could not ") && text.contains("; ")
}

#[test]
fn goodput_is_measured_in_virtual_time_and_with_the_kernel_in_real_time() {
    let output =
        measure(&["--goodput", "--loss", "0,5", "--rtt", "5", "--buffer", "8192", "--seeds", "1", "--seconds", "1"]);
    if is_forbidden(&output) {
        return;
    }
    let text = stdout(&output);
    let (in_virtual_time, in_real_time) = text.split_once("In real time").expect("both are printed");
    for (table, values) in [(in_virtual_time, 6), (in_real_time, 4)] {
        for loss in ["0 %", "5 %"] {
            let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
            let is_it = |line: &Vec<String>| line.len() > 5 && line[1..5] == [loss, "0 %", "5 ms", "8 KiB"];
            let line = table.lines().map(cells).find(is_it).unwrap_or_else(|| panic!("{loss}: {text}"));
            for value in &line[5..5 + values] {
                assert!(value.parse().is_ok_and(|value: f64| value > 0.0), "{line:?}");
            }
        }
    }
}

#[test]
fn connections_of_both_stacks_share_a_bottleneck() {
    let output = Command::new(env!("CARGO_BIN_EXE_host-sim"))
        .args(["fairness", "--connections", "1", "--seconds", "1"])
        .output()
        .expect("the program was just built");
    if is_forbidden(&output) {
        return;
    }
    let text = stdout(&output);
    let all = text.lines().find(|line| line.starts_with("| all")).expect("the line of sums");
    let rates: Vec<f64> = all.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    assert!(rates.len() == 2 && rates.iter().all(|rate| *rate > 0.0), "{text}");
    assert!(text.contains("Jain's index: "), "{text}");
}

#[test]
fn what_cannot_be_measured_is_told_with_the_way_out() {
    let cases: [(&[&str], &str); 5] = [
        (&["--work", "nonsense"], "there is no such work, but syn-to-closed-port"),
        (&["--bounds"], "--instructions"),
        (&["--instructions", "--milliseconds", "5"], "cannot be used with"),
        (&["--goodput", "--buffer", "65536"], "this is not a power of two from 2048 to 32768"),
        (&["--seconds", "5"], "--goodput"),
    ];
    for (arguments, what) in cases {
        let output = measure(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(what), "{arguments:?}: {text}");
    }
    let without_valgrind = Command::new(env!("CARGO_BIN_EXE_host-sim"))
        .args(["measure", "--instructions"])
        .env("PATH", "/nowhere")
        .output()
        .expect("the program was just built");
    let text = String::from_utf8_lossy(&without_valgrind.stderr);
    assert_eq!(without_valgrind.status.code(), Some(2), "{text}");
    assert!(text.contains("valgrind, which counts the instructions, is missing: apt-get install valgrind"), "{text}");
}
