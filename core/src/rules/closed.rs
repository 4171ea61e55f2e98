//! CLOSED (§3.10.7.1): there is no connection.

use crate::rules::judgement::{Disposition, Judgement};
use crate::rules::reset;
use crate::rules::verdict::{ResetReason, Rule};
use crate::wire::segment::{Control, Segment};

pub(crate) fn arrives(seg: &Segment<'_>) -> Judgement {
    // An RST is never answered by an RST, or two hosts without a connection would talk for ever.
    if seg.has(Control::RST) {
        return Rule::ClosedRst.then(Disposition::Drop);
    }
    let rule = if seg.has(Control::ACK) { Rule::ClosedAck } else { Rule::ClosedNoAck };
    rule.then(Disposition::Reset(reset::answer(seg, ResetReason::NoConnection)))
}
