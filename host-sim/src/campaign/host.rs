//! A host of a world: the engine behind its link, and what the world does to it.

use bumpalo::Bump;
use tcp_reset_core::link::{Interface, Link, Medium};
use tcp_reset_core::{
    ChecksumBy, Config, Instant, Journal, LinkAddr, ListenOptions, ListenerHandle, SecretKey, Storage, StreamOptions,
    Tcp,
};

use super::addresses::{ELSEWHERE, Ep, FIRST, mac};
use super::due::InFlight;
use super::plan::{App, HostPlan, SECOND};
use crate::family::Family;

/// A listener the host wants to have.
pub(super) struct Listening {
    /// Its port.
    pub port: u16,
    /// Its settings.
    pub options: ListenOptions,
    /// What the accepting application does.
    pub app: App,
    /// The pause between two accepts; 0: at each event.
    pub accept_every_us: u64,
    /// The last accept would have blocked, and no event has come since.
    pub awaits_accept: bool,
    /// The engine's, while it is open.
    pub handle: Option<ListenerHandle>,
    /// When it was opened or closed last, in world time.
    pub changed_at: u64,
}

/// An RST that must go out.
pub(super) struct Owed {
    /// Whose connection it was.
    pub local: Ep,
    /// Who must hear it.
    pub remote: Ep,
    /// Why.
    pub why: &'static str,
    /// When it became due, on the host's clock.
    pub since_ms: u64,
    /// The device took no frame then.
    pub is_held_up: bool,
}

/// One host.
pub(super) struct Host<'b> {
    /// The engine.
    pub link: Link<'b>,
    /// What it remembers over a reboot.
    pub journal: Option<&'b Journal<RECORDS>>,
    /// Where it comes from.
    pub plan: HostPlan,
    /// What its clock is ahead of the world's.
    pub ahead_us: u64,
    /// How often it has booted.
    pub boots: u32,
    /// When it booted last.
    pub booted_at: u64,
    /// Until when it is off, unheard, asleep, or without room in its device.
    pub down_until: u64,
    /// See `down_until`.
    pub silent_until: u64,
    /// See `down_until`.
    pub frozen_until: u64,
    /// See `down_until`.
    pub full_until: u64,
    /// Offers dropped without `emit`, in thousandths.
    pub drop_permille: u16,
    /// Until when each family's address is lost, and when it was last lost or came back.
    pub lost_until: [u64; 2],
    /// See `lost_until`.
    pub moved_at: u64,
    /// When `abort_all` was called last.
    pub aborted_at: u64,
    /// Its listeners.
    pub listeners: Vec<Listening>,
    /// When its timer is due, in world time.
    pub wake: u64,
    /// Frames its device holds while it sleeps.
    pub waiting: Vec<InFlight>,
    /// What the engine's tables held after the last step.
    pub in_use: (usize, usize, usize),
    /// Pairs whose peer must be told by an RST before the engine has nothing more to say.
    pub owed: Vec<Owed>,
    /// Timer runs without the clock going on.
    pub spins: u32,
}

impl<'b> Host<'b> {
    /// Until when something keeps it from hearing or speaking.
    pub(super) fn hindered_until(&self) -> u64 {
        self.down_until.max(self.silent_until).max(self.frozen_until).max(self.full_until)
    }

    /// When it asks the peers that its last reboot has lost, for the first time and for the last; nobody, if it knows of none. A clock that
    /// jumped may have cut it short.
    pub(super) fn asks_from_until(&self) -> Option<(u64, u64)> {
        let is_asking = self.journal.is_some() && self.boots > 0 && self.ahead_us == self.plan.clock_us;
        let from = self.booted_at.max(self.down_until);
        is_asking.then_some((from, from.saturating_add(LAST_QUESTION)))
    }

