//! Whole systems by seed: two engines, a wire that loses, repeats, reorders, delays and corrupts, and applications that
//! check every byte, over each family. A failing seed is printed;
//! `SEED=n cargo test --test lossy_link every_byte -- --nocapture` runs that one alone,
//! with its segments, and `SEEDS=n` runs more of them.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tcp_reset_core::link::{Link, Medium};
use tcp_reset_core::{CloseReason, Config, Event, Instant, LinkAddr, State, Storage, StreamOptions, Timer};

use support::family::{Family, over_each};
use support::packet::neighbors::read_question;
use support::rig::frames;
use support::world::{
    self, ACK, FIN, MACS, MS, Path, Plan, RST, Rng, SECOND, START, Seg, World, ahead, stores, text_of,
};

const SEEDS: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
/// No seed's connection needs longer.
const LIMIT: u64 = START + 100_000 * HOUR;
const ETHERNET: Medium = Medium::Ethernet(LinkAddr([0; 6]));

/// One seed's setting.
struct Setting {
    configs: [Config; 2],
    plans: [Plan; 2],
    paths: [Path; 2],
    busy: u64,
    medium: Medium,
    /// Nobody gives up however long it takes, so both streams must arrive whole.
    is_patient: bool,
}

fn setting(seed: u64) -> Setting {
    let mut rng = Rng::new(seed.wrapping_mul(0x1_0001));
    let is_patient = !rng.percent(25);
    let opening = rng.below(4);
    let medium = if rng.percent(50) { Medium::Ip } else { ETHERNET };
    let mut configs = [config(&mut rng, is_patient), config(&mut rng, is_patient)];
    let mut plans = [plan(&mut rng, is_patient), plan(&mut rng, is_patient)];
    // Mostly one side connects to the other's listener, sometimes both connect to each other.
    plans[0].connects = true;
    plans[1].connects = opening == 0;
    plans[1].listens = opening != 0;
    // One side may have nothing to say and half-close at once; somebody must close first.
    match rng.below(4) {
        0 => plans[rng.clone().below(2) as usize].total = 0,
        1 => plans[1].total = plans[0].total,
        _ => {}
    }
    if !plans[0].shuts_first && !plans[1].shuts_first {
        plans[0].shuts_first = true;
    }
    if rng.percent(20) {
        let same = configs[0];
        configs[1] = same;
    }
    let worst = rng.pick(&[0, 2, 10, 20, 30]);
    Setting {
        configs,
        plans,
        paths: [path(&mut rng, worst), path(&mut rng, worst)],
        busy: rng.pick(&[0, 0, 5, 30]),
        medium,
        is_patient,
    }
}

fn config(rng: &mut Rng, is_patient: bool) -> Config {
    let mut config = Config {
        mss: Some(rng.pick(&[64, 100, 536, 1_460, 1_460])),
        rto_min: Duration::from_millis(rng.pick(&[200, 1_000, 1_000])),
        delayed_ack: Duration::from_millis(rng.pick(&[0, 40, 40, 200, 499])),
        ..Config::default()
    };
    if is_patient {
        config.connect_timeout = Duration::from_secs(40_000);
        config.syn_received_timeout = Duration::from_secs(40_000);
        config.time_wait = Duration::from_secs(4_000);
        // A slow reader takes days.
        config.orphan_timeout = Duration::from_secs(400_000);
    }
    config
}

fn plan(rng: &mut Rng, is_patient: bool) -> Plan {
    let largest = rng.pick(&[1, 100, 3_000, 20_000, 60_000, 200_000]);
    let smallest_buffer = if largest > 20_000 { 4 } else { 0 };
    let buffer = |rng: &mut Rng| 64 << (smallest_buffer + rng.below(10 - smallest_buffer));
    let is_pausing = rng.percent(60);
    Plan {
        total: rng.below(largest + 1) as usize,
        write_chunk: rng.pick(&[1, 10, 700, 5_000]).max(largest as usize / 4_000),
        read_chunk: rng.pick(&[5, 100, 3_000]).max(largest as usize / 4_000),
        read_pause: if is_pausing { rng.pick(&[1, 10, 50]) } else { 0 },
        write_pause: if is_pausing { rng.pick(&[1, 10, 50]) } else { 0 },
        pause_us: rng.pick(&[MS, 100 * MS, 2 * SECOND, 20 * SECOND]),
        shuts_first: rng.percent(70),
        closes_early: rng.percent(30),
        stream: StreamOptions {
            rx_buffer: buffer(rng) as usize,
            tx_buffer: buffer(rng) as usize,
            nagle: rng.percent(60),
            r2: Duration::from_secs(if is_patient { 60_000 } else { 100 }),
            ..StreamOptions::default()
        },
        ..Plan::default()
    }
}

