//! What must hold after every scenario, whatever its story was: the RSTs on the wire are the expected ones, none answers another, our
//! tables hold what the scenario leaves and nothing after its connections are gone, and the next client on the same ports is served.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tcp_reset_core::{Control, State};

use crate::ladder::label;
use crate::script::{is_alive, peer_accepts};
use crate::trace::{Entry, Step, Trace, Way};
use crate::world::{Pair, World};

/// Pairs of ports that a next client is tried on; a scenario with hundreds is judged by the first.
const MOST_NEXT_CLIENTS: usize = 4;
/// How long after a story stray RSTs are waited for, on the kernel's clock and on virtual time.
const AFTERMATH: Duration = Duration::from_millis(15);

/// RSTs that must be seen.
#[derive(Clone, Copy, Debug)]
pub struct Rst {
    /// Who sends them.
    pub way: Way,
    /// Control bits and numbers as a ladder shows them: counted from the initial numbers.
    pub label: &'static str,
    /// How many there must be at least.
    pub least: usize,
    /// How many there may be.
    pub most: usize,
}

impl Rst {
    /// One from us.
    pub const fn ours(label: &'static str) -> Rst {
        Rst { way: Way::ToPeer, label, least: 1, most: 1 }
    }

    /// One from the peer.
    pub const fn theirs(label: &'static str) -> Rst {
        Rst { way: Way::ToUs, label, least: 1, most: 1 }
    }

    /// So many of them instead of one.
    pub const fn times(self, least: usize, most: usize) -> Rst {
        Rst { least, most, ..self }
    }
}

/// Judges the RSTs of a story. On a hostile wire a segment that arrives late or twice draws one more from an end that knows nothing of the
/// connection any more, and one that is expected may be lost; nothing else is different there.
///
/// # Errors
/// If there is one too many or too few, or one that answers another.
pub fn resets(trace: &Trace, expected: &[Rst], told: &[(Way, String)], is_hostile: bool) -> Result<()> {
    no_rst_answers(trace)?;
    let mut seen: Vec<(Way, String, usize)> = Vec::new();
    for (place, entry) in trace.entries.iter().enumerate() {
        let Entry::Segment(step) = entry else { continue };
        if !step.seen.control.contains(Control::RST) || step.way == Way::ForgedToUs {
            continue;
        }
        let text = label(trace, place, &step.seen);
        if is_hostile && is_from_closed(step) || is_after_repeated_fin(trace, place, step) {
            continue;
        }
        match seen.iter_mut().find(|(way, label, _)| *way == step.way && *label == text) {
            Some((_, _, count)) => *count += 1,
            None => seen.push((step.way, text, 1)),
        }
    }
    let told = told.iter().map(|(way, label)| (*way, label.as_str(), 1, 1));
    let expected: Vec<_> = expected.iter().map(|rst| (rst.way, rst.label, rst.least, rst.most)).chain(told).collect();
    for (way, label, count) in &seen {
        let Some((_, _, _, most)) = expected.iter().find(|(w, l, ..)| w == way && l == label) else {
            bail!("an RST that nobody expected{}: {label}", who(*way));
        };
        ensure!(is_hostile || count <= most, "{count} times{}: {label}; at most {most} are expected", who(*way));
    }
    for (way, label, least, _) in expected {
        let count = seen.iter().find(|(w, l, _)| *w == way && l == label).map_or(0, |(_, _, count)| *count);
        ensure!(is_hostile || count >= least, "{count} times{}: {label}; {least} are expected", who(way));
    }
    Ok(())
}

/// Judges the RSTs of a whole trace, what a scenario is judged by included.
///
/// # Errors
/// If one of ours answers another.
pub fn no_rst_answers(trace: &Trace) -> Result<()> {
    for (place, entry) in trace.entries.iter().enumerate() {
        let Entry::Segment(step) = entry else { continue };
        let is_answer = step.seen.control.contains(Control::RST) && answers_rst(trace, place, step);
        ensure!(!is_answer, "an RST of ours answers an RST: {}", label(trace, place, &step.seen));
    }
    Ok(())
}

fn who(way: Way) -> &'static str {
    match way {
        Way::ToPeer => " from us",
        Way::ToUs => " from the peer",
        Way::ForgedToUs => " from a forger",
    }
}

