//! `Status` shows each armed timer by its name, with the time it has to go, and no other.

use std::time::Duration;

use tcp_reset_core::{Config, ListenOptions, StreamOptions, Timer};

use crate::support::rig::{Link, quick_config, small_stream};
use crate::support::table::{ACK, FIN, RST, SYN, Seg};
use crate::{DAY, MINUTE, enter_with, keep, listener, ms, on_link, on_link_with, secs};

/// Every armed timer of the only connection, handle or not.
fn armed(link: &Link<'_>) -> Vec<(Timer, Duration)> {
    let (handle, _) = link.world.tcp.connections().next().unwrap();
    link.world.tcp.status(handle).unwrap().timers.armed().collect()
}

/// What a test expects in the order of [`Timer::ALL`].
fn assert_armed(link: &Link<'_>, expected: &[(Timer, Duration)]) {
    assert_eq!(armed(link), expected);
    let (handle, status) = link.world.tcp.connections().next().unwrap();
    for &timer in Timer::ALL {
        let left = expected.iter().find(|(armed, _)| *armed == timer).map(|(_, left)| *left);
        assert_eq!(link.world.tcp.status(handle).unwrap().timers.left(timer), left, "{timer}");
    }
    let first = expected.iter().map(|(_, left)| *left).min();
    assert_eq!(status.timer.map(|(at, _)| at.duration_since(link.world.now)), first, "the next of them");
}

/// Lets time pass and tells the engine.
fn pass(link: &mut Link<'_>, time: Duration) {
    link.world.wait(time);
    link.look();
    link.world.drain();
}

#[test]
fn an_idle_connection_without_limits_has_none() {
    on_link(|link| {
        link.open();
        assert_armed(link, &[]);
    });
}

#[test]
fn connect_and_the_limits_of_a_syn() {
    on_link(|link| {
        link.dial();
        assert_armed(link, &[(Timer::Connect, secs(1))]);
        pass(link, ms(300));
        assert_armed(link, &[(Timer::Connect, ms(700))]);
        pass(link, ms(700));
        assert_armed(link, &[(Timer::Connect, secs(2))]);
    });
    on_link(|link| {
        let limits = (Some(secs(100)), Some(secs(200)));
        link.dial_with(StreamOptions { user_timeout: limits.0, first_byte_timeout: limits.1, ..small_stream() });
        let expected = [(Timer::Connect, secs(1)), (Timer::UserTimeout, secs(100)), (Timer::FirstByte, secs(200))];
        assert_armed(link, &expected);
        let _ = link.say(SYN | ACK, 0);
        assert_armed(link, &[(Timer::FirstByte, secs(200))]);
    });
}

#[test]
fn retransmission_window_probe_and_user_timeout() {
    on_link(|link| {
        link.open_with(StreamOptions { user_timeout: Some(MINUTE), ..small_stream() });
        link.send(10);
        assert_armed(link, &[(Timer::Retransmission, secs(1)), (Timer::UserTimeout, MINUTE)]);
        pass(link, secs(1));
        assert_armed(link, &[(Timer::Retransmission, secs(2)), (Timer::UserTimeout, secs(59))]);
        crate::answer(link);
        assert_armed(link, &[]);
        link.peer_offers(0);
        link.send(10);
        let names = armed(link).into_iter().map(|(timer, _)| timer).collect::<Vec<_>>();
        assert_eq!(names, [Timer::WindowProbe, Timer::UserTimeout]);
    });
    on_link(|link| {
        link.open();
        link.send(10);
        assert_armed(link, &[(Timer::Retransmission, secs(1))]);
    });
}