fn path(rng: &mut Rng, worst: u64) -> Path {
    Path {
        delay_us: rng.pick(&[50, MS, 20 * MS, 150 * MS]),
        jitter_us: rng.pick(&[0, 0, MS, 50 * MS]),
        loss: rng.below(worst + 1),
        duplicate: rng.pick(&[0, 0, 1, 10]).min(worst),
        reorder: rng.pick(&[0, 0, 5, 30]).min(worst),
        corrupt: rng.pick(&[0, 0, 1, 5]).min(worst),
        down: None,
    }
}

/// Runs a seed over a family and gives a line about it.
fn run(family: Family, seed: u64, log: bool) -> String {
    let Setting { configs, plans, paths, busy, medium, is_patient } = setting(seed);
    let mut stores = stores();
    let mut world = World::new(family, &mut stores, configs, plans, medium, seed);
    world.paths = paths;
    world.busy = busy;
    world.log = log;
    world.open();
    if !world.run_to(LIMIT, is_over) {
        end_half_open(&mut world, is_patient);
    }
    check_ends(&world, is_patient);
    let took = world.now - START;
    assert!(world.run_to(LIMIT + HOUR, is_drained), "records are left\n{}", world.describe());
    let corrupted = world.corrupted;
    let of = |i: usize| world.nodes[i].app.received;
    format!(
        "{} and {} bytes in {} s, {} frames, {} again, {corrupted} corrupted, {:?}",
        of(0),
        of(1),
        took / SECOND,
        world.frames(),
        world.retransmissions(),
        [0, 1].map(|i: usize| world.nodes[i].app.closed),
    )
}

/// Nothing more will happen, and it is not over. That may be only where one side gave up and its RST was lost while the other had
/// nothing to say (a half-open connection); the other learns it when it speaks.
fn end_half_open(world: &mut World<'_>, is_patient: bool) {
    assert!(!is_patient, "stuck\n{}", world.describe());
    let ends = [0, 1].map(|i: usize| world.nodes[i].app.closed);
    assert!(
        ends.iter().any(|end| end.is_some_and(|r| !r.is_orderly())),
        "stuck, and nobody was told\n{}",
        world.describe()
    );
    for i in 0..2 {
        let node = &mut world.nodes[i];
        let live = node.app.handle.filter(|_| node.app.closed.is_none());
        if let Some(handle) = live {
            let now = Instant::from_micros(world.now);
            node.link.tcp().abort(now, handle).unwrap();
            node.app.has_given_up = true;
            world.serve(i, false);
        }
    }
    assert!(world.run_to(LIMIT + HOUR, is_over), "abort ends nothing\n{}", world.describe());
}

fn check_ends(world: &World<'_>, is_patient: bool) {
    for i in 0..2 {
        let (app, peer) = (&world.nodes[i].app, &world.nodes[1 - i].app);
        if app.handle.is_none() {
            assert!(!is_patient, "never opened\n{}", world.describe());
            continue;
        }
        let reason = app.closed.expect("every connection ends with a reason");
        assert!(!is_patient || reason.is_orderly(), "{i} ended by {reason}\n{}", world.describe());
        if is_patient || app.is_at_end {
            assert_eq!(app.received, peer.sent, "bytes at {i}, {reason}\n{}", world.describe());
        }
        if is_patient {
            assert_eq!(app.sent, app.plan.total, "\n{}", world.describe());
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_string()));
    text.unwrap_or_default()
}

