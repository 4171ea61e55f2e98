//! Over each family: when payload is acknowledged (RFC 9293 §3.8.6.3, RFC 5681 §4.2), and that nobody waits for it in vain.

use std::num::NonZeroU8;
use std::time::Duration;

use tcp_reset_core::{CloseReason, Config, Error, ListenOptions, MAX_DELAYED_ACK, Setting, StreamOptions, Timer};

use crate::ms;
use crate::support::rig::{Rig, Sent, quick_config};
use crate::support::table::{ACK, FIN, PSH, RST, SYN};
use crate::transfer::{MSS, config, flags_and_lengths, on_closed, on_open, stream};

/// A connection whose peer has spoken, and the application has read it: what is acknowledged at once because it is the first is over.
fn on_spoken(config: Config, stream: StreamOptions, test: impl Fn(&mut Rig<'_>)) {
    on_open(config, stream, |l| {
        let _ = l.say(ACK, 1);
        let _ = l.recv();
        test(l);
    });
}

fn delayed_by(delay: Duration) -> StreamOptions {
    StreamOptions { delayed_ack: Some(delay), ..stream() }
}

/// The application asks for what is not there.
fn ask(l: &mut Rig<'_>) -> Vec<Sent> {
    let mut buf = [0; 10];
    assert_eq!(l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut buf), Err(Error::WouldBlock));
    l.engine.drain();
    l.engine.sent.clone()
}

/// The payload arrives and its acknowledgment is held back for so long.
fn is_held_back_for(l: &mut Rig<'_>, delay: Duration) {
    let _ = l.say(ACK, 10);
    assert!(l.engine.sent.is_empty(), "{:?}", l.engine.sent);
    assert_eq!(l.engine.deadline, Some((l.engine.now + delay, Timer::DelayedAck)));
    l.model.rcv_nxt += 10;
    l.engine.wait(delay - ms(1));
    assert!(l.engine.sent.is_empty());
    l.engine.wait(ms(1));
    assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
    assert_eq!(l.engine.only().ack, l.model.rcv_nxt);
    assert_eq!(l.engine.deadline, None);
}

#[test]
fn the_first_payload_is_acknowledged_at_once_unless_it_is_pushed() {
    on_open(config(), stream(), |l| {
        let nxt = l.model.rcv_nxt;
        let _ = l.say(ACK, 10);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        assert_eq!(l.engine.only().ack, nxt + 10);
        assert_eq!(l.engine.deadline, None);
    });
    // A whole request: an answer may take the acknowledgment along.
    on_open(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, 10);
        assert!(l.engine.sent.is_empty(), "{:?}", l.engine.sent);
        assert_eq!(l.engine.deadline, Some((l.engine.now + ms(40), Timer::DelayedAck)));
        assert_eq!(l.recv().len(), 10);
        l.model.rcv_nxt += 10;
        let sent = ask(l);
        assert_eq!(sent[0].ack, l.model.rcv_nxt);
    });
}

#[test]
fn one_small_segment_is_acknowledged_after_the_delay() {
    on_spoken(config(), stream(), |l| is_held_back_for(l, ms(40)));
}

#[test]
fn the_second_segment_is_acknowledged_at_once() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK, 10);
        l.model.rcv_nxt += 10;
        let _ = l.say(ACK, 10);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        assert_eq!(l.engine.only().ack, l.model.rcv_nxt);
        assert_eq!(l.engine.deadline, None);
    });
}

#[test]
fn text_to_send_carries_the_delayed_acknowledgement() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, 10);
        l.model.rcv_nxt += 10;
        l.send(5);
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 5)]);
        assert_eq!(l.engine.only().ack, l.model.rcv_nxt);
        let _ = l.recv();
        assert_eq!(ask(l), [], "nothing is left to acknowledge");
    });
}

#[test]
fn text_that_fills_a_gap_is_acknowledged_at_once() {
    on_spoken(config(), stream(), |l| {
        let nxt = l.model.rcv_nxt;
        l.peer_leaves_gap(10, 10);
        assert_eq!((l.engine.only().ack, l.engine.only().text.len()), (nxt, 0), "beyond the gap: at once");
        let _ = l.say(ACK, 10);
        assert_eq!((l.engine.only().ack, l.engine.only().text.len()), (nxt + 20, 0), "the gap filled: at once");
    });
}

