//! Bytes of any kind where a journal is, and then the addresses, the time, the link and segments as the input says: nothing panics, only records whose
//! check is right are believed, whatever is sent goes to a pair of theirs, and in the end every peer is done with and every record cleared.
//!
//! `cargo fuzz run -s none journal -- -max_len=1024`, in `core/`. An input is 8 records, and then steps of one byte and what each takes. A
//! record is its length's worth of bytes behind a byte: even, they stand as they are; odd, their head and check are put right first, which nobody guesses.
#![no_main]

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use siphasher::sip::SipHasher13;
use tcp_reset_core::{
    Arrival, ChecksumBy, Config, Event, Instant, JOURNAL_RECORD_LEN, Journal, LinkAddr, Output, SecretKey, Storage, Tcp,
};

const RECORDS: usize = 8;
const HEAD: u32 = 0x4a52_0110;
/// Bytes of what the check covers, and of it.
const CHECKED: usize = 48;
const CHECK: usize = 8;

/// The addresses that may be ours: records name them often enough.
const OURS: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        let mut bytes = taken.to_vec();
        bytes.resize(n, 0);
        bytes
    }
}

fn check_of(bytes: &[u8]) -> [u8; CHECK] {
    let mut hasher = SipHasher13::new_with_key(b"reset journal 01");
    hasher.write(&bytes[..CHECKED]);
    hasher.finish().to_ne_bytes()
}

fn is_whole(bytes: &[u8]) -> bool {
    bytes[..4] == HEAD.to_ne_bytes() && bytes[CHECKED..CHECKED + CHECK] == check_of(bytes)
}

fn record(input: &mut Input<'_>) -> [u8; JOURNAL_RECORD_LEN] {
    let kind = input.byte().unwrap_or(0);
    let mut bytes: [u8; JOURNAL_RECORD_LEN] = input.bytes(JOURNAL_RECORD_LEN).try_into().expect("as long");
    if kind & 1 != 0 {
        bytes[..4].copy_from_slice(&HEAD.to_ne_bytes());
        if let Some(ours) = OURS.get(usize::from(kind >> 1)) {
            let octets = match ours {
                IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
                IpAddr::V6(addr) => addr.octets(),
            };
            bytes[8..24].copy_from_slice(&octets);
        }
        let check = check_of(&bytes);
        bytes[CHECKED..CHECKED + CHECK].copy_from_slice(&check);
    }
    bytes
}

struct Life<'s> {
    tcp: Tcp<'s>,
    now: Instant,
    pairs: BTreeSet<(SocketAddr, SocketAddr)>,
    fates: usize,
}

impl Life<'_> {
    fn drain(&mut self) -> Option<Instant> {
        let mut buf = [0; 128];
        for _ in 0..1_000 {
            match self.tcp.poll_output(self.now) {
                Output::Transmit(transmit) => {
                    let pair = (transmit.local(), transmit.remote());
                    assert!(self.pairs.contains(&pair), "sent for {pair:?}, which nobody remembers");
                    transmit.emit(&mut buf).expect("the buffer is long enough");
                }
                Output::Event(Event::LostPeer(..)) => self.fates += 1,
                Output::Event(event) => panic!("{event:?} without a connection"),
                Output::Timeout(at) => {
                    assert_eq!(self.tcp.audit(), Ok(()));
                    return at.map(|(at, _)| at);
                }
            }
        }
        panic!("output without end");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..10_000 {
            match self.drain() {
                Some(at) if at <= end => {
                    self.now = self.now.max(at);
                    self.tcp.handle_timeout(self.now);
                }
                Some(_) | None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("deadlines without end");
    }

    /// A segment on the `n`th pair, its flags and numbers as given.
    fn arrive(&mut self, n: u8, flags: u8, numbers: &[u8]) {
        let Some((local, remote)) = self.pairs.iter().nth(usize::from(n) % self.pairs.len().max(1)).copied() else {
            return;
        };
        let mut bytes = vec![];
        bytes.extend(remote.port().to_be_bytes());
        bytes.extend(local.port().to_be_bytes());
        bytes.extend(numbers);
        bytes.extend([0x50, flags, 0, 100, 0, 0, 0, 0]);
        let arrival = Arrival { src: remote.ip(), dst: local.ip(), link_addr: LinkAddr::default() };
        let _ = self.tcp.handle_segment(self.now, &arrival, &bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let journal = Journal::<RECORDS>::new();
    let mut whole = 0;
    for at in 0..RECORDS {
        let record = record(&mut input);
        whole += usize::from(is_whole(&record));
        journal.set_record(at, &record);
    }
    let mut storage = Box::new(Storage::<4, 1, 4, 2, 1_024>::new());
    let config = Config { checksum: Some(ChecksumBy::Hardware), ..Config::default() };
    let key = SecretKey::new(*b"any sixteen byte").expect("not all alike");
    let mut tcp = Tcp::new(&mut *storage, config, key).expect("settings within their bounds");
    tcp.keep_journal(Instant::ZERO, &journal).expect("records enough");
    let pairs: BTreeSet<_> = tcp.lost_peers().map(|peer| (peer.local, peer.remote)).collect();
    let found = tcp.counters().journal.found as usize;
    assert!(found == pairs.len() && found <= whole, "{found} found, {whole} with a right check");
    let mut life = Life { tcp, now: Instant::ZERO, pairs, fates: 0 };
    while let Some(step) = input.byte() {
        match step % 8 {
            0 => {
                let which = input.byte().unwrap_or(0);
                let ours: Vec<_> =
                    OURS.into_iter().enumerate().filter(|(n, _)| which >> n & 1 != 0).map(|(_, ip)| ip).collect();
                life.tcp.find_lost_peers(life.now, &ours);
            }
            1 => life.pass(Duration::from_millis(u64::from(input.byte().unwrap_or(0)) * 500)),
            2 => life.tcp.link_lost(),
            3 => life.tcp.link_restored(life.now),
            4 => life.tcp.neighbor_changed(),
            5 => {
                if let Output::Transmit(transmit) = life.tcp.poll_output(life.now) {
                    transmit.defer();
                }
            }
            6 => life.tcp.note_sequence_numbers(),
            _ => {
                let (n, flags, numbers) = (input.byte().unwrap_or(0), input.byte().unwrap_or(0), input.bytes(8));
                life.arrive(n, flags, &numbers);
            }
        }
        let _ = life.drain();
    }
    // All addresses are ours, the link is up, and nobody answers.
    life.tcp.link_restored(life.now);
    life.tcp.find_lost_peers(life.now, &OURS);
    life.pass(Duration::from_secs(600));
    let left: Vec<_> = life.tcp.lost_peers().filter(|peer| peer.fate.is_none()).map(|peer| peer.local.ip()).collect();
    // An IPv4 pair on another address is forgotten; one of a scope of which we have none waits.
    assert!(left.is_empty(), "not done with: {left:?}");
    assert_eq!(life.fates, found, "one event for each");
    let is_cleared = |at| journal.record(at).is_some_and(|record| record[..4] == [0; 4]);
    assert!((0..RECORDS).all(is_cleared), "records are left");
});
