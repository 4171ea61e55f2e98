//! `Status` shows each armed timer by its name, with the time it has to go, and no other.

use std::time::Duration;

use tcp_reset_core::{Config, ListenOptions, StreamOptions, Timer};

use crate::support::rig::{Rig, quick_config, small_stream};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::{DAY, MINUTE, enter_with, keep, listener, ms, on_link, on_link_with, secs};

/// Every armed timer of the only connection, handle or not.
fn armed(rig: &Rig<'_>) -> Vec<(Timer, Duration)> {
    let (handle, _) = rig.engine.tcp.connections().next().unwrap();
    rig.engine.tcp.status(handle).unwrap().timers.armed().collect()
}

/// What a test expects in the order of [`Timer::ALL`].
fn assert_armed(rig: &Rig<'_>, expected: &[(Timer, Duration)]) {
    assert_eq!(armed(rig), expected);
    let (handle, status) = rig.engine.tcp.connections().next().unwrap();
    for &timer in Timer::ALL {
        let left = expected.iter().find(|(armed, _)| *armed == timer).map(|(_, left)| *left);
        assert_eq!(rig.engine.tcp.status(handle).unwrap().timers.left(timer), left, "{timer}");
    }
    let first = expected.iter().map(|(_, left)| *left).min();
    assert_eq!(status.timer.map(|(at, _)| at.duration_since(rig.engine.now)), first, "the next of them");
}

/// Lets time pass and tells the engine.
fn pass(rig: &mut Rig<'_>, time: Duration) {
    rig.engine.wait(time);
    rig.look();
    rig.engine.drain();
}

#[test]
fn an_idle_connection_without_limits_has_none() {
    on_link(|rig| {
        rig.open();
        assert_armed(rig, &[]);
    });
}

#[test]
fn connect_and_the_limits_of_a_syn() {
    on_link(|rig| {
        rig.dial();
        assert_armed(rig, &[(Timer::Connect, secs(1))]);
        pass(rig, ms(300));
        assert_armed(rig, &[(Timer::Connect, ms(700))]);
        pass(rig, ms(700));
        assert_armed(rig, &[(Timer::Connect, secs(2))]);
    });
    on_link(|rig| {
        let limits = (Some(secs(100)), Some(secs(200)));
        rig.dial_with(StreamOptions { user_timeout: limits.0, first_byte_timeout: limits.1, ..small_stream() });
        let expected = [(Timer::Connect, secs(1)), (Timer::UserTimeout, secs(100)), (Timer::FirstByte, secs(200))];
        assert_armed(rig, &expected);
        let _ = rig.say(SYN | ACK, 0);
        assert_armed(rig, &[(Timer::FirstByte, secs(200))]);
    });
}

#[test]
fn retransmission_window_probe_and_user_timeout() {
    on_link(|rig| {
        rig.open_with(StreamOptions { user_timeout: Some(MINUTE), ..small_stream() });
        rig.send(10);
        assert_armed(rig, &[(Timer::Retransmission, secs(1)), (Timer::UserTimeout, MINUTE)]);
        pass(rig, secs(1));
        assert_armed(rig, &[(Timer::Retransmission, secs(2)), (Timer::UserTimeout, secs(59))]);
        crate::answer(rig);
        assert_armed(rig, &[]);
        rig.peer_offers(0);
        rig.send(10);
        let names = armed(rig).into_iter().map(|(timer, _)| timer).collect::<Vec<_>>();
        assert_eq!(names, [Timer::WindowProbe, Timer::UserTimeout]);
    });
    on_link(|rig| {
        rig.open();
        rig.send(10);
        assert_armed(rig, &[(Timer::Retransmission, secs(1))]);
    });
}

#[test]
fn a_held_back_acknowledgment_and_a_challenge() {
    on_link_with(Config { delayed_ack: ms(40), ..quick_config() }, |rig| {
        rig.open();
        // What comes first and is not pushed is acknowledged at once.
        let _ = rig.say(ACK, 1);
        let _ = rig.say(ACK, 5);
        assert_armed(rig, &[(Timer::DelayedAck, ms(40))]);
        pass(rig, ms(15));
        assert_armed(rig, &[(Timer::DelayedAck, ms(25))]);
        pass(rig, ms(25));
        assert_armed(rig, &[]);
        rig.look();
        let reset = Seg::new(RST, rig.model.rcv_nxt.wrapping_add(3), 0, 0, 0);
        let _ = rig.inject(&reset);
        assert_armed(rig, &[(Timer::Challenge, secs(1))]);
        crate::answer(rig);
        assert_armed(rig, &[]);
    });
}