#[test]
fn every_byte_arrives_once_in_order_or_the_end_has_a_reason() {
    if let Ok(seed) = std::env::var("SEED") {
        let seed = seed.parse().expect("SEED is a number");
        over_each(|family| println!("seed {seed}: {}", run(family, seed, true)));
        return;
    }
    let seeds = std::env::var("SEEDS").map_or(SEEDS, |n| n.parse().expect("SEEDS is a number"));
    let run_share = |share: u64| {
        let mut failures = Vec::new();
        for seed in (0..seeds).filter(|seed| seed % 2 == share) {
            for &family in Family::ALL {
                match catch_unwind(AssertUnwindSafe(|| run(family, seed, false))) {
                    Ok(line) => println!("seed {seed} over {family:?}: {line}"),
                    Err(panic) => failures.push((seed, family, message(&*panic))),
                }
            }
        }
        failures
    };
    let mut failures = std::thread::scope(|scope| {
        let other = scope.spawn(|| run_share(1));
        let mut failures = run_share(0);
        failures.extend(other.join().unwrap());
        failures
    });
    failures.sort();
    for (seed, family, what) in &failures {
        println!("SEED={seed} fails over {family:?}: {what}\n");
    }
    let seeds: Vec<(u64, Family)> = failures.iter().map(|(seed, family, _)| (*seed, *family)).collect();
    assert!(seeds.is_empty(), "failing seeds: {seeds:?}");
}

// Situations that chance rarely meets.

/// One side connects, the other listens; nobody closes.
fn staying(total: [usize; 2]) -> [Plan; 2] {
    let plan = |i: usize| Plan { connects: i == 0, listens: i == 1, total: total[i], stays: true, ..Plan::default() };
    [plan(0), plan(1)]
}

fn is_over(world: &World<'_>) -> bool {
    world.is_over()
}

fn is_drained(world: &World<'_>) -> bool {
    world.is_drained()
}

fn has_all(world: &World<'_>) -> bool {
    [0, 1].iter().all(|&i: &usize| {
        let (app, peer) = (&world.nodes[i].app, &world.nodes[1 - i].app);
        app.received == peer.plan.total
    })
}

fn opened<'s>(family: Family, stores: &'s mut [Box<world::Store>; 2], plans: [Plan; 2], medium: Medium) -> World<'s> {
    let mut world = World::new(family, stores, [Config::default(); 2], plans, medium, 1);
    world.open();
    world
}

fn state_of(world: &World<'_>, i: usize) -> State {
    let tcp = world.nodes[i].link.tcp_ref();
    tcp.state_of(world.sides[i], world.sides[1 - i])
}

#[test]
fn link_cut_for_90_seconds_connection_survives_and_goes_on() {
    over_each(|family| {
        for medium in [Medium::Ip, ETHERNET] {
            let mut stores = stores();
            let mut world = opened(family, &mut stores, staying([200_000; 2]), medium);
            world.run_until(START + 20 * MS);
            assert!(!has_all(&world));
            let down = Some((world.now, world.now + 90 * SECOND));
            for path in &mut world.paths {
                path.down = down;
            }
            world.run_for(Duration::from_secs(90));
            assert!(!has_all(&world));
            let limit = world.now + 130 * SECOND;
            assert!(world.run_to(limit, has_all), "{}", world.describe());
        }
    });
}

#[test]
fn link_cut_for_ever_the_sender_is_told_and_every_slot_comes_back() {
    over_each(|family| {
        for medium in [Medium::Ip, ETHERNET] {
            let mut stores = stores();
            let mut world = opened(family, &mut stores, staying([200_000; 2]), medium);
            world.run_until(START + 20 * MS);
            let from = world.now;
            for path in &mut world.paths {
                path.down = Some((from, u64::MAX));
            }
            world.run_for(Duration::from_secs(400));
            for i in 0..2 {
                let app = &world.nodes[i].app;
                let timed_out = CloseReason::TimedOut(Timer::Retransmission);
                assert_eq!(app.closed, Some(timed_out), "\n{}", world.describe());
                assert!(app.has_given_up);
                let in_use = world.nodes[i].link.tcp_ref().in_use();
                assert_eq!(in_use, (0, 0, 0), "{medium:?}: a dead peer keeps the slot\n{}", world.describe());
            }
        }
    });
}

