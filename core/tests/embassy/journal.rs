//! The reset journal of a host: what it remembers over a restart, through DHCP, a link that is down, and a storage of the project's own.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use embassy_net::Config;
use embassy_time::{Duration as Interval, Instant, Timer};
use tcp_reset_core::embassy::{TcpListener, TcpStream};
use tcp_reset_core::{
    InvalidSetting, JOURNAL_RECORD_LEN, Journal, JournalCounters, JournalStorage, ListenOptions, Setting, StreamOptions,
};

use crate::dhcp;
use crate::exec::{Handle, World, both};
use crate::hosts::{Conn, HOST, Host, OTHER, RAW, Raw, mac_of, static_config};
use crate::net::PortRef;
use crate::packet::{ACK, PSH, RST, SYN, Seg};
use crate::streams::{pattern, read_to_end, write_all};

type Memory = Journal<8>;

fn memory() -> &'static Memory {
    Box::leak(Box::new(Memory::new()))
}

const NOBODY: JournalCounters =
    JournalCounters { found: 0, ignored: 0, probes: 0, told: 0, gone: 0, given_up: 0, forgotten: 0 };

/// A host that keeps the journal from its start, and has not run yet.
fn boot(world: &mut World, net: Config, journal: &'static Memory) -> Host {
    let host = world.host_before_its_first_pass(PortRef::new(Some(mac_of(HOST))), net, Default::default());
    host.tcp.keep_journal(journal).unwrap();
    host
}

fn fixed() -> Config {
    Config::ipv4_static(static_config(HOST, None))
}

/// One life: a connection from a peer and one to it, and then the power goes. Returns the peer's sides.
fn live(journal: &'static Memory) -> [Conn; 2] {
    let mut world = World::new();
    let host = boot(&mut world, fixed(), journal);
    world.run_ms(1);
    let raw = world.raw(RAW);
    let (_accepted, passive) = world.accepted(&host, &raw, 7);
    let connecting = world.spawn({
        let tcp = host.tcp;
        async move { tcp.connect((RAW, 9), StreamOptions::default()).await }
    });
    let active = raw.answer(&mut world, &host);
    let _connected = connecting.take().unwrap().unwrap();
    // The streams are gone with the world, and nobody is told.
    let sides = [passive, active];
    std::mem::forget((_accepted, _connected));
    sides
}

/// The peer's sides in another world.
fn here(sides: &[Conn; 2], raw: &Raw) -> [Conn; 2] {
    sides.clone().map(|conn| Conn { raw: raw.clone(), ..conn })
}

/// What has come for one of the sides.
fn of(conn: &Conn, segments: &[Seg]) -> Vec<Seg> {
    segments.iter().filter(|seg| (seg.sport, seg.dport) == (conn.them.1, conn.me.1)).cloned().collect()
}

/// Both sides are asked now; they answer with their own numbers and are told.
fn tell(world: &mut World, raw: &Raw, sides: &mut [Conn; 2]) {
    let asked = raw.take_segments();
    for conn in sides.iter_mut() {
        let mine = of(conn, &asked);
        assert!(matches!(&mine[..], [probe] if probe.flags == ACK && probe.wnd == 0), "{asked:?}");
        conn.send(ACK, b"");
    }
    world.run_ms(2);
    let told = raw.take_segments();
    for conn in sides.iter() {
        let mine = of(conn, &told);
        assert!(matches!(&mine[..], [rst] if rst.flags == RST && rst.seq == conn.ack), "{told:?}");
    }
}

/// What the peer says when it is asked again: it has nothing.
fn deny(world: &mut World, raw: &Raw, sides: &[Conn; 2]) {
    let asked = raw.take_segments();
    for conn in sides {
        let [probe] = &of(conn, &asked)[..] else { panic!("{asked:?}") };
        let mut without = conn.clone();
        without.seq = probe.ack;
        without.send(RST, b"");
    }
    world.run_ms(2);
}

