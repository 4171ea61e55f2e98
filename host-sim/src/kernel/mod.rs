//! The Linux end of the simulation: a private network namespace, a virtual
//! Ethernet into it, and the kernel's own TCP sockets as the peer.
//!
//! Order of use: [`enter`] while the process has one thread, then
//! [`Wire::open`], then [`KernelListener`] and [`KernelStream`]. Nothing made
//! here outlives the process: the namespace goes with it, and the devices go
//! with the namespace. [`Namespace`] is for those who need several.
//!
//! Nothing here blocks except [`Wire::wait`], which says for how long, and
//! [`Wire::open`], which waits a bounded time for the devices to come up.

mod forbidden;
mod headers;
mod interface;
mod namespace;
mod netlink;
mod nonblocking;
mod offload;
mod socket;
mod state;
mod tap;
mod veth;
mod wire;

pub use forbidden::Forbidden;
pub use headers::send_with_options;
pub use namespace::{Namespace, enter, set_net_sysctl};
pub use netlink::Mac;
pub use socket::{KernelListener, KernelStream, Progress, SocketSettings};
pub use state::kernel_state_of;
pub use wire::{ETHERNET_HEADER_LEN, Network, Wire, WireKind, is_overrun, wait_for_any};
