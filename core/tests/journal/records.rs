//! What is found in the memory: cut writes, garbage, other layouts, pairs that cannot be. The layout is read and written here apart from the crate.

use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::{ProptestConfig, any, prop_assert_eq, proptest};
use siphasher::sip::SipHasher13;
use tcp_reset_core::{Counters, JOURNAL_RECORD_LEN, Tcp};

use crate::support::family::{Family, over_each};
use crate::support::rig::{Rig, START, Store, key, peer, quick_config, reach, us};
use crate::{Memory, life};

type Bytes = [u8; JOURNAL_RECORD_LEN];
type Words = [u32; JOURNAL_RECORD_LEN / 4];

const NOTHING: Bytes = [0; JOURNAL_RECORD_LEN];

/// What an engine finds in a record, and what it counts.
fn find(bytes: &Bytes) -> (Option<(SocketAddr, SocketAddr)>, u32) {
    thread_local! {
        static STORE: std::cell::RefCell<Box<Store>> = std::cell::RefCell::new(Box::new(Store::new()));
    }
    STORE.with_borrow_mut(|store| {
        let journal = Memory::new();
        journal.set_record(3, bytes);
        let mut tcp = Tcp::new(&mut **store, quick_config(), key(1)).unwrap();
        tcp.keep_journal(START, &journal).unwrap();
        let counters: &Counters = tcp.counters();
        let found = tcp.lost_peers().next().map(|lost| (lost.local, lost.remote));
        assert_eq!(counters.journal.found, u32::from(found.is_some()));
        let ignored = counters.journal.ignored;
        // What is ignored is cleared.
        assert!(ignored == 0 || journal.record(3).unwrap()[..4] == [0; 4]);
        (found, ignored)
    })
}

/// The record of a life that ended here.
fn record_after(family: Family, before: impl FnOnce(&mut Rig<'_>)) -> Bytes {
    let journal = Memory::new();
    life(family, &journal, 1, before);
    journal.record(0).unwrap()
}

fn words(bytes: &Bytes) -> Words {
    let mut words = [0; JOURNAL_RECORD_LEN / 4];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
        *word = u32::from_ne_bytes(bytes.try_into().unwrap());
    }
    words
}

fn bytes(words: &Words) -> Bytes {
    let mut bytes = NOTHING;
    for (bytes, word) in bytes.chunks_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(b"reset journal 01");
    hasher.write(bytes);
    hasher.finish()
}

/// Makes the check of the pair right.
fn sealed(mut words: Words) -> Bytes {
    let check = hash(&bytes(&words)[..48]);
    (words[12], words[13]) = (check as u32, (check >> 32) as u32);
    bytes(&words)
}

fn address(addr: IpAddr) -> [u32; 4] {
    let octets = match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    };
    let mut words = [0; 4];
    for (word, octets) in words.iter_mut().zip(octets.chunks(4)) {
        *word = u32::from_ne_bytes(octets.try_into().unwrap());
    }
    words
}

fn record(local: SocketAddr, remote: SocketAddr) -> Words {
    let mut words = [0; 16];
    words[0] = 0x4a52_0110;
    words[1] = u32::from(local.port()) << 16 | u32::from(remote.port());
    words[2..6].copy_from_slice(&address(local.ip()));
    words[6..10].copy_from_slice(&address(remote.ip()));
    words
}

#[test]
fn the_layout_is_what_is_documented() {
    over_each(|family| {
        let written = record_after(family, reach::open);
        let mut expected = record(us(family), peer(family));
        // The next hop was known: a link without link addresses has none but zeros.
        expected[11] = u32::from_ne_bytes([0, 0, 1, 0]);
        let mut expected = words(&sealed(expected));
        expected[15] = words(&written)[15];
        assert_eq!(words(&written), expected);
        assert_eq!(find(&written), (Some((us(family), peer(family))), 0));
        let mut model = None;
        let noted = record_after(family, |rig| {
            rig.open();
            rig.engine.tcp.note_sequence_numbers();
            model = Some(rig.model);
        });
        expected[14] = model.unwrap().snd_nxt;
        expected[15] = hash(&bytes(&expected)[..60]) as u32;
        assert_eq!(words(&noted), expected);
    });
}

