//! A failing world, made small: operations are taken out as long as it still fails in the same way.

use super::plan::Plan;

/// Worlds tried.
const TRIES: usize = 1_500;

/// What a failure is, without the numbers in it.
pub fn kind(failure: &str) -> String {
    let mut kind = String::new();
    for c in failure.chars() {
        if !c.is_ascii_digit() {
            kind.push(c);
        } else if !kind.ends_with('#') {
            kind.push('#');
        }
    }
    kind
}

/// Delta debugging over the plan's operations. `fails` says how a plan fails.
pub fn shrink(plan: &Plan, failure: &str, mut fails: impl FnMut(&Plan) -> Option<String>) -> Plan {
    let want = kind(failure);
    let mut best = plan.clone();
    let (mut size, mut tries) = (best.ops.len().div_ceil(2), 0);
    while size > 0 && tries < TRIES {
        let (mut at, mut is_smaller) = (0, false);
        while at < best.ops.len() && tries < TRIES {
            let mut less = best.clone();
            less.ops.drain(at..(at + size).min(less.ops.len()));
            tries += 1;
            if fails(&less).is_some_and(|failure| kind(&failure) == want) {
                (best, is_smaller) = (less, true);
            } else {
                at += size;
            }
        }
        if !is_smaller {
            size /= 2;
        }
    }
    best
}
