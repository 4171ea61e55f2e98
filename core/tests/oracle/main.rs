//! Every state, flag combination and interesting sequence and acknowledgment number against the engine, by the table.
//!
//! Over each family, each case builds its state through a handshake on the wire, delivers one segment, and compares the verdict, what
//! goes out, the state afterwards, STATUS and the counters with what the table computes. After a segment that changes nothing the state is
//! not built anew: the next segments show whether it is what it was.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

#[path = "../support/mod.rs"]
mod support;

mod case;
mod report;
mod scenes;
mod segments;
mod settings;

use std::time::Instant as Clock;

use tcp_reset_core::{Action, Rule, State, Status, StreamOptions};

use case::{Outcome, try_segment};
use report::{Report, print};
use scenes::{SCENES, Scene};
use segments::{Segments, sample};
use settings::{Setting, both_wrap, build, peer_wraps_at_the_edge, plain, rebuild, with_timestamps};
use support::family::{Family, over_each};
use support::rig;
use support::rig::{Engine, PEER_ISN, Rig, Store, quick_config, small_stream};
use support::table::{ACK, Model, RST, SYN, Seg, decide};

/// Rules that no segment of the enumeration can meet, each with the test in `rules` that shows it.
const ELSEWHERE: &[(Rule, &str)] = &[
    (Rule::Malformed, "any_state_malformed_header_is_dropped"),
    (Rule::ChecksumWrong, "any_state_wrong_checksum_is_dropped"),
    (Rule::Fragment, "any_state_fragment_is_dropped"),
    (Rule::TooManyHeaders, "any_state_too_many_headers_are_dropped"),
    (Rule::NotAnswerable, "any_state_unanswerable_address_is_dropped"),
];

/// What is met only where there are timestamps.
const WITH_TIMESTAMPS: &[Rule] = &[Rule::TimestampOld];

/// How many segments that change something are followed by a second one, in each scene.
const FIRST_OF_TWO: usize = 120;

/// How many segments that change nothing one record meets: fewer than the challenges it has.
const ON_ONE_RECORD: usize = 200;

/// How many second segments follow each.
const SECOND_OF_TWO: usize = 200;

fn run_scene(scene: &Scene, setting: Setting, store: &mut Store) -> Report {
    let mut report = Report::default();
    let model = {
        let rig = build(scene, setting, store);
        let (state, status) = (rig.state(), rig.status());
        assert_eq!(state, rig.model.state, "{}: the script reached its state", scene.name);
        check_books(scene, &rig.model, status);
        check_timestamps(scene, &rig.model, setting);
        rig.model
    };
    let mut leading = Vec::new();
    let segments = Segments::new(&model, scene, setting.clock);
    let mut segments = segments.iter().peekable();
    while segments.peek().is_some() {
        let mut rig = rebuild(scene, setting, store);
        for seg in segments.by_ref().take(ON_ONE_RECORD) {
            let outcome = try_segment(scene, &mut rig, setting.name, &seg, &mut report);
            if outcome == Outcome::Changed && leads_on(&model, &seg) {
                leading.push(seg);
            }
            if outcome != Outcome::Unchanged {
                break;
            }
        }
    }
    for first in sample(leading.len(), FIRST_OF_TWO).into_iter().map(|at| leading[at]) {
        let after = after_first(scene, setting, &first, store);
        let seconds = Segments::new(&after, scene, setting.clock);
        let mut seconds = sample(seconds.len(), SECOND_OF_TWO).into_iter().map(|at| seconds.at(at)).peekable();
        while seconds.peek().is_some() {
            let mut rig = rebuild(scene, setting, store);
            let _ = rig.inject(&first);
            rig.model = after;
            for second in seconds.by_ref().take(ON_ONE_RECORD) {
                report.pairs += 1;
                if try_segment(scene, &mut rig, setting.name, &second, &mut report) != Outcome::Unchanged {
                    break;
                }
            }
        }
    }
    report
}

