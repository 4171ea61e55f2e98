//! Bytes of any kind to a link with both families, a listener and a connection of each family: nothing panics, whatever goes out is well
//! formed to the last byte, polling ends, and records do not stay when nobody speaks any more.
//!
//! `cargo fuzz run -s none frames -- -max_len=2048`, in `core/`. The seeds in `corpus/frames` are written by the test `ipv6`, which also
//! says what an input means.
#![no_main]
#![allow(unreachable_pub, reason = "the modules are the tests'")]

use libfuzzer_sys::fuzz_target;
use tcp_reset_core::ChecksumBy;

#[path = "../../tests/ipv6/input.rs"]
mod input;
#[path = "../../tests/ipv6/packet.rs"]
mod packet;
#[path = "../../tests/ipv6/scene.rs"]
mod scene;
#[path = "../../tests/support"]
mod support {
    pub(crate) mod packet;
}

// Nobody guesses checksums, so they are taken on trust here; smoltcp does the same where it is built for fuzzing.
fuzz_target!(|bytes: &[u8]| {
    let mut store = Box::new(scene::Store::new());
    input::play(&mut store, ChecksumBy::HardwareOnReceive, bytes);
});
