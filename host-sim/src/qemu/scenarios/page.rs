//! What the status page tells whom.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tcp_reset_core::{Control, Rule, Seq};

use super::super::lab::{Lab, PATIENCE, connect, echo, ends};

const ECHO: u16 = 7;
const STATUS: u16 = 80;
/// All that a stranger's page may name.
const OVERVIEW: [&str; 24] = [
    "schema",
    "board",
    "uptime_s",
    "reset_cause",
    "link",
    "address",
    "address_v6",
    "connections",
    "connection_slots",
    "time_wait",
    "time_wait_slots",
    "buffer_size",
    "stack_size",
    "stack_used",
    "client_connected",
    "client_last_end",
    "slots",
    "last_ends",
    "lost_peers",
    "lost_peers_told",
    "lost_peers_gone",
    "lost_peers_given_up",
    "lost_peers_forgotten",
    "journal_ignored",
];
const OF_SLOT: [&str; 3] = ["state", "idle_s", "ends_in_s"];
const OF_END: [&str; 2] = ["reason", "ago_s"];
/// What an insider finds besides.
const INSIDE: [&str; 12] = [
    "rules",
    "resets_sent",
    "closed",
    "last_resets",
    "segments_in",
    "client_server",
    "half_open",
    "half_open_slots",
    "half_open_records",
    "time_wait_records",
    "lost_peer_probes",
    "lost_peer_records",
];
/// The timers of an idle connection.
const IDLE_TIMERS: [&str; 2] = ["keepalive", "idle"];
/// 2 MSL, in milliseconds.
const TIME_WAIT_MS: u64 = 60_000;
/// Pages asked for until the table of TIME-WAIT, which each of them takes an entry of, is full and its count stands.
const FILLING: u32 = 64;
/// How long a page's slot is left to its task.
const SETTLING: Duration = Duration::from_millis(100);
/// How long the rest of a request is kept back, so that the board reads twice.
const BETWEEN: Duration = Duration::from_millis(20);
/// Long enough that a silence which ends would be seen in whole seconds.
const SILENCE: Duration = Duration::from_millis(3_500);

/// The facts as a stranger gets them.
struct Pages {
    json: String,
    metrics: String,
}

impl Pages {
    fn fetch(lab: &Lab) -> Result<Pages> {
        Ok(Pages { json: fetch(lab, "/status.json")?, metrics: fetch(lab, "/metrics")? })
    }

    fn value(&self) -> Result<Value> {
        serde_json::from_str(&self.json).with_context(|| format!("the page is no JSON: {}", self.json))
    }

    /// How long the quietest connection has been silent, in seconds.
    fn longest_silence(&self) -> Result<u64> {
        let value = self.value()?;
        let slots = value["slots"].as_array().context("the page has no slots")?;
        slots.iter().filter_map(|slot| slot["idle_s"].as_u64()).max().context("no slot tells its silence")
    }

    /// Both without their times.
    fn without_times(&self) -> [String; 2] {
        [without_times(&self.json), without_ages(&self.metrics)]
    }
}

/// The page as a stranger gets it, who asks for it by the board's address.
pub(super) fn fetch(lab: &Lab, path: &str) -> Result<String> {
    let stranger = SocketAddr::new(lab.stranger_addr(), lab.own_port());
    fetch_from(lab, stranger, path, &format!("Host: {}\r\n", lab.at(STATUS))).context("as a stranger")
}

/// A page's own slot is there until its task has let it go: the last one's must not be on this page.
fn fetch_from(lab: &Lab, from: SocketAddr, path: &str, headers: &str) -> Result<String> {
    thread::sleep(SETTLING);
    let mut stream = connect(from, lab.at(STATUS), PATIENCE).context("the status page does not answer")?;
    stream.set_nodelay(true)?;
    let request = format!("GET {path} HTTP/1.0\r\n{headers}\r\n");
    let (begin, rest) = request.split_at(request.len() / 2);
    stream.write_all(begin.as_bytes())?;
    thread::sleep(BETWEEN);
    stream.write_all(rest.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("the page breaks off")?;
    let (head, body) = text.split_once("\r\n\r\n").context("the page has no head")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK"), "the page says {head}");
    Ok(body.to_owned())
}

/// Leaves out every number of seconds, which are named so.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, numbered) = rest.split_at(at);
        let end = numbered.find(|c: char| !c.is_ascii_digit()).unwrap_or(numbered.len());
        let (number, after) = numbered.split_at(end);
        out.push_str(before);
        out.push_str(if before.ends_with("_s\":") { "#" } else { number });
        rest = after;
    }
    out + rest
}

