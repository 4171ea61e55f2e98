//! An HTTP server: picoserve, unmodified, on the core's Embassy side. Its clients use this machine's kernel.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example http_server -- --exec 'curl -s http://10.69.0.2/status'
//! ```
//!
//! Core's feature `picoserve` is all that joins the two: a stream is a socket of picoserve's.

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Parser;
use embassy_executor::Spawner;
use picoserve::routing::{get, post};
use picoserve::{Router, Server};
use static_cell::StaticCell;
use tcp_reset_core::embassy::{HttpTimer, TcpListener, TcpStack};
use tcp_reset_core::{CloseReason, Error, ListenOptions, ResetReason, StreamOptions};

const PORT: u16 = 80;
/// How many connections are served at once; more wait in the listener's backlog.
const SERVERS: usize = 4;
const BACKLOG: u8 = 8;
/// Room for a request's head; bodies have their own.
const HTTP_BUFFER_LEN: usize = 2_048;
const ENDED_HERE: Error = Error::Closed(CloseReason::Aborted);

/// An HTTP server on tcp-reset-core, reached from a network namespace of its own.
#[derive(Parser)]
struct Arguments {
    /// Run a shell command inside the namespace once the server is up, and end with its exit code
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
    /// Serve a connection's next requests too, instead of closing it after the first
    #[arg(long)]
    keep_alive: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    support::run(|spawner, tcp| serve_and_execute(spawner, tcp, arguments))
}

/// Starts the servers; gives the exit code of the command, if there is one to wait for.
async fn serve_and_execute(spawner: Spawner, tcp: TcpStack, arguments: Arguments) -> Result<u8> {
    static LISTENER: StaticCell<TcpListener> = StaticCell::new();
    // A response's last segment is seldom full: with Nagle's algorithm it would wait for the acknowledgment of those before.
    let stream = StreamOptions { nagle: false, ..StreamOptions::default() };
    let options = ListenOptions { backlog: BACKLOG, stream, ..ListenOptions::default() };
    let listener: &TcpListener = LISTENER.init(tcp.listen((Ipv6Addr::UNSPECIFIED, PORT), options)?);
    for _ in 0..SERVERS {
        spawner.spawn(serve(tcp, listener, arguments.keep_alive).map_err(|error| anyhow!("{error}"))?);
    }
    serving::until_the_end(arguments.exec, "/ and /status, and /echo for POST").await
}

/// Serves one connection after the other. Each of these tasks waits at the same listener.
#[embassy_executor::task(pool_size = SERVERS)]
async fn serve(tcp: TcpStack, listener: &'static TcpListener, keep_alive: bool) {
    let app = Router::new()
        .route("/", get(async || "Hello from tcp-reset-core.\n"))
        .route("/echo", post(async |body: Vec<u8>| body))
        .route("/status", get(async move || status(tcp)));
    let config = picoserve::Config::const_default();
    let config = if keep_alive { config.keep_connection_alive() } else { config };
    let mut buffer = [0; HTTP_BUFFER_LEN];
    while let Ok(stream) = listener.accept().await {
        let peer = stream.remote_endpoint().map_or_else(String::new, |peer| peer.to_string());
        let server = Server::custom(&app, HttpTimer, &config, &mut buffer);
        match server.serve(stream).await {
            // The program ends, and with it what is still open.
            Ok(_) | Err(picoserve::Error::Read(ENDED_HERE) | picoserve::Error::Write(ENDED_HERE)) => {}
            Err(error) => eprintln!("{peer}: {error}"),
        }
    }
}

/// The core's counters, as a page.
fn status(tcp: TcpStack) -> String {
    tcp.inspect(|link| {
        let tcp = link.tcp_ref();
        let counters = tcp.counters();
        let (connections, half_open, time_wait) = tcp.in_use();
        let resets: u32 = ResetReason::ALL.iter().map(|&reason| counters.reset_sent(reason)).sum();
        let mut page = format!(
            "connections: {connections}\nhalf-open: {half_open}\nTIME-WAIT: {time_wait}\n\
             segments in: {}\nsegments out: {}\nretransmissions: {}\nresets sent: {resets}\n",
            counters.segments_in, counters.segments_out, counters.retransmissions,
        );
        for &reason in CloseReason::ALL.iter().filter(|&&reason| counters.closed(reason) > 0) {
            // Writing to a string never fails.
            let _ = writeln!(page, "ended, {reason}: {}", counters.closed(reason));
        }
        page
    })
}