#[test]
fn link_cut_before_the_syn_the_attempt_ends_by_its_timer() {
    over_each(|family| {
        for medium in [Medium::Ip, ETHERNET] {
            let mut stores = stores();
            let plans = staying([0; 2]);
            let mut world = World::new(family, &mut stores, [Config::default(); 2], plans, medium, 1);
            for path in &mut world.paths {
                path.down = Some((0, u64::MAX));
            }
            world.open();
            world.run_for(Duration::from_secs(200));
            let timed_out = CloseReason::TimedOut(Timer::Connect);
            assert_eq!(world.nodes[0].app.closed, Some(timed_out));
            assert!(world.is_drained(), "{}", world.describe());
        }
    });
}

#[test]
fn window_closed_for_two_hours_connection_stays_and_goes_on() {
    over_each(|family| {
        for medium in [Medium::Ip, ETHERNET] {
            let mut plans = staying([100_000, 0]);
            plans[1].reads_from = START + 2 * HOUR;
            let mut stores = stores();
            let mut world = opened(family, &mut stores, plans, medium);
            world.run_until(START + 2 * HOUR - 1);
            assert_eq!(state_of(&world, 0), State::Established, "{}", world.describe());
            assert_eq!(world.nodes[1].app.received, 0);
            let probes = world.frames();
            assert!(probes < 500, "{probes} frames in two hours of silence");
            let limit = world.now + 10 * SECOND;
            assert!(world.run_to(limit, has_all), "{}", world.describe());
        }
    });
}

/// Both windows are closed, and the probes of both sides are on their way when both readers go on: each probe is taken, and each
/// side's next acknowledgments come from the number before it. Nothing is lost on this link.
#[test]
fn probes_crossing_while_both_windows_open_end_in_progress() {
    over_each(|family| {
        let mut failures = Vec::new();
        for offset_ms in (0..2_000).step_by(50) {
            let mut plans = staying([10_000; 2]);
            for plan in &mut plans {
                plan.reads_from = START + 15 * SECOND + offset_ms * MS;
                plan.stream.rx_buffer = 1_024;
                // Opened by both at the same moment, so that all their timers run together.
                (plan.connects, plan.listens) = (true, false);
            }
            let mut stores = stores();
            let mut world = opened(family, &mut stores, plans, Medium::Ip);
            for path in &mut world.paths {
                path.delay_us = 100 * MS;
            }
            let is_done = world.run_to(START + 600 * SECOND, has_all);
            if !is_done || world.frames() > 500 {
                failures.push((offset_ms, world.frames(), world.describe()));
            }
        }
        if let Some((offset_ms, frames, how)) = failures.first() {
            let count = failures.len();
            panic!("{count} of 40 moments; {offset_ms} ms, {frames} frames: {how}");
        }
    });
}

/// The reader's buffer is exactly full when our FIN arrives, so the FIN's acknowledgment closes the window.
#[test]
fn fin_acknowledged_with_a_closed_window_does_not_end_the_other_direction() {
    over_each(|family| {
        let mut world_stores = stores();
        let mut world = to_fin_wait_2_by_closed_window(family, &mut world_stores, false);
        assert_eq!(state_of(&world, 0), State::FinWait2);
        world.run_for(Duration::from_secs(600));
        assert_eq!(
            state_of(&world, 0),
            State::FinWait2,
            "a half-closed connection may wait for ever\n{}",
            world.describe()
        );
    });
}

#[test]
fn fin_acknowledged_with_a_closed_window_leaves_the_orphan_timer_armed() {
    over_each(|family| {
        let mut world_stores = stores();
        let mut world = to_fin_wait_2_by_closed_window(family, &mut world_stores, true);
        assert_eq!(state_of(&world, 0), State::FinWait2);
        // Then the window opens, and nothing more comes.
        let last = world.trace.iter().rfind(|(_, from, _)| *from == 0).unwrap();
        let update = Seg {
            sport: 80,
            dport: 5_000,
            seq: last.2.ack,
            ack: last.2.end(),
            flags: ACK,
            wnd: 4_096,
            ..Seg::default()
        };
        let _ = world.inject(0, &update);
        world.run_for(Duration::from_secs(600));
        assert_eq!(world.nodes[0].link.tcp_ref().in_use().0, 0, "the slot stays for ever\n{}", world.describe());
    });
}