#[test]
fn keepalive_idle_and_first_byte() {
    let stream = StreamOptions {
        keep_alive: Some(keep(secs(50), secs(5), 3)),
        idle_timeout: Some(secs(500)),
        first_byte_timeout: Some(secs(300)),
        ..small_stream()
    };
    on_link(|rig| {
        enter_with(rig, ListenOptions { accept_timeout: Some(secs(7)), ..listener(stream) });
        let keep_in = |left| (Timer::KeepAlive, secs(left));
        assert_armed(rig, &[keep_in(50), (Timer::Idle, secs(500)), (Timer::FirstByte, secs(300))]);
        pass(rig, secs(50));
        assert_armed(rig, &[keep_in(5), (Timer::Idle, secs(450)), (Timer::FirstByte, secs(250))]);
        let _ = rig.say(ACK, 1);
        assert_armed(rig, &[keep_in(50), (Timer::Idle, secs(500))]);
        rig.send(1);
        assert_armed(rig, &[(Timer::Retransmission, secs(1)), (Timer::Idle, secs(500))]);
    });
}

#[test]
fn the_wait_for_accept() {
    on_link(|rig| {
        rig.listen(ListenOptions { accept_timeout: Some(secs(7)), ..listener(small_stream()) });
        let _ = rig.say(SYN, 0);
        let half = rig.engine.tcp.half_open().next().unwrap();
        assert_eq!((half.local, half.remote, half.timer, half.left), (rig.us, rig.peer, Timer::SynReceived, secs(30)));
        let _ = rig.say(ACK, 0);
        assert_armed(rig, &[(Timer::AcceptWait, secs(7))]);
        pass(rig, secs(3));
        assert_armed(rig, &[(Timer::AcceptWait, secs(4))]);
        rig.model.state = tcp_reset_core::State::Established;
        rig.accept();
        assert_armed(rig, &[]);
    });
}

#[test]
fn orphan_fin_wait_2_and_reset() {
    on_link(|rig| {
        rig.open();
        rig.close();
        assert_armed(rig, &[(Timer::Retransmission, secs(1)), (Timer::Orphan, MINUTE)]);
        pass(rig, ms(600));
        rig.peer_acks();
        assert_armed(rig, &[(Timer::FinWait2, ms(59_400))]);
    });
    on_link(|rig| {
        rig.open_with(StreamOptions { user_timeout: Some(secs(5)), ..small_stream() });
        rig.send(10);
        // The device takes nothing from here on.
        rig.engine.now = rig.engine.now + secs(5);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        assert_armed(rig, &[(Timer::Reset, MINUTE)]);
        rig.engine.now = rig.engine.now + secs(20);
        rig.engine.tcp.handle_timeout(rig.engine.now);
        assert_armed(rig, &[(Timer::Reset, secs(40))]);
        rig.engine.drain();
        assert_armed(rig, &[]);
    });
}

#[test]
fn time_wait_is_shown_while_the_application_holds_its_handle() {
    on_link(|rig| {
        crate::support::rig::reach::time_wait(rig);
        assert_eq!(crate::left(rig, Timer::TimeWait), Some(MINUTE));
        pass(rig, secs(20));
        assert_eq!(crate::left(rig, Timer::TimeWait), Some(secs(40)));
        let wait = rig.engine.tcp.time_waits().next().unwrap();
        assert_eq!((wait.local, wait.remote, wait.timer, wait.left), (rig.us, rig.peer, Timer::TimeWait, secs(40)));
        let again = Seg::new(FIN | ACK, rig.model.rcv_nxt.wrapping_sub(1), rig.model.snd_nxt, 0, 100);
        let _ = rig.inject(&again);
        assert_eq!(crate::left(rig, Timer::TimeWait), Some(MINUTE));
        pass(rig, MINUTE);
        assert_eq!(crate::left(rig, Timer::TimeWait), None);
    });
}

/// An overdue timer has nothing left, rather than everything.
#[test]
fn what_is_overdue_has_no_time_left() {
    on_link(|rig| {
        rig.open_with(StreamOptions { idle_timeout: Some(secs(100)), ..small_stream() });
        rig.send(10);
        rig.engine.now = rig.engine.now + DAY;
        // A call moves the clock; what is due waits for its timeout to be handled.
        assert_eq!(rig.engine.tcp.send(rig.engine.now, rig.handle.unwrap(), &[]), Ok(0));
        for (timer, left) in armed(rig) {
            assert_eq!(left, Duration::ZERO, "{timer}");
        }
        assert_eq!(armed(rig).len(), 2);
    });
}
