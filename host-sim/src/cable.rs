//! The cable between our endpoint and the peer: perfect unless it is pulled or made hostile.
//!
//! A hostile cable loses, delays, duplicates, reorders and corrupts frames. What it does follows from a seed and the order of the frames alone.

use std::fmt;
use std::time::Duration;

use tcp_reset_core::{Control, Instant};

use crate::frame::{Congestion, Seen};
use crate::kernel::ETHERNET_HEADER_LEN;

/// The frame at which [`Hostility::pull`] takes effect: by then a transfer runs.
const PULL_AT_FRAME: u64 = 40;
/// How much longer than the longest delay a reordered frame takes.
const OVERTAKEN_BY: u32 = 3;

/// What a hostile cable does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hostility {
    /// Seed of every choice.
    pub seed: u64,
    /// Percentage of frames that are lost.
    pub loss: u8,
    /// Percentage of frames that arrive twice.
    pub duplicate: u8,
    /// Percentage of frames that later ones overtake.
    pub reorder: u8,
    /// Percentage of frames of which a bit is flipped, behind the IP header; what is no IP packet is left alone.
    pub corrupt: u8,
    /// Percentage of frames that are marked as a congested router does, where they may be (RFC 3168).
    pub mark: u8,
    /// The longest delay of a frame; each has its own.
    pub delay: Duration,
    /// How long the cable is pulled once, in the middle of the scenario.
    pub pull: Option<Duration>,
}

impl Hostility {
    /// Returns a moderate hostility: every fault happens several times in a transfer, and the transfer still ends soon.
    pub fn moderate(seed: u64) -> Hostility {
        Hostility {
            seed,
            loss: 2,
            duplicate: 3,
            reorder: 5,
            corrupt: 0,
            mark: 3,
            delay: Duration::from_millis(4),
            pull: None,
        }
    }
}

impl fmt::Display for Hostility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Hostility { seed, loss, duplicate, reorder, corrupt: _, mark, delay, pull } = self;
        let delay = delay.as_millis();
        write!(f, "seed {seed}: {loss} % lost, {duplicate} % twice, {reorder} % out of order, {mark} % marked")?;
        write!(f, ", up to {delay} ms late")?;
        match pull {
            Some(pull) => write!(f, ", pulled for {} s", pull.as_secs_f32()),
            None => Ok(()),
        }
    }
}

/// The end of the cable that a frame travels to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Toward {
    /// Our endpoint.
    Us,
    /// The peer.
    Peer,
}

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives once.
    Arrives,
    /// It arrives twice.
    ArrivesTwice,
    /// It never arrives.
    Lost,
}

struct InFlight {
    at: Instant,
    number: u64,
    bytes: Vec<u8>,
}

/// One direction.
#[derive(Default)]
struct Lane {
    is_pulled: bool,
    /// Segments with exactly these control bits are lost.
    lost: Option<Control>,
    in_flight: Vec<InFlight>,
    /// Frames that are not reordered arrive no earlier than this.
    last: Option<Instant>,
    /// Frames that were marked.
    marked: u64,
}

impl Lane {
    fn loses(&self, bytes: &[u8]) -> bool {
        let is_lost = |control| Seen::parse(bytes).is_some_and(|seen| seen.is(control));
        self.is_pulled || self.lost.is_some_and(is_lost)
    }
}

/// Both directions.
pub struct Cable {
    hostility: Option<Hostility>,
    /// How long a frame takes, without hostility.
    delay: Duration,
    rng: fastrand::Rng,
    to_us: Lane,
    to_peer: Lane,
    frames: u64,
    out_until: Option<Instant>,
}

impl Cable {
    /// Lays a cable, a perfect one without hostility.
    pub fn new(hostility: Option<Hostility>) -> Cable {
        let rng = fastrand::Rng::with_seed(hostility.map_or(0, |hostility| hostility.seed));
        Cable {
            hostility,
            delay: Duration::ZERO,
            rng,
            to_us: Lane::default(),
            to_peer: Lane::default(),
            frames: 0,
            out_until: None,
        }
    }

    /// Returns whether the cable does harm by itself.
    pub fn is_hostile(&self) -> bool {
        self.hostility.is_some()
    }

    /// Makes the cable perfect. Frames on their way arrive.
    pub fn make_perfect(&mut self) {
        self.hostility = None;
        self.delay = Duration::ZERO;
        self.out_until = None;
        for toward in [Toward::Us, Toward::Peer] {
            self.set_pulled(toward, false);
            self.set_lost(toward, None);
        }
    }

    /// Makes the cable long: so much each way. A hostile one has delays of its own.
    pub fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// Cuts one direction, or mends it.
    pub fn set_pulled(&mut self, toward: Toward, is_pulled: bool) {
        self.lane(toward).is_pulled = is_pulled;
    }

    /// Loses each segment of one direction that has exactly these control bits, PSH aside; or no longer any.
    pub fn set_lost(&mut self, toward: Toward, control: Option<Control>) {
        self.lane(toward).lost = control;
    }

