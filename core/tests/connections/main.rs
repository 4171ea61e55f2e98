//! Over each family: what connections do over time, whatever a peer, an attacker, the network or a full table does: stories that no
//! single segment shows.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod acknowledging;
mod closing;
#[cfg(feature = "cubic")]
mod cubic;
mod diagnostics;
#[cfg(feature = "ecn")]
mod ecn;
mod freed;
mod limits;
mod neighbors;
mod opening;
mod options;
mod path_mtu;
mod recovery;
#[cfg(feature = "timestamps")]
mod reopening;
mod restored;
#[cfg(feature = "sack")]
mod sack;
mod settings;
mod sharing;
#[cfg(feature = "timestamps")]
mod timestamps;
mod transfer;
mod user_timeout_option;
#[cfg(feature = "window-scale")]
mod window_scale;

use std::time::Duration;

use tcp_reset_core::Config;

use support::family::over_each;
use support::rig::{Engine, PEER_ISN, Rig, Store, quick_config};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn on(test: impl Fn(&mut Rig<'_>)) {
    on_with(quick_config(), test);
}

fn on_with(config: Config, test: impl Fn(&mut Rig<'_>)) {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        test(&mut Rig::new(Engine::new(&mut *store, config), family, PEER_ISN));
    });
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