#[test]
fn what_was_pushed_and_read_is_acknowledged_when_the_application_asks_for_more() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, 10);
        l.model.rcv_nxt += 10;
        assert!(l.engine.sent.is_empty(), "the application may answer");
        assert_eq!(l.recv().len(), 10);
        assert!(l.engine.sent.is_empty(), "it may answer still");
        let sent = ask(l);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        assert_eq!(sent[0].ack, l.model.rcv_nxt);
        assert_eq!(l.engine.deadline, None);
        assert_eq!(ask(l), [], "once");
    });
}

#[test]
fn what_was_not_pushed_waits_although_the_application_asks_for_more() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK, 10);
        let _ = l.recv();
        assert_eq!(ask(l), []);
        assert_eq!(l.engine.deadline, Some((l.engine.now + ms(40), Timer::DelayedAck)));
    });
}

#[test]
fn a_full_segment_waits_for_the_second_although_it_is_pushed() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, MSS);
        let _ = l.recv();
        assert_eq!(ask(l), []);
        l.model.rcv_nxt += MSS;
        let _ = l.say(ACK | PSH, MSS);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
    });
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, MSS - 1);
        let _ = l.recv();
        let _ = ask(l);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)], "a byte less");
    });
}

/// What follows may wait for the acknowledgment (Nagle's algorithm), however long the segment is, and pushed or not.
#[test]
fn with_a_buffer_of_eight_segments_all_that_was_read_is_acknowledged_when_the_application_asks_for_more() {
    let config = Config { mss: Some(128), ..config() };
    for (rx_buffer, is_small) in [(512, true), (1_024, true), (2_048, false)] {
        on_spoken(config, StreamOptions { rx_buffer, ..stream() }, |l| {
            let _ = l.say(ACK, 128);
            l.model.rcv_nxt += 128;
            let _ = l.recv();
            assert!(l.engine.sent.is_empty(), "{rx_buffer}: {:?}", l.engine.sent);
            assert_eq!(!ask(l).is_empty(), is_small, "{rx_buffer}");
        });
    }
}

#[test]
fn what_was_not_read_to_its_end_waits() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, 10);
        let mut buf = [0; 9];
        assert_eq!(l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut buf), Ok(9));
        l.engine.drain();
        assert!(l.engine.sent.is_empty());
        assert_eq!(l.engine.tcp.recv(l.engine.now, l.handle.unwrap(), &mut buf), Ok(1));
        l.engine.drain();
        assert!(l.engine.sent.is_empty());
    });
}

#[test]
fn an_application_that_asks_a_connection_without_news_sends_nothing() {
    on_open(config(), stream(), |l| assert_eq!(ask(l), []));
}

#[test]
fn each_stream_has_a_delay_of_its_own() {
    for delay in [ms(1), ms(120), MAX_DELAYED_ACK] {
        on_spoken(config(), delayed_by(delay), |l| is_held_back_for(l, delay));
        on_closed(config(), |l| {
            l.open_with(delayed_by(delay));
            let _ = l.say(ACK, 1);
            is_held_back_for(l, delay);
        });
    }
    on_spoken(config(), delayed_by(Duration::ZERO), |l| {
        let _ = l.say(ACK, 10);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
    });
    // The other way round.
    on_spoken(quick_config(), stream(), |l| {
        let _ = l.say(ACK, 10);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
    });
    on_spoken(quick_config(), delayed_by(ms(7)), |l| is_held_back_for(l, ms(7)));
}

#[test]
fn an_unaccepted_connection_has_the_delay_of_all_and_its_own_from_then_on() {
    on_closed(config(), |l| {
        l.listen(ListenOptions { stream: delayed_by(ms(200)), ..ListenOptions::default() });
        let _ = l.say(SYN, 0);
        let _ = l.say(ACK, 0);
        let _ = l.say(ACK, 1);
        is_held_back_for(l, ms(40));
        l.accept();
        is_held_back_for(l, ms(200));
    });
}

