//! The rule table, printed from the same rows the tests check the engine against.

#[path = "../../core/tests/table/mod.rs"]
mod table;

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};

const HEAD: [&str; 7] = ["id", "rule", "state", "stimulus", "action", "section", "test"];

/// Draws the table: requirement, rule, states, stimulus, action, section, test. On a terminal cells are wrapped to its width; in a
/// pipe every row is one line.
pub fn table() -> String {
    let mut drawn = Table::new();
    drawn.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    drawn.set_header(HEAD.map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for row in table::TABLE {
        let rule = row.rule.map_or("-", |rule| rule.name());
        drawn.add_row([&row.ids.join(" "), rule, row.states, row.stimulus, row.action, row.section, row.test]);
    }
    drawn.trim_fmt()
}
