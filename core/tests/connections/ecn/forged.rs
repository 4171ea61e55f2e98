//! What the two flags and a mark may not bring about: nothing at all where the ends have not agreed, nor in what is not acceptable (§6.1.1, §6.1.5).

use super::*;
use crate::on_with;
use crate::support::rig::reach::{self, Script};
use crate::support::rig::{Raw, quick_config, small_listener, stream as bytes};
use crate::support::world::Rng;

/// Where a conversation begins.
const BEGINNINGS: [Script; 16] = [
    |_| {},
    |l| l.listen(small_listener()),
    reach::dial,
    reach::knock,
    reach::cross,
    reach::open,
    reach::accepted,
    reach::text_in_flight,
    reach::send_window_closed,
    reach::fin_wait_1,
    reach::fin_wait_2,
    reach::close_wait,
    reach::closing,
    reach::last_ack,
    reach::time_wait,
    reach::fin_wait_1_gone,
];

const CONTROLS: [u8; 8] = [ACK, ACK, ACK, ACK | FIN, RST, SYN, SYN | ACK, 0];

/// A number near `number`, or far from it.
fn near(rng: &mut Rng, number: u32) -> u32 {
    let distance = [0, 0, 0, 0, 1, -1, 10, -10, 40, 64, -64, 1_000, -70_000, 0x7000_0000];
    number.wrapping_add_signed(rng.pick(&distance))
}

/// What happened, written out: verdicts, everything sent, and what the application can learn.
type Trace = Vec<String>;

fn note(l: &Rig<'_>, trace: &mut Trace) {
    trace.push(format!("{:?} {:?} {:?} {:?}", l.engine.sent, l.engine.deadline, l.status(), l.engine.events.len()));
}

/// The application, the clock or the peer does something.
fn act(l: &mut Rig<'_>, rng: &mut Rng, noise: &mut impl FnMut(u8) -> (u8, bool), trace: &mut Trace) {
    match rng.below(10) {
        0 => {
            let len = 1 + rng.below(20) as u32;
            if let Some(handle) = l.handle {
                let _ = l.engine.tcp.send(l.engine.now, handle, &bytes(0, len));
                l.engine.drain();
            }
        }
        1 => l.engine.wait(Duration::from_millis(1 + rng.below(400))),
        2 if l.engine.deadline.is_some() => {
            let _ = l.engine.next_deadline();
        }
        3 if l.handle.is_some() => {
            let _ = l.recv();
        }
        _ => {
            let (rcv_nxt, una, nxt) =
                l.status().map_or((l.model.rcv_nxt, l.model.snd_una, l.model.snd_nxt), |status| {
                    (status.rcv_nxt.0, status.snd_una.0, status.snd_nxt.0)
                });
            let flags = rng.pick(&CONTROLS);
            let start = rng.pick(&[una, nxt]);
            let (seq, ack) = (near(rng, rcv_nxt), near(rng, start));
            let wnd = rng.pick(&[0, 10, 1_000, 1_000]);
            let text = bytes(seq, if flags & ACK != 0 { rng.pick(&[0, 0, 1, 10, 64]) } else { 0 });
            let (extra, is_marked) = noise(flags);
            let ack = if flags & ACK != 0 { ack } else { 0 };
            let raw = Raw { seq, ack, flags: flags | extra, wnd, text: &text, ..Raw::default() };
            l.engine.is_marked = is_marked;
            let verdict = l.engine.arrive(l.peer, l.us, &raw);
            l.engine.is_marked = false;
            trace.push(format!("{verdict:?}"));
        }
    }
    note(l, trace);
}

fn converse(config: Config, family: usize, begin: Script, seed: u64, mut noise: impl FnMut(u8) -> (u8, bool)) -> Trace {
    let trace = std::cell::RefCell::new(vec![]);
    let noise = std::cell::RefCell::new(&mut noise);
    let count = std::cell::Cell::new(0);
    on_with(config, |l| {
        if count.replace(count.get() + 1) != family {
            return;
        }
        let (mut rng, mut trace) = (Rng::new(seed), trace.borrow_mut());
        begin(l);
        for _ in 0..60 {
            act(l, &mut rng, &mut **noise.borrow_mut(), &mut trace);
        }
    });
    trace.into_inner()
}

