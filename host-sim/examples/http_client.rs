//! An HTTP client: reqwless, unmodified, on the core's Embassy side. The server is in this program too, on the kernel's TCP.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example http_client
//! ```
//!
//! [`TcpClient`] is what reqwless asks for as it stands. Ends with 0 if all came as expected.

mod support;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use embassy_time::{Duration, with_timeout};
use embedded_io_async::{ErrorKind, Read as _};
use embedded_nal_async::{AddrType, Dns};
use host_sim::family::Family;
use reqwless::client::HttpClient;
use reqwless::request::{Method, RequestBuilder};
use tcp_reset_core::StreamOptions;
use tcp_reset_core::embassy::{TcpClient, TcpStack};

const PORT: u16 = 8080;
/// Nobody listens here.
const CLOSED_PORT: u16 = 8081;
const GREETING: &str = "Hello from the kernel.\n";
const BODY_LEN: usize = 65_536;
/// Room for a response's head.
const HEAD_LEN: usize = 1_024;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> Result<ExitCode> {
    support::run(|_, tcp| async move {
        for family in Family::ALL {
            let listener =
                TcpListener::bind((family.peer_addr(), PORT)).context("cannot listen on the kernel's side")?;
            thread::spawn(move || serve(&listener));
            let played = with_timeout(PATIENCE, play(tcp, family)).await;
            played.map_err(|_| anyhow!("the server has not answered over {family} in time"))??;
        }
        Ok(0)
    })
}

/// Makes the requests and judges what comes.
async fn play(tcp: TcpStack, family: Family) -> Result<()> {
    let host = name_of(family);
    let url = format!("http://{host}:{PORT}/");

    let (status, body) = request(tcp, Method::GET, &url, None).await.context("GET")?;
    println!("GET {url}: {status}, {:?}", String::from_utf8_lossy(&body));
    ensure!(status == 200 && body == GREETING.as_bytes(), "this is not the greeting");

    let sent: Vec<u8> = (0..BODY_LEN).map(|i| ((i * 31) >> 3) as u8).collect();
    let (status, body) = request(tcp, Method::POST, &url, Some(&sent)).await.context("POST")?;
    println!("POST {url}: {status}, {} of {BODY_LEN} bytes came back", body.len());
    ensure!(status == 200 && body == sent, "this is not what was sent");

    let url = format!("http://{host}:{CLOSED_PORT}/");
    match request(tcp, Method::GET, &url, None).await {
        Ok((status, _)) => bail!("GET {url}: {status}, though nobody listens"),
        Err(error) => {
            println!("GET {url}: {error}");
            ensure!(is_refusal(&error), "this is not a refusal");
        }
    }
    Ok(())
}

fn is_refusal(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(reqwless::Error::Network(ErrorKind::ConnectionRefused)))
}

/// Makes one request on a connection of its own; gives the status and the body.
async fn request(tcp: TcpStack, method: Method, url: &str, body: Option<&[u8]>) -> Result<(u16, Vec<u8>)> {
    let client = TcpClient::new(tcp, StreamOptions::default());
    let mut http = HttpClient::new(&client, &Names);
    let mut request = http.request(method, url).await?.body(body);
    let mut response_head = [0; HEAD_LEN];
    let response = request.send(&mut response_head).await?;
    let status = response.status.0;
    let mut reader = response.body().reader();
    let (mut body, mut part) = (Vec::new(), [0; HEAD_LEN]);
    loop {
        match reader.read(&mut part).await? {
            0 => return Ok((status, body)),
            len => body.extend_from_slice(&part[..len]),
        }
    }
}

/// What the kernel is called in a family: reqwless's URLs take no IPv6 address.
fn name_of(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "kernel-by-ipv4",
        Family::Ipv6 => "kernel-by-ipv6",
    }
}

/// Knows two names.
struct Names;

impl Dns for Names {
    type Error = io::Error;

    async fn get_host_by_name(&self, host: &str, _kind: AddrType) -> Result<IpAddr, Self::Error> {
        let family = Family::ALL.into_iter().find(|family| name_of(*family) == host);
        family.map(Family::peer_addr).ok_or_else(|| io::Error::other(format!("nobody is called {host}")))
    }

    async fn get_host_by_address(&self, addr: IpAddr, result: &mut [u8]) -> Result<usize, Self::Error> {
        let name = addr.to_string();
        let len = name.len().min(result.len());
        result[..len].copy_from_slice(&name.as_bytes()[..len]);
        Ok(len)
    }
}

/// The server on the kernel's side: one connection after the other.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        if let Err(error) = stream.and_then(answer) {
            eprintln!("the server on the kernel's side: {error}");
        }
    }
}

/// Answers one request: with its own body, or with a greeting if it has none.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut body = vec![0; content_length(&mut reader)?];
    reader.read_exact(&mut body)?;
    if body.is_empty() {
        body.extend_from_slice(GREETING.as_bytes());
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}

/// Reads a request's head, of which only this matters.
fn content_length(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut len = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.parse().map_err(io::Error::other)?;
            }
            None if line.trim_end().is_empty() => return Ok(len),
            Some(_) | None => {}
        }
    }
}
