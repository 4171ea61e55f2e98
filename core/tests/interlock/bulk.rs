//! Bulk data, one way and both ways, to readers of all kinds.

use std::time::Duration;

use crate::app::{Step, Task};
use crate::lab::{Setting, Timing, judge, ms, settings};

/// Some buffers' worth, and an end that is a short segment.
const TOTAL: usize = 20_580;

/// What it takes at least with the smaller buffer full in each round trip, and no more than the first flight.
fn ideal(setting: &Setting) -> Duration {
    let flight = setting.tx.min(setting.rx).min(10 * setting.mss);
    setting.timing.rtt * TOTAL.div_ceil(flight) as u32
}

fn each_timing(test: impl Fn(&Setting)) {
    for rtt in [0, 1, 20] {
        for (nagle, delayed_ack) in [(true, 40), (true, 0), (false, 40), (false, 0)] {
            settings(Timing { nagle, delayed_ack: ms(delayed_ack), rtt: ms(rtt) }).for_each(|setting| test(&setting));
        }
    }
}

/// In pieces of a third of a segment, of a segment, and whatever is there.
fn readers(setting: &Setting) -> [Task; 3] {
    [setting.mss / 3, setting.mss, TOTAL].map(|piece| Task::new(1, &[Step::Read(TOTAL, piece)]))
}

fn writer() -> Task {
    Task::new(1, &[Step::Write(TOTAL)])
}

/// A window that is not used to its end costs round trips, but few. Where each segment is acknowledged before its reader has it, the window
/// that it gives back is told of with the next: it may be half in use.
fn most(setting: &Setting) -> Duration {
    let percent = if setting.timing.delayed_ack.is_zero() { 250 } else { 125 };
    ideal(setting) * percent / 100 + 3 * setting.timing.rtt
}

#[test]
fn bulk_one_way_waits_for_no_timer() {
    each_timing(|setting| {
        for reader in readers(setting) {
            judge(setting, [&[reader], &[writer()]], 0, most(setting));
        }
    });
}

#[test]
fn bulk_both_ways_at_once_waits_for_no_timer() {
    each_timing(|setting| {
        for reader in readers(setting) {
            let both = [reader, writer()];
            judge(setting, [&both, &both], 0, most(setting));
        }
    });
}

#[test]
fn bulk_to_a_reader_that_never_asks_waits_once_at_its_end_at_most() {
    each_timing(|setting| {
        let reader = Task::new(1, &[Step::ReadWhenTold(TOTAL)]);
        let most = most(setting) + setting.timing.delayed_ack;
        judge(setting, [std::slice::from_ref(&reader), &[writer()]], 1, most);
        let both = [reader, writer()];
        judge(setting, [&both, &both], 2, most);
    });
}

/// The window closes, or nearly, and opens by what is read.
#[test]
fn bulk_to_a_reader_that_is_late_waits_for_no_timer_but_the_readers() {
    for rtt in [0, 20] {
        for pause in [3, 50] {
            settings(Timing { nagle: true, delayed_ack: ms(40), rtt: ms(rtt) }).for_each(|setting| {
                let Setting { mss, rx, .. } = setting;
                for piece in [mss / 2, mss, mss * 3 / 2, rx / 2, rx] {
                    let reads = TOTAL / piece;
                    let reader = Task::new(reads, &[Step::Pause(ms(pause)), Step::Read(piece, piece)]);
                    let most = reads as u32 * ms(pause) + most(&setting);
                    judge(&setting, [&[reader], &[writer()]], 0, most);
                }
            });
        }
    }
}