/// Every state that a cut can leave: any mixture of the words of two contents, in whatever order they were written, and every cut between two bytes.
fn mixtures(from: &Bytes, to: &Bytes, mut check: impl FnMut(&Bytes)) {
    let (from_words, to_words) = (words(from), words(to));
    let differing: Vec<usize> = (0..from_words.len()).filter(|at| from_words[*at] != to_words[*at]).collect();
    for subset in 0..1_u32 << differing.len() {
        let mut mixed = from_words;
        for (bit, at) in differing.iter().enumerate() {
            if subset >> bit & 1 != 0 {
                mixed[*at] = to_words[*at];
            }
        }
        check(&bytes(&mixed));
    }
    for cut in 0..=JOURNAL_RECORD_LEN {
        let mut mixed = *from;
        mixed[..cut].copy_from_slice(&to[..cut]);
        check(&mixed);
    }
}

#[test]
fn a_cut_write_leaves_the_old_the_new_or_nothing() {
    over_each(|family| {
        let pair = (us(family), peer(family));
        let mut other_us = us(family);
        other_us.set_port(81);
        let open = record_after(family, reach::open);
        let used_again = record_after(family, |rig| {
            rig.open();
            rig.abort();
            rig.us = other_us;
            rig.open();
        });
        let ended = record_after(family, |rig| {
            rig.open();
            rig.abort();
        });
        assert_eq!((find(&ended), find(&used_again)), ((None, 0), (Some((other_us, peer(family))), 0)));
        for from in [&NOTHING, &ended] {
            mixtures(from, &open, |bytes| assert!([None, Some(pair)].contains(&find(bytes).0)));
        }
        mixtures(&open, &ended, |bytes| assert!([None, Some(pair)].contains(&find(bytes).0)));
        // The old one costs its peer one segment more.
        for from in [&ended, &open] {
            let allowed = [None, Some(pair), Some((other_us, peer(family)))];
            mixtures(from, &used_again, |bytes| assert!(allowed.contains(&find(bytes).0)));
        }
    });
}

/// Noting the number never costs the pair.
#[test]
fn a_cut_note_of_the_number_leaves_the_pair() {
    over_each(|family| {
        let noted = |times| {
            record_after(family, |rig| {
                rig.open();
                for n in 0..times {
                    if n > 0 {
                        rig.send(10);
                    }
                    rig.engine.tcp.note_sequence_numbers();
                }
            })
        };
        for (before, after) in [(0, 1), (1, 2)] {
            let mut seen = std::collections::BTreeSet::new();
            mixtures(&noted(before), &noted(after), |bytes| {
                assert_eq!(find(bytes), (Some((us(family), peer(family))), 0));
                seen.insert(number(family, bytes));
            });
            let expected = [noted(before), noted(after)].map(|bytes| number(family, &bytes));
            assert!(seen.iter().all(|number| number.is_none() || expected.contains(number)), "{seen:?}");
            assert!(seen.contains(&expected[1]));
        }
    });
}

/// The number of the RST that goes first.
fn number(family: Family, bytes: &Bytes) -> Option<u32> {
    let journal = Memory::new();
    journal.set_record(0, bytes);
    life(family, &journal, 2, |rig| {
        crate::know(rig, &[us(family).ip()]);
        rig.engine.sent.iter().find(|sent| sent.reason.is_some()).map(|sent| sent.seq)
    })
}

