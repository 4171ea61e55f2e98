//! The ECN field of a packet (RFC 3168 §5): the two low bits of IPv4's type of service and of IPv6's traffic class.

/// A codepoint of the field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Codepoint(u8);

impl Codepoint {
    pub(crate) const NOT_ECT: Codepoint = Codepoint(0b00);
    /// ECT(0). The other one is for experiments (RFC 8311 §4.2).
    pub(crate) const ECT: Codepoint = Codepoint(0b10);
    /// Congestion Experienced.
    pub(crate) const CE: Codepoint = Codepoint(0b11);

    /// That of a packet whose type of service, or traffic class, is `octet`.
    #[inline]
    pub(crate) fn of(octet: u8) -> Codepoint {
        Codepoint(octet & 0b11)
    }

    /// Returns the type of service, or traffic class, that has this field and nothing else.
    #[inline]
    pub(crate) fn octet(self) -> u8 {
        self.0
    }

    #[inline]
    pub(crate) fn is_ce(self) -> bool {
        self == Codepoint::CE
    }
}
