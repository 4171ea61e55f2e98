//! Every state, flag combination and interesting sequence and acknowledgement number against the engine, by the table.
//!
//! Over each family, each case builds its state anew through a handshake on the wire, delivers one segment, and compares the verdict,
//! what goes out, the state afterwards, STATUS and the counters with what the table computes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use tcp_reset_core::{
    Action, CloseReason, Config, Instant, ListenOptions, Overflow, RstPolicy, Rule, State, Status, StreamOptions, Tcp,
    Timer, Verdict,
};

use support::family::{Family, over_each};
use support::rig::{
    self,
    reach::{
        Script, accepted, close_wait, closing, cross, crossed, dial, enter, fin_wait_1, fin_wait_1_gone, fin_wait_2,
        fin_wait_2_gone, knock, last_ack, open, probe_outstanding, send_window_closed, send_window_shrunk,
        text_in_flight, time_wait, time_wait_of_listener,
    },
};
use support::rig::{
    BUFFER, Link, PEER_ISN, START, Sent, Store, World, key, quick_config, small_listener, small_stream,
};
use support::table::{ACK, Effect, Model, PSH, Port, RST, Reply, SYN, Seg, ahead, decide};

/// Rules that no segment of the enumeration can meet, each with the test in `rules` that shows it.
const ELSEWHERE: &[(Rule, &str)] = &[
    (Rule::Malformed, "any_state_malformed_header_is_dropped"),
    (Rule::ChecksumWrong, "any_state_wrong_checksum_is_dropped"),
    (Rule::Fragment, "any_state_fragment_is_dropped"),
    (Rule::TooManyHeaders, "any_state_too_many_headers_are_dropped"),
    (Rule::NotAnswerable, "any_state_unanswerable_address_is_dropped"),
];

/// How many mismatches are printed in full.
const PRINTED: usize = 20;
/// The window that the segments under test offer, unless a scene says otherwise.
const OFFERED: u32 = 1_234;
/// How many segments that change something are followed by a second one, in each scene.
const FIRST_OF_TWO: usize = 120;
/// How many second segments follow each.
const SECOND_OF_TWO: usize = 200;
/// Far away from every window, to ask a record for its numbers.
const FAR: u32 = 0x4000_0000;

/// A situation in which every segment is tried.
struct Scene {
    name: &'static str,
    build: &'static [Script],
    /// The window that the segments offer.
    wnd: u32,
    /// Only segments with these flags are tried.
    only: u8,
    configure: fn(&mut Config),
    /// The connection's challenges are used up.
    exhausted: bool,
}

const fn scene(name: &'static str, build: &'static [Script]) -> Scene {
    Scene { name, build, wnd: OFFERED, only: 0, configure: |_| {}, exhausted: false }
}

const fn scene_with_window(name: &'static str, wnd: u32, build: &'static [Script]) -> Scene {
    Scene { wnd, ..scene(name, build) }
}

