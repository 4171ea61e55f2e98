//! The facts in pieces of bounded length, framed as a client reads them.

use super::facts::{LONGEST_PART, Out, View};
use super::parts::Part;

/// How the client learns where an answer ends whose length is not known when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    /// By its last chunk (RFC 9112 §7.1): the client closes first, and no TIME-WAIT record is ours.
    Chunks,
    /// By the end of the connection: HTTP/1.0 knows no chunks.
    Close,
}

/// A chunk's length, as three digits.
const CHUNK_HEAD: &[u8] = b"000\r\n";
const CHUNK_END: &[u8] = b"\r\n";
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What is written yet, and what was written last.
pub(crate) struct Pieces {
    part: Option<Part>,
    view: View,
    framing: Framing,
    out: Out,
}

impl Pieces {
    pub(crate) fn new(first: Part, view: View, framing: Framing) -> Pieces {
        Pieces { part: Some(first), view, framing, out: Out::new() }
    }

    /// Returns the next piece: as many parts as surely fit, each written by `write`.
    pub(crate) fn next(&mut self, mut write: impl FnMut(Part, &mut Out)) -> Option<&[u8]> {
        const ENDS: usize = CHUNK_END.len() + LAST_CHUNK.len();
        self.part?;
        let Pieces { part, view, framing, out } = self;
        out.text.clear();
        if *framing == Framing::Chunks {
            // It fits, as do the ends.
            let _ = out.text.extend_from_slice(CHUNK_HEAD);
        }
        while let Some(now) = *part
            && out.text.len() + LONGEST_PART + ENDS <= out.text.capacity()
        {
            write(now, out);
            *part = now.next(*view);
        }
        if *framing == Framing::Chunks {
            out.end_chunk(part.is_none());
        }
        Some(&out.text)
    }
}

impl Out {
    /// Writes the chunk's length to its beginning, and its end. Where nothing was left to write there is no chunk: one of no length would be the
    /// last, and what follows it too much.
    fn end_chunk(&mut self, is_last: bool) {
        let text = &mut self.text;
        let len = text.len() - CHUNK_HEAD.len();
        if len == 0 {
            text.clear();
        } else {
            for (digit, shift) in text.iter_mut().zip([8, 4, 0]) {
                *digit = b"0123456789abcdef"[len >> shift & 0xf];
            }
            let _ = text.extend_from_slice(CHUNK_END);
        }
        if is_last {
            let _ = text.extend_from_slice(LAST_CHUNK);
        }
    }
}
