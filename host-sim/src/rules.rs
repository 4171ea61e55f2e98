//! The rule table, printed from the rows that stand beside the rules.

use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use tcp_reset_core::{RULE_TABLE, Requirement, RuleRow};

const HEAD: [&str; 7] = ["id", "rule", "state", "stimulus", "action", "section", "test"];

/// Draws the table: requirements, rule, states, stimulus, action, section, test. On a terminal cells are wrapped to its width; in a
/// pipe every row is one line.
pub fn table() -> String {
    let mut drawn = Table::new();
    drawn.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    drawn.set_header(HEAD.map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for row in RULE_TABLE {
        drawn.add_row(cells(row));
    }
    drawn.trim_fmt()
}

/// Writes the same as a page of Markdown, with what each requirement asks for.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for requirement in Requirement::ALL {
        page += &format!("| {} | {} |\n", requirement.name(), escaped(requirement.statement()));
    }
    page += "\n## Rules\n\n";
    page += &line(HEAD.map(str::to_owned));
    page += &line(HEAD.map(|_| "---".to_owned()));
    for row in RULE_TABLE {
        page += &line(cells(row).map(|cell| escaped(&cell)));
    }
    page
}

const INTRODUCTION: &str = "\
# The rules

Written by `cargo run -p host-sim -- rules --markdown`; a test holds it to be current.

Each rule has one name (`Rule`), one place in `core/src/rules`, one test and one row here. Sections are RFC 9293's unless another RFC is
named; a deviation is explained where the code decides. A row without a rule is about what no single segment shows.

## Requirements

| id | what it asks for |
|---|---|
";

fn cells(row: &RuleRow) -> [String; 7] {
    let ids: Vec<&str> = row.requirements.iter().map(|requirement| requirement.name()).collect();
    let rule = row.rule.map_or("-", |rule| rule.name());
    [&ids.join(" "), rule, row.states, row.stimulus, row.action, row.section, row.test].map(str::to_owned)
}

fn line(cells: [String; 7]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// What Markdown would take for markup stays text.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "\\<")
}
