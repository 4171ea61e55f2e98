//! The table as Markdown.

use std::fmt;

use crate::grid::{Cell, Grid, Row, Value};
use crate::path::cell::{percent, size};
use crate::run::Contender;

/// A measured grid, printed as a table.
pub struct Table<'g> {
    /// What was measured.
    pub grid: &'g Grid,
    /// Its rows.
    pub rows: &'g [Row],
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contenders = &self.grid.contenders;
        write!(f, "| loss | reordered | RTT | buffer |")?;
        contenders.iter().try_for_each(|contender| write!(f, " {} |", contender.title()))?;
        writeln!(f, " ours/best | ours/none |")?;
        writeln!(f, "|{}", " ---: |".repeat(4 + contenders.len() + 2))?;
        for (cell, values) in self.rows {
            let Cell { reorder, loss, rtt, buffer } = *cell;
            write!(f, "| {} % | {} % | {rtt} ms | {} |", percent(loss), percent(reorder), size(buffer))?;
            values.iter().try_for_each(|value| write!(f, " {value} |"))?;
            let is_ours =
                |one: &&Contender| matches!(one, Contender::Ours | Contender::OursSack | Contender::OursCubic);
            let others = contenders.iter().filter(|one| !is_ours(one)).map(|one| self.value(values, *one));
            let best = others.flatten().reduce(f64::max);
            let ours = self.value(values, Contender::Ours);
            let none = self.value(values, Contender::SmoltcpNone);
            writeln!(f, " {} | {} |", ratio(ours, best), ratio(ours, none))?;
        }
        Ok(())
    }
}

impl Table<'_> {
    fn value(&self, values: &[Value], contender: Contender) -> Option<f64> {
        let column = self.grid.contenders.iter().position(|one| *one == contender)?;
        values[column].goodput()
    }

    /// Returns a line for each value that no goodput stands for because a connection ended.
    #[must_use]
    pub fn ends(&self) -> Vec<String> {
        self.explain(|value| if let Value::Ended(why) = value { Some(why) } else { None })
    }

    /// Returns a line for each value that could not be measured.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.explain(|value| if let Value::Failed(why) = value { Some(why) } else { None })
    }

    fn explain(&self, why: impl Fn(&Value) -> Option<&String>) -> Vec<String> {
        let mut lines = Vec::new();
        for (cell, values) in self.rows {
            for (value, contender) in values.iter().zip(&self.grid.contenders) {
                lines.extend(why(value).map(|why| format!("{}, {cell}: {why}", contender.title())));
            }
        }
        lines
    }
}

impl Value {
    /// Returns the goodput in kB/s, if there is one; zero if the connection ended.
    #[must_use]
    pub fn goodput(&self) -> Option<f64> {
        match self {
            Value::Goodput(goodput) => Some(*goodput),
            Value::Ended(_) => Some(0.0),
            Value::NotAvailable | Value::Failed(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Goodput(goodput) if *goodput < 100.0 => write!(f, "{goodput:.1}"),
            Value::Goodput(goodput) => write!(f, "{goodput:.0}"),
            Value::NotAvailable => f.write_str("n/a"),
            Value::Ended(_) => f.write_str("ended"),
            Value::Failed(_) => f.write_str("failed"),
        }
    }
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> String {
    ours.zip(theirs).map_or_else(|| "n/a".into(), |(ours, theirs)| format!("{:.2}", ours / theirs))
}
