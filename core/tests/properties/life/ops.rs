//! What happens in a life: calls of the applications, segments carried or forged, time that passes.

use proptest::prelude::*;
use std::time::Duration;

use tcp_reset_core::{Config, RstPolicy};

use crate::support::family::Family;
use crate::support::world::{ACK, FIN, RST, SYN, URG};

/// The families that a life's hosts speak, one or both.
pub(crate) type Stack = &'static [Family];

pub(crate) fn alone(family: Family) -> Stack {
    match family {
        Family::V4 => &[Family::V4],
        Family::V6 => &[Family::V6],
    }
}

pub(crate) fn stack() -> impl Strategy<Value = Stack> {
    let mut all: Vec<Stack> = Family::ALL.iter().map(|&family| alone(family)).collect();
    if Family::ALL.len() > 1 {
        all.push(Family::ALL);
    }
    prop::sample::select(all)
}

/// What an application does. `family` chooses among those of the host.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Listen { family: u8, port: u8, any: bool, sizes: (u8, u8), backlog: u8, half_open: u8, refuse: bool },
    Unlisten(u8),
    Connect { family: u8, to: u8, port: u8, sizes: (u8, u8), link_addr: bool },
    Accept(u8),
    Send(u8, u16),
    Recv(u8, u16),
    Shutdown(u8),
    Close(u8),
    Abort(u8),
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// On host A, or on host B.
    Call(bool, Call),
    /// Moves segments between the hosts: how many, and what becomes of them.
    Carry { count: u8, fate: u8 },
    /// A segment to A that nobody honest sent, at numbers near the live ones.
    Forge { whom: u8, flags: u8, seq: u8, ack: u8, wnd: u8, text: u8, extra: u8 },
    /// Time passes; each deadline on the way is served, or only the last moment.
    Wait { how_long: u8, in_steps: bool },
    /// The transmitter drops that many of the next segments, or has too small a buffer for them, or puts them off.
    Busy { drops: u8, is_small: bool, defer: bool },
    /// The outputs of that many steps stay where they are.
    Hold(u8),
}

/// Flags of forged segments.
pub(crate) const FLAGS: [u8; 20] = [
    ACK,
    ACK,
    ACK,
    ACK,
    ACK | 8,
    ACK | 8,
    SYN,
    SYN,
    SYN | ACK,
    RST,
    RST | ACK,
    FIN | ACK,
    FIN | ACK,
    FIN,
    0,
    URG | ACK,
    SYN | FIN,
    SYN | RST,
    0x3f,
    SYN | FIN | ACK,
];

pub(crate) const SIZES: [usize; 10] = [64, 64, 64, 128, 256, 512, 1_024, 100, 0, 65_536];

pub(crate) const LENGTHS: [usize; 8] = [0, 1, 2, 10, 63, 64, 200, 1_500];

pub(crate) const WAITS_MS: [u64; 16] =
    [0, 1, 39, 40, 41, 200, 999, 1_000, 1_001, 3_000, 10_000, 30_000, 61_000, 101_000, 700_000, 800_000_000];

pub(crate) fn call() -> impl Strategy<Value = Call> {
    let sizes = || (0_u8..12, 0_u8..12);
    prop_oneof![
        2 => (0_u8..2, 0_u8..3, any::<bool>(), sizes(), 0_u8..4, 0_u8..4, any::<bool>()).prop_map(
            |(family, port, any, sizes, backlog, half_open, refuse)| Call::Listen {
                family, port, any, sizes, backlog, half_open, refuse
            }
        ),
        1 => any::<u8>().prop_map(Call::Unlisten),
        3 => (0_u8..2, 0_u8..12, 0_u8..4, sizes(), prop::bool::weighted(0.8)).prop_map(
            |(family, to, port, sizes, link_addr)| Call::Connect { family, to, port, sizes, link_addr }
        ),
        4 => any::<u8>().prop_map(Call::Accept),
        6 => (any::<u8>(), 0_u16..8).prop_map(|(h, n)| Call::Send(h, n)),
        6 => (any::<u8>(), 0_u16..8).prop_map(|(h, n)| Call::Recv(h, n)),
        2 => any::<u8>().prop_map(Call::Shutdown),
        3 => any::<u8>().prop_map(Call::Close),
        1 => any::<u8>().prop_map(Call::Abort),
    ]
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (prop::bool::weighted(0.4), call()).prop_map(|(on_b, call)| Op::Call(on_b, call)),
        6 => (1_u8..9, 0_u8..12).prop_map(|(count, fate)| Op::Carry { count, fate }),
        10 => (any::<u8>(), 0_u8..20, 0_u8..16, 0_u8..12, 0_u8..8, 0_u8..8, any::<u8>()).prop_map(
            |(whom, flags, seq, ack, wnd, text, extra)| Op::Forge {
                whom, flags, seq, ack, wnd, text, extra
            }
        ),
        3 => (0_u8..16, any::<bool>())
            .prop_map(|(how_long, in_steps)| Op::Wait { how_long, in_steps }),
        1 => (0_u8..4, any::<bool>(), any::<bool>())
            .prop_map(|(drops, is_small, defer)| Op::Busy { drops, is_small, defer }),
        1 => (1_u8..5).prop_map(Op::Hold),
    ]
}

/// The last family of a stack has a listener on all of its addresses; over IPv6 that is on those of both.
pub(crate) fn listen() -> Call {
    Call::Listen { family: 1, port: 0, any: true, sizes: (0, 0), backlog: 3, half_open: 3, refuse: false }
}

pub(crate) fn dial(family: u8, port: u8) -> Call {
    Call::Connect { family, to: 0, port, sizes: (0, 0), link_addr: true }
}

/// Most lives begin with somebody who listens and somebody who connects, or with two who connect to each other.
pub(crate) fn script() -> impl Strategy<Value = Vec<Op>> {
    let dial = |port| dial(0, port);
    let listen = listen();
    let carry = Op::Carry { count: 3, fate: 0 };
    let met = vec![Op::Call(false, listen), Op::Call(true, dial(0)), carry.clone(), Op::Call(false, Call::Accept(0))];
    let crossed = vec![Op::Call(false, dial(1)), Op::Call(true, dial(1))];
    let mut crossed_and_open = crossed.clone();
    crossed_and_open.push(carry);
    let begin = prop::sample::select(vec![Vec::new(), met.clone(), met, crossed, crossed_and_open]);
    (begin, prop::collection::vec(op(), 1..100)).prop_map(|(mut ops, rest)| {
        ops.extend(rest);
        ops
    })
}

pub(crate) fn config() -> impl Strategy<Value = Config> {
    (any::<bool>(), any::<bool>(), 0_u8..4, any::<bool>()).prop_map(|(delayed, tiny_mss, limit, policy)| Config {
        mss: Some(if tiny_mss { 64 } else { 1_460 }),
        delayed_ack: Duration::from_millis(if delayed { 40 } else { 0 }),
        challenge_limit: [0, 1, 10, 255][usize::from(limit)],
        rst_policy: RstPolicy { at_last_ack_sent: policy, before_fin: policy },
        ..Config::default()
    })
}
