//! The window we offer, and what arrives in it (§2.4, appendix F, RFC 9293 §3.10.7.4, RFC 5961 §3).

use tcp_reset_core::{Action, CloseReason, Event, Rule, State};

use super::*;
#[cfg(feature = "sack")]
use crate::support::packet::segment::Seg as Read;
use crate::support::table::{FIN, PSH, RST};
use crate::support::world::Rng;

/// The right edge that a segment offers, counted from the peer's first byte.
fn edge(l: &Rig<'_>, sent: &Sent) -> u32 {
    sent.ack.wrapping_sub(first(l)) + (sent.wnd << SHIFT)
}

/// A peer that keeps to what it was ever offered, and an application that reads as it likes; every byte is compared.
struct Flow {
    /// Bytes that the peer has sent, and that the application has read.
    said: u32,
    read: u32,
    /// The furthest right edge that was offered.
    most: u32,
}

impl Flow {
    fn new(l: &Rig<'_>) -> Flow {
        let most = l.model.rcv_wnd << SHIFT;
        assert_eq!(most, BUFFER, "the whole buffer, by the handshake's ACK");
        Flow { said: 0, read: 0, most }
    }

    fn look(&mut self, l: &Rig<'_>) {
        for sent in &l.engine.sent {
            let edge = edge(l, sent);
            assert!(
                edge + (1 << SHIFT) > self.most,
                "it moves left by no more than the rounding: {edge} {}",
                self.most
            );
            assert!(edge <= self.read + BUFFER, "what has no room is not offered");
            self.most = self.most.max(edge);
        }
    }

    /// The peer says the next `len` bytes, or what was offered of them; all is taken at once.
    fn say(&mut self, l: &mut Rig<'_>, len: u32) {
        let len = len.min(self.most - self.said);
        if len == 0 {
            return;
        }
        assert_eq!(say(l, ACK, self.said, len).rule, Rule::PayloadInOrder, "{}..{}", self.said, self.most);
        self.said += len;
        assert_eq!(status(l).rcv_nxt.0, first(l).wrapping_add(self.said), "all that was ever offered is taken");
        assert_eq!(l.engine.only().ack, status(l).rcv_nxt.0);
        self.look(l);
    }

    /// The application reads up to `n` bytes. Returns whether an ACK tells of it.
    fn read(&mut self, l: &mut Rig<'_>, n: u32) -> bool {
        let bytes = read(l, n as usize);
        assert_eq!(bytes, text(first(l).wrapping_add(self.read), n.min(self.said - self.read)), "at {}", self.read);
        self.read += bytes.len() as u32;
        self.look(l);
        !l.engine.sent.is_empty()
    }
}

#[test]
fn all_that_was_ever_offered_is_taken_and_nothing_offered_without_room() {
    for seed in 0..6 {
        // Numbers that wrap, too.
        on_open_from(PEER_ISN.wrapping_sub(1_500_000 * seed as u32), 5, 1_000, |l| {
            let (mut rng, mut flow) = (Rng::new(seed), Flow::new(l));
            l.engine.is_audited = false;
            while flow.read < 700_000 {
                match rng.below(8) {
                    // Up to the edge, and then byte by byte.
                    0 => {
                        while flow.said < flow.most {
                            let len = rng.pick(&[1, 3, 999, 1_000, 1_400]);
                            flow.say(l, len);
                        }
                        for _ in 0..rng.below(3_000) {
                            flow.read(l, 1);
                            if rng.percent(5) {
                                flow.say(l, 1);
                            }
                        }
                    }
                    1 => {
                        flow.read(l, BUFFER);
                    }
                    2..5 => flow.say(l, rng.below(1_401) as u32),
                    _ => {
                        flow.read(l, rng.below(2_000) as u32);
                    }
                }
            }
            assert_eq!(l.engine.tcp.audit(), Ok(()));
        });
    }
}

/// Of a window of less than eight bytes a header says nothing. The peer that is told so probes it, and hears when it opens.
#[test]
fn what_a_header_cannot_say_is_taken_and_the_opening_is_told() {
    for left in 0..8 {
        on_open(5, 1_000, |l| {
            let mut flow = Flow::new(l);
            while flow.said < BUFFER - left {
                flow.say(l, 1_000.min(BUFFER - left - flow.said));
            }
            assert_eq!((l.engine.only().wnd, status(l).rcv_wnd), (0, left), "nothing");
            // A probe.
            let rule = say(l, ACK, flow.said, 1).rule;
            assert_eq!(rule, if left > 0 { Rule::PayloadInOrder } else { Rule::ZeroWindow });
            flow.said += left.min(1);
            assert_eq!((l.engine.only().ack, l.engine.only().wnd), (first(l).wrapping_add(flow.said), 0));
            // A segment is worth telling, half of it is not.
            assert!(!flow.read(l, 500));
            assert!(flow.read(l, 600));
            assert!(l.engine.only().wnd << SHIFT >= 1_000);
            flow.say(l, 1_000);
            assert!(flow.read(l, BUFFER));
            assert!(edge(l, l.engine.only()) + (1 << SHIFT) > flow.read + BUFFER, "the whole buffer");
        });
    }
}