/// The same for metrics.
fn without_ages(text: &str) -> String {
    let is_age = |line: &&str| line.contains("_seconds") && !line.starts_with('#');
    let value = |line: &str| line.rsplit_once(' ').map_or(line.to_owned(), |(name, _)| name.to_owned());
    text.lines().map(|line| if is_age(&line) { value(line) } else { line.to_owned() } + "\n").collect()
}

pub(super) fn strangers_page(lab: &mut Lab) -> Result<()> {
    lab.power_on(&[])?;
    let mut victim = lab.connect(ECHO, 0)?;
    echo(&mut victim, b"a connection of somebody else's")?;
    fill_time_wait(lab)?;
    thread::sleep(SILENCE);
    let pages = Pages::fetch(lab)?;
    names_only_what_is_allowed(&pages, &victim)?;
    insider_sees_everything(lab, &victim)?;
    insider_by_name_sees_an_overview(lab)?;
    for forgery in FORGERIES {
        let before = Pages::fetch(lab)?;
        let counted = lab.ruled(forgery.rule)?;
        forgery.commit(lab, &victim)?;
        ensure!(lab.ruled(forgery.rule)? == counted + 1, "{forgery:?} was not judged as meant");
        let after = Pages::fetch(lab)?;
        let (was, is) = (before.without_times(), after.without_times());
        ensure!(was == is, "{forgery:?} shows on a stranger's page: {was:?}, and now {is:?}");
        let (was, is) = (before.longest_silence()?, after.longest_silence()?);
        ensure!(was >= SILENCE.as_secs() && is >= was, "{forgery:?} ends a silence of {was} s: {is} s");
    }
    echo(&mut victim, b"alive after all")?;
    let silence = Pages::fetch(lab)?.longest_silence()?;
    ensure!(silence <= 1, "the victim has spoken, and the page says that it is silent for {silence} s");
    lab.power_off();
    Ok(())
}

fn fill_time_wait(lab: &Lab) -> Result<()> {
    for _ in 0..FILLING {
        let value = Pages::fetch(lab)?.value()?;
        if value["time_wait"] == value["time_wait_slots"] {
            return Ok(());
        }
    }
    bail!("{FILLING} pages do not fill the table of TIME-WAIT")
}

fn names_only_what_is_allowed(pages: &Pages, victim: &TcpStream) -> Result<()> {
    let value = pages.value()?;
    only(&value, &OVERVIEW)?;
    for (list, names) in [("slots", &OF_SLOT[..]), ("last_ends", &OF_END)] {
        let items = value[list].as_array().with_context(|| format!("the page has no {list}"))?;
        ensure!(!items.is_empty(), "{list} is empty");
        items.iter().try_for_each(|item| only(item, names))?;
    }
    let (kernel, _) = ends(victim)?;
    for page in [&pages.json, &pages.metrics] {
        for secret in [kernel.ip().to_string() + ":", kernel.port().to_string()] {
            ensure!(!page.contains(&secret), "a stranger is told {secret}: {page}");
        }
    }
    for word in ["{state=\"ESTABLISHED\"} ", "reset_cause=\"power-on\"", "{reason=\"closed_we_first\"} "] {
        ensure!(pages.metrics.contains(word), "a stranger's metrics lack \"{word}\": {}", pages.metrics);
    }
    for word in ["_total", "rule=", "half_open"] {
        ensure!(!pages.metrics.contains(word), "a stranger's metrics have \"{word}\": {}", pages.metrics);
    }
    Ok(())
}

fn only(value: &Value, names: &[&str]) -> Result<()> {
    let object = value.as_object().with_context(|| format!("{value} has no names"))?;
    let other = object.keys().find(|key| !names.contains(&key.as_str()));
    ensure!(other.is_none(), "a stranger is told {other:?}: {value}");
    Ok(())
}

