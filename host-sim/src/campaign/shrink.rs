//! A failing world, made small: operations are taken out as long as it still fails in the same way.

use super::plan::Plan;

/// Worlds tried.
const TRIES: usize = 1_500;

/// What a failure is, without the numbers and the hosts' letters in it.
pub(super) fn kind(failure: &str) -> String {
    let mut kind = String::new();
    let mut before = ' ';
    let mut chars = failure.chars().peekable();
    while let Some(c) = chars.next() {
        let is_alone = !before.is_ascii_alphanumeric()
            && !chars.peek().is_some_and(|next| next.is_ascii_alphanumeric() || *next == '-');
        if c.is_ascii_digit() {
            if !kind.ends_with('#') {
                kind.push('#');
            }
        } else if c.is_ascii_uppercase() && is_alone {
            kind.push('?');
        } else {
            kind.push(c);
        }
        before = c;
    }
    kind
}

/// Delta debugging over the plan's operations. `fails` says how a plan fails.
pub(super) fn shrink(plan: &Plan, failure: &str, mut fails: impl FnMut(&Plan) -> Option<String>) -> Plan {
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
