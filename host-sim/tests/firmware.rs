//! The firmware in QEMU, as a user starts it. Needs the targets of the boards, `qemu-system-arm` and `curl`.
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::path::Path;
mod support;

use std::process::{Command, Output};
use std::thread;

fn host_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-sim")).args(arguments).output().expect("the program was just built")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The scenarios that a listing names, and over how many families each plays.
fn scenarios() -> Vec<(String, usize)> {
    let output = host_sim(&["qemu", "--list"]);
    assert!(output.status.success(), "{}", told(&output));
    // A name, and then the families in a column of their own.
    let families = |line: &str| line.get(24..34).map_or(0, |column| column.matches("IPv").count());
    let name = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    told(&output).lines().map(|line| (name(line), families(line))).filter(|(_, families)| *families > 0).collect()
}

fn assert_holds(scenarios: &[(String, usize)]) {
    let mut arguments = vec!["qemu"];
    arguments.extend(scenarios.iter().flat_map(|(name, _)| ["--scenario", name]));
    let output = host_sim(&arguments);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    let count: usize = scenarios.iter().map(|(_, families)| families).sum();
    assert!(text.contains(&format!("{count} of {count} scenarios hold, 0 fail.")), "{text}");
}

/// Two boards side by side, each with every second of them: most of their time is waiting.
#[test]
fn every_scenario_of_the_firmware_holds() {
    let all = scenarios();
    let count: usize = all.iter().map(|(_, families)| families).sum();
    assert!(count >= 60, "{count} scenarios");
    let half = |part: usize| all.iter().skip(part).step_by(2).cloned().collect::<Vec<_>>();
    thread::scope(|scope| {
        scope.spawn(|| assert_holds(&half(0)));
        assert_holds(&half(1));
    });
}

#[test]
fn the_cortex_m7_board_runs_the_same_application() {
    let chosen = [
        "start",
        "ping",
        "echo",
        "ports",
        "status-page",
        "forged-rst-in-window",
        "board-restarts",
        "reset-by-watchdog",
        "journal-garbage",
        "hosts-vanish",
    ];
    let mut arguments = vec!["qemu", "--board", "an500"];
    for name in chosen {
        arguments.extend(["--scenario", name]);
    }
    let output = host_sim(&arguments);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    // All but the first over both families.
    let count = 2 * chosen.len() - 1;
    assert!(text.contains(&format!("{count} of {count} scenarios hold, 0 fail.")), "{text}");
}

#[test]
fn commands_run_beside_the_board_and_their_exit_code_is_passed_on() {
    let command = "curl --silent --fail http://10.69.0.2/status.json && \
                   curl --silent --fail --globoff 'http://[fd10:69::54:43ff:fe50:3]/status.json' && exit 7";
    let output = host_sim(&["qemu", "--exec", command]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(7), "{text}");
    assert_eq!(text.matches("\"board\":\"qemu-mps2-an385\"").count(), 2, "{text}");
    assert!(text.contains("address 10.69.0.2/24") && text.contains("address fd10:69::54:43ff:fe50:3/64"), "{text}");
}

/// Counters are for those whom the build or the build's feature lets see them.
#[test]
fn the_whole_status_page_is_shown_to_those_it_is_meant_for() {
    let fetch = "curl --silent --fail http://10.69.0.2/status.json http://10.69.0.2/metrics";
    let cases: [(&[&str], bool); 4] = [
        (&[], false),
        (&["--status-from", "10.69.0.0/24,fd10:69::/64"], true),
        (&["--status-from", "10.70.0.0/24"], false),
        (&["--diagnostics"], true),
    ];
    for (options, is_whole) in cases {
        let output = host_sim(&[&["qemu", "--exec", fetch], options].concat());
        let text = told(&output);
        assert!(output.status.success(), "{options:?}: {text}");
        assert!(
            text.contains("\"reset_cause\":\"power-on\"") && text.contains("tcp_reset_core_connection_slots 8\n"),
            "{options:?}: {text}"
        );
        assert!(text.contains("\"ends_in_s\":"), "{options:?}: {text}");
        for word in [
            "\"last_resets\":",
            "tcp_reset_core_segments_judged_total",
            "tcp_reset_core_resets_sent_total",
            "\"rules\":",
            "\"half_open\":",
            "\"half_open_records\":",
            "\"time_wait_records\":",
            "\"timers\":",
            "\"remote\":\"10.69.0.1:",
        ] {
            assert_eq!(text.contains(word), is_whole, "{options:?}, {word}: {text}");
        }
    }
}

