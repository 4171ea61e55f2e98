//! Messages and answers to them, of every size about those of segments and buffers.

use crate::app::{Step, Task};
use crate::lab::{Setting, Timing, judge, ms, settings};

const ROUNDS: usize = 5;
/// What precedes a message in a write of its own.
const HEADER: usize = 4;

fn sizes(setting: &Setting) -> [usize; 12] {
    let Setting { mss, tx, rx, timing: _ } = *setting;
    [1, mss - 1, mss, mss + 1, mss * 3 / 2, 2 * mss + 1, 3 * mss - 1, tx, tx + 1, rx, rx + 1, 2 * rx + 7]
}

fn each_setting(test: impl Fn(&Setting)) {
    let timings = [(true, 40, 0), (true, 40, 20), (true, 0, 0), (false, 40, 0)];
    for (nagle, delayed_ack, rtt) in timings {
        settings(Timing { nagle, delayed_ack: ms(delayed_ack), rtt: ms(rtt) }).for_each(|setting| test(&setting));
    }
}

/// The server's steps and the client's, as often as there are rounds; and so many waits in each of them.
fn judge_rounds(setting: &Setting, steps: [&[Step]; 2], waits: usize) {
    let bytes: usize = steps[1].iter().map(|step| step.len()).sum();
    let flight = setting.tx.min(setting.rx).min(10 * setting.mss);
    let round =
        setting.timing.rtt * (2 + 5 * bytes.div_ceil(flight) / 2) as u32 + waits as u32 * setting.timing.delayed_ack;
    let [server, client] = steps.map(|steps| [Task::new(ROUNDS, steps)]);
    judge(setting, [&server, &client], waits * ROUNDS, round * ROUNDS as u32);
}

#[test]
fn a_message_and_its_answer_wait_for_no_timer() {
    each_setting(|setting| {
        for size in sizes(setting) {
            for answer in [1, size] {
                let server = [Step::Read(size, size), Step::Write(answer)];
                let client = [Step::Write(size), Step::Read(answer, answer)];
                judge_rounds(setting, [&server, &client], 0);
            }
        }
    });
}

#[test]
fn two_writes_and_a_read_wait_for_no_timer() {
    each_setting(|setting| {
        for size in sizes(setting) {
            let client = [Step::Write(HEADER), Step::Write(size), Step::Read(size, size)];
            let whole = HEADER + size;
            judge_rounds(setting, [&[Step::Read(whole, whole), Step::Write(size)], &client], 0);
            let in_parts = [Step::Read(HEADER, HEADER), Step::Read(size, setting.mss / 3), Step::Write(size)];
            judge_rounds(setting, [&in_parts, &client], 0);
        }
    });
}

#[test]
fn messages_without_answer_wait_for_no_timer() {
    each_setting(|setting| {
        for size in sizes(setting) {
            judge_rounds(setting, [&[Step::Read(size, size)], &[Step::Write(size)]], 0);
        }
    });
}

#[test]
fn a_message_to_a_reader_that_never_asks_waits_once_at_most() {
    each_setting(|setting| {
        for size in sizes(setting) {
            let answer = [Step::ReadWhenTold(size), Step::Write(1)];
            judge_rounds(setting, [&answer, &[Step::Write(size), Step::ReadWhenTold(1)]], 1);
            let whole = HEADER + size;
            let client = [Step::Write(HEADER), Step::Write(size), Step::ReadWhenTold(1)];
            judge_rounds(setting, [&[Step::ReadWhenTold(whole), Step::Write(1)], &client], 1);
        }
    });
}