/// Answers side 0's SYN in side 1's place; gives the segment the peer may send next, and the SYN.
fn answer_syn(world: &mut World<'_>, wnd: u16) -> (Seg, Seg) {
    let syn = world.trace[0].2.clone();
    let mut peer =
        Seg { sport: 80, dport: 5_000, seq: 9_000, ack: syn.end(), flags: ACK | world::SYN, wnd, ..Seg::default() };
    let _ = world.inject(0, &peer);
    (peer.seq, peer.flags) = (9_001, ACK);
    (peer, syn)
}

/// Side 0 connects to a scripted peer in side 1's place, half-closes or closes, and has its FIN acknowledged with a closed window.
fn to_fin_wait_2_by_closed_window(family: Family, stores: &mut [Box<world::Store>; 2], closes: bool) -> World<'_> {
    let mut plans = staying([0; 2]);
    plans[0].stays = closes;
    plans[1].listens = false;
    let mut world = World::new(family, stores, [Config::default(); 2], plans, Medium::Ip, 1);
    world.paths[1].down = Some((0, u64::MAX));
    world.open();
    let (mut peer, _) = answer_syn(&mut world, 64);
    if closes {
        let handle = world.nodes[0].app.handle.unwrap();
        let now = Instant::from_micros(world.now);
        world.nodes[0].link.tcp().close(now, handle).unwrap();
        world.nodes[0].app.has_given_up = true;
        world.serve(0, false);
    }
    let fin = world.trace.last().unwrap().2.clone();
    assert!(fin.has(FIN), "{}", text_of(&fin));
    (peer.ack, peer.wnd) = (fin.end(), 0);
    let _ = world.inject(0, &peer);
    world
}

/// A peer may take back what it offered (discouraged, §3.8.6, but a sender must stand it): data is in flight, the window closes
/// under it for long, the peer answers every attempt; then it opens again.
#[test]
fn window_taken_back_for_long_and_opened_again_connection_goes_on() {
    over_each(|family| {
        let mut stores = stores();
        let mut plans = staying([0; 2]);
        plans[0].total = 500;
        plans[1].listens = false;
        let mut world = World::new(family, &mut stores, [Config::default(); 2], plans, Medium::Ip, 1);
        world.paths[1].down = Some((0, u64::MAX));
        world.open();
        let (mut peer, _) = answer_syn(&mut world, 4_000);
        assert_eq!(world.trace.last().unwrap().2.text.len(), 500);
        peer.wnd = 0;
        let _ = world.inject(0, &peer);
        for _ in 0..600 {
            world.run_for(Duration::from_secs(1));
            let _ = world.inject(0, &peer);
        }
        assert_eq!(state_of(&world, 0), State::Established, "{}", world.describe());
        peer.wnd = 4_000;
        let _ = world.inject(0, &peer);
        world.run_for(Duration::from_secs(70));
        assert_eq!(world.nodes[0].app.closed, None, "the peer answered all the time\n{}", world.describe());
        assert_eq!(world.trace.last().unwrap().2.text.len(), 500, "\n{}", world.describe());
    });
}

/// An acknowledgment on a segment older than the one that brought the window: SND.UNA moves, SND.WND may not be taken from it
/// (WL1), and the right edge must not move on for that.
#[test]
fn acknowledgement_on_an_older_segment_does_not_widen_the_window() {
    over_each(|family| {
        let mut stores = stores();
        let mut plans = staying([0; 2]);
        plans[0].total = 300;
        plans[1].listens = false;
        let mut world = World::new(family, &mut stores, [Config::default(); 2], plans, Medium::Ip, 1);
        world.paths[1].down = Some((0, u64::MAX));
        world.open();
        let (mut peer, syn) = answer_syn(&mut world, 100);
        let edge = syn.end().wrapping_add(100);
        let stream = world.nodes[0].app.in_stream;
        assert_eq!(world.trace.last().unwrap().2.end(), edge, "all that the window admits");
        // The second ten bytes overtake the first, which acknowledge more but offer the same edge.
        (peer.seq, peer.text) = (9_011, world::stream_bytes(stream, 10, 10));
        let _ = world.inject(0, &peer);
        (peer.seq, peer.text) = (9_001, world::stream_bytes(stream, 0, 10));
        (peer.ack, peer.wnd) = (edge, 0);
        let _ = world.inject(0, &peer);
        let beyond = world.trace.iter().filter(|(_, _, seg)| ahead(seg.end(), edge) > 0);
        assert_eq!(beyond.count(), 0, "{}", world.describe());
    });
}

