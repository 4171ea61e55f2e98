//! What is due of a connection, and what holds of it beside its state.

bitflags::bitflags! {
    /// What is to be sent, beside what is queued.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Due: u8 {
        /// An acknowledgment, alone or on payload.
        const ACK_NOW = 1 << 0;
        /// An empty ACK, whatever else is sent.
        const CHALLENGE = 1 << 1;
        /// The front of the send queue, or the SYN.
        const RESEND = 1 << 2;
        /// A window probe.
        const PROBE = 1 << 3;
        /// A keepalive probe.
        const KEEP_ALIVE = 1 << 4;
        /// An empty ACK with the user timeout option.
        const USER_TIMEOUT_OPTION = 1 << 5;
        /// An RST; the connection is over.
        const RESET = 1 << 6;
    }
}

bitflags::bitflags! {
    /// Which timers are armed, what they have come to, and which options are on.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Marks: u16 {
        /// `rexmit_at` is armed.
        const REXMIT = 1 << 0;
        /// It waits for a window, not for an acknowledgment.
        const PERSIST = 1 << 1;
        /// `ack_at` is armed: an acknowledgment is held back until then.
        const DELACK = 1 << 2;
        /// `ack_at` is armed: a challenge to an RST is unanswered.
        const ASKING = 1 << 3;
        /// The same challenge was sent again once.
        const ASKED_AGAIN = 1 << 4;
        /// `phase_at` is armed: somebody must accept, or else the peer send its first byte.
        const DEADLINE = 1 << 5;
        /// Keepalive is on, or an idle limit is set.
        const WATCHED = 1 << 6;
        /// The user timeout is set, in the place of R2.
        const USER_TIMEOUT = 1 << 7;
        /// The peer has opened its window since the last progress; closing it again stops no clock.
        const REOPENED = 1 << 8;
        /// R2 has passed; what is out now is the last attempt.
        const LAST_TRY = 1 << 9;
        /// R1 has passed: the path is in doubt, the next hop is asked for anew.
        const DOUBTED = 1 << 10;
        /// The next hop is known.
        const LINK_ADDR_KNOWN = 1 << 11;
        /// Nobody has accepted it yet.
        const UNACCEPTED = 1 << 12;
        /// The peer has sent its first byte.
        const PEER_SPOKE = 1 << 13;
        /// Nagle's algorithm is on.
        const NAGLE = 1 << 14;
        /// The user timeout option is spoken (RFC 5482).
        const USER_TIMEOUT_OPTION = 1 << 15;
    }
}
