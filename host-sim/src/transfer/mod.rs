//! `host-sim transfer`: bulk data between our stack and other people's programs on this machine's kernel, over a wire that does harm.
//!
//! | room | holds |
//! |---|---|
//! | `net` | our endpoint, the cable and the wire: what moves frames |
//! | `http` | a server: content to be fetched, and content that is sent there, each with its digest |
//! | `iperf` | a client of iperf3's server |
//! | `judge` | the transfers that must hold |

mod content;
mod http;
mod iperf;
mod judge;
mod net;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use crate::cable::Hostility;
use crate::family::Family;
use crate::kernel::WireKind;

use self::http::Server;
use self::net::Net;

/// Move data between our stack and curl and iperf3 on this machine's kernel, in a network namespace of its own, over a wire that loses, delays,
/// duplicates, reorders and corrupts frames as a seed says, and compare digests
#[derive(Args)]
pub struct Options {
    /// Use only this family of addresses; without it both, one after the other
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// Bytes of each transfer
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    bytes: u64,
    /// Our send and receive buffers
    #[arg(long, value_name = "BYTES", default_value_t = 32_768)]
    buffer: usize,
    /// Seed of all that the wire does
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Percentage of frames that are lost
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    loss: u8,
    /// Percentage of frames that arrive twice
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    duplicate: u8,
    /// Percentage of frames that later ones overtake
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    reorder: u8,
    /// Percentage of frames of which a bit is flipped
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    corrupt: u8,
    /// The longest delay of a frame each way
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(..=1_000))]
    delay: u16,
    /// How long each transfer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Run a shell command inside the namespace instead, with our server's address in $SERVER, and end with its exit code
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Use a veth pair, and no TAP
    #[arg(long)]
    veth: bool,
}

impl Options {
    fn hostility(&self) -> Hostility {
        Hostility {
            seed: self.seed,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            corrupt: self.corrupt,
            delay: Duration::from_millis(self.delay.into()),
            pull: None,
        }
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Does what the options say; gives the exit code.
///
/// # Errors
/// If the namespace or the wire cannot be had, or a program is missing.
pub fn run(options: &Options) -> Result<i32> {
    let families = options.family.as_ref().map_or(&Family::ALL[..], std::slice::from_ref);
    let kind = options.veth.then_some(WireKind::Veth);
    let [first, ..] = families else { return Ok(0) };
    let mut net = Net::lay(families, kind, options)?;
    if let Some(command) = &options.exec {
        let server = url_host(*first);
        let mut child =
            Command::new("sh").arg("-c").arg(command).env("SERVER", server).spawn().context("cannot run a shell")?;
        let mut http = Server::new(&mut net, *first)?;
        let code = net.attend(&mut child, options.limit(), &mut |net| http.step(net))?;
        return Ok(code);
    }
    judge::run(&mut net, families, options)
}

/// Our server's address as it stands in a URL.
fn url_host(family: Family) -> String {
    match family {
        Family::Ipv4 => family.our_addr().to_string(),
        Family::Ipv6 => format!("[{}]", family.our_addr()),
    }
}
