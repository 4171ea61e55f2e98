//! The same over IPv6, alone and beside IPv4.

mod addresses;
mod beside;
mod cables;
mod connections;
mod frames;
mod opening;
mod sizes;
#[cfg(feature = "slaac")]
mod slaac;
mod sleeping;
mod sums;
mod watching;
mod wrong;
mod zones;

use std::net::{Ipv4Addr, Ipv6Addr};

use embassy_net::{ConfigV6, Ipv6Cidr, StaticConfigV6};
use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{ListenOptions, StreamOptions};

use crate::exec::{World, both};
use crate::hosts::{Conn, HOST, Host, OTHER, RAW, Raw, mac_of, static_config};
use crate::net::PortRef;
use crate::packet::{ACK, PSH};

const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x01);
const OTHER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x02);
/// Its last byte is not that of the peer made by hand over IPv4, so that both may be there.
const RAW_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0xa, 0xb, 0x00c1, 0xd219);
/// Another address for a host.
const NEW_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77);
/// Beyond the network.
const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x07);

fn static_v6(addr: Ipv6Addr, gateway: Option<Ipv6Addr>) -> StaticConfigV6 {
    StaticConfigV6 { address: Ipv6Cidr::new(addr, 64), gateway, dns_servers: Default::default() }
}

fn fixed_v6(addr: Ipv6Addr) -> ConfigV6 {
    ConfigV6::Static(static_v6(addr, None))
}

/// A static address in each family.
fn of_both(v4: Ipv4Addr, v6: Ipv6Addr) -> embassy_net::Config {
    let mut config = embassy_net::Config::ipv4_static(static_config(v4, None));
    config.ipv6 = fixed_v6(v6);
    config
}

impl World {
    /// Adds a host with a static address in each family.
    fn dual_host(&mut self, v4: Ipv4Addr, v6: Ipv6Addr) -> Host {
        self.host_with(PortRef::new(Some(mac_of(v4))), of_both(v4, v6), Default::default())
    }

    /// A host of both families, and a peer made by hand.
    fn dual_host_and_raw() -> (World, Host, Raw) {
        let mut world = World::new();
        let host = world.dual_host(HOST, HOST_V6);
        let raw = world.raw(RAW_V6);
        (world, host, raw)
    }

    /// A host of both families, and a connection to it in each.
    fn dual_connected() -> (World, Host, Live, Live) {
        let (mut world, host, raw_v6) = World::dual_host_and_raw();
        let raw_v4 = world.raw(RAW);
        let v4 = Live::accept(&mut world, &host, &raw_v4);
        let v6 = Live::accept(&mut world, &host, &raw_v6);
        (world, host, v4, v6)
    }

    /// Two hosts of both families.
    fn two_dual_hosts() -> (World, Host, Host) {
        let mut world = World::new();
        let (a, b) = (world.dual_host(HOST, HOST_V6), world.dual_host(OTHER, OTHER_V6));
        (world, a, b)
    }

    /// Connects `b` over IPv6 to a listener on `a`: gives the stream on `a`, and the one on `b`.
    fn pair_v6(&mut self, a: &Host, b: &Host, port: u16) -> (TcpStream, TcpStream) {
        let listener = a.tcp.listen((Ipv6Addr::UNSPECIFIED, port), ListenOptions::default()).unwrap();
        let remote = (a.stack.config_v6().unwrap().address.address(), port);
        let connecting = b.tcp.connect(remote, StreamOptions::default());
        let (accepted, connected) = self.block_on(both(listener.accept(), connecting));
        (accepted.unwrap(), connected.unwrap())
    }
}

/// A connection from a peer made by hand: the host's stream, the peer's side.
struct Live {
    stream: TcpStream,
    conn: Conn,
}

impl Live {
    fn accept(world: &mut World, host: &Host, raw: &Raw) -> Live {
        let (stream, conn) = world.accepted(host, raw, 7);
        Live { stream, conn }
    }

    /// Carries bytes both ways.
    fn exchange(&mut self, world: &mut World) {
        let Live { stream, conn } = self;
        conn.take();
        conn.send(ACK | PSH, b"to the host");
        let mut buf = [0; 20];
        assert_eq!(world.block_on(stream.read(&mut buf)), Ok(11));
        assert_eq!(&buf[..11], b"to the host");
        let before = conn.got.len();
        assert_eq!(world.block_on(stream.write(b"to the peer")), Ok(11));
        world.run_ms(5);
        conn.take();
        assert_eq!(&conn.got[before..], b"to the peer");
        conn.send(ACK, b"");
        world.run_ms(5);
    }

    /// Says what a read has to say now.
    fn read_now(self, world: &mut World) -> Option<Result<usize, tcp_reset_core::Error>> {
        let mut stream = self.stream;
        let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
        world.run_ms(5);
        reading.take()
    }
}