    fn lane(&mut self, toward: Toward) -> &mut Lane {
        match toward {
            Toward::Us => &mut self.to_us,
            Toward::Peer => &mut self.to_peer,
        }
    }

    /// Returns how many frames were marked on their way to an end.
    pub fn marked(&self, toward: Toward) -> u64 {
        match toward {
            Toward::Us => self.to_us.marked,
            Toward::Peer => self.to_peer.marked,
        }
    }

    /// Takes a frame at one end and decides what becomes of it.
    pub fn carry(&mut self, now: Instant, toward: Toward, bytes: &[u8]) -> Fate {
        self.frames += 1;
        if self.lane(toward).loses(bytes) || self.is_out(now) {
            return Fate::Lost;
        }
        let Some(hostility) = self.hostility else {
            self.put(now + self.delay, toward, bytes);
            return Fate::Arrives;
        };
        if self.happens(hostility.loss) {
            return Fate::Lost;
        }
        let mut marked = Vec::new();
        let bytes = if hostility.mark > 0 && self.happens(hostility.mark) {
            marked.extend(bytes);
            self.lane(toward).marked += u64::from(Congestion::mark(&mut marked));
            &marked
        } else {
            bytes
        };
        match Cable::first_to_corrupt(bytes).filter(|_| hostility.corrupt > 0) {
            Some(first) if self.happens(hostility.corrupt) => {
                let mut bytes = bytes.to_vec();
                let at = self.rng.usize(first..bytes.len());
                bytes[at] ^= 1 << self.rng.u8(..8);
                self.put_late(now, toward, &bytes, &hostility);
            }
            Some(_) | None => self.put_late(now, toward, bytes, &hostility),
        }
        if self.happens(hostility.duplicate) {
            self.put_late(now, toward, bytes, &hostility);
            return Fate::ArrivesTwice;
        }
        Fate::Arrives
    }

    /// Where the packet's payload begins, which its own checksum covers. Addresses that ARP tells have none.
    fn first_to_corrupt(frame: &[u8]) -> Option<usize> {
        let packet = frame.get(ETHERNET_HEADER_LEN..)?;
        let header = match packet.first()? {
            first if frame[12..14] == [0x08, 0x00] => usize::from(first & 0x0f) * 4,
            _ if frame[12..14] == [0x86, 0xdd] => 40,
            _ => return None,
        };
        Some(ETHERNET_HEADER_LEN + header).filter(|first| *first < frame.len())
    }

    /// The pull that the hostility asks for begins with a frame and ends with time.
    fn is_out(&mut self, now: Instant) -> bool {
        if let Some(pull) = self.hostility.and_then(|hostility| hostility.pull)
            && self.frames == PULL_AT_FRAME
        {
            self.out_until = Some(now + pull);
        }
        self.out_until.is_some_and(|until| now < until)
    }

    fn happens(&mut self, percent: u8) -> bool {
        self.rng.u8(0..100) < percent
    }

    fn put_late(&mut self, now: Instant, toward: Toward, bytes: &[u8], hostility: &Hostility) {
        let most = u64::try_from(hostility.delay.as_micros()).unwrap_or(u64::MAX);
        let mut at = now + Duration::from_micros(self.rng.u64(0..=most));
        if self.happens(hostility.reorder) {
            at = at + hostility.delay * OVERTAKEN_BY;
        } else {
            let lane = self.lane(toward);
            at = lane.last.map_or(at, |last| last.max(at));
            lane.last = Some(at);
        }
        self.put(at, toward, bytes);
    }

    fn put(&mut self, at: Instant, toward: Toward, bytes: &[u8]) {
        let number = self.frames;
        self.lane(toward).in_flight.push(InFlight { at, number, bytes: bytes.to_vec() });
    }

    /// Hands out the next frame that has arrived.
    pub fn take(&mut self, now: Instant, toward: Toward) -> Option<Vec<u8>> {
        let in_flight = &mut self.lane(toward).in_flight;
        let arrived = in_flight.iter().enumerate().filter(|(_, frame)| frame.at <= now);
        let (place, _) = arrived.min_by_key(|(_, frame)| (frame.at, frame.number))?;
        Some(in_flight.remove(place).bytes)
    }

    /// Returns when the next frame arrives at either end.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.to_us.in_flight.iter().chain(&self.to_peer.in_flight).map(|frame| frame.at).min()
    }
}

#[cfg(test)]
mod tests {
    use tcp_reset_core::Seq;

    use super::*;
    use crate::family::Family;

    fn fates(hostility: Hostility) -> Vec<Fate> {
        let mut cable = Cable::new(Some(hostility));
        (0..1_000).map(|i| cable.carry(Instant::from_micros(i * 1_000), Toward::Peer, &[])).collect()
    }

    #[test]
    fn the_same_seed_does_the_same_harm() {
        let harm = |seed| fates(Hostility::moderate(seed));
        assert_eq!(harm(7), harm(7));
        assert_ne!(harm(7), harm(8));
        assert!(harm(7).contains(&Fate::Lost) && harm(7).contains(&Fate::ArrivesTwice));
    }

