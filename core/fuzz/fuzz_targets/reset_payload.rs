//! An RST with a payload of any kind on an established connection: nothing panics, the connection ends by it, what it says is read as the draft has it,
//! and shown without control characters.
//!
//! `cargo fuzz run -s none reset_payload -- -max_len=300`, in `core/`.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use tcp_reset_core::{
    Arrival, ChecksumBy, CloseReason, Config, Event, Instant, LinkAddr, Output, PeerReason, SecretKey, Storage,
    StreamOptions, Tcp,
};

const BUFFER: usize = 64;
const RST: u8 = 0x04;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The codes and texts of the draft, read here apart from the crate.
fn expected(payload: &[u8]) -> Option<String> {
    let rest = payload.get(2..)?;
    if payload[..2] == [0x33, 0xaa] {
        let [c0, c1, e0, e1, e2, e3] = *<&[u8; 6]>::try_from(rest).ok()?;
        let (code, enterprise) = (u16::from_be_bytes([c0, c1]), u32::from_be_bytes([e0, e1, e2, e3]));
        return Some(format!("{:?}", PeerReason::Code { code, enterprise }));
    }
    if payload[..2] != [0xf3, 0x17] || rest.is_empty() || rest.len() > 255 {
        return None;
    }
    let text = std::str::from_utf8(rest).ok()?;
    let mut kept = text.len().min(BUFFER - 2);
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    Some(format!("{:?}", PeerReason::Text(&text[..kept])))
}

fn segment(seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    bytes.extend(80_u16.to_be_bytes());
    bytes.extend(5_000_u16.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([0x50, flags, 0, 100, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes
}

fn drain(tcp: &mut Tcp<'_>) -> (Vec<u8>, Option<CloseReason>) {
    let (mut sent, mut end, mut buf) = (vec![], None, [0; 128]);
    loop {
        match tcp.poll_output(Instant::ZERO) {
            Output::Transmit(transmit) => {
                let len = transmit.emit(&mut buf).expect("the buffer is long enough");
                sent = buf[..len].to_vec();
            }
            Output::Event(Event::Closed(_, reason)) => end = Some(reason),
            Output::Event(_) => {}
            Output::Timeout(_) => return (sent, end),
        }
    }
}

fuzz_target!(|payload: &[u8]| {
    let mut storage = Box::new(Storage::<1, 1, 1, 1, 128>::new());
    let config = Config { checksum: Some(ChecksumBy::Hardware), reset_diagnostics: true, ..Config::default() };
    let key = SecretKey::new(*b"any sixteen byte").expect("not all alike");
    let mut tcp = Tcp::new(&mut *storage, config, key).expect("settings within their bounds");
    let (us, peer) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let options = StreamOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..StreamOptions::default() };
    let (local, remote) = (SocketAddr::from((us, 5_000)), SocketAddr::from((peer, 80)));
    let handle = tcp.connect(Instant::ZERO, local, remote, Some(LinkAddr::default()), options).expect("there is room");
    let (syn, _) = drain(&mut tcp);
    let ack = u32::from_be_bytes([syn[4], syn[5], syn[6], syn[7]]).wrapping_add(1);
    let arrival = Arrival { src: peer.into(), dst: us.into(), link_addr: LinkAddr::default() };
    let _ = tcp.handle_segment(Instant::ZERO, &arrival, &segment(1_000, ack, SYN | ACK, &[]));
    let _ = drain(&mut tcp);
    let _ = tcp.handle_segment(Instant::ZERO, &arrival, &segment(1_001, ack, RST | ACK, payload));
    let (_, end) = drain(&mut tcp);
    assert_eq!(end, Some(CloseReason::ResetByPeer));
    let said = tcp.peer_reason(handle).expect("the handle is held");
    assert_eq!(said.map(|said| format!("{said:?}")), expected(payload));
    let shown = said.map(|said| said.to_string()).unwrap_or_default();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    let is_malformed = !payload.is_empty() && said.is_none();
    assert_eq!(tcp.counters().reasons_malformed, u32::from(is_malformed));
    assert_eq!(tcp.audit(), Ok(()));
});