    /// Boots the `n`th host.
    pub(super) fn new(bump: &'b Bump, n: usize, plan: &HostPlan, seed: u64) -> Host<'b> {
        let journal = plan.has_journal.then(|| &*bump.alloc(Journal::new()));
        let mut host = Host {
            link: boot(bump, n, plan, seed, 0),
            journal,
            plan: plan.clone(),
            ahead_us: plan.clock_us,
            boots: 0,
            booted_at: 0,
            down_until: 0,
            silent_until: 0,
            frozen_until: 0,
            full_until: 0,
            drop_permille: 0,
            lost_until: [0; 2],
            moved_at: 0,
            aborted_at: 0,
            listeners: Vec::new(),
            wake: u64::MAX,
            waiting: Vec::new(),
            in_use: (0, 0, 0),
            owed: Vec::new(),
            spins: 0,
        };
        host.begin(n, 0);
        host
    }

    /// What an application does when it starts.
    fn begin(&mut self, n: usize, world: u64) {
        if let Some(journal) = self.journal {
            let kept = self.link.keep_journal(self.now(world), journal);
            debug_assert!(kept.is_ok(), "a journal for every shape");
        }
        self.set_addresses(n, world);
    }

    /// Its clock.
    pub(super) fn now(&self, world: u64) -> Instant {
        Instant::from_micros(world + self.ahead_us)
    }

    /// Whether the wire reaches it.
    pub(super) fn is_reachable(&self, world: u64) -> bool {
        self.down_until <= world && self.silent_until <= world
    }

    /// Whether it has this family's address.
    pub(super) fn has_address(&self, family: Family, world: u64) -> bool {
        self.lost_until[usize::from(family == Family::Ipv6)] <= world
    }

    /// Returns the engine the addresses it has now.
    pub(super) fn set_addresses(&mut self, n: usize, world: u64) {
        let interfaces = Family::ALL.map(|family| {
            let last = if self.has_address(family, world) { FIRST } else { ELSEWHERE };
            Interface { addr: family.host(last + n as u8), prefix: family.prefix() }
        });
        let set = self.link.set_addresses(&interfaces, []);
        debug_assert!(set.is_ok(), "a host's addresses");
    }

    /// Everything is forgotten.
    pub(super) fn reboot(&mut self, bump: &'b Bump, n: usize, seed: u64, world: u64) {
        self.boots += 1;
        self.booted_at = world;
        // Every other time something warns it.
        if self.boots.is_multiple_of(2) {
            self.link.tcp().note_sequence_numbers();
        }
        self.link = boot(bump, n, &self.plan, seed, self.boots);
        self.begin(n, world);
        self.waiting.clear();
        self.owed.clear();
        self.in_use = (0, 0, 0);
    }
}

/// Records of a journal: more than the slots of every shape, and fewer than what two lives of the largest leave.
const RECORDS: usize = 12;
/// The last question is put so long after the first.
const LAST_QUESTION: u64 = 31 * SECOND;

/// Connections, listeners, half-open, TIME-WAIT and bytes of a shape.
pub(super) const SIZES: [(usize, usize, usize, usize, usize); 6] = [
    (2, 2, 2, 1, 2_048),
    (3, 2, 3, 2, 4_096),
    (4, 2, 4, 4, 8_192),
    (6, 3, 8, 4, 16_384),
    (8, 4, 16, 8, 65_536),
    (4, 2, 4, 4, 1_048_576),
];
/// The shape that has room for the largest buffers.
pub(super) const LARGE_SHAPE: u8 = 5;

/// The ISN a host's engine chooses at a time, computed by one that lives only for it. It boots as the host does, so its key is the same.
pub(super) fn initial_seq(h: usize, plan: &HostPlan, seed: u64, at: u64, local: u16, remote: Ep) -> Option<u32> {
    let bump = Bump::new();
    let mut host = Host::new(&bump, h, plan, seed);
    let now = host.now(at);
    let options = StreamOptions { rx_buffer: 64, tx_buffer: 64, ..StreamOptions::default() };
    let handle = host.link.connect(now, local, remote.addr(), options).ok()?;
    host.link.tcp_ref().status(handle).ok().map(|status| status.snd_una.0)
}

fn boot<'b>(bump: &'b Bump, n: usize, plan: &HostPlan, seed: u64, boots: u32) -> Link<'b> {
    let mut rng = fastrand::Rng::with_seed(seed ^ (n as u64) << 32 ^ u64::from(boots) << 48 ^ 0x6b65_7920);
    let mut bytes = [0; 16];
    rng.fill(&mut bytes);
    bytes[0] = !bytes[1];
    let Ok(key) = SecretKey::new(bytes) else { unreachable!("two bytes differ") };
    let config = plan.config;
    let tcp = match plan.shape {
        0 => engine(bump.alloc_with(Storage::<2, 2, 2, 1, 2_048>::new), config, key),
        1 => engine(bump.alloc_with(Storage::<3, 2, 3, 2, 4_096>::new), config, key),
        2 => engine(bump.alloc_with(Storage::<4, 2, 4, 4, 8_192>::new), config, key),
        3 => engine(bump.alloc_with(Storage::<6, 3, 8, 4, 16_384>::new), config, key),
        4 => engine(bump.alloc_with(Storage::<8, 4, 16, 8, 65_536>::new), config, key),
        _ => engine(bump.alloc_with(Storage::<4, 2, 4, 4, 1_048_576>::new), config, key),
    };
    Link::new(tcp, Medium::Ethernet(LinkAddr(mac(n))), ChecksumBy::Software)
}

fn engine<'b, const C: usize, const L: usize, const H: usize, const T: usize, const P: usize>(
    storage: &'b mut Storage<C, L, H, T, P>,
    config: Config,
    key: SecretKey,
) -> Tcp<'b> {
    match Tcp::new(storage, config, key) {
        Ok(tcp) => tcp,
        Err(error) => unreachable!("every setting drawn is within its bounds: {error}"),
    }
}