fn insider_sees_everything(lab: &Lab, victim: &TcpStream) -> Result<()> {
    let status = lab.status()?;
    for name in OVERVIEW.iter().chain(&INSIDE) {
        ensure!(status.get(*name).is_some(), "an insider's page lacks {name}: {status}");
    }
    let (kernel, _) = ends(victim)?;
    let slots = status["slots"].as_array().context("the page has no slots")?;
    let slot = slots.iter().find(|slot| slot["remote"] == kernel.to_string());
    let slot = slot.with_context(|| format!("no slot of {kernel}: {slots:?}"))?;
    let timers = slot["timers"].as_array().context("the slot has no timers")?;
    for name in IDLE_TIMERS {
        let timer = timers.iter().find(|timer| timer["timer"] == name);
        ensure!(timer.is_some_and(|timer| timer["in_ms"].as_u64() > Some(0)), "no timer {name}: {slot}");
    }
    let records = status["time_wait_records"].as_array().context("the page has no records in TIME-WAIT")?;
    let are_timed = records.iter().all(|record| record["ends_in_ms"].as_u64().is_some_and(|ms| ms <= TIME_WAIT_MS));
    ensure!(!records.is_empty() && are_timed, "the records in TIME-WAIT: {records:?}");
    Ok(())
}

/// An insider's browser that a page of another site makes ask, after the site's name was made to point to the board.
fn insider_by_name_sees_an_overview(lab: &Lab) -> Result<()> {
    let own = lab.at(STATUS);
    let by_address = ["".into(), format!("Host: {own}\r\n"), format!("Accept: */*\r\nhOsT:{own}\r\n")];
    let by_name = [
        "Host: evil.example\r\n".into(),
        "host: evil.example:80\r\n".into(),
        format!("Host: {own}\r\nHost: evil.example\r\n"),
        format!("Host: {own}.evil.example\r\n"),
    ];
    let page = |headers: &String| {
        let json = fetch_from(lab, lab.kernel_at(lab.own_port()), "/status.json", headers)?;
        serde_json::from_str(&json).with_context(|| format!("the page is no JSON: {json}"))
    };
    for headers in &by_address {
        let value: Value = page(headers)?;
        ensure!(!value["rules"].is_null(), "an insider who says {headers:?} is shown {value}");
    }
    for headers in &by_name {
        only(&page(headers)?, &OVERVIEW).with_context(|| format!("an insider who says {headers:?}"))?;
    }
    Ok(())
}

/// What is sent in the victim's name by somebody who guesses.
#[derive(Debug)]
struct Forgery {
    control: Control,
    place: Place,
    len: usize,
    rule: Rule,
}

/// Where it falls, seen from RCV.NXT.
#[derive(Debug)]
enum Place {
    InWindow,
    RightEdge,
    Before,
    Far,
}

const fn forgery(control: Control, place: Place, len: usize, rule: Rule) -> Forgery {
    Forgery { control, place, len, rule }
}

const FORGERIES: [Forgery; 7] = [
    forgery(Control::RST, Place::InWindow, 0, Rule::RstInWindow),
    forgery(Control::RST, Place::RightEdge, 0, Rule::RstAtRightEdge),
    forgery(Control::RST, Place::Before, 0, Rule::RstBeforeNext),
    forgery(Control::RST, Place::Far, 0, Rule::RstOutOfWindow),
    forgery(Control::ACK, Place::InWindow, 32, Rule::AckUnacceptable),
    forgery(Control::ACK, Place::Far, 32, Rule::SeqUnacceptable),
    forgery(Control::SYN, Place::InWindow, 0, Rule::SynSynchronized),
];

impl Forgery {
    fn commit(&self, lab: &Lab, victim: &TcpStream) -> Result<()> {
        let window = lab.window(victim)?;
        let mut segment = lab.segment_for(victim, self.control)?;
        segment.seq += match self.place {
            Place::InWindow => window / 2,
            Place::RightEdge => window,
            Place::Before => u32::MAX,
            Place::Far => 1 << 30,
        };
        if self.control.contains(Control::ACK) {
            segment.ack = Seq(segment.ack.0.wrapping_add(1 << 20));
        }
        segment.len = self.len;
        lab.cable.forge(&segment)
    }
}