/// Both sides hold text beyond a gap that fills their window; their empty segments sit at the right edge, which is outside.
#[test]
fn full_windows_behind_gaps_on_both_sides_are_repaired() {
    over_each(|family| {
        for lost in 0..8_u64 {
            let mut plans = staying([20_000; 2]);
            for plan in &mut plans {
                plan.stream.rx_buffer = 2_048;
            }
            let mut stores = stores();
            let mut world = opened(family, &mut stores, plans, Medium::Ip);
            let from = START + 2 * MS + lost * MS;
            for path in &mut world.paths {
                path.down = Some((from, from + 1));
            }
            assert!(world.run_to(START + 60 * SECOND, has_all), "{}", world.describe());
            assert!(world.frames() < 500, "{} frames", world.frames());
        }
    });
}

#[test]
fn text_and_fin_in_one_segment_are_taken_together() {
    over_each(|family| {
        let mut stores = stores();
        let mut plans = staying([0; 2]);
        plans[1].listens = false;
        let mut world = World::new(family, &mut stores, [Config::default(); 2], plans, Medium::Ip, 1);
        world.paths[1].down = Some((0, u64::MAX));
        world.open();
        let (mut peer, _) = answer_syn(&mut world, 4_000);
        peer.text = world::stream_bytes(world.nodes[0].app.in_stream, 0, 10);
        peer.flags = ACK | FIN;
        let _ = world.inject(0, &peer);
        let answer = &world.trace.last().unwrap().2;
        assert_eq!(answer.ack, peer.end(), "{}", world.describe());
        assert_eq!(state_of(&world, 0), State::CloseWait);
    });
}

#[test]
fn peer_that_vanished_in_mid_stream_is_found_out_when_it_comes_back() {
    over_each(|family| {
        // Side 1 gives up while the link is down; side 0 learns it from the answer to what it sends then.
        let mut stores = stores();
        let mut world = opened(family, &mut stores, staying([0, 0]), Medium::Ip);
        world.run_for(Duration::from_secs(1));
        let until = world.now + SECOND;
        for path in &mut world.paths {
            path.down = Some((world.now, until));
        }
        let handle = world.nodes[1].app.handle.unwrap();
        let now = Instant::from_micros(world.now);
        world.nodes[1].link.tcp().abort(now, handle).unwrap();
        world.nodes[1].app.has_given_up = true;
        world.serve(1, false);
        world.run_until(until + HOUR);
        assert_eq!(state_of(&world, 0), State::Established);
        world.nodes[0].app.plan.total = 5;
        world.serve(0, true);
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.nodes[0].app.closed, Some(CloseReason::ResetByPeer));
        let last = &world.trace.last().unwrap().2;
        assert!(last.has(RST));
        assert!(world.is_drained());
    });
}

/// The stream and both ends after a link that was never idle long: nobody hears of it twice.
#[test]
fn every_event_of_an_orderly_life_comes_once() {
    over_each(|family| {
        let mut plans = staying([300, 300]);
        for plan in &mut plans {
            plan.stays = false;
        }
        let mut stores = stores();
        let mut world = opened(family, &mut stores, plans, ETHERNET);
        assert!(world.run_to(START + 200 * SECOND, is_drained));
        for node in &world.nodes {
            let count = |is: fn(&Event) -> bool| node.all_events.iter().filter(|e| is(e)).count();
            assert_eq!(count(|e| matches!(e, Event::PeerFinished(_))), 1);
            assert_eq!(count(|e| matches!(e, Event::Closed(..))), 1);
            assert_eq!(count(|e| matches!(e, Event::Stalled(_))), 0);
        }
    });
}

