//! The state of the kernel's connections, as the kernel tells it.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tcp_reset_core::State;

/// The connections and listeners of the namespace that the calling thread is in, over IPv4 and over IPv6.
const TABLES: [&str; 2] = ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"];

/// Reads the kernel's number of a state, `linux/tcp_states.h`.
pub(super) fn from_kernel(number: u8) -> io::Result<State> {
    Ok(match number {
        1 => State::Established,
        2 => State::SynSent,
        // The kernel tells a request in its queue from a socket made early.
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        7 => State::Closed,
        8 => State::CloseWait,
        9 => State::LastAck,
        10 => State::Listen,
        11 => State::Closing,
        unknown => {
            let text = format!("the kernel gave {unknown} as a TCP state, which is none");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
    })
}

/// Returns the state the kernel keeps for the connection from `local`, its own
/// side, to `remote`, also when no socket holds it any more. Without such a
/// connection, returns LISTEN if a listener would take one, else `None`.
pub fn kernel_state_of(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<State>> {
    let table = fs::read_to_string(TABLES[usize::from(local.is_ipv6())])?;
    look_up(&table, local, remote)
}

/// One line of the kernel's table.
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    state: State,
}

fn look_up(table: &str, local: SocketAddr, remote: SocketAddr) -> io::Result<Option<State>> {
    let mut listening = None;
    // The first line is the heading.
    for line in table.lines().skip(1) {
        let entry = parse_entry(line)?;
        if entry.local == local && entry.remote == remote {
            return Ok(Some(entry.state));
        }
        if listens_for(&entry, local) {
            listening = Some(entry.state);
        }
    }
    Ok(listening)
}

fn listens_for(entry: &Entry, local: SocketAddr) -> bool {
    let takes_address = entry.local.ip().is_unspecified() || entry.local.ip() == local.ip();
    entry.state == State::Listen && takes_address && entry.local.port() == local.port()
}

/// Reads "sl local_address rem_address st ...".
fn parse_entry(line: &str) -> io::Result<Entry> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = fields.next().and_then(parse_address);
    let remote = fields.next().and_then(parse_address);
    let number = fields.next().and_then(|hex| u8::from_str_radix(hex, 16).ok());
    let (Some(local), Some(remote), Some(number)) = (local, remote, number) else {
        let text = format!("the kernel's table of connections has a line that is no TCP entry: '{line}'");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    };
    let state = from_kernel(number)?;
    Ok(Entry { local, remote, state })
}

/// Reads "0100000A:1F90": the address as the machine's integers over the bytes
/// in network order, one or four of them, the port as a number.
fn parse_address(field: &str) -> Option<SocketAddr> {
    const WORD: usize = 8;
    let (digits, port) = field.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(digits.get(at * WORD..(at + 1) * WORD)?, 16).ok();
    let bytes = |at: usize| word(at).map(u32::to_ne_bytes);
    let ip: IpAddr = match digits.len() / WORD {
        1 => bytes(0)?.into(),
        4 => {
            let mut whole = [0; 16];
            for (at, part) in whole.as_chunks_mut().0.iter_mut().enumerate() {
                *part = bytes(at)?;
            }
            whole.into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when";

    /// An entry in the kernel's notation on this machine.
    fn line(local: SocketAddr, remote: SocketAddr, state: &str) -> String {
        let hex = |address: SocketAddr| {
            let bytes = match address.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let words = bytes.as_chunks().0.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word)));
            format!("{}:{:04X}", words.collect::<String>(), address.port())
        };
        format!("   0: {} {} {state} 00000000:00000000 00:00000000", hex(local), hex(remote))
    }

    fn address(last: u8, port: u16) -> SocketAddr {
        SocketAddr::new([10, 0, 0, last].into(), port)
    }

    fn any(port: u16) -> SocketAddr {
        SocketAddr::new([0; 4].into(), port)
    }

    #[test]
    fn connection_is_found_before_its_listener() {
        let (local, remote) = (address(1, 8080), address(2, 40000));
        let listener = line(any(8080), any(0), "0A");
        let table = [HEADING, &line(local, remote, "06"), &listener].join("\n");
        let found = look_up(&table, local, remote).unwrap();
        assert_eq!(found, Some(State::TimeWait));
    }

    #[test]
    fn listener_stands_in_for_a_connection_not_there() {
        let listener = line(any(8080), any(0), "0A");
        let table = [HEADING, &listener].join("\n");
        let state = |port| look_up(&table, address(1, port), address(2, 40000)).unwrap();
        assert_eq!(state(8080), Some(State::Listen));
        assert_eq!(state(8081), None);
    }

    #[test]
    fn connection_over_ipv6_is_found() {
        let at = |last: u16, port| SocketAddr::new([0xfd10, 0x69, 0, 0, 0, 0, 0, last].into(), port);
        let table = [HEADING, &line(at(1, 8080), at(2, 40000), "01")].join("\n");
        assert_eq!(look_up(&table, at(1, 8080), at(2, 40000)).unwrap(), Some(State::Established));
        assert_eq!(look_up(&table, at(1, 8080), at(3, 40000)).unwrap(), None);
    }

    #[test]
    fn line_that_is_no_entry_is_an_error() {
        let table = [HEADING, "   0: nonsense"].join("\n");
        assert!(look_up(&table, address(1, 1), address(2, 2)).is_err());
    }

    #[test]
    fn every_state_has_a_number_and_others_are_errors() {
        assert!((1..=12).all(|number| from_kernel(number).is_ok()));
        assert!(from_kernel(0).is_err());
        assert!(from_kernel(13).is_err());
    }

    #[test]
    fn states_are_spelled_as_in_the_rfc() {
        assert_eq!(State::FinWait1.to_string(), "FIN-WAIT-1");
        assert_eq!(State::SynReceived.to_string(), "SYN-RECEIVED");
    }
}
