#![no_std]
//! One application for all boards: echo, discard, a status page, and a client that reconnects, over `tcp-reset-core` on the board's
//! Ethernet. A board's binary, in `src/bin`, has pins, clocks and memory only.
//!
//! | module | holds |
//! |---|---|
//! | `app` | feature `app`, with every board: the application, and what a board gives it |
//! | `bench` | feature `bench`: what a segment costs, ours beside embassy-net's own TCP |
//! | `mps2` | feature `mps2`: what QEMU's boards have: Ethernet, clock, a sleep that QEMU takes for one |
//! | `restart` | feature `restart`, on every board: panics and faults end in a restart that knows why |

#[cfg(test)]
extern crate std;

#[cfg(any(feature = "app", test))]
pub mod app;
#[cfg(feature = "bench")]
pub mod bench;
#[cfg(feature = "mps2")]
pub mod mps2;
#[cfg(feature = "restart")]
pub mod restart;
