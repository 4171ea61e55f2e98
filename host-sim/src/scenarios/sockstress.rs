//! Connections that are opened by the handful and then starved (Sockstress, CVE-2008-4609): from several addresses, by a stack that keeps no
//! state, so that they cost the attacker nothing. What it withholds decides which limit of ours ends each.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tcp_reset_core::{Budget, CloseReason, ConnectionHandle, Control, Instant, ListenerHandle, Peer, Seq, Timer};

use super::silence::{JITTER, LATE};
use super::timing::{ACCEPT, FIRST_BYTE, IDLE, IDLE_FOR, USER_TIMEOUT, on_guard};
use crate::frame::Seen;
use crate::peer::Read;
use crate::script::{OUR_SERVER, is_alive, peer_opens};
use crate::trace::{Step, Way};
use crate::world::{Pair, World};

/// The first of the attacker's addresses and ports.
const FIRST_HOST: u8 = 66;
const FIRST_PORT: u16 = 5;
/// How many addresses it has.
const HOSTS: usize = 3;
/// The port of the honest client that comes into the attack.
const HONEST: u16 = 4;
/// Those of the honest clients that each find it full.
const HONEST_ONES: [u16; 3] = [12, 13, 14];
/// Bytes of what it asks for, and of our answer.
const QUESTION: usize = 10;
const ANSWER: usize = 500;
/// Between two looks at everything.
const TURN: Duration = Duration::from_millis(20);
/// The longest an echo of the connection at work may take. The kernel delays an acknowledgment by 40 ms.
const AT_WORK: Duration = Duration::from_millis(250);
/// Room in our table.
const SLOTS: usize = 8;

/// What an attacker does once it has completed its handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// Nothing.
    Mute,
    /// It asks for something and never acknowledges it.
    Deaf,
    /// It asks with a closed window, and answers each of our probes: still closed.
    Shut,
    /// It asks with a window of three bytes, and never acknowledges them.
    Tiny,
    /// It asks, acknowledges the answer, and says that again and again.
    Repeating,
    /// Nothing, and no application of ours has accepted it.
    Waiting,
}

/// As many as fill the table beside one connection at work.
const MANNERS: [Manner; SLOTS - 1] =
    [Manner::Mute, Manner::Deaf, Manner::Shut, Manner::Tiny, Manner::Repeating, Manner::Mute, Manner::Waiting];

impl Manner {
    fn window(self) -> u16 {
        match self {
            Manner::Mute | Manner::Deaf | Manner::Repeating | Manner::Waiting => 1_000,
            Manner::Shut => 0,
            Manner::Tiny => 3,
        }
    }

    fn asks(self) -> bool {
        !matches!(self, Manner::Mute | Manner::Waiting)
    }

    /// What ends it, and how long after its last byte or its handshake.
    fn bound(self) -> (Timer, Duration) {
        match self {
            Manner::Mute => (Timer::FirstByte, FIRST_BYTE),
            Manner::Deaf | Manner::Shut | Manner::Tiny => (Timer::UserTimeout, USER_TIMEOUT),
            Manner::Repeating => (Timer::Idle, IDLE),
            Manner::Waiting => (Timer::AcceptWait, ACCEPT),
        }
    }
}

/// One connection of the attacker's.
struct Attacker {
    manner: Manner,
    end: SocketAddr,
    us: SocketAddr,
    seq: Seq,
    ack: Seq,
    /// When its handshake was done, our answer was sent, or a byte of it acknowledged.
    since: Instant,
    /// Our end, if our application has it.
    ours: Option<ConnectionHandle>,
    reason: Option<CloseReason>,
}

impl Attacker {
    /// Completes a handshake.
    fn come(w: &mut World<'_>, n: usize, manner: Manner) -> Result<Attacker> {
        let host = w.family().host(FIRST_HOST + (n % HOSTS) as u8);
        let end = SocketAddr::new(host, w.port(FIRST_PORT + n as u16));
        let (us, since) = (w.our_end(w.port(OUR_SERVER)), w.now());
        let seq = Seq(0x1000_0000 * (n as u32 + 1));
        let mut attacker = Attacker { manner, end, us, seq, ack: Seq(0), since, ours: None, reason: None };
        attacker.say(w, Control::SYN, 0)?;
        attacker.seq += 1;
        let syn_ack = attacker.last_of_ours(w).context("its SYN drew no SYN,ACK")?;
        ensure!(syn_ack.is(Control::SYN | Control::ACK), "its SYN drew {}", syn_ack.control);
        attacker.ack = syn_ack.seq + 1;
        attacker.say(w, Control::ACK, 0)?;
        Ok(attacker)
    }

