//! The state of the kernel's connections, as the kernel tells it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use tcp_reset_core::State;

/// The connections and listeners of the namespace that the calling thread is in.
const TABLE: &str = "/proc/thread-self/net/tcp";

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
pub fn kernel_state_of(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<State>> {
    let table = fs::read_to_string(TABLE)?;
    look_up(&table, local, remote)
}

/// One line of the kernel's table.
struct Entry {
    local: SocketAddrV4,
    remote: SocketAddrV4,
    state: State,
}

fn look_up(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<State>> {
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

fn listens_for(entry: &Entry, local: SocketAddrV4) -> bool {
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
        let text = format!("{TABLE} has a line that is no TCP entry: '{line}'");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    };
    let state = from_kernel(number)?;
    Ok(Entry { local, remote, state })
}

/// Reads "0100000A:1F90": the address as the machine's integer over the bytes
/// in network order, the port as a number.
fn parse_address(field: &str) -> Option<SocketAddrV4> {
    let (address, port) = field.split_once(':')?;
    let address = u32::from_str_radix(address, 16).ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(address.to_ne_bytes()), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when";

    /// An entry in the kernel's notation on this machine.
    fn line(local: SocketAddrV4, remote: SocketAddrV4, state: &str) -> String {
        let hex = |address: SocketAddrV4| {
            let number = u32::from_ne_bytes(address.ip().octets());
            format!("{number:08X}:{:04X}", address.port())
        };
        format!("   0: {} {} {state} 00000000:00000000 00:00000000", hex(local), hex(remote))
    }

    fn address(last: u8, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), port)
    }

    fn any(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)
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
