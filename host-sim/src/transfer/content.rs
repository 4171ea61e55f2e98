//! What is transferred: bytes that follow from a seed, and their digest.

use std::fs::File;
use std::io::{self, Write};

use fastrand::Rng;
use sha2::{Digest, Sha256};

const SEED: u64 = 0x7472_616e_7366_6572;

/// The stream of bytes, from the first on.
pub(super) struct Content {
    rng: Rng,
    left: u64,
}

impl Content {
    pub(super) fn new(len: u64) -> Content {
        Content { rng: Rng::with_seed(SEED), left: len }
    }

    /// Returns the next bytes, at most so many; nothing at the end.
    pub(super) fn next(&mut self, most: usize) -> Vec<u8> {
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(most);
        self.left -= n as u64;
        // Bytes one by one: pieces of any length give the same stream.
        (0..n).map(|_| self.rng.u8(..)).collect()
    }

    pub(super) fn left(&self) -> u64 {
        self.left
    }
}

/// Returns the digest of that many bytes, in hexadecimal.
pub(super) fn digest(len: u64) -> String {
    let (mut content, mut sum) = (Content::new(len), Sha256::new());
    while content.left() > 0 {
        sum.update(content.next(1 << 16));
    }
    hex(sum)
}

/// Returns the digest of these bytes, in hexadecimal.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    hex(Sha256::new().chain_update(bytes))
}

/// Writes that many bytes.
pub(super) fn write(mut file: &File, len: u64) -> io::Result<()> {
    let mut content = Content::new(len);
    while content.left() > 0 {
        file.write_all(&content.next(1 << 16))?;
    }
    Ok(())
}

/// Returns a digest in hexadecimal.
pub(super) fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_give_the_same_stream() {
        let whole = Content::new(1_000).next(2_000);
        assert_eq!(whole.len(), 1_000);
        let mut content = Content::new(1_000);
        let pieces: Vec<u8> =
            std::iter::from_fn(|| Some(content.next(7)).filter(|piece| !piece.is_empty())).flatten().collect();
        assert_eq!(pieces, whole);
        assert_eq!(digest(1_000), digest_of(&whole));
    }
}
