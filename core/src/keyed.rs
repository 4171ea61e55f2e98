//! Everything keyed: initial sequence numbers (RFC 6528, RFC 9293 §3.4.1), ephemeral ports (RFC 6056 §3.3.3), and the
//! hash that spreads connections over the index.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::config::SecretKey;
use crate::time::Instant;
use crate::wire::addr::Tuple;
use crate::wire::seq::Seq;

/// What a hash is used for, so that no use gives away another's values.
#[derive(Clone, Copy)]
enum Purpose {
    Isn = 1,
    Port = 2,
    Index = 3,
}

pub(crate) struct Keyed {
    hasher: SipHasher13,
}

impl Keyed {
    pub(crate) fn new(key: SecretKey) -> Keyed {
        Keyed { hasher: SipHasher13::new_with_key(key.bytes()) }
    }

    /// ISN = M + F(localip, localport, remoteip, remoteport, secretkey), M one step every 4 µs (RFC 6528 §3).
    ///
    /// M gains 250,000 numbers a second. A connection that sends more than that on average, 2 MB within 124 ms and then ends, has used
    /// numbers beyond the ISN that follows on the same pair of endpoints. While the peer keeps the old connection in TIME-WAIT it challenges
    /// such a SYN; the exact RST that answers the challenge, or the end of its TIME-WAIT, lets the next SYN through. Where TIME-WAIT is
    /// kept here, a reopened connection begins beyond the old numbers whatever M says.
    pub(crate) fn initial_seq(&self, now: Instant, tuple: &Tuple) -> Seq {
        let m = (now.as_micros() / 4) as u32;
        Seq(m) + self.hash(Purpose::Isn, tuple, true) as u32
    }

    /// Where the search for a port towards this peer starts, modulo the number of ports.
    pub(crate) fn port_offset(&self, tuple: &Tuple) -> u32 {
        self.hash(Purpose::Port, tuple, false) as u32
    }

    pub(crate) fn index_hash(&self, tuple: &Tuple) -> u32 {
        self.hash(Purpose::Index, tuple, true) as u32
    }

    fn hash(&self, purpose: Purpose, tuple: &Tuple, with_local_port: bool) -> u64 {
        let mut hasher = self.hasher;
        let local_port = if with_local_port { tuple.local_port } else { 0 };
        let ports = u64::from(local_port) << 16 | u64::from(tuple.remote_port) | (purpose as u64) << 32;
        hasher.write_u64(ports);
        for (local, remote) in tuple.local_addr.words().iter().zip(tuple.remote_addr.words()) {
            hasher.write_u64(u64::from(u32::from_be(*local)) << 32 | u64::from(u32::from_be(*remote)));
        }
        hasher.finish()
    }
}
