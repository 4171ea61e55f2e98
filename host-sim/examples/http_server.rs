//! An HTTP server: picoserve, unmodified, on the core's Embassy side. Its clients use this machine's kernel.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example http_server -- --exec 'curl -s http://10.69.0.2/status'
//! ```
//!
//! [`HttpSocket`] is all that joins the two: picoserve asks for a trait of its own, with the way it wants a connection to end.

mod support;

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::process::{self, Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use embassy_executor::Spawner;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::Timer;
use embedded_io_async::Write as _;
use host_sim::family::Family;
use picoserve::io::ReadExt;
use picoserve::mem::{BorrowedBuffer, BorrowedCursor};
use picoserve::routing::{get, post};
use picoserve::{Router, Server};
use static_cell::StaticCell;
use tcp_reset_core::embassy::{TcpListener, TcpReader, TcpStack, TcpStream, TcpWriter};
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
    match arguments.exec {
        Some(command) => execute(command).await,
        None => {
            explain();
            std::future::pending().await
        }
    }
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
        let server = Server::custom(&app, SystemTimer, &config, &mut buffer);
        match server.serve(HttpSocket(stream)).await {
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

/// Runs a shell command, which inherits the namespace, beside the executor.
async fn execute(command: String) -> Result<u8> {
    static ENDED: Signal<CriticalSectionRawMutex, Result<u8>> = Signal::new();
    thread::spawn(move || {
        let status = Command::new("sh").arg("-c").arg(&command).status();
        // A command that a signal ended has no code; shells say 128 then, and more.
        let code = status.map(|status| status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(128));
        ENDED.signal(code.with_context(|| format!("cannot run a shell for: {command}")));
    });
    ENDED.wait().await
}

fn explain() {
    let pid = process::id();
    let namespaces = if is_own_user_namespace() { "-U -n --preserve-credentials" } else { "-n" };
    let [v4, v6] = Family::ALL.map(Family::our_addr);
    println!(
        "The server is at http://{v4}/ and http://[{v6}]/, in a network namespace of its own: / and /status, and /echo for POST.\n\
         From another terminal: nsenter -t {pid} {namespaces} curl http://{v4}/status\n\
         Here, without another: --exec 'curl http://{v4}/status'\n\
         Ctrl-C ends it."
    );
}

/// Returns whether the ids of this process are mapped one by one, as in a namespace that an ordinary user made.
fn is_own_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).is_some_and(|count| count == "1")
}

/// Names the pair of clock and sockets that follows, so that picoserve's traits can be implemented here. picoserve's feature `embassy` has
/// its own for embassy-net's sockets, and would bring embassy-net's TCP along.
enum Embassy {}

struct SystemTimer;

impl picoserve::Timer<Embassy> for SystemTimer {
    async fn delay(&self, duration: picoserve::time::Duration) {
        Timer::after_millis(duration.as_millis()).await;
    }
}

/// A connection as picoserve wants it.
struct HttpSocket(TcpStream);

impl picoserve::io::Socket<Embassy> for HttpSocket {
    type Error = Error;
    type ReadHalf<'a> = TcpReader<'a>;
    type WriteHalf<'a> = HttpWriter<'a>;

    fn split(&mut self) -> (TcpReader<'_>, HttpWriter<'_>) {
        let (reader, writer) = self.0.split();
        (reader, HttpWriter(writer))
    }

    /// Lets the client have what was written before: picoserve ends a bad request so, after its answer.
    async fn abort<T: picoserve::Timer<Embassy>>(
        mut self,
        timeouts: &picoserve::Timeouts,
        timer: &T,
    ) -> Result<(), picoserve::Error<Error>> {
        let flushed = timer.run_with_timeout(timeouts.write, self.0.flush()).await;
        self.0.abort();
        flushed.map_err(picoserve::Error::WriteTimeout)?.map_err(picoserve::Error::Write)
    }

    /// Reads on until the client has closed as well: what it may still send is of no use, but dropping the stream before would answer it
    /// with a reset.
    async fn shutdown<T: picoserve::Timer<Embassy>>(
        mut self,
        timeouts: &picoserve::Timeouts,
        timer: &T,
    ) -> Result<(), picoserve::Error<Error>> {
        self.0.shutdown().map_err(picoserve::Error::Write)?;
        let discarded = timer.run_with_timeout(timeouts.read_request, self.0.discard_all_data()).await;
        discarded.map_err(picoserve::Error::ReadTimeout)?.map_err(picoserve::Error::Read)
    }
}

/// The sending half; picoserve formats into a buffer that the writer lends.
struct HttpWriter<'s>(TcpWriter<'s>);

impl embedded_io_async::ErrorType for HttpWriter<'_> {
    type Error = Error;
}

impl embedded_io_async::Write for HttpWriter<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.0.write(buf).await
    }

    /// Waits for nothing: what is written is on its way. The stream's own `flush` waits until all is acknowledged, and picoserve calls it
    /// between a response's head and body. Linux holds the acknowledgment of a lone head back for 40 ms, on each request of a connection
    /// but the first few.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl picoserve::io::Write for HttpWriter<'_> {
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(&mut self, f: F) -> Result<R, Error> {
        let mut lent = [0; 256];
        let mut lent = BorrowedBuffer::new(&mut lent);
        let result = f(lent.unfilled());
        self.0.write_all(lent.filled()).await?;
        Ok(result)
    }
}
