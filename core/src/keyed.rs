//! Everything keyed: initial sequence numbers (RFC 6528, RFC 9293 §3.4.1), ephemeral ports (RFC 6056 §3.3.3), what timestamps begin with, and the
//! hash that spreads connections over the index. The first three a peer sees: they are SipHash's. The last nobody sees: it is the universal hash of
//! multiplication and addition, a tenth of the work. Without the key nobody can choose tuples that collide; who found some by timing would gain
//! little, as a chain is never longer than the table.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::config::SecretKey;
use crate::time::Instant;
use crate::wire::addr::{Tuple, WORDS};
use crate::wire::seq::Seq;

/// What a hash is used for, so that no use gives away another's values.
#[derive(Clone, Copy)]
enum Purpose {
    Isn = 1,
    Port = 2,
    Index = 3,
    #[cfg(feature = "timestamps")]
    Timestamp = 5,
    #[cfg(feature = "journal")]
    Probe = 4,
}

/// The one SipHash there is of words: it takes half a kilobyte of flash.
#[inline(never)]
pub(crate) fn sip_hash(hasher: &SipHasher13, words: &[u32]) -> u64 {
    let mut hasher = *hasher;
    for word in words {
        hasher.write_u32(*word);
    }
    hasher.finish()
}

pub(crate) struct Keyed {
    hasher: SipHasher13,
    /// One factor for each word of a tuple that takes part, and the summand.
    index: [u64; FACTORS + 1],
}

/// The ports, and the words of the peer's address.
const FACTORS: usize = 1 + WORDS;

impl Keyed {
    pub(crate) fn new(key: SecretKey) -> Keyed {
        let hasher = SipHasher13::new_with_key(key.bytes());
        let mut index = [0; FACTORS + 1];
        for (i, factor) in index.iter_mut().enumerate() {
            *factor = sip_hash(&hasher, &[i as u32, Purpose::Index as u32]);
        }
        Keyed { hasher, index }
    }

    /// ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M one step every 4 µs (RFC 6528 §3).
    ///
    /// M gains 250,000 numbers a second. A connection that sends more than that on average, 2 MB within 124 ms and then ends, has used
    /// numbers beyond the ISN that follows on the same pair of endpoints. While the peer keeps the old connection in TIME-WAIT it challenges
    /// such a SYN; the exact RST that answers the challenge, or the end of its TIME-WAIT, lets the next SYN through. Where TIME-WAIT is
    /// kept here, a reopened connection begins beyond the old numbers whatever M says.
    pub(crate) fn initial_seq(&self, now: Instant, tuple: &Tuple) -> Seq {
        let m = (now.as_micros() / 4) as u32;
        Seq(m) + self.hash(Purpose::Isn, tuple, tuple.local_port) as u32
    }

    /// What the timestamps of a pair of endpoints begin with (RFC 7323 §5.4): one connection after another between them sees its clock go on, and nobody else
    /// learns how long it has run.
    #[cfg(feature = "timestamps")]
    pub(crate) fn timestamp_offset(&self, tuple: &Tuple) -> u32 {
        self.hash(Purpose::Timestamp, tuple, tuple.local_port) as u32
    }

    /// Where the search for a port towards this peer starts, modulo the number of ports.
    pub(crate) fn port_offset(&self, tuple: &Tuple) -> u32 {
        self.hash(Purpose::Port, tuple, 0) as u32
    }

    /// The SEQ and ACK of a probe to a peer that a restart of ours has lost: nothing that it expects, and nothing that others can guess. Each attempt
    /// has others, in case one falls into its windows; and every second attempt's ACK lies opposite the last one's, because there are peers
    /// (smoltcp) that pass over an ACK of what they count as acknowledged long ago, which half of all numbers are.
    #[cfg(feature = "journal")]
    pub(crate) fn probe_numbers(&self, tuple: &Tuple, attempt: u8) -> (Seq, Seq) {
        const OPPOSITE: u32 = 1 << 31;
        // Two attempts share what the first of them has for its ACK.
        let numbers =
            |attempt: u8| self.hash_of(u64::from(attempt) << 8 | Purpose::Probe as u64, tuple, tuple.local_port);
        let (seq, ack) = (numbers(attempt) as u32, (numbers(attempt & !1) >> 32) as u32);
        (Seq(seq), if attempt & 1 == 0 { Seq(ack) } else { Seq(ack) + OPPOSITE })
    }

    /// Where a connection is looked for. Our own address is left out: a host has few.
    ///
    /// Two tuples whose ports or remote addresses differ have the same hash for one key in 2^32 (multilinear, strongly universal).
    pub(crate) fn index_hash(&self, tuple: &Tuple) -> u32 {
        let ports = u32::from(tuple.local_port) << 16 | u32::from(tuple.remote_port);
        let times = |factor: u64, word: u32| factor.wrapping_mul(u64::from(word));
        let sum = match (self.index, *tuple.remote_addr.all_words()) {
            #[cfg(not(feature = "ipv6"))]
            ([sum, p, q], [addr]) => sum.wrapping_add(times(p, ports)).wrapping_add(times(q, addr)),
            #[cfg(feature = "ipv6")]
            ([sum, p, q, r, s, t], [a, b, c, d]) => sum
                .wrapping_add(times(p, ports))
                .wrapping_add(times(q, a))
                .wrapping_add(times(r, b))
                .wrapping_add(times(s, c))
                .wrapping_add(times(t, d)),
        };
        (sum >> 32) as u32
    }

    fn hash(&self, purpose: Purpose, tuple: &Tuple, local_port: u16) -> u64 {
        self.hash_of(purpose as u64, tuple, local_port)
    }

    fn hash_of(&self, purpose: u64, tuple: &Tuple, local_port: u16) -> u64 {
        let (local, remote) = (tuple.local_addr.words(), tuple.remote_addr.words());
        let mut words = [0; 2 + 2 * WORDS];
        words[0] = u32::from(local_port) << 16 | u32::from(tuple.remote_port);
        words[1] = purpose as u32;
        for (to, (local, remote)) in words[2..].as_chunks_mut::<2>().0.iter_mut().zip(local.iter().zip(remote)) {
            *to = [u32::from_be(*remote), u32::from_be(*local)];
        }
        sip_hash(&self.hasher, &words[..2 + 2 * local.len()])
    }
}