    fn say(&mut self, w: &mut World<'_>, control: Control, len: usize) -> Result<()> {
        let Attacker { manner, end, us, seq, ack, .. } = *self;
        w.forge_to_us(Seen { from: end, to: us, seq, ack, control, wnd: manner.window(), len, timestamps: None })?;
        self.seq += len as u32;
        Ok(())
    }

    fn last_of_ours(&self, w: &World<'_>) -> Option<Seen> {
        w.trace.steps().rev().find(|step| step.way == Way::ToPeer && step.seen.to == self.end).map(|step| step.seen)
    }

    /// Our application accepts it, reads what it asks for and answers.
    fn be_served(&mut self, w: &mut World<'_>, listener: ListenerHandle) -> Result<()> {
        let ours = w.accept(listener)?;
        ensure!(w.status(ours)?.remote == self.end, "another was accepted");
        self.ours = Some(ours);
        if self.manner.asks() {
            self.say(w, Control::ACK, QUESTION)?;
            let read = w.recv(ours, &mut [0; ANSWER])?;
            ensure!(read == Ok(Read::Data(QUESTION)), "our application read {read:?}");
            w.send_some(ours, &[7; ANSWER])?;
        }
        self.since = w.now();
        Ok(())
    }

    /// Does what it can to stay.
    fn linger(&mut self, w: &mut World<'_>) -> Result<()> {
        let Some(last) = self.last_of_ours(w) else { return Ok(()) };
        match self.manner {
            Manner::Repeating => {
                let ack = last.seq + last.len as u32;
                if self.ack != ack {
                    (self.ack, self.since) = (ack, w.now());
                }
            }
            // It answers our window probes.
            Manner::Shut if last.len > 0 => {}
            Manner::Shut | Manner::Mute | Manner::Deaf | Manner::Tiny | Manner::Waiting => return Ok(()),
        }
        self.say(w, Control::ACK, 0)
    }

    fn rst<'t>(&self, w: &'t World<'_>) -> Option<&'t Step> {
        let is_ours = |step: &&Step| step.way == Way::ToPeer && step.seen.to == self.end;
        w.trace.steps().find(|step| is_ours(step) && step.seen.control.contains(Control::RST))
    }

    /// Our application hears of its end, and gives it up.
    fn is_over(&mut self, w: &mut World<'_>) -> Result<bool> {
        if self.reason.is_some() {
            return Ok(true);
        }
        if self.rst(w).is_none() {
            return Ok(false);
        }
        let Some(ours) = self.ours else { return Ok(true) };
        self.reason = w.ended(ours);
        if self.reason.is_some() {
            w.close(ours)?;
        }
        Ok(self.reason.is_some())
    }
}

/// The connection that was at work before does a turn of it.
fn work(w: &mut World<'_>, worker: &Pair) -> Result<()> {
    let from = w.now();
    is_alive(w, worker)?;
    let took = w.now().duration_since(from);
    ensure!(took <= AT_WORK, "an echo took {took:?} under the attack");
    w.pass(TURN)
}

/// Attackers fill every slot beside the one at work.
fn fill(w: &mut World<'_>, listener: ListenerHandle, manners: &[Manner]) -> Result<Vec<Attacker>> {
    w.note(format!("{} connections from {HOSTS} addresses fill our table", manners.len()));
    let mut attackers = Vec::new();
    for (n, manner) in manners.iter().enumerate() {
        let mut attacker = Attacker::come(w, n, *manner)?;
        if *manner != Manner::Waiting {
            attacker.be_served(w, listener)?;
        }
        attackers.push(attacker);
        // Each comes a little later than the last.
        w.pass(TURN / 4)?;
    }
    ensure!(w.in_use() == (SLOTS, 0, 0), "our tables hold {:?}", w.in_use());
    Ok(attackers)
}

