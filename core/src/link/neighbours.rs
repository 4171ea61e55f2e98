//! Which link address an IPv4 address has (ARP, RFC 826), as far as active opens need it.

use core::net::Ipv4Addr;
use core::time::Duration;

use heapless::Vec;

use crate::output::Hop;
use crate::time::Instant;

/// How many neighbours are remembered; the one learned longest ago makes room.
const NEIGHBOURS: usize = 8;
/// How many are asked for at a time. Who finds no place waits for the next round.
const QUERIES: usize = 4;
/// How long an answer is used.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long an answer is waited for before the question is put again (RFC 1122 §2.3.2.1: at most one a second).
const RETRY: Duration = Duration::from_secs(1);

struct Neighbour {
    addr: Ipv4Addr,
    hop: Hop,
    learned_at: Instant,
}

struct Query {
    addr: Ipv4Addr,
    /// When the question went out; `None`: it wants to.
    asked_at: Option<Instant>,
}

pub(crate) struct Neighbours {
    known: Vec<Neighbour, NEIGHBOURS>,
    queries: Vec<Query, QUERIES>,
}

impl Neighbours {
    pub(crate) const fn new() -> Neighbours {
        Neighbours { known: Vec::new(), queries: Vec::new() }
    }

    pub(crate) fn forget_all(&mut self) {
        self.known.clear();
        self.queries.clear();
    }

    /// Gives the neighbour's address, or sees that it is asked for. Where the path is in doubt only an answer to a new question counts.
    pub(crate) fn resolve(&mut self, addr: Ipv4Addr, now: Instant, is_doubted: bool) -> Option<Hop> {
        let lifetime = if is_doubted { RETRY } else { LIFETIME };
        let fresh = |n: &&Neighbour| n.addr == addr && now.duration_since(n.learned_at) < lifetime;
        if let Some(neighbour) = self.known.iter().find(fresh) {
            return Some(neighbour.hop);
        }
        if !self.queries.iter().any(|query| query.addr == addr) {
            // With no place free the segment waits: within a second the questions out now are answered or given up, and then the
            // others come first.
            let _ = self.queries.push(Query { addr, asked_at: None });
        }
        None
    }

    /// The next address to ask for.
    pub(crate) fn question(&self) -> Option<Ipv4Addr> {
        self.queries.iter().find(|query| query.asked_at.is_none()).map(|query| query.addr)
    }

    pub(crate) fn asked(&mut self, addr: Ipv4Addr, now: Instant) {
        if let Some(query) = self.queries.iter_mut().find(|query| query.addr == addr) {
            query.asked_at = Some(now);
        }
    }

    /// Takes in what an ARP packet to us says. Only an answer to a question of ours makes a new entry. Says whether somebody was
    /// waiting for it.
    pub(crate) fn learn(&mut self, addr: Ipv4Addr, hop: Hop, now: Instant) -> bool {
        if let Some(at) = self.queries.iter().position(|query| query.addr == addr) {
            self.queries.swap_remove(at);
            self.remember(Neighbour { addr, hop, learned_at: now });
            return true;
        }
        self.update(addr, hop, now);
        false
    }

    /// An entry there is may be brought up to date by its owner, also by an announcement to all.
    pub(crate) fn update(&mut self, addr: Ipv4Addr, hop: Hop, now: Instant) {
        if let Some(neighbour) = self.known.iter_mut().find(|n| n.addr == addr) {
            *neighbour = Neighbour { addr, hop, learned_at: now };
        }
    }

    fn remember(&mut self, neighbour: Neighbour) {
        self.known.retain(|n| n.addr != neighbour.addr);
        if self.known.is_full() {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, n)| n.learned_at).map(|(at, _)| at);
            if let Some(at) = oldest {
                self.known.swap_remove(at);
            }
        }
        // There is room now.
        let _ = self.known.push(neighbour);
    }

    /// Forgets questions that were not answered in time; gives how many, so that they are put again if still needed.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> usize {
        let before = self.queries.len();
        self.queries.retain(|query| query.asked_at.is_none_or(|at| at + RETRY > now));
        before - self.queries.len()
    }

    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.queries.iter().filter_map(|query| query.asked_at).map(|at| at + RETRY).min()
    }
}
