//! A network in real time: hosts of the kernel's TCP, each in a network namespace of its own, and hosts of this stack, with an emulated path below
//! each connection.
//!
//! | module | holds |
//! |---|---|
//! | `station` | a host: the kernel's TCP, or this stack |
//! | `flow` | a connection that carries bulk data, and its path |
//! | `shared` | a bottleneck before the paths of all flows |
//! | `net` | what moves frames between stations |

mod flow;
mod net;
mod shared;
mod station;

pub(crate) use self::flow::{Flow, FlowOptions};
pub(crate) use self::net::{LATE, Lateness, MAX_FLOWS, Net};
pub(crate) use self::shared::Shared;
pub(crate) use self::station::{
    Buffers, LINUX_RECEIVER, LINUX_SENDER, OUR_RECEIVER, OUR_SENDER, Place, Settings, Standing,
};
