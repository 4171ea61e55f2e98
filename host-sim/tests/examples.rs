//! The examples as a user runs them: other people's protocol crates on the core, against curl, mosquitto, openssl and the kernel.
//!
//! ```sh
//! cargo build -p host-sim --features embassy --examples
//! cargo test -p host-sim --features embassy --test examples
//! ```
//!
//! `cargo test -p host-sim --features embassy` does both, and runs the package's other tests. `--test` alone builds no examples.
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const GREETING: &str = "Hello from tcp-reset-core.\n";
const BODY_LEN: usize = 100 * 1_024;
/// How long one run of an example may take.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Runs an example to its end, or to the end of patience.
fn run(name: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(support::example(name, "embassy"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the example was built");
    let started = Instant::now();
    // What the examples write fits into the pipes: they need no reader while they run.
    while child.try_wait().expect("a child to wait for").is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().expect("a child to end");
            let output = child.wait_with_output().expect("what it has written");
            panic!("{name} {arguments:?} does not end; so far: {}", shown(&output));
        }
        thread::sleep(POLL_INTERVAL);
    }
    child.wait_with_output().expect("what it has written")
}

fn shown(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{}\n{out}\n{err}", output.status)
}

/// Lets curl loose on a server; gives what it wrote.
fn curl(server: &str, server_arguments: &[&str], curl_arguments: &str) -> String {
    let has_curl = Command::new("curl").arg("--version").output().is_ok();
    assert!(has_curl, "curl is missing; install it (as root): apt-get install curl, or dnf install curl");
    let command = format!("curl --silent --show-error --max-time 30 {curl_arguments}");
    let output = run(server, &[server_arguments, &["--exec", &command]].concat());
    assert!(output.status.success(), "{command}: {}", shown(&output));
    assert!(output.stderr.is_empty(), "{command}: {}", shown(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// picoserve's, and edge-http's.
const SERVERS: [&str; 2] = ["http_server", "edge_http"];

#[test]
fn servers_greet() {
    for server in SERVERS {
        assert_eq!(curl(server, &[], "--globoff http://10.69.0.2/ 'http://[fd10:69::2]/'"), GREETING.repeat(2));
        let missing = curl(server, &[], "--output /dev/null --write-out '%{http_code}' http://10.69.0.2/nothing");
        assert_eq!(missing, "404", "{server}");
    }
}

#[test]
fn servers_echo_a_body_larger_than_their_buffers() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let [sent, received] = ["sent", "received"].map(|name| folder.join(name));
    let body: Vec<u8> = (0..BODY_LEN).map(|i| ((i * 31) >> 3) as u8).collect();
    fs::write(&sent, &body).expect("a file to send");
    for server in SERVERS {
        let (from, to) = (sent.display(), received.display());
        curl(server, &[], &format!("--data-binary '@{from}' --output '{to}' http://10.69.0.2/echo"));
        let echoed = fs::read(&received).expect("what curl received");
        assert_eq!(echoed.len(), body.len(), "{server}");
        assert!(echoed == body, "{server}: what came back is not what was sent");
    }
}

#[test]
fn server_takes_fifty_connections_in_a_row_and_resets_none() {
    let each = "--write-out '%{http_code} %{num_connects}\\n' --output /dev/null 'http://10.69.0.2/?[1-50]'";
    let text = curl("http_server", &[], &format!("{each} && curl --silent http://10.69.0.2/status"));
    assert_eq!(text.lines().filter(|&line| line == "200 1").count(), 50, "{text}");
    assert!(text.contains("resets sent: 0\n") && text.contains("half-open: 0\n"), "{text}");
    let ended =
        text.lines().filter_map(|line| line.strip_prefix("ended, closed,")?.split_once(": ")?.1.parse::<u32>().ok());
    // The one that asks is open yet.
    assert_eq!(ended.sum::<u32>(), 50, "{text}");
    assert!(text.contains("connections: 1\n"), "{text}");
}

/// What edge-http's server closes ends on both sides, and the next request is on a new connection.
#[test]
fn server_over_edge_nal_takes_fifty_requests_and_closes() {
    let each = "--write-out '%{http_code} %{num_connects}\\n' --output /dev/null";
    let text = curl("edge_http", &[], &format!("{each} 'http://10.69.0.2/#[1-50]'"));
    assert_eq!(text.lines().filter(|line| line.starts_with("200 ")).count(), 50, "{text}");
    let text = curl("edge_http", &[], &format!("{each} --header 'Connection: close' 'http://10.69.0.2/#[1-20]'"));
    assert_eq!(text.lines().filter(|&line| line == "200 1").count(), 20, "{text}");
}

#[test]
fn server_takes_fifty_requests_on_one_connection() {
    let each = "--write-out '%{http_code} %{num_connects}\\n' --output /dev/null 'http://10.69.0.2/?[1-50]'";
    let text = curl("http_server", &["--keep-alive"], each);
    assert_eq!(text.lines().next(), Some("200 1"), "{text}");
    assert_eq!(text.lines().filter(|&line| line == "200 0").count(), 49, "{text}");
}

/// More than there are tasks: the others wait in the listener's backlog. A connection that is kept alive would keep its task.
#[test]
fn servers_take_eight_requests_at_once() {
    let eight = "--no-progress-meter --parallel --parallel-immediate --parallel-max 8 --header 'Connection: close' \
                 'http://10.69.0.2/#[1-8]'";
    for server in SERVERS {
        assert_eq!(curl(server, &[], eight), GREETING.repeat(8), "{server}");
    }
}

#[test]
fn server_ends_with_the_exit_code_of_the_command() {
    let output = run("http_server", &["--exec", "exit 7"]);
    assert_eq!(output.status.code(), Some(7), "{}", shown(&output));
}

#[test]
fn client_gets_posts_and_is_refused() {
    let output = run("http_client", &[]);
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for host in ["kernel-by-ipv4", "kernel-by-ipv6"] {
        for told in [
            format!("GET http://{host}:8080/: 200, \"Hello from the kernel.\\n\""),
            format!("POST http://{host}:8080/: 200, 65536 of 65536 bytes came back"),
            format!("GET http://{host}:8081/: Network(ConnectionRefused)"),
        ] {
            assert!(text.contains(&told), "{}", shown(&output));
        }
    }
}

#[test]
fn mqtt_client_receives_what_it_publishes() {
    let output = run("mqtt", &[]);
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for family in ["IPv4", "IPv6"] {
        let told = [
            "connected",
            "subscribed to core/temperature",
            "4 bytes acknowledged, 4 of them came back",
            "16384 bytes acknowledged, 16384 of them came back",
            "disconnected: closed, peer first",
        ];
        for told in told {
            assert!(text.contains(&format!("{family}: {told}\n")), "{told}: {}", shown(&output));
        }
    }
}

/// Where a timer decides, ours must be the shorter one. Where none does, both take what the machine takes, some ten microseconds, of which no
/// ratio can be promised on a busy machine: less than any timer is.
#[test]
fn mqtt_publication_is_no_slower_than_over_embassy_nets_tcp() {
    let output = run("mqtt_latency", &[]);
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    let medians: Vec<[u64; 2]> = text.lines().map(medians).collect();
    assert_eq!(medians.len(), 8, "{}", shown(&output));
    // Where only the machine's speed counts the two are alike, and nothing is judged.
    let with_timers = medians.iter().zip(text.lines()).filter(|(_, line)| line.contains("and back"));
    assert_eq!(with_timers.clone().count(), 4, "{}", shown(&output));
    for ([ours, theirs], _) in with_timers {
        assert!(ours <= theirs, "{}", shown(&output));
    }
}

/// Ours and embassy-net's, in microseconds, of a line of the comparison.
fn medians(line: &str) -> [u64; 2] {
    ["core ", "embassy-net "].map(|name| {
        let (_, rest) = line.split_once(name).expect("a side's name");
        rest.split_once(" us").expect("its unit").0.parse().expect("its median")
    })
}

#[test]
fn tls_client_verifies_sends_receives_and_ends_orderly() {
    let output = run("tls_client", &[]);
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for family in ["IPv4", "IPv6"] {
        let told = [
            "the certificate is one of kernel.test",
            "65536 of 65536 bytes came back, each line reversed",
            "ended: closed, peer first",
            "as other.test: InvalidCertificate",
        ];
        for told in told {
            assert!(text.contains(&format!("{family}: {told}\n")), "{told}: {}", shown(&output));
        }
    }
}
