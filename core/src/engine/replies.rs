//! Answers that belong to no slot: they wait in a small queue, and what does not fit is lost and counted. The peer's
//! repetition draws them again.

use crate::rules::reset::Reset;
use crate::rules::verdict::ResetReason;
use crate::tables::half_open::HalfOpen;
use crate::tables::time_wait::TimeWait;
use crate::wire::addr::{LinkAddr, Tuple};
use crate::wire::options::Options;
use crate::wire::segment::{Control, Header};
use crate::wire::seq::Seq;

/// How many can wait between two polls.
pub(crate) const REPLIES: usize = 8;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) tuple: Tuple,
    pub(crate) link_addr: LinkAddr,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) wnd: u16,
    pub(crate) control: Control,
    pub(crate) options: Options,
    pub(crate) reason: Option<ResetReason>,
    /// It is the last word of a half-open record.
    pub(crate) is_of_retired: bool,
    /// It is an RST that may say why.
    #[cfg(feature = "reset-diagnostics")]
    pub(crate) says_why: bool,
}

impl Reply {
    pub(crate) const TO_NOBODY: Reply = Reply {
        tuple: Tuple::ZERO,
        link_addr: LinkAddr([0; 6]),
        seq: Seq(0),
        ack: Seq(0),
        wnd: 0,
        control: Control::empty(),
        options: Options::NONE,
        reason: None,
        is_of_retired: false,
        #[cfg(feature = "reset-diagnostics")]
        says_why: false,
    };

    pub(crate) fn reset(tuple: &Tuple, link_addr: LinkAddr, reset: Reset) -> Reply {
        let control = if reset.ack.is_some() { Control::RST | Control::ACK } else { Control::RST };
        Reply {
            tuple: *tuple,
            link_addr,
            seq: reset.seq,
            ack: reset.ack.unwrap_or_default(),
            wnd: 0,
            control,
            options: Options::NONE,
            reason: Some(reset.reason),
            is_of_retired: false,
            #[cfg(feature = "reset-diagnostics")]
            says_why: false,
        }
    }

    pub(crate) fn syn_ack(half: &HalfOpen, wnd: u16, options: Options) -> Reply {
        Reply {
            tuple: half.tuple,
            link_addr: half.link_addr,
            seq: half.iss,
            ack: half.irs + 1,
            wnd,
            control: Control::SYN | Control::ACK | half.ecn.answering(),
            options,
            reason: None,
            is_of_retired: false,
            #[cfg(feature = "reset-diagnostics")]
            says_why: false,
        }
    }

    /// The handshake's challenge: `<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>`.
    pub(crate) fn ack_of_half_open(half: &HalfOpen, wnd: u16, options: Options) -> Reply {
        let ack = Reply::ack(&half.tuple, half.link_addr, half.iss + 1, half.irs + 1, wnd);
        Reply { options, ..ack }
    }

    pub(crate) fn ack_of_time_wait(wait: &TimeWait, link_addr: LinkAddr, options: Options) -> Reply {
        let ack = Reply::ack(&wait.tuple, link_addr, wait.snd_nxt, wait.rcv_nxt, wait.rcv_wnd);
        Reply { options, ..ack }
    }

    #[inline(never)]
    pub(crate) fn ack(tuple: &Tuple, link_addr: LinkAddr, seq: Seq, ack: Seq, wnd: u16) -> Reply {
        Reply {
            tuple: *tuple,
            link_addr,
            seq,
            ack,
            wnd,
            control: Control::ACK,
            options: Options::NONE,
            reason: None,
            is_of_retired: false,
            #[cfg(feature = "reset-diagnostics")]
            says_why: false,
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            src_port: self.tuple.local_port,
            dst_port: self.tuple.remote_port,
            seq: self.seq,
            ack: self.ack,
            control: self.control,
            wnd: self.wnd,
            urgent: 0,
            options: self.options,
        }
    }
}
