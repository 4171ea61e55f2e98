//! The transfers that must hold: each way with curl, digests compared, and each way with iperf3, which counts for itself.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::cable::{Hostility, Toward};
use crate::family::Family;

use super::content;
use super::http::Server;
use super::iperf::{self, Direction};
use super::marks::Told;
use super::net::Net;
use super::options::{Options, url_host};
use super::sockets;

/// iperf3's server listens here.
const IPERF_PORT: u16 = 5_201;
/// How long a program may take to start.
const START: Duration = Duration::from_secs(10);

pub(super) fn run(net: &mut Net, families: &[Family], options: &Options) -> Result<i32> {
    let Hostility { seed, loss, duplicate, reorder, corrupt, mark, delay, .. } = options.hostility();
    anstream::println!(
        "seed {seed}: {loss} % lost, {duplicate} % twice, {reorder} % out of order, {corrupt} % corrupt, {mark} % marked, \
         up to {} ms late; \
         our buffers: {} bytes",
        delay.as_millis(),
        options.buffer
    );
    let expected = content::digest(options.bytes);
    let mut are_all_right = true;
    for &family in families {
        let mut judge = |name, toward, transfer: &mut dyn FnMut(&mut Net) -> Result<Duration>| {
            net.restart_marks();
            let result = transfer(net).and_then(|took| {
                let told = if mark > 0 { Some(net.judge_marks(toward)?) } else { None };
                Ok((took, told))
            });
            are_all_right &= result.is_ok();
            tell(name, family, options.bytes, &result);
        };
        judge("curl fetches from us", Toward::Peer, &mut |net| fetch(net, family, options, &expected));
        judge("curl sends to us", Toward::Us, &mut |net| put(net, family, options, &expected));
        judge("we send to iperf3", Toward::Peer, &mut |net| with_iperf(net, family, options, Direction::ToPeer));
        judge("iperf3 sends to us", Toward::Us, &mut |net| with_iperf(net, family, options, Direction::ToUs));
    }
    Ok(i32::from(!are_all_right))
}

fn tell(name: &str, family: Family, bytes: u64, result: &Result<(Duration, Option<Told>)>) {
    match result {
        Ok((took, told)) => {
            let rate = bytes as f64 / took.as_secs_f64() / 1e3;
            let marks = told.as_ref().map_or(String::new(), |told| format!("; {told}"));
            anstream::println!(
                "{name:<22} {family}  {bytes} bytes in {:.1} s, {rate:.0} kB/s{marks}  holds",
                took.as_secs_f64()
            );
        }
        Err(error) => anstream::println!("{name:<22} {family}  FAILS: {error:#}"),
    }
}

/// Runs curl with our server up; gives what it printed, and how long it took.
fn with_curl(net: &mut Net, family: Family, options: &Options, arguments: &[&str]) -> Result<(Vec<u8>, Duration)> {
    let output = tempfile::NamedTempFile::new().context("cannot make a file for curl's output")?;
    let mut command = Command::new("curl");
    // No proxy, and no settings of the user's.
    command.args(["--disable", "--noproxy", "*", "--silent", "--show-error", "--fail", "--globoff", "--output"]);
    let mut child =
        command.arg(output.path()).args(arguments).spawn().context("cannot run curl (apt-get install curl)")?;
    let mut server = match Server::new(net, family) {
        Ok(server) => server,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    let begin = net.now();
    let code = net.attend(&mut child, options.limit(), &mut |net| server.step(net));
    let took = net.now().duration_since(begin);
    server.close(net)?;
    let code = code?;
    ensure!(code == 0, "curl ends with {code}");
    let mut printed = Vec::new();
    output.reopen()?.read_to_end(&mut printed)?;
    Ok((printed, took))
}

fn fetch(net: &mut Net, family: Family, options: &Options, expected: &str) -> Result<Duration> {
    let url = format!("http://{}/{}", url_host(family), options.bytes);
    let (fetched, took) = with_curl(net, family, options, &[&url])?;
    ensure!(fetched.len() as u64 == options.bytes, "curl has {} bytes", fetched.len());
    let sum = content::digest_of(&fetched);
    ensure!(sum == expected, "curl has other bytes: SHA-256 is {sum}, not {expected}");
    Ok(took)
}

fn put(net: &mut Net, family: Family, options: &Options, expected: &str) -> Result<Duration> {
    let file = tempfile::NamedTempFile::new().context("cannot make a file for curl")?;
    content::write(file.as_file(), options.bytes).context("cannot write the file for curl")?;
    let url = format!("http://{}/", url_host(family));
    let path = file.path().to_string_lossy();
    let (answer, took) = with_curl(net, family, options, &["--upload-file", &path, &url])?;
    let sum = String::from_utf8_lossy(&answer);
    ensure!(sum.trim_end() == expected, "we have other bytes: SHA-256 is {sum}, not {expected}");
    Ok(took)
}

fn with_iperf(net: &mut Net, family: Family, options: &Options, direction: Direction) -> Result<Duration> {
    let mut server = IperfServer::start(net, family)?;
    let report = iperf::run(net, family, IPERF_PORT, direction, options.bytes, options.limit());
    server.stop();
    let report = report?;
    let (sent, received) = match direction {
        Direction::ToPeer => (report.ours, report.theirs),
        Direction::ToUs => (report.theirs, report.ours),
    };
    ensure!(options.bytes <= received && received <= sent, "{received} bytes were received, and {sent} sent");
    Ok(report.took)
}

/// iperf3's server for one test; it ends with this.
struct IperfServer(Child);

impl IperfServer {
    fn start(net: &mut Net, family: Family) -> Result<IperfServer> {
        let mut command = Command::new("iperf3");
        let addr = family.peer_addr().to_string();
        command.args(["--server", "--one-off", "--bind", &addr, "--port", &IPERF_PORT.to_string()]);
        command.stdout(Stdio::null());
        let child = command.spawn().context("cannot run iperf3 (apt-get install iperf3)")?;
        let mut server = IperfServer(child);
        net.until("iperf3 listens", START, &mut |_| {
            if let Some(status) = server.0.try_wait()? {
                bail!("iperf3 ends at once: {status}");
            }
            Ok(sockets::sockets_on(IPERF_PORT)?.iter().any(|socket| socket.is_listener))
        })?;
        Ok(server)
    }

    fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for IperfServer {
    fn drop(&mut self) {
        self.stop();
    }
}
