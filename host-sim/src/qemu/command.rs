//! `host-sim qemu`: starts the firmware, shows its log, lets commands loose on it, and attacks it on request.

use std::io;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use nix::unistd::geteuid;
use tcp_reset_core::Control;

use super::lab::{Lab, PATIENCE, echo};
use super::scenarios::{self, SCENARIOS, Scenario};
use super::{Board, board_addr};
use crate::family::Family;
use crate::image::{self, Speaks};

/// The echo service's port.
const ECHO: u16 = 7;
/// How long the board's log is followed after an attack: it tells its counters once a second.
const AFTERMATH: Duration = Duration::from_secs(3);

/// Start the firmware in QEMU on a wire to this machine's kernel, in a network namespace of its own.
#[derive(Args)]
pub struct Options {
    /// The board
    #[arg(long, default_value_t, value_enum)]
    board: Board,
    /// Attack and play only over this family of addresses; without it attacks are over IPv4, scenarios over both
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Build an image that speaks IPv4 alone
    #[arg(long, conflicts_with = "image")]
    ipv4_only: bool,
    /// Start this image instead of building one
    #[arg(long, value_name = "ELF")]
    image: Option<PathBuf>,
    /// Run a shell command inside the namespace once the board has an address, and end with its exit code
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Attack a live connection with a forged segment and show what becomes of it; may be given more than once
    #[arg(long, value_name = "WHAT")]
    forge: Vec<Forgery>,
    /// The server that the board's client connects to
    #[arg(long, value_name = "ADDR:PORT")]
    server: Option<SocketAddr>,
    /// Show the whole status page to these networks, such as 10.69.0.0/24,fd10:69::/64; without it, to nobody (the scenarios choose)
    #[arg(long, value_name = "NETWORKS", conflicts_with_all = ["scenarios", "scenario"])]
    status_from: Option<String>,
    /// Build an image that shows the whole status page to everybody
    #[arg(long, conflicts_with = "image")]
    diagnostics: bool,
    /// Write every frame to this pcapng file
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Play the firmware's scenarios and end
    #[arg(long, conflicts_with_all = ["exec", "forge"])]
    scenarios: bool,
    /// Play only this one of them; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = scenario_named, conflicts_with_all = ["exec", "forge"])]
    scenario: Vec<&'static Scenario>,
    /// List the firmware's scenarios and end
    #[arg(long)]
    list: bool,
}

impl Options {
    fn speaks(&self) -> Speaks {
        if self.ipv4_only { Speaks::Ipv4 } else { Speaks::Both }
    }
}

/// What can be forged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Forgery {
    /// An RST in the window, not at RCV.NXT
    Rst,
    /// A SYN
    Syn,
}

fn scenario_named(name: &str) -> Result<&'static Scenario, String> {
    let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
    found.ok_or_else(|| "there is no such scenario of the firmware; --list names them".into())
}

/// Does what the options say; gives the exit code.
///
/// # Errors
/// If the board cannot be started.
pub fn run(options: &Options) -> Result<i32> {
    if options.list {
        for scenario in SCENARIOS {
            let families = scenario.families.iter().map(Family::to_string).collect::<Vec<_>>().join(" ");
            anstream::println!("{:<24} {families:<9} {}", scenario.name, scenario.title);
        }
        return Ok(0);
    }
    let image = match &options.image {
        Some(image) => image.clone(),
        None => {
            let more: &[&str] = if options.diagnostics { &["diagnostics"] } else { &[] };
            image::build_with(options.board.target(), options.board.binary(), options.speaks(), more)?
        }
    };
    let plays = options.scenarios || !options.scenario.is_empty();
    let mut lab = Lab::open(options.board, image, options.pcap.as_deref(), !plays)?;
    if plays {
        let chosen = if options.scenario.is_empty() { SCENARIOS.iter().collect() } else { options.scenario.clone() };
        let holds = scenarios::play_all(&mut lab, &chosen, options.family);
        lab.cable.check_capture()?;
        return Ok(i32::from(!holds));
    }
    let code = attend(&mut lab, options)?;
    lab.cable.check_capture()?;
    Ok(code)
}

/// What is asked of a board that runs.
fn attend(lab: &mut Lab, options: &Options) -> Result<i32> {
    let arguments: Vec<_> = options.server.iter().map(|server| format!("server={server}")).collect();
    if let Some(networks) = &options.status_from {
        lab.show_everything_to(networks.clone());
    }
    lab.power_on(&arguments)?;
    lab.speak(options.family.unwrap_or(Family::Ipv4))?;
    for &forgery in &options.forge {
        attack(lab, forgery)?;
    }
    match &options.exec {
        Some(command) => execute(command),
        None if !options.forge.is_empty() => Ok(0),
        None => stay(lab),
    }
}

/// A connection to the echo service is attacked, and must live.
fn attack(lab: &Lab, forgery: Forgery) -> Result<()> {
    let mut stream = lab.connect(ECHO, 0).context("the echo service does not answer")?;
    echo(&mut stream, b"before the attack")?;
    let log_end = lab.log.len();
    let (control, distance) = match forgery {
        Forgery::Rst => (Control::RST, lab.window(&stream)? / 2),
        Forgery::Syn => (Control::SYN, 0),
    };
    let mut forged = lab.segment_for(&stream, control)?;
    forged.seq += distance;
    anstream::println!("forged: {} to {}: {control} at RCV.NXT+{distance}", forged.from, forged.to);
    lab.cable.forge(&forged)?;
    echo(&mut stream, b"after the attack").context("the forged segment has hurt the connection")?;
    anstream::println!("the connection lives: bytes still come back");
    let rule = match forgery {
        Forgery::Rst => "RstInWindow",
        Forgery::Syn => "SynSynchronized",
    };
    lab.log.wait_for(rule, log_end, PATIENCE)?;
    Ok(())
}

/// Commands inherit the namespace.
fn execute(command: &str) -> Result<i32> {
    let status = Command::new("sh").arg("-c").arg(command).status();
    let status = status.with_context(|| format!("cannot run a shell for: {command}"))?;
    thread::sleep(AFTERMATH);
    // Ended by a signal: as shells say it.
    Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1))
}

fn stay(lab: &mut Lab) -> Result<i32> {
    // However this ends, by a signal too, no file is left behind.
    lab.forget_folder()?;
    let qemu = lab.machine()?.id();
    let namespaces = if geteuid().is_root() && is_own_user_namespace() { "-U -n --preserve-credentials" } else { "-n" };
    let [v4, v6] = Family::ALL.map(board_addr);
    anstream::println!(
        "\nThe board is at {v4} and {v6}: ping, echo on port 7, discard on 9, http://{v4}/ and /status.json.\n\
         From another terminal: nsenter -t {qemu} {namespaces} curl http://{v4}/ 'http://[{v6}]/'\n\
         Here, without another: cargo qemu --exec 'curl http://{v4}/', cargo qemu --forge rst --family ipv6\n\
         Enter or Ctrl-C pulls the plug.\n"
    );
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line).context("cannot wait for Enter")?;
    if read == 0 {
        // No terminal to wait at: the board runs until it is ended from outside.
        loop {
            thread::park();
        }
    }
    Ok(0)
}

/// Returns whether the ids of this process are mapped, as in a namespace that an ordinary user made.
fn is_own_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).is_some_and(|count| count == "1")
}
