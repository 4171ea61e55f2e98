//! The changes, one by one.

use std::collections::HashMap;

use super::source::Source;

/// A mutant: one alternative of one site.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// What the environment chooses it by; zero is none.
    pub(crate) id: usize,
    /// From `core/src`.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) function: String,
    pub(crate) change: String,
    /// Counts equal changes in one function, from 1.
    pub(crate) nth: usize,
    pub(crate) site: usize,
    pub(crate) alternative: usize,
}

/// Lists every mutant of the sources.
pub(crate) fn mutants(sources: &[Source]) -> Vec<Mutant> {
    let mut all = Vec::new();
    for source in sources {
        let mut seen: HashMap<(String, String), usize> = HashMap::new();
        for (index, site) in source.sites.iter().enumerate() {
            for (alternative, change) in site.alternatives.iter().map(|alternative| &alternative.change).enumerate() {
                let nth = seen.entry((site.function.clone(), change.clone())).or_default();
                *nth += 1;
                all.push(Mutant {
                    id: all.len() + 1,
                    file: source.file.clone(),
                    line: site.line,
                    function: site.function.clone(),
                    change: change.clone(),
                    nth: *nth,
                    site: index,
                    alternative,
                });
            }
        }
    }
    all
}

/// Returns a mutant in one line.
pub(crate) fn describe(mutant: &Mutant) -> String {
    let Mutant { file, line, function, change, nth, .. } = mutant;
    let nth = if *nth > 1 { format!(" ({nth})") } else { String::new() };
    format!("core/src/{file}:{line} {function}: {change}{nth}")
}