/// Where windows are not scaled a buffer is used as far as a header can say it.
#[test]
fn without_scale_a_large_buffer_stalls_nobody() {
    on_open(None, 1_000, |l| {
        let mut edge_said = UNSCALED;
        let (mut said, mut got) = (0, 0);
        for _ in 0..8 {
            while said < edge_said {
                let len = MSS.min(edge_said - said);
                assert_eq!(say(l, ACK, said, len).rule, Rule::PayloadInOrder);
                said += len;
                edge_said = edge_said.max(said + l.engine.only().wnd).min(got + UNSCALED);
            }
            assert_eq!(read(l, BUFFER as usize), text(first(l).wrapping_add(got), said - got));
            got = said;
            let wnd = l.engine.sent.last().map_or(UNSCALED, |sent| sent.wnd);
            edge_said = got + wnd;
            assert_eq!(wnd, UNSCALED);
        }
    });
}

// Beyond 65,535

/// Text beyond a gap, farther off than a header says without scale.
#[test]
fn what_arrives_far_beyond_a_gap_is_kept() {
    on_open(5, 1_000, |l| {
        let ahead = [(70_000, 1_000), (BUFFER - 1_000, 1_000), (65_535, 2), (200_000, 1_000)];
        for (at, len) in ahead {
            assert_eq!(say(l, ACK, at, len).rule, Rule::PayloadOutOfOrder, "{at}");
            assert_eq!(l.engine.only().ack, first(l));
            #[cfg(feature = "sack")]
            assert!(
                status(l).sack
                    || Read { options: l.engine.only().options.clone(), ..Read::default() }.sack().is_empty()
            );
        }
        for (at, len) in [(0, 65_535), (65_537, 4_463), (71_000, 129_000), (201_000, BUFFER - 202_000)] {
            say_all(l, at, len);
        }
        assert_eq!(status(l).rcv_nxt.0, first(l).wrapping_add(BUFFER));
        assert_eq!(l.engine.only().ack, status(l).rcv_nxt.0);
        assert_eq!(read(l, BUFFER as usize), text(first(l), BUFFER));
    });
}

#[cfg(feature = "sack")]
#[test]
fn blocks_far_beyond_a_gap_are_told() {
    let options = [&options(Some(5))[..], &[4, 2, 1, 1]].concat();
    on_big(config(), |l| {
        begin(l, Way::Active, &options, stream_of(BUFFER));
        complete(l, Way::Active, &options, 1_000);
        let mut told = vec![];
        for (at, len) in [(65_534, 4), (70_000, 1_000), (140_000, 1_000), (BUFFER - 10, 10)] {
            let _ = say(l, ACK, at, len);
            told.insert(0, (at, at + len));
            let sent = l.engine.only();
            let blocks = Read { options: sent.options.clone(), ..Read::default() }.sack();
            let blocks: Vec<_> =
                blocks.iter().map(|(a, b)| (a.wrapping_sub(first(l)), b.wrapping_sub(first(l)))).collect();
            assert_eq!((sent.ack, &blocks), (first(l), &told));
        }
        // Once more (RFC 2883), also what is acknowledged, a window away.
        let twice = |l: &Rig<'_>| {
            let sent = l.engine.only();
            let blocks = Read { options: sent.options.clone(), ..Read::default() }.sack();
            blocks.first().map(|(a, b)| (a.wrapping_sub(first(l)), b.wrapping_sub(first(l))))
        };
        let _ = say(l, ACK, 140_100, 100);
        assert_eq!(twice(l), Some((140_100, 140_200)));
        say_all(l, 0, BUFFER);
        let _ = say(l, ACK, 10, 100);
        assert_eq!(twice(l), Some((10, 110)));
    });
}

#[test]
fn what_lies_beyond_the_window_is_not_taken() {
    on_open(5, 1_000, |l| {
        assert_eq!(say(l, ACK, BUFFER, 10).rule, Rule::SeqUnacceptable);
        assert_eq!(say(l, ACK, BUFFER - 10, 30).rule, Rule::PayloadOutOfOrder, "what is before the edge");
        assert_eq!(say(l, ACK, BUFFER, 0).rule, Rule::AckAtRightEdge);
        assert_eq!(say(l, ACK, BUFFER - 1, 0).rule, Rule::AckAccepted);
        assert_eq!(say(l, ACK, BUFFER + 1, 0).rule, Rule::SeqUnacceptable);
        say_all(l, 0, BUFFER - 10);
        assert_eq!(status(l).rcv_nxt.0, first(l).wrapping_add(BUFFER));
        assert_eq!(read(l, BUFFER as usize), text(first(l), BUFFER));
    });
}