const SCENES: &[Scene] = &[
    scene("CLOSED", &[]),
    scene("CLOSED, listener elsewhere", &[listen_elsewhere]),
    scene("LISTEN", &[listen]),
    scene("LISTEN on any address", &[listen_anywhere]),
    scene("LISTEN, full, drops", &[listen_full_drops]),
    scene("LISTEN, full, refuses", &[listen_full_refuses]),
    scene("SYN-SENT", &[dial]),
    scene("SYN-RECEIVED, passive", &[knock]),
    scene("SYN-RECEIVED, passive, backlog full", &[knock_without_slot]),
    scene("SYN-RECEIVED, active", &[cross]),
    scene("ESTABLISHED", &[open]),
    scene("ESTABLISHED, accepted", &[accepted]),
    scene("ESTABLISHED, not yet accepted", &[enter]),
    scene("ESTABLISHED, simultaneous open", &[crossed]),
    scene("ESTABLISHED, text in flight", &[text_in_flight]),
    scene("ESTABLISHED, gap", &[gap]),
    scene("ESTABLISHED, receive window closed", &[receive_window_closed]),
    scene("ESTABLISHED, receive window of 2", &[receive_window_of_two]),
    scene_with_window("ESTABLISHED, send window closed", 0, &[send_window_closed]),
    scene("ESTABLISHED, send window closed, opens", &[send_window_closed]),
    scene_with_window("ESTABLISHED, window probe outstanding", 0, &[probe_outstanding]),
    scene("ESTABLISHED, window probe outstanding, opens", &[probe_outstanding]),
    scene_with_window("ESTABLISHED, send window shrunk", 4, &[send_window_shrunk]),
    scene_with_window("ESTABLISHED, send window closes on text in flight", 0, &[text_in_flight]),
    Scene {
        only: RST,
        configure: allow_last_ack,
        ..scene("ESTABLISHED, delayed ACK, policy on", &[acknowledgement_delayed])
    },
    Scene { only: RST, configure: delay_acks, ..scene("ESTABLISHED, delayed ACK", &[acknowledgement_delayed_strict]) },
    scene("FIN-WAIT-1", &[fin_wait_1]),
    scene("FIN-WAIT-1, text in flight", &[fin_wait_1_text]),
    scene("FIN-WAIT-1, gap", &[gap, shutdown]),
    scene("FIN-WAIT-1, receive window closed", &[receive_window_closed, shutdown]),
    scene_with_window("FIN-WAIT-1, FIN unsent", 0, &[send_window_closed, shutdown]),
    scene("FIN-WAIT-1, FIN unsent, opens", &[send_window_closed, shutdown]),
    scene_with_window("FIN-WAIT-1, FIN unsent, probed", 0, &[probe_outstanding, shutdown]),
    scene("FIN-WAIT-1, application gone", &[fin_wait_1_gone]),
    scene("FIN-WAIT-1, application gone, text in flight", &[text_in_flight, close]),
    scene_with_window("FIN-WAIT-1, application gone, FIN unsent", 0, &[send_window_closed, close]),
    scene_with_window("FIN-WAIT-1, application gone, FIN unsent, probed", 0, &[probe_outstanding, close]),
    scene_with_window("FIN-WAIT-1, application gone, window shrunk", 4, &[send_window_shrunk, close]),
    scene_with_window("FIN-WAIT-1, application gone, window closes", 0, &[text_in_flight, close]),
    scene_with_window("FIN-WAIT-1, application gone, window shrinks", 3, &[text_in_flight, close]),
    scene("FIN-WAIT-1, application gone, listener", &[accepted, close]),
    scene("FIN-WAIT-2", &[fin_wait_2]),
    scene("FIN-WAIT-2, gap", &[gap, shutdown, peer_acks]),
    scene("FIN-WAIT-2, receive window closed", &[fin_wait_2, fill_receive_window]),
    scene("FIN-WAIT-2, application gone", &[fin_wait_2_gone]),
    scene("FIN-WAIT-2, application gone, listener", &[accepted, close, peer_acks]),
    scene("CLOSE-WAIT", &[close_wait]),
    scene("CLOSE-WAIT, accepted", &[accepted, peer_finishes]),
    scene("CLOSE-WAIT, text in flight", &[text_in_flight, peer_finishes]),
    scene("CLOSE-WAIT, receive window used up", &[close_wait_full]),
    scene_with_window("CLOSE-WAIT, send window closed", 0, &[send_window_closed, peer_finishes]),
    scene("CLOSE-WAIT, send window closed, opens", &[send_window_closed, peer_finishes]),
    Scene { configure: allow_before_fin, ..scene("CLOSE-WAIT, policy on", &[close_wait, note_policy]) },
    scene("CLOSING", &[closing]),
    scene("CLOSING, receive window used up", &[open_nearly_full, shutdown, peer_finishes]),
    scene("CLOSING, text in flight", &[fin_wait_1_text, peer_finishes]),
    scene("CLOSING, application gone", &[fin_wait_1_gone, peer_finishes]),
    Scene { configure: allow_before_fin, ..scene("CLOSING, policy on", &[closing, note_policy]) },
    scene("LAST-ACK", &[last_ack]),
    scene("LAST-ACK, receive window used up", &[close_wait_full, shutdown]),
    scene("LAST-ACK, text in flight", &[text_in_flight, peer_finishes, shutdown]),
    scene("LAST-ACK, application gone", &[close_wait, close]),
    scene("LAST-ACK, application gone, listener", &[accepted, peer_finishes, close]),
    scene_with_window("LAST-ACK, FIN unsent", 0, &[send_window_closed, peer_finishes, shutdown]),
    Scene { configure: allow_before_fin, ..scene("LAST-ACK, policy on", &[last_ack, note_policy]) },
    scene("TIME-WAIT", &[time_wait]),
    scene("TIME-WAIT, application gone", &[fin_wait_2_gone, peer_finishes]),
    scene("TIME-WAIT, after CLOSING", &[time_wait_after_closing]),
    scene("TIME-WAIT, listener", &[time_wait_of_listener]),
    scene("TIME-WAIT, listener, application gone", &[time_wait_of_listener, close]),
    exhausted("SYN-RECEIVED, passive, no challenge left", &[knock]),
    exhausted("SYN-RECEIVED, active, no challenge left", &[cross]),
    exhausted("ESTABLISHED, no challenge left", &[text_in_flight]),
    exhausted("ESTABLISHED, receive window closed, no challenge left", &[receive_window_closed]),
    exhausted("FIN-WAIT-1, no challenge left", &[fin_wait_1]),
    exhausted("FIN-WAIT-2, application gone, no challenge left", &[fin_wait_2_gone]),
    exhausted("CLOSE-WAIT, no challenge left", &[close_wait]),
    exhausted("CLOSING, no challenge left", &[closing]),
    exhausted("LAST-ACK, no challenge left", &[last_ack]),
    exhausted("TIME-WAIT, no challenge left", &[time_wait]),
    exhausted("TIME-WAIT, listener, no challenge left", &[time_wait_of_listener]),
    scene("SYN-RECEIVED, over TIME-WAIT", &[reopened]),
    scene("TIME-WAIT, listener full", &[time_wait_of_listener, fill_half_open]),
];

