//! The journal in a NOR flash that loses power at every byte programmed, and in many ways inside each erase.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_storage_async::nor_flash::NorFlash;
use siphasher::sip::SipHasher13;
use tcp_reset_core::{
    FlashJournal, FlashJournalError, FlashRangeError, JOURNAL_RECORD_LEN, JournalStorage, LinkAddr, Tcp,
};

use crate::nor::{ERASE_CUTS, Fault, Nor, Random, Torn};
use crate::support::family::Family;
use crate::support::rig::{Rig, START, Store, key, quick_config, small_stream};
use crate::support::table::{ACK, SYN};
use crate::{Memory, life};

/// As many as the engines of these tests have.
const RECORDS: usize = 8;
const UNUSED: Record = [0; JOURNAL_RECORD_LEN];

type Record = [u8; JOURNAL_RECORD_LEN];
type Records = [Option<Record>; RECORDS];
type Flash<F> = FlashJournal<F, RECORDS>;

fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// No flash of these tests waits for anything.
fn now<T>(future: impl Future<Output = T>) -> T {
    match poll_once(future) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("pending"),
    }
}

/// What an engine has a storage store, one change after the other.
struct Changes {
    stores: Vec<(usize, Record)>,
    /// All there ever were.
    pairs: BTreeSet<(SocketAddr, SocketAddr)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Opened {
    Here,
    ByThePeer,
    /// One by the peer, two here, up to four of them at a time, and numbers noted now and then, while four peers of the life before are not told.
    Mixed,
}

/// The changes of a life with so many connections.
fn changes(family: Family, opened: Opened, connections: u16) -> Changes {
    let journal = Memory::new();
    let mut changes = Changes { stores: Vec::new(), pairs: BTreeSet::new() };
    let is_mixed = opened == Opened::Mixed;
    if is_mixed {
        life(family, &journal, 1, |rig| {
            for n in 0..4 {
                changes.begin(rig, &journal, 5_000 + n, false);
            }
        });
    }
    life(family, &journal, 2, |rig| {
        let (most, mut open) = (if is_mixed { 4 } else { 1 }, std::collections::VecDeque::new());
        for n in 0..connections {
            changes.begin(rig, &journal, 6_000 + n, opened == Opened::ByThePeer || is_mixed && n % 3 == 0);
            open.push_back(rig.handle);
            if is_mixed && n % 5 == 0 {
                rig.engine.tcp.note_sequence_numbers();
                changes.copy(&journal);
            }
            if open.len() == most {
                rig.handle = open.pop_front().unwrap();
                rig.abort();
                changes.copy(&journal);
            }
        }
    });
    changes
}

impl Changes {
    fn copy(&mut self, journal: &Memory) {
        while let Some(at) = journal.take_changed() {
            self.stores.push((at, journal.record(at).unwrap()));
        }
    }

    /// Establishes one connection, to a neighbor whose address its answer tells.
    fn begin(&mut self, rig: &mut Rig<'_>, journal: &Memory, port: u16, is_accepted: bool) {
        rig.us.set_port(port);
        self.pairs.insert((rig.us, rig.peer));
        if is_accepted {
            rig.enter();
            rig.accept();
            rig.unlisten();
        } else {
            let hop = Some(LinkAddr([2, 0, 0, 0, 0, 1]));
            let handle = rig.engine.tcp.connect(rig.engine.now, rig.us, rig.peer, hop, small_stream());
            rig.handle = Some(handle.unwrap());
            rig.engine.drain();
            rig.look();
            self.copy(journal);
            let _ = rig.say(SYN | ACK, 0);
        }
        self.copy(journal);
    }
}

/// The smallest range that has room, with a page before and a page behind that are somebody else's.
struct Range<const READ: usize, const WRITE: usize, const PAGE: usize>;

impl<const READ: usize, const WRITE: usize, const PAGE: usize> Range<READ, WRITE, PAGE> {
    const PAGES: u32 = Flash::<Nor<READ, WRITE, PAGE>>::MIN_PAGES;

    fn erased() -> Nor<READ, WRITE, PAGE> {
        Nor::erased(Self::PAGES + 2)
    }

    fn open(nor: &mut Nor<READ, WRITE, PAGE>) -> Flash<&mut Nor<READ, WRITE, PAGE>> {
        FlashJournal::new(nor, PAGE as u32..(1 + Self::PAGES) * PAGE as u32).unwrap()
    }

