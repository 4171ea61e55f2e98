//! What is asked for.

use std::time::Duration;

use clap::Args;

use crate::cable::Hostility;
use crate::family::Family;

/// Move data between our stack and curl and iperf3 on this machine's kernel, in a network namespace of its own, over a wire that loses, delays,
/// duplicates, reorders and corrupts frames as a seed says, and compare digests
#[derive(Args)]
pub struct Options {
    /// Use only this family of addresses; without it both, one after the other
    #[arg(long, value_enum)]
    pub(super) family: Option<Family>,
    /// Bytes of each transfer
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pub(super) bytes: u64,
    /// Our send and receive buffers
    #[arg(long, value_name = "BYTES", default_value_t = 32_768)]
    pub(super) buffer: usize,
    /// Seed of all that the wire does
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Percentage of frames that are lost
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    pub(super) loss: u8,
    /// Percentage of frames that arrive twice
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    pub(super) duplicate: u8,
    /// Percentage of frames that later ones overtake
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    pub(super) reorder: u8,
    /// Percentage of frames of which a bit is flipped
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    pub(super) corrupt: u8,
    /// Percentage of frames that are marked as a congested router does, where they may be (RFC 3168); more than 0 makes the kernel ask for ECN
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(..=50))]
    pub(super) mark: u8,
    /// The longest delay of a frame each way
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(..=1_000))]
    pub(super) delay: u16,
    /// How long each transfer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) timeout: u64,
    /// Run a shell command inside the namespace instead, with our server's address in $SERVER, and end with its exit code
    #[arg(long, value_name = "CMD")]
    pub(super) exec: Option<String>,
    /// Use a veth pair, and no TAP
    #[arg(long)]
    pub(super) veth: bool,
}

impl Options {
    pub(super) fn hostility(&self) -> Hostility {
        Hostility {
            seed: self.seed,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            corrupt: self.corrupt,
            mark: self.mark,
            delay: Duration::from_millis(self.delay.into()),
            pull: None,
        }
    }

    pub(super) fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Our server's address as it stands in a URL.
pub(super) fn url_host(family: Family) -> String {
    match family {
        Family::Ipv4 => family.our_addr().to_string(),
        Family::Ipv6 => format!("[{}]", family.our_addr()),
    }
}