/// A telephone and a desk, light and dark; what is seen depends on who asks.
#[test]
fn the_status_page_holds_in_a_browser() {
    let example = support::example("status_page", "firmware");
    // A connection over each family, and something to count.
    let scene = format!(
        "bash -c 'exec 3<>/dev/tcp/10.69.0.2/7 4<>/dev/tcp/fd10:69::54:43ff:fe50:3/7; \
         curl --silent http://10.69.0.2:81/; exec {} http://10.69.0.2/'",
        example.display()
    );
    for options in [&[][..], &["--status-from", "10.69.0.0/24"]] {
        let output = host_sim(&[&["qemu", "--exec", &scene], options].concat());
        let text = told(&output);
        assert!(output.status.success() && text.contains("the status page holds at"), "{options:?}: {text}");
    }
}

#[test]
fn metrics_are_as_prometheus_wants_them() {
    let check = "curl --silent --fail http://10.69.0.2/metrics | promtool check metrics";
    for options in [&[][..], &["--status-from", "10.69.0.0/24"]] {
        let output = host_sim(&[&["qemu", "--exec", check], options].concat());
        assert!(output.status.success(), "{options:?}: {}", told(&output));
    }
}

/// A browser that was led here by another site's name asks in that name.
#[test]
fn the_whole_status_page_is_shown_only_by_the_boards_address() {
    let fetch = "curl --silent --fail --header 'Host: evil.example' http://10.69.0.2/status.json";
    for options in [&["--status-from", "10.69.0.0/24"][..], &["--diagnostics"]] {
        let output = host_sim(&[&["qemu", "--exec", fetch], options].concat());
        let text = told(&output);
        assert!(output.status.success(), "{options:?}: {text}");
        assert!(text.contains("\"reset_cause\":") && !text.contains("\"rules\":"), "{options:?}: {text}");
    }
}

#[test]
fn a_list_of_networks_that_cannot_be_read_is_told_and_lets_nobody_in() {
    let fetch = "curl --silent --fail http://10.69.0.2/status.json";
    let output = host_sim(&["qemu", "--status-from", "10.69.0.0/33", "--exec", fetch]);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\"10.69.0.0/33\" is no list of at most 8 networks"), "{text}");
    assert!(text.contains("\"reset_cause\":") && !text.contains("\"rules\":"), "{text}");
}

#[test]
fn forged_segments_are_shown_to_be_challenged() {
    for family in ["ipv4", "ipv6"] {
        let output = host_sim(&["qemu", "--forge", "rst", "--forge", "syn", "--family", family]);
        let text = told(&output);
        assert!(output.status.success(), "{family}: {text}");
        for line in [
            "the connection lives",
            "RstInWindow: RST in the window, challenged, connection untouched",
            "SynSynchronized: SYN on a live connection, challenged",
        ] {
            assert!(text.contains(line), "{family}: \"{line}\" is missing: {text}");
        }
    }
}

/// The smaller image is the same application.
#[test]
fn an_image_that_speaks_ipv4_alone_serves_as_well() {
    let output = host_sim(&[
        "qemu",
        "--ipv4-only",
        "--forge",
        "rst",
        "--exec",
        "curl --silent --fail http://10.69.0.2/status.json",
    ]);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("\"address\":\"10.69.0.2/24\"") && !text.contains("IPv6: DOWN"), "{text}");
}

/// What the examples are built for.
const TARGET: &str = "thumbv7m-none-eabi";

/// Builds an example of the firmware's, as its page says, and returns the image's place.
fn example(name: &str, feature: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the folder of all targets");
    let arguments = ["build", "--locked", "--package", "firmware", "--example", name, "--features", feature];
    let built = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--profile", "firmware", "--target", TARGET, "--target-dir"])
        .arg(folder)
        .output()
        .expect("cargo runs this test");
    assert!(built.status.success(), "{}", told(&built));
    format!("{}/{TARGET}/firmware/examples/{name}", folder.display())
}

