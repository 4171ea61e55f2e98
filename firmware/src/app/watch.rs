//! The heartbeat, which feeds the watchdog, and what the log tells about resets: at most one line a second for each rule and
//! reason, however many segments come.

use embassy_time::{Duration, Timer};
use tcp_reset_core::{CloseReason, Counters, ResetReason, Rule};

use super::shared::App;
use super::stack_use::stack_use;

/// How often the counters are compared.
const LOOK: Duration = Duration::from_secs(1);
/// Every so many looks the heartbeat is told.
const HEARTBEAT: u32 = 60;

/// The counters as they were last told.
struct Told {
    rules: [u32; Rule::COUNT],
    sent: [u32; ResetReason::COUNT],
    closed: [u32; CloseReason::ALL.len()],
}

#[embassy_executor::task]
pub(super) async fn watch(app: &'static App) {
    let mut told = Told { rules: [0; Rule::COUNT], sent: [0; ResetReason::COUNT], closed: [0; CloseReason::ALL.len()] };
    let mut looks = 0_u32;
    loop {
        Timer::after(LOOK).await;
        let has_resets = app.tcp.inspect(|link| tell_news(&mut told, link.tcp_ref().counters()));
        app.board.panel.show_resets(has_resets);
        let now_s = app.started.elapsed().as_secs();
        app.tcp.inspect(|link| app.last_ends.borrow_mut().look(link.tcp_ref().counters(), now_s));
        app.board.panel.feed_watchdog();
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(HEARTBEAT) {
            let (connections, half_open, time_wait) = app.tcp.inspect(|link| link.tcp_ref().in_use());
            let stack = stack_use();
            defmt::info!(
                "up {=u64} s: {=usize} connections, {=usize} half-open, {=usize} in TIME-WAIT; stack {=usize} of {=usize}",
                app.started.elapsed().as_secs(),
                connections,
                half_open,
                time_wait,
                stack.used,
                stack.size
            );
        }
    }
}

/// Returns whether resets were among the news.
fn tell_news(told: &mut Told, counters: &Counters) -> bool {
    let mut has_resets = false;
    for (&rule, told) in Rule::ALL.iter().zip(&mut told.rules) {
        let news = since(told, counters.rule(rule));
        let Some(meaning) = meaning(rule).filter(|_| news > 0) else { continue };
        has_resets |= is_of_reset(rule);
        defmt::info!("{=u32} x {}: {=str}", news, rule, meaning);
    }
    for (&reason, told) in ResetReason::ALL.iter().zip(&mut told.sent) {
        let news = since(told, counters.reset_sent(reason));
        if news > 0 {
            has_resets = true;
            defmt::info!("{=u32} x RST sent: {=str}", news, reason.text());
        }
    }
    for (&reason, told) in CloseReason::ALL.iter().zip(&mut told.closed) {
        let news = since(told, counters.closed(reason));
        if news > 0 && !reason.is_orderly() {
            defmt::info!("{=u32} x connection ended: {}", news, defmt::Display2Format(&reason));
        }
    }
    has_resets
}

/// How much was counted since it was last told; now it is.
fn since(told: &mut u32, count: u32) -> u32 {
    count.wrapping_sub(core::mem::replace(told, count))
}

/// What somebody who watches for resets wants to know; plain transfer is not told.
#[allow(clippy::wildcard_enum_match_arm, reason = "the rules told are few")]
fn meaning(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::RstInWindow => "RST in the window, challenged, connection untouched",
        Rule::RstOutOfWindow => "RST outside the window, dropped",
        Rule::RstExact | Rule::RstExactClosing => "RST believed",
        Rule::RstSynReceivedPassive | Rule::RstSynReceivedActive => "RST ends a handshake",
        Rule::RstTimeWait => "RST in TIME-WAIT, ignored",
        Rule::SynSentRst => "refused",
        Rule::SynSynchronized => "SYN on a live connection, challenged",
        Rule::SynReceivedSynOther => "strange SYN in a handshake, challenged",
        Rule::AckUnacceptable => "ACK of something never sent, challenged",
        Rule::SynSentBadAck | Rule::SynReceivedBadAck => "wrong ACK in a handshake, reset",
        Rule::ClosedNoAck | Rule::ClosedAck => "segment to no connection, reset",
        Rule::ListenAck => "ACK to a listener, reset",
        Rule::ListenSynDropped => "SYN dropped, no room",
        Rule::ListenSynRefused => "SYN refused, no room",
        Rule::ChecksumWrong => "checksum wrong",
        Rule::Malformed => "malformed",
        Rule::NotAnswerable => "not answerable",
        Rule::Fragment => "fragment dropped",
        _ => return None,
    })
}

fn is_of_reset(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::RstInWindow
            | Rule::RstOutOfWindow
            | Rule::RstExact
            | Rule::RstExactClosing
            | Rule::RstSynReceivedPassive
            | Rule::RstSynReceivedActive
            | Rule::SynSentRst
    )
}
