//! The path between two ends: a rate, a delay, a drop-tail queue, and harm that follows from a seed.
//!
//! It has no clock: `cargo goodput` runs it in virtual time, `host-sim measure --goodput` in real time. The n-th packet of a direction meets the
//! same fate in both, whichever stack sends it.

pub mod cell;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Virtual time since the start of a transfer.
pub type Time = Duration;

/// The longest packet, in bytes.
pub const MTU: usize = 1_500;
/// Payload of a full segment, in bytes.
pub const MSS: usize = MTU - 40;

/// The default queue holds at least so many packets: twice the largest buffer, which a stack without congestion control sends at once when a
/// retransmission closes a gap before it.
const MIN_QUEUE: usize = 128;

const PPM: u64 = 1_000_000;

/// Parameters of the path, the same in both directions.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Conditions {
    /// Rate of the bottleneck in bit/s, for IP packets.
    pub rate: u64,
    /// Round-trip time without queueing and serialization.
    pub rtt: Duration,
    /// Packets the queue holds, that in transmission included; `None`: the bandwidth-delay product, at least 128.
    pub queue: Option<usize>,
    /// Packets lost, per million.
    pub loss: u32,
    /// Packets delayed by a further quarter RTT, per million.
    pub reorder: u32,
    /// Packets that arrive twice, per million.
    pub duplicate: u32,
    /// Packets that arrive changed, per million.
    pub corrupt: u32,
    /// How they are changed.
    pub corruption: Corruption,
}

/// What corruption does to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corruption {
    /// One bit is flipped, which every checksum detects.
    Bit,
    /// Two words of the payload change places, which no Internet checksum detects.
    SwappedWords,
}

impl Conditions {
    /// 100 Mbit/s and 20 ms without any harm.
    pub const DEFAULT: Conditions = Conditions {
        rate: 100_000_000,
        rtt: Duration::from_millis(20),
        queue: None,
        loss: 0,
        reorder: 0,
        duplicate: 0,
        corrupt: 0,
        corruption: Corruption::Bit,
    };

    /// Returns the packets the queue holds.
    fn queue(&self) -> usize {
        let bits = u128::from(self.rate) * self.rtt.as_nanos() / 1_000_000_000;
        self.queue.unwrap_or_else(|| MIN_QUEUE.max(bits.div_ceil(8 * MTU as u128) as usize))
    }

    /// Returns whether seeds make a difference.
    #[must_use]
    pub fn is_random(&self) -> bool {
        let Conditions { loss, reorder, duplicate, corrupt, rate: _, rtt: _, queue: _, corruption: _ } = *self;
        [loss, reorder, duplicate, corrupt].iter().any(|ppm| *ppm > 0)
    }
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It found the queue full.
    QueueFull,
    /// It was lost on the way.
    Lost,
    /// It arrives.
    Arrives {
        /// When.
        at: Time,
        /// A further quarter RTT late.
        is_late: bool,
        /// And a copy with it.
        is_twice: bool,
        /// Changed.
        is_corrupt: bool,
    },
}

/// An end of the path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Opens the connection and sends.
    Sender,
    /// Accepts the connection and reads.
    Receiver,
}

/// A drop-tail queue before a medium that carries one packet at a time.
#[derive(Clone, Debug)]
pub struct Bottleneck {
    rate: u64,
    queue: usize,
    /// When the packets in the queue have left it.
    departures: VecDeque<Time>,
}

impl Bottleneck {
    /// Makes one of so many bit/s whose queue holds so many packets, that in transmission included.
    #[must_use]
    pub fn new(rate: u64, queue: usize) -> Bottleneck {
        Bottleneck { rate: rate.max(1), queue, departures: VecDeque::new() }
    }

    /// Returns when a packet of `len` bytes has left the queue; `None` if it finds no place in it.
    pub fn send(&mut self, now: Time, len: usize) -> Option<Time> {
        while self.departures.pop_front_if(|at| *at <= now).is_some() {}
        if self.departures.len() >= self.queue {
            return None;
        }
        let start = self.departures.back().map_or(now, |last| now.max(*last));
        let departure = start + serialization(len, self.rate);
        self.departures.push_back(departure);
        Some(departure)
    }
}

