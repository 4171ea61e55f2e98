//! The application, the same on all boards.

mod board;
mod client;
mod ending;
mod last_ends;
mod liveness;
mod lost_peers;
mod net;
mod networks;
mod page;
mod request;
mod services;
mod settings;
mod shared;
mod sizes;
mod stack_use;
mod start;
mod status;
mod watch;

pub use self::board::{Board, Panel, ResetJournal, mac_address};
pub use self::networks::Networks;
pub use self::settings::{End, Server, Settings};
pub use self::start::{DISCARD_PORT, ECHO_PORT, STATUS_PORT, StartError, start};
