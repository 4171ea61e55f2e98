//! What the timestamps option says (RFC 7323 §3.2).

/// The option's kind, its length in bytes, and what stands before it so that its numbers begin at a word (RFC 7323 appendix A).
const HEAD: [u8; 4] = [1, 1, 8, 10];

/// The timestamps option.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timestamps {
    /// TSval: the sender's clock when the segment left.
    pub value: u32,
    /// TSecr: the latest of the other end's that its sender has; zero and without meaning unless the ACK bit is set.
    pub echo: u32,
}

impl Timestamps {
    /// Bytes the option takes on the wire, padding included.
    pub(crate) const WIRE_LEN: usize = 12;

    /// Reads the option where it is all there is, and laid out as nearly everybody does.
    #[inline]
    pub(crate) fn read_alone(options: &[u8]) -> Option<Timestamps> {
        let (&[head, value, echo], []) = options.as_chunks::<4>() else { return None };
        (head == HEAD).then(|| Timestamps { value: u32::from_be_bytes(value), echo: u32::from_be_bytes(echo) })
    }

    /// The option's words.
    pub(crate) fn words(self) -> [[u8; 4]; 3] {
        [HEAD, self.value.to_be_bytes(), self.echo.to_be_bytes()]
    }
}