/// Both directions, each with a bottleneck of its own.
pub struct Path {
    conditions: Conditions,
    to_receiver: Lane,
    to_sender: Lane,
}

struct Lane {
    rng: fastrand::Rng,
    bottleneck: Bottleneck,
    in_flight: BinaryHeap<Reverse<InFlight>>,
    packets: u64,
    lost: u64,
}

/// Ordered by arrival, and by number where two arrive at once.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct InFlight {
    at: Time,
    number: u64,
    packet: Vec<u8>,
}

/// What the seed says of one packet, drawn for each whether it matters or not.
struct Draw {
    is_lost: bool,
    is_late: bool,
    is_twice: bool,
    is_corrupt: bool,
    place: usize,
}

impl Path {
    /// Lays a path whose harm follows from the seed.
    #[must_use]
    pub fn new(conditions: Conditions, seed: u64) -> Path {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let bottleneck = Bottleneck::new(conditions.rate, conditions.queue());
        let mut lane = || Lane {
            rng: seeds.fork(),
            bottleneck: bottleneck.clone(),
            in_flight: BinaryHeap::new(),
            packets: 0,
            lost: 0,
        };
        Path { conditions, to_receiver: lane(), to_sender: lane() }
    }

    fn lane(&mut self, from: End) -> &mut Lane {
        match from {
            End::Sender => &mut self.to_receiver,
            End::Receiver => &mut self.to_sender,
        }
    }

    /// Takes a packet in at one end. What does not arrive is returned, for its buffer.
    pub fn carry(&mut self, now: Time, from: End, packet: Vec<u8>) -> (Fate, Option<Vec<u8>>) {
        let conditions = self.conditions;
        self.lane(from).carry(now, packet, &conditions)
    }

    /// Returns when the next packet arrives, and at which end it was sent.
    pub fn next_arrival(&self) -> Option<(Time, End)> {
        let lanes = [(&self.to_receiver, End::Sender), (&self.to_sender, End::Receiver)];
        let arrivals = lanes.into_iter().filter_map(|(lane, from)| Some((lane.in_flight.peek()?.0.at, from)));
        arrivals.min_by_key(|(at, _)| *at)
    }

    /// Hands out the next packet that was sent at an end.
    pub fn take(&mut self, from: End) -> Option<Vec<u8>> {
        self.lane(from).in_flight.pop().map(|Reverse(in_flight)| in_flight.packet)
    }

    /// Returns the packets sent at an end so far, and how many of them were lost.
    pub fn count(&mut self, from: End) -> (u64, u64) {
        let lane = self.lane(from);
        (lane.packets, lane.lost)
    }
}

impl Lane {
    fn carry(&mut self, now: Time, mut packet: Vec<u8>, conditions: &Conditions) -> (Fate, Option<Vec<u8>>) {
        let draw = Draw::new(&mut self.rng, conditions);
        self.packets += 1;
        let Some(departure) = self.bottleneck.send(now, packet.len()) else {
            self.lost += 1;
            return (Fate::QueueFull, Some(packet));
        };
        if draw.is_lost {
            self.lost += 1;
            return (Fate::Lost, Some(packet));
        }
        let late = if draw.is_late { conditions.rtt / 4 } else { Duration::ZERO };
        let at = departure + conditions.rtt / 2 + late;
        if draw.is_corrupt {
            conditions.corruption.change(&mut packet, draw.place);
        }
        if draw.is_twice {
            self.put(at, 2 * self.packets, packet.clone());
        }
        self.put(at, 2 * self.packets + 1, packet);
        (Fate::Arrives { at, is_late: draw.is_late, is_twice: draw.is_twice, is_corrupt: draw.is_corrupt }, None)
    }

    fn put(&mut self, at: Time, number: u64, packet: Vec<u8>) {
        self.in_flight.push(Reverse(InFlight { at, number, packet }));
    }
}