#[test]
fn restarted_host_tells_its_peers_within_two_round_trips() {
    let journal = memory();
    let sides = live(journal);
    let mut world = World::new();
    let raw = world.raw(RAW);
    let host = boot(&mut world, fixed(), journal);
    let mut sides = here(&sides, &raw);
    let settled = world.spawn({
        let tcp = host.tcp;
        async move { both(tcp.lost_peers_settled(), tcp.lost_peers_settled()).await }
    });
    world.run_ms(1);
    tell(&mut world, &raw, &mut sides);
    assert_eq!(settled.take(), None, "whether the RSTs have arrived is asked once more");
    world.run_ms(1_100);
    deny(&mut world, &raw, &sides);
    let told = JournalCounters { found: 2, probes: 4, told: 2, ..NOBODY };
    assert_eq!(settled.take(), Some((told, told)));
    let mark = host.port.mark();
    world.run_ms(100_000);
    assert_eq!(host.segments_since(mark).len(), 0);
    assert_eq!(world.block_on(host.tcp.lost_peers_settled()), told, "at once");
}

#[test]
fn a_host_without_lost_peers_is_settled_at_once() {
    let mut world = World::new();
    let host = boot(&mut world, fixed(), memory());
    assert_eq!(world.block_on(host.tcp.lost_peers_settled()), NOBODY);
    let small: &'static Journal<7> = Box::leak(Box::new(Journal::new()));
    assert_eq!(host.tcp.keep_journal(small), Err(InvalidSetting(Setting::Journal)));
}

#[test]
fn while_the_link_is_down_nobody_is_asked() {
    let journal = memory();
    let sides = live(journal);
    let mut world = World::new();
    let raw = world.raw(RAW);
    let host = boot(&mut world, fixed(), journal);
    host.port.set_link(false);
    world.run_ms(300_000);
    assert_eq!(raw.take_segments().len(), 0);
    host.port.set_link(true);
    world.run_ms(1);
    tell(&mut world, &raw, &mut here(&sides, &raw));
    // And down again before the second question.
    host.port.set_link(false);
    world.run_ms(300_000);
    assert_eq!(raw.take_segments().len(), 0);
    host.port.set_link(true);
    world.run_ms(1);
    deny(&mut world, &raw, &here(&sides, &raw));
    assert_eq!(world.block_on(host.tcp.lost_peers_settled()).told, 2);
}

/// The server's frames are looked at before it takes them.
fn lease(gives: Ipv4Addr, journal: &'static Memory) -> (Vec<Seg>, JournalCounters) {
    let mut world = World::new();
    let raw = world.raw(RAW);
    let server = dhcp::Server::new(raw.clone(), gives, 86_400);
    let host = boot(&mut world, Config::dhcpv4(Default::default()), journal);
    world.run_ms(100);
    assert_eq!(host.segments_since(0).len(), 0, "without an address nobody is asked");
    server.run(&mut world, 5_000);
    assert_eq!(host.stack.config_v4().map(|config| config.address.address()), Some(gives));
    let counters = host.tcp.inspect(|link| link.tcp_ref().counters().journal);
    (host.segments_since(0), counters)
}

#[test]
fn the_same_lease_asks_and_another_forgets() {
    let journal = memory();
    let sides = live(journal);
    let (asked, counters) = lease(HOST, journal);
    assert!(sides.iter().all(|conn| !of(conn, &asked).is_empty()), "{asked:?}");
    assert_eq!((counters.found, counters.forgotten), (2, 0));
    let (asked, counters) = lease(Ipv4Addr::new(10, 0, 0, 50), journal);
    assert_eq!((asked.len(), counters.found, counters.forgotten), (0, 2, 2));
    let (_, counters) = lease(HOST, journal);
    assert_eq!(counters.found, 0, "for good");
}

/// A storage in memory whose writes take a while, or fail.
#[derive(Clone, Default)]
struct Slow(Rc<RefCell<Stored>>);

#[derive(Default)]
struct Stored {
    records: [Option<[u8; JOURNAL_RECORD_LEN]>; 8],
    loads: usize,
    /// Those that failed too.
    writes: usize,
    loads_fail: bool,
    stores_fail: bool,
}

/// Nothing bounds how often a record is stored.
const UNBOUNDED: Interval = Interval::from_ticks(0);

