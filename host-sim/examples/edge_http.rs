//! An HTTP server: edge-http, unmodified, over edge-nal on the core's Embassy side. Its clients use this machine's kernel.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example edge_http -- --exec 'curl -s http://10.69.0.2/'
//! ```
//!
//! Core's feature `edge-nal` is all that joins them: [`TcpServer`] binds, a listener accepts, a stream parts and shuts down.

#[path = "support/serving.rs"]
mod serving;
mod support;

use std::fmt::Display;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::Parser;
use edge_http::io::Error as HttpError;
use edge_http::io::server::{Connection, Handler, Server};
use edge_http::{DEFAULT_MAX_HEADERS_COUNT, Method};
use edge_nal::{TcpBind, TcpSplit};
use embedded_io_async::{Read, Write};
use static_cell::ConstStaticCell;
use tcp_reset_core::embassy::{TcpServer, TcpStack};
use tcp_reset_core::{Error, ListenOptions, StreamOptions};

const PORT: u16 = 80;
/// How many connections are served at once; more wait in the listener's backlog.
const SERVERS: usize = 4;
const BACKLOG: u8 = 8;
/// Room for a request's head, in bytes.
const HEAD_LEN: usize = 2_048;
/// How long a connection may be without a request, in milliseconds, and without a byte in one.
const IDLE_MS: u32 = 10_000;
const IDLE: Duration = Duration::from_secs(20);

type HttpServer = Server<SERVERS, HEAD_LEN, DEFAULT_MAX_HEADERS_COUNT>;

/// An HTTP server by edge-http on tcp-reset-core, reached from a network namespace of its own.
#[derive(Parser)]
struct Arguments {
    /// Run a shell command inside the namespace once the server is up, and end with its exit code
    #[arg(long, value_name = "CMD")]
    exec: Option<String>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    support::run(|spawner, tcp| async move {
        spawner.spawn(serve(tcp).map_err(|error| anyhow!("{error}"))?);
        serving::until_the_end(arguments.exec, "/, and /echo for POST").await
    })
}

#[embassy_executor::task]
async fn serve(tcp: TcpStack) {
    static SERVER: ConstStaticCell<HttpServer> = ConstStaticCell::new(Server::new());
    // edge-http waits for the rest of a request as long as the connection lasts.
    let stream = StreamOptions { nagle: false, idle_timeout: Some(IDLE), ..StreamOptions::default() };
    let server = TcpServer::new(tcp, ListenOptions { backlog: BACKLOG, stream, ..ListenOptions::default() });
    let ended = match server.bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).await {
        Ok(acceptor) => SERVER.take().run(Some(IDLE_MS), acceptor, Pages).await,
        Err(error) => Err(HttpError::Io(error)),
    };
    match ended {
        // The program ends, and with it the listener.
        Ok(()) | Err(HttpError::Io(Error::StaleHandle)) => {}
        Err(error) => eprintln!("the server has ended: {error}"),
    }
}

/// Greets, and gives back what is sent to it.
struct Pages;

impl Handler for Pages {
    type Error<E>
        = HttpError<E>
    where
        E: std::fmt::Debug;

    async fn handle<T, const N: usize>(
        &self,
        _task: impl Display + Copy,
        connection: &mut Connection<'_, T, N>,
    ) -> Result<(), HttpError<T::Error>>
    where
        T: Read + Write + TcpSplit,
    {
        let headers = connection.headers()?;
        match (headers.method, headers.path) {
            (Method::Get, "/") => {
                connection.initiate_response(200, None, &[("Content-Type", "text/plain")]).await?;
                connection.write_all(b"Hello from tcp-reset-core.\n").await
            }
            (Method::Post, "/echo") => echo(connection).await,
            _ => connection.initiate_response(404, None, &[]).await,
        }
    }
}

/// A request must be read whole before its answer begins, as edge-http has it.
async fn echo<T, const N: usize>(connection: &mut Connection<'_, T, N>) -> Result<(), HttpError<T::Error>>
where
    T: Read + Write + TcpSplit,
{
    let (mut body, mut part) = (Vec::new(), [0; 512]);
    loop {
        match connection.read(&mut part).await? {
            0 => break,
            len => body.extend_from_slice(&part[..len]),
        }
    }
    connection.initiate_response(200, None, &[("Content-Type", "application/octet-stream")]).await?;
    connection.write_all(&body).await
}
