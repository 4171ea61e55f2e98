//! Addresses by DHCP, from a server made by hand.

use std::net::Ipv4Addr;
use std::time::Duration;

use embassy_net::Config;
use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{CloseReason, Error, ListenOptions};

use crate::exec::World;
use crate::hosts::{Conn, HOST, Host, RAW, Raw, mac_of};
use crate::net::PortRef;
use crate::packet::{self, ACK, BROADCAST, Body, PSH};

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGE: u8 = 5;
const MAGIC: [u8; 4] = [99, 130, 83, 99];

/// The server: it gives everybody the same address for as long as it says.
pub struct Server {
    raw: Raw,
    gives: Ipv4Addr,
    lease: u32,
    pub is_silent: bool,
}

impl Server {
    pub fn new(raw: Raw, gives: Ipv4Addr, lease: u32) -> Server {
        Server { raw, gives, lease, is_silent: false }
    }

    /// Answers what has come; the other frames are lost.
    fn serve(&self) {
        for packet in self.raw.take() {
            if let Body::Udp { sport: 68, dport: 67, text, .. } = packet.body
                && !self.is_silent
            {
                self.answer(&text);
            }
        }
    }

    fn answer(&self, message: &[u8]) {
        assert_eq!(message[236..240], MAGIC);
        let kind = match option(message, 53) {
            Some([DISCOVER]) => OFFER,
            Some([REQUEST]) => ACKNOWLEDGE,
            other => panic!("DHCP message type {other:?}"),
        };
        let mut answer = vec![0; 236];
        answer[..4].copy_from_slice(&[2, 1, 6, 0]);
        answer[4..8].copy_from_slice(&message[4..8]);
        answer[16..20].copy_from_slice(&self.gives.octets());
        answer[28..34].copy_from_slice(&message[28..34]);
        answer.extend(MAGIC);
        answer.extend([53, 1, kind, 54, 4]);
        answer.extend(RAW.octets());
        answer.extend([51, 4]);
        answer.extend(self.lease.to_be_bytes());
        answer.extend([1, 4, 255, 255, 255, 0, 255]);
        let packet = packet::udp((RAW, 67), (Ipv4Addr::BROADCAST, 68), &answer);
        self.raw.send_packet(BROADCAST, &packet);
    }

    /// Lets time pass while the server answers.
    pub fn run(&self, world: &mut World, ms: u64) {
        for _ in 0..ms.div_ceil(10) {
            world.run_ms(10);
            self.serve();
        }
    }
}

fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut at = 240;
    while at + 1 < message.len() && message[at] != 255 {
        let len = usize::from(message[at + 1]);
        if message[at] == wanted {
            return Some(&message[at + 2..at + 2 + len]);
        }
        at += 2 + len;
    }
    None
}

/// A host with an address from the server, and a connection from a peer.
fn leased(lease: u32) -> (World, Host, Server, TcpStream, Conn) {
    leased_with(Config::dhcpv4(Default::default()), lease)
}

/// The same with a configuration that may have more in it.
pub fn leased_with(config: Config, lease: u32) -> (World, Host, Server, TcpStream, Conn) {
    let mut world = World::new();
    let raw = world.raw(RAW);
    let server = Server::new(raw.clone(), HOST, lease);
    let port = PortRef::new(Some(mac_of(HOST)));
    let host = world.host_with(port, config, Default::default());
    server.run(&mut world, 5_000);
    assert_eq!(host.stack.config_v4().map(|config| config.address.address()), Some(HOST));
    let listener = host.tcp.listen(([0, 0, 0, 0], 7), ListenOptions::default()).unwrap();
    let conn = raw.open(&mut world, &host, 40_000, 7);
    let stream = world.block_on(listener.accept()).unwrap();
    (world, host, server, stream, conn)
}

pub fn is_alive(world: &mut World, stream: &mut TcpStream, conn: &mut Conn) -> bool {
    conn.send(ACK | PSH, b"alive");
    world.run_ms(5);
    world.block_on(stream.read(&mut [0; 10])) == Ok(5)
}

pub fn flap(world: &mut World, host: &Host, server: &Server) {
    host.port.set_link(false);
    server.run(world, 10_000);
    host.port.set_link(true);
    server.run(world, 5_000);
}

fn assert_lost(world: &mut World, mut stream: TcpStream) {
    let reading = world.spawn(async move { stream.read(&mut [0; 10]).await });
    world.run_ms(1_000);
    assert_eq!(reading.take(), Some(Err(Error::Closed(CloseReason::AddressLost))));
}

#[test]
fn leased_cable_out_same_lease_again_keeps_the_connection() {
    let (mut world, host, server, mut stream, mut conn) = leased(86_400);
    flap(&mut world, &host, &server);
    assert!(host.stack.is_config_up());
    assert!(is_alive(&mut world, &mut stream, &mut conn));
}

#[test]
fn leased_cable_out_another_lease_ends_the_connection() {
    let (mut world, host, mut server, stream, _conn) = leased(86_400);
    server.gives = Ipv4Addr::new(10, 0, 0, 50);
    flap(&mut world, &host, &server);
    assert_lost(&mut world, stream);
}

#[test]
fn leased_server_gone_the_lease_runs_out_and_ends_the_connection() {
    let (mut world, _host, mut server, stream, _conn) = leased(600);
    server.is_silent = true;
    server.run(&mut world, 900_000);
    assert_lost(&mut world, stream);
}

#[test]
fn leased_again_after_the_cable_was_out_the_lease_runs_out_and_ends_the_connection() {
    let (mut world, host, mut server, mut stream, mut conn) = leased(600);
    flap(&mut world, &host, &server);
    assert!(is_alive(&mut world, &mut stream, &mut conn));
    server.is_silent = true;
    server.run(&mut world, 900_000);
    assert!(!host.stack.is_config_up());
    assert_lost(&mut world, stream);
}

#[test]
fn leased_lease_is_renewed_the_connection_goes_on() {
    let (mut world, host, server, mut stream, mut conn) = leased(600);
    server.run(&mut world, 3_600_000);
    assert!(host.stack.is_config_up());
    assert!(is_alive(&mut world, &mut stream, &mut conn));
}

#[test]
fn leased_cable_in_data_written_before_the_lease_is_there_arrives() {
    let (mut world, host, server, mut stream, mut conn) = leased(86_400);
    host.port.set_link(false);
    world.run_ms(10);
    world.block_on(stream.write(b"patience")).unwrap();
    world.run_ms(5_000);
    host.port.set_link(true);
    for _ in 0..2_000 {
        world.run_ms(10);
        let frames: Vec<_> = server.raw.port.0.borrow().rx.iter().cloned().collect();
        server.serve();
        // The server's look at the frames must not hide them from the connection.
        for frame in frames {
            server.raw.port.deliver(frame);
        }
        conn.take();
        if conn.got == b"patience" {
            break;
        }
    }
    assert_eq!(conn.got, b"patience");
    conn.send(ACK, b"");
    assert_eq!(world.block_on_for(Duration::from_secs(1), stream.flush()), Ok(()));
}