/// Within its budget each attacker is ended, for a named reason; who was at work stays so, and who comes meanwhile is served.
pub(super) fn bounded(w: &mut World<'_>) -> Result<()> {
    let (worker, listener) = peer_opens(w)?;
    is_alive(w, &worker)?;
    let tuning = on_guard();
    let budget = Budget::of_listener(&tuning.config, &tuning.listen)?;
    let longest = budget.longest(Peer::Stalling).context("the budget bounds no stalling peer")?;
    let mut attackers = fill(w, listener, &MANNERS)?;
    let filled = w.now();
    let (their_port, our_end) = (w.port(HONEST), worker.our_end);
    w.note(format!("an honest client connects from port {their_port} into the full table"));
    let theirs = w.peer().connect(their_port, our_end, false)?;
    let mut honest = None;
    while count_left(w, &mut attackers)? > 0 || honest.is_none() {
        let held = w.now().duration_since(filled);
        ensure!(held <= longest + LATE + AT_WORK, "slots are held after {held:?}; {longest:?} is allowed");
        work(w, &worker)?;
        let is_waiting = attackers.iter().any(|attacker| attacker.ours.is_none() && attacker.rst(w).is_none());
        let now = w.now();
        if honest.is_none()
            && !is_waiting
            && let Ok(ours) = w.ours().tcp().accept(now, listener)
        {
            w.note(format!("the honest client is served after {} ms", held.as_millis()));
            let pair = Pair { ours, theirs, our_end, their_end: w.their_end(their_port) };
            is_alive(w, &pair)?;
            honest = Some(pair);
        }
    }
    w.note(format!("every slot is free after {} ms", w.now().duration_since(filled).as_millis()));
    attackers.iter().try_for_each(|attacker| judge(w, attacker))?;
    is_alive(w, &honest.context("the honest client was not served")?)?;
    work(w, &worker)
}

/// Returns how many still hold something. They do what they can to stay.
fn count_left(w: &mut World<'_>, attackers: &mut [Attacker]) -> Result<usize> {
    let mut left = 0;
    for attacker in attackers {
        if !attacker.is_over(w)? {
            attacker.linger(w)?;
            left += 1;
        }
    }
    Ok(left)
}

fn judge(w: &mut World<'_>, attacker: &Attacker) -> Result<()> {
    let (timer, bound) = attacker.manner.bound();
    let (manner, reason) = (attacker.manner, CloseReason::TimedOut(timer));
    // Of one that nobody had accepted the counters tell.
    let is_counted = w.ours().tcp().counters().closed(reason) == 1;
    let told = attacker.reason.or((attacker.ours.is_none() && is_counted).then_some(reason));
    ensure!(told == Some(reason), "{manner:?}: ended as {told:?}, not \"{reason}\"");
    let rst = attacker.rst(w).context("it was not told by RST")?;
    let took = rst.at.duration_since(attacker.since);
    ensure!(took + JITTER >= bound && took <= bound + LATE, "{manner:?}: ended after {took:?}, not {bound:?}");
    w.note(format!("{manner:?}: {reason}, told by RST after {} ms", took.as_millis()));
    Ok(())
}

/// Without any limit: whoever has been idle the longest makes way as soon as an honest client comes, and nobody else does.
pub(super) fn evicted(w: &mut World<'_>) -> Result<()> {
    let (worker, listener) = peer_opens(w)?;
    is_alive(w, &worker)?;
    let manners = MANNERS.map(|manner| if manner == Manner::Waiting { Manner::Mute } else { manner });
    let mut attackers = fill(w, listener, &manners)?;
    let filled = w.now();
    while w.now().duration_since(filled) <= IDLE_FOR {
        attackers.iter_mut().try_for_each(|attacker| attacker.linger(w))?;
        work(w, &worker)?;
    }
    ensure!(w.in_use() == (SLOTS, 0, 0), "somebody was ended before anybody came");
    for (victim, n) in HONEST_ONES.into_iter().enumerate() {
        let honest = come_into_full_table(w, listener, &mut attackers[victim], n)?;
        is_alive(w, &honest)?;
        work(w, &worker)?;
        let ended = w.trace.rsts(Way::ToPeer);
        ensure!(ended == victim + 1 && w.in_use() == (SLOTS, 0, 0), "{ended} were ended for {} clients", victim + 1);
    }
    Ok(())
}

fn come_into_full_table(w: &mut World<'_>, listener: ListenerHandle, victim: &mut Attacker, n: u16) -> Result<Pair> {
    let (their_port, our_end, from) = (w.port(n), w.our_end(w.port(OUR_SERVER)), w.now());
    w.note(format!("an honest client connects from port {their_port} into the full table"));
    let theirs = w.peer().connect(their_port, our_end, false)?;
    w.until("an attacker has made way", |w| victim.is_over(w))?;
    let (manner, reason) = (victim.manner, victim.reason);
    ensure!(reason == Some(CloseReason::Evicted), "{manner:?}: ended as {reason:?}");
    let ours = w.accept(listener)?;
    let pair = Pair { ours, theirs, our_end, their_end: w.their_end(their_port) };
    ensure!(w.status(ours)?.remote == pair.their_end, "another was accepted");
    let took = w.now().duration_since(from);
    ensure!(took <= AT_WORK, "it was served after {took:?}");
    w.note(format!("{manner:?}: evicted; the client is served after {} ms", took.as_millis()));
    Ok(pair)
}
