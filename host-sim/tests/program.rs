//! The program as a user runs it.
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use host_sim::family::Family;
use host_sim::scenarios::SCENARIOS;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::{Block, PcapNgReader};

fn host_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-sim")).args(arguments).output().expect("the program was just built")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the program writes UTF-8")
}

fn assert_all_hold(output: &Output, count: usize) {
    let text = stdout(output);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(&format!("{count} of {count} scenarios hold, 0 fail.")), "{text}");
    assert!(!text.contains("FAILS"), "{text}");
}

/// The scenarios of one family in so many parts, each a program of its own: against the kernel most of their time is waiting.
fn play_parts_side_by_side(family: &str, parts: usize) {
    thread::scope(|scope| {
        for part in 0..parts {
            scope.spawn(move || {
                let names: Vec<_> = SCENARIOS.iter().skip(part).step_by(parts).map(|scenario| scenario.name).collect();
                let mut arguments = vec!["--family", family];
                arguments.extend(names.iter().flat_map(|name| ["--scenario", name]));
                assert_all_hold(&host_sim(&arguments), names.len());
            });
        }
    });
}

/// Where namespaces are forbidden this plays in memory; continuous integration asks for the kernel, and for all scenarios in one program.
#[test]
fn every_scenario_holds_over_ipv4() {
    play_parts_side_by_side("ipv4", 8);
}

#[test]
fn every_scenario_holds_over_ipv6() {
    play_parts_side_by_side("ipv6", 8);
}

#[test]
fn a_ladder_names_states_segments_and_rules_and_is_plain_when_piped() {
    let output = host_sim(&["--memory", "--scenario", "peer-reboots"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains('\u{1b}'), "escape sequences in a pipe");
    let lines: Vec<_> = text.lines().collect();
    let above =
        |rule: &str| lines.windows(2).find(|pair| pair[1].contains(rule)).expect("the rule stands in a ladder")[0];
    let challenged = above("SynSynchronized: challenge ACK");
    assert!(challenged.contains("SYN-SENT") && challenged.contains("ESTABLISHED"), "{challenged}");
    let reset = above("RstExact: ended (reset by peer)");
    assert!(reset.contains("─ RST SEQ="), "{reset}");
    let is_drawn = |line: &&&str| line.contains('▶') || line.contains('◀');
    assert!(lines.iter().filter(is_drawn).all(|line| line.chars().count() <= 80), "wider than 80 columns");
}

/// What fits a screen or two: one ladder, and a line for each scenario.
#[test]
fn a_run_without_options_draws_the_showcase_and_a_line_for_each_scenario() {
    let output = host_sim(&["--memory"]);
    assert_all_hold(&output, Family::ALL.len() * SCENARIOS.len());
    let text = stdout(&output);
    let (ladder, table) = text.split_once("\nscenario ").expect("a table");
    assert!(ladder.contains("peer-reboots over IPv4") && ladder.contains("RstExact: ended (reset by peer)"), "{text}");
    assert!(!table.contains('▶') && !text.contains("peer-reboots over IPv6"), "{text}");
    for scenario in SCENARIOS {
        let is_of_it = |line: &&str| line.split_whitespace().take(2).eq([scenario.name, "both"]);
        assert_eq!(table.lines().filter(is_of_it).count(), 1, "{}: {text}", scenario.name);
    }
    assert!(text.lines().count() < SCENARIOS.len() + 45, "{} lines", text.lines().count());
}

#[test]
fn every_ladder_is_drawn_where_all_are_asked_for() {
    let text = stdout(&host_sim(&["--memory", "--all"]));
    for (family, scenario) in
        Family::ALL.iter().flat_map(|family| SCENARIOS.iter().map(move |scenario| (family, scenario)))
    {
        let head = format!("\n{} over {family}: ", scenario.name);
        assert_eq!(text.matches(&head).count(), 1, "{head}");
    }
}

#[test]
fn two_runs_in_memory_differ_in_nothing_a_ladder_shows() {
    let run = || stdout(&host_sim(&["--memory", "--scenario", "we-reboot"]));
    // What the lines with results tell of real time differs.
    let is_of_ladder = |line: &&str| !line.starts_with("we-reboot  ");
    let ladder = |text: &str| text.lines().filter(is_of_ladder).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(ladder(&run()), ladder(&run()));
}

#[test]
fn one_family_can_be_asked_for() {
    let output = host_sim(&["--memory", "--family", "ipv6", "--scenario", "forged-syn", "--scenario", "echo-we-close"]);
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("2 of 2 scenarios hold, 0 fail.") && text.contains("forged-syn over IPv6"), "{text}");
    assert!(!text.contains("IPv4"), "{text}");
}

