//! CLOSED (§3.10.7.1): there is no connection.

use super::{Disposition, Judgement};
use crate::reset;
use crate::segment::{Control, Segment};
use crate::verdict::{ResetReason, Rule};

pub(crate) fn arrives(seg: &Segment<'_>) -> Judgement {
    // An RST is never answered by an RST, or two hosts without a connection would talk for ever.
    if seg.has(Control::RST) {
        return Rule::ClosedRst.then(Disposition::Drop);
    }
    let rule = if seg.has(Control::ACK) { Rule::ClosedAck } else { Rule::ClosedNoAck };
    rule.then(Disposition::Reset(reset::answer(seg, ResetReason::NoConnection)))
}
