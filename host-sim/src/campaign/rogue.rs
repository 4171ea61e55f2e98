//! A peer that keeps to a script: it holds connections without making the progress an honest one makes.

use tcp_reset_core::{Control, Seq};

use super::addresses::Ep;
use super::plan::{Manner, Rogue};
use crate::frame::Seen;

/// The window it offers where it offers one.
const WINDOW: u16 = 600;

/// One connection of it.
struct Session {
    ours: Ep,
    peer: Ep,
    snd_nxt: Seq,
    acked: Seq,
    high: Seq,
    is_open: bool,
}

/// See the module.
pub(super) struct RogueHost {
    pub place: usize,
    pub script: Rogue,
    sessions: Vec<Session>,
}

impl RogueHost {
    pub(super) fn new(place: usize, script: Rogue) -> RogueHost {
        RogueHost { place, script, sessions: Vec::new() }
    }

    /// Hears a segment. Returns what it answers.
    pub(super) fn takes(&mut self, seen: &Seen) -> Option<Seen> {
        let (peer, ours) = (Ep::of(seen.from), Ep::of(seen.to));
        let place = self.sessions.iter().position(|s| (s.ours, s.peer) == (ours, peer));
        if seen.control.contains(Control::RST) {
            if let Some(place) = place {
                self.sessions.swap_remove(place);
            }
            return None;
        }
        if seen.control == Control::SYN {
            if let Some(place) = place {
                self.sessions.swap_remove(place);
            }
            let (iss, acked) = (Seq(seen.seq.0 ^ 0x5555_5555), seen.seq + 1);
            self.sessions.push(Session { ours, peer, snd_nxt: iss + 1, acked, high: acked, is_open: false });
            return Some(say(ours, peer, Control::SYN | Control::ACK, iss, acked, WINDOW));
        }
        let Some(place) = place else {
            // What it has no session for it resets like everybody.
            let control = Control::RST;
            return seen.control.contains(Control::ACK).then(|| say(ours, peer, control, seen.ack, Seq(0), 0));
        };
        let session = &mut self.sessions[place];
        let fin = u32::from(seen.control.contains(Control::FIN));
        let end = seen.seq + seen.len as u32 + fin;
        if end.gt(session.high) {
            session.high = end;
        }
        if seen.len == 0 && fin == 0 {
            return None;
        }
        match self.script.manner {
            Manner::Mute | Manner::Crumbs => None,
            Manner::NeverCloses => {
                session.acked = session.high;
                Some(session.ack(WINDOW))
            }
            Manner::FlippingWindow => Some(session.flip()),
        }
    }

    /// Returns what it says without being asked.
    pub(super) fn speaks(&mut self) -> Vec<Seen> {
        let mut said = Vec::new();
        for session in &mut self.sessions {
            match self.script.manner {
                Manner::Crumbs if session.high.gt(session.acked) => {
                    session.acked += 1;
                    said.push(session.ack(WINDOW));
                }
                Manner::FlippingWindow if session.high.gt(session.acked) => said.push(session.flip()),
                Manner::Crumbs | Manner::FlippingWindow | Manner::Mute | Manner::NeverCloses => {}
            }
        }
        said
    }
}

impl Session {
    fn ack(&self, wnd: u16) -> Seen {
        say(self.ours, self.peer, Control::ACK, self.snd_nxt, self.acked, wnd)
    }

    fn flip(&mut self) -> Seen {
        self.is_open = !self.is_open;
        self.ack(u16::from(self.is_open))
    }
}

fn say(from: Ep, to: Ep, control: Control, seq: Seq, ack: Seq, wnd: u16) -> Seen {
    Seen { from: from.addr(), to: to.addr(), seq, ack, control, wnd, len: 0, timestamps: None }
}
