//! What the network says about a segment that it could not deliver (ICMPv6 errors, RFC 4443).

use crate::config::{IPV6_AND_TCP_HEADERS, MIN_MTU_IPV6};
use crate::seq::Seq;
use crate::tcb::Tuple;
use crate::tcp::Tcp;
use crate::time::Instant;
use crate::timeouts::send_again;
use crate::transfer::send;

impl Tcp<'_> {
    /// Takes in an error that quotes SEG.SEQ `seq` of the connection `tuple`; `mtu` is what the path carries, where that was the error.
    /// Says whether it is believed: only if that number is in flight, which a blind forger has to guess (RFC 5927 §4.1).
    ///
    /// Nothing ends for it. A path that carries less makes segments smaller, and what was too big is sent again. One that would carry less
    /// than every IPv6 link does is not believed (RFC 8201 §4).
    pub(crate) fn handle_undelivered(&mut self, now: Instant, tuple: &Tuple, seq: Seq, mtu: Option<u32>) -> bool {
        self.catch_up(now);
        let Some(i) = self.find_connection(tuple, self.keyed.index_hash(tuple)) else { return false };
        let c = &mut self.conns[usize::from(i)];
        let in_flight = c.tcb.snd_nxt.since(c.tcb.snd_una);
        if c.closed().is_some() || seq.since(c.tcb.snd_una) >= in_flight {
            return false;
        }
        let Some(mtu) = mtu else { return true };
        if mtu < u32::from(MIN_MTU_IPV6) {
            return false;
        }
        let mss = mtu - u32::from(IPV6_AND_TCP_HEADERS);
        if c.tcb.state().is_synchronized() && mss < u32::from(c.tcb.mss) {
            c.tcb.mss = mss as u16;
            // All that is out may have been as big.
            send_again(c);
            send::arm_retransmission(c, self.clock.ms(), &self.settings);
            self.settle(i);
        }
        true
    }
}