    fn is_within(nor: &Nor<READ, WRITE, PAGE>) -> bool {
        let is_erased = |page: &[u8]| page.iter().all(|byte| *byte == 0xff);
        is_erased(&nor.bytes[..PAGE]) && is_erased(&nor.bytes[(1 + Self::PAGES as usize) * PAGE..])
    }
}

fn is_unused(record: &Record) -> bool {
    record[..4] == [0; 4]
}

/// What is read back of a record.
fn kept(record: &Record) -> Record {
    if is_unused(record) { UNUSED } else { *record }
}

fn records_of<F: NorFlash, const N: usize>(storage: &mut FlashJournal<F, N>) -> [Option<Record>; N] {
    std::array::from_fn(|at| now(storage.load(at)).unwrap())
}

/// Starts a device: nothing that is found was not written, nothing is half a record, and what is found is what the storage had.
fn start<F: NorFlash>(storage: &mut Flash<F>, changes: &Changes) -> Records {
    thread_local! {
        static STORE: std::cell::RefCell<Box<Store>> = std::cell::RefCell::new(Box::new(Store::new()));
    }
    let journal = Memory::new();
    now(journal.restore(storage)).unwrap();
    let records = records_of(storage);
    for (at, record) in records.iter().enumerate() {
        assert_eq!(journal.record(at), Some(record.unwrap_or(UNUSED)));
    }
    STORE.with_borrow_mut(|store| {
        let mut tcp = Tcp::new(&mut **store, quick_config(), key(2)).unwrap();
        tcp.keep_journal(START, &journal).unwrap();
        let pairs: BTreeSet<_> = tcp.lost_peers().map(|lost| (lost.local, lost.remote)).collect();
        let used: BTreeSet<_> = records.iter().flatten().filter(|record| !is_unused(record)).collect();
        assert!(pairs.is_subset(&changes.pairs), "{pairs:?}");
        assert_eq!((tcp.counters().journal.ignored, pairs.len()), (0, used.len()));
    });
    records
}

/// After a cut: each record reads as it was, the one that was being stored as before or as after. Then the life goes on, with nothing lost.
fn assert_recovered<const READ: usize, const WRITE: usize, const PAGE: usize>(
    nor: &mut Nor<READ, WRITE, PAGE>,
    before: &Records,
    changes: &Changes,
    cut: usize,
) {
    nor.restore_power();
    let mut storage = Range::open(nor);
    let mut records = start(&mut storage, changes);
    let (at, record) = changes.stores[cut];
    assert!(records[at] == before[at] || records[at] == Some(kept(&record)), "record {at}");
    for other in (0..RECORDS).filter(|other| *other != at) {
        assert_eq!(records[other], before[other], "record {other}");
    }
    // Ends take less.
    let fills_a_page = PAGE / 40;
    for (at, record) in changes.stores.iter().cycle().skip(cut).take(fills_a_page) {
        now(storage.store(*at, record)).unwrap();
        records[*at] = Some(kept(record));
    }
    assert_eq!(records_of(&mut storage), records);
    let mut storage = Range::open(nor);
    assert_eq!(start(&mut storage, changes), records);
    assert!(Range::is_within(nor));
}

/// The ways to lose power: after each step, and after some with the rest of a write as it may be.
fn cuts(steps: u64) -> impl Iterator<Item = (u64, Torn)> {
    let torn = |step| match step % 8 {
        0 => &[Torn::Erased, Torn::Noise, Torn::Ahead, Torn::Unreadable][..],
        _ => &[Torn::Erased],
    };
    (0..steps).flat_map(move |step| torn(step).iter().map(move |torn| (step, *torn)))
}

/// Lives once, with a restart after each store, and loses power in every way meanwhile.
fn cut_everywhere<const READ: usize, const WRITE: usize, const PAGE: usize>(family: Family, connections: u16) {
    let changes = changes(family, Opened::Mixed, connections);
    let (mut nor, mut records) = (Range::<READ, WRITE, PAGE>::erased(), Records::default());
    let mut unbroken = nor.clone();
    let mut storage = Range::open(&mut unbroken);
    for (n, (at, record)) in changes.stores.iter().enumerate() {
        let before = nor.clone();
        nor.steps = 0;
        now(Range::open(&mut nor).store(*at, record)).unwrap();
        for (power, torn) in cuts(nor.steps) {
            let mut cut = Nor { power: Some(power), torn, steps: 0, ..before.clone() };
            assert_eq!(now(Range::open(&mut cut).store(*at, record)), Err(FlashJournalError::Flash(Fault::PowerLost)));
            assert_recovered(&mut cut, &records, &changes, n);
        }
        records[*at] = Some(kept(record));
        // A restart changes nothing.
        now(storage.store(*at, record)).unwrap();
    }
    assert_eq!(records_of(&mut storage), records);
    assert!(unbroken.bytes == nor.bytes && Range::is_within(&nor));
    // Pages were erased that held records.
    let turns = nor.erases.iter().sum::<u32>();
    assert!(turns > Range::<READ, WRITE, PAGE>::PAGES + 1, "{turns} erases");
}

/// The words of serial NOR flashes and of the nRF52.
#[test]
fn a_cut_anywhere_costs_no_record_small_words() {
    cut_everywhere::<1, 1, 256>(Family::V4, 50);
    cut_everywhere::<1, 4, 512>(Family::V4, 50);
    cut_everywhere::<4, 4, 4_096>(Family::V4, 80);
}

/// Those of the STM32L4, and of what has no erase smaller than its record.
#[test]
fn a_cut_anywhere_costs_no_record_words_of_8() {
    cut_everywhere::<1, 8, 256>(Family::V4, 50);
    cut_everywhere::<8, 8, 2_048>(Family::V4, 60);
}

/// Those of the STM32H7.
#[test]
fn a_cut_anywhere_costs_no_record_words_of_32() {
    cut_everywhere::<1, 32, 1_024>(Family::V4, 24);
    cut_everywhere::<32, 32, 4_096>(Family::V4, 50);
    cut_everywhere::<256, 256, 1_024>(Family::V4, 12);
}

#[test]
#[cfg(feature = "ipv6")]
fn a_cut_anywhere_costs_no_record_over_ipv6() {
    cut_everywhere::<4, 4, 1_024>(Family::V6, 40);
}

/// The power goes again in what follows the first cut.
#[test]
fn a_second_cut_costs_no_record() {
    type Small = Range<1, 1, 256>;
    let changes = changes(Family::V4, Opened::Mixed, 40);
    let (mut nor, mut records, mut turns) = (Small::erased(), Records::default(), 0);
    for (n, (at, record)) in changes.stores.iter().enumerate() {
        let before = Nor { steps: 0, ..nor.clone() };
        nor.steps = 0;
        now(Small::open(&mut nor).store(*at, record)).unwrap();
        // Those that erase and copy have everything in them. The ring was through by then.
        let is_turn = nor.steps > ERASE_CUTS + 72 && records.iter().all(Option::is_some);
        for (power, torn) in cuts(nor.steps).filter(|_| is_turn && turns < 3) {
            let mut first = Nor { power: Some(power), torn, ..before.clone() };
            now(Small::open(&mut first).store(*at, record)).unwrap_err();
            first.restore_power();
            let mut whole = first.clone();
            now(Small::open(&mut whole).store(*at, record)).unwrap();
            for power in 0..whole.steps {
                let mut second = Nor { power: Some(power), ..first.clone() };
                now(Small::open(&mut second).store(*at, record)).unwrap_err();
                assert_recovered(&mut second, &records, &changes, n);
            }
        }
        turns += u32::from(is_turn);
        records[*at] = Some(kept(record));
    }
    assert!(turns >= 3, "{turns}");
}

/// Each start comes as far as the middle of the first copy. When half-written copies fill the page it is erased again, and nothing is lost, also
/// where that erase is cut.
#[test]
fn cuts_that_fill_a_page_with_half_copies_cost_no_record() {
    fill_with_half_copies::<256>();
    fill_with_half_copies::<1_024>();
    fill_with_half_copies::<2_048>();
}

fn fill_with_half_copies<const PAGE: usize>() {
    let changes = changes(Family::V4, Opened::Mixed, 50);
    let (mut nor, mut records) = (Range::<1, 1, PAGE>::erased(), Records::default());
    let mut again = 0;
    for (n, (at, record)) in changes.stores.iter().enumerate() {
        let store = |nor: &mut Nor<1, 1, PAGE>| now(Range::open(nor).store(*at, record));
        let mut halves = Nor { steps: 0, ..nor.clone() };
        nor.steps = 0;
        store(&mut nor).unwrap();
        let is_turn = nor.steps > ERASE_CUTS + 72;
        for start in (0..2 * PAGE / 40).filter(|_| is_turn) {
            let mut whole = halves.clone();
            store(&mut whole).unwrap();
            let is_erased = whole.erases != halves.erases;
            if is_erased && start > 0 {
                again += 1;
                for power in 0..whole.steps {
                    let mut cut = Nor { power: Some(power), ..halves.clone() };
                    store(&mut cut).unwrap_err();
                    assert_recovered(&mut cut, &records, &changes, n);
                }
                break;
            }
            // The erase, the header, and 40 bytes of a copy.
            halves.power = Some(40 + if is_erased { ERASE_CUTS + 16 } else { 0 });
            store(&mut halves).unwrap_err();
            halves.restore_power();
        }
        records[*at] = Some(kept(record));
    }
    assert!(again > 1, "{again}");
}

#[test]
fn garbage_holds_no_record_and_is_overwritten() {
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let mut random = Random(1);
    let page = 1_024;
    let len = page * (2 + Range::<4, 4, 1_024>::PAGES as usize);
    for n in 0..300 {
        let garbage = (0..len).map(|at| match n {
            // Never erased, and as some flashes begin; then noise, ever sparser.
            0 => 0,
            1 => 0x55,
            _ if at < page || at >= len - page || random.byte() < n as u8 => 0xff,
            _ => random.byte(),
        });
        let mut nor = Nor::<4, 4, 1_024>::holding(garbage.collect());
        let (before, behind) = (nor.bytes[..page].to_vec(), nor.bytes[len - page..].to_vec());
        assert_eq!(start(&mut Range::open(&mut nor), &changes), Records::default());
        assert_eq!(nor.programmed + u64::from(nor.erases.iter().sum::<u32>()), 0, "loading writes nothing");
        let mut records = Records::default();
        for (at, record) in &changes.stores {
            now(Range::open(&mut nor).store(*at, record)).unwrap();
            records[*at] = Some(kept(record));
            assert_eq!(records_of(&mut Range::open(&mut nor)), records);
        }
        assert!(nor.bytes[..page] == before && nor.bytes[len - page..] == behind);
    }
}

/// The record reads as before, and no other one is found.
#[test]
fn each_damaged_bit_of_an_entry_is_noticed() {
    let (old, mut new) = ([1; JOURNAL_RECORD_LEN], [0; JOURNAL_RECORD_LEN]);
    for (first_word, len) in [([0; 4], 8), ([7; 4], 72)] {
        new[..4].copy_from_slice(&first_word);
        let mut nor = Range::<1, 1, 4_096>::erased();
        let mut records = Records::default();
        for (at, record) in [(5, &old), (2, &old), (2, &new)] {
            now(Range::open(&mut nor).store(at, record)).unwrap();
            records[at] = Some(old);
        }
        // The page before, the header, two entries.
        let at = 4_096 + 16 + 2 * 72;
        for bit in 0..8 * len {
            let mut damaged = nor.clone();
            damaged.bytes[at + bit / 8] ^= 1 << (bit % 8);
            let found = records_of(&mut Range::open(&mut damaged));
            assert_eq!(found, records, "bit {bit}");
        }
        records[2] = Some(kept(&new));
        assert_eq!(records_of(&mut Range::open(&mut nor)), records);
    }
}

/// An entry that says that nobody uses a record, as it is programmed.
fn unused_entry(at: usize) -> [u8; 8] {
    let mut nor = Nor::<1, 1, 4_096>::erased(2);
    let mut storage = Flash::new(&mut nor, 0..8_192).unwrap();
    now(storage.store(at, &UNUSED)).unwrap();
    nor.bytes[16..24].try_into().unwrap()
}

/// A record of which a peer chose eight bytes.
fn hostile(unit: usize, bytes: [u8; 8]) -> Record {
    let mut record: Record = std::array::from_fn(|at| at as u8 ^ 0x5a);
    record[8 * unit..][..8].copy_from_slice(&bytes);
    record
}

/// Whatever is left of a record's bytes, those that a peer chose clear no other record, wherever they stand: one run of bytes was programmed,
/// or any bits were.
#[test]
fn what_a_peer_chose_is_not_read_as_an_entry() {
    /// The page before, the header, one entry for each record.
    const AT: usize = 4_096 + 16 + RECORDS * 72;
    const LEN: usize = 72;
    let written = |at: usize| [at as u8 + 1; JOURNAL_RECORD_LEN];
    let mut before = Range::<1, 1, 4_096>::erased();
    for at in 0..RECORDS {
        now(Range::open(&mut before).store(at, &written(at))).unwrap();
    }
    let mut random = Random(1);
    for unit in 0..8 {
        let (victim, next) = (1 + unit % 3, 4);
        let record = hostile(unit, unused_entry(victim));
        let mut whole = before.clone();
        now(Range::open(&mut whole).store(0, &record)).unwrap();
        let programmed = &whole.bytes[AT..AT + LEN];
        let runs = (0..LEN).flat_map(|from| (from + 1..=LEN).map(move |to| (from, to)));
        let runs = runs.map(|(from, to)| {
            let mut left = [0xff; LEN];
            left[from..to].copy_from_slice(&programmed[from..to]);
            left
        });
        let some_bits = (0..2_000).map(|n| {
            // From few bits to most, and each second time all of what the peer chose.
            let is_kept = |at: usize| n % 2 == 0 && at / 8 == 1 + unit;
            std::array::from_fn(|at| {
                let missing = random.byte() & random.byte() | if n % 3 == 0 { random.byte() } else { 0 };
                programmed[at] | if is_kept(at) { 0 } else { missing }
            })
        });
        for left in runs.chain(some_bits) {
            let mut cut = before.clone();
            cut.bytes[AT..AT + LEN].copy_from_slice(&left);
            let mut expected: Records = std::array::from_fn(|at| Some(written(at)));
            if left == programmed {
                expected[0] = Some(record);
            }
            assert_eq!(records_of(&mut Range::open(&mut cut)), expected, "unit {unit}: {left:x?}");
            // What is stored next stands within the cut entry, or behind it.
            now(Range::open(&mut cut).store(next, &record)).unwrap();
            expected[next] = Some(record);
            assert_eq!(records_of(&mut Range::open(&mut cut)), expected, "unit {unit}: {left:x?}");
        }
    }
}

/// The check of a cut entry fits what was stored behind the cut: whoever chooses contents can search for that.
#[test]
fn an_entry_within_a_cut_one_is_not_read_as_its_record() {
    const CUT: usize = 8 + 24;
    let (kept, next) = ([1; JOURNAL_RECORD_LEN], [0x9a; JOURNAL_RECORD_LEN]);
    let mut nor = Range::<1, 1, 4_096>::erased();
    now(Range::open(&mut nor).store(0, &kept)).unwrap();
    let mut behind = nor.clone();
    now(Range::open(&mut behind).store(1, &next)).unwrap();
    let at = 4_096 + 16 + 72;
    let entry: [u8; 72] = behind.bytes[at..at + 72].try_into().unwrap();
    let mut cut = [0x80; CUT];
    let content: Record = std::array::from_fn(|at| if at < 24 { cut[8 + at] } else { entry[at - 24] });
    // However the entry's first byte is read: as it is, or with the bit that content has.
    for (tops, flipped) in [(0xf7, 0), (0xf7, 0x80), (0xff, 0), (0xff, 0x80)] {
        let head = [5, tops, 0, 0];
        let mut read = content;
        read[24] ^= flipped;
        let mut hasher = SipHasher13::new_with_key(b"journal in flash");
        hasher.write(&head);
        hasher.write(&read);
        cut[..4].copy_from_slice(&head);
        cut[4..8].copy_from_slice(&hasher.finish().to_le_bytes()[..4]);
        let mut crafted = nor.clone();
        crafted.bytes[at..at + CUT].copy_from_slice(&cut);
        crafted.bytes[at + CUT..at + CUT + 72].copy_from_slice(&entry);
        let mut expected = Records::default();
        (expected[0], expected[1]) = (Some(kept), Some(next));
        assert_eq!(records_of(&mut Range::open(&mut crafted)), expected);
    }
}

/// The layout, so that the next firmware reads what the last one wrote.
#[test]
fn the_layout_is_what_is_documented() {
    let hash = |parts: &[&[u8]]| {
        let mut hasher = SipHasher13::new_with_key(b"journal in flash");
        parts.iter().for_each(|part| hasher.write(part));
        hasher.finish().to_le_bytes()
    };
    // Its bytes 16 and 56 have top bits of their own.
    let record: Record = std::array::from_fn(|at| at as u8 ^ if at == 16 || at >= 56 { 0x80 } else { 0x01 });
    let mut flagged = record;
    flagged.iter_mut().step_by(8).for_each(|byte| *byte |= 0x80);
    let mut nor = Nor::<1, 4, 4_096>::erased(2);
    let mut storage = Flash::new(&mut nor, 0..8_192).unwrap();
    now(storage.store(3, &record)).unwrap();
    now(storage.store(3, &UNUSED)).unwrap();
    let sizes = [4_096_u32, 8, 2].map(u32::to_le_bytes).concat();
    let header = [*b"JRF\x02", 1_u32.to_le_bytes()].concat();
    let expected = [
        &header,
        &hash(&[&header, &sizes])[..],
        &[5, 0b1000_0100, 3, 0],
        &hash(&[&[5, 0b1000_0100, 3, 0], &record])[..4],
        &flagged,
        &[6, 0, 3, 0],
        &hash(&[&[6, 0, 3, 0]])[..4],
        &[0xff; 16],
    ]
    .concat();
    assert_eq!(nor.bytes[..expected.len()], expected);
    // A copy says so, in the page whose number is one more.
    let mut storage = Flash::new(&mut nor, 0..8_192).unwrap();
    for n in 0..100 {
        now(storage.store(0, &[n; JOURNAL_RECORD_LEN])).unwrap();
    }
    let next = &nor.bytes[4_096..];
    assert_eq!((next[4], &next[16..20], &next[16 + 72..][..4]), (2, &[9, 0, 0, 0][..], &[10, 0, 3, 0][..]));
}

/// A life in a flash, and what it ends with.
fn lived<const READ: usize, const WRITE: usize, const PAGE: usize>(
    nor: &mut Nor<READ, WRITE, PAGE>,
    changes: &Changes,
) -> Records {
    let (mut storage, mut records) = (Range::open(nor), Records::default());
    for (at, record) in &changes.stores {
        now(storage.store(*at, record)).unwrap();
        records[*at] = Some(kept(record));
    }
    records
}

/// A firmware that gives the journal another range, or whose flash has other words, begins with none; so does one with another version of the layout.
#[test]
fn another_layout_holds_no_record_and_is_overwritten() {
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let mut nor = Range::<4, 4, 1_024>::erased();
    let records = lived(&mut nor, &changes);
    assert_eq!(records_of(&mut Range::open(&mut nor)), records);

    let is_found = |mut storage: Flash<&mut Nor<4, 4, 1_024>>| {
        let found = start(&mut storage, &changes);
        for (at, record) in &changes.stores {
            now(storage.store(*at, record)).unwrap();
        }
        assert_eq!(records_of(&mut storage), records);
        found != Records::default()
    };
    let pages = Range::<4, 4, 1_024>::PAGES;
    let range = |from: u32, pages: u32| from * 1_024..(from + pages) * 1_024;
    assert!(is_found(FlashJournal::new(&mut nor.clone(), range(1, pages)).unwrap()));
    for other in [range(0, pages + 1), range(1, pages + 1), range(0, pages + 2)] {
        assert!(!is_found(FlashJournal::new(&mut nor.clone(), other).unwrap()));
    }
    let mut other_words = Nor::<1, 32, 1_024>::holding(nor.bytes.clone());
    assert_eq!(start(&mut Range::open(&mut other_words), &changes), Records::default());
    let mut other_pages = Nor::<4, 4, 512>::holding(nor.bytes.clone());
    let range = 1_024..1_024 * (1 + pages);
    assert_eq!(start(&mut FlashJournal::new(&mut other_pages, range).unwrap(), &changes), Records::default());
    // As many pages, twice as long: the first begins as it did.
    let mut longer = Nor::<4, 4, 2_048>::holding([&nor.bytes[1_024..], &vec![0xff; 2_048 * pages as usize]].concat());
    let range = 0..2_048 * pages;
    assert_eq!(start(&mut FlashJournal::new(&mut longer, range).unwrap(), &changes), Records::default());
    let mut other_version = nor.clone();
    for page in other_version.bytes.chunks_mut(1_024) {
        page[3] += u8::from(page[0] != 0xff);
    }
    assert!(!is_found(Range::open(&mut other_version)));
}

/// The next firmware may have more connections, or fewer.
#[test]
fn a_journal_of_another_number_of_records_is_read() {
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let mut nor = Nor::<4, 4, 4_096>::erased(4);
    let records = lived(&mut nor, &changes);
    let range = 4_096..3 * 4_096;
    let mut fewer = FlashJournal::<_, 3>::new(&mut nor, range.clone()).unwrap();
    assert_eq!(records_of(&mut fewer), records[..3]);
    let last = changes.stores.iter().map(|(_, record)| record).rfind(|record| !is_unused(record)).unwrap();
    for n in 0..500 {
        let record = if n % 2 == 0 { last } else { &UNUSED };
        now(fewer.store(2, record)).unwrap();
    }
    let mut more = FlashJournal::<_, 20>::new(&mut nor, range).unwrap();
    let mut expected = [None; 20];
    expected[..3].copy_from_slice(&[records[0], records[1], Some(UNUSED)]);
    assert_eq!(records_of(&mut more), expected, "nobody has kept the others");
    for (at, expected) in expected.iter_mut().enumerate().skip(3) {
        now(more.store(at, last)).unwrap();
        *expected = Some(*last);
    }
    assert_eq!(records_of(&mut more), expected);
}

/// A firmware with fewer records leaves the others behind, also where one with more would have copied them.
#[test]
fn records_that_one_firmware_does_not_know_do_not_cost_those_it_knows() {
    let record = |n: u8| [n; JOURNAL_RECORD_LEN];
    let range = 0..2 * 4_096;
    for stores in 0..200 {
        let mut nor = Nor::<4, 4, 4_096>::erased(2);
        let mut more = FlashJournal::<_, 20>::new(&mut nor, range.clone()).unwrap();
        for at in 0..20 {
            now(more.store(at, &record(100))).unwrap();
        }
        let mut fewer = FlashJournal::<_, 3>::new(&mut nor, range.clone()).unwrap();
        for n in 0..stores {
            now(fewer.store(n % 3, &record(1 + n as u8 / 3))).unwrap();
        }
        let kept = records_of(&mut fewer);
        let mut more = FlashJournal::<_, 20>::new(&mut nor, range.clone()).unwrap();
        for n in 0..100 {
            now(more.store(5, &record(n))).unwrap();
            let found = records_of(&mut more);
            assert_eq!((&found[..3], found[5]), (&kept[..], Some(record(n))));
            let others = found[3..5].iter().chain(&found[6..]).flatten();
            assert!(others.copied().all(|found| found == record(100)));
        }
    }
}

#[test]
fn what_has_not_changed_is_not_stored_again() {
    let mut nor = Range::<1, 1, 4_096>::erased();
    let mut programmed = Vec::new();
    let (mut one, mut ended) = ([1; JOURNAL_RECORD_LEN], [2; JOURNAL_RECORD_LEN]);
    ended[..4].fill(0);
    for record in [one, one, ended, UNUSED, ended] {
        let mut storage = Range::open(&mut nor);
        now(storage.store(7, &record)).unwrap();
        now(storage.store(7, &record)).unwrap();
        assert_eq!(now(storage.load(7)), Ok(Some(kept(&record))));
        programmed.push(nor.programmed);
    }
    one[63] += 1;
    now(Range::open(&mut nor).store(7, &one)).unwrap();
    programmed.push(nor.programmed);
    assert_eq!(programmed, [16 + 72, 16 + 72, 16 + 80, 16 + 80, 16 + 80, 16 + 152]);
}

/// Each access fails once, half done, and the same storage goes on.
#[test]
fn an_error_of_the_flash_is_given_back_and_does_not_stay() {
    go_on_after(
        |access, nor| Nor { fails_in: Some(access), ..nor },
        // A read that fails once is made again.
        |polled| matches!(polled, Poll::Ready(Ok(()) | Err(FlashJournalError::Flash(Fault::Broken)))),
    );
}

/// Each access stays pending once, and the future is dropped.
#[test]
fn a_store_that_is_dropped_halfway_costs_no_record() {
    go_on_after(|access, nor| Nor { hangs_in: Some(access), ..nor }, |polled| polled.is_pending());
}

type Stored = Result<(), FlashJournalError<Fault>>;

fn go_on_after(
    disturbed: impl Fn(u64, Nor<4, 4, 1_024>) -> Nor<4, 4, 1_024>,
    is_expected: impl Fn(Poll<Stored>) -> bool,
) {
    type Middle = Range<4, 4, 1_024>;
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let (mut nor, mut records, mut disturbances) = (Middle::erased(), Records::default(), 0);
    for (at, record) in &changes.stores {
        for access in 0.. {
            let mut other = disturbed(access, nor.clone());
            let mut scout = other.clone();
            let _ = poll_once(Middle::open(&mut scout).store(*at, record));
            let is_over = scout.fails_in.or(scout.hangs_in).is_some();
            let mut storage = Middle::open(&mut other);
            let polled = poll_once(storage.store(*at, record));
            if is_over {
                assert_eq!(polled, Poll::Ready(Ok(())));
                break;
            }
            assert!(is_expected(polled), "{polled:?}");
            disturbances += 1;
            let found = records_of(&mut storage);
            let others = (0..RECORDS).filter(|other| other != at);
            assert!(found[*at] == records[*at] || found[*at] == Some(kept(record)));
            others.for_each(|other| assert_eq!(found[other], records[other]));
            now(storage.store(*at, record)).unwrap();
            let expected = with(&records, *at, record);
            assert_eq!(records_of(&mut storage), expected);
            assert_eq!(records_of(&mut Middle::open(&mut other)), expected);
        }
        now(Middle::open(&mut nor).store(*at, record)).unwrap();
        records = with(&records, *at, record);
    }
    assert!(disturbances > 1_000, "{disturbances}");
}

fn with(records: &Records, at: usize, record: &Record) -> Records {
    let mut records = *records;
    records[at] = Some(kept(record));
    records
}

/// One word cannot be read until its page is erased. What lay there is lost, or a page where it is the page's header; all else reads as before, and in
/// the end nothing is left of it.
#[test]
fn an_unreadable_word_costs_what_lay_there() {
    cost_what_lay_there::<1, 1, 256>();
    cost_what_lay_there::<4, 4, 1_024>();
    cost_what_lay_there::<32, 32, 1_024>();
}

fn cost_what_lay_there<const READ: usize, const WRITE: usize, const PAGE: usize>() {
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let mut nor = Range::<READ, WRITE, PAGE>::erased();
    let records = lived(&mut nor, &changes);
    let word = Nor::<READ, WRITE, PAGE>::WORD;
    let first_of = |at: usize| PAGE / word * (1 + at / PAGE) + at % PAGE / word;
    let (mut lost, mut headers) = (0, 0);
    for place in (0..Range::<READ, WRITE, PAGE>::PAGES as usize * PAGE).step_by(word) {
        let is_header = place % PAGE < 16;
        let unreadable = BTreeSet::from([first_of(place)]);
        let mut other = Nor { unreadable, ..nor.clone() };
        let found = start(&mut Range::open(&mut other), &changes);
        let differing = (0..RECORDS).filter(|at| found[*at] != records[*at]).count();
        assert!(differing <= 1 || is_header, "at {place}: {differing} lost");
        lost += usize::from(!is_header) * differing;
        headers += usize::from(is_header) * differing;
        // The first erase may be of the last page.
        let mut expected = found;
        let mut storage = Range::open(&mut other);
        for (at, record) in changes.stores.iter().cycle().take(changes.stores.len() * 3) {
            now(storage.store(*at, record)).unwrap();
            expected[*at] = Some(kept(record));
            assert_eq!(now(storage.load(*at)), Ok(expected[*at]), "at {place}");
        }
        assert_eq!(start(&mut Range::open(&mut other), &changes), expected);
        assert!(other.unreadable.is_empty() && Range::is_within(&other), "at {place}");
    }
    // Each record's newest entry has its words, and each was one of them.
    let in_use = records.iter().flatten().filter(|record| !is_unused(record)).count();
    assert!(lost >= in_use * 72 / word.max(8), "{lost}");
    assert!(headers > 0);
}

/// An entry without a record is whole, though what lies behind it cannot be read.
#[test]
fn what_lies_before_an_unreadable_word_is_read() {
    let record = [1; JOURNAL_RECORD_LEN];
    let mut nor = Range::<1, 1, 4_096>::erased();
    for (at, record) in [(0, record), (0, UNUSED), (1, record), (2, UNUSED)] {
        now(Range::open(&mut nor).store(at, &record)).unwrap();
    }
    let behind = (4_096 + 16 + 72 + 8) / 8;
    // The next record's first word, each of its others, and one that was erased.
    for word in behind..behind + 12 {
        let mut other = Nor { unreadable: BTreeSet::from([word]), ..nor.clone() };
        let expected = |at: usize| match at {
            0 => Some(UNUSED),
            1 if word >= behind + 9 => Some(record),
            2 if word != behind + 9 => Some(UNUSED),
            _ => None,
        };
        let mut expected: Records = std::array::from_fn(expected);
        assert_eq!(records_of(&mut Range::open(&mut other)), expected, "word {word}");
        now(Range::open(&mut other).store(3, &record)).unwrap();
        expected[3] = Some(record);
        assert_eq!(records_of(&mut Range::open(&mut other)), expected, "word {word}");
    }
}

/// Reads that fail everywhere are no words that cannot be read: nothing is taken as lost, nor written.
#[test]
fn a_flash_that_cannot_be_read_is_an_error_and_costs_no_record() {
    type Middle = Range<4, 4, 1_024>;
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let mut nor = Middle::erased();
    let records = lived(&mut nor, &changes);
    let broken = FlashJournalError::Flash(Fault::Broken);
    let mut whole = Nor { reads_fail_in: Some(u64::MAX), ..nor.clone() };
    let (at, record) = (0, [9; JOURNAL_RECORD_LEN]);
    now(Middle::open(&mut whole).store(at, &record)).unwrap();
    let reads = u64::MAX - whole.reads_fail_in.unwrap();
    for after in 0..reads {
        let mut other = Nor { reads_fail_in: Some(after), ..nor.clone() };
        let mut storage = Middle::open(&mut other);
        assert_eq!(now(storage.store(at, &record)), Err(broken), "after {after} reads");
        assert_eq!((now(storage.load(1)), now(storage.store(1, &record))), (Err(broken), Err(broken)));
        other.reads_fail_in = None;
        assert!(other.programmed == nor.programmed && other.erases == nor.erases, "after {after} reads");
        assert_eq!(records_of(&mut Middle::open(&mut other)), records);
    }
    assert!(reads > 10, "{reads}");
}

#[test]
fn a_page_that_cannot_be_erased_is_an_error_while_that_lasts() {
    let changes = changes(Family::V4, Opened::Mixed, 60);
    let mut nor = Range::<4, 4, 1_024>::erased();
    let records = lived(&mut nor, &changes);
    nor.is_protected = true;
    let mut storage = Range::open(&mut nor);
    let stored: Result<Vec<()>, _> =
        changes.stores.iter().map(|(at, record)| now(storage.store(*at, record))).collect();
    assert_eq!(stored, Err(FlashJournalError::NotErased));
    let found = records_of(&mut storage);
    assert!(found.iter().all(Option::is_some) && records.iter().all(Option::is_some));
    nor.is_protected = false;
    let again = lived(&mut nor, &changes);
    assert_eq!((again, records_of(&mut Range::open(&mut nor))), (records, records));
}

#[test]
fn a_record_beyond_the_last_is_refused() {
    let mut nor = Range::<4, 4, 4_096>::erased();
    let mut storage = Range::open(&mut nor);
    assert_eq!(now(storage.load(RECORDS)), Err(FlashJournalError::NoSuchRecord));
    assert_eq!(now(storage.store(RECORDS, &UNUSED)), Err(FlashJournalError::NoSuchRecord));
    assert_eq!(now(storage.store(RECORDS - 1, &UNUSED)), Ok(()));
    assert_eq!(<Flash<Nor<4, 4, 4_096>> as JournalStorage>::RECORDS, RECORDS);
}

/// What a range must be, and one beyond it each time.
#[test]
fn a_range_is_taken_as_it_is_or_refused_with_what_is_wrong() {
    fn new<const READ: usize, const WRITE: usize, const PAGE: usize>(
        pages: u32,
        range: std::ops::Range<u32>,
    ) -> Result<(), FlashRangeError> {
        let mut nor = Nor::<READ, WRITE, PAGE>::erased(pages);
        let made = Flash::new(&mut nor, range).map(|_| ());
        assert_eq!((nor.reads, nor.programmed), (0, 0));
        made
    }
    const K: u32 = 1_024;
    assert_eq!(new::<1, 1, 4_096>(2, 0..8 * K), Ok(()));
    assert_eq!(new::<1, 1, 4_096>(2, 0..4 * K), Err(FlashRangeError::TooFewPages(2)));
    assert_eq!(new::<1, 1, 4_096>(2, 8 * K..8 * K), Err(FlashRangeError::TooFewPages(2)));
    assert_eq!(new::<1, 1, 4_096>(2, 0..12 * K), Err(FlashRangeError::OutOfBounds));
    assert_eq!(new::<1, 1, 4_096>(2, 0..u32::MAX), Err(FlashRangeError::OutOfBounds));
    assert_eq!(new::<1, 1, 4_096>(4, std::ops::Range { start: 8 * K, end: 0 }), Err(FlashRangeError::OutOfBounds));
    assert_eq!(new::<1, 1, 4_096>(4, K..16 * K), Err(FlashRangeError::Misaligned));
    assert_eq!(new::<1, 1, 4_096>(4, 0..15 * K), Err(FlashRangeError::Misaligned));
    // Seven pages hold twice the records, and one more is free.
    assert_eq!(new::<1, 1, 256>(8, 0..2 * K), Ok(()));
    assert_eq!(new::<1, 1, 256>(8, 0..7 * 256), Err(FlashRangeError::TooFewPages(8)));
    assert_eq!(new::<1, 32, 512>(5, 0..5 * 512), Ok(()));
    assert_eq!(new::<1, 32, 512>(5, 0..4 * 512), Err(FlashRangeError::TooFewPages(5)));
    assert_eq!(new::<1, 8, 160>(9_999, 0..160 * 9_999), Ok(()));
    assert_eq!(new::<1, 8, 152>(9_999, 0..152 * 9_999), Err(FlashRangeError::PageTooSmall));
    assert_eq!(new::<256, 256, 1_024>(99, 0..99 * K), Ok(()));
    assert_eq!(new::<1, 512, 4_096>(99, 0..99 * 4 * K), Err(FlashRangeError::UnsupportedWord));
    assert_eq!(new::<3, 8, 4_096>(9, 0..9 * 4 * K), Err(FlashRangeError::UnsupportedWord));
    assert_eq!(new::<1, 3, 4_096>(9, 0..9 * 4 * K), Err(FlashRangeError::UnsupportedWord));
    assert_eq!(new::<1, 16, 1_000>(9, 0..9_000), Err(FlashRangeError::UnsupportedWord));
}

/// All records in use, none of which ends: most that can be copied.
#[test]
fn the_smallest_range_is_enough_for_all_records() {
    fn fill<const N: usize, const WRITE: usize, const PAGE: usize>() -> u32 {
        let pages = FlashJournal::<Nor<1, WRITE, PAGE>, N>::MIN_PAGES;
        let mut nor = Nor::<1, WRITE, PAGE>::erased(pages);
        let (mut random, mut most, mut records) = (Random(1), 0, [None; N]);
        for n in 0..1_500_u32 {
            // In turn, at random, and one alone.
            let at = match n / 500 {
                0 => n as usize % N,
                1 => usize::from(random.byte()) % N,
                _ => N - 1,
            };
            let mut record = [1; JOURNAL_RECORD_LEN];
            record[4..8].copy_from_slice(&n.to_be_bytes());
            let before: u32 = nor.erases.iter().sum();
            let mut storage = FlashJournal::<_, N>::new(&mut nor, 0..pages * PAGE as u32).unwrap();
            now(storage.store(at, &record)).unwrap();
            records[at] = Some(record);
            assert!(n % 10 != 0 || (0..N).all(|at| now(storage.load(at)) == Ok(records[at])));
            most = most.max(nor.erases.iter().sum::<u32>() - before);
        }
        most
    }
    assert_eq!(fill::<1, 1, 256>(), 1);
    assert_eq!(fill::<2, 1, 256>(), 1);
    assert_eq!(fill::<8, 1, 1_024>(), 1);
    assert_eq!(fill::<55, 1, 4_096>(), 1);
    assert_eq!(fill::<38, 32, 4_096>(), 1);
    // Pages that do not hold all records.
    assert!(fill::<8, 1, 256>() > 1);
    assert!(fill::<8, 8, 160>() > 1);
    assert!(fill::<20, 32, 512>() > 1);
}

/// What each of 1,000 connections costs in the mean, in bytes, and all of them, in erases, which the pages share. The documentation of [`FlashJournal`]
/// has these figures.
#[test]
fn wear_is_as_documented() {
    let by_the_peer = changes(Family::V4, Opened::ByThePeer, 1_000);
    let here = changes(Family::V4, Opened::Here, 1_000);
    let mixed = changes(Family::V4, Opened::Mixed, 1_000);
    /// For 8 connections.
    type Documented<F> = FlashJournal<F, 16>;
    fn wear<const WRITE: usize, const PAGE: usize>(pages: u32, changes: &Changes) -> (u64, u32) {
        let mut nor = Nor::<1, WRITE, PAGE>::erased(pages);
        let mut storage = Documented::new(&mut nor, 0..pages * PAGE as u32).unwrap();
        for (at, record) in &changes.stores {
            now(storage.store(*at, record)).unwrap();
        }
        let (least, most) = (nor.erases.iter().min().unwrap(), nor.erases.iter().max().unwrap());
        assert!(most - least <= 1, "{:?}", nor.erases);
        (nor.programmed / 1_000, nor.erases.iter().sum())
    }
    fn smallest<const WRITE: usize, const PAGE: usize>(changes: &Changes) -> (u64, u32) {
        wear::<WRITE, PAGE>(Documented::<Nor<1, WRITE, PAGE>>::MIN_PAGES, changes)
    }
    assert_eq!([smallest::<1, 4_096>(&by_the_peer), smallest::<1, 4_096>(&here)], [(81, 20), (155, 39)]);
    assert_eq!([smallest::<8, 4_096>(&by_the_peer), smallest::<8, 4_096>(&here)], [(81, 20), (155, 39)]);
    assert_eq!([wear::<4, 4_096>(8, &by_the_peer), wear::<4, 4_096>(8, &here)], [(80, 20), (152, 38)]);
    assert_eq!([smallest::<1, 256>(&by_the_peer), smallest::<1, 256>(&here)], [(85, 334), (162, 667)]);
    assert_eq!([smallest::<32, 131_072>(&by_the_peer), smallest::<32, 131_072>(&here)], [(128, 1), (224, 2)]);
    // All records in use, and numbers noted: a sixth is for what is copied in the smallest range.
    assert_eq!([smallest::<1, 4_096>(&mixed), wear::<4, 4_096>(8, &mixed)], [(216, 54), (188, 47)]);
}

/// The most that peers can make of stores: each takes a record's room, while all others are in use and are copied. The documentation of [`FlashJournal`]
/// has what follows from it for `least`.
#[test]
fn wear_at_worst_is_as_documented() {
    fn stores_per_erase<const N: usize>(pages: u32, changing: usize) -> u32 {
        let mut nor = Nor::<1, 1, 4_096>::erased(pages);
        let mut storage = FlashJournal::<_, N>::new(&mut nor, 0..pages * 4_096).unwrap();
        let mut record = [1; JOURNAL_RECORD_LEN];
        for at in 0..N {
            now(storage.store(at, &record)).unwrap();
        }
        const STORES: u32 = 20_000;
        for n in 0..STORES {
            record[4..8].copy_from_slice(&n.to_le_bytes());
            now(storage.store(n as usize % changing, &record)).unwrap();
        }
        STORES / nor.erases.iter().sum::<u32>()
    }
    let worst = (1..=16).map(|changing| stores_per_erase::<16>(8, changing)).min().unwrap();
    assert_eq!(worst, 53);
    // Years, for pages that endure so many erases.
    let years = |least: u32, pages: u32, endurance: u32| {
        let stores_a_day = 86_400 / least;
        f64::from(pages * endurance) * f64::from(worst) / f64::from(stores_a_day) / 365.25
    };
    let in_tenths = |least, endurance| (years(least, 8, endurance) * 10.0) as u32;
    assert_eq!([in_tenths(10, 10_000), in_tenths(10, 100_000)], [13, 134]);
    assert_eq!([in_tenths(75, 10_000), in_tenths(75, 100_000)], [100, 1_007]);
}
