//! Connections of both families side by side in one engine, on the same ports and between addresses that resemble each other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use tcp_reset_core::{Action, ChecksumBy, Config, State, Status};

use crate::draws::cases;
use crate::support::family::Family;
use crate::support::world::Seg;
use crate::zoo::{HALF_OPEN, Habitat, NOBODY, Zoo, Zookeeper, near};

impl Zookeeper<'_> {
    /// How all connections of a habitat stand, and all its records.
    fn census(&self, home: Habitat) -> (Vec<Status>, Vec<State>) {
        let at_home = |status: &Status| status.local == home.local() && status.remote.ip() == home.them;
        let mut all: Vec<Status> = self.tcp.connections().map(|(_, status)| status).filter(at_home).collect();
        all.sort_by_key(|status| (status.remote.port(), status.closed.is_some(), status.snd_nxt.0));
        (all, (HALF_OPEN..=NOBODY).map(|port| self.state(home, port)).collect())
    }

    /// What the last call sent from a habitat. Which of several connections that are due at once comes first says nothing.
    fn sent_from(&self, home: Habitat) -> Vec<(SocketAddr, SocketAddr, Seg)> {
        let mut sent: Vec<_> = self.out.iter().filter(|(local, ..)| *local == home.local()).cloned().collect();
        sent.sort_by_key(|(_, remote, _)| remote.port());
        sent
    }

    fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.tcp.handle_timeout(self.now);
        self.drain();
    }
}

/// IPv6 addresses that somebody may take for this IPv4 address, or that an engine may whose words it confuses.
fn lookalikes(ip: IpAddr) -> Vec<IpAddr> {
    let IpAddr::V4(ip) = ip else { return Vec::new() };
    let [h, l] =
        [u16::from_be_bytes([ip.octets()[0], ip.octets()[1]]), u16::from_be_bytes([ip.octets()[2], ip.octets()[3]])];
    let all: [[u16; 8]; 10] = [
        [0xfd00, 0, 0, 0, 0, 0, 0, l],
        [0, 0, 0, 0, 0, 0, h, l],
        [h, l, 0, 0, 0, 0, 0, 0],
        [h, l, 0, 0, 0, 0, h, l],
        [0xfd00, 0, 0, 0, 0, 0xffff, h, l],
        [0, 0, 0, 0, 0, 0xfffe, h, l],
        [0, 0, 0, 1, 0, 0xffff, h, l],
        [0, 0, 0, 0, 0xffff, 0, h, l],
        [0x64, 0xff9b, 0, 0, 0, 0, h, l],
        [0x2002, h, l, 0, 0, 0, 0, 1],
    ];
    all.map(IpAddr::from).to_vec()
}

/// A habitat of each family, on the same ports.
fn neighboring() -> impl Strategy<Value = [Habitat; 2]> {
    let v4 = Habitat::of(Family::V4);
    (prop::sample::select(lookalikes(v4.us)), prop::sample::select(lookalikes(v4.them)))
        .prop_map(move |(us, them)| [v4, Habitat { us, them }])
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// What an engine does for one family is what it would do without the other, byte for byte.
    #[test]
    fn families_in_one_engine_live_as_if_alone(
        homes in neighboring(),
        one_listener in any::<bool>(),
        rounds in prop::collection::vec((any::<bool>(), near(), 0_u64..1_500), 1..30),
    ) {
        let any = one_listener.then_some(Family::V6.unspecified());
        let mut stores = [(); 3].map(|()| Box::new(Zoo::new()));
        let [store, v4, v6] = &mut stores;
        let mut shared = Zookeeper::with(store, Config::default(), &homes, any);
        let mut alone = [
            Zookeeper::with(v4, Config::default(), &homes[..1], any),
            Zookeeper::with(v6, Config::default(), &homes[1..], any),
        ];
        for (is_v6, (port, mut seg), ms) in rounds {
            shared.wait(ms);
            for (&home, own) in homes.iter().zip(&mut alone) {
                own.wait(ms);
                prop_assert_eq!(shared.sent_from(home), own.sent_from(home));
            }
            let (home, own) = (homes[usize::from(is_v6)], &mut alone[usize::from(is_v6)]);
            seg.ack = seg.ack.wrapping_add(own.end(home, port));
            prop_assert_eq!(shared.hear(home, &seg), own.hear(home, &seg));
            prop_assert_eq!(&shared.out, &own.out);
            for (&home, own) in homes.iter().zip(&alone) {
                prop_assert_eq!(shared.census(home), own.census(home));
            }
        }
    }

    /// No packet may carry an IPv4 address in IPv6 guise (RFC 4291 §2.5.5.2), and none comes from one family to the other. Nobody
    /// verifies checksums here: the addresses alone decide.
    #[test]
    fn disguised_address_reaches_nothing(
        homes in neighboring(),
        (port, mut seg) in near(),
        which in any::<prop::sample::Index>(),
        is_v6 in any::<bool>(),
    ) {
        let config = Config { checksum: Some(ChecksumBy::HardwareOnReceive), ..Config::default() };
        let mut store = Box::new(Zoo::new());
        let mut zoo = Zookeeper::with(&mut store, config, &homes, Some(Family::V6.unspecified()));
        let home = homes[usize::from(is_v6)];
        seg.ack = seg.ack.wrapping_add(zoo.end(home, port));
        let bytes = seg.octets(home.them, home.us);
        let [v4, v6] = homes;
        let disguised = Habitat { us: mapped(v4.us), them: mapped(v4.them) };
        let false_paths = [
            disguised,
            Habitat { us: v6.us, ..disguised },
            Habitat { them: v6.them, ..disguised },
            Habitat { us: v4.us, ..disguised },
            Habitat { them: v4.them, ..disguised },
            Habitat { us: v4.us, them: v6.them },
            Habitat { us: v6.us, them: v4.them },
        ];
        let path = false_paths[which.index(false_paths.len())];
        let before = (homes.map(|home| zoo.census(home)), zoo.tcp.in_use(), zoo.events.len());
        let verdict = zoo.arrive(path, &bytes);
        prop_assert_eq!(verdict.action, Action::Dropped, "{:?}", path);
        prop_assert!(zoo.out.is_empty(), "{:?}", zoo.out);
        let after = (homes.map(|home| zoo.census(home)), zoo.tcp.in_use(), zoo.events.len());
        prop_assert_eq!(before, after, "{:?}", path);
    }
}

fn mapped(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    }
}
