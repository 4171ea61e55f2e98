//! Options that are not what they should be: nothing comes of them.

use tcp_reset_core::{Action, Rule, State, Verdict};

use super::{CLOCK, echo, on_clock, recent, status};
use crate::on;
use crate::support::rig::reach::{OTHER_STATES, Script, accepted, open};
use crate::support::rig::{Raw, Rig, Sent, quick_config, small_listener};
use crate::support::table::{ACK, RST, SYN};

/// Options of a header, and the TSvals that may be read from them; none: the option counts as missing.
fn curious_options() -> Vec<(Vec<u8>, Vec<u32>)> {
    let value = CLOCK + 7;
    let data = [value.to_be_bytes(), [0; 4]].concat();
    let option = [vec![8, 10], data.clone()].concat();
    let of_len = |len: u8, bytes: usize| [vec![1, 1, 8, len], vec![0x11; bytes]].concat();
    let later = [vec![8, 10], (value + 1).to_be_bytes().to_vec(), vec![0; 4]].concat();
    vec![
        // Lengths that cannot be.
        (of_len(0, 8), vec![]),
        (of_len(1, 8), vec![]),
        (of_len(2, 8), vec![]),
        (of_len(3, 8), vec![]),
        (of_len(6, 8), vec![]),
        (of_len(9, 8), vec![]),
        (of_len(11, 12), vec![]),
        (of_len(18, 16), vec![]),
        (of_len(255, 8), vec![]),
        // Cut off by the end of the header.
        (of_len(10, 0), vec![]),
        (of_len(10, 4), vec![]),
        (vec![1, 1, 1, 8], vec![]),
        (vec![1; 40], vec![]),
        ([vec![1; 32], option[..8].to_vec()].concat(), vec![]),
        // Behind the end of the list.
        ([vec![0, 1], option.clone()].concat(), vec![]),
        ([vec![2, 4, 5, 180, 0, 0], option.clone()].concat(), vec![]),
        // Behind what cannot be read.
        ([vec![3, 0], option.clone()].concat(), vec![]),
        ([vec![254, 1], option.clone()].concat(), vec![]),
        // Right ones, wherever they stand.
        ([vec![1, 1], option.clone()].concat(), vec![value]),
        ([option.clone(), vec![1, 1]].concat(), vec![value]),
        ([option.clone(), vec![0, 0]].concat(), vec![value]),
        ([vec![1; 30], option.clone()].concat(), vec![value]),
        ([vec![1, 3, 3, 7, 1, 1], option.clone()].concat(), vec![value]),
        ([vec![254, 4, 9, 9, 1, 1], option.clone()].concat(), vec![value]),
        ([vec![2, 4, 5, 180], vec![4, 2], option.clone()].concat(), vec![value]),
        // Twice: either, but one of them.
        ([option.clone(), later.clone()].concat(), vec![value, value + 1]),
        ([later, option].concat(), vec![value, value + 1]),
    ]
}

/// Delivers a segment with these options.
fn arrive_with(l: &mut Rig<'_>, flags: u8, options: &[u8], text: &[u8]) -> Verdict {
    let seq = if flags & SYN != 0 { l.isn } else { l.model.rcv_nxt };
    let ack = if flags & ACK != 0 { l.model.snd_nxt } else { 0 };
    let raw = Raw { seq, ack, flags, wnd: 1_000, options, text, ..Raw::default() };
    l.engine.arrive(l.peer, l.us, &raw)
}

#[test]
fn what_does_not_parse_counts_as_missing() {
    let is_read = |read: &[u32], sent: &Sent| echo(sent).map_or(read.is_empty(), |echo| read.contains(&echo));
    for (options, read) in curious_options() {
        on(|l| {
            l.listen(small_listener());
            let _ = arrive_with(l, SYN, &options, &[]);
            let sent = l.engine.only();
            assert!(sent.flags == SYN | ACK && is_read(&read, sent), "{options:?}: {sent:?}");
        });
        on(|l| {
            l.dial();
            let _ = arrive_with(l, SYN | ACK, &options, &[]);
            let sent = l.engine.only();
            assert!(sent.flags == ACK && is_read(&read, sent), "{options:?}: {sent:?}");
            assert_eq!(status(l).timestamps, !read.is_empty());
        });
        let ways: [Script; 2] = [open, accepted];
        for reach in ways {
            on_clock(quick_config(), reach, |l| {
                let verdict = arrive_with(l, ACK, &options, &[7; 5]);
                if read.is_empty() {
                    assert_eq!(recent(l), Some(CLOCK));
                } else {
                    assert!(is_read(&read, l.engine.only()));
                }
                assert_eq!((verdict.rule, verdict.action), (Rule::PayloadInOrder, Action::Accepted), "{options:?}");
                assert_eq!(l.state(), State::Established);
            });
        }
        for reach in OTHER_STATES {
            on_clock(quick_config(), reach, |l| {
                let _ = arrive_with(l, ACK, &options, &[]);
                assert!(l.engine.sent.iter().all(|sent| sent.flags & RST == 0), "{options:?}");
                assert!(l.engine.tcp.counters().segments_in > 0);
            });
        }
    }
}
