//! A scenario's story as a ladder: the peer on the left, the core on the right, time downwards.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use tcp_reset_core::{Action, Control, Instant, Rule, Seq, State};

use crate::frame::Seen;
use crate::trace::{Entry, Step, Trace, Way};

/// Columns of the time in seconds.
const TIME: usize = 9;
/// From here on the time is told in days.
const DAYS_FROM: f64 = 90_000.0;
const SECONDS_OF_DAY: f64 = 86_400.0;
/// Columns of a state's name.
const STATE: usize = 12;
/// Columns between the two ends.
const SHAFT: usize = 41;
/// Segments of plain data transfer in a row that are drawn; the others are counted.
const DRAWN: usize = 4;

/// A number this close to an initial one is counted from it.
const NEAR: i32 = 1 << 26;

const FORGED: Style = AnsiColor::Magenta.on_default();
const RESET: Style = AnsiColor::Red.on_default();
const NOTE: Style = AnsiColor::Cyan.on_default();
const RULE: Style = AnsiColor::Yellow.on_default();

/// Draws a story up to its entry `end`. `peer` is the peer's name. No line that shows a segment is longer than 80 columns; the rule or the
/// reason stands below it.
pub fn draw(trace: &Trace, end: usize, peer: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, " {:>TIME$} {peer:<STATE$} {:SHAFT$} core", "seconds", "");
    let start = trace.steps().next().map(|step| step.at);
    let mut run = Vec::new();
    for (place, entry) in trace.entries[..end].iter().enumerate() {
        match entry {
            Entry::Segment(step) if is_transfer(step) => run.push((place, step)),
            Entry::Segment(step) => {
                draw_run(&mut out, trace, &mut run, start);
                draw_step(&mut out, trace, place, step, start);
            }
            Entry::Note(text) => {
                draw_run(&mut out, trace, &mut run, start);
                let _ = writeln!(out, " {:>TIME$} {NOTE}· {text}{NOTE:#}", "");
            }
        }
    }
    draw_run(&mut out, trace, &mut run, start);
    out
}

/// Data and acknowledgments that went as planned.
fn is_transfer(step: &Step) -> bool {
    let is_plain = !step.seen.control.intersects(Control::SYN | Control::FIN | Control::RST);
    let is_ordinary = match step.verdict.map(|verdict| verdict.rule) {
        None => step.way == Way::ToPeer,
        Some(rule) => {
            matches!(rule, Rule::AckAccepted | Rule::PayloadInOrder | Rule::PayloadOutOfOrder | Rule::SeqUnacceptable)
        }
    };
    let is_real = matches!(step.way, Way::ToUs | Way::ToPeer) && step.arrived();
    is_plain && is_ordinary && is_real && !is_probe(step)
}

/// We have no connection, and ask a peer that perhaps has one.
fn is_probe(step: &Step) -> bool {
    step.way == Way::ToPeer && matches!(step.ours, State::Closed | State::Listen) && step.seen.is(Control::ACK)
}

fn draw_run(out: &mut String, trace: &Trace, run: &mut Vec<(usize, &Step)>, start: Option<Instant>) {
    let hidden = run.len().saturating_sub(DRAWN);
    let (head, tail) = if hidden == 0 { (run.len(), 0) } else { (DRAWN / 2, DRAWN / 2) };
    for (place, step) in &run[..head] {
        draw_step(out, trace, *place, step, start);
    }
    if hidden > 0 {
        let hidden_steps = &run[head..run.len() - tail];
        let bytes = |way| -> usize {
            hidden_steps.iter().filter(|(_, step)| step.way == way).map(|(_, step)| step.seen.len).sum()
        };
        let (to_us, to_peer) = (bytes(Way::ToUs), bytes(Way::ToPeer));
        let _ = writeln!(out, " {:>TIME$} ⋮ {hidden} segments more: {to_us} bytes to the core, {to_peer} from it", "");
        for (place, step) in &run[run.len() - tail..] {
            draw_step(out, trace, *place, step, start);
        }
    }
    run.clear();
}