/// Connections to four hosts that are not there ask for their addresses for ever; the fifth host is there.
#[test]
fn neighbors_that_never_answer_do_not_starve_one_that_would() {
    over_each(|family| {
        let mut store = Box::new(Storage::<6, 0, 0, 0, 1_024>::new());
        let medium = Medium::Ethernet(MACS[0]);
        let mut link = frames::link(&mut *store, Config::default(), medium, &[frames::interface(family, 1)], None);
        let stream = StreamOptions { rx_buffer: 64, tx_buffer: 64, ..StreamOptions::default() };
        let hosts = [101, 102, 103, 104, 105].map(|n| family.host(n));
        for host in hosts {
            link.connect(Instant::from_micros(START), 0, SocketAddr::new(host, 80), stream).unwrap();
        }
        let asked = questions(&mut link);
        let counts = hosts.map(|host| asked.iter().filter(|&&addr| addr == host).count());
        assert!(counts.iter().all(|&n| n > 0), "questions for each host: {counts:?}");
    });
}

/// Whom a link asks for until its deadline has come fifty times.
fn questions(link: &mut Link<'_>) -> Vec<IpAddr> {
    let (mut now, mut asked) = (Instant::from_micros(START), Vec::new());
    for _ in 0..50 {
        let drained = frames::drain(link, now);
        let target = |frame: &Vec<u8>| read_question(frame).expect("nothing but questions").1;
        asked.extend(drained.frames.iter().map(target));
        now = drained.deadline.expect("something is pending").0;
        link.handle_timeout(now);
    }
    asked
}

// How fast it goes where nothing stands in the way.

#[derive(Debug)]
struct Figures {
    us_per_kb: u64,
    frames: u64,
    retransmissions: u32,
    longest_gap_us: u64,
}

/// One direction, 64 KB, 1 ms each way; the time until the last byte is read.
fn measure(family: Family, buffer: usize, mss: u16, nagle: bool, delayed_ack_ms: u64, write_chunk: usize) -> Figures {
    const BYTES: usize = 65_536;
    let mut plans = staying([BYTES, 0]);
    for plan in &mut plans {
        plan.write_chunk = write_chunk;
        plan.read_chunk = 65_536;
        plan.stream = StreamOptions { rx_buffer: buffer, tx_buffer: buffer, nagle, ..StreamOptions::default() };
    }
    let config = Config { mss: Some(mss), delayed_ack: Duration::from_millis(delayed_ack_ms), ..Config::default() };
    let mut stores = stores();
    let mut world = World::new(family, &mut stores, [config; 2], plans, Medium::Ip, 7);
    world.open();
    let from = world.now;
    let mut longest_gap = 0;
    let mut last_at = from;
    let mut last_received = 0;
    while !has_all(&world) {
        assert!(world.step(from + 10 * HOUR), "stuck\n{}", world.describe());
        let received = world.nodes[1].app.received;
        if received > last_received {
            longest_gap = longest_gap.max(world.now - last_at);
            (last_at, last_received) = (world.now, received);
        }
    }
    Figures {
        us_per_kb: (world.now - from) / (BYTES as u64 / 1_024),
        frames: world.frames(),
        retransmissions: world.retransmissions(),
        longest_gap_us: longest_gap,
    }
}

#[test]
fn clean_link_bulk_transfer_keeps_the_window_busy() {
    over_each(|family| {
        let mut slow = Vec::new();
        for buffer in [64, 256, 1_024, 2_048, 4_096, 8_192, 32_768] {
            for mss in [536, 1_460] {
                for (nagle, delayed_ack_ms) in [(true, 40), (true, 0), (false, 40), (false, 0)] {
                    let figures = measure(family, buffer, mss, nagle, delayed_ack_ms, 8_192);
                    let setting =
                        format!("buffers {buffer}, mss {mss}, nagle {nagle}, delayed ACK {delayed_ack_ms} ms");
                    let Figures { us_per_kb, frames, retransmissions, longest_gap_us } = figures;
                    println!(
                        "{setting}: {us_per_kb} us/KB, {frames} frames, {retransmissions} again, {longest_gap_us} us"
                    );
                    if is_slow(&figures, buffer, nagle, delayed_ack_ms) {
                        slow.push((setting, figures));
                    }
                }
            }
        }
        assert!(slow.is_empty(), "settings that stall: {slow:#?}");
    });
}

