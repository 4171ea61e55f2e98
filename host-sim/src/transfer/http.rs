//! A server as curl wants one: `GET /N` gives N bytes, `PUT` takes any number and answers with their digest.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tcp_reset_core::{ConnectionHandle, ListenOptions, ListenerHandle};

use crate::family::Family;

use super::content::{self, Content};
use super::net::Net;

const PORT: u16 = 80;
/// A request's head is no longer.
const MAX_HEAD: usize = 8_192;
const CHUNK: usize = 1 << 16;

pub(super) struct Server {
    listener: ListenerHandle,
    clients: Vec<Client>,
}

struct Client {
    handle: ConnectionHandle,
    stage: Stage,
    /// What is to be sent next.
    out: Vec<u8>,
}

enum Stage {
    /// The request's head, as far as it has come.
    Head(Vec<u8>),
    /// So many bytes of the body are still to come.
    Body(u64, Sha256),
    /// The answer's content.
    Content(Content),
    /// All is queued, and our side is shut down.
    Over,
}

impl Server {
    pub(super) fn new(net: &mut Net, family: Family) -> Result<Server> {
        let options = ListenOptions { stream: net.stream, backlog: 4, ..ListenOptions::default() };
        let listener = net.ours().tcp().listen(SocketAddr::new(family.our_addr(), PORT), options);
        Ok(Server { listener: listener.context("the server cannot listen")?, clients: Vec::new() })
    }

    /// Ends the listener, and what is left of the clients.
    pub(super) fn close(self, net: &mut Net) -> Result<()> {
        let now = net.now();
        for client in &self.clients {
            let _ = net.ours().tcp().abort(now, client.handle);
        }
        net.ours().tcp().unlisten(now, self.listener).context("the server cannot stop listening")
    }

    pub(super) fn step(&mut self, net: &mut Net) -> Result<()> {
        let now = net.now();
        while let Ok(handle) = net.ours().tcp().accept(now, self.listener) {
            self.clients.push(Client { handle, stage: Stage::Head(Vec::new()), out: Vec::new() });
        }
        for client in &mut self.clients {
            // A client that is gone has its own error.
            if let Err(error) = client.step(net) {
                anstream::eprintln!("the server: {error:#}");
                let _ = net.ours().tcp().abort(now, client.handle);
                client.stage = Stage::Over;
            }
        }
        self.clients.retain(|client| !matches!(client.stage, Stage::Over));
        Ok(())
    }
}

impl Client {
    fn step(&mut self, net: &mut Net) -> Result<()> {
        self.read(net)?;
        loop {
            if self.out.is_empty() {
                match &mut self.stage {
                    Stage::Content(content) if content.left() > 0 => self.out = content.next(CHUNK),
                    Stage::Content(_) => {
                        let now = net.now();
                        net.ours().tcp().close(now, self.handle)?;
                        self.stage = Stage::Over;
                        return Ok(());
                    }
                    Stage::Head(_) | Stage::Body(..) | Stage::Over => return Ok(()),
                }
            }
            let n = net.send(self.handle, &self.out)?;
            self.out.drain(..n);
            if n == 0 {
                return Ok(());
            }
        }
    }

    fn read(&mut self, net: &mut Net) -> Result<()> {
        let mut buf = [0; CHUNK];
        while matches!(self.stage, Stage::Head(_) | Stage::Body(..)) {
            match net.recv(self.handle, &mut buf)? {
                None => bail!("the client has ended in the middle of its request"),
                Some(0) => return Ok(()),
                Some(n) => self.take(&buf[..n])?,
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stage {
            Stage::Head(head) => {
                head.extend_from_slice(bytes);
                let head = std::mem::take(head);
                self.take_head(head)
            }
            Stage::Body(left, sum) => {
                let n = bytes.len() as u64;
                if n > *left {
                    bail!("{n} bytes of a body that has {left} left");
                }
                sum.update(bytes);
                *left -= n;
                if *left == 0 {
                    let answer = format!("{}\n", content::hex(sum.clone()));
                    self.out.extend(head_of_answer(answer.len() as u64).into_bytes());
                    self.out.extend(answer.into_bytes());
                    self.stage = Stage::Content(Content::new(0));
                }
                Ok(())
            }
            Stage::Content(_) | Stage::Over => Ok(()),
        }
    }

    fn take_head(&mut self, bytes: Vec<u8>) -> Result<()> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(len) = request.parse(&bytes).context("no request of HTTP/1.1")? else {
            if bytes.len() > MAX_HEAD {
                bail!("a head of more than {MAX_HEAD} bytes");
            }
            self.stage = Stage::Head(bytes);
            return Ok(());
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        match (request.method, request.path) {
            (Some("GET"), Some(path)) => {
                let len =
                    path.trim_start_matches('/').parse().with_context(|| format!("{path} is no number of bytes"))?;
                self.out.extend(head_of_answer(len).into_bytes());
                self.stage = Stage::Content(Content::new(len));
                Ok(())
            }
            (Some("PUT"), Some(_)) => {
                let left =
                    header("content-length").and_then(|len| len.parse().ok()).context("a PUT without a length")?;
                if header("expect").is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")) {
                    self.out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.stage = Stage::Body(left, Sha256::new());
                self.take(&bytes[len..])
            }
            (method, _) => bail!("the server knows GET and PUT, not {method:?}"),
        }
    }
}

fn head_of_answer(len: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")
}
