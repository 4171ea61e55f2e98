//! A TCP segment: parsed once, well formed by construction, and written back (RFC 9293 §3.1).

use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

use crate::wire::addr::Addr;
use crate::wire::checksum;
use crate::wire::checksum::{ChecksumBy, Sum};
use crate::wire::options::Options;
use crate::wire::seq::Seq;

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;
/// Bytes of a header with the MSS option, without others.
pub const HEADER_WITH_MSS_LEN: usize = HEADER_LEN + 4;
/// Where the checksum stands in a header.
const CHECKSUM: Range<usize> = 16..18;

bitflags::bitflags! {
    /// The control bits that take part in the rules, and with the feature `ecn` those two of RFC 3168, which without it are neither read nor sent.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Control: u8 {
        /// No more data from the sender.
        const FIN = 0x01;
        /// Synchronize sequence numbers.
        const SYN = 0x02;
        /// Reset the connection.
        const RST = 0x04;
        /// Push.
        const PSH = 0x08;
        /// The acknowledgment field is significant.
        const ACK = 0x10;
        /// The urgent pointer is significant.
        const URG = 0x20;
        /// ECN-Echo (RFC 3168 §6.1).
        #[cfg(feature = "ecn")]
        const ECE = 0x40;
        /// Congestion Window Reduced (RFC 3168 §6.1).
        #[cfg(feature = "ecn")]
        const CWR = 0x80;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Control {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=u8:#x}", self.bits());
    }
}

impl fmt::Display for Control {
    /// Writes the set bits as RFC 9293 does: `SYN,ACK`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (name, _) in self.iter_names() {
            if !first {
                f.write_str(",")?;
            }
            f.write_str(name)?;
            first = false;
        }
        Ok(())
    }
}

/// Why bytes are not a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ParseError {
    /// Shorter than a header, or a data offset below 5 or beyond the end.
    Malformed,
    /// The checksum over the pseudo header and the segment is wrong.
    ChecksumWrong,
    /// The addresses are not of one family, or of one this build does not speak.
    UnknownFamily,
}

/// Why a segment could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EmitError {
    /// The buffer is shorter than the segment.
    BufferTooSmall,
    /// The addresses are not of one family, or of one this build does not speak.
    UnknownFamily,
}

/// The buffer given to `emit` is shorter than what must be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BufferTooSmall;

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::Malformed => "not a TCP segment: bad length or data offset",
            ParseError::ChecksumWrong => "the TCP checksum is wrong",
            ParseError::UnknownFamily => "the addresses are not of one family that this build speaks",
        })
    }
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the buffer is too small for the segment")
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::BufferTooSmall => BufferTooSmall.fmt(f),
            EmitError::UnknownFamily => ParseError::UnknownFamily.fmt(f),
        }
    }
}

impl From<BufferTooSmall> for EmitError {
    fn from(_: BufferTooSmall) -> EmitError {
        EmitError::BufferTooSmall
    }
}

impl core::error::Error for ParseError {}
impl core::error::Error for EmitError {}
impl core::error::Error for BufferTooSmall {}

/// A segment's header, as far as this crate reads or writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// SEG.SEQ.
    pub seq: Seq,
    /// SEG.ACK; zero and without meaning unless the ACK bit is set.
    pub ack: Seq,
    /// The control bits.
    pub control: Control,
    /// SEG.WND as it stands in the header.
    pub wnd: u16,
    /// SEG.UP. Read, never acted upon.
    pub urgent: u16,
    /// The options.
    pub options: Options,
}

impl Header {
    /// Returns the bytes the header takes on the wire.
    pub const fn wire_len(&self) -> usize {
        HEADER_LEN + self.options.wire_len()
    }

    /// Writes the header at the beginning of `buf`; `payload` is the sum of what stands behind it there.
    pub(crate) fn emit_before(
        &self,
        buf: &mut [u8],
        payload: Sum,
        src: &Addr,
        dst: &Addr,
        checksum: ChecksumBy,
    ) -> Result<(), BufferTooSmall> {
        let len = buf.len();
        let header = buf.get_mut(..self.wire_len()).ok_or(BufferTooSmall)?;
        let words_of_all = (header.len() / 4) as u32;
        let (words, _) = header.as_chunks_mut::<4>();
        let [ports, seq, ack, control, urgent, options @ ..] = words else { return Err(BufferTooSmall) };
        *ports = (u32::from(self.src_port) << 16 | u32::from(self.dst_port)).to_be_bytes();
        *seq = self.seq.0.to_be_bytes();
        *ack = self.ack.0.to_be_bytes();
        *control = (words_of_all << 28 | u32::from(self.control.bits()) << 16 | u32::from(self.wnd)).to_be_bytes();
        *urgent = u32::from(self.urgent).to_be_bytes();
        if !options.is_empty() {
            self.options.emit(options);
        }
        if checksum.is_filled_here() {
            let mut sum = Sum::of_pseudo_header(src, dst, len).with(header);
            sum.append(payload, 0);
            header[CHECKSUM].copy_from_slice(&sum.complement());
        }
        Ok(())
    }
}

