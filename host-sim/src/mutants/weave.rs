//! Puts every change into the text at once, each behind a question which one is chosen.

use std::ops::Range;

use super::find::{Kind, Site};
use super::mutant::Mutant;

/// The module of the copy that knows which mutant is chosen.
pub(crate) const CHOOSER: &str = "mutants";

/// A file with its mutants in it.
pub(crate) struct Woven {
    pub(crate) text: String,
    /// Where each mutant's own code stands, and where its site does.
    pub(crate) places: Vec<(usize, Range<usize>, Range<usize>)>,
}

/// Weaves the given mutants of one file.
pub(crate) fn weave(source: &str, sites: &[Site], mutants: &[&Mutant]) -> Woven {
    let mut weaver =
        Weaver { source, sites, mutants, next: 0, at: 0, out: Woven { text: String::new(), places: Vec::new() } };
    weaver.until(source.len(), true);
    weaver.out
}

struct Weaver<'a> {
    source: &'a str,
    sites: &'a [Site],
    mutants: &'a [&'a Mutant],
    next: usize,
    at: usize,
    out: Woven,
}

impl Weaver<'_> {
    /// Writes the source up to `end`, with the sites that begin before it.
    fn until(&mut self, end: usize, is_last: bool) {
        while let Some(site) = self.sites.get(self.next).filter(|site| site.range.start < end || is_last) {
            let index = self.next;
            self.next += 1;
            self.out.text.push_str(&self.source[self.at..site.range.start]);
            self.at = site.range.start;
            self.site(index, site);
        }
        self.out.text.push_str(&self.source[self.at..end]);
        self.at = end;
    }

    fn site(&mut self, index: usize, site: &Site) {
        let began = self.out.text.len();
        let first = self.out.places.len();
        let all = self.mutants;
        let here: Vec<&Mutant> = all.iter().copied().filter(|mutant| mutant.site == index).collect();
        let close = match (site.kind, here.is_empty()) {
            (_, true) => "",
            (Kind::Expression, false) => {
                self.out.text.push('(');
                for mutant in &here {
                    self.choice("if", mutant, &site.alternatives[mutant.alternative].text);
                    self.out.text.push_str("else ");
                }
                self.out.text.push_str("{ ");
                " })"
            }
            (Kind::Deletion, false) => {
                for mutant in &here {
                    let place = self.out.text.len();
                    self.out.text.push_str(&format!("if !crate::{CHOOSER}::on({}) {{ ", mutant.id));
                    self.out.places.push((mutant.id, place..self.out.text.len(), 0..0));
                }
                " }"
            }
            (Kind::Insertion, false) => {
                for mutant in &here {
                    self.choice(" if", mutant, &site.alternatives[mutant.alternative].text);
                }
                ""
            }
        };
        let mine = first..self.out.places.len();
        self.until(site.range.end, false);
        self.out.text.push_str(close);
        let whole = began..self.out.text.len();
        for (_, _, site) in &mut self.out.places[mine] {
            *site = whole.clone();
        }
    }

    fn choice(&mut self, word: &str, mutant: &Mutant, text: &str) {
        let place = self.out.text.len();
        self.out.text.push_str(&format!("{word} crate::{CHOOSER}::on({}) {{ {text} }} ", mutant.id));
        self.out.places.push((mutant.id, place..self.out.text.len(), 0..0));
    }
}
