//! What Wireshark reads in a capture: the reason of an RST.
//!
//! ```sh
//! apt-get install tshark
//! cargo test -p host-sim --features peers --test capture
//! ```
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot start has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A capture that is gone when the test is.
struct Capture(PathBuf);

impl Capture {
    /// Of one scenario in memory, over both families.
    fn of(scenario: &str) -> Capture {
        let path = std::env::temp_dir().join(format!("host-sim-{scenario}-{}.pcapng", std::process::id()));
        let arguments = ["--memory", "--quiet", "--scenario", scenario, "--pcap"];
        let run = Command::new(env!("CARGO_BIN_EXE_host-sim")).args(arguments).arg(&path).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        Capture(path)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What tshark shows of the RSTs in it.
fn tshark(capture: &Path, how: &[&str]) -> String {
    let resets = ["-Y", "tcp.flags.reset == 1"];
    let run = Command::new("tshark").arg("-r").arg(capture).args(resets).args(how).output();
    let run = run.expect("tshark cannot be started: apt-get install tshark");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// The bytes of each RST's payload, as tshark names them.
fn causes(capture: &Path) -> Vec<String> {
    let frames: Vec<Value> = serde_json::from_str(&tshark(capture, &["-T", "jsonraw"])).unwrap();
    let cause =
        |frame: &Value| Some(frame.pointer("/_source/layers/tcp")?.get("tcp.reset_cause_raw")?[0].as_str()?.to_owned());
    frames.iter().filter_map(cause).collect()
}

#[test]
fn wireshark_shows_the_code_of_our_rst() {
    let capture = Capture::of("reason-ours");
    // ABORT: for the story's own connection and for the next client's, over two families.
    assert_eq!(causes(&capture.0), ["33aa000400000000"; 4]);
    let shown = tshark(&capture.0, &["-T", "fields", "-e", "tcp.reset_cause"]);
    assert!(shown.lines().filter(|line| line.starts_with('3')).count() == 4, "{shown:?}");
}

#[test]
fn wireshark_shows_a_text() {
    let capture = Capture::of("reason-theirs");
    let shown = tshark(&capture.0, &["-T", "fields", "-e", "tcp.reset_cause"]);
    assert_eq!(shown.matches("moved to another rack").count(), 2, "over two families: {shown:?}");
}

#[test]
fn wireshark_shows_nothing_where_nothing_is_said() {
    let capture = Capture::of("close-unread");
    let shown = tshark(&capture.0, &["-T", "fields", "-e", "tcp.len", "-e", "tcp.reset_cause"]);
    assert!(shown.lines().count() >= 2 && shown.lines().all(|line| line.trim() == "0"), "{shown:?}");
}