/// A scene whose connection has no challenges left.
const fn exhausted(name: &'static str, build: &'static [Script]) -> Scene {
    Scene { exhausted: true, configure: withhold_challenges, ..scene(name, build) }
}

fn listen(link: &mut Link<'_>) {
    link.listen(small_listener());
}

fn listen_full_drops(link: &mut Link<'_>) {
    listen_full(link, Overflow::Drop);
}

fn listen_full_refuses(link: &mut Link<'_>) {
    listen_full(link, Overflow::Refuse);
}

fn shutdown(link: &mut Link<'_>) {
    link.shutdown();
}

fn close(link: &mut Link<'_>) {
    link.close();
}

fn peer_acks(link: &mut Link<'_>) {
    link.peer_acks();
}

fn peer_finishes(link: &mut Link<'_>) {
    link.peer_finishes();
}

fn listen_elsewhere(link: &mut Link<'_>) {
    let other = SocketAddr::new(link.us.ip(), 81);
    link.world.tcp.listen(other, small_listener()).unwrap();
}

fn listen_anywhere(link: &mut Link<'_>) {
    let us = link.us;
    link.us.set_ip(link.family.unspecified());
    link.listen(small_listener());
    link.us = us;
}

/// A peer other than the one under test begins a handshake.
fn stranger_knocks(link: &mut Link<'_>, port: u16) -> Sent {
    let raw = rig::Raw { seq: 5, flags: SYN, wnd: 100, ..rig::Raw::default() };
    let _ = link.world.arrive(stranger(link, port), link.us, &raw);
    link.world.only().clone()
}

fn stranger(link: &Link<'_>, port: u16) -> SocketAddr {
    SocketAddr::new(link.family.host(3), port)
}

