//! What came of the whole run.

use std::collections::BTreeMap;
use std::time::Instant as Clock;

use tcp_reset_core::Rule;

use crate::case::{Case, Wrong};
use crate::scenes::{SCENES, Scene};

const _: () = assert!(Rule::COUNT <= u128::BITS as usize, "a bit for each rule");

/// How many mismatches are printed in full.
const PRINTED: usize = 20;

/// What came of the whole run.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) cases: u64,
    pub(crate) pairs: u64,
    pub(crate) contradictions: u64,
    pub(crate) mismatches: u64,
    /// The first of each kind.
    pub(crate) printed: BTreeMap<(String, String, &'static str), String>,
    pub(crate) histogram: BTreeMap<(String, String, String, &'static str), u64>,
    /// One bit for each rule that was met.
    met: u128,
}

impl Report {
    pub(crate) fn merge(&mut self, other: Report) {
        self.cases += other.cases;
        self.pairs += other.pairs;
        self.contradictions += other.contradictions;
        self.mismatches += other.mismatches;
        for (kind, text) in other.printed {
            self.printed.entry(kind).or_insert(text);
        }
        for (key, count) in other.histogram {
            *self.histogram.entry(key).or_default() += count;
        }
        self.met |= other.met;
    }

    pub(crate) fn meets(&mut self, rule: Rule) {
        self.met |= 1 << rule as u32;
    }

    pub(crate) fn has_met(&self, rule: Rule) -> bool {
        self.met & 1 << rule as u32 != 0
    }

    pub(crate) fn note(&mut self, scene: &Scene, case: &Case, wrong: &Wrong) {
        self.mismatches += 1;
        let (expected, got) = (case.expected_rule.to_string(), case.verdict.rule.to_string());
        let kind = (expected.clone(), got.clone(), wrong.what);
        self.printed.entry(kind).or_insert_with(|| format!("{}: {}\n{case}", scene.name, wrong.text));
        *self.histogram.entry((scene.name.to_owned(), expected, got, wrong.what)).or_default() += 1;
    }
}

pub(crate) fn print(report: &Report, clock: Clock) {
    for text in report.printed.values().take(PRINTED) {
        println!("{text}\n");
    }
    for ((scene, expected, got, what), count) in &report.histogram {
        println!("{count:>8} x {scene}: {what}: the rules say {expected}, got {got}");
    }
    let seconds = clock.elapsed().as_secs_f32();
    let (scenes, pairs, aside) = (SCENES.len(), report.pairs, report.contradictions);
    println!(
        "{} cases in {scenes} scenes, {pairs} of them after another segment, {aside} set aside, {seconds:.1} s",
        report.cases
    );
}
