//! Connections for crates that bring their own protocol over [`TcpConnect`].

use core::net::SocketAddr;

use embedded_nal_async::TcpConnect;

use super::stack::TcpStack;
use super::stream::TcpStream;
use crate::config::StreamOptions;
use crate::error::Error;

/// Opens connections with the same options for all.
#[derive(Clone, Copy)]
pub struct TcpClient {
    stack: TcpStack,
    options: StreamOptions,
}

impl TcpClient {
    /// Makes a client whose connections have these options.
    pub fn new(stack: TcpStack, options: StreamOptions) -> TcpClient {
        TcpClient { stack, options }
    }
}

impl TcpConnect for TcpClient {
    type Error = Error;
    type Connection<'a> = TcpStream;

    async fn connect(&self, remote: SocketAddr) -> Result<TcpStream, Error> {
        self.stack.connect(remote, self.options).await
    }
}