fn listen_full(link: &mut Link<'_>, overflow: Overflow) {
    link.listen(ListenOptions { half_open: 1, overflow, ..small_listener() });
    let _ = stranger_knocks(link, 1_001);
    link.model.port = if overflow == Overflow::Drop { Port::FullDrops } else { Port::FullRefuses };
}

fn fill_half_open(link: &mut Link<'_>) {
    for port in 1_001..1_005 {
        let _ = stranger_knocks(link, port);
    }
    link.model.port = Port::FullDrops;
}

fn knock_without_slot(link: &mut Link<'_>) {
    link.listen(ListenOptions { backlog: 1, ..small_listener() });
    let _ = link.say(SYN, 0);
    let reply = stranger_knocks(link, 1_001);
    let raw = rig::Raw { seq: 6, ack: reply.end(), flags: ACK, wnd: 100, ..rig::Raw::default() };
    let _ = link.world.arrive(stranger(link, 1_001), link.us, &raw);
    link.model.state = State::SynReceived;
    link.model.passive = true;
    link.model.has_slot = false;
    link.model.port = Port::FullDrops;
}

fn gap(link: &mut Link<'_>) {
    link.open();
    link.peer_leaves_gap(4, 4);
}

fn fill_receive_window(link: &mut Link<'_>) {
    let _ = link.say(ACK, BUFFER);
    assert_eq!(link.model.rcv_wnd, 0, "the window closes");
}

fn receive_window_closed(link: &mut Link<'_>) {
    open(link);
    fill_receive_window(link);
}

fn receive_window_of_two(link: &mut Link<'_>) {
    link.open();
    let _ = link.say(ACK, BUFFER - 2);
}

fn delay_acks(config: &mut Config) {
    config.delayed_ack = Duration::from_millis(40);
}

fn allow_last_ack(config: &mut Config) {
    delay_acks(config);
    config.rst_policy.at_last_ack_sent = true;
}

fn allow_before_fin(config: &mut Config) {
    config.rst_policy.before_fin = true;
}

fn acknowledgement_delayed_strict(link: &mut Link<'_>) {
    link.open();
    let before = link.model.rcv_nxt;
    let _ = link.say(ACK, 5);
    assert!(link.world.sent.is_empty(), "the acknowledgement waits");
    link.model.rcv_nxt = before.wrapping_add(5);
    link.model.rcv_wnd -= 5;
    link.model.delayed_from = Some(before);
}

fn acknowledgement_delayed(link: &mut Link<'_>) {
    acknowledgement_delayed_strict(link);
    link.model.policy = RstPolicy { at_last_ack_sent: true, before_fin: false };
}

fn note_policy(link: &mut Link<'_>) {
    link.model.policy = RstPolicy { at_last_ack_sent: false, before_fin: true };
}

fn fin_wait_1_text(link: &mut Link<'_>) {
    text_in_flight(link);
    shutdown(link);
}

fn open_nearly_full(link: &mut Link<'_>) {
    link.open();
    let _ = link.say(ACK, BUFFER - 1);
}

fn close_wait_full(link: &mut Link<'_>) {
    open_nearly_full(link);
    peer_finishes(link);
}

/// A listener has answered a new SYN; the record of the old connection is still there.
fn reopened(link: &mut Link<'_>) {
    time_wait_of_listener(link);
    let _ = link.world.tcp.close(link.world.now, link.handle.take().unwrap());
    link.world.drain();
    link.isn = link.model.rcv_nxt.wrapping_add(1_000);
    link.model = Model { port: Port::Takes, ..rig::nothing(link.isn) };
    let _ = link.say(SYN, 0);
    link.model = Model { state: State::SynReceived, passive: true, over_time_wait: true, ..link.model };
}

fn withhold_challenges(config: &mut Config) {
    config.challenge_limit = 0;
}

fn time_wait_after_closing(link: &mut Link<'_>) {
    closing(link);
    let _ = link.say(ACK, 0);
    link.model.state = State::TimeWait;
    link.model.max_snd_wnd = 65_535;
}

