//! What moves frames between our endpoint and the kernel, in real time.

use std::process::Child;
use std::time::{Duration, Instant as WallClock};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tcp_reset_core::link::Interface;
use tcp_reset_core::{Config, ConnectionHandle, Error, Instant, Storage, StreamOptions};

use crate::cable::{Cable, Toward};
use crate::endpoint::{Endpoint, MAX_FRAME};
use crate::family::Family;
use crate::kernel::{self, Wire, WireKind};
use crate::world::OUR_MAC;

use super::marks::{Marks, Told};

/// How often programs that we started are asked whether they have ended.
const PATROL: Duration = Duration::from_millis(10);

pub(super) struct Net {
    wire: Wire,
    cable: Cable,
    ours: Endpoint,
    started: WallClock,
    next: Option<Instant>,
    marks: Marks,
    pub(super) stream: StreamOptions,
}

impl Net {
    /// Enters a namespace and lays the wire in it.
    pub(super) fn lay<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        families: &[Family],
        kind: Option<WireKind>,
        cable: Cable,
        buffer: usize,
        storage: &'static mut Storage<C, L, H, T, P>,
    ) -> Result<Net> {
        let [first, others @ ..] = families else { bail!("there is no family to speak") };
        kernel::enter()?;
        let mut wire = Wire::open(&first.network(), OUR_MAC, kind)?;
        let mut ours = Endpoint::boot_on(storage, first.our_addr(), first.prefix(), OUR_MAC, Config::default())?;
        for family in others {
            wire.add_network(&family.network())?;
        }
        let interfaces: Vec<_> =
            families.iter().map(|family| Interface { addr: family.our_addr(), prefix: family.prefix() }).collect();
        ours.set_addresses(&interfaces)?;
        let stream = StreamOptions { rx_buffer: buffer, tx_buffer: buffer, ..StreamOptions::default() };
        let marks = Marks::default();
        Ok(Net { wire, cable, ours, started: WallClock::now(), next: None, marks, stream })
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn ours(&mut self) -> &mut Endpoint {
        &mut self.ours
    }

    /// Counts marks from here on.
    pub(super) fn restart_marks(&mut self) {
        self.marks.restart(&self.cable);
    }

    /// Judges what became of the marks on the way to an end.
    ///
    /// # Errors
    /// As [`Marks::judge`].
    pub(super) fn judge_marks(&self, toward: Toward) -> Result<Told> {
        self.marks.judge(&self.cable, toward)
    }

    /// Queues as much as there is room for.
    pub(super) fn send(&mut self, handle: ConnectionHandle, data: &[u8]) -> Result<usize> {
        let now = self.now();
        match self.ours.tcp().send(now, handle, data) {
            Ok(n) => Ok(n),
            Err(Error::WouldBlock) => Ok(0),
            Err(error) => Err(error).context("our application cannot send"),
        }
    }

    /// Reads what is there; `None` at the end of the stream.
    pub(super) fn recv(&mut self, handle: ConnectionHandle, buf: &mut [u8]) -> Result<Option<usize>> {
        let now = self.now();
        match self.ours.tcp().recv(now, handle, buf) {
            Ok(0) => Ok(None),
            Ok(n) => Ok(Some(n)),
            Err(Error::WouldBlock) => Ok(Some(0)),
            Err(error) => Err(error).context("our application cannot receive"),
        }
    }

    /// Lets the applications go on until `is_done`.
    ///
    /// # Errors
    /// If that takes longer than `limit`, and those of the applications.
    pub(super) fn until(
        &mut self,
        what: &str,
        limit: Duration,
        is_done: &mut dyn FnMut(&mut Net) -> Result<bool>,
    ) -> Result<()> {
        let end = self.now() + limit;
        loop {
            self.exchange()?;
            if is_done(self)? {
                return self.exchange();
            }
            self.exchange()?;
            let now = self.now();
            if now >= end {
                bail!("{what}: not within {} s", limit.as_secs());
            }
            self.rest(now)?;
        }
    }

    /// The same until a program that we started ends; gives its exit code.
    pub(super) fn attend(
        &mut self,
        child: &mut Child,
        limit: Duration,
        step: &mut dyn FnMut(&mut Net) -> Result<()>,
    ) -> Result<i32> {
        let mut code = None;
        let outcome = self.until("the program has not ended", limit, &mut |net| {
            step(net)?;
            code = child.try_wait()?.map(|status| status.code().unwrap_or(1));
            Ok(code.is_some())
        });
        if outcome.is_err() {
            // It may have ended by itself meanwhile. A shell leads a group of its own, whose programs end with it.
            let group = i32::try_from(child.id()).map(Pid::from_raw);
            let _ = group.map(|group| killpg(group, Signal::SIGKILL));
            let _ = child.kill();
            let _ = child.wait();
        }
        outcome.map(|()| code.unwrap_or(1))
    }

    /// Takes in what has arrived at either end, and sends what there is to say.
    fn exchange(&mut self) -> Result<()> {
        let mut buf = [0; MAX_FRAME];
        while let Some(len) = self.wire.recv(&mut buf).context("cannot take a frame off the wire")? {
            let now = self.now();
            self.marks.see(Toward::Us, &buf[..len]);
            self.cable.carry(now, Toward::Us, &buf[..len]);
        }
        while let Some(frame) = self.cable.take(self.now(), Toward::Us) {
            let now = self.now();
            let (_, answer) = self.ours.receive(now, &frame);
            if let Some(answer) = answer {
                self.marks.see(Toward::Peer, &answer.bytes);
                self.cable.carry(now, Toward::Peer, &answer.bytes);
            }
        }
        let now = self.now();
        let drained = self.ours.drain(now)?;
        self.next = drained.next;
        for sent in drained.frames {
            self.marks.see(Toward::Peer, &sent.bytes);
            self.cable.carry(now, Toward::Peer, &sent.bytes);
        }
        while let Some(frame) = self.cable.take(self.now(), Toward::Peer) {
            match self.wire.send(&frame) {
                // Lost, as on any Ethernet whose receiver is overrun.
                Err(error) if kernel::is_overrun(&error) => {}
                sent => sent.context("cannot put a frame on the wire")?,
            }
        }
        Ok(())
    }

    fn rest(&mut self, now: Instant) -> Result<()> {
        let ends = [self.next, self.cable.next_arrival(), Some(now + PATROL)];
        let until = ends.into_iter().flatten().min().unwrap_or(now);
        if until > now {
            self.wire.wait(until.duration_since(now)).context("cannot wait for the wire")?;
        }
        Ok(())
    }
}
