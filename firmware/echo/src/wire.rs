//! Packets from and to a line, as SLIP or PPP would carry them: one each way, and a clock.

/// The longest packet.
pub const MTU: usize = 1_500;

/// A packet's place; without a packet its length is 0.
pub struct Packet {
    /// The packet, and what an older one has left behind it.
    pub bytes: [u8; MTU],
    /// Bytes of the packet.
    pub len: usize,
}

/// What the line's interrupt handler fills and empties between two steps of a server.
pub struct Wire {
    /// The packet that came last.
    pub received: Packet,
    /// The packet that goes next.
    pub sent: Packet,
    /// The time, in microseconds.
    pub now: u64,
    /// When a step is due without a packet, in microseconds.
    pub wake_at: Option<u64>,
}

impl Packet {
    const NONE: Packet = Packet { bytes: [0; MTU], len: 0 };

    /// Returns the packet, if there is one.
    pub fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|packet| !packet.is_empty())
    }

    /// Returns the place, if no packet is in it.
    pub fn free(&mut self) -> Option<&mut [u8; MTU]> {
        (self.len == 0).then_some(&mut self.bytes)
    }
}

impl Wire {
    /// A line at rest.
    pub const NEW: Wire = Wire { received: Packet::NONE, sent: Packet::NONE, now: 0, wake_at: None };
}