#[test]
fn what_waited_to_be_accepted_counts_as_pushed() {
    on_closed(config(), |l| {
        l.listen(ListenOptions { stream: stream(), ..ListenOptions::default() });
        let _ = l.say(SYN, 0);
        let _ = l.say(ACK, 0);
        let _ = l.say(ACK, 1);
        let _ = l.say(ACK | PSH, 10);
        l.model.rcv_nxt += 10;
        l.accept();
        assert_eq!(l.recv().len(), 11);
        let sent = ask(l);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        assert_eq!(sent[0].ack, l.model.rcv_nxt);
    });
}

#[test]
fn a_delay_that_is_changed_lets_go_what_is_held_back() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK, 10);
        l.model.rcv_nxt += 10;
        let handle = l.handle.unwrap();
        l.engine.tcp.set_delayed_ack(l.engine.now, handle, ms(300)).unwrap();
        l.engine.drain();
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        is_held_back_for(l, ms(300));
        l.engine.tcp.set_delayed_ack(l.engine.now, handle, Duration::ZERO).unwrap();
        l.engine.drain();
        assert!(l.engine.sent.is_empty(), "nothing was held back");
        let _ = l.say(ACK, 10);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
    });
}

#[test]
fn a_delay_beyond_the_bound_is_refused_and_changes_nothing() {
    let beyond = MAX_DELAYED_ACK + ms(1);
    on_spoken(config(), stream(), |l| {
        let handle = l.handle.unwrap();
        let refused = Err(Error::InvalidSetting(Setting::DelayedAck));
        assert_eq!(l.engine.tcp.set_delayed_ack(l.engine.now, handle, beyond), refused);
        is_held_back_for(l, ms(40));
        let options = ListenOptions { stream: delayed_by(beyond), ..ListenOptions::default() };
        assert_eq!(l.engine.tcp.listen(l.us, options).err(), Some(Error::InvalidSetting(Setting::DelayedAck)));
    });
}

#[test]
fn the_end_of_a_peer_that_held_back_is_acknowledged_with_its_payload() {
    on_spoken(config(), stream(), |l| {
        let _ = l.say(ACK | PSH, 10);
        l.model.rcv_nxt += 10;
        let _ = l.say(FIN | ACK, 0);
        assert_eq!(flags_and_lengths(l), [(ACK, 0)]);
        assert_eq!(l.engine.only().ack, l.model.rcv_nxt);
    });
}

#[test]
fn a_reset_of_ours_keeps_the_handle_and_an_end_that_came_before_its_reason() {
    for comes_first in [false, true] {
        on_open(config(), stream(), |l| {
            let _ = l.say(ACK, 5);
            if comes_first {
                let _ = l.say(RST, 0);
            }
            let (now, handle) = (l.engine.now, l.handle.unwrap());
            l.engine.tcp.reset(now, handle).unwrap();
            l.engine.drain();
            let resets: Vec<u8> = l.engine.sent.iter().map(|sent| sent.flags & RST).collect();
            assert_eq!(resets, if comes_first { vec![] } else { vec![RST] });
            let reason = if comes_first { CloseReason::ResetByPeer } else { CloseReason::Aborted };
            assert_eq!(l.engine.tcp.status(handle).map(|status| status.closed), Ok(Some(reason)));
            assert_eq!(l.recv().len(), 5, "what came before is there");
            assert_eq!(l.engine.tcp.recv(now, handle, &mut [0; 9]), Err(Error::Closed(reason)));
            assert_eq!(l.engine.tcp.reset(now, handle), Ok(()), "again");
            assert_eq!(l.engine.tcp.close(now, handle), Ok(()));
            assert_eq!(l.engine.tcp.reset(now, handle), Err(Error::StaleHandle));
        });
    }
}

// Without a copy