/// Two round trips for each buffer is what a window of this size gives at worst. The stream's small rest may wait once for a delayed
/// acknowledgment, as Nagle's algorithm wants it.
fn is_slow(figures: &Figures, buffer: usize, nagle: bool, delayed_ack_ms: u64) -> bool {
    let last = if nagle { delayed_ack_ms * MS / 64 } else { 0 };
    let bound = 2 * 2 * MS * 1_024 / buffer as u64 + MS + last;
    figures.us_per_kb > bound || figures.retransmissions > 0 || figures.longest_gap_us >= 50 * MS
}

/// One lost segment in a bulk transfer: how long the stream stands still.
#[test]
fn single_loss_costs_at_most_one_timeout() {
    over_each(|family| {
        let mut worst = 0;
        for n in 0..20_u64 {
            let mut stores = stores();
            let mut world = opened(family, &mut stores, staying([65_536, 0]), Medium::Ip);
            let from = START + 2 * MS + n * MS;
            world.paths[1].down = Some((from, from + 1));
            assert!(world.run_to(START + 60 * SECOND, has_all), "{}", world.describe());
            worst = worst.max(world.now - START);
        }
        println!("worst of 20: {} ms for 64 KB", worst / MS);
        assert!(worst < 3 * SECOND, "{worst} us");
    });
}

/// One byte at a time into a connection whose peer reads at once: with Nagle's algorithm and delayed acknowledgments one round
/// costs the delay, but the bytes that wait go together.
#[test]
fn small_writes_are_gathered_and_never_wait_for_a_timeout() {
    over_each(|family| {
        for nagle in [true, false] {
            let mut plans = staying([2_000, 2_000]);
            for plan in &mut plans {
                plan.write_chunk = 1;
                plan.write_pause = 100;
                plan.pause_us = 2 * MS;
                plan.stream.nagle = nagle;
            }
            let mut stores = stores();
            let mut world = opened(family, &mut stores, plans, Medium::Ip);
            assert!(world.run_to(START + 60 * SECOND, has_all), "{}", world.describe());
            println!("nagle {nagle}: {} ms, {} frames for 4000 bytes", (world.now - START) / MS, world.frames());
            assert_eq!(world.retransmissions(), 0);
        }
    });
}

#[test]
fn silly_windows_are_neither_offered_nor_used() {
    over_each(|family| {
        // The reader takes one byte at a time, slowly; no segment but a stream's last may be small, and no update of the window.
        let mut plans = staying([20_000, 0]);
        plans[1].read_chunk = 1;
        plans[1].read_pause = 100;
        // Half of its buffer in less than the least timeout: no window is probed.
        plans[1].pause_us = MS / 4;
        plans[1].stream.rx_buffer = 1_024;
        let mut stores = stores();
        let mut world = opened(family, &mut stores, plans, Medium::Ip);
        let mut offers = Vec::new();
        let mut sizes = Vec::new();
        while !has_all(&world) {
            let seen = world.trace.len();
            assert!(world.step(START + HOUR), "{}", world.describe());
            for (_, from, seg) in world.trace.iter().skip(seen) {
                if *from == 0 && !seg.text.is_empty() {
                    sizes.push(seg.text.len());
                } else if *from == 1 {
                    offers.push(seg.ack.wrapping_add(u32::from(seg.wnd)));
                }
            }
        }
        let steps = offers.windows(2).map(|w| ahead(w[1], w[0]));
        let silly = steps.filter(|&step| step > 0 && step < 512).count();
        assert_eq!(silly, 0, "the window grows in small steps");
        let small = sizes.iter().filter(|&&len| len < 512).count();
        println!("{} segments, {small} small: {sizes:?}", sizes.len());
        assert!(small <= 2, "small segments");
    });
}