/// Over which family a scene plays, and where the numbers of both sides begin.
#[derive(Clone, Copy)]
struct Setting {
    name: &'static str,
    family: Family,
    isn: u32,
    start: Instant,
}

/// Builds the scene; the link is as it was after the last scripted segment.
fn build<'s>(scene: &Scene, setting: Setting, store: &'s mut Store) -> Link<'s> {
    let mut config = quick_config();
    (scene.configure)(&mut config);
    let mut link = Link::new(World::with(store, config, key(0x5a), setting.start), setting.family, setting.isn);
    for step in scene.build {
        step(&mut link);
    }
    link.model.exhausted = scene.exhausted;
    // The rules are judged here, millions of times; the other tests look behind them.
    link.world.is_audited = false;
    link
}

/// Sequence numbers around both edges of the receive window, around IRS, and half the circle away.
fn sequence_numbers(m: &Model) -> Vec<u32> {
    let edge = m.rcv_nxt.wrapping_add(m.rcv_wnd);
    let far = m.rcv_nxt.wrapping_add(1 << 31);
    let held = m.held.map_or(m.rcv_nxt, |held| held.start.wrapping_add(held.len));
    let old = m.rcv_nxt.wrapping_sub(BUFFER);
    let around = [(m.rcv_nxt, 2), (edge, 2), (m.irs, 2), (far, 1), (held, 1), (old, 1), (FAR, 0)];
    positions(&around)
}

/// Acknowledgement numbers around both ends of what may be acknowledged, around SND.UNA, and half the circle away.
fn acknowledgement_numbers(m: &Model) -> Vec<u32> {
    let lowest = m.snd_una.wrapping_sub(m.max_snd_wnd);
    let far = |seq: u32| seq.wrapping_add(1 << 31);
    let around =
        [(lowest, 2), (m.snd_una, 2), (m.snd_nxt, 2), (far(m.snd_una), 1), (far(m.snd_nxt), 1), (m.iss, 1), (0, 0)];
    positions(&around)
}

fn positions(around: &[(u32, u32)]) -> Vec<u32> {
    let all = around.iter().flat_map(|&(at, by)| (0..=2 * by).map(move |i| at.wrapping_sub(by).wrapping_add(i)));
    all.collect::<BTreeSet<u32>>().into_iter().collect()
}

/// All segments tried in a scene. Without ACK the acknowledgement number may be anything; two stand for all.
fn segments(m: &Model, scene: &Scene) -> Vec<Seg> {
    let mut all = Vec::new();
    let (seqs, acks) = (sequence_numbers(m), acknowledgement_numbers(m));
    let texts = BTreeSet::from([0, 1, 2, BUFFER, BUFFER + 1, m.rcv_wnd, m.rcv_wnd + 1]);
    for flags in (0..64_u8).filter(|flags| flags & scene.only == scene.only) {
        let acks: &[u32] = if flags & ACK == 0 { &[m.snd_nxt, 0] } else { &acks };
        for &seq in &seqs {
            for &ack in acks {
                all.extend(texts.iter().map(|&text| Seg::new(flags, seq, ack, text, scene.wnd)));
            }
        }
    }
    all
}