#[test]
fn each_damaged_bit_is_noticed() {
    over_each(|family| {
        let pair = Some((us(family), peer(family)));
        let whole = record_after(family, |rig| {
            rig.open();
            rig.engine.tcp.note_sequence_numbers();
        });
        for bit in 0..8 * JOURNAL_RECORD_LEN {
            let mut damaged = whole;
            damaged[bit / 8] ^= 1 << (bit % 8);
            let is_number = bit / 32 >= 14;
            assert_eq!(find(&damaged), if is_number { (pair, 0) } else { (None, 1) }, "bit {bit}");
            assert!(!is_number || number(family, &damaged).is_none(), "bit {bit}");
        }
    });
}

/// With a right check, as nobody but ourselves would write it.
#[test]
fn other_layouts_and_pairs_that_cannot_be_are_ignored() {
    over_each(|family| {
        let good = record(us(family), peer(family));
        assert_eq!(find(&sealed(good)).1, 0);
        let with = |at: usize, word: u32| {
            let mut words = good;
            words[at] = word;
            words
        };
        let port = |local: u16, remote: u16| {
            record(SocketAddr::new(us(family).ip(), local), SocketAddr::new(peer(family).ip(), remote))
        };
        let between = |local, remote| record(SocketAddr::new(local, 80), SocketAddr::new(remote, 40_000));
        let (ours, its) = (us(family).ip(), peer(family).ip());
        let loopback = match family {
            Family::V4 => IpAddr::from(Ipv4Addr::LOCALHOST),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        let group = match family {
            Family::V4 => IpAddr::from(Ipv4Addr::new(224, 0, 0, 1)),
            Family::V6 => family.everybody_here(),
        };
        let bad = [
            with(0, 0x4a52_0210),
            with(0, 0x4a52_0010),
            with(0, 0x4a52_0111),
            with(0, 0x4a53_0110),
            port(0, 1),
            port(1, 0),
            between(ours, ours),
            between(ours, group),
            between(group, its),
            between(ours, loopback),
            between(ours, family.unspecified()),
            between(family.unspecified(), its),
            between(ours, IpAddr::from(Ipv4Addr::BROADCAST)),
            [u32::MAX; 16],
        ];
        for words in bad {
            assert_eq!(find(&sealed(words)), (None, 1), "{words:x?}");
        }
    });
    let mixed = record(us(Family::V4), SocketAddr::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2).into(), 1));
    assert_eq!(find(&sealed(mixed)), (None, 1));
    // Written by a build that speaks both families.
    let v6 = |n| SocketAddr::new(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).into(), n);
    let is_spoken = cfg!(feature = "ipv6");
    assert_eq!(find(&sealed(record(v6(1), v6(2)))), (is_spoken.then_some((v6(1), v6(2))), u32::from(!is_spoken)));
}

/// A connection that took its predecessor's pair over leaves two records of one pair.
#[test]
fn a_pair_counts_once() {
    over_each(|family| {
        let journal = Memory::new();
        let bytes = sealed(record(us(family), peer(family)));
        for at in 0..8 {
            journal.set_record(at, &bytes);
        }
        life(family, &journal, 2, |rig| {
            assert_eq!(rig.engine.tcp.counters().journal.found, 1);
            crate::know(rig, &[us(family).ip()]);
            assert_eq!(rig.engine.sent.len(), 1);
        });
    });
}

#[test]
fn memory_that_was_never_written_does_nothing() {
    over_each(|family| {
        for byte in [0, 0xff, 0xaa, 0x55] {
            let journal = Memory::new();
            for at in 0..8 {
                journal.set_record(at, &[byte; JOURNAL_RECORD_LEN]);
            }
            life(family, &journal, 2, |rig| {
                crate::know(rig, &[us(family).ip()]);
                assert_eq!((rig.engine.sent.len(), rig.engine.deadline), (0, None));
                let counters = rig.engine.tcp.counters().journal;
                assert_eq!((counters.found, counters.ignored), (0, if byte == 0 { 0 } else { 8 }));
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn garbage_is_ignored(garbage in any::<[u32; 16]>()) {
        prop_assert_eq!(find(&bytes(&garbage)), (None, u32::from(garbage[0] != 0)));
    }
}
