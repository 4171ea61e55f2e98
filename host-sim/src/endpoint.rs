//! One engine behind frames, and what it has told its application.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail};
use tcp_reset_core::link::{Interface, Link, LinkOutput, Medium, Received};
use tcp_reset_core::{
    ChecksumBy, CloseReason, Config, ConnectionHandle, Event, Instant, JOURNAL_RECORD_LEN, Journal, LinkAddr,
    ResetReason, SecretKey, State, Storage, Tcp,
};

use crate::resolve;

/// A board's worth of connections: 8 slots, 4 listeners, 16 handshakes, 16 in TIME-WAIT, 512 KiB for buffers.
type Board = Storage<8, 4, 16, 16, { 512 * 1024 }>;

/// What outlives a restart: twice as many records as slots.
type Memory = Journal<RECORDS>;
const RECORDS: usize = 16;

/// The longest frame: MTU 1,500 and an Ethernet header.
pub const MAX_FRAME: usize = 1_514;
/// More outputs than this between two looks at the clock mean that the engine does not come to an end.
const MOST_OUTPUTS: usize = 4_096;

/// A frame that left an endpoint.
pub struct Sent {
    /// The frame.
    pub bytes: Vec<u8>,
    /// Why, if it carries an RST.
    pub reset: Option<ResetReason>,
}

/// An engine, its link, and its news.
pub struct Endpoint {
    link: Link<'static>,
    addr: IpAddr,
    /// Its addresses beside that, as of another family.
    others: Vec<IpAddr>,
    prefix: u8,
    mac: [u8; 6],
    config: Config,
    journal: Option<&'static Memory>,
    /// The reason each connection ended for, as it was told.
    ended: HashMap<ConnectionHandle, CloseReason>,
    events: Vec<Event>,
}

