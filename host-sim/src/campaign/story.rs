//! A failing world's ladder: what was sent, lost, forged and told, one line each.

use std::fmt::Write as _;

use tcp_reset_core::Control;

use super::addresses::Ep;
use crate::frame::Seen;

/// Lines that are kept; the first are dropped beyond.
const MOST: usize = 4_000;

/// What happened, if anybody wants to know.
#[derive(Default)]
pub(super) struct Story {
    lines: Option<Vec<String>>,
}

impl Story {
    /// A story that is written down.
    pub(super) fn told() -> Story {
        Story { lines: Some(Vec::new()) }
    }

    /// Adds a line, made only if somebody listens.
    pub(super) fn add(&mut self, at: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == MOST {
                lines.remove(0);
            }
            lines.push(format!("{:>6}.{:06}  {}", at / 1_000_000, at % 1_000_000, line()));
        }
    }

    /// Returns the lines.
    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// A segment in a few words.
pub(super) fn segment(seen: &Seen) -> String {
    let mut text = format!("{} → {}  ", Ep::of(seen.from), Ep::of(seen.to));
    let control = seen.control;
    let _ = write!(text, "{} SEQ={}", if control.is_empty() { "-".into() } else { control.to_string() }, seen.seq.0);
    if control.contains(Control::ACK) {
        let _ = write!(text, " ACK={}", seen.ack.0);
    }
    let _ = write!(text, " WND={}", seen.wnd);
    if seen.len > 0 {
        let _ = write!(text, " LEN={}", seen.len);
    }
    text
}
