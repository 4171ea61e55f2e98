//! What is transferred, and the comparison of what arrives.

use std::sync::LazyLock;

use anyhow::{Result, bail};

/// Length of the pattern that the stream repeats, in bytes: a prime beyond every buffer, so that a stretch that arrives in the wrong place
/// differs.
const PERIOD: usize = 131_071;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut rng = fastrand::Rng::with_seed(0x676f_6f64_7075_7400);
    std::iter::repeat_with(|| rng.u8(..)).take(PERIOD).collect()
});

/// Returns a stretch of the stream from byte `at` on; it is not empty.
pub(crate) fn from(at: u64) -> &'static [u8] {
    &PATTERN[(at % PERIOD as u64) as usize..]
}

/// Checks that `received` is the stream from byte `at` on.
///
/// # Errors
/// Names the first byte that differs.
pub(crate) fn check(at: u64, received: &[u8]) -> Result<()> {
    let (mut at, mut received) = (at, received);
    while !received.is_empty() {
        let expected = from(at);
        let len = expected.len().min(received.len());
        if received[..len] != expected[..len] {
            let same = received.iter().zip(expected).take_while(|(a, b)| a == b).count();
            bail!("byte {} of the stream differs from what was sent", at + same as u64);
        }
        (at, received) = (at + len as u64, &received[len..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_found_right_across_its_period_and_one_wrong_byte_is_named() {
        let at = PERIOD as u64 - 10;
        let mut received = [from(at), &from(0)[..20]].concat();
        check(at, &received).expect("it is the stream");
        received[15] ^= 1;
        let error = check(at, &received).expect_err("one byte differs").to_string();
        assert!(error.contains(&format!("byte {}", at + 15)), "{error}");
        assert!(check(at + 1, &received[..5]).is_err());
    }
}
