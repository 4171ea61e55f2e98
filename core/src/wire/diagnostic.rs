//! Why an RST was sent, as its payload says it: draft-ietf-tcpm-rst-diagnostic-payload, an experiment of the IETF's TCPM working group. RFC 9293 §3.5.3 lets
//! an RST carry data and gives it no form.
//!
//! | form | bytes |
//! |---|---|
//! | compact | 0x33aa, a code of 16 bits, an enterprise number of 32 bits: 8 in all; enterprise 0 is the draft's own registry |
//! | free | 0xf317, 1 to 255 bytes of UTF-8 |

use core::fmt;

/// Bytes of the compact form.
pub(crate) const COMPACT_LEN: usize = 8;
/// The longest text of the free form, and all of that form.
const MAX_TEXT: usize = 255;
pub(crate) const FREE_LEN: usize = 2 + MAX_TEXT;

const COMPACT: [u8; 2] = [0x33, 0xaa];
const FREE: [u8; 2] = [0xf3, 0x17];

/// What a peer's RST says about itself. Nobody vouches for it: it ends nothing that the RST does not end, and is for people to read. A text may hold
/// anything, line ends and control characters too; [`fmt::Display`] escapes these and all that is not ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PeerReason<'a> {
    /// The compact form.
    Code {
        /// A reason of the enterprise's.
        code: u16,
        /// A private enterprise number; 0: the draft's registry, which [`PeerReason::meaning`] knows.
        enterprise: u32,
    },
    /// The free form, perhaps cut short by the connection's send buffer, where it is kept.
    Text(&'a str),
}

impl<'a> PeerReason<'a> {
    /// Reads the payload of an RST; `None` where it has neither form.
    pub fn parse(payload: &'a [u8]) -> Option<PeerReason<'a>> {
        let (magic, rest) = payload.split_first_chunk()?;
        match *magic {
            COMPACT => {
                let [c0, c1, e0, e1, e2, e3] = *<&[u8; 6]>::try_from(rest).ok()?;
                Some(PeerReason::Code {
                    code: u16::from_be_bytes([c0, c1]),
                    enterprise: u32::from_be_bytes([e0, e1, e2, e3]),
                })
            }
            FREE if (1..=MAX_TEXT).contains(&rest.len()) => core::str::from_utf8(rest).ok().map(PeerReason::Text),
            _ => None,
        }
    }

    /// The same of a payload of which only the beginning was kept.
    pub(crate) fn parse_kept(payload: &'a [u8]) -> Option<PeerReason<'a>> {
        PeerReason::parse(payload).or_else(|| {
            let (&FREE, rest) = payload.split_first_chunk()? else { return None };
            let whole = core::str::from_utf8(rest).err().map_or(rest.len(), |error| error.valid_up_to());
            PeerReason::parse(payload.get(..2 + whole)?)
        })
    }

    /// Returns what a code of the draft's registry means; `None` for a text, an enterprise's own code or an unknown one.
    pub const fn meaning(&self) -> Option<&'static str> {
        let PeerReason::Code { code, enterprise: 0 } = self else { return None };
        Some(match code {
            1 => "illegal option",
            2 => "desynchronized state",
            3 => "new data received after CLOSE",
            4 => "ABORT",
            5 => "unexpected ACK before synchronization",
            6 => "unexpected SYN in the window",
            7 => "unexpected security compartment",
            8 => "malformed segment",
            9 => "not authorized",
            10 => "resource exceeded",
            11 => "network failure",
            12 => "reset received from the peer",
            13 => "destination unreachable",
            14 => "connection timeout",
            15 => "too much outstanding data",
            16 => "unacceptable performance",
            17 => "middlebox interference",
            _ => return None,
        })
    }
}

impl fmt::Display for PeerReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.meaning()) {
            (_, Some(meaning)) => f.pad(meaning),
            (PeerReason::Code { code, enterprise }, None) => write!(f, "code {code} of enterprise {enterprise}"),
            (PeerReason::Text(text), None) => write!(f, "\"{}\"", text.escape_default()),
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for PeerReason<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}", defmt::Display2Format(self));
    }
}

/// The compact form of a code of the draft's registry.
pub(crate) fn compact(code: u16) -> [u8; COMPACT_LEN] {
    let [c0, c1] = code.to_be_bytes();
    [COMPACT[0], COMPACT[1], c0, c1, 0, 0, 0, 0]
}