/// The same conversation with random flags and marks is the same, whoever did not want to agree.
#[test]
fn without_agreement_flags_and_marks_change_nothing() {
    for (begin, ecn) in BEGINNINGS.into_iter().flat_map(|begin| [(begin, true), (begin, false)]) {
        for seed in 0..6 {
            let family = (seed % crate::support::family::Family::ALL.len() as u64) as usize;
            let config = Config { ecn, ..quick_config() };
            let plain = converse(config, family, begin, seed, |_| (0, false));
            let mut rng = Rng::new(!seed);
            let noisy = converse(config, family, begin, seed, |flags| {
                // Where we want it a SYN's flags are an offer.
                let (noise, is_marked) = (rng.pick(&FLAGS), rng.percent(50));
                (if ecn && flags & SYN != 0 { 0 } else { noise }, is_marked)
            });
            for (i, (plain, noisy)) in plain.iter().zip(&noisy).enumerate() {
                assert_eq!(plain, noisy, "step {i} of {seed}, {ecn}");
            }
            assert_eq!(plain.len(), noisy.len());
        }
    }
}

/// Segments that are not acceptable, with flags and marks, among those of a connection whose ends have agreed.
#[test]
fn with_agreement_unacceptable_segments_with_flags_and_marks_change_nothing() {
    let run = |l: &mut Rig<'_>, seed: u64, mut noise: Option<Rng>| {
        let (mut rng, mut trace) = (Rng::new(seed), Trace::new());
        for _ in 0..80 {
            let status = status(l);
            let (rcv_nxt, una, nxt) = (status.rcv_nxt.0, status.snd_una.0, status.snd_nxt.0);
            match rng.below(5) {
                0 => drop(l.queue(rng.below(1_000) as u32)),
                1 => l.engine.wait(Duration::from_millis(rng.below(100))),
                2 => {
                    let ack = una.wrapping_add(rng.below(u64::from(nxt.wrapping_sub(una)) + 1) as u32);
                    let flags = rng.pick(&[0, 0, 0, ECE, CWR]);
                    l.engine.is_marked = rng.percent(20);
                    let _ = l.inject(&Seg::new(ACK | flags, rcv_nxt, ack, rng.pick(&[0, 10]), WINDOW));
                    l.engine.is_marked = false;
                    let _ = l.recv();
                }
                _ => {
                    let (seq, ack) = rng.pick(&[
                        (rcv_nxt.wrapping_add(9_000), nxt),
                        (rcv_nxt.wrapping_sub(90), nxt),
                        (rcv_nxt, nxt.wrapping_add(1_000)),
                        (rcv_nxt, una.wrapping_sub(70_000)),
                        (rcv_nxt.wrapping_add(0x7000_0000), nxt.wrapping_add(9)),
                    ]);
                    let text = rng.pick(&[10, 80]);
                    let (extra, is_marked) =
                        noise.as_mut().map_or((0, false), |noise| (noise.pick(&FLAGS), noise.percent(50)));
                    l.engine.is_marked = is_marked;
                    let verdict = l.inject(&Seg::new(ACK | extra, seq, ack, text, WINDOW));
                    l.engine.is_marked = false;
                    trace.push(format!("{verdict:?}"));
                }
            }
            note(l, &mut trace);
        }
        trace
    };
    for seed in 0..6 {
        let traces = [None, Some(Rng::new(!seed))].map(|noise| {
            let traces = std::cell::RefCell::new(vec![]);
            on_agreed(|l| traces.borrow_mut().push(run(l, seed, noise.clone())));
            traces.into_inner()
        });
        assert!(traces[0] == traces[1], "{seed}");
    }
}
