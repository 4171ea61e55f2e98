//! What holds in every life, whatever memory there is.

use proptest::prelude::*;
use tcp_reset_core::Config;

use crate::draws::cases;
use crate::life::ops::{config, script, stack};
use crate::life::{Mode, live, mode};

macro_rules! lives {
    ($($name:ident: $c:literal, $l:literal, $h:literal, $t:literal, $p:literal;)*) => {
        proptest! {
            #![proptest_config(cases(4_500))]
            $(
                #[test]
                fn $name(stack in stack(), ops in script(), config in config()) {
                    let _ = live::<$c, $l, $h, $t, $p>(&ops, mode(stack, config));
                }
            )*
        }
    };
}

lives! {
    life_without_any_memory_keeps_its_promises: 0, 0, 0, 0, 0;
    life_without_connections_keeps_its_promises: 0, 1, 2, 2, 128;
    life_with_one_slot_and_no_records_keeps_its_promises: 1, 1, 0, 0, 128;
    life_with_one_slot_keeps_its_promises: 1, 1, 2, 2, 128;
    life_without_time_wait_keeps_its_promises: 3, 1, 2, 0, 512;
    life_without_pool_keeps_its_promises: 3, 1, 2, 2, 63;
    life_with_little_pool_keeps_its_promises: 3, 1, 2, 2, 421;
    life_with_few_of_everything_keeps_its_promises: 3, 1, 2, 2, 4_096;
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn same_script_gives_the_same_bytes(stack in stack(), ops in script(), config in config()) {
        let one = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        let other = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        prop_assert_eq!(one, other);
    }

    /// A transmitter that is busy, or has too small a buffer, changes nothing but when things go out.
    #[test]
    fn dropped_segments_are_offered_again_unchanged(stack in stack(), ops in script(), config in config()) {
        let busy = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        let idle = Mode { is_busy_honoured: false, ..mode(stack, config) };
        let idle = live::<3, 1, 2, 2, 1_024>(&ops, idle);
        prop_assert_eq!(busy, idle);
    }

    /// The clock's width shows nowhere: microseconds and milliseconds wrap at 2^32 in the middle of a life.
    #[test]
    fn same_script_at_another_time_does_the_same(
        stack in stack(),
        ops in script(),
        config in config(),
        wraps_at in prop::sample::select(vec![
            1_u64 << 32, 1_000 << 31, 1_000 << 32, 1_000 << 33, 1 << 34, 1 << 42,
        ]),
        before_ms in prop_oneof![0_u64..3_000, 0_u64..300_000],
    ) {
        let config = Config { challenge_limit: 255, ..config };
        let begin = (wraps_at / 1_000 - before_ms) * 1_000;
        let one = live::<3, 1, 2, 2, 1_024>(&ops, mode(stack, config));
        let other = live::<3, 1, 2, 2, 1_024>(&ops, Mode { begin, ..mode(stack, config) });
        prop_assert_eq!(one, other);
    }
}
