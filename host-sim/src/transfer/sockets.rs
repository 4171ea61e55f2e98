//! The kernel's sockets in our namespace, as it lists them.

use anyhow::{Context, Result};

/// LISTEN, in the kernel's table.
const LISTEN: &str = "0A";

pub(super) struct Socket {
    pub(super) is_listener: bool,
    /// Bytes that its program has not read.
    pub(super) unread: u64,
}

/// Returns the sockets on one of the kernel's ports.
pub(super) fn sockets_on(port: u16) -> Result<Vec<Socket>> {
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let text = std::fs::read_to_string(table).with_context(|| format!("cannot read {table}"))?;
        found.extend(text.lines().skip(1).filter_map(|line| read(line, port)));
    }
    Ok(found)
}

/// A line: number, local and remote endpoint, state, bytes in the send and the receive queue, and more.
fn read(line: &str, port: u16) -> Option<Socket> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (local, state, queues) = (words.get(1)?, words.get(3)?, words.get(4)?);
    let (_, unread) = queues.split_once(':')?;
    local
        .ends_with(&format!(":{port:04X}"))
        .then_some(Socket { is_listener: *state == LISTEN, unread: u64::from_str_radix(unread, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_port_state_and_what_is_unread() {
        let line = "   0: 0100450A:1451 0200450A:5AB3 01 00000000:0000FE20 00:00000000 00000000     0        0 35310 1";
        let socket = read(line, 5_201).expect("it is the port's");
        assert!(!socket.is_listener && socket.unread == 0xfe20);
        assert!(read(line, 5_202).is_none());
        let listener =
            "   1: 00000000:1451 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 35309 1";
        assert!(read(listener, 5_201).is_some_and(|socket| socket.is_listener && socket.unread == 0));
    }
}
