//! Names as keys and labels are written.

use core::fmt::{self, Display, Write};

/// Shows a name in snake_case: `RstInWindow` as `rst_in_window`, `timed out (keepalive)` as `timed_out_keepalive`.
pub(super) struct Snake<T>(pub(super) T);

impl<T: Display> Display for Snake<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Snaking { out: f, last: Last::Nothing }, "{}", self.0)
    }
}

/// What came last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Capital,
    Other,
    Between,
}

struct Snaking<'o, 'f> {
    out: &'o mut fmt::Formatter<'f>,
    last: Last,
}

impl Write for Snaking<'_, '_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        if !c.is_ascii_alphanumeric() {
            if self.last != Last::Nothing {
                self.last = Last::Between;
            }
            return Ok(());
        }
        let begins_word = self.last == Last::Between || (c.is_ascii_uppercase() && self.last == Last::Other);
        if begins_word {
            self.out.write_char('_')?;
        }
        self.last = if c.is_ascii_uppercase() { Last::Capital } else { Last::Other };
        self.out.write_char(c.to_ascii_lowercase())
    }
}
