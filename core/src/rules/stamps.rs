//! What a connection's timestamps are (RFC 7323).

use crate::time::Millis;
use crate::wire::options::Options;
use crate::wire::segment::Segment;
use crate::wire::timestamps::Timestamps;

/// How long a peer's timestamp can be compared with (RFC 7323 §5.5): of a clock that ticks once a millisecond half a turn takes little longer.
const RECENT_FOR_MS: u32 = 24 * 24 * 60 * 60 * 1_000;

/// TS.Recent: the latest timestamp of a peer, where both SYNs had one (Snd.TS.OK).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Recent(Option<u32>);

impl Recent {
    pub(crate) const NONE: Recent = Recent(None);

    /// That of a SYN; `is_taken` says whether ours has one.
    pub(crate) fn in_syn(options: &Options, is_taken: bool) -> Recent {
        Recent(options.timestamps.filter(|_| is_taken).map(|option| option.value))
    }

    /// What is known to be the peer's has come again, with a later timestamp.
    pub(crate) fn renew(&mut self, options: &Options) {
        if let (Some(recent), Some(option)) = (self.0, options.timestamps)
            && option.value.wrapping_sub(recent).cast_signed() > 0
        {
            self.0 = Some(option.value);
        }
    }
}

/// A connection's timestamps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamps {
    /// Both SYNs had the option: Snd.TS.OK.
    is_enabled: bool,
    /// TS.Recent is not too long ago.
    is_recent_valid: bool,
    /// How far our clock is ahead of the engine's milliseconds, for this pair of endpoints alone.
    offset: u32,
    /// TS.Recent: the latest of the peer's.
    recent: u32,
    recent_at: Millis,
}

impl Stamps {
    pub(crate) const NEW: Stamps =
        Stamps { is_enabled: false, is_recent_valid: false, offset: 0, recent: 0, recent_at: Millis(0) };

    pub(crate) fn of(Recent(recent): Recent, offset: u32, now: Millis) -> Stamps {
        Stamps {
            is_enabled: recent.is_some(),
            is_recent_valid: recent.is_some(),
            offset,
            recent: recent.unwrap_or(0),
            recent_at: now,
        }
    }

    /// The peer's SYN has come.
    pub(crate) fn begin(&mut self, recent: Recent, now: Millis) {
        *self = Stamps::of(recent, self.offset, now);
    }

    /// Returns whether both ends have offered them.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    pub(crate) fn recent(&self) -> Recent {
        Recent(self.is_enabled.then_some(self.recent))
    }

    /// Bytes that the option takes from the payload of each segment.
    pub(crate) fn wire_len(&self) -> u16 {
        if self.is_enabled { Timestamps::WIRE_LEN as u16 } else { 0 }
    }

    /// Adds the option to those of a segment that leaves now.
    #[inline]
    pub(crate) fn add_to(&self, options: &mut Options, now: Millis) {
        options.timestamps = self.is_enabled.then(|| Timestamps { value: self.now(now), echo: self.recent });
    }

    /// The same for our SYN, if it offers timestamps.
    pub(crate) fn offer_in(&self, options: &mut Options, now: Millis, is_offered: bool) {
        options.timestamps = is_offered.then(|| Timestamps { value: self.now(now), echo: 0 });
    }

    fn now(&self, now: Millis) -> u32 {
        now.0.wrapping_add(self.offset)
    }

    /// Returns whether a segment is from before TS.Recent.
    #[inline]
    pub(crate) fn has_old(&self, seg: &Segment<'_>) -> bool {
        self.is_enabled && seg.header.options.timestamps.is_some_and(|option| self.is_old(option.value))
    }

    /// Returns whether a timestamp lies before TS.Recent, by a clock that wraps.
    #[inline]
    fn is_old(&self, value: u32) -> bool {
        self.is_recent_valid && value.wrapping_sub(self.recent).cast_signed() < 0
    }

    /// Forgets how old TS.Recent is where that is too long ago to compare with. Called at least every 2^30 ms.
    pub(crate) fn age(&mut self, now: Millis) {
        if now.since(self.recent_at) > RECENT_FOR_MS {
            self.is_recent_valid = false;
        }
    }

    /// The round trip that an acknowledgment tells of, in milliseconds (RFC 7323 §4.1); `None` where no segment can have been out for so long.
    #[inline]
    pub(crate) fn round_trip_ms(&self, seg: &Segment<'_>, now: Millis) -> Option<u16> {
        let option = seg.header.options.timestamps.filter(|_| self.is_enabled)?;
        u16::try_from(self.now(now).wrapping_sub(option.echo)).ok()
    }

    /// Notes the timestamp of a segment that is accepted, unless it lies before the latest.
    #[inline]
    pub(crate) fn note(&mut self, seg: &Segment<'_>, now: Millis) {
        if let Some(option) =
            seg.header.options.timestamps.filter(|option| self.is_enabled && !self.is_old(option.value))
        {
            (self.recent, self.recent_at, self.is_recent_valid) = (option.value, now, true);
        }
    }

    /// Returns whether a SYN has come after the old connection; `None` where its timestamp does not tell. `is_taken` says whether the new connection would have
    /// timestamps, as far as we are asked.
    pub(crate) fn is_syn_new(&self, seg: &Segment<'_>, is_taken: bool) -> Option<bool> {
        let option = seg.header.options.timestamps.filter(|_| is_taken)?;
        if !self.is_enabled {
            // None of the old connection's segments had one.
            return Some(true);
        }
        (option.value != self.recent).then(|| !self.is_old(option.value))
    }
}