/// What came of the whole run.
#[derive(Default)]
struct Report {
    cases: u64,
    pairs: u64,
    contradictions: u64,
    mismatches: u64,
    /// The first of each kind.
    printed: BTreeMap<(String, String, &'static str), String>,
    histogram: BTreeMap<(String, String, String, &'static str), u64>,
    met: BTreeSet<&'static str>,
}

impl Report {
    fn merge(&mut self, other: Report) {
        self.cases += other.cases;
        self.pairs += other.pairs;
        self.contradictions += other.contradictions;
        self.mismatches += other.mismatches;
        for (kind, text) in other.printed {
            self.printed.entry(kind).or_insert(text);
        }
        for (key, count) in other.histogram {
            *self.histogram.entry(key).or_default() += count;
        }
        self.met.extend(other.met);
    }

    fn note(&mut self, scene: &Scene, case: &Case, wrong: &Wrong) {
        self.mismatches += 1;
        let (expected, got) = (case.expected_rule.to_string(), case.verdict.rule.to_string());
        let kind = (expected.clone(), got.clone(), wrong.what);
        self.printed.entry(kind).or_insert_with(|| format!("{}: {}\n{case}", scene.name, wrong.text));
        *self.histogram.entry((scene.name.to_owned(), expected, got, wrong.what)).or_default() += 1;
    }
}

/// One segment in one scene, before and after.
struct Case {
    setting: &'static str,
    model: Model,
    seg: Seg,
    expected_rule: Rule,
    effect: Effect,
    verdict: Verdict,
    sent: Vec<Sent>,
    status_before: Option<Status>,
    status: Option<Status>,
    state: State,
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
struct Wrong {
    what: &'static str,
    text: String,
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &'static str, got: T, wanted: T) -> Result<(), Wrong> {
    if got == wanted {
        Ok(())
    } else {
        Err(Wrong { what, text: format!("{what}: got {got:?}, the rules say {wanted:?}") })
    }
}

/// Tries one segment and says whether everything went by the rules.
fn try_segment(scene: &Scene, mut link: Link<'_>, setting: &'static str, seg: &Seg, report: &mut Report) -> bool {
    let model = link.model;
    let (row, effect) = decide(&model, seg);
    let expected_rule = row.rule.unwrap();
    let status_before = link.status();
    let counted = Counted::read(&link.world.tcp, expected_rule, effect.closed);
    let verdict = link.inject(seg);
    report.cases += 1;
    report.met.insert(verdict.rule.name());
    if model.is_contradicted_by(seg)
        && [Rule::FinInOrder, Rule::FinOutOfOrder, Rule::TextInOrder].contains(&expected_rule)
    {
        report.contradictions += 1;
        assert!(link.world.sent.iter().all(|sent| sent.flags & RST == 0), "a contradiction resets nothing");
        return false;
    }
    let sent = link.world.sent.clone();
    let (status, state) = (link.status(), link.state());
    let case = Case { setting, model, seg: *seg, expected_rule, effect, verdict, sent, status_before, status, state };
    let result = check_verdict(&case)
        .and_then(|()| check_reply(&case))
        .and_then(|()| check_state(&case))
        .and_then(|()| check_status(&case))
        .and_then(|()| counted.check(&link.world.tcp, &case))
        .and_then(|()| check_numbers(&case, &mut link));
    if let Err(wrong) = &result {
        report.note(scene, &case, wrong);
    }
    result.is_ok()
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
        // An acknowledgement that was held back leaves with whatever is sent.
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
fn check_numbers(case: &Case, link: &mut Link<'_>) -> Result<(), Wrong> {
    let after = &case.effect.after;
    if !answers_questions(after) {
        return Ok(());
    }
    let snd_nxt = match case.effect.reply {
        Reply::NewSynAck { .. } => case.sent[0].end(),
        Reply::Nothing | Reply::Segment { .. } | Reply::ResetThenSyn { .. } => after.snd_nxt,
    };
    let keepalive = Seg::new(ACK, after.rcv_nxt.wrapping_sub(1), snd_nxt, 0, 0);
    // Where a SYN,ACK would be believed, or a SYN alone, it is the other.
    let flags = if after.state == State::SynReceived { SYN } else { SYN | ACK };
    let far_syn = Seg::new(flags, after.rcv_nxt.wrapping_add(FAR), snd_nxt, 0, 0);
    let _ = link.inject(if after.exhausted { &keepalive } else { &far_syn });
    let [reply] = &link.world.sent[..] else {
        return Err(Wrong { what: "answer afterwards", text: format!("{:?}", link.world.sent) });
    };
    expect("flags afterwards", reply.flags, ACK)?;
    expect("SND.NXT afterwards", reply.seq, snd_nxt)?;
    expect("RCV.NXT afterwards", reply.ack, after.rcv_nxt)
}

/// Says whether the record answers a question after its numbers, and with numbers that the model knows.
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

fn run_scene(scene: &Scene, setting: Setting, store: &mut Store) -> Report {
    let mut report = Report::default();
    let model = {
        let link = build(scene, setting, store);
        let (state, status) = (link.state(), link.status());
        assert_eq!(state, link.model.state, "{}: the script reached its state", scene.name);
        check_books(scene, &link.model, status);
        link.model
    };
    let all = segments(&model, scene);
    let right = |seg: &&Seg| try_segment(scene, build(scene, setting, store), setting.name, seg, &mut report);
    let right: Vec<&Seg> = all.iter().filter(right).collect();
    let leading = right.into_iter().filter(|seg| leads_on(&model, seg)).collect();
    for first in sample(leading, FIRST_OF_TWO) {
        let after = after_first(scene, setting, first, store).model;
        for second in sample(segments(&after, scene).iter().collect(), SECOND_OF_TWO) {
            let link = after_first(scene, setting, first, store);
            report.pairs += 1;
            let _ = try_segment(scene, link, setting.name, second, &mut report);
        }
    }
    report
}

/// Says whether the segment changes the record into one that the model describes fully, so that another may follow.
fn leads_on(model: &Model, seg: &Seg) -> bool {
    let (row, effect) = decide(model, seg);
    let reopens = row.rule == Some(Rule::SynTimeWaitReopens);
    let remembers_fin = row.rule == Some(Rule::FinOutOfOrder);
    let returns = effect.after.over_time_wait && effect.after.state == State::TimeWait;
    let second_gap = row.rule == Some(Rule::TextOutOfOrder) && model.held.is_some();
    let vague = model.is_contradicted_by(seg);
    effect.after != *model && !(reopens || returns || remembers_fin || second_gap || vague)
}

/// Builds the scene and delivers the first of two segments; the books follow.
fn after_first<'s>(scene: &Scene, setting: Setting, first: &Seg, store: &'s mut Store) -> Link<'s> {
    let mut link = build(scene, setting, store);
    let mut after = decide(&link.model, first).1.after;
    let _ = link.inject(first);
    for sent in link.world.sent.iter().filter(|sent| sent.flags & (ACK | RST) == ACK) {
        after.rcv_wnd = sent.wnd.wrapping_sub(after.rcv_nxt.wrapping_sub(sent.ack));
        if sent.flags & SYN != 0 {
            (after.iss, after.snd_una, after.snd_nxt) = (sent.seq, sent.seq, sent.end());
        }
    }
    link.model = after;
    link
}

/// Picks at most `count` of them, spread without a pattern but the same each time.
fn sample<T>(mut from: Vec<T>, count: usize) -> Vec<T> {
    let (mut state, mut picked) = (0x9e37_79b9_u32, Vec::new());
    while picked.len() < count && !from.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        picked.push(from.swap_remove((state >> 8) as usize % from.len()));
    }
    picked
}

/// What the peer saw on the wire and what STATUS says must agree before anything is tried.
fn check_books(scene: &Scene, model: &Model, status: Option<Status>) {
    let Some(status) = status else { return };
    if matches!(model.state, State::TimeWait | State::SynSent | State::SynReceived) {
        return;
    }
    let wire = (model.snd_una, model.snd_nxt, model.snd_wnd, model.rcv_nxt, model.rcv_wnd);
    let told = (status.snd_una.0, status.snd_nxt.0, status.snd_wnd, status.rcv_nxt.0, status.rcv_wnd);
    assert_eq!(told, wire, "{}: SND.UNA, SND.NXT, SND.WND, RCV.NXT, RCV.WND by STATUS and on the wire", scene.name);
}

/// Nothing wraps.
fn plain(family: Family) -> Setting {
    Setting { name: "plain", family, isn: PEER_ISN, start: START }
}

/// The numbers of both sides wrap: the start is where our ISS, which grows by one each 4 us, lies just before zero.
fn both_wrap(family: Family) -> Setting {
    let setting = Setting { name: "both wrap", isn: 0xffff_fffe, ..plain(family) };
    let iss = build(&scene("", &[dial]), setting, &mut Store::new()).model.iss;
    let start = START + Duration::from_micros(4 * u64::from(0xffff_fffb_u32.wrapping_sub(iss)));
    Setting { start, ..setting }
}

fn peer_wraps_at_the_edge(family: Family) -> Setting {
    Setting { name: "peer wraps at the edge", isn: 0_u32.wrapping_sub(BUFFER), ..plain(family) }
}

fn run(settings: &[Setting]) -> Report {
    let tasks: Vec<(&Scene, Setting)> =
        SCENES.iter().flat_map(|scene| settings.iter().map(move |setting| (scene, *setting))).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let (mut store, mut report) = (Box::new(Store::new()), Report::default());
        while let Some((scene, setting)) = tasks.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            report.merge(run_scene(scene, *setting, &mut store));
        }
        report
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let mut total = Report::default();
        for thread in threads {
            total.merge(thread.join().expect("a worker"));
        }
        total
    })
}

