//! The model holds over random worlds.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::scale::Scale;
use crate::world::{Plan, Tally, live};

/// Segments of a stream at most.
const MOST_SEGMENTS: u32 = 80;

fn plan() -> impl Strategy<Value = Plan> {
    let stream = (
        any::<u64>(),
        prop::sample::select(vec![64_u16, 100, 200, 536, 1_460]),
        prop::sample::select(vec![512_usize, 2_048, 8_192, 32_768]),
        (1..MOST_SEGMENTS, 1..64_u32),
        (1..40_u32, any::<bool>(), any::<bool>()),
        prop_oneof![8 => Just(0_u32), 2 => Just(1), 1 => Just(2)],
        prop::sample::select(vec![20_u64, 200, 1_000]),
    );
    let receiver = (1..60_u32, any::<bool>(), prop_oneof![Just(0_u64), 0..30_u64]);
    let few = || prop_oneof![2 => Just(0_u64), 3 => 0..30_u64];
    let wire = (
        prop::sample::select(vec![500_u64, 5_000, 40_000]),
        prop_oneof![Just(0_u64), 0..3_000_u64, 0..30_000_u64],
        few(),
        few(),
        few(),
        prop_oneof![3 => Just(0_u64), 1 => 0..20_u64],
        prop_oneof![2 => Just(0_u64), 1 => 0..20_u64],
        0..60_u32,
    );
    (stream, receiver, wire).prop_map(|(stream, receiver, wire)| {
        let (seed, mss, tx_buffer, (segments, rest), (write, has_nagle, is_passive), handshake_lost, rto_min_ms) =
            stream;
        let (windows, is_shrinking, pause) = receiver;
        let (delay_us, jitter_us, loss, ack_loss, reorder, duplicate, idle, losses) = wire;
        let total = segments * u32::from(mss) + rest;
        Plan {
            seed,
            mss,
            tx_buffer,
            total,
            most_written: write * u32::from(mss) / 3,
            has_nagle,
            is_passive,
            handshake_lost,
            rto_min_ms,
            room: (windows * u32::from(mss) / 2).min(65_535),
            scale: Scale::NONE,
            is_shrinking,
            delay_us,
            jitter_us,
            loss,
            ack_loss,
            reorder,
            duplicate,
            pause,
            idle,
            losses,
        }
    })
}

/// Lives through a world; returns why it fails, if it does.
fn check(plan: &Plan) -> Result<Tally, TestCaseError> {
    let tally = live(plan).map_err(TestCaseError::fail)?;
    let Tally {
        timeouts,
        probes,
        recoveries,
        window_probes,
        partial_acks,
        sent,
        sent_again,
        lost,
        spurious_after_probe,
        most_out,
    } = tally;
    // Each timeout can send a window again, each recovery and probe too; and each partial acknowledgment a segment.
    let episodes = timeouts + probes + recoveries + window_probes;
    let window = u32::try_from(plan.tx_buffer).unwrap() + 1;
    prop_assert!(sent_again <= 2 * episodes * window + partial_acks * u32::from(plan.mss), "{tally:?}");
    prop_assert!(spurious_after_probe <= probes && sent_again <= sent && lost <= plan.losses, "{tally:?}");
    prop_assert!(most_out as usize <= plan.tx_buffer + 1, "{tally:?}");
    Ok(tally)
}

/// The same worlds each time: what is rare is looked for by more cases, not by luck.
#[test]
fn sender_follows_the_model() {
    let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(&plan(), |plan| check(&plan).map(|_| ())).unwrap_or_else(|error| panic!("{error}"));
}

/// The same worlds with streams that fill buffers and windows beyond 65,535 bytes.
#[cfg(feature = "window-scale")]
fn large_plan() -> impl Strategy<Value = Plan> {
    let stream = (
        prop::sample::select(vec![536_u16, 1_000, 1_460]),
        prop::sample::select(vec![32_768_usize, 65_536, 131_072, 262_144, 262_144]),
        100..400_u32,
        1..8_u32,
    );
    let window = (prop_oneof![1 => Just(None), 6 => (0..=14_u8).prop_map(Some)], 40_000..400_000_u32);
    // A wire that keeps the order, mostly: windows become large where little seems lost.
    let order = prop_oneof![3 => Just(0), 1 => Just(1)];
    (plan(), stream, window, order).prop_map(|(plan, (mss, tx_buffer, segments, writes), (shift, room), order)| {
        let scale = shift.map_or(Scale::NONE, Scale::by);
        let total = segments * u32::from(mss) + plan.total % 64;
        let (room, most_written) = (scale.said(room), total / writes);
        let (jitter_us, reorder, losses) = (order * plan.jitter_us, order * plan.reorder, plan.losses / 4);
        let (loss, ack_loss) = (plan.loss / 10, plan.ack_loss / 3);
        let plan = Plan { mss, tx_buffer, total, most_written, room, scale, ..plan };
        Plan { jitter_us, reorder, losses, loss, ack_loss, ..plan }
    })
}

#[cfg(feature = "window-scale")]
#[test]
fn sender_follows_the_model_through_large_windows() {
    const CASES: u32 = 150;
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let large = std::cell::Cell::new(0);
    let run = runner.run(&large_plan(), |plan| {
        let tally = check(&plan)?;
        large.set(large.get() + u32::from(tally.most_out > 65_535));
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    assert!(large.get() > CASES / 6, "{} worlds with a large flight", large.get());
}
