//! Over each family: CUBIC, beside the formulas of RFC 9438 in real numbers.

use std::time::Duration;

use tcp_reset_core::{Config, CongestionControl, State, StreamOptions};

use crate::support::rig::Rig;
use crate::support::table::{ACK, SYN, Seg};
use crate::transfer::{MSS, config, on_closed};

const RTT: Duration = Duration::from_millis(100);
/// What the peer offers, in bytes: no limit.
const WINDOW: u32 = 60_000;
const C: f64 = 0.4;
const BETA: f64 = 0.7;

/// A connection that we opened, whose queue is never empty.
fn on_open(control: CongestionControl, test: impl Fn(&mut Rig<'_>)) {
    on_closed(Config { congestion_control: control, ..config() }, |l| {
        l.peer_wnd = WINDOW;
        l.dial_with(StreamOptions { tx_buffer: 32_768, nagle: false, ..StreamOptions::default() });
        l.engine.wait(RTT);
        let _ = l.say(SYN | ACK, 0);
        assert_eq!(l.state(), State::Established);
        fill(l);
        test(l);
    });
}

fn fill(l: &mut Rig<'_>) {
    let _ = l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &[0; 32_768]);
    l.engine.drain();
}

/// The congestion window and what is in flight, in segments.
fn window(l: &Rig<'_>) -> f64 {
    f64::from(l.status().unwrap().congestion_window) / f64::from(MSS)
}

fn flight(l: &Rig<'_>) -> u32 {
    let status = l.status().unwrap();
    status.snd_nxt.0.wrapping_sub(status.snd_una.0) / MSS
}

fn ack(l: &mut Rig<'_>, segments: u32) {
    let una = l.status().unwrap().snd_una.0;
    let seg = Seg::new(ACK, l.model.rcv_nxt, una.wrapping_add(segments * MSS), 0, WINDOW);
    let _ = l.inject(&seg);
}

/// All that is out is acknowledged after a round trip, two segments at a time.
fn round_trip(l: &mut Rig<'_>) {
    round_trip_of(l, RTT);
}

fn round_trip_of(l: &mut Rig<'_>, rtt: Duration) {
    l.engine.wait(rtt);
    let out = flight(l);
    for _ in 0..out / 2 {
        ack(l, 2);
        fill(l);
    }
}

/// The front is lost, and found to be by three duplicates; the rest arrives. Returns the window before.
fn lose(l: &mut Rig<'_>) -> f64 {
    let (before, out) = (window(l).min(f64::from(flight(l))), flight(l));
    l.engine.wait(RTT);
    for _ in 0..3 {
        ack(l, 0);
    }
    l.engine.wait(RTT);
    ack(l, out + 2);
    fill(l);
    before
}

/// Out of fast recovery, and in use again.
fn slow_start(l: &mut Rig<'_>) {
    while l.status().unwrap().slow_start_threshold > l.status().unwrap().congestion_window {
        round_trip(l);
    }
}

/// Slow start until so many segments are out.
fn grow_to(l: &mut Rig<'_>, segments: f64) {
    while window(l) < segments {
        ack(l, 2);
        fill(l);
    }
}

/// RFC 9438 §4.2: the window after `t` seconds since one of `epoch` segments, with W_max.
fn cubic(t: f64, w_max: f64, epoch: f64) -> f64 {
    let k = ((w_max - epoch) / C).cbrt();
    C * (t - k).powi(3) + w_max
}

#[test]
fn a_loss_leaves_seven_tenths() {
    on_open(CongestionControl::Cubic, |l| {
        grow_to(l, 100.0);
        let before = lose(l);
        let threshold = f64::from(l.status().unwrap().slow_start_threshold) / f64::from(MSS);
        assert!((threshold - BETA * before).abs() <= 1.0, "{threshold} of {before}");
    });
    on_open(CongestionControl::Reno, |l| {
        grow_to(l, 100.0);
        let before = lose(l);
        let threshold = f64::from(l.status().unwrap().slow_start_threshold) / f64::from(MSS);
        assert!((threshold - before / 2.0).abs() <= 1.0, "{threshold} of {before}");
    });
}

#[test]
fn the_window_follows_the_cubic_back_to_where_it_was_and_beyond() {
    on_open(CongestionControl::Cubic, |l| {
        grow_to(l, 120.0);
        let w_max = lose(l);
        slow_start(l);
        let (epoch, begin) = (window(l), l.engine.now);
        let mut plateau = 0;
        for _ in 0..65 {
            round_trip(l);
            let t = l.engine.now.duration_since(begin).as_secs_f64();
            // The window is what it should be within the round trip.
            let (low, high) = (cubic(t - 0.2, w_max, epoch), cubic(t + 0.2, w_max, epoch));
            let (low, high) = (low - 2.0, (high + 2.0).max(epoch + 2.0 + 0.53 * t / RTT.as_secs_f64()));
            assert!((low..=high).contains(&window(l)), "after {t} s {} is not in {low}..={high}", window(l));
            plateau += u32::from((window(l) - w_max).abs() < 2.0);
        }
        assert!(window(l) > w_max + 3.0, "{} after {w_max}", window(l));
        assert!(plateau > 10, "it is not slow about {w_max}: {plateau}");
    });
}