#[test]
fn bytes_are_read_in_place_as_far_as_they_are_taken() {
    on_open(config(), stream(), |l| {
        let first = l.model.rcv_nxt;
        let _ = l.say(ACK, 10);
        let (now, handle) = (l.engine.now, l.handle.unwrap());
        let seen = l.engine.tcp.recv_with(now, handle, |bytes| (4, bytes.to_vec()));
        assert_eq!(seen, Ok(crate::support::rig::stream(first, 10)));
        let rest = l.engine.tcp.recv_with(now, handle, |bytes| (usize::MAX, bytes.to_vec()));
        assert_eq!(rest, Ok(crate::support::rig::stream(first + 4, 6)), "more than there is counts as all");
        let none = l.engine.tcp.recv_with(now, handle, |_| (0, unreachable()));
        assert_eq!(none, Err(Error::WouldBlock));
        let _ = l.say(FIN | ACK, 0);
        assert_eq!(l.engine.tcp.recv_with(now, handle, |bytes| (7, bytes.len())), Ok(0), "the end");
    });
}

fn unreachable() {
    panic!("nothing to show");
}

#[test]
fn bytes_are_written_in_place_up_to_the_buffers_end_and_then_from_its_beginning() {
    on_open(config(), stream(), |l| {
        let (now, handle) = (l.engine.now, l.handle.unwrap());
        let (_, size) = l.engine.tcp.buffer_sizes(handle).unwrap();
        let fill = |free: &mut [u8]| {
            free.fill(7);
            (MSS as usize, free.len())
        };
        let to_end = l.engine.tcp.send_with(now, handle, fill).unwrap();
        l.engine.drain();
        assert!(to_end > MSS as usize && to_end < size, "{to_end}: the stream begins somewhere in the buffer");
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, MSS as usize)]);
        assert!(l.engine.only().text.iter().all(|byte| *byte == 7));
        l.look();
        l.peer_acks();
        // From here to the end of the buffer, and no further.
        let free = l.engine.tcp.send_with(now, handle, |free| (0, free.len()));
        assert_eq!(free, Ok(to_end - MSS as usize));
        assert!(l.engine.sent.is_empty(), "nothing was written");
        let free = l.engine.tcp.send_with(now, handle, |free| (usize::MAX, free.len()));
        assert_eq!(free, Ok(to_end - MSS as usize), "more than there is counts as all");
        let free = l.engine.tcp.send_with(now, handle, |free| (usize::MAX, free.len()));
        assert_eq!(free, Ok(size - to_end + MSS as usize), "from the beginning");
        assert_eq!(l.engine.tcp.send_with(now, handle, |_| (0, unreachable())), Err(Error::WouldBlock));
        l.shutdown();
        assert_eq!(l.engine.tcp.send_with(now, handle, |_| (0, unreachable())), Err(Error::SendShutdown));
    });
}

// Other settings of a live connection

#[test]
fn what_nagle_held_back_leaves_when_it_is_switched_off() {
    on_open(config(), stream(), |l| {
        l.send(5);
        l.send(6);
        assert!(l.engine.sent.is_empty(), "held back: {:?}", l.engine.sent);
        let handle = l.handle.unwrap();
        l.engine.tcp.set_nagle(l.engine.now, handle, false).unwrap();
        l.engine.drain();
        assert_eq!(flags_and_lengths(l), [(ACK | PSH, 6)]);
        l.look();
        l.engine.tcp.set_nagle(l.engine.now, handle, true).unwrap();
        l.send(7);
        assert!(l.engine.sent.is_empty(), "held back again");
    });
}

#[test]
fn settings_of_a_connection_that_has_ended_are_refused_with_the_reason() {
    on_open(config(), stream(), |l| {
        let _ = l.say(RST, 0);
        let (now, handle) = (l.engine.now, l.handle.unwrap());
        let ended = Err(Error::Closed(CloseReason::ResetByPeer));
        assert_eq!(l.engine.tcp.set_nagle(now, handle, false), ended);
        assert_eq!(l.engine.tcp.set_delayed_ack(now, handle, ms(1)), ended);
        assert_eq!(l.engine.tcp.set_hop_limit(now, handle, NonZeroU8::new(1)), ended);
    });
}
