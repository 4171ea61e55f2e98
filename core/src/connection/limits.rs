//! How long a connection bears what, in the units of its record.

#[cfg(feature = "keepalive")]
use crate::config::KeepAlive;
#[cfg(feature = "deadlines")]
use crate::config::MAX_PERIOD;
use crate::config::{InvalidSetting, MAX_DELAYED_ACK, MAX_R2, MIN_PERIOD, Setting, StreamOptions};
use crate::connection::flags::Marks;
#[cfg(feature = "keepalive")]
use crate::time::MAX_AHEAD_MS;
use crate::time::{Period, as_ms};

use core::time::Duration;

/// How long a connection bears what. Zero is a limit that is off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The user timeout, with `USER_TIMEOUT`, as a [`Period`]; else R2 in whole seconds.
    patience: u16,
    #[cfg(feature = "keepalive")]
    keep_idle: Period,
    #[cfg(feature = "keepalive")]
    keep_interval: Period,
    #[cfg(feature = "keepalive")]
    keep_probes: u8,
    #[cfg(feature = "deadlines")]
    idle: Period,
}

/// Keepalive in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Keeping {
    pub(crate) idle_ms: u32,
    pub(crate) interval_ms: u32,
    pub(crate) probes: u8,
}

impl Keeping {
    /// How long a silent peer is borne.
    pub(crate) fn total_ms(self) -> u32 {
        self.until_probe_ms(self.probes)
    }

    /// From the last sign of life to the probe after so many, or to the end.
    pub(crate) fn until_probe_ms(self, probes: u8) -> u32 {
        self.idle_ms + self.interval_ms.saturating_mul(u32::from(probes))
    }
}

impl Limits {
    pub(crate) const ZERO: Limits = Limits {
        patience: 0,
        #[cfg(feature = "keepalive")]
        keep_idle: Period::ZERO,
        #[cfg(feature = "keepalive")]
        keep_interval: Period::ZERO,
        #[cfg(feature = "keepalive")]
        keep_probes: 0,
        #[cfg(feature = "deadlines")]
        idle: Period::ZERO,
    };

    /// What the options say.
    ///
    /// # Errors
    /// The first that is out of its bounds.
    pub(crate) fn new(options: &StreamOptions) -> Result<Limits, InvalidSetting> {
        let r2 = r2(options.r2)?;
        #[cfg(feature = "keepalive")]
        let (keep_idle, keep_interval, keep_probes) = keep_alive(options.keep_alive)?;
        Ok(Limits {
            patience: match options.user_timeout {
                Some(timeout) => user_timeout(timeout)?.bits(),
                None => r2,
            },
            #[cfg(feature = "keepalive")]
            keep_idle,
            #[cfg(feature = "keepalive")]
            keep_interval,
            #[cfg(feature = "keepalive")]
            keep_probes,
            #[cfg(feature = "deadlines")]
            idle: idle_timeout(options.idle_timeout)?,
        })
    }

    /// The user timeout, where `marks` say that there is one.
    pub(crate) fn user_timeout_ms(&self, marks: Marks) -> Option<u32> {
        marks.contains(Marks::USER_TIMEOUT).then(|| Period::from_bits(self.patience).ms())
    }

    /// R2: the user timeout, where there is one.
    pub(crate) fn patience_ms(&self, marks: Marks) -> u32 {
        self.user_timeout_ms(marks).unwrap_or_else(|| u32::from(self.patience) * 1_000)
    }

    pub(crate) fn set_user_timeout(&mut self, timeout: Period) {
        self.patience = timeout.bits();
    }

    pub(crate) fn set_r2(&mut self, seconds: u16) {
        self.patience = seconds;
    }

    /// R2 for longer, where it is shorter.
    #[cfg(feature = "user-timeout-option")]
    pub(crate) fn lengthen_r2(&mut self, seconds: u16) {
        self.patience = self.patience.max(seconds);
    }

    /// Zeros: off.
    #[cfg(feature = "keepalive")]
    pub(crate) fn set_keep_alive(&mut self, (idle, interval, probes): (Period, Period, u8)) {
        *self = Limits { keep_idle: idle, keep_interval: interval, keep_probes: probes, ..*self };
    }

