//! Counts of bytes in buffers and windows, as records keep them: 16 bits hold any window that is not scaled (RFC 7323 §2).

#[cfg(not(feature = "window-scale"))]
pub(crate) type Size = u16;
#[cfg(feature = "window-scale")]
pub(crate) type Size = u32;

/// The most that a record can keep.
pub(crate) const MOST: u32 = Size::MAX as u32;

/// A count as a record keeps it: the most that it can where it is more.
#[inline]
pub(crate) fn saturated(bytes: u32) -> Size {
    bytes.min(MOST) as Size
}
