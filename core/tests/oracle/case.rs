//! One segment in one scene: what the engine did, against what the table computes.

use tcp_reset_core::{Action, CloseReason, Rule, State, Status, Tcp, Timer, Verdict};

use crate::report::Report;
use crate::scenes::Scene;
use crate::segments::FAR;
use crate::support::packet::segment::timestamps_of;
use crate::support::rig::{Rig, Sent};
use crate::support::table::{ACK, Effect, Model, PSH, RST, Reply, SYN, Seg, ahead, decide};

/// One segment in one scene, before and after.
pub(crate) struct Case {
    pub(crate) setting: &'static str,
    pub(crate) model: Model,
    pub(crate) seg: Seg,
    pub(crate) expected_rule: Rule,
    pub(crate) effect: Effect,
    pub(crate) verdict: Verdict,
    pub(crate) sent: Vec<Sent>,
    /// The engine's latest timestamp before.
    pub(crate) engine_stamp: u32,
    pub(crate) status_before: Option<Status>,
    pub(crate) status: Option<Status>,
    pub(crate) state: State,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (m, seg) = (&self.model, &self.seg);
        let (seq, una, nxt) = (ahead(seg.seq, m.rcv_nxt), ahead(seg.ack, m.snd_una), ahead(seg.ack, m.snd_nxt));
        writeln!(f, "  met      {m:?}")?;
        writeln!(
            f,
            "  arrives  {}: SEQ=RCV.NXT{seq:+} ACK=SND.UNA{una:+}=SND.NXT{nxt:+} {seg:?}",
            flag_names(seg.flags)
        )?;
        writeln!(f, "  rules    {} {:?} {:?}", self.expected_rule, self.effect.action, self.effect.reply)?;
        writeln!(f, "  then     {:?}", self.effect.after)?;
        writeln!(f, "  engine   {:?}, then {}", self.verdict, self.state)?;
        writeln!(f, "  sent     {:?}", self.sent)?;
        writeln!(f, "  before   {:?}", self.status_before)?;
        writeln!(f, "  after    {:?} ({} numbers)", self.status, self.setting)
    }
}

fn flag_names(flags: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
    let set: Vec<&str> = (0..6).filter(|bit| flags >> bit & 1 == 1).map(|bit| names[bit]).collect();
    set.join(",")
}

/// A difference: what kind, and in words.
pub(crate) struct Wrong {
    pub(crate) what: &'static str,
    pub(crate) text: String,
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &'static str, got: T, wanted: T) -> Result<(), Wrong> {
    if got == wanted {
        Ok(())
    } else {
        Err(Wrong { what, text: format!("{what}: got {got:?}, the rules say {wanted:?}") })
    }
}

/// What came of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// By the rules, by which nothing changed: the record may meet another segment.
    Unchanged,
    /// By the rules.
    Changed,
    /// The model does not say what follows.
    SetAside,
    Wrong,
}

/// Tries one segment and says what came of it.
pub(crate) fn try_segment(
    scene: &Scene,
    rig: &mut Rig<'_>,
    setting: &'static str,
    seg: &Seg,
    report: &mut Report,
) -> Outcome {
    let model = rig.model;
    let (row, effect) = decide(&model, seg);
    let expected_rule = row.rule.unwrap();
    let status_before = rig.status();
    let counted = Counted::read(&rig.engine.tcp, expected_rule, effect.closed);
    let verdict = rig.inject(seg);
    report.cases += 1;
    report.meets(verdict.rule);
    if model.is_contradicted_by(seg)
        && [Rule::FinInOrder, Rule::FinOutOfOrder, Rule::PayloadInOrder].contains(&expected_rule)
    {
        report.contradictions += 1;
        assert!(rig.engine.sent.iter().all(|sent| sent.flags & RST == 0), "a contradiction resets nothing");
        return Outcome::SetAside;
    }
    let sent = std::mem::take(&mut rig.engine.sent);
    let (status, state) = (rig.status(), rig.state());
    let engine_stamp = rig.engine_stamp;
    let case = Case {
        setting,
        model,
        seg: *seg,
        expected_rule,
        effect,
        verdict,
        sent,
        engine_stamp,
        status_before,
        status,
        state,
    };
    let result = check_verdict(&case)
        .and_then(|()| check_reply(&case))
        .and_then(|()| case.sent.iter().try_for_each(|sent| check_timestamps(&case, sent)))
        .and_then(|()| check_state(&case))
        .and_then(|()| check_status(&case))
        .and_then(|()| counted.check(&rig.engine.tcp, &case));
    let is_unchanged = is_unchanged(&case);
    // Who asks changes the record, if only its count of challenges.
    let result = if is_unchanged { result } else { result.and_then(|()| check_numbers(&case, rig)) };
    if let Err(wrong) = &result {
        report.note(scene, &case, wrong);
        return Outcome::Wrong;
    }
    if is_unchanged { Outcome::Unchanged } else { Outcome::Changed }
}