/// A peer's timer may send its FIN again before it takes in our acknowledgment, however short a while that is. The next acknowledgment, which TIME-WAIT
/// owes that FIN, then finds no connection and draws an RST.
fn is_after_repeated_fin(trace: &Trace, place: usize, step: &Step) -> bool {
    let is_fin = |other: &Step| other.way == Way::ToUs && other.seen.control.contains(Control::FIN);
    let fins: Vec<_> = trace.entries[..place]
        .iter()
        .filter_map(|entry| match entry {
            Entry::Segment(other) if other.ends() == step.ends() && is_fin(other) => Some(other.seen.seq),
            Entry::Segment(_) | Entry::Note(_) => None,
        })
        .collect();
    let is_repeated = matches!(fins[..], [.., last, again] if last == again);
    step.way == Way::ToUs && step.ours == State::TimeWait && is_from_closed(step) && is_repeated
}

/// The end that sent it has no connection there.
fn is_from_closed(step: &Step) -> bool {
    let state = if step.way == Way::ToPeer { step.ours } else { step.peer };
    matches!(state, State::Closed | State::Listen | State::TimeWait)
}

/// The last thing on this pair of endpoints before our RST is an RST that reached us.
fn answers_rst(trace: &Trace, place: usize, step: &Step) -> bool {
    let before = trace.entries[..place].iter().rev();
    let last = before.take_while(|entry| matches!(entry, Entry::Segment(_))).find_map(|entry| match entry {
        Entry::Segment(other) if other.ends() == step.ends() && other.arrived() => Some(other),
        Entry::Segment(_) | Entry::Note(_) => None,
    });
    let is_rst_to_us = |other: &Step| other.way != Way::ToPeer && other.seen.control.contains(Control::RST);
    step.way == Way::ToPeer && last.is_some_and(is_rst_to_us)
}

/// What our tables hold when a story has ended: connections, half-open entries, entries in TIME-WAIT.
pub type Leaves = (usize, usize, usize);

/// Judges our tables as the story leaves them, then ends what is left and sees that nothing is.
///
/// # Errors
/// If an entry is left that should not be.
pub fn tables(w: &mut World<'_>, leaves: Leaves) -> Result<()> {
    let holds = w.in_use();
    ensure!(w.is_hostile() || holds == leaves, "our tables hold {}, not {}", told(holds), told(leaves));
    w.cable().make_perfect();
    w.pass(AFTERMATH)?;
    abort_everything(w)?;
    w.until("our connections and half-open entries are freed", |w| Ok((w.in_use().0, w.in_use().1) == (0, 0)))
        .with_context(|| format!("our tables hold {}", told(w.in_use())))
}

/// Lets stray segments arrive.
///
/// # Errors
/// If the wire fails.
pub fn aftermath(w: &mut World<'_>) -> Result<()> {
    w.pass(AFTERMATH)
}

fn told((connections, half_open, time_wait): Leaves) -> String {
    format!("{connections} connections, {half_open} half-open, {time_wait} in TIME-WAIT")
}

fn abort_everything(w: &mut World<'_>) -> Result<()> {
    let now = w.now();
    let live: Vec<_> = w.ours().tcp().connections().map(|(handle, _)| handle).collect();
    for handle in live {
        // A handle that the application has let go of is refused; the engine ends such a connection by itself.
        let _ = w.ours().tcp().abort(now, handle);
    }
    w.peer().drop_streams()?;
    w.pass(AFTERMATH)
}

/// A client on each pair of ports of the story is served, and leaves nothing.
///
/// # Errors
/// If one is not, or leaves something.
pub fn next_clients(w: &mut World<'_>) -> Result<()> {
    let mut pairs: Vec<(SocketAddr, SocketAddr)> = Vec::new();
    for step in w.trace.steps() {
        if !pairs.contains(&step.ends()) {
            pairs.push(step.ends());
        }
    }
    let all = pairs.len();
    pairs.truncate(MOST_NEXT_CLIENTS);
    for (our_end, their_end) in &pairs {
        let (our_port, their_port) = (our_end.port(), their_end.port());
        next_client(w, *our_end, *their_end)
            .with_context(|| format!("the next client on the ports {our_port} and {their_port}"))?;
    }
    let holds = w.in_use();
    let others = if all > pairs.len() { holds.2 } else { 0 };
    ensure!(holds == (0, 0, others), "after the next client our tables hold {}", told(holds));
    Ok(())
}

fn next_client(w: &mut World<'_>, our_end: SocketAddr, their_end: SocketAddr) -> Result<()> {
    let (our_port, their_port) = (our_end.port(), their_end.port());
    let peer = settled_peer(w, our_end, their_port)?;
    if peer == State::TimeWait && w.state_at(our_port, their_port) == State::TimeWait {
        // Where both have it nobody can begin, until one forgets.
        w.until("our TIME-WAIT is over", |w| Ok(w.in_use().2 == 0))?;
    }
    let pair = if matches!(peer, State::Listen | State::TimeWait) {
        we_come(w, our_port, their_port)?
    } else {
        peer_comes(w, our_port, their_port)?
    };
    is_alive(w, &pair)?;
    abort_everything(w)?;
    w.until("its connection is freed", |w| Ok((w.in_use().0, w.in_use().1) == (0, 0)))
}