/// The image serves over both families; over one of them it is looked at while it waits.
fn assert_serves_and_sleeps(image: &str, family: &str) {
    for arguments in [
        &["--scenario", "ping", "--scenario", "echo", "--scenario", "burst"][..],
        &["--family", family, "--scenario", "cable", "--scenario", "sleeps", "--scenario", "syn-ack-again"],
    ] {
        let output = host_sim(&[&["qemu", "--image", image], arguments].concat());
        let text = told(&output);
        assert!(output.status.success() && text.contains("scenarios hold, 0 fail."), "{text}");
    }
}

/// A second connection comes after the first, whose end is told.
fn assert_lives_through_forged_rst(image: &str) {
    for family in ["ipv4", "ipv6"] {
        let output = host_sim(&["qemu", "--image", image, "--forge", "rst", "--forge", "rst", "--family", family]);
        let text = told(&output);
        assert!(output.status.success(), "{family}: {text}");
        assert_eq!(text.matches("the connection lives").count(), 2, "{family}: {text}");
        assert!(text.contains("connection ended: PeerClosed"), "{family}: {text}");
    }
}

#[test]
fn a_loop_without_embassy_serves_and_sleeps() {
    let image = example("bare_loop", "bare");
    assert_serves_and_sleeps(&image, "ipv4");
    assert_lives_through_forged_rst(&image);
}

#[test]
fn rtic_serves_and_sleeps() {
    let image = example("rtic", "rtic");
    assert_serves_and_sleeps(&image, "ipv6");
    assert_lives_through_forged_rst(&image);
}

#[test]
fn a_capture_holds_what_passed_and_what_was_forged() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("board.pcapng");
    let name = path.to_str().expect("a UTF-8 path");
    let output = host_sim(&["qemu", "--forge", "rst", "--pcap", name]);
    assert!(output.status.success(), "{}", told(&output));
    let bytes = std::fs::read(&path).expect("the capture");
    let holds = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    assert!(holds(b"before the attack") && holds(b"forged in the kernel's name"), "{} bytes", bytes.len());
}

#[test]
fn a_capture_that_cannot_be_written_is_told() {
    let output = host_sim(&["qemu", "--forge", "rst", "--pcap", "/dev/full"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("the capture"), "{text}");
}

/// Instructions, not time: the same on every machine. The bounds are a little above what was measured: SYN to a closed port, pure ACK,
/// bulk in, bulk out, echo of 64 bytes.
const BOUNDS: [(&str, &str, [f64; 5]); 3] = [
    ("IPv4", "IPv4", [0.59, 0.64, 0.37, 0.32, 0.75]),
    ("both", "IPv4", [0.58, 0.66, 0.36, 0.32, 0.67]),
    ("both", "IPv6", [0.42, 0.40, 0.32, 0.29, 0.50]),
];

#[test]
fn a_segment_costs_less_than_with_embassy_net() {
    let output = host_sim(&["bench"]);
    let text = told(&output);
    assert!(output.status.success(), "{text}");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    for (image, family, bounds) in BOUNDS {
        let scripts = ["syn-to-closed-port", "pure-ack", "bulk-in", "bulk-out", "echo-64"];
        for (script, bound) in scripts.into_iter().zip(bounds) {
            let traffic = format!("{family} {script}");
            let is_it = |row: &&Vec<&str>| row.len() == 9 && row[1] == image && row[2] == traffic;
            let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("{image}, {traffic}: {text}"));
            let ratio: f64 = row[7].parse().expect(&traffic);
            assert!(ratio > 0.1 && ratio <= bound, "{row:?}: not within {bound}");
            let passed: u32 = row[3].split(',').next().and_then(|n| n.parse().ok()).expect(&traffic);
            assert!(passed >= 1_000, "{row:?}");
        }
    }
}

#[test]
fn what_cannot_be_done_is_told_with_the_way_out() {
    let cases: [(&[&str], &str); 3] = [
        (&["qemu", "--scenario", "nonsense"], "--list names them"),
        (&["qemu", "--image", "/nowhere/at/all.elf"], "cannot read the image /nowhere/at/all.elf"),
        (&["qemu", "--scenarios", "--exec", "true"], "cannot be used with"),
    ];
    for (arguments, what) in cases {
        let output = host_sim(arguments);
        let text = told(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(what), "{arguments:?}: {text}");
    }
}