fn print(report: &Report, clock: Clock) {
    for text in report.printed.values().take(PRINTED) {
        println!("{text}\n");
    }
    for ((scene, expected, got, what), count) in &report.histogram {
        println!("{count:>8} x {scene}: {what}: the rules say {expected}, got {got}");
    }
    let seconds = clock.elapsed().as_secs_f32();
    let (scenes, pairs, aside) = (SCENES.len(), report.pairs, report.contradictions);
    println!(
        "{} cases in {scenes} scenes, {pairs} of them after another segment, {aside} set aside, {seconds:.1} s",
        report.cases
    );
}

#[test]
fn every_segment_in_every_state_meets_the_rules() {
    over_each(|family| {
        let clock = Clock::now();
        let report = run(&[plain(family), both_wrap(family), peer_wraps_at_the_edge(family)]);
        print(&report, clock);
        let missed: Vec<_> = Rule::ALL.iter().filter(|rule| !report.met.contains(rule.name())).collect();
        let elsewhere: Vec<_> = ELSEWHERE.iter().map(|(rule, _)| rule).collect();
        assert_eq!(missed, elsewhere, "rules that the enumeration never met");
        assert_eq!(report.mismatches, 0, "mismatches");
    });
}

#[test]
fn rules_met_elsewhere_have_their_tests() {
    for (rule, test) in ELSEWHERE {
        assert!(include_str!("rules/any_state.rs").contains(&format!("fn {test}(")), "{rule} is shown by {test}");
    }
}

