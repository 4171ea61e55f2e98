//! packetdrill's family `nagle` (RFC 9293 §3.7.4), without those of its scripts that are about Linux's MSG_MORE and TCP_CORK.

use crate::script::{Opening, SACK, Script, play};

/// A client's greeting, the peer's answer, and a header that the body follows 30 ms later: two segments and a little.
fn request(s: &mut Script<'_>) {
    s.writes(517);
    s.expect(1..518);
    s.after(100);
    s.acks(518);
    s.sends(1..144, 518);
    s.reads(1..144);
    s.expect_ack(144, &[]);
    s.writes(51);
    s.expect(518..569);
    s.after(30);
    s.writes(2_054);
}

const CLIENT: Opening = Opening { is_active: true, ..SACK };

/// gtests/net/tcp/nagle/https_client.pkt
#[test]
fn nagle_off_lets_the_rest_of_the_body_go() {
    play(Opening { nagle: false, ..CLIENT }, |s| {
        request(s);
        s.expect(569..2_623);
        s.after(100);
        s.acks(2_623);
    });
}

/// The same with the algorithm, as the script's comment has it: the rest waits for the header's acknowledgment.
#[test]
fn nagle_on_keeps_the_rest_of_the_body_back() {
    play(CLIENT, |s| {
        request(s);
        s.expect(569..2_569);
        s.after(70);
        s.acks(569);
        s.expect(2_569..2_623);
        s.after(30);
        s.acks(2_623);
    });
}