#[test]
fn a_held_back_acknowledgment_and_a_challenge() {
    on_link_with(Config { delayed_ack: ms(40), ..quick_config() }, |link| {
        link.open();
        let _ = link.say(ACK, 5);
        assert_armed(link, &[(Timer::DelayedAck, ms(40))]);
        pass(link, ms(15));
        assert_armed(link, &[(Timer::DelayedAck, ms(25))]);
        pass(link, ms(25));
        assert_armed(link, &[]);
        link.look();
        let reset = Seg::new(RST, link.model.rcv_nxt.wrapping_add(3), 0, 0, 0);
        let _ = link.inject(&reset);
        assert_armed(link, &[(Timer::Challenge, secs(1))]);
        crate::answer(link);
        assert_armed(link, &[]);
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
    on_link(|link| {
        enter_with(link, ListenOptions { accept_timeout: Some(secs(7)), ..listener(stream) });
        let keep_in = |left| (Timer::KeepAlive, secs(left));
        assert_armed(link, &[keep_in(50), (Timer::Idle, secs(500)), (Timer::FirstByte, secs(300))]);
        pass(link, secs(50));
        assert_armed(link, &[keep_in(5), (Timer::Idle, secs(450)), (Timer::FirstByte, secs(250))]);
        let _ = link.say(ACK, 1);
        assert_armed(link, &[keep_in(50), (Timer::Idle, secs(500))]);
        link.send(1);
        assert_armed(link, &[(Timer::Retransmission, secs(1)), (Timer::Idle, secs(500))]);
    });
}

#[test]
fn the_wait_for_accept() {
    on_link(|link| {
        link.listen(ListenOptions { accept_timeout: Some(secs(7)), ..listener(small_stream()) });
        let _ = link.say(SYN, 0);
        let half = link.world.tcp.half_open().next().unwrap();
        assert_eq!(
            (half.local, half.remote, half.timer, half.left),
            (link.us, link.peer, Timer::SynReceived, secs(30))
        );
        let _ = link.say(ACK, 0);
        assert_armed(link, &[(Timer::AcceptWait, secs(7))]);
        pass(link, secs(3));
        assert_armed(link, &[(Timer::AcceptWait, secs(4))]);
        link.model.state = tcp_reset_core::State::Established;
        link.accept();
        assert_armed(link, &[]);
    });
}

#[test]
fn orphan_fin_wait_2_and_reset() {
    on_link(|link| {
        link.open();
        link.close();
        assert_armed(link, &[(Timer::Retransmission, secs(1)), (Timer::Orphan, MINUTE)]);
        pass(link, ms(600));
        link.peer_acks();
        assert_armed(link, &[(Timer::FinWait2, ms(59_400))]);
    });
    on_link(|link| {
        link.open_with(StreamOptions { user_timeout: Some(secs(5)), ..small_stream() });
        link.send(10);
        // The device takes nothing from here on.
        link.world.now = link.world.now + secs(5);
        link.world.tcp.handle_timeout(link.world.now);
        assert_armed(link, &[(Timer::Reset, MINUTE)]);
        link.world.now = link.world.now + secs(20);
        link.world.tcp.handle_timeout(link.world.now);
        assert_armed(link, &[(Timer::Reset, secs(40))]);
        link.world.drain();
        assert_armed(link, &[]);
    });
}

#[test]
fn time_wait_is_shown_while_the_application_holds_its_handle() {
    on_link(|link| {
        crate::support::rig::reach::time_wait(link);
        assert_eq!(crate::left(link, Timer::TimeWait), Some(MINUTE));
        pass(link, secs(20));
        assert_eq!(crate::left(link, Timer::TimeWait), Some(secs(40)));
        let wait = link.world.tcp.time_waits().next().unwrap();
        assert_eq!((wait.local, wait.remote, wait.timer, wait.left), (link.us, link.peer, Timer::TimeWait, secs(40)));
        let again = Seg::new(FIN | ACK, link.model.rcv_nxt.wrapping_sub(1), link.model.snd_nxt, 0, 100);
        let _ = link.inject(&again);
        assert_eq!(crate::left(link, Timer::TimeWait), Some(MINUTE));
        pass(link, MINUTE);
        assert_eq!(crate::left(link, Timer::TimeWait), None);
    });
}

/// An overdue timer has nothing left, rather than everything.
#[test]
fn what_is_overdue_has_no_time_left() {
    on_link(|link| {
        link.open_with(StreamOptions { idle_timeout: Some(secs(100)), ..small_stream() });
        link.send(10);
        link.world.now = link.world.now + DAY;
        // A call moves the clock; what is due waits for its timeout to be handled.
        assert_eq!(link.world.tcp.send(link.world.now, link.handle.unwrap(), &[]), Ok(0));
        for (timer, left) in armed(link) {
            assert_eq!(left, Duration::ZERO, "{timer}");
        }
        assert_eq!(armed(link).len(), 2);
    });
}
