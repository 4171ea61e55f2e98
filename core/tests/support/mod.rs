//! What the test programs share: the two families, packets written and read by hand, the rig around one engine, the world of two.
#![allow(dead_code, reason = "each test program needs another part of it")]

pub(crate) mod family;
pub(crate) mod packet;
pub(crate) mod rig;
#[path = "../table/mod.rs"]
pub(crate) mod table;
pub(crate) mod world;
