//! The smallest echo servers, the package in `firmware/echo`: what the stack takes by itself, beside smoltcp, and what each feature of core
//! costs.

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};

use super::budget::Budgets;
use super::elf::Image;
use crate::image::{self, Speaks};

const TARGET: &str = "thumbv7em-none-eabihf";
const OURS: &str = "echo-core";
const THEIRS: &str = "echo-smoltcp";
/// The symbol whose address is the number of bytes of a further connection, without its buffers.
const CONNECTION: &str = "connection_bytes";

/// What core is built with, as the table shows it, and the features.
const PRICES: &[(&str, &[&str])] = &[
    ("none", &[]),
    ("`keepalive`", &["keepalive"]),
    ("`deadlines`", &["deadlines"]),
    ("`eviction`, and `deadlines` with it", &["eviction"]),
    ("`user-timeout-option`", &["user-timeout-option"]),
    ("`sack`", &["sack"]),
    ("`timestamps`", &["timestamps"]),
    ("`window-scale`", &["window-scale"]),
    ("`ecn`", &["ecn"]),
    ("`cubic`", &["cubic"]),
    ("`journal`", &["journal"]),
    ("`reset-diagnostics`", &["reset-diagnostics"]),
    (
        "all of these",
        &[
            "keepalive",
            "eviction",
            "user-timeout-option",
            "sack",
            "timestamps",
            "window-scale",
            "ecn",
            "cubic",
            "journal",
            "reset-diagnostics",
        ],
    ),
    ("`ethernet`, which this server has no use for", &["ethernet"]),
    ("`ipv6`", &["ipv6"]),
    (
        "`ipv6` and all of these",
        &[
            "ipv6",
            "keepalive",
            "eviction",
            "user-timeout-option",
            "sack",
            "timestamps",
            "window-scale",
            "ecn",
            "cubic",
            "journal",
            "reset-diagnostics",
        ],
    ),
];

/// Builds the servers and prints what they take; returns what is beyond the budget.
///
/// # Errors
/// If a server cannot be built or read, or the budget names none for it.
pub(super) fn weigh(budgets: &Budgets) -> Result<Vec<String>> {
    let faults = compare(budgets)?;
    list_prices()?;
    Ok(faults)
}

/// A server's image, weighed.
struct Server {
    flash: u64,
    ram: u64,
    /// Bytes of a further connection, which only our image tells.
    connection: Option<u64>,
}

impl Server {
    fn build(name: &str, features: &[&str]) -> Result<Server> {
        let image = Image::read(&image::build_echo(TARGET, name, features)?)?;
        Ok(Server { flash: image.flash_without_vectors(), ram: image.ram(), connection: image.symbol(CONNECTION) })
    }
}

/// The most flash that our server shall take once it is as small as it can be, in bytes.
fn target(speaks: Speaks) -> u64 {
    match speaks {
        Speaks::Both => 37_000,
        Speaks::Ipv4 => 26_000,
    }
}

/// Prints our server beside smoltcp's; returns what is beyond the budget.
fn compare(budgets: &Budgets) -> Result<Vec<String>> {
    let mut table = Table::new();
    let titles = ["families", "flash", "budget", "target", "smoltcp's", "ratio", "RAM", "budget", "smoltcp's", "ratio"];
    table.set_header(titles);
    let mut faults = Vec::new();
    for (speaks, features) in [(Speaks::Both, &["ipv6"] as &[&str]), (Speaks::Ipv4, &[])] {
        let (ours, theirs) = (Server::build(OURS, features)?, Server::build(THEIRS, features)?);
        let budget = budgets.of(OURS, speaks)?;
        faults.extend(budget.faults(OURS, speaks, ours.flash, ours.ram));
        let flash = [ours.flash, budget.flash, target(speaks), theirs.flash].map(|bytes| bytes.to_string());
        let ram = [ours.ram, budget.ram, theirs.ram].map(|bytes| bytes.to_string());
        let mut row = vec![speaks.families().to_owned()];
        row.extend(flash);
        row.push(ratio(ours.flash, theirs.flash));
        row.extend(ram);
        row.push(ratio(ours.ram, theirs.ram));
        table.add_row(row);
    }
    print(table, "The smallest echo server over IP, one connection with two buffers of 1,024 bytes, beside smoltcp's:");
    Ok(faults)
}

fn ratio(ours: u64, theirs: u64) -> String {
    format!("{:.2}", ours as f64 / theirs as f64)
}

/// Prints what our server takes with each feature of core, each with its settings in use.
fn list_prices() -> Result<()> {
    let mut table = Table::new();
    table.set_header(["features of core", "flash", "more", "a further connection", "more"]);
    let mut least = None;
    for (title, features) in PRICES {
        let Server { flash, connection, .. } = Server::build(OURS, features)?;
        let connection = connection.with_context(|| format!("{OURS} has no symbol {CONNECTION}"))?;
        let (least_flash, least_connection) = *least.get_or_insert((flash, connection));
        // Code that is inlined differently can make it less.
        let more = |bytes: u64, least: u64| (bytes as i64 - least as i64).to_string();
        let (more_flash, more_connection) = (more(flash, least_flash), more(connection, least_connection));
        table.add_row([(*title).to_owned(), flash.to_string(), more_flash, connection.to_string(), more_connection]);
    }
    print(table, "The same server with each feature of core in use; a connection without its buffers:");
    Ok(())
}

fn print(mut table: Table, title: &str) {
    table.load_style(presets::ASCII_MARKDOWN);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    anstream::println!("\n{title}\n\n{table}");
}