/// Returns whether the record is what it was, but for the count of its challenges. An acknowledgment that was held back leaves with
/// each answer, and an RST that was challenged leaves the question open.
fn is_unchanged(case: &Case) -> bool {
    let is_left_alone = match case.verdict.action {
        Action::Dropped => true,
        Action::Challenged | Action::Limited => case.model.delayed_from.is_none() && !case.seg.has(RST),
        Action::Acknowledged | Action::Reset(_) => case.model.delayed_from.is_none(),
        Action::Accepted
        | Action::SynAcked
        | Action::ReturnedToListen
        | Action::ReturnedToSynSent
        | Action::Ended(_) => false,
    };
    is_left_alone && case.effect.after == case.model
}

fn check_verdict(case: &Case) -> Result<(), Wrong> {
    expect("rule", case.verdict.rule, case.expected_rule)?;
    expect("action", case.verdict.action, case.effect.action)?;
    expect("state met", case.verdict.state, case.model.state)
}

fn check_reply(case: &Case) -> Result<(), Wrong> {
    let sent = &case.sent;
    match case.effect.reply {
        Reply::Nothing => expect("segments sent", sent.len(), 0),
        Reply::Segment { flags, seq, ack, text, reason } => {
            expect("segments sent", sent.len(), 1)?;
            expect("flags sent", sent[0].flags & !PSH, flags)?;
            expect("SEQ sent", sent[0].seq, seq)?;
            if flags & ACK != 0 {
                expect("ACK sent", sent[0].ack, ack)?;
            }
            expect("text sent", sent[0].text.len() as u32, text)?;
            expect("RST reason", sent[0].reason, reason)
        }
        Reply::AckThenText { flags, seq, ack, text } => {
            expect("segments sent", sent.len(), 2)?;
            expect("ACK sent", (sent[0].flags, sent[0].seq, sent[0].ack), (ACK, seq, ack))?;
            expect("text with the ACK", sent[0].text.len(), 0)?;
            expect("text sent", (sent[1].flags & !PSH, sent[1].seq, sent[1].text.len() as u32), (flags, seq, text))
        }
        Reply::NewSynAck { ack, beyond } => {
            expect("segments sent", sent.len(), 1)?;
            expect("flags sent", sent[0].flags, SYN | ACK)?;
            expect("ACK sent", sent[0].ack, ack)?;
            expect("text sent", sent[0].text.len(), 0)?;
            expect("options sent", sent[0].options.first(), Some(&2))?;
            expect("ISS beyond", beyond.is_none_or(|seq| ahead(sent[0].seq, seq) > 0), true)
        }
        Reply::ResetThenSyn { seq, reason } => {
            expect("segments sent", sent.len(), 2)?;
            expect("RST sent", (sent[0].flags, sent[0].seq, sent[0].reason), (RST, seq, Some(reason)))?;
            expect("SYN sent", (sent[1].flags, sent[1].seq), (SYN, case.model.iss))
        }
    }
}

/// The timestamps option where both ends have it: our clock goes on, and the echo is TS.Recent. An RST need not have it (RFC 7323 §3.2).
fn check_timestamps(case: &Case, sent: &Sent) -> Result<(), Wrong> {
    let option = timestamps_of(&sent.options);
    if let Some((value, _)) = option {
        expect("TSval goes on", ahead(value, case.engine_stamp) >= 0 || case.engine_stamp == 0, true)?;
    }
    if sent.flags & (SYN | ACK) == SYN {
        return expect("TSecr of a SYN", option.map(|(_, echo)| echo), cfg!(feature = "timestamps").then_some(0));
    }
    if sent.flags & RST != 0 && option.is_none() {
        return Ok(());
    }
    expect("TSecr", option.map(|(_, echo)| echo), case.effect.after.recent)
}

fn check_state(case: &Case) -> Result<(), Wrong> {
    expect("state", case.state, case.effect.after.state)
}

