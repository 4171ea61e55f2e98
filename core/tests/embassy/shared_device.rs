//! One device for two stacks, measured: what embassy-net sends and leases while connections could fill the device, and what they lose by it.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{Error, ListenOptions};

use crate::dhcp::Server;
use crate::exec::World;
use crate::hosts::{HOST, Host, OTHER, RAW, mac_of, static_config};
use crate::net::PortRef;
use crate::packet::Body;
use crate::sharing::{EACH_MS, datagrams_to};

const LEASE_S: u32 = 20;
/// Of the longest frame.
const FRAME_BITS: u64 = 1_514 * 8;

#[derive(Clone, Copy, Debug)]
struct Case {
    tx_slots: usize,
    connections: u16,
    mbit: u64,
    /// Whether payload goes out through the device that is judged, or comes in.
    is_upload: bool,
}

impl Case {
    fn all(mbit: u64) -> impl Iterator<Item = Case> {
        let slots = [2, 4, 8].into_iter();
        slots.flat_map(move |tx_slots| {
            [4, 8].into_iter().flat_map(move |connections| {
                [true, false].map(|is_upload| Case { tx_slots, connections, mbit, is_upload })
            })
        })
    }

    fn port(self, mac: [u8; 6]) -> PortRef {
        let port = PortRef::new(Some(mac));
        port.set(|port| (port.tx_slots, port.bit_rate) = (self.tx_slots, self.mbit * 1_000_000));
        port
    }
}

/// Writes for ever.
async fn pour(mut stream: TcpStream) -> Result<(), Error> {
    loop {
        stream.write(&[7; 1_460]).await?;
    }
}

/// Reads for ever, and counts.
async fn drain(mut stream: TcpStream, count: Rc<Cell<u64>>) -> Result<(), Error> {
    let mut buf = [0; 1_460];
    loop {
        let n = stream.read(&mut buf).await?;
        count.set(count.get() + n as u64);
    }
}

/// Opens the connections and lets payload flow; returns how many bytes have come so far.
fn pour_between(world: &mut World, case: Case, host: &Host, peer: &Host) -> Rc<Cell<u64>> {
    let count = Rc::<Cell<u64>>::default();
    for n in 0..case.connections {
        let (ours, theirs) = world.pair(host, peer, 7 + n, ListenOptions::default());
        let (from, to) = if case.is_upload { (ours, theirs) } else { (theirs, ours) };
        world.spawn(pour(from));
        world.spawn(drain(to, count.clone()));
    }
    count
}

/// Bytes of payload that arrived within `ms`, and datagrams.
fn measure(case: Case, ms: u64, has_datagrams: bool) -> (u64, u64) {
    let mut world = World::new();
    let host = world.host_on(case.port(mac_of(HOST)), HOST);
    let peer = world.host_on(case.port(mac_of(OTHER)), OTHER);
    let raw = world.raw(RAW);
    let count = pour_between(&mut world, case, &host, &peer);
    if has_datagrams {
        datagrams_to(&mut world, &host, (RAW, 9), u64::MAX);
    }
    world.run_ms(500);
    raw.take();
    let before = count.get();
    world.run_ms(ms);
    let datagrams = raw.take().iter().filter(|packet| matches!(packet.body, Body::Udp { .. })).count() as u64;
    (count.get() - before, datagrams)
}

fn assert_shared(mbit: u64, ms: u64) {
    for case in Case::all(mbit) {
        let (alone, none) = measure(case, ms, false);
        let (beside, datagrams) = measure(case, ms, true);
        let sent = ms / EACH_MS;
        println!(
            "{case:?}: {} kbit/s alone, {} beside {datagrams} of {sent} datagrams",
            alone * 8 / ms,
            beside * 8 / ms
        );
        assert_eq!(none, 0);
        // Those that are on their way, behind what the device holds already.
        let held = case.tx_slots as u64 * FRAME_BITS / (mbit * 1_000 * EACH_MS);
        assert!(datagrams + held + 3 >= sent, "{case:?}: {datagrams} of {sent} datagrams");
        // What the datagrams themselves take of the line is no loss. At least a segment's worth is chance.
        let theirs = if case.is_upload { datagrams * 52 } else { 0 };
        assert!((beside + theirs + 1_460) * 100 >= alone * 97, "{case:?}: {beside} bytes of {alone}");
        let could = mbit * 125 * ms;
        assert!(beside * 100 >= could * 75, "{case:?}: {beside} of {could} bytes that the line carries");
    }
}

#[test]
fn device_of_1_mbit_is_shared() {
    assert_shared(1, 3_000);
}

#[test]
fn device_of_10_mbit_is_shared() {
    assert_shared(10, 1_000);
}

#[test]
fn device_of_30_mbit_is_shared() {
    assert_shared(30, 500);
}

#[test]
fn device_of_100_mbit_is_shared() {
    assert_shared(100, 300);
}

/// The address is asked for anew after half of the lease, again and again; without an answer it would be gone after the whole.
fn assert_leased(case: Case) {
    let mut world = World::new();
    let raw = world.raw(RAW);
    let server = Server::new(raw, HOST, LEASE_S);
    let dhcp = embassy_net::Config::dhcpv4(Default::default());
    let host = world.host_with(case.port(mac_of(HOST)), dhcp, Default::default());
    let peer_net = embassy_net::Config::ipv4_static(static_config(OTHER, None));
    let peer = world.host_with(case.port(mac_of(OTHER)), peer_net, Default::default());
    server.run(&mut world, 5_000);
    let address = |host: &Host| host.stack.config_v4().map(|config| config.address.address());
    assert_eq!(address(&host), Some(HOST));
    let count = pour_between(&mut world, case, &host, &peer);
    for second in 0..u64::from(LEASE_S) * 3 / 2 {
        let before = count.get();
        server.run(&mut world, 1_000);
        assert_eq!(address(&host), Some::<Ipv4Addr>(HOST), "{case:?}: after {second} s");
        assert!(count.get() > before, "{case:?}: after {second} s nothing flows");
    }
    assert_eq!(host.in_use().0, usize::from(case.connections), "{case:?}: every connection lives");
}

#[test]
fn lease_is_kept_while_connections_fill_a_slow_device() {
    for case in [1, 10].into_iter().flat_map(Case::all) {
        assert_leased(case);
    }
}

#[test]
fn lease_is_kept_while_connections_fill_a_fast_device() {
    let is_narrow = |case: &Case| case.tx_slots == 2 && case.connections == 8;
    for case in [30, 100].into_iter().flat_map(Case::all).filter(is_narrow) {
        assert_leased(case);
    }
}
