//! The options of a segment (RFC 9293 §3.2): those that are read, and those that are written.

use smoltcp::wire::TcpOption;

/// The MSS option's kind, and its length on the wire in bytes.
const MAX_SEGMENT_SIZE: (u8, usize) = (2, 4);
/// The user timeout option's kind, and its length on the wire in bytes.
#[cfg(feature = "user-timeout-option")]
const USER_TIMEOUT: (u8, usize) = (28, 4);

/// What a segment says in its options.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Options {
    /// The MSS option, if there is one that can be read; the last counts.
    pub mss: Option<u16>,
    /// The user timeout option, if there is one that can be read: one bit for minutes, 15 for how many of them, or of seconds (RFC 5482
    /// §3.4). The last counts.
    #[cfg(feature = "user-timeout-option")]
    pub user_timeout: Option<u16>,
}

impl Options {
    /// No options.
    pub const NONE: Options = Options {
        mss: None,
        #[cfg(feature = "user-timeout-option")]
        user_timeout: None,
    };

    /// Returns the bytes they take on the wire: whole words.
    pub const fn wire_len(&self) -> usize {
        let len = if self.mss.is_some() { MAX_SEGMENT_SIZE.1 } else { 0 };
        #[cfg(feature = "user-timeout-option")]
        if self.user_timeout.is_some() {
            return len + USER_TIMEOUT.1;
        }
        len
    }

    /// Reads options until the list ends or stops making sense: what was read before stays, and nothing is reset for it.
    /// (RFC 9293 MUST-7 lets a stack reset on a malformed option; that would let anyone reset blindly, CVE-2019-12258.)
    pub(crate) fn read(mut bytes: &[u8]) -> Options {
        let mut read = Options::NONE;
        while let Ok((rest, option)) = TcpOption::parse(bytes) {
            match option {
                TcpOption::EndOfList => break,
                TcpOption::MaxSegmentSize(value) => read.mss = Some(value),
                #[cfg(feature = "user-timeout-option")]
                TcpOption::Unknown { kind, data: &[high, low] } if kind == USER_TIMEOUT.0 => {
                    read.user_timeout = Some(u16::from_be_bytes([high, low]));
                }
                TcpOption::NoOperation
                | TcpOption::WindowScale(_)
                | TcpOption::SackPermitted
                | TcpOption::SackRange(_)
                | TcpOption::TimeStamp { .. }
                | TcpOption::Unknown { .. } => {}
            }
            bytes = rest;
        }
        read
    }

    /// Writes them, one word each: there are as many as [`Options::wire_len`] counts.
    pub(crate) fn emit(&self, words: &mut [[u8; 4]]) {
        let option = |(kind, len): (u8, usize), field: u16| {
            let [high, low] = field.to_be_bytes();
            [kind, len as u8, high, low]
        };
        let options = [
            self.mss.map(|mss| option(MAX_SEGMENT_SIZE, mss)),
            #[cfg(feature = "user-timeout-option")]
            self.user_timeout.map(|field| option(USER_TIMEOUT, field)),
        ];
        for (to, from) in words.iter_mut().zip(options.into_iter().flatten()) {
            *to = from;
        }
    }
}