#[test]
fn scenes_show_every_state() {
    over_each(|family| {
        let mut store = Box::new(Store::new());
        let state = |scene| build(scene, plain(family), &mut store).model.state;
        let states: Vec<State> = SCENES.iter().map(state).collect();
        assert!(State::ALL.iter().all(|state| states.contains(state)), "{states:?}");
    });
}

#[test]
fn verdicts_without_effect_leave_the_books_alone() {
    let mut store = Box::new(Store::new());
    for scene in SCENES {
        let model = build(scene, plain(Family::V4), &mut store).model;
        for seg in segments(&model, scene).iter().step_by(97) {
            let effect = decide(&model, seg).1;
            let quiet = matches!(effect.action, Action::Dropped | Action::Challenged | Action::Limited);
            assert!(!quiet || effect.after == model, "{}: {seg:?}", scene.name);
        }
    }
}

#[test]
fn default_streams_fit_the_same_rules() {
    over_each(|family| {
        let mut store = Box::new(rig::LargeStore::new());
        let mut link = Link::new(World::new(&mut *store, quick_config()), family, PEER_ISN);
        link.open_with(StreamOptions::default());
        assert_ne!(StreamOptions::default(), small_stream());
        let model = link.model;
        assert_eq!(model.rcv_wnd, 4_096);
        let seg = Seg::new(RST, model.rcv_nxt.wrapping_add(4_095), 0, 0, 0);
        let expected = decide(&model, &seg).0.rule;
        assert_eq!(Some(link.inject(&seg).rule), expected);
    });
}