impl Slow {
    /// Copies the journal of a host into it.
    fn copy(
        &self,
        world: &mut World,
        host: &Host,
        journal: &'static Memory,
        least: Interval,
    ) -> Handle<Result<(), Worn>> {
        let (tcp, mut storage) = (host.tcp, self.clone());
        world.spawn(async move { tcp.copy_journal(journal, &mut storage, least).await.map(|never| match never {}) })
    }

    fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    fn record(&self, at: usize) -> Option<[u8; JOURNAL_RECORD_LEN]> {
        self.0.borrow().records[at]
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Worn;

impl JournalStorage for Slow {
    const RECORDS: usize = 8;
    type Error = Worn;

    async fn load(&mut self, record: usize) -> Result<Option<[u8; JOURNAL_RECORD_LEN]>, Worn> {
        Timer::after_millis(1).await;
        let mut stored = self.0.borrow_mut();
        stored.loads += 1;
        if stored.loads_fail { Err(Worn) } else { Ok(stored.records[record]) }
    }

    async fn store(&mut self, record: usize, bytes: &[u8; JOURNAL_RECORD_LEN]) -> Result<(), Worn> {
        Timer::after_millis(50).await;
        let mut stored = self.0.borrow_mut();
        stored.writes += 1;
        if stored.stores_fail {
            return Err(Worn);
        }
        stored.records[record] = Some(*bytes);
        Ok(())
    }
}

#[test]
fn a_storage_gets_every_change_and_gives_it_back_after_a_power_cut() {
    let storage = Slow::default();
    let journal = memory();
    let mut world = World::new();
    let host = boot(&mut world, fixed(), journal);
    let raw = world.raw(RAW);
    let copying = storage.copy(&mut world, &host, journal, UNBOUNDED);
    let (stream, side) = world.accepted(&host, &raw, 7);
    assert_eq!(storage.0.borrow().writes, 0, "not at once: it is off the path of segments");
    world.run_ms(60);
    assert_eq!(storage.0.borrow().writes, 1);
    // Others come and go while one record is written.
    let listener = host.tcp.listen(([0, 0, 0, 0], 8), ListenOptions::default()).unwrap();
    for port in 0..20 {
        let _ = raw.open(&mut world, &host, 41_000 + port, 8);
        let mut other = world.block_on(listener.accept()).unwrap();
        other.abort();
        world.run_ms(1);
    }
    world.run_ms(500);
    assert!(storage.0.borrow().writes <= 8, "{} writes", storage.0.borrow().writes);
    // No segment writes one.
    let writes = storage.0.borrow().writes;
    let mut side = side;
    side.send(ACK, b"hello");
    world.run_ms(500);
    assert_eq!(storage.0.borrow().writes, writes);
    std::mem::forget(stream);
    drop(world);
    // A power cut: the RAM is gone.
    let fresh = memory();
    let mut world = World::new();
    let raw = world.raw(RAW);
    let mut restoring = storage.clone();
    world.block_on(fresh.restore(&mut restoring)).unwrap();
    let host = boot(&mut world, fixed(), fresh);
    world.run_ms(1);
    let asked = raw.take_segments();
    assert_eq!((asked.len(), of(&side, &asked).len()), (1, 1), "{asked:?}");
    assert_eq!(host.tcp.inspect(|link| link.tcp_ref().counters().journal.ignored), 0);
    assert_eq!(copying.take(), None);
}

#[test]
fn a_storage_that_fails_says_so() {
    for loads_fail in [true, false] {
        let storage = Slow::default();
        (storage.0.borrow_mut().loads_fail, storage.0.borrow_mut().stores_fail) = (loads_fail, !loads_fail);
        let journal = memory();
        let mut world = World::new();
        let restored = world.block_on(journal.restore(&mut storage.clone()));
        assert_eq!(restored, if loads_fail { Err(Worn) } else { Ok(()) });
        let host = boot(&mut world, fixed(), journal);
        let raw = world.raw(RAW);
        let copying = storage.copy(&mut world, &host, journal, UNBOUNDED);
        let _stream = world.accepted(&host, &raw, 7);
        world.run_ms(100);
        assert_eq!(copying.take(), Some(Err(Worn)));
        // The connection is not disturbed.
        assert_eq!(host.in_use().0, 1);
    }
}

/// While connections fill the device, others' records are copied all the same.
#[test]
fn a_busy_device_does_not_keep_the_copy_waiting() {
    let mut world = World::new();
    let journal = memory();
    let port = PortRef::new(Some(mac_of(HOST)));
    port.set(|port| {
        port.tx_slots = 1;
        port.frame_time = 1_200;
    });
    let a = world.host_on(port, HOST);
    let b = world.host(OTHER);
    let raw = world.raw(RAW);
    a.tcp.keep_journal(journal).unwrap();
    let flash = Slow::default();
    let _copying = flash.copy(&mut world, &a, journal, UNBOUNDED);
    let mut sending = vec![];
    let mut receiving = vec![];
    let mut streams = vec![];
    for n in 0..6 {
        streams.push(world.pair(&a, &b, 70 + n, ListenOptions::default()));
    }
    world.run_ms(1_000);
    let before = flash.writes();
    for (mut one, mut two) in streams {
        sending.push(world.spawn(async move { write_all(&mut one, &pattern(20_000_000)).await }));
        receiving.push(world.spawn(async move { read_to_end(&mut two).await }));
    }
    world.run_ms(500);
    let listener = a.tcp.listen(([0, 0, 0, 0], 8), ListenOptions::default()).unwrap();
    let mut conn = raw.conn(&a, 40_000, 8);
    conn.send(SYN, b"");
    world.run_ms(100);
    conn.take();
    conn.send(ACK, b"");
    world.run_ms(100);
    conn.send(ACK | PSH, b"x");
    let _stream = world.block_on(listener.accept()).unwrap();
    world.run_ms(5_000);
    assert!(sending.iter().all(|one| !one.is_done()), "the transfer is under way");
    assert_eq!(flash.writes() - before, 1, "the connection's record was written 5 s ago");
}

/// A device that takes nothing.
#[test]
fn a_device_that_takes_nothing_does_not_keep_the_copy_waiting() {
    let mut world = World::new();
    let journal = memory();
    let host = world.host(HOST);
    let raw = world.raw(RAW);
    host.tcp.keep_journal(journal).unwrap();
    let flash = Slow::default();
    let _copying = flash.copy(&mut world, &host, journal, UNBOUNDED);
    let (_stream, mut conn) = world.accepted(&host, &raw, 7);
    world.run_ms(100);
    let before = flash.writes();
    host.port.set(|port| {
        port.needs_tx_to_receive = false;
        port.is_stuck = true;
        port.tx_slots = 0;
    });
    // Something waits to be sent, and the peer resets.
    conn.send(ACK | PSH, b"x");
    let (mut other, _) = (raw.conn(&host, 40_001, 7), ());
    other.send(SYN, b"");
    world.run_ms(100);
    let _ = conn.take();
    conn.send(RST | ACK, b"");
    world.run_for(Duration::from_secs(20));
    assert_eq!(host.in_use().0, 1, "held by the application");
    assert_eq!(journal.record(0).unwrap()[..4], [0; 4], "the record itself is cleared");
    assert_eq!(flash.writes() - before, 1, "the end of the connection");
}

/// Whoever polls it may stop, and begin again.
#[test]
fn a_copy_that_is_cut_short_is_made_up_for() {
    let mut world = World::new();
    let journal = memory();
    let host = world.host(HOST);
    let raw = world.raw(RAW);
    host.tcp.keep_journal(journal).unwrap();
    let flash = Slow::default();
    let copying = flash.copy(&mut world, &host, journal, UNBOUNDED);
    let (_stream, _conn) = world.accepted(&host, &raw, 7);
    world.run_ms(10);
    world.cancel(copying);
    let _copying = flash.copy(&mut world, &host, journal, UNBOUNDED);
    world.run_for(Duration::from_secs(10));
    assert_eq!(flash.record(0), journal.record(0));
}

/// Each record has its turn.
#[test]
fn a_record_that_changes_often_does_not_starve_the_others() {
    let mut world = World::new();
    let journal = memory();
    let host = world.host(HOST);
    let raw = world.raw(RAW);
    host.tcp.keep_journal(journal).unwrap();
    let flash = Slow::default();
    let _copying = flash.copy(&mut world, &host, journal, UNBOUNDED);
    let listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    // Short connections, as a browser's; a long one among them.
    let mut long = None;
    for n in 0..200 {
        let mut conn = raw.open(&mut world, &host, 40_000 + n, 7);
        let stream = world.block_on(listener.accept()).unwrap();
        if n == 10 {
            let _long_conn = raw.open(&mut world, &host, 50_000, 7);
            long = Some(world.block_on(listener.accept()).unwrap());
        }
        world.run_ms(10);
        conn.send(RST | ACK, b"");
        world.run_ms(10);
        drop(stream);
    }
    assert!(long.is_some());
    assert_eq!(flash.record(1), journal.record(1), "the long one's, for {} ms", 190 * 24);
}

/// A copy is kept up to date in a slow storage.
#[test]
fn copies_are_kept() {
    let mut world = World::new();
    let journal = memory();
    let host = world.host(HOST);
    let raw = world.raw(RAW);
    host.tcp.keep_journal(journal).unwrap();
    let flash = Slow::default();
    let _copying = flash.copy(&mut world, &host, journal, UNBOUNDED);
    let (stream, _conn) = world.accepted(&host, &raw, 7);
    world.run_ms(100);
    assert_eq!(flash.writes(), 1);
    assert_eq!(flash.record(0), journal.record(0));
    drop(stream);
    world.run_ms(100);
    assert_eq!(flash.record(0), journal.record(0));
}

/// A host whose peer connects and disconnects, and what of that is copied.
struct Busy {
    world: World,
    host: Host,
    raw: Raw,
    listener: TcpListener,
    journal: &'static Memory,
    flash: Slow,
    /// The peer's next port.
    port: u16,
}

const SECOND: Interval = Interval::from_secs(1);
/// How far apart stores are.
const LEAST: Interval = Interval::from_secs(10);
/// As many as there may be at once.
const RECORDS: usize = 8;

impl Busy {
    fn new() -> Busy {
        let mut world = World::new();
        let journal = memory();
        let host = boot(&mut world, fixed(), journal);
        let raw = world.raw(RAW);
        world.run_ms(1);
        let listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
        Busy { world, host, raw, listener, journal, flash: Slow::default(), port: 40_000 }
    }

    fn copy(&mut self, least: Interval) -> Handle<Result<(), Worn>> {
        self.flash.copy(&mut self.world, &self.host, self.journal, least)
    }

    fn begin(&mut self) -> (TcpStream, Conn) {
        self.port += 1;
        let conn = self.raw.open(&mut self.world, &self.host, self.port, 7);
        (self.world.block_on(self.listener.accept()).unwrap(), conn)
    }

    fn end(&mut self, (stream, mut conn): (TcpStream, Conn)) {
        conn.send(RST | ACK, b"");
        self.world.run_ms(1);
        drop(stream);
    }

    /// Connects and disconnects for so long; in the end, and most of the time, it is connected.
    fn flap(&mut self, time: Interval) {
        let (end, mut last) = (Instant::now() + time, None);
        while Instant::now() < end {
            if let Some(last) = last.take() {
                self.end(last);
            }
            last = Some(self.begin());
            self.world.run_ms(18);
        }
        self.end(last.unwrap());
    }

    /// Uses up what may be stored at once, and leaves nothing to be stored.
    fn exhaust(&mut self) {
        for _ in 0..RECORDS / 2 {
            let conn = self.begin();
            self.world.run_ms(100);
            self.end(conn);
            self.world.run_ms(100);
        }
        assert_eq!(self.flash.writes(), RECORDS);
    }
}

#[test]
fn a_peer_that_connects_and_disconnects_wears_the_storage_no_faster_than_allowed() {
    let mut busy = Busy::new();
    let _copying = busy.copy(LEAST);
    busy.flap(LEAST * 10);
    let writes = busy.flash.writes();
    assert!((RECORDS + 9..=RECORDS + 10).contains(&writes), "{writes}");
    // And then as many at once as time has passed for.
    busy.world.run_for(Duration::from_secs(35));
    let before = busy.flash.writes();
    busy.flap(SECOND * 2);
    assert!((3..=4).contains(&(busy.flash.writes() - before)), "{} of {before}", busy.flash.writes());
    // All of them again, and no more, however long nothing happened.
    busy.world.run_for(Duration::from_secs(1_000));
    let before = busy.flash.writes();
    busy.flap(SECOND * 5);
    assert_eq!(busy.flash.writes() - before, RECORDS);
}

#[test]
fn without_a_bound_each_connection_is_stored() {
    let mut busy = Busy::new();
    let _copying = busy.copy(UNBOUNDED);
    for n in 0..50 {
        let conn = busy.begin();
        busy.world.run_ms(60);
        busy.end(conn);
        busy.world.run_ms(60);
        assert_eq!(busy.flash.writes(), 2 * (n + 1));
    }
}

#[test]
fn a_connection_that_came_and_went_meanwhile_costs_no_store() {
    let mut busy = Busy::new();
    let _copying = busy.copy(LEAST);
    busy.exhaust();
    let first = busy.begin();
    busy.end(first);
    busy.world.run_for(Duration::from_secs(12));
    assert_eq!(busy.flash.writes(), RECORDS);
    // What it did not need is there for the next.
    let _second = busy.begin();
    busy.world.run_ms(100);
    assert_eq!(busy.flash.writes(), RECORDS + 1);
    assert_eq!(busy.flash.record(0), busy.journal.record(0));
    let _third = busy.begin();
    busy.world.run_ms(100);
    assert_eq!(busy.flash.writes(), RECORDS + 1);
}

/// While all others change all the time, it has its turn after each of them has had one.
#[test]
fn a_connection_is_stored_in_its_turn_though_a_peer_changes_all_others() {
    let mut busy = Busy::new();
    let _copying = busy.copy(LEAST);
    busy.exhaust();
    let mut flapping: Vec<_> = (0..3).map(|_| busy.begin()).collect();
    let long = busy.begin();
    let at = 3;
    let mut waited = 0;
    while busy.flash.record(at) != busy.journal.record(at) {
        for _ in 0..3 {
            let first = flapping.remove(0);
            busy.end(first);
            let next = busy.begin();
            flapping.push(next);
            busy.world.run_ms(10);
        }
        waited += 1;
        assert!(waited * 30 < 4 * 10_000 + 1_000, "not within four intervals");
    }
    assert!(waited * 30 > 10_000, "{waited}: it was not the first");
    drop(long);
}

/// What may be stored is no more for that.
#[test]
fn copying_that_begins_again_and_stores_that_fail_have_no_stores_of_their_own() {
    let mut busy = Busy::new();
    for _ in 0..50 {
        let copying = busy.copy(LEAST);
        busy.flap(SECOND);
        busy.world.cancel(copying);
    }
    let writes = busy.flash.writes();
    assert!((RECORDS + 4..=RECORDS + 5).contains(&writes), "{writes}");
    busy.flash.0.borrow_mut().stores_fail = true;
    let (before, _conn) = (writes, busy.begin());
    for _ in 0..100 {
        let copying = busy.copy(LEAST);
        busy.world.run_for(Duration::from_secs(1));
        busy.world.cancel(copying);
    }
    let tries = busy.flash.writes() - before;
    assert!((9..=11).contains(&tries), "{tries}");
}

#[test]
fn an_interval_that_no_clock_can_tell_is_endless() {
    for least in [Interval::MAX, Interval::from_ticks(u64::MAX / 2)] {
        let mut busy = Busy::new();
        let _copying = busy.copy(least);
        busy.flap(SECOND * 5);
        busy.world.run_for(Duration::from_secs(100_000));
        busy.flap(SECOND * 5);
        assert_eq!(busy.flash.writes(), RECORDS);
    }
}

/// Nobody answers; the deadlines are served.
#[test]
fn silent_peer_is_given_up_in_time() {
    let journal = memory();
    let _ = live(journal);
    let mut world = World::new();
    let host = boot(&mut world, fixed(), journal);
    let tcp = host.tcp;
    let settled = world.spawn(async move { tcp.lost_peers_settled().await });
    world.run_for(Duration::from_secs(59));
    assert!(!settled.is_done());
    world.run_for(Duration::from_secs(2));
    assert_eq!(settled.take().map(|sums| sums.given_up), Some(2));
}
