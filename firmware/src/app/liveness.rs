//! How long a peer that gives nothing holds what it holds: every limit of the application, and what they add up to ([`Bound`]).
//!
//! The device has few slots, and nobody sits beside it who could clear them: a host that is gone gives its slot back while somebody still
//! waits for it. Whoever lives and uses a connection meets none of these limits.

use core::num::NonZeroU8;
use core::time::Duration;

use tcp_reset_core::{Config, EvictBy, Eviction, KeepAlive, ListenOptions, StreamOptions};

use super::sizes::BUFFER;

/// Every connection is asked for after a minute of silence, and is over after six questions in vain: a cable that was out for a minute, or a
/// router that restarted, ends nothing.
pub(super) const KEEP_ALIVE: KeepAlive = KeepAlive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(10),
    probes: NonZeroU8::MIN.saturating_add(5),
};
/// From the last sign of life until keepalive ends the connection.
pub(super) const KEEP_ALIVE_ENDS: Duration =
    Duration::from_secs(KEEP_ALIVE.idle.as_secs() + KEEP_ALIVE.interval.as_secs() * KEEP_ALIVE.probes.get() as u64);
/// What was written may be on its way for as long as keepalive's questions take: six attempts, one second and then twice as long each time.
const USER_TIMEOUT: Duration = Duration::from_secs(60);
/// Echo and discard: who types now and then stays, who does nothing for so long lets the next one in.
const SERVICE_IDLE: Duration = Duration::from_secs(300);
/// The status page: what browsers open in advance and never use is let go soon.
const PAGE_FIRST_BYTE: Duration = Duration::from_secs(5);
/// As long as those before it can take, and a little more.
const PAGE_ACCEPT: Duration = Duration::from_secs(15);
const PAGE_IDLE: Duration = Duration::from_secs(20);
/// The client reports every ten seconds, and the user timeout ends a server that does not acknowledge; this, one that opens and closes its
/// window and takes nothing.
const CLIENT_IDLE: Duration = Duration::from_secs(90);
/// What our side has closed is delivered meanwhile, or is lost.
const ORPHAN: Duration = Duration::from_secs(30);
/// With all slots taken the one that was idle the longest leaves for the next client. Less than a half-open record is kept, so that the
/// client still waits for it; more than the client's reports are apart, so that it is never the one.
const EVICTABLE_AFTER: Duration = Duration::from_secs(20);

const _: () = assert!(PAGE_IDLE.as_secs() > PAGE_ACCEPT.as_secs(), "who waits to be accepted is not idle");

/// Returns whether a client that reports so often meets none of the limits.
pub(super) const fn outlasts_reports(every_s: u64) -> bool {
    EVICTABLE_AFTER.as_secs() > every_s && CLIENT_IDLE.as_secs() > every_s + USER_TIMEOUT.as_secs()
}

/// Returns whether the limits leave a page's client the time for its request, and those behind it the time that both its waits can take.
pub(super) const fn outlasts_page(request_s: u64, closing_s: u64) -> bool {
    PAGE_FIRST_BYTE.as_secs() < request_s && PAGE_ACCEPT.as_secs() > request_s + closing_s
}

/// The engine's settings.
pub(super) fn config() -> Config {
    let eviction = Eviction { by: EvictBy::Idle, idle_for: EVICTABLE_AFTER };
    Config { orphan_timeout: ORPHAN, eviction: Some(eviction), ..Config::default() }
}

/// What all connections have.
const STREAM: StreamOptions = StreamOptions {
    rx_buffer: BUFFER,
    tx_buffer: BUFFER,
    user_timeout: Some(USER_TIMEOUT),
    keep_alive: Some(KEEP_ALIVE),
    ..StreamOptions::DEFAULT
};

/// The options of echo and discard. Who waits to be accepted waits for one of ours to end: that is bounded by the idle timeout.
pub(super) fn service(backlog: u8) -> ListenOptions {
    let stream = StreamOptions { idle_timeout: Some(SERVICE_IDLE), ..STREAM };
    ListenOptions { backlog, stream, ..ListenOptions::default() }
}

/// The options of the status page.
pub(super) fn page(backlog: u8) -> ListenOptions {
    let stream = StreamOptions { idle_timeout: Some(PAGE_IDLE), first_byte_timeout: Some(PAGE_FIRST_BYTE), ..STREAM };
    ListenOptions { backlog, accept_timeout: Some(PAGE_ACCEPT), stream, ..ListenOptions::default() }
}

/// The options of the client.
pub(super) fn client() -> StreamOptions {
    StreamOptions { idle_timeout: Some(CLIENT_IDLE), ..STREAM }
}

/// How long a peer can hold a slot without giving anything: `tcp_reset_core::Budget` of the options, as a test without a board derives it.
pub(super) struct Bound {
    /// From its last sign of life, in seconds.
    silent_s: u32,
    /// From the last byte that either side took, in seconds.
    stalling_s: u32,
}

pub(super) const SERVICE_BOUND: Bound = Bound { silent_s: 210, stalling_s: 300 };
pub(super) const PAGE_BOUND: Bound = Bound { silent_s: 30, stalling_s: 30 };
pub(super) const CLIENT_BOUND: Bound = Bound { silent_s: 90, stalling_s: 90 };

/// Logs it.
pub(super) fn tell(name: &str, bound: &Bound) {
    defmt::info!(
        "{=str}: a silent peer holds a slot for {=u32} s at most, a stalling one for {=u32} s",
        name,
        bound.silent_s,
        bound.stalling_s
    );
}

#[cfg(test)]
mod tests {
    use tcp_reset_core::{Budget, Peer, State};

    use super::*;

    fn assert_bound(bound: &Bound, budget: &Budget) {
        for (peer, bound_s) in [(Peer::Silent, bound.silent_s), (Peer::Stalling, bound.stalling_s)] {
            assert_eq!(budget.longest(peer), Some(Duration::from_secs(bound_s.into())), "{peer:?}");
        }
    }

    #[test]
    fn every_slot_is_bounded_as_the_log_says() {
        let config = config();
        assert_bound(&SERVICE_BOUND, &Budget::of_listener(&config, &service(3)).unwrap());
        assert_bound(&PAGE_BOUND, &Budget::of_listener(&config, &page(2)).unwrap());
        assert_bound(&CLIENT_BOUND, &Budget::of_stream(&config, &client()).unwrap());
    }

    #[test]
    fn a_silent_peer_of_a_waiting_connection_is_found_out_by_keepalive() {
        let budget = Budget::of_listener(&config(), &service(3)).unwrap();
        assert_eq!(budget.unaccepted(Peer::Silent), Some(KEEP_ALIVE_ENDS));
        assert_eq!(budget.in_state(State::Listen, Peer::Silent), Some(config().syn_received_timeout));
    }

    #[test]
    fn a_half_open_record_outlives_the_wait_for_an_eviction() {
        assert!(EVICTABLE_AFTER < config().syn_received_timeout);
    }

    #[test]
    fn a_client_that_asks_for_nothing_holds_a_page_for_seconds() {
        let budget = Budget::of_listener(&config(), &page(2)).unwrap();
        assert_eq!(budget.without_first_byte(Peer::Stalling), Some(PAGE_FIRST_BYTE));
    }
}
