//! `host-sim transfer`: bulk data between our stack and other people's programs on this machine's kernel, over a wire that does harm.
//!
//! | room | holds |
//! |---|---|
//! | `options` | what is asked for |
//! | `net` | our endpoint, the cable and the wire: what moves frames |
//! | `http` | a server: content to be fetched, and content that is sent there, each with its digest |
//! | `iperf` | a client of iperf3's server |
//! | `sockets` | what the kernel tells of its sockets |
//! | `marks` | what both ends say of packets that were marked |
//! | `judge` | the transfers that must hold |
//! | `fairness` | `host-sim fairness`: our connections beside Linux's over one bottleneck |

mod content;
mod fairness;
mod http;
mod iperf;
mod judge;
mod marks;
mod net;
mod options;
mod sockets;

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use tcp_reset_core::{MAX_BUFFER, Storage};

use crate::cable::Cable;
use crate::family::Family;
use crate::kernel::{self, WireKind};

pub use self::fairness::{FairnessOptions, run as run_fairness};
use self::http::Server;
use self::net::Net;
pub use self::options::Options;
use self::options::url_host;

/// Eight connections, with the largest buffers.
type Board = Storage<8, 2, 16, 16, { 16 * MAX_BUFFER }>;

/// Does what the options say; gives the exit code.
///
/// # Errors
/// If the namespace or the wire cannot be had.
pub fn run(options: &Options) -> Result<i32> {
    let families = options.family.as_ref().map_or(&Family::ALL[..], std::slice::from_ref);
    let kind = options.veth.then_some(WireKind::Veth);
    let [first, ..] = families else { return Ok(0) };
    let cable = Cable::new(Some(options.hostility()));
    let storage: &'static mut Board = Box::leak(Box::new(Board::new()));
    let mut net = Net::lay(families, kind, cable, options.buffer, storage)?;
    if options.mark > 0 {
        kernel::set_net_sysctl("ipv4/tcp_ecn", "1")
            .context("cannot make the kernel ask for ECN (/proc/sys must be writable; or: --mark 0)")?;
    }
    if let Some(command) = &options.exec {
        let server = url_host(*first);
        let mut http = Server::new(&mut net, *first)?;
        let mut shell = Command::new("sh");
        let mut child = shell
            .arg("-c")
            .arg(command)
            .env("SERVER", server)
            .process_group(0)
            .spawn()
            .context("cannot run a shell")?;
        let code = net.attend(&mut child, options.limit(), &mut |net| http.step(net))?;
        return Ok(code);
    }
    judge::run(&mut net, families, options)
}
