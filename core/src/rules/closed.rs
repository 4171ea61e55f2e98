//! CLOSED (§3.10.7.1): there is no connection.

use crate::rules::judgement::Judgement;
use crate::rules::reset::{self, Reset};
use crate::rules::verdict::{ResetReason, Rule};
use crate::wire::segment::{Control, Segment};

pub(crate) fn judge(seg: &Segment<'_>) -> Judgement<Option<Reset>> {
    // An RST is never answered by an RST, or two hosts without a connection would talk for ever.
    if seg.has(Control::RST) {
        return Rule::ClosedRst.then(None);
    }
    let rule = if seg.has(Control::ACK) { Rule::ClosedAck } else { Rule::ClosedNoAck };
    rule.then(reset::answer(seg, ResetReason::NoConnection))
}