/// Waits until the peer can begin anew: one whose last FIN is still unacknowledged refuses the pair until its timer has repeated it.
fn settled_peer(w: &mut World<'_>, our_end: SocketAddr, their_port: u16) -> Result<State> {
    let mut peer = State::Closed;
    w.until("the peer has done with the last connection", |w| {
        peer = w.peer().state(their_port, our_end)?;
        Ok(matches!(peer, State::Closed | State::Listen | State::TimeWait))
    })?;
    Ok(peer)
}

fn peer_comes(w: &mut World<'_>, our_port: u16, their_port: u16) -> Result<Pair> {
    w.note(format!("the next client: the peer connects from port {their_port} to our port {our_port}"));
    let listener = w.listener_on(our_port).map_or_else(|| w.listen(our_port), Ok)?;
    let our_end = w.our_end(our_port);
    let theirs = w.peer().connect(their_port, our_end, false)?;
    let ours = w.accept(listener)?;
    w.peer_connected(theirs)?.map_err(|failure| anyhow!("the peer could not connect: {failure}"))?;
    Ok(Pair { ours, theirs, our_end, their_end: w.their_end(their_port) })
}

fn we_come(w: &mut World<'_>, our_port: u16, their_port: u16) -> Result<Pair> {
    w.note(format!("the next client: we connect from port {our_port} to the peer's port {their_port}"));
    let listener = w.peer().listener_on(their_port).map_or_else(|| w.peer().listen(their_port), Ok)?;
    while w.peer().accept(listener)?.is_some() {}
    w.peer().drop_streams()?;
    let ours = w.connect(our_port, their_port)?;
    let theirs = peer_accepts(w, listener)?;
    w.until("we are connected", |w| Ok(w.status(ours)?.state == State::Established))?;
    Ok(Pair { ours, theirs, our_end: w.our_end(our_port), their_end: w.their_end(their_port) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cable::Toward;
    use crate::family::Family;
    use crate::memory_peer::MemoryPeer;
    use crate::tuning::Tuning;
    use crate::world::{PEER_MAC, Stage};

    const PORT: u16 = 20_000;

    fn with_world(judge: impl Fn(&mut World<'_>) -> Result<()>) {
        for family in Family::ALL {
            let mut peer = MemoryPeer::new(family, PEER_MAC).unwrap();
            let stage = Stage {
                family,
                peer: &mut peer,
                capture: None,
                first_port: PORT,
                tuning: Tuning::usual(),
                hostility: None,
                fault: None,
                patience: Duration::from_secs(120),
            };
            judge(&mut World::new(stage).unwrap()).unwrap_or_else(|error| panic!("over {family}: {error:#}"));
        }
    }

    /// A connection whose peer has our FIN.
    fn closed_by_us(w: &mut World<'_>) -> Result<Pair> {
        let pair = peer_comes(w, PORT, PORT + 1)?;
        is_alive(w, &pair)?;
        w.close(pair.ours)?;
        w.until("the peer has our FIN", |w| Ok(w.state(&pair) == State::FinWait2))?;
        Ok(pair)
    }

    #[test]
    fn next_client_waits_for_a_peer_in_last_ack() {
        with_world(|w| {
            let pair = closed_by_us(w)?;
            w.set_pulled(Toward::Peer, true);
            w.peer().close(pair.theirs)?;
            w.until("we are in TIME-WAIT", |w| Ok(w.state(&pair) == State::TimeWait))?;
            w.cable().make_perfect();
            let peer = w.peer().state(pair.their_end.port(), pair.our_end)?;
            ensure!(peer == State::LastAck, "the peer is in {peer}");
            next_clients(w)
        });
    }

    #[test]
    fn an_rst_that_a_repeated_fin_leads_to_is_expected() {
        with_world(|w| {
            let pair = closed_by_us(w)?;
            // Longer than the peer's timer.
            w.cable().set_delay(Duration::from_millis(400));
            w.peer().close(pair.theirs)?;
            w.until("we are in TIME-WAIT", |w| Ok(w.state(&pair) == State::TimeWait))?;
            w.pass(Duration::from_secs(3))?;
            let is_rst = |step: &Step| step.way == Way::ToUs && step.seen.control.contains(Control::RST);
            ensure!(w.trace.steps().any(is_rst), "no RST has come of it");
            resets(&w.trace, &[], &[], false)
        });
    }
}
