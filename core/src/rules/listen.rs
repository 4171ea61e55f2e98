//! LISTEN (§3.10.7.2): a listener matches, a connection does not.

use crate::config::Overflow;
use crate::rules::judgement::{ForListener, Judgement};
use crate::rules::reset;
use crate::rules::verdict::{ResetReason, Rule};
use crate::wire::segment::{Control, Segment};

/// `has_room` says whether a half-open record can be made; `overflow` what becomes of a SYN otherwise.
pub(crate) fn judge(seg: &Segment<'_>, has_room: bool, overflow: Overflow) -> Judgement<ForListener> {
    // First: nothing of this incarnation was sent yet, so no RST can be an answer to it.
    if seg.has(Control::RST) {
        return Rule::ListenRst.then(ForListener::Drop);
    }
    // Second: nothing was sent that could be acknowledged.
    if seg.has(Control::ACK) {
        let reset = reset::answer(seg, ResetReason::AckToListener);
        return Rule::ListenAck.then(ForListener::Reset(reset));
    }
    // Third. Payload and FIN that come with the SYN are left to be sent again: nothing is kept before the handshake proves the
    // peer's address.
    if seg.has(Control::SYN) {
        return third_check_syn(seg, has_room, overflow);
    }
    // Fourth.
    Rule::ListenOther.then(ForListener::Drop)
}

fn third_check_syn(seg: &Segment<'_>, has_room: bool, overflow: Overflow) -> Judgement<ForListener> {
    if has_room {
        return Rule::ListenSyn.then(ForListener::Open);
    }
    match overflow {
        Overflow::Drop => Rule::ListenSynDropped.then(ForListener::Drop),
        Overflow::Refuse => {
            let reset = reset::answer(seg, ResetReason::ListenerFull);
            Rule::ListenSynRefused.then(ForListener::Reset(reset))
        }
    }
}
