//! The user timeout option (RFC 5482): each side tells how long it bears unacknowledged data, so that the other does not give up sooner.
//!
//! It is advice in both directions and never ends anything. Ours stands on SYN and SYN,ACK and once more on the first empty ACK afterwards,
//! because a half-open record has no room for the peer's and an option on a SYN may be lost; again when the timeout is changed. Never
//! on payload, whose size it would take. The peer's counts where our application has set no user timeout of its own (CHANGEABLE), and then
//! only lengthens R2, up to a limit of ours. What it has once lengthened is not shortened by a later option: the record keeps the result alone.

use crate::connection::flags::{Due, Marks};
use crate::connection::limits::Limits;
use crate::connection::settings::Settings;
use crate::connection::slot::Connection;

/// One bit: minutes, not seconds.
const MINUTES: u16 = 1 << 15;

/// The field that says `ms`, rounded up: zero is reserved, and too short a promise would end the other side's patience too soon.
pub(crate) fn field_of(ms: u32) -> u16 {
    let seconds = ms.div_ceil(1_000).max(1);
    match u16::try_from(seconds) {
        Ok(seconds) if seconds < MINUTES => seconds,
        // At most 18 days in minutes.
        Ok(_) | Err(_) => MINUTES | seconds.div_ceil(60) as u16,
    }
}

/// What a field says, in seconds; `None` where it says the reserved zero.
fn seconds_of(field: u16) -> Option<u32> {
    let count = u32::from(field & !MINUTES);
    let unit = if field & MINUTES == 0 { 1 } else { 60 };
    (count > 0).then_some(count * unit)
}

impl Limits {
    /// Ours, where `marks` say that it is given at all.
    pub(crate) fn user_timeout_to_announce(&self, marks: Marks) -> Option<u16> {
        marks.contains(Marks::USER_TIMEOUT_OPTION).then(|| field_of(self.patience_ms(marks)))
    }
}

impl Connection {
    /// Makes it due to be said.
    pub(crate) fn announce_user_timeout(&mut self) {
        self.due
            .set(Due::USER_TIMEOUT_OPTION, self.has(Marks::USER_TIMEOUT_OPTION) && self.tcb.state().is_synchronized());
    }

    /// A segment with an acceptable acknowledgment has brought the peer's.
    pub(crate) fn process_user_timeout_option(&mut self, field: Option<u16>, settings: &Settings) {
        let Some(seconds) = field.and_then(seconds_of) else { return };
        if self.has(Marks::USER_TIMEOUT_OPTION) && !self.has(Marks::USER_TIMEOUT) {
            self.limits.lengthen_r2(seconds.min(u32::from(settings.user_timeout_limit_s)) as u16);
        }
    }
}