/// A segment as it arrived: a header that makes sense, and its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Segment<'b> {
    /// The header.
    pub header: Header,
    /// The payload, called data elsewhere.
    pub payload: &'b [u8],
}

impl<'b> Segment<'b> {
    /// Parses the bytes after the IP header. Every input is either a segment or an error.
    ///
    /// # Errors
    /// [`ParseError`] says what is wrong. A bad option is never an error: it ends the option list (RFC 9293 §3.1).
    pub fn parse(bytes: &'b [u8], src: IpAddr, dst: IpAddr, checksum: ChecksumBy) -> Result<Segment<'b>, ParseError> {
        let (src, dst) = Addr::both(src, dst).ok_or(ParseError::UnknownFamily)?;
        let segment = Segment::read(bytes).ok_or(ParseError::Malformed)?;
        if checksum.is_verified_here() && !checksum::is_segment_right(bytes, &src, &dst) {
            return Err(ParseError::ChecksumWrong);
        }
        Ok(segment)
    }

    /// Reads a segment without a look at its checksum; `None` where it is malformed.
    pub(crate) fn read(bytes: &'b [u8]) -> Option<Segment<'b>> {
        let (words, _) = bytes.as_chunks::<4>();
        let [ports, seq, ack, control, urgent] = words.first_chunk()?;
        let (ports, ack, control) =
            (u32::from_be_bytes(*ports), u32::from_be_bytes(*ack), u32::from_be_bytes(*control));
        let header_len = (control >> 28) as usize * 4;
        let (options, payload) = (bytes.get(HEADER_LEN..header_len)?, bytes.get(header_len..)?);
        let wnd = control as u16;
        let control = Control::from_bits_truncate((control >> 16) as u8);
        let options = if options.is_empty() { Options::NONE } else { Options::read(options) };
        let header = Header {
            src_port: (ports >> 16) as u16,
            dst_port: ports as u16,
            seq: Seq(u32::from_be_bytes(*seq)),
            ack: Seq(if control.contains(Control::ACK) { ack } else { 0 }),
            control,
            wnd,
            urgent: u32::from_be_bytes(*urgent) as u16,
            options,
        };
        Some(Segment { header, payload })
    }

    /// Returns SEG.LEN: the sequence numbers the segment occupies, SYN and FIN included (§3.4).
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(Control::SYN)) + u32::from(self.has(Control::FIN))
    }

    /// Returns whether the segment occupies no sequence number.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether all of these control bits are set.
    pub fn has(&self, control: Control) -> bool {
        self.header.control.contains(control)
    }

    /// Returns the sequence number of the payload's first byte: the one after a SYN.
    pub fn payload_seq(&self) -> Seq {
        self.header.seq + u32::from(self.has(Control::SYN))
    }

    /// Writes the segment and returns its length in bytes.
    ///
    /// # Errors
    /// [`EmitError`] says why not.
    pub fn emit(&self, buf: &mut [u8], src: IpAddr, dst: IpAddr, checksum: ChecksumBy) -> Result<usize, EmitError> {
        let (src, dst) = Addr::both(src, dst).ok_or(EmitError::UnknownFamily)?;
        let header_len = self.header.wire_len();
        let len = header_len + self.payload.len();
        let buf = buf.get_mut(..len).ok_or(BufferTooSmall)?;
        let payload = checksum::copy_and_sum(self.payload, buf.split_at_mut(header_len).1);
        self.header.emit_before(buf, payload, &src, &dst, checksum)?;
        Ok(len)
    }
}

/// The ports and SEG.SEQ of a segment that may be cut off behind them, as ICMP quotes it.
pub(crate) fn names(bytes: &[u8]) -> Option<(u16, u16, Seq)> {
    let [s0, s1, d0, d1, seq @ ..] = *bytes.first_chunk::<8>()?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]), Seq(u32::from_be_bytes(seq))))
}
