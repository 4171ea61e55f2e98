//! What the log tells of the peers that the last restart has lost.

use core::fmt::{self, Display};

use tcp_reset_core::JournalCounters;

use super::shared::App;

/// Tells in the log what has become of them, once it is known. What lay in memory at power-on and was no record is no news.
#[embassy_executor::task]
pub(super) async fn tell(app: &'static App) {
    let counters = app.tcp.lost_peers_settled().await;
    if counters.found > 0 {
        defmt::info!("{}", defmt::Display2Format(&Summary(&counters)));
    }
}

/// "told 3 of 4 peers after the last restart, 1 gone". The status page says the same by its script.
struct Summary<'c>(&'c JournalCounters);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JournalCounters { found, ignored, probes: _, told, gone, given_up, forgotten } = self.0;
        write!(f, "told {told} of {found} peers after the last restart")?;
        let others = [(gone, "gone"), (given_up, "given up"), (forgotten, "forgotten"), (ignored, "records ignored")];
        others.into_iter().filter(|(count, _)| **count > 0).try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_summary_leaves_out_what_there_was_not() {
        let none = JournalCounters { found: 4, ignored: 0, probes: 9, told: 4, gone: 0, given_up: 0, forgotten: 0 };
        assert_eq!(Summary(&none).to_string(), "told 4 of 4 peers after the last restart");
        let some = JournalCounters { told: 3, gone: 1, ..none };
        assert_eq!(Summary(&some).to_string(), "told 3 of 4 peers after the last restart, 1 gone");
        let all = JournalCounters { found: 10, ignored: 5, probes: 9, told: 0, gone: 2, given_up: 3, forgotten: 4 };
        assert_eq!(
            Summary(&all).to_string(),
            "told 0 of 10 peers after the last restart, 2 gone, 3 given up, 4 forgotten, 5 records ignored"
        );
    }
}
