//! The options of a segment (RFC 9293 §3.2): those that are read, and those that are written.

use smoltcp::wire::TcpOption;

#[cfg(feature = "sack")]
use crate::wire::sack::SackBlocks;
#[cfg(feature = "timestamps")]
use crate::wire::timestamps::Timestamps;

/// Bytes that a header has room for.
#[cfg(feature = "sack")]
pub(crate) const MAX_OPTIONS_LEN: usize = 40;
/// The MSS option's kind, and its length on the wire in bytes.
const MAX_SEGMENT_SIZE: (u8, usize) = (2, 4);
/// The user timeout option's kind, and its length on the wire in bytes.
#[cfg(feature = "user-timeout-option")]
const USER_TIMEOUT: (u8, usize) = (28, 4);
/// The SACK-permitted option (RFC 2018 §2), padded to a word in front.
#[cfg(feature = "sack")]
const SACK_PERMITTED: [u8; 4] = [1, 1, 4, 2];

/// The window scale option's kind, and its length on the wire in bytes, but for the padding in front.
#[cfg(feature = "window-scale")]
const WINDOW_SCALE: (u8, u8) = (3, 3);

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
    /// The SACK-permitted option is there: its sender takes SACK options (RFC 2018 §2).
    #[cfg(feature = "sack")]
    pub sack_permitted: bool,
    /// The timestamps option; the last counts.
    #[cfg(feature = "timestamps")]
    pub timestamps: Option<Timestamps>,
    /// The window scale option's shift; the last counts.
    #[cfg(feature = "window-scale")]
    pub window_scale: Option<u8>,
    /// The SACK option's blocks, as many as there is room for; the last option counts.
    #[cfg(feature = "sack")]
    pub sack: Option<SackBlocks>,
}

impl Options {
    /// No options.
    pub const NONE: Options = Options {
        mss: None,
        #[cfg(feature = "user-timeout-option")]
        user_timeout: None,
        #[cfg(feature = "sack")]
        sack_permitted: false,
        #[cfg(feature = "timestamps")]
        timestamps: None,
        #[cfg(feature = "window-scale")]
        window_scale: None,
        #[cfg(feature = "sack")]
        sack: None,
    };

    /// Returns the bytes they take on the wire: whole words.
    pub const fn wire_len(&self) -> usize {
        let len = if self.mss.is_some() { MAX_SEGMENT_SIZE.1 } else { 0 };
        #[cfg(feature = "user-timeout-option")]
        let len = if self.user_timeout.is_some() { len + USER_TIMEOUT.1 } else { len };
        #[cfg(feature = "sack")]
        let len = if self.sack_permitted { len + SACK_PERMITTED.len() } else { len };
        #[cfg(feature = "timestamps")]
        let len = if self.timestamps.is_some() { len + Timestamps::WIRE_LEN } else { len };
        #[cfg(feature = "window-scale")]
        let len = if self.window_scale.is_some() { len + 4 } else { len };
        #[cfg(feature = "sack")]
        let len = match &self.sack {
            Some(blocks) => len + blocks.wire_len(MAX_OPTIONS_LEN - len),
            None => len,
        };
        len
    }

    /// Reads options until the list ends or stops making sense: what was read before stays, and nothing is reset for it.
    /// (RFC 9293 MUST-7 lets a stack reset on a malformed option; that would let anyone reset blindly, CVE-2019-12258.)
    pub(crate) fn read(mut bytes: &[u8]) -> Options {
        let mut read = Options::NONE;
        #[cfg(feature = "timestamps")]
        if let Some(alone) = Timestamps::read_alone(bytes) {
            read.timestamps = Some(alone);
            return read;
        }
        while let Ok((rest, option)) = TcpOption::parse(bytes) {
            match option {
                TcpOption::EndOfList => break,
                TcpOption::MaxSegmentSize(value) => read.mss = Some(value),
                #[cfg(feature = "user-timeout-option")]
                TcpOption::Unknown { kind, data: &[high, low] } if kind == USER_TIMEOUT.0 => {
                    read.user_timeout = Some(u16::from_be_bytes([high, low]));
                }
                #[cfg(feature = "sack")]
                TcpOption::SackPermitted => read.sack_permitted = true,
                // smoltcp reads three blocks of up to four.
                #[cfg(feature = "sack")]
                TcpOption::SackRange(_) => {
                    let option = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
                    read.sack = Some(SackBlocks::read(option.get(2..).unwrap_or_default()));
                }
                #[cfg(not(feature = "sack"))]
                TcpOption::SackPermitted | TcpOption::SackRange(_) => {}
                #[cfg(feature = "timestamps")]
                TcpOption::TimeStamp { tsval, tsecr } => {
                    read.timestamps = Some(Timestamps { value: tsval, echo: tsecr });
                }
                #[cfg(not(feature = "timestamps"))]
                TcpOption::TimeStamp { .. } => {}
                #[cfg(feature = "window-scale")]
                TcpOption::WindowScale(shift) => read.window_scale = Some(shift),
                #[cfg(not(feature = "window-scale"))]
                TcpOption::WindowScale(_) => {}
                TcpOption::NoOperation | TcpOption::Unknown { .. } => {}
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
            #[cfg(feature = "sack")]
            self.sack_permitted.then_some(SACK_PERMITTED),
            #[cfg(feature = "window-scale")]
            self.window_scale.map(|shift| [1, WINDOW_SCALE.0, WINDOW_SCALE.1, shift]),
        ];
        let options = options.into_iter().flatten();
        #[cfg(feature = "timestamps")]
        let options = options.chain(self.timestamps.map(Timestamps::words).into_iter().flatten());
        #[cfg(feature = "sack")]
        let options = {
            let room = 4 * words.len() - 4 * options.clone().count();
            options.chain(self.sack.iter().flat_map(move |blocks| blocks.words(room)))
        };
        for (to, from) in words.iter_mut().zip(options) {
            *to = from;
        }
    }
}