    #[test]
    fn a_perfect_cable_delivers_at_once_and_in_order() {
        let mut cable = Cable::new(None);
        for byte in 0..10 {
            assert_eq!(cable.carry(Instant::ZERO, Toward::Us, &[byte]), Fate::Arrives);
        }
        for byte in 0..10 {
            assert_eq!(cable.take(Instant::ZERO, Toward::Us), Some(vec![byte]));
        }
        assert_eq!(cable.next_arrival(), None);
    }

    #[test]
    fn a_long_cable_delivers_late_and_in_order() {
        let mut cable = Cable::new(None);
        cable.set_delay(Duration::from_millis(5));
        for byte in 0..2 {
            cable.carry(Instant::ZERO, Toward::Us, &[byte]);
        }
        assert_eq!(
            (cable.take(Instant::from_micros(4_999), Toward::Us), cable.next_arrival()),
            (None, Some(Instant::from_millis(5)))
        );
        let arrived: Vec<_> = std::iter::from_fn(|| cable.take(Instant::from_millis(5), Toward::Us)).collect();
        assert_eq!(arrived, [[0], [1]]);
    }

    #[test]
    fn some_frames_are_overtaken() {
        let mut cable = Cable::new(Some(Hostility { reorder: 20, loss: 0, ..Hostility::moderate(1) }));
        for byte in 0..100 {
            cable.carry(Instant::from_micros(u64::from(byte) * 500), Toward::Us, &[byte]);
        }
        let end = Instant::from_micros(1_000_000);
        let arrived: Vec<_> = std::iter::from_fn(|| cable.take(end, Toward::Us)).collect();
        assert!(arrived.len() >= 100 && !arrived.is_sorted());
    }

    #[test]
    fn a_pulled_cable_loses_everything_in_that_direction_alone() {
        let mut cable = Cable::new(None);
        cable.set_pulled(Toward::Peer, true);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Peer, &[1]), Fate::Lost);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Us, &[1]), Fate::Arrives);
        cable.set_pulled(Toward::Peer, false);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Peer, &[1]), Fate::Arrives);
    }

    #[test]
    fn segments_of_the_control_bits_to_lose_are_lost_until_told_otherwise() {
        let at = |n| (Family::Ipv4.host(n), 1).into();
        let segment = |control| {
            let seen =
                Seen { from: at(1), to: at(2), seq: Seq(0), ack: Seq(0), control, wnd: 0, len: 0, timestamps: None };
            seen.forge([2; 6], [4; 6])
        };
        let mut cable = Cable::new(None);
        cable.set_lost(Toward::Us, Some(Control::ACK));
        assert_eq!(cable.carry(Instant::ZERO, Toward::Us, &segment(Control::ACK)), Fate::Lost);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Us, &segment(Control::ACK | Control::PSH)), Fate::Lost);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Us, &segment(Control::ACK | Control::FIN)), Fate::Arrives);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Peer, &segment(Control::ACK)), Fate::Arrives);
        cable.set_lost(Toward::Us, None);
        assert_eq!(cable.carry(Instant::ZERO, Toward::Us, &segment(Control::ACK)), Fate::Arrives);
    }

    #[test]
    fn the_pull_of_a_hostile_cable_ends_with_its_time() {
        let pull = Some(Duration::from_millis(100));
        let lost = fates(Hostility { loss: 0, pull, ..Hostility::moderate(1) });
        let lost = lost.iter().filter(|fate| **fate == Fate::Lost).count();
        assert_eq!(lost, 100, "a frame every millisecond for 100 ms");
    }

    #[test]
    fn a_corrupt_frame_differs_by_a_bit_behind_the_ip_header() {
        let hostility = Hostility { loss: 0, duplicate: 0, reorder: 0, corrupt: 50, ..Hostility::moderate(7) };
        let mut cable = Cable::new(Some(hostility));
        let ipv4 = [&[0; 12][..], &[0x08, 0x00, 0x45], &[0; 60]].concat();
        let ipv6 = [&[0; 12][..], &[0x86, 0xdd, 0x60], &[0; 60]].concat();
        let arp = [&[0; 12][..], &[0x08, 0x06], &[0; 60]].concat();
        for (frame, payload) in [(&ipv4, 34), (&ipv6, 54), (&arp, arp.len())] {
            let mut changed = 0;
            for i in 0..200 {
                cable.carry(Instant::from_micros(i), Toward::Us, frame);
                let late = Instant::from_micros(1_000_000_000);
                let arrived = cable.take(late, Toward::Us).unwrap();
                let differences = || frame.iter().zip(&arrived).map(|(a, b)| (a ^ b).count_ones());
                assert!(differences().take(payload).sum::<u32>() == 0 && differences().sum::<u32>() <= 1);
                changed += differences().sum::<u32>();
            }
            let expected = if payload < frame.len() { 60..140 } else { 0..1 };
            assert!(expected.contains(&changed), "{changed} of 200");
        }
    }
}
