//! One run: a stack, the buffers, the path and a seed.

use std::time::Duration;

use anyhow::Result;
use smoltcp_0_14::socket::tcp::CongestionControl;
use tcp_reset_core::Config;

use crate::ours::{self, Ours, Storage};
use crate::path::{Conditions, MSS};
use crate::stack::End;
use crate::theirs::Smoltcp;
use crate::trace::Trace;
use crate::transfer::Transfer;

/// A stack, with its congestion control where it has a choice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Contender {
    /// tcp-reset-core with Reno, without SACK.
    Ours,
    /// The same with SACK at both ends.
    OursSack,
    /// tcp-reset-core with CUBIC and SACK.
    OursCubic,
    /// smoltcp 0.14 without congestion control.
    SmoltcpNone,
    /// smoltcp 0.14 with Reno.
    SmoltcpReno,
    /// smoltcp 0.14 with CUBIC.
    SmoltcpCubic,
}

impl Contender {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Contender; 6] = [
        Contender::Ours,
        Contender::OursSack,
        Contender::OursCubic,
        Contender::SmoltcpNone,
        Contender::SmoltcpReno,
        Contender::SmoltcpCubic,
    ];

    /// Returns the name in arguments and in the snapshot.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Contender::Ours => "ours",
            Contender::OursSack => "sack",
            Contender::OursCubic => "sack-cubic",
            Contender::SmoltcpNone => "none",
            Contender::SmoltcpReno => "reno",
            Contender::SmoltcpCubic => "cubic",
        }
    }

    /// Returns the name for readers.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Contender::Ours => "ours",
            Contender::OursSack => "ours, SACK",
            Contender::OursCubic => "ours, SACK, CUBIC",
            Contender::SmoltcpNone => "smoltcp none",
            Contender::SmoltcpReno => "smoltcp Reno",
            Contender::SmoltcpCubic => "smoltcp CUBIC",
        }
    }

    /// Returns whether a connection can have two buffers of `bytes` bytes.
    #[must_use]
    pub fn has_buffer(self, bytes: usize) -> bool {
        match self {
            Contender::Ours | Contender::OursSack | Contender::OursCubic => ours::has_buffer(bytes),
            // It scales its window.
            Contender::SmoltcpNone | Contender::SmoltcpReno | Contender::SmoltcpCubic => true,
        }
    }
}

/// What a run has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Bytes that the receiver's application has read.
    pub bytes: u64,
    /// From the end of the sender's handshake to the last byte.
    pub elapsed: Duration,
    /// Packets of the sender, and how many of them were lost.
    pub sent: u64,
    /// See `sent`.
    pub lost: u64,
    /// Packets of the receiver, and how many of them were lost.
    pub answers: u64,
    /// See `answers`.
    pub answers_lost: u64,
}

/// Transfers `segments` full segments' payload between two ends with send and receive buffers of `buffer` bytes.
///
/// # Errors
/// If the buffers cannot be had, the content differs from what was sent, the connection ends, or nothing more happens.
pub fn run(
    contender: Contender,
    buffer: usize,
    conditions: Conditions,
    segments: u64,
    seed: u64,
    trace: Option<&mut Trace<'_>>,
) -> Result<Outcome> {
    let bytes = segments * MSS as u64;
    let control = match contender {
        Contender::Ours | Contender::OursSack | Contender::OursCubic => {
            let is_cubic = contender == Contender::OursCubic;
            let config = Config {
                sack: contender != Contender::Ours,
                congestion_control: if is_cubic {
                    tcp_reset_core::CongestionControl::Cubic
                } else {
                    tcp_reset_core::CongestionControl::Reno
                },
                ..Config::default()
            };
            let (mut at_sender, mut at_receiver) = (Box::new(Storage::new()), Box::new(Storage::new()));
            let sender = Ours::new(End::Sender, buffer, config, &mut at_sender)?;
            let receiver = Ours::new(End::Receiver, buffer, config, &mut at_receiver)?;
            return Transfer::new(sender, receiver, conditions, seed, trace).run(bytes);
        }
        Contender::SmoltcpNone => CongestionControl::None,
        Contender::SmoltcpReno => CongestionControl::Reno,
        Contender::SmoltcpCubic => CongestionControl::Cubic,
    };
    let stack = |end| Smoltcp::new(end, buffer, control);
    Transfer::new(stack(End::Sender)?, stack(End::Receiver)?, conditions, seed, trace).run(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::Corruption;

    const HARM: Conditions =
        Conditions { loss: 20_000, reorder: 20_000, duplicate: 10_000, corrupt: 10_000, ..Conditions::DEFAULT };

    fn traced(contender: Contender, seed: u64) -> (Outcome, Vec<u8>) {
        let mut text = Vec::new();
        let outcome = run(contender, 8_192, HARM, 500, seed, Some(&mut Trace::new(&mut text)));
        (outcome.expect("the transfer ends"), text)
    }

    #[test]
    fn the_same_seed_gives_the_same_transfer() {
        for contender in Contender::ALL {
            assert_eq!(traced(contender, 1), traced(contender, 1), "{}", contender.title());
            assert_ne!(traced(contender, 1).0, traced(contender, 2).0, "{}", contender.title());
        }
    }

    #[test]
    fn without_loss_smoltcp_sends_a_buffer_each_round_trip() {
        // Smaller ones hold so few segments that their boundaries matter.
        for buffer in [8_192, 32_768] {
            let outcome = run(Contender::SmoltcpNone, buffer, Conditions::DEFAULT, 5_000, 1, None);
            let Outcome { bytes, elapsed, lost, .. } = outcome.expect("the transfer ends");
            assert_eq!(lost, 0);
            let per_round_trip = bytes as f64 * Conditions::DEFAULT.rtt.as_secs_f64() / elapsed.as_secs_f64();
            let share = per_round_trip / buffer as f64;
            assert!((0.9..1.1).contains(&share), "{per_round_trip} bytes each round trip with {buffer} bytes");
        }
    }

    #[test]
    fn flipped_bits_are_caught_by_checksums() {
        let conditions = Conditions { corrupt: 100_000, ..Conditions::DEFAULT };
        for contender in Contender::ALL {
            run(contender, 8_192, conditions, 500, 1, None).expect("what is changed is dropped");
        }
    }

    #[test]
    fn what_no_checksum_catches_is_caught_by_the_comparison() {
        let corruption = Corruption::SwappedWords;
        let conditions = Conditions { corrupt: 100_000, corruption, ..Conditions::DEFAULT };
        for contender in Contender::ALL {
            let error = run(contender, 8_192, conditions, 500, 1, None).expect_err("the content differs");
            assert!(format!("{error:#}").contains("of the stream differs"), "{error:#}");
        }
    }
}
