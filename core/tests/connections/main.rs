//! Over each family: what connections do over time, whatever a peer, an attacker, the network or a full table does: stories that no
//! single segment shows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod closing;
mod limits;
mod neighbors;
mod opening;
mod path_mtu;
mod settings;
mod sharing;
mod transfer;
mod user_timeout_option;

use std::time::Duration;

use tcp_reset_core::Config;

use support::family::over_each;
use support::rig::{Link, PEER_ISN, Store, World, quick_config};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn on(test: impl Fn(&mut Link<'_>)) {
    on_with(quick_config(), test);
}

fn on_with(config: Config, test: impl Fn(&mut Link<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Link::new(World::new(&mut *store, config), family, PEER_ISN));
    });
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