fn check_status(case: &Case) -> Result<(), Wrong> {
    let (Some(before), Some(status)) = (case.status_before, case.status) else {
        return Ok(());
    };
    let after = &case.effect.after;
    if matches!(case.model.state, State::Closed | State::Listen) {
        return expect("STATUS of a connection that is over", status, before);
    }
    if case.effect.after == case.model {
        // An acknowledgment that was held back leaves with whatever is sent.
        let is_ack_gone = !case.sent.is_empty() && before.timer.is_some_and(|(_, timer)| timer == Timer::DelayedAck);
        let timer = if is_ack_gone { None } else { before.timer };
        let is_asking = status.timer.is_some_and(|(_, timer)| timer == Timer::Challenge);
        let timer = if is_asking && case.seg.has(RST) { status.timer } else { timer };
        // A pure ACK may have been taken: the peer was heard.
        return expect(
            "STATUS of an untouched connection",
            status,
            Status { timer, heard_at: status.heard_at, ..before },
        );
    }
    if case.effect.closed.is_some() && !matches!(after.state, State::TimeWait) {
        expect("STATUS state", status.state, State::Closed)?;
        return expect("STATUS reason", status.closed, case.effect.closed);
    }
    if case.model.state == State::TimeWait {
        return Ok(());
    }
    expect("STATUS state", status.state, after.state)?;
    #[cfg(feature = "timestamps")]
    if !matches!(after.state, State::SynSent | State::TimeWait) {
        expect("STATUS timestamps", status.timestamps, after.recent.is_some())?;
    }
    expect("SND.UNA", status.snd_una.0, after.snd_una)?;
    expect("SND.NXT", status.snd_nxt.0, after.snd_nxt)?;
    expect("RCV.NXT", status.rcv_nxt.0, after.rcv_nxt)?;
    if after.state == State::TimeWait {
        return Ok(());
    }
    expect("SND.WND", status.snd_wnd, after.snd_wnd)?;
    let shrunk =
        ahead(status.rcv_nxt.0.wrapping_add(status.rcv_wnd), before.rcv_nxt.0.wrapping_add(before.rcv_wnd)) < 0;
    // A SYN that is believed names another beginning.
    let begins = case.model.state == State::SynSent || case.seg.has(SYN);
    expect("right edge of the window moved left", shrunk && !begins, false)
}

/// Counters that the segment has to move by one.
struct Counted {
    rule: u32,
    closed: Option<(CloseReason, u32)>,
}

impl Counted {
    fn read(tcp: &Tcp<'_>, rule: Rule, closed: Option<CloseReason>) -> Counted {
        let counters = tcp.counters();
        Counted { rule: counters.rule(rule), closed: closed.map(|reason| (reason, counters.closed(reason))) }
    }

    fn check(&self, tcp: &Tcp<'_>, case: &Case) -> Result<(), Wrong> {
        expect("rule counted", tcp.counters().rule(case.expected_rule), self.rule + 1)?;
        let Some((reason, before)) = self.closed else {
            return Ok(());
        };
        expect("close counted", tcp.counters().closed(reason), before + 1)
    }
}

/// Asks the record for SND.NXT and RCV.NXT by a segment that every rule answers with an empty ACK.
fn check_numbers(case: &Case, rig: &mut Rig<'_>) -> Result<(), Wrong> {
    let after = &case.effect.after;
    if !answers_questions(after) {
        return Ok(());
    }
    let snd_nxt = match case.effect.reply {
        Reply::NewSynAck { .. } => case.sent[0].end(),
        Reply::Nothing | Reply::Segment { .. } | Reply::AckThenText { .. } | Reply::ResetThenSyn { .. } => {
            after.snd_nxt
        }
    };
    let keepalive = Seg::new(ACK, after.rcv_nxt.wrapping_sub(1), snd_nxt, 0, 0);
    // Where a SYN,ACK would be believed, or a SYN alone, it is the other.
    let flags = if after.state == State::SynReceived { SYN } else { SYN | ACK };
    let far_syn = Seg::new(flags, after.rcv_nxt.wrapping_add(FAR), snd_nxt, 0, 0);
    let _ = rig.inject(if after.exhausted { &keepalive } else { &far_syn });
    let [reply] = &rig.engine.sent[..] else {
        return Err(Wrong { what: "answer afterwards", text: format!("{:?}", rig.engine.sent) });
    };
    expect("flags afterwards", reply.flags, ACK)?;
    check_timestamps(case, reply)?;
    expect("SND.NXT afterwards", reply.seq, snd_nxt)?;
    expect("RCV.NXT afterwards", reply.ack, after.rcv_nxt)
}

/// Returns whether the record answers a question after its numbers, and with numbers that the model knows.
fn answers_questions(m: &Model) -> bool {
    match m.state {
        State::Closed | State::Listen | State::SynSent => false,
        State::SynReceived => !m.exhausted,
        State::TimeWait => !m.exhausted && !m.over_time_wait,
        State::Established | State::FinWait1 | State::FinWait2 | State::CloseWait | State::Closing | State::LastAck => {
            true
        }
    }
}