impl Draw {
    fn new(rng: &mut fastrand::Rng, conditions: &Conditions) -> Draw {
        let mut happens = |ppm: u32| rng.u64(0..PPM) < ppm.into();
        Draw {
            is_lost: happens(conditions.loss),
            is_late: happens(conditions.reorder),
            is_twice: happens(conditions.duplicate),
            is_corrupt: happens(conditions.corrupt),
            place: rng.usize(..),
        }
    }
}

impl Corruption {
    fn change(self, packet: &mut [u8], place: usize) {
        match self {
            Corruption::Bit => {
                let bit = place % (8 * packet.len());
                packet[bit / 8] ^= 1 << (bit % 8);
            }
            Corruption::SwappedWords => {
                // Both within a full segment's payload; where words are the same, nothing changes.
                if packet.len() == MTU {
                    packet.swap(100, 200);
                    packet.swap(101, 201);
                }
            }
        }
    }
}

/// Returns how long a packet is in transmission.
fn serialization(len: usize, rate: u64) -> Duration {
    Duration::from_nanos((8 * len as u64 * 1_000_000_000).div_ceil(rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(conditions: Conditions, packets: usize) -> Vec<Time> {
        let mut path = Path::new(conditions, 1);
        for _ in 0..packets {
            path.carry(Time::ZERO, End::Sender, vec![0; MTU]);
        }
        std::iter::from_fn(|| {
            let (at, from) = path.next_arrival()?;
            path.take(from).map(|_| at)
        })
        .collect()
    }

    #[test]
    fn packets_arrive_at_the_rate_after_half_a_round_trip() {
        let arrived = arrivals(Conditions::DEFAULT, 3);
        assert_eq!(arrived, [10_120, 10_240, 10_360].map(Duration::from_micros));
    }

    #[test]
    fn what_the_queue_does_not_hold_is_lost() {
        assert_eq!(arrivals(Conditions { queue: Some(2), ..Conditions::DEFAULT }, 5).len(), 2);
        // 250,000 bytes are on the way at 100 Mbit/s and 20 ms.
        assert_eq!(arrivals(Conditions::DEFAULT, 200).len(), 167);
    }

    #[test]
    fn the_same_seed_harms_the_same_packets_whenever_and_whatever_they_are() {
        let conditions = Conditions { loss: 100_000, reorder: 100_000, duplicate: 50_000, ..Conditions::DEFAULT };
        let harm = |seed, interval: Duration, len| -> Vec<_> {
            let mut path = Path::new(conditions, seed);
            let mut fate = |n: u32, from| match path.carry(interval * n, from, vec![0; len]).0 {
                Fate::QueueFull => panic!("the queue is long enough"),
                Fate::Lost => None,
                Fate::Arrives { at: _, is_late, is_twice, is_corrupt } => Some((is_late, is_twice, is_corrupt)),
            };
            (0..500).map(|n| [End::Sender, End::Receiver].map(|from| fate(n, from))).collect()
        };
        let (millisecond, second) = (Duration::from_millis(1), Duration::from_secs(1));
        assert_eq!(harm(7, millisecond, MTU), harm(7, second, 40));
        assert_ne!(harm(7, millisecond, MTU), harm(8, millisecond, MTU));
    }

    #[test]
    fn harm_is_as_frequent_as_asked_for() {
        let harmed = Conditions { queue: Some(usize::MAX), ..Conditions::DEFAULT };
        let lost = 100_000 - arrivals(Conditions { loss: 30_000, ..harmed }, 100_000).len();
        assert!((2_800..3_200).contains(&lost), "{lost} lost");
        let twice = arrivals(Conditions { duplicate: 30_000, ..harmed }, 100_000).len() - 100_000;
        assert!((2_800..3_200).contains(&twice), "{twice} twice");
        let late = arrivals(Conditions { reorder: 1_000_000, ..harmed }, 1);
        assert_eq!(late, [Duration::from_micros(15_120)]);
    }
}
