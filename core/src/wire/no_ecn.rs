//! Without the feature `ecn`: the field is not read, and zero where it is written.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Codepoint;

impl Codepoint {
    pub(crate) const NOT_ECT: Codepoint = Codepoint;
    pub(crate) const ECT: Codepoint = Codepoint;

    #[inline]
    pub(crate) fn of(_: u8) -> Codepoint {
        Codepoint
    }

    #[inline]
    pub(crate) fn octet(self) -> u8 {
        0
    }
}