#[test]
fn list_names_every_scenario() {
    let text = stdout(&host_sim(&["--list"]));
    assert_eq!(text.lines().count(), SCENARIOS.len());
    for scenario in SCENARIOS {
        assert!(text.lines().any(|line| line.starts_with(scenario.name)), "{} is missing", scenario.name);
    }
}

fn for_each_packet(path: &Path, mut look: impl FnMut(&EnhancedPacketBlock<'_>)) {
    let mut reader = PcapNgReader::new(File::open(path).expect("the capture")).expect("a pcapng file");
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.expect("a whole block") {
            look(&packet);
        }
    }
}

#[test]
fn time_in_the_capture_of_a_whole_run_never_steps_backwards() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("whole.pcapng");
    let output = host_sim(&["--memory", "--quiet", "--pcap", path.to_str().expect("a UTF-8 path")]);
    assert_all_hold(&output, Family::ALL.len() * SCENARIOS.len());
    let (mut last, mut frames) = (Duration::ZERO, 0);
    for_each_packet(&path, |packet| {
        assert!(packet.timestamp >= last, "frame {frames} is {:?} before the last", last - packet.timestamp);
        (last, frames) = (packet.timestamp, frames + 1);
    });
    assert!(frames > 1_000, "{frames} frames");
    let text = stdout(&output);
    let names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let first_idle = names.iter().position(|name| *name == "idle-60-days").expect("the scenario was played");
    assert_eq!(names[first_idle + 1], "idle-60-days", "days pass before other scenarios");
}

#[test]
fn a_capture_holds_the_frames_and_says_which_are_forged() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("forged.pcapng");
    let name = path.to_str().expect("a UTF-8 path");
    let output = host_sim(&["--memory", "--scenario", "forged-rst-exact", "--pcap", name]);
    assert!(output.status.success(), "{}", stdout(&output));
    let (mut frames, mut comments) = (0, 0);
    for_each_packet(&path, |packet| {
        frames += 1;
        comments += packet.options.iter().filter(|option| format!("{option:?}").contains("forged in")).count();
        assert!(packet.data.len() >= 42, "a frame of {} bytes", packet.data.len());
    });
    // Two of ARP, three to open, the forged one, and what goes between and after.
    assert!(frames >= 8, "{frames} frames");
    assert_eq!(comments, 2, "one frame is forged in each family");
}

#[test]
fn wrong_arguments_are_told_with_the_way_out() {
    let cases: [(&[&str], &str); 5] = [
        (&["--all", "--quiet"], "cannot be used with"),
        (&["--family", "ipx"], "possible values: ipv4, ipv6"),
        (&["--scenario", "nonsense"], "--list names them"),
        (&["--memory", "--kernel"], "cannot be used with"),
        (&["--memory", "--pcap", "/nowhere/at/all.pcapng"], "cannot create the capture /nowhere/at/all.pcapng"),
    ];
    for (arguments, told) in cases {
        let output = host_sim(arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(told), "{arguments:?}: {text}");
    }
}

#[test]
fn the_rule_table_covers_every_requirement() {
    let output = host_sim(&["rules"]);
    let text = stdout(&output);
    assert!(output.status.success());
    let ids = (1..=11).map(|n| format!("M{n}")).chain((1..=12).map(|n| format!("R{n}")));
    for id in ids {
        let has_id = |line: &str| line.split_whitespace().any(|word| word == id);
        assert!(text.lines().any(has_id), "{id} is missing");
    }
    for rule in tcp_reset_core::Rule::ALL {
        assert!(text.contains(rule.name()), "{rule} is missing");
    }
}

#[test]
fn the_page_of_rules_is_current() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rules.md");
    let output = host_sim(&["rules", "--markdown"]);
    assert!(output.status.success());
    let there = std::fs::read_to_string(page).expect(page);
    assert_eq!(there, stdout(&output), "docs/rules.md: write it anew with `cargo run -p host-sim -- rules --markdown`");
}