    /// Zero: off.
    #[cfg(feature = "deadlines")]
    pub(crate) fn set_idle(&mut self, timeout: Period) {
        self.idle = timeout;
    }

    /// Whether an idle connection has a limit.
    pub(crate) fn is_watchful(&self) -> bool {
        self.keeping().is_some() || self.idle_ms().is_some()
    }

    /// Keepalive, if it is on.
    pub(crate) fn keeping(&self) -> Option<Keeping> {
        #[cfg(feature = "keepalive")]
        if self.keep_probes > 0 {
            let Limits { keep_idle, keep_interval, keep_probes, .. } = *self;
            return Some(Keeping { idle_ms: keep_idle.ms(), interval_ms: keep_interval.ms(), probes: keep_probes });
        }
        None
    }

    /// How long no byte may be taken by either side, if that is limited.
    pub(crate) fn idle_ms(&self) -> Option<u32> {
        #[cfg(feature = "deadlines")]
        if self.idle != Period::ZERO {
            return Some(self.idle.ms());
        }
        None
    }
}

/// R2 in whole seconds.
pub(crate) fn r2(set: Duration) -> Result<u16, InvalidSetting> {
    whole_seconds(set, Setting::R2)
}

pub(crate) fn whole_seconds(set: Duration, setting: Setting) -> Result<u16, InvalidSetting> {
    let is_whole = set.subsec_nanos() == 0;
    check(is_whole && (Duration::from_secs(1)..=MAX_R2).contains(&set), setting)?;
    Ok(set.as_secs() as u16)
}

pub(crate) fn user_timeout(set: Duration) -> Result<Period, InvalidSetting> {
    exact(set, Setting::UserTimeout)
}

/// Idle time, interval, probes; zeros where it is off.
#[cfg(feature = "keepalive")]
pub(crate) fn keep_alive(set: Option<KeepAlive>) -> Result<(Period, Period, u8), InvalidSetting> {
    let Some(KeepAlive { idle, interval, probes }) = set else { return Ok((Period::ZERO, Period::ZERO, 0)) };
    let (idle, interval) = (exact(idle, Setting::KeepAlive)?, exact(interval, Setting::KeepAlive)?);
    let total = u64::from(idle.ms()) + u64::from(interval.ms()) * u64::from(probes.get());
    check(total <= u64::from(MAX_AHEAD_MS), Setting::KeepAlive)?;
    Ok((idle, interval, probes.get()))
}

#[cfg(feature = "deadlines")]
pub(crate) fn idle_timeout(set: Option<Duration>) -> Result<Period, InvalidSetting> {
    set.map_or(Ok(Period::ZERO), |timeout| exact(timeout, Setting::IdleTimeout))
}

#[cfg(feature = "deadlines")]
pub(crate) fn first_byte_timeout(set: Option<Duration>) -> Result<Option<u32>, InvalidSetting> {
    set.map(|timeout| period(timeout, MAX_PERIOD, Setting::FirstByteTimeout)).transpose()
}

#[cfg(feature = "deadlines")]
pub(crate) fn accept_timeout(set: Option<Duration>) -> Result<Option<u32>, InvalidSetting> {
    set.map(|timeout| period(timeout, MAX_PERIOD, Setting::AcceptTimeout)).transpose()
}

fn exact(set: Duration, setting: Setting) -> Result<Period, InvalidSetting> {
    Period::exact(set).ok_or(InvalidSetting(setting))
}

pub(crate) fn delayed_ack(set: Duration) -> Result<u16, InvalidSetting> {
    check(set <= MAX_DELAYED_ACK, Setting::DelayedAck)?;
    Ok(as_ms(set) as u16)
}

pub(crate) fn check(holds: bool, setting: Setting) -> Result<(), InvalidSetting> {
    if holds { Ok(()) } else { Err(InvalidSetting(setting)) }
}

pub(crate) fn period(set: Duration, most: Duration, setting: Setting) -> Result<u32, InvalidSetting> {
    check((MIN_PERIOD..=most).contains(&set), setting)?;
    Ok(as_ms(set))
}
