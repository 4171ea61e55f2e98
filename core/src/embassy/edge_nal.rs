//! edge-nal's traits, for crates that bring their own protocol: what accepts, connects, parts and shuts down. Feature `edge-nal`.

use core::future::poll_fn;
use core::net::SocketAddr;

use edge_nal::{Close, Readable, TcpAccept, TcpBind, TcpConnect, TcpShutdown, TcpSplit};
use embassy_time::{Duration, with_timeout};

use super::client::TcpClient;
use super::listener::TcpListener;
use super::stack::TcpStack;
use super::stream::{TcpReader, TcpStream, TcpWriter};
use crate::config::ListenOptions;
use crate::error::Error;

/// Opens listeners with the same options for all.
#[derive(Clone, Copy)]
pub struct TcpServer {
    stack: TcpStack,
    options: ListenOptions,
}

impl TcpServer {
    /// Makes a server whose listeners have these options.
    pub fn new(stack: TcpStack, options: ListenOptions) -> TcpServer {
        TcpServer { stack, options }
    }
}

impl TcpBind for TcpServer {
    type Error = Error;
    type Accept<'a> = TcpListener;

    /// Opens a listener: see [`TcpStack::listen`].
    async fn bind(&self, local: SocketAddr) -> Result<TcpListener, Error> {
        self.stack.listen(local, self.options)
    }
}

impl TcpAccept for TcpListener {
    type Error = Error;
    type Socket<'a> = TcpStream;

    async fn accept(&self) -> Result<(SocketAddr, TcpStream), Error> {
        let stream = TcpListener::accept(self).await?;
        Ok((stream.status()?.remote, stream))
    }
}

impl TcpConnect for TcpClient {
    type Error = Error;
    type Socket<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        embedded_nal_async::TcpConnect::connect(self, remote).await
    }
}

impl TcpSplit for TcpStream {
    type Read<'a> = TcpReader<'a>;
    type Write<'a> = TcpWriter<'a>;

    fn split(&mut self) -> (TcpReader<'_>, TcpWriter<'_>) {
        TcpStream::split(self)
    }
}

impl Readable for TcpStream {
    async fn readable(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_read_ready(cx)).await
    }
}

impl Readable for TcpReader<'_> {
    async fn readable(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.stream.poll_read_ready(cx)).await
    }
}

impl TcpShutdown for TcpStream {
    /// Ends our direction and waits until the FIN is acknowledged, or reads until the peer's FIN what it may still send, or both. Both together last
    /// no longer than [`crate::Config::orphan_timeout`], as if the stream had been dropped: whoever sends no FIN is reset then, and the error is
    /// that of [`TcpStream::abort`]. Either alone lasts as long as the stream's own limits let it.
    async fn close(&mut self, what: Close) -> Result<(), Error> {
        match what {
            Close::Read => discard(self).await,
            Close::Write => {
                finish(self)?;
                self.flush().await
            }
            Close::Both => {
                finish(self)?;
                let longest = Duration::try_from(self.budget()?.orphaned()).unwrap_or(Duration::MAX);
                let closing = async {
                    discard(self).await?;
                    self.flush().await
                };
                if let Ok(closed) = with_timeout(longest, closing).await {
                    return closed;
                }
                TcpStream::abort(self);
                self.status()?.closed.map_or(Ok(()), |reason| Err(Error::Closed(reason)))
            }
        }
    }

    async fn abort(&mut self) -> Result<(), Error> {
        TcpStream::abort(self);
        Ok(())
    }
}

/// Ends our direction; one that has ended in order has nothing to end.
fn finish(stream: &mut TcpStream) -> Result<(), Error> {
    match stream.shutdown() {
        Err(Error::Closed(reason)) if reason.is_orderly() => Ok(()),
        ended => ended,
    }
}

/// Reads to the end of the stream.
async fn discard(stream: &mut TcpStream) -> Result<(), Error> {
    while stream.read_with(|bytes| (bytes.len(), bytes.len())).await? > 0 {}
    Ok(())
}
