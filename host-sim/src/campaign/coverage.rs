//! What happened in a campaign's worlds, and what never did.

use tcp_reset_core::{CloseReason, Counters, Fate, JournalCounters, Rule};

use super::conn::Conn;
use crate::frame::Congestion;

/// Sums over worlds.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Segments judged by each rule, in the order of [`Rule::ALL`].
    rules: [u64; Rule::ALL.len()],
    /// Ends with each reason, in the order of [`CloseReason::ALL`].
    ends: [u64; CloseReason::ALL.len()],
    /// Streams that carried so many bytes at least: a hundred, a thousand, ten thousand.
    streams: [u64; STREAMS.len()],
    /// Streams whose sequence numbers crossed 2^32.
    wraps: u64,
    /// Streams with more in flight than a window without a scale, and those whose sequence numbers crossed 2^32 within.
    large_flights: u64,
    /// See `large_flights`.
    large_wraps: u64,
    /// Packets that the wire has marked, and segments that say so, or that less is sent (RFC 3168).
    marks: [u64; 3],
    /// What reboots have lost and journals have not: told, gone, given up, forgotten.
    fates: [u64; Fate::COUNT],
}

/// See [`Coverage`].
const STREAMS: [u64; 3] = [100, 1_000, 10_000];

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage {
            rules: [0; Rule::ALL.len()],
            ends: [0; CloseReason::ALL.len()],
            streams: [0; STREAMS.len()],
            wraps: 0,
            large_flights: 0,
            large_wraps: 0,
            marks: [0; 3],
            fates: [0; Fate::COUNT],
        }
    }
}

impl Coverage {
    /// Adds what an engine has counted.
    pub(super) fn add_counters(&mut self, counters: &Counters) {
        for (sum, rule) in self.rules.iter_mut().zip(Rule::ALL) {
            *sum += u64::from(counters.rule(*rule));
        }
        for (sum, reason) in self.ends.iter_mut().zip(CloseReason::ALL) {
            *sum += u64::from(counters.closed(*reason));
        }
        let JournalCounters { told, gone, given_up, forgotten, .. } = counters.journal;
        for (sum, times) in self.fates.iter_mut().zip([told, gone, given_up, forgotten]) {
            *sum += u64::from(times);
        }
    }

    /// Adds what a frame says of marks.
    pub(super) fn add_congestion(&mut self, said: &Congestion) {
        let [_, echoes, reductions] = &mut self.marks;
        if !said.is_syn {
            *echoes += u64::from(said.ece);
            *reductions += u64::from(said.cwr);
        }
    }

    /// Adds a packet that the wire has marked.
    pub(super) fn add_mark(&mut self) {
        self.marks[0] += 1;
    }

    /// Returns how many packets were marked, how many segments said so, and how many said that less is sent.
    #[must_use]
    pub fn marks(&self) -> [u64; 3] {
        self.marks
    }

    /// Adds what an application wrote on a connection.
    pub(super) fn add_stream(&mut self, conn: &Conn) {
        for (sum, least) in self.streams.iter_mut().zip(STREAMS) {
            *sum += u64::from(conn.written >= least);
        }
        let crosses = u64::from(conn.iss.0) + 1 + conn.written > 1 << 32;
        self.wraps += u64::from(conn.written > 0 && crosses);
        self.large_flights += u64::from(conn.has_large_flight);
        self.large_wraps += u64::from(conn.has_large_wrap);
    }

    /// Adds the sums of other worlds.
    pub(super) fn add(&mut self, other: &Coverage) {
        let Coverage { rules, ends, streams, wraps, large_flights, large_wraps, marks, fates } = other;
        let add = |sums: &mut [u64], more: &[u64]| sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        add(&mut self.rules, rules);
        add(&mut self.ends, ends);
        add(&mut self.streams, streams);
        self.wraps += wraps;
        self.large_flights += large_flights;
        self.large_wraps += large_wraps;
        add(&mut self.marks, marks);
        add(&mut self.fates, fates);
    }

    /// Returns how many streams had more than 65,535 bytes in flight, and how many of them while their sequence numbers crossed 2^32.
    #[must_use]
    pub fn large_flights(&self) -> (u64, u64) {
        (self.large_flights, self.large_wraps)
    }

    fn times(&self, rule: Rule) -> u64 {
        self.rules[rule as usize]
    }
}

impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [hundred, thousand, ten_thousand] = self.streams;
        writeln!(
            f,
            "streams: {hundred} of 100 bytes and more, {thousand} of 1,000, {ten_thousand} of 10,000; {} crossed 2^32; {} TIME-WAITs reopened",
            self.wraps,
            self.times(Rule::SynTimeWaitReopens)
        )?;
        writeln!(
            f,
            "streams with more than 65,535 bytes in flight: {}, {} of them across 2^32",
            self.large_flights, self.large_wraps
        )?;
        let [marks, echoes, reductions] = self.marks;
        writeln!(f, "{marks} packets marked, {echoes} segments with ECE, {reductions} with CWR")?;
        let fates = Fate::ALL.iter().zip(self.fates).map(|(fate, times)| format!("{times} {fate}"));
        writeln!(f, "peers that reboots lost and journals remembered: {}", fates.collect::<Vec<_>>().join(", "))?;
        let rules = Rule::ALL.iter().filter(|rule| self.times(**rule) == 0).map(|rule| rule.name().to_string());
        let ends = CloseReason::ALL.iter().zip(self.ends).filter(|(_, times)| *times == 0);
        let large = [("a large flight", self.large_flights), ("a large flight across 2^32", self.large_wraps)];
        let large = large.into_iter().filter(|(_, times)| *times == 0).map(|(what, _)| what.to_string());
        let never: Vec<_> = rules.chain(ends.map(|(reason, _)| reason.to_string())).chain(large).collect();
        write!(f, "never: {}", if never.is_empty() { "nothing".into() } else { never.join(", ") })
    }
}