/// Returns whether the segment changes the record into one that the model describes fully, so that another may follow.
fn leads_on(model: &Model, seg: &Seg) -> bool {
    let (row, effect) = decide(model, seg);
    let reopens = row.rule == Some(Rule::SynTimeWaitReopens);
    let remembers_fin = row.rule == Some(Rule::FinOutOfOrder);
    let returns = effect.after.over_time_wait && effect.after.state == State::TimeWait;
    let second_gap = row.rule == Some(Rule::PayloadOutOfOrder) && model.held.is_some();
    let vague = model.is_contradicted_by(seg);
    effect.after != *model && !(reopens || returns || remembers_fin || second_gap || vague)
}

/// The books after the first of two segments.
fn after_first(scene: &Scene, setting: Setting, first: &Seg, store: &mut Store) -> Model {
    let mut rig = rebuild(scene, setting, store);
    let mut after = decide(&rig.model, first).1.after;
    let _ = rig.inject(first);
    for sent in rig.engine.sent.iter().filter(|sent| sent.flags & (ACK | RST) == ACK) {
        after.rcv_wnd = sent.wnd.wrapping_sub(after.rcv_nxt.wrapping_sub(sent.ack));
        if sent.flags & SYN != 0 {
            (after.iss, after.snd_una, after.snd_nxt) = (sent.seq, sent.seq, sent.end());
        }
    }
    after
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

/// Every scripted segment of a peer with timestamps has the same one: from its SYN on that is TS.Recent.
fn check_timestamps(scene: &Scene, model: &Model, setting: Setting) {
    let has_syn = !matches!(model.state, State::Closed | State::Listen | State::SynSent);
    assert_eq!(model.recent, setting.clock.filter(|_| has_syn), "{}: TS.Recent on the wire", scene.name);
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

#[test]
fn every_segment_in_every_state_meets_the_rules() {
    over_each(|family| {
        let clock = Clock::now();
        let mut settings = vec![plain(family), both_wrap(family), peer_wraps_at_the_edge(family)];
        if cfg!(feature = "timestamps") {
            settings.push(with_timestamps(family));
        }
        let report = run(&settings);
        print(&report, clock);
        let missed: Vec<_> = Rule::ALL.iter().filter(|rule| !report.has_met(**rule)).collect();
        let without = WITH_TIMESTAMPS.iter().filter(|_| !cfg!(feature = "timestamps"));
        let elsewhere: Vec<_> = ELSEWHERE.iter().map(|(rule, _)| rule).chain(without).collect();
        assert_eq!(missed, elsewhere, "rules that the enumeration never met");
        assert_eq!(report.mismatches, 0, "mismatches");
    });
}

#[test]
fn rules_met_elsewhere_have_their_tests() {
    for (rule, test) in ELSEWHERE {
        assert!(include_str!("../rules/any_state.rs").contains(&format!("fn {test}(")), "{rule} is shown by {test}");
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
        for seg in Segments::new(&model, scene, None).iter().step_by(97) {
            let effect = decide(&model, &seg).1;
            let quiet = matches!(effect.action, Action::Dropped | Action::Challenged | Action::Limited);
            assert!(!quiet || effect.after == model, "{}: {seg:?}", scene.name);
        }
    }
}

#[test]
fn default_streams_fit_the_same_rules() {
    over_each(|family| {
        let mut store = Box::new(rig::LargeStore::new());
        let mut rig = Rig::new(Engine::new(&mut *store, quick_config()), family, PEER_ISN);
        rig.open_with(StreamOptions::default());
        assert_ne!(StreamOptions::default(), small_stream());
        let model = rig.model;
        assert_eq!(model.rcv_wnd, 4_096);
        let seg = Seg::new(RST, model.rcv_nxt.wrapping_add(4_095), 0, 0, 0);
        let expected = decide(&model, &seg).0.rule;
        assert_eq!(Some(rig.inject(&seg).rule), expected);
    });
}
