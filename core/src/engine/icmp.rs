//! What the network says about a segment that it could not deliver (ICMP errors, RFC 792, RFC 4443).

use crate::config::{IPV4_AND_TCP_HEADERS, IPV6_AND_TCP_HEADERS, MIN_MTU_IPV6, MIN_PATH_MTU_IPV4};
use crate::connection::{loss, send};
use crate::engine::tcp::Tcp;
use crate::time::Instant;
use crate::wire::addr::{Addr, Tuple};
use crate::wire::seq::Seq;

impl Tcp<'_> {
    /// Takes in an error that quotes SEG.SEQ `seq` of the connection `tuple`; `mtu` is what the path carries, where that was the error.
    /// Returns whether it is believed: only if that number is in flight, which a blind forger has to guess (RFC 5927 §4.1).
    ///
    /// Nothing ends for it. A path that carries less makes segments smaller, and what was too big is sent again (RFC 1191 §6.4, RFC 8201
    /// §5.4). "Don't fragment" stays set over IPv4: fragments that get lost or mixed up are found by a 16-bit checksum alone (RFC 4963). A
    /// path that would carry less than every link does is not believed: forged, it would make each byte cost a header.
    pub(crate) fn handle_undelivered(&mut self, now: Instant, tuple: &Tuple, seq: Seq, mtu: Option<u32>) -> bool {
        self.catch_up(now);
        let Some(i) = self.connections.find(tuple, self.keyed.index_hash(tuple)) else { return false };
        let c = &mut self.connections[i];
        let in_flight = c.tcb.snd_nxt.since(c.tcb.snd_una);
        if c.is_over() || seq.since(c.tcb.snd_una) >= in_flight {
            return false;
        }
        let Some(mtu) = mtu else { return true };
        let Some(mss) = mss_on_path(tuple.remote_addr, mtu) else { return false };
        let mss = mss.saturating_sub(c.tcb.stamps.wire_len().into());
        if c.tcb.state().is_synchronized() && mss < u32::from(c.tcb.mss) {
            c.tcb.mss = mss as u16;
            // All that is out may have been as big.
            loss::send_all_again(c, false);
            send::arm_retransmission(c, self.clock.ms(), &self.settings);
            self.settle(i);
        }
        true
    }
}

/// The payload that fits into a path's packets; `None` where no path carries so little.
fn mss_on_path(peer: Addr, mtu: u32) -> Option<u32> {
    let (least, headers) = match peer.is_v4() {
        true => (MIN_PATH_MTU_IPV4, IPV4_AND_TCP_HEADERS),
        false => (MIN_MTU_IPV6, IPV6_AND_TCP_HEADERS),
    };
    (mtu >= u32::from(least)).then(|| mtu - u32::from(headers))
}
