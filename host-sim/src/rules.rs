//! The rule table, printed from the same rows the tests check the engine against.

#[path = "../../core/tests/table/mod.rs"]
mod table;

use std::fmt::Write as _;

use anstyle::Style;

const HEAD: Style = Style::new().bold();

/// Draws the table: requirement, rule, states, stimulus, action, section, test.
pub fn table() -> String {
    let mut rows = vec![["id", "rule", "state", "stimulus", "action", "section", "test"].map(String::from)];
    rows.extend(table::TABLE.iter().map(|row| {
        let rule = row.rule.map_or("-", |rule| rule.name());
        [&row.ids.join(" "), rule, row.states, row.stimulus, row.action, row.section, row.test].map(String::from)
    }));
    let mut widths = [0; 7];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let style = if number == 0 { HEAD } else { Style::new() };
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{style}{}{style:#}", line.trim_end());
    }
    out
}
