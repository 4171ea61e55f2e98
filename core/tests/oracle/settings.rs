//! Where the numbers of both sides begin, and how a scene is built.

use std::time::Duration;

use tcp_reset_core::Instant;

use crate::scenes::{Scene, scene};
use crate::support::family::Family;
use crate::support::rig::reach::dial;
use crate::support::rig::{BUFFER, Engine, PEER_ISN, Rig, START, Store, key, quick_config};

/// Over which family a scene plays, and where the numbers of both sides begin.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    pub(crate) isn: u32,
    pub(crate) start: Instant,
    /// The peer's timestamps, where it has them.
    pub(crate) clock: Option<u32>,
}

/// Builds the scene, the engine audited at each step; the rig is as it was after the last scripted segment.
pub(crate) fn build<'s>(scene: &Scene, setting: Setting, store: &'s mut Store) -> Rig<'s> {
    play(scene, setting, store, true)
}

/// Builds the scene once more. The rules are judged here, millions of times: the same steps are not audited again.
pub(crate) fn rebuild<'s>(scene: &Scene, setting: Setting, store: &'s mut Store) -> Rig<'s> {
    play(scene, setting, store, false)
}

fn play<'s>(scene: &Scene, setting: Setting, store: &'s mut Store, is_audited: bool) -> Rig<'s> {
    let mut config = quick_config();
    config.challenge_limit = u8::MAX;
    (scene.configure)(&mut config);
    let mut rig = Rig::new(Engine::with(store, config, key(0x5a), setting.start), setting.family, setting.isn);
    rig.engine.is_audited = is_audited;
    rig.stamp = setting.clock;
    for step in scene.build {
        step(&mut rig);
    }
    rig.model.exhausted = scene.exhausted;
    rig.engine.is_audited = false;
    rig
}

/// Nothing wraps.
pub(crate) fn plain(family: Family) -> Setting {
    Setting { name: "plain", family, isn: PEER_ISN, start: START, clock: None }
}

/// The numbers of both sides wrap: the start is where our ISS, which grows by one each 4 us, lies just before zero.
pub(crate) fn both_wrap(family: Family) -> Setting {
    let setting = Setting { name: "both wrap", isn: 0xffff_fffe, ..plain(family) };
    let iss = build(&scene("", &[dial]), setting, &mut Store::new()).model.iss;
    let start = START + Duration::from_micros(4 * u64::from(0xffff_fffb_u32.wrapping_sub(iss)));
    Setting { start, ..setting }
}

pub(crate) fn peer_wraps_at_the_edge(family: Family) -> Setting {
    Setting { name: "peer wraps at the edge", isn: 0_u32.wrapping_sub(BUFFER), ..plain(family) }
}

/// The peer has timestamps, and they are about to wrap, as a number or as one with a sign.
pub(crate) fn with_timestamps(family: Family) -> Setting {
    let clock = match family {
        Family::V4 => u32::MAX,
        Family::V6 => i32::MAX.cast_unsigned(),
    };
    Setting { name: "timestamps", clock: Some(clock), ..plain(family) }
}