impl Endpoint {
    /// Boots an endpoint with a fresh random key, on a network whose prefix has `prefix` bits. Its memory is given back to nobody: a run
    /// boots a bounded number of them.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn boot(addr: IpAddr, prefix: u8, mac: [u8; 6], config: Config) -> Result<Endpoint> {
        Endpoint::boot_on(Box::leak(Box::new(Board::new())), addr, prefix, mac, config)
    }

    /// The same on other memory.
    ///
    /// # Errors
    /// As [`Endpoint::boot`].
    pub fn boot_on<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
        storage: &'static mut Storage<C, L, H, T, P>,
        addr: IpAddr,
        prefix: u8,
        mac: [u8; 6],
        config: Config,
    ) -> Result<Endpoint> {
        let tcp = Tcp::new(storage, config, random_key()?)?;
        let mut link = Link::new(tcp, Medium::Ethernet(LinkAddr(mac)), ChecksumBy::Software);
        link.set_addresses(&[Interface { addr, prefix }], None)?;
        Ok(Endpoint {
            link,
            addr,
            others: Vec::new(),
            prefix,
            mac,
            config,
            journal: None,
            ended: HashMap::new(),
            events: Vec::new(),
        })
    }

    /// Sets its addresses, the one it was booted with among them: until it reboots.
    ///
    /// # Errors
    /// As [`Link::set_addresses`] says.
    pub fn set_addresses(&mut self, interfaces: &[Interface]) -> Result<()> {
        self.link.set_addresses(interfaces, None)?;
        self.others = interfaces.iter().map(|interface| interface.addr).filter(|addr| *addr != self.addr).collect();
        Ok(())
    }

    /// Returns the engine.
    pub fn tcp(&mut self) -> &mut Tcp<'static> {
        self.link.tcp()
    }

    /// Returns the link.
    pub fn link(&mut self) -> &mut Link<'static> {
        &mut self.link
    }

    /// Boots it again on this address: every connection is forgotten without a word.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn reboot(&mut self, addr: IpAddr) -> Result<()> {
        *self = Endpoint::boot(addr, self.prefix, self.mac, self.config)?;
        Ok(())
    }

    /// Keeps a journal from now on.
    ///
    /// # Errors
    /// If it is too small.
    pub fn keep_journal(&mut self, now: Instant) -> Result<()> {
        let journal = *self.journal.get_or_insert_with(|| Box::leak(Box::default()));
        Ok(self.link.keep_journal(now, journal)?)
    }

    /// Fills the journal's memory with what happens to be in one that has just got power.
    pub fn spoil_journal(&mut self) {
        let mut rng = fastrand::Rng::with_seed(0x706f_7765_726f_6e21);
        let Some(journal) = self.journal else { return };
        for at in 0..RECORDS {
            let mut bytes = [0; JOURNAL_RECORD_LEN];
            rng.fill(&mut bytes);
            journal.set_record(at, &bytes);
        }
    }

    /// Boots it again, on this address: every connection is forgotten, but for what the journal has of it.
    ///
    /// # Errors
    /// If the system has no random bytes to give.
    pub fn reboot_with_journal(&mut self, now: Instant, addr: IpAddr) -> Result<()> {
        let journal = self.journal;
        self.reboot(addr)?;
        self.journal = journal;
        self.keep_journal(now)
    }

    /// Returns our address.
    pub fn addr(&self) -> IpAddr {
        self.addr
    }

    /// Returns our Ethernet address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Takes in a frame. Who asks for our Ethernet address is answered as the IP stack beside the core would.
    pub fn receive(&mut self, now: Instant, frame: &[u8]) -> (Received, Option<Sent>) {
        let received = self.link.handle_frame(now, frame);
        let addrs = std::iter::once(self.addr).chain(self.others.iter().copied());
        let answer = addrs.filter_map(|addr| resolve::answer(frame, addr, self.mac)).next();
        (received, answer.map(|bytes| Sent { bytes, reset: None }))
    }

    /// Lets time pass and collects what wants to go out.
    ///
    /// # Errors
    /// If there is no end to it.
    pub fn drain(&mut self, now: Instant) -> Result<Drained> {
        self.link.handle_timeout(now);
        let mut frames = Vec::new();
        for _ in 0..MOST_OUTPUTS {
            match self.link.poll_output(now) {
                LinkOutput::Transmit(frame) => {
                    let reset = frame.reset_reason();
                    let mut bytes = vec![0; frame.len()];
                    frame.emit(&mut bytes)?;
                    frames.push(Sent { bytes, reset });
                }
                LinkOutput::Event(event) => self.note(event),
                LinkOutput::Timeout(at) => return Ok(Drained { frames, next: at.map(|(at, _)| at) }),
            }
        }
        bail!("the engine at {} has more than {MOST_OUTPUTS} things to say at one moment", self.addr)
    }

    fn note(&mut self, event: Event) {
        if let Event::Closed(handle, reason) = event {
            self.ended.insert(handle, reason);
        }
        self.events.push(event);
    }

    /// Returns the reason a connection's end was told with.
    pub fn ended(&self, handle: ConnectionHandle) -> Option<CloseReason> {
        self.ended.get(&handle).copied()
    }

    /// Returns whether this event was told.
    pub fn was_told(&self, event: Event) -> bool {
        self.events.contains(&event)
    }

    /// Checks what must always hold inside the engine and its link.
    ///
    /// # Errors
    /// If something does not.
    pub fn audit(&self) -> Result<()> {
        self.link.audit().map_err(|finding| anyhow!("the audit of our engine found: {finding}"))
    }

    /// Returns our state for a pair of endpoints.
    pub fn state(&self, port: u16, peer: SocketAddr) -> State {
        self.link.tcp_ref().state_of(SocketAddr::new(self.addr, port), peer)
    }
}

/// What [`Endpoint::drain`] found.
pub struct Drained {
    /// Frames in the order they left.
    pub frames: Vec<Sent>,
    /// When to come again.
    pub next: Option<Instant>,
}

fn random_key() -> Result<SecretKey> {
    let mut bytes = [0; 16];
    let source = "/dev/urandom";
    let mut file = std::fs::File::open(source).with_context(|| format!("cannot open {source} for the engine's key"))?;
    std::io::Read::read_exact(&mut file, &mut bytes).with_context(|| format!("cannot read 16 bytes of {source}"))?;
    Ok(SecretKey::new(bytes)?)
}