fn draw_step(out: &mut String, trace: &Trace, place: usize, step: &Step, start: Option<Instant>) {
    let seconds = start.map_or(0.0, |start| step.at.duration_since(start).as_secs_f64());
    let label = label(trace, place, &step.seen);
    let head = if step.arrived() { "▶" } else { "✗" };
    let (shaft, is_forged) = match step.way {
        Way::ToUs => (arrow(&label, '─', "", head), false),
        Way::ForgedToUs => (arrow(&label, '┄', "", head), true),
        Way::ToPeer => (arrow(&label, '─', if step.arrived() { "◀" } else { "✗" }, ""), false),
    };
    let style = if is_forged {
        FORGED
    } else if step.seen.control.contains(Control::RST) {
        RESET
    } else {
        Style::new()
    };
    let peer = state_shown(trace, place, step, |step| step.peer);
    let ours = state_shown(trace, place, step, |step| step.ours);
    let time = if seconds < DAYS_FROM { format!("{seconds:.3}") } else { format!("{:.2} d", seconds / SECONDS_OF_DAY) };
    let _ = writeln!(out, " {time:>TIME$} {peer:<STATE$} {style}{shaft}{style:#} {ours}");
    let why = why(step, is_forged);
    if !why.is_empty() {
        let _ = writeln!(out, " {:>TIME$} {:STATE$} {RULE}└ {why}{RULE:#}", "", "");
    }
}

/// Once a pair of endpoints has had a connection, its end reads CLOSED: that somebody listens there is nothing of this connection's.
fn state_shown(trace: &Trace, place: usize, step: &Step, state: impl Fn(&Step) -> State) -> State {
    let mut before = trace.entries[..place].iter().filter_map(|entry| match entry {
        Entry::Segment(other) if other.ends() == step.ends() => Some(other),
        Entry::Segment(_) | Entry::Note(_) => None,
    });
    let shown = state(step);
    let has_ended = shown == State::Listen && before.any(|step| !matches!(state(step), State::Listen | State::Closed));
    if has_ended { State::Closed } else { shown }
}

fn arrow(label: &str, dash: char, left: &str, right: &str) -> String {
    let width = label.chars().count() + left.chars().count() + right.chars().count() + 3;
    let rest: String = std::iter::repeat_n(dash, SHAFT.saturating_sub(width)).collect();
    format!("{left}{dash} {label} {rest}{right}")
}

/// Control bits and numbers relative to the initial ones.
pub(crate) fn label(trace: &Trace, place: usize, seen: &Seen) -> String {
    let own = trace.isns(seen.from, seen.to, place + 1);
    let other = trace.isns(seen.to, seen.from, place + 1);
    // The RST to a segment without ACK is at sequence number zero, not at our initial one.
    let is_at_zero = seen.is(Control::RST | Control::ACK) && seen.seq.0 == 0;
    let seq = if is_at_zero { "0".into() } else { relative(seen.seq, &own) };
    let mut text = format!("{} SEQ={seq}", seen.control);
    if seen.control.contains(Control::ACK) {
        let _ = write!(text, " ACK={}", relative(seen.ack, &other));
    }
    if seen.len > 0 {
        let _ = write!(text, " LEN={}", seen.len);
    }
    if seen.wnd == 0 && !seen.control.contains(Control::RST) {
        text.push_str(" WND=0");
    }
    text
}

/// Counts from the closest initial number below, marked by a prime where that is an earlier connection's: initial numbers are random, and
/// the latest may lie a little below an old one. What is near none is shown as it is, in hexadecimal.
fn relative(number: Seq, isns: &[Seq]) -> String {
    let from = |isn: &Seq| number.0.wrapping_sub(isn.0) as i32;
    let is_after = |isn: &&Seq| (0..NEAR).contains(&from(isn));
    let is_before = |isn: &&Seq| (-NEAR..0).contains(&from(isn));
    let below = isns.iter().filter(is_after).min_by_key(|isn| from(isn));
    let Some(isn) = below.or_else(|| isns.iter().find(is_before)) else {
        return format!("x{:08x}", number.0);
    };
    let prime = if Some(isn) == isns.first() { "" } else { "\u{2032}" };
    format!("{}{prime}", from(isn))
}

fn why(step: &Step, is_forged: bool) -> String {
    let mut why = String::new();
    if is_forged {
        why.push_str("(forged) ");
    }
    if let Some(verdict) = step.verdict
        && (is_forged || !is_transfer(step))
    {
        let _ = write!(why, "{}", verdict.rule);
        if verdict.action != Action::Accepted {
            let _ = write!(why, ": {}", verdict.action);
        }
    }
    if let Some(reason) = step.reset {
        let _ = write!(why, "{reason}");
    }
    if is_probe(step) {
        why.push_str("probe of a lost peer");
    }
    why
}
