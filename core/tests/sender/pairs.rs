//! Two engines of ours and a wire that loses nothing: what one sends, the other acknowledges before anything is sent again.

use std::time::Duration;

use tcp_reset_core::{Config, LinkAddr, ListenOptions, StreamOptions};

use crate::support::family::Family;
use crate::support::rig::{Engine, LargeStore, Pair, START, key, peer, us};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// One write of so many bytes at a time; the receiver's application reads so long after it. Returns how much was sent again, or probed.
fn sent_again(
    config: Config,
    sizes: impl Iterator<Item = usize>,
    options: StreamOptions,
    reads_after: Duration,
) -> u32 {
    let family = Family::V4;
    let (mut left, mut right) = (Box::new(LargeStore::new()), Box::new(LargeStore::new()));
    let a = Engine::with(&mut *left, config, key(1), START);
    let b = Engine::with(&mut *right, config, key(2), START);
    let mut pair = Pair::new(family, a, b);
    let listen = ListenOptions { stream: options, ..ListenOptions::default() };
    let listener = pair.a.tcp.listen(us(family), listen).unwrap();
    let (local, remote) = (peer(family), us(family));
    let at_b = pair.b.tcp.connect(pair.b.now, local, remote, Some(LinkAddr::default()), options).unwrap();
    pair.b.drain();
    pair.carry();
    let at_a = pair.a.tcp.accept(pair.a.now, listener).unwrap();
    pair.a.drain();
    let mut buf = [0; 8_192];
    for size in sizes {
        assert_eq!(pair.b.tcp.send(pair.b.now, at_b, &vec![7; size]), Ok(size));
        pair.b.drain();
        pair.wait(reads_after);
        for _ in 0..2 {
            while pair.a.tcp.recv(pair.a.now, at_a, &mut buf).is_ok() {}
            pair.a.drain();
            pair.wait(ms(1_000));
        }
        assert_eq!(pair.b.tcp.status(at_b).unwrap().unacknowledged, 0);
    }
    pair.b.tcp.counters().retransmissions
}

#[test]
fn writes_of_any_size_are_acknowledged_before_they_are_sent_again() {
    for mss in [200, 1_460] {
        for delayed_ack in [0, 40, 199] {
            for nagle in [false, true] {
                let config = Config { mss: Some(mss), delayed_ack: ms(delayed_ack), ..Config::default() };
                let options = StreamOptions { rx_buffer: 8_192, tx_buffer: 8_192, nagle, ..StreamOptions::default() };
                for reads_after in [0, 5, 300] {
                    let again = sent_again(config, (1..8_000).step_by(97), options, ms(reads_after));
                    assert_eq!(again, 0, "{mss} {delayed_ack} {nagle} {reads_after}");
                }
            }
        }
    }
}