#[test]
fn a_fin_far_beyond_a_gap_waits_for_its_turn() {
    for at in [65_535, 65_536, 70_000, 140_000, BUFFER - 1, BUFFER] {
        on_open(5, 1_000, |l| {
            // One of its own is in the window; with text before it, right behind it.
            if at == BUFFER {
                return;
            }
            assert_eq!(say(l, ACK | FIN, at, 0).rule, Rule::FinOutOfOrder, "{at}");
            assert_eq!((l.state(), l.engine.only().ack), (State::Established, first(l)));
            // Behind a FIN there is nothing.
            let _ = say(l, ACK, at, 1);
            say_all(l, 0, at);
            assert_eq!((l.state(), l.engine.only().ack), (State::CloseWait, first(l).wrapping_add(at + 1)), "{at}");
            assert_eq!(read(l, BUFFER as usize), text(first(l), at));
            assert!(l.engine.events.iter().any(|event| matches!(event, Event::PeerFinished(_))));
        });
        // With text before it.
        on_open(5, 1_000, |l| {
            assert_eq!(say(l, ACK | FIN | PSH, at - 500, 500).rule, Rule::FinOutOfOrder, "{at}");
            say_all(l, 0, at - 500);
            assert_eq!((l.state(), l.engine.only().ack), (State::CloseWait, first(l).wrapping_add(at + 1)), "{at}");
            assert_eq!(read(l, BUFFER as usize), text(first(l), at));
        });
    }
}

#[test]
fn a_reset_in_the_window_is_challenged_and_only_the_exact_one_ends() {
    let in_window = [1, 65_534, 65_535, 65_536, 70_000, 0x2_0000, BUFFER - 1].map(|at| (at, Rule::RstInWindow));
    let edges = [(BUFFER, Rule::RstAtRightEdge), (BUFFER + 1, Rule::RstOutOfWindow), (u32::MAX, Rule::RstBeforeNext)];
    let outside = [(0x8_0000, Rule::RstOutOfWindow), (u32::MAX - 1, Rule::RstOutOfWindow)];
    for (at, rule) in in_window.into_iter().chain(edges).chain(outside) {
        on_open(5, 1_000, |l| {
            let verdict = say(l, RST, at, 0);
            let action = if rule == Rule::RstOutOfWindow { Action::Dropped } else { Action::Challenged };
            assert_eq!((verdict.rule, verdict.action), (rule, action), "{at}");
            assert_eq!(
                (l.state(), l.engine.sent.len()),
                (State::Established, usize::from(action == Action::Challenged))
            );
            // A peer that meant it answers our ACK by the exact one.
            let ended = Action::Ended(CloseReason::ResetByPeer);
            assert_eq!(say(l, RST, 0, 0).action, ended);
            assert_eq!((l.state(), l.engine.sent.len()), (State::Closed, 0));
        });
    }
}

/// The record of TIME-WAIT has the window that was offered last.
#[test]
fn time_wait_keeps_a_large_window() {
    for (at, rule) in [(1, Rule::TimeWaitOther), (100_000, Rule::TimeWaitOther), (BUFFER + 9, Rule::SeqUnacceptable)] {
        on_open(5, 1_000, |l| {
            l.shutdown();
            let _ = say(l, ACK, 0, 0);
            let _ = say(l, ACK | FIN, 0, 0);
            assert_eq!(l.state(), State::TimeWait);
            assert_eq!(say(l, ACK, at, 10).rule, rule, "{at}");
        });
    }
}

/// The peer's window counts in TIME-WAIT as the largest that it can say, and that can be used.
#[test]
fn time_wait_believes_acknowledgments_within_the_largest_scaled_window() {
    for shift in [0, 1, 5] {
        let most = (UNSCALED << shift).min(BUFFER);
        for (behind, rule) in [(most, Rule::TimeWaitOther), (most + 1, Rule::AckUnacceptable)] {
            on_open(shift, 1_000, |l| {
                l.shutdown();
                let _ = say(l, ACK, 0, 0);
                let _ = say(l, ACK | FIN, 0, 0);
                let (seq, ack) = (first(l).wrapping_add(1), l.model.snd_nxt.wrapping_sub(behind));
                let raw = Raw { seq, ack, flags: ACK, text: &[1], ..Raw::default() };
                assert_eq!(arrive(l, &raw).rule, rule, "{behind}");
            });
        }
    }
}
