//! The scripted receiver: stores what arrives in order or not, and acknowledges each segment at once.

/// What the receiver says, in bytes from the stream's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ack {
    pub(crate) to: u32,
    pub(crate) wnd: u32,
}

pub(crate) struct Receiver {
    /// Which bytes arrived; the last is the FIN.
    has: Vec<bool>,
    pub(crate) nxt: u32,
    /// Up to where its application has read.
    read: u32,
    /// Room of its buffer, in bytes.
    pub(crate) room: u32,
    pub(crate) is_reading: bool,
    /// Whether the right edge of the window may move to the left.
    pub(crate) is_shrinking: bool,
    edge: u32,
}

impl Receiver {
    pub(crate) fn new(total: u32, room: u32, is_shrinking: bool) -> Receiver {
        Receiver {
            has: vec![false; total as usize + 1],
            nxt: 0,
            read: 0,
            room,
            is_reading: true,
            is_shrinking,
            edge: room,
        }
    }

    /// A segment from `at` on; `len` counts the FIN.
    pub(crate) fn take(&mut self, at: u32, len: u32) -> Ack {
        let end = (at + len).min(self.edge);
        for i in at.max(self.nxt)..end {
            self.has[i as usize] = true;
        }
        while self.has.get(self.nxt as usize) == Some(&true) {
            self.nxt += 1;
        }
        self.ack()
    }

    pub(crate) fn ack(&mut self) -> Ack {
        if self.is_reading {
            self.read = self.nxt;
        }
        let edge = self.read + self.room;
        self.edge = if self.is_shrinking { edge.max(self.nxt) } else { edge.max(self.edge) };
        Ack { to: self.nxt, wnd: self.edge - self.nxt }
    }

    pub(crate) fn has_all(&self) -> bool {
        self.nxt as usize == self.has.len()
    }
}