#[test]
fn where_the_path_is_short_the_window_is_renos_at_least() {
    on_open(CongestionControl::Cubic, |l| {
        grow_to(l, 20.0);
        let prior = lose(l);
        slow_start(l);
        let epoch = window(l);
        let mut reno = epoch;
        for n in 1..40 {
            round_trip_of(l, Duration::from_millis(5));
            // α is 9/17 until the window is what it was, then 1.
            reno += if reno < prior { 9.0 / 17.0 } else { 1.0 };
            // A segment may be left unacknowledged, and bytes are whole.
            assert!(
                window(l) >= epoch + 0.85 * (reno - epoch) - 1.0,
                "{} after {n} round trips, Reno {reno}",
                window(l)
            );
        }
    });
}

#[test]
fn who_loses_again_before_it_was_back_makes_room() {
    on_open(CongestionControl::Cubic, |l| {
        grow_to(l, 120.0);
        let first = lose(l);
        slow_start(l);
        let second = lose(l);
        assert!(second < first - 10.0);
        slow_start(l);
        // W_max is less than it was by then, and so the window is level below.
        let begin = l.engine.now;
        let mut level = vec![];
        while l.engine.now.duration_since(begin) < Duration::from_secs(5) {
            round_trip(l);
            level.push(window(l));
        }
        let w_max = second * (1.0 + BETA) / 2.0;
        assert!(level.iter().any(|at| (at - w_max).abs() < 2.0), "{level:?}, {w_max}");
        assert!(*level.last().unwrap() < second, "{level:?}");
    });
}

#[test]
fn after_a_timeout_the_cubic_begins_where_slow_start_ends() {
    on_open(CongestionControl::Cubic, |l| {
        grow_to(l, 100.0);
        let before = f64::from(flight(l)).min(window(l));
        while window(l) > 1.0 {
            let _ = l.engine.next_deadline();
        }
        let threshold = f64::from(l.status().unwrap().slow_start_threshold) / f64::from(MSS);
        assert!((threshold - BETA * before).abs() <= 1.5, "{threshold} of {before}");
        while window(l) < threshold {
            round_trip(l);
        }
        let (epoch, begin) = (window(l), l.engine.now);
        for _ in 0..20 {
            round_trip(l);
        }
        let t = l.engine.now.duration_since(begin).as_secs_f64();
        let most = epoch + C * (t + 0.3).powi(3) + 2.0;
        assert!((epoch..=most.max(epoch + 12.6)).contains(&window(l)), "{} after {epoch}, at most {most}", window(l));
    });
}

#[test]
fn while_the_window_is_not_used_it_does_not_open() {
    on_open(CongestionControl::Cubic, |l| {
        grow_to(l, 60.0);
        let _ = lose(l);
        slow_start(l);
        for _ in 0..5 {
            round_trip(l);
        }
        // All that is queued goes, and then little: a segment for each round trip, and none waits.
        while l.status().unwrap().unacknowledged > 0 {
            l.engine.wait(RTT);
            let all = l.status().unwrap().snd_nxt.0;
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, all, 0, WINDOW));
        }
        let before = window(l);
        for _ in 0..60 {
            let _ = l.engine.tcp.send(l.engine.now, l.handle.unwrap(), &[0; MSS as usize]).unwrap();
            l.engine.drain();
            l.engine.wait(RTT);
            ack(l, 1);
        }
        assert_eq!(window(l), before);
        fill(l);
        round_trip(l);
        assert!(window(l) < before + 5.0, "{} after {before}", window(l));
    });
}

#[test]
fn a_window_of_many_small_segments_goes_on_growing() {
    for control in [CongestionControl::Reno, CongestionControl::Cubic] {
        on_closed(Config { mss: Some(64), congestion_control: control, ..config() }, |l| {
            l.peer_wnd = WINDOW;
            l.dial_with(StreamOptions { tx_buffer: 32_768, nagle: false, ..StreamOptions::default() });
            l.engine.wait(Duration::from_millis(1));
            let _ = l.say(SYN | ACK, 0);
            fill(l);
            let mss = u32::from(l.status().unwrap().mss);
            let ack_one = |l: &mut Rig<'_>| {
                let una = l.status().unwrap().snd_una.0;
                let seg = Seg::new(ACK, l.model.rcv_nxt, una.wrapping_add(mss), 0, WINDOW);
                let _ = l.inject(&seg);
                fill(l);
            };
            while l.status().unwrap().congestion_window < 16_000 {
                ack_one(l);
            }
            let una = l.status().unwrap().snd_una.0;
            for _ in 0..3 {
                let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, una, 0, WINDOW));
            }
            let out = l.status().unwrap().snd_nxt.0;
            let _ = l.inject(&Seg::new(ACK, l.model.rcv_nxt, out, 0, WINDOW));
            fill(l);
            while l.status().unwrap().congestion_window < l.status().unwrap().slow_start_threshold {
                ack_one(l);
            }
            let before = l.status().unwrap().congestion_window;
            for _ in 0..1_000 {
                ack_one(l);
            }
            let grown = l.status().unwrap().congestion_window - before;
            assert!(grown >= 1_000, "{control:?} grows by {grown} in 1,000 acknowledgments from {before} on");
        });
    }
}
