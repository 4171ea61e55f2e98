//! Which link address a neighbor has, as far as active opens need it. ARP and neighbor discovery ask and teach.

use core::time::Duration;

use heapless::Vec;

use crate::time::Instant;
use crate::wire::addr::{Addr, LinkAddr};

/// How many neighbors are remembered; the one learned longest ago makes room.
const NEIGHBORS: usize = 8;
/// How many are asked for at a time. Who finds no place waits for the next round.
const QUERIES: usize = 4;
/// How long an answer is used.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long an answer is waited for before the question is put again (RFC 1122 §2.3.2.1: at most one a second; RFC 4861 §10: RETRANS_TIMER).
const RETRY: Duration = Duration::from_secs(1);

/// What a packet teaches about a neighbor.
#[derive(Clone, Copy)]
pub(super) enum Lesson {
    /// ARP to us: makes a new entry if that was asked for, or else brings up to date the one there is.
    Told(Addr, LinkAddr),
    /// ARP to all: brings up to date the entry there is.
    Announced(Addr, LinkAddr),
    /// An advertisement that answers: makes a new entry if that was asked for, or else is as good as none that nobody asked for.
    #[cfg(feature = "ipv6")]
    Answer(Addr, LinkAddr),
    /// An advertisement that nobody asked for: where it contradicts an entry, that is asked for again.
    #[cfg(feature = "ipv6")]
    Doubt(Addr, LinkAddr),
}

struct Neighbor {
    addr: Addr,
    link_addr: LinkAddr,
    learned_at: Instant,
}

/// Who has this address?
#[derive(Clone, Copy)]
pub(super) struct Question {
    pub(super) addr: Addr,
    /// The address of ours that wants to know (RFC 4861 §7.2.2).
    pub(super) source: Addr,
}

struct Query {
    question: Question,
    /// When the question went out; `None`: it wants to.
    asked_at: Option<Instant>,
}

pub(super) struct Neighbors {
    known: Vec<Neighbor, NEIGHBORS>,
    queries: Vec<Query, QUERIES>,
}

impl Neighbors {
    pub(super) const fn new() -> Neighbors {
        Neighbors { known: Vec::new(), queries: Vec::new() }
    }

    pub(super) fn forget_all(&mut self) {
        self.known.clear();
        self.queries.clear();
    }

    /// Returns the neighbor's address, or sees that it is asked for. Where the path is in doubt only an answer to a new question counts.
    pub(super) fn resolve(&mut self, addr: Addr, source: Addr, now: Instant, is_doubted: bool) -> Option<LinkAddr> {
        let until = |n: &Neighbor| if is_doubted { n.learned_at + RETRY } else { n.learned_at + LIFETIME };
        let fresh = |n: &&Neighbor| n.addr == addr && now < until(n);
        if let Some(neighbor) = self.known.iter().find(fresh) {
            return Some(neighbor.link_addr);
        }
        if !self.is_asked_for(addr) {
            // With no place free the segment waits: within a second the questions out now are answered or given up, and then the
            // others come first.
            let _ = self.queries.push(Query { question: Question { addr, source }, asked_at: None });
        }
        None
    }

    /// Returns the neighbor's address, if it was learned not long ago; asks nobody.
    pub(super) fn known(&self, addr: Addr, now: Instant) -> Option<LinkAddr> {
        let is_it = |n: &&Neighbor| n.addr == addr && now < n.learned_at + LIFETIME;
        self.known.iter().find(is_it).map(|neighbor| neighbor.link_addr)
    }

    /// Returns whether a neighbor is asked for.
    pub(super) fn is_asked_for(&self, addr: Addr) -> bool {
        self.queries.iter().any(|query| query.question.addr == addr)
    }

    /// The next question to ask.
    pub(super) fn question(&self) -> Option<Question> {
        self.queries.iter().find(|query| query.asked_at.is_none()).map(|query| query.question)
    }

    /// Returns whether a question waits to go out or for its answer.
    pub(super) fn is_asking(&self) -> bool {
        !self.queries.is_empty()
    }

    pub(super) fn asked(&mut self, addr: Addr, now: Instant) {
        if let Some(query) = self.queries.iter_mut().find(|query| query.question.addr == addr) {
            query.asked_at = Some(now);
        }
    }

    /// Takes in what a packet teaches. Returns whether somebody was waiting for it.
    pub(super) fn learn(&mut self, lesson: Lesson, now: Instant) -> bool {
        match lesson {
            Lesson::Told(addr, link_addr) if self.answered(addr, link_addr, now) => return true,
            Lesson::Told(addr, link_addr) | Lesson::Announced(addr, link_addr) => self.update(addr, link_addr, now),
            #[cfg(feature = "ipv6")]
            Lesson::Answer(addr, link_addr) if self.answered(addr, link_addr, now) => return true,
            #[cfg(feature = "ipv6")]
            Lesson::Answer(addr, link_addr) | Lesson::Doubt(addr, link_addr) => {
                self.known.retain(|n| n.addr != addr || n.link_addr == link_addr);
            }
        }
        false
    }

    /// Only an answer to a question of ours that has left makes a new entry. Returns whether it was one.
    fn answered(&mut self, addr: Addr, link_addr: LinkAddr, now: Instant) -> bool {
        let is_it = |query: &Query| query.question.addr == addr && query.asked_at.is_some();
        if let Some(at) = self.queries.iter().position(is_it) {
            self.queries.swap_remove(at);
            self.remember(Neighbor { addr, link_addr, learned_at: now });
            return true;
        }
        false
    }

    fn update(&mut self, addr: Addr, link_addr: LinkAddr, now: Instant) {
        if let Some(neighbor) = self.known.iter_mut().find(|n| n.addr == addr) {
            *neighbor = Neighbor { addr, link_addr, learned_at: now };
        }
    }

    fn remember(&mut self, neighbor: Neighbor) {
        self.known.retain(|n| n.addr != neighbor.addr);
        if self.known.is_full() {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, n)| n.learned_at).map(|(at, _)| at);
            if let Some(at) = oldest {
                self.known.swap_remove(at);
            }
        }
        // There is room now.
        let _ = self.known.push(neighbor);
    }

    /// Forgets questions that were not answered in time; returns how many, so that they are put again if still needed.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> usize {
        let before = self.queries.len();
        self.queries.retain(|query| query.asked_at.is_none_or(|at| at + RETRY > now));
        before - self.queries.len()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.queries.iter().filter_map(|query| query.asked_at).map(|at| at + RETRY).min()
    }
}
