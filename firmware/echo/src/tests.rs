//! Both servers send back what a client sends, and serve the next one.
#![allow(clippy::expect_used, reason = "a test that cannot start has failed")]

use std::boxed::Box;
use std::net::IpAddr;
use std::vec::Vec;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::{ADDRESSES, BUFFER, PORT, Packet, Wire, ours, theirs};

/// More than all buffers hold.
const PAYLOAD: usize = 10_000;
/// Milliseconds of a connection, more than it needs.
const STEPS: usize = 5_000;

fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// A client, and the line between it and a server.
struct Client {
    iface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    wire: Wire,
    port: u16,
}

impl Client {
    fn new() -> Client {
        let mut wire = Wire::NEW;
        let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut wire, Instant::ZERO);
        iface.update_ip_addrs(|addrs| {
            for (addr, prefix) in ADDRESSES {
                addrs.push(IpCidr::new(theirs::addr_of(neighbor(*addr)), *prefix)).expect("there is room");
            }
        });
        let mut sockets = SocketSet::new(&mut leak([SocketStorage::EMPTY; 1])[..]);
        let buffer = || SocketBuffer::new(&mut leak([0; 2_048])[..]);
        let socket = sockets.add(Socket::new(buffer(), buffer()));
        Client { iface, sockets, socket, wire, port: 20_000 }
    }

    /// Opens a connection, sends the payload, closes, and returns what came back.
    fn call(&mut self, server: IpAddr, payload: &[u8], mut serve: impl FnMut(&mut Wire)) -> Vec<u8> {
        let mut line = Wire { now: self.wire.now, ..Wire::NEW };
        let (mut sent, mut back) = (0, Vec::new());
        self.port += 1;
        let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
        socket.abort();
        socket.connect(self.iface.context(), (theirs::addr_of(server), PORT), self.port).expect("the socket is closed");
        for _ in 0..STEPS {
            self.wire.now += 1_000;
            line.now = self.wire.now;
            self.iface.poll(Instant::from_micros(self.wire.now as i64), &mut self.wire, &mut self.sockets);
            carry(&mut self.wire.sent, &mut line.received);
            serve(&mut line);
            carry(&mut line.sent, &mut self.wire.received);
            let socket = self.sockets.get_mut::<Socket<'_>>(self.socket);
            if socket.may_send() {
                sent += socket.send_slice(&payload[sent..]).expect("it may send");
                if sent == payload.len() {
                    socket.close();
                }
            }
            let mut buf = [0; 512];
            let received = socket.recv_slice(&mut buf).unwrap_or(0);
            back.extend_from_slice(&buf[..received]);
        }
        assert_eq!(self.sockets.get::<Socket<'_>>(self.socket).state(), State::TimeWait);
        back
    }
}

fn neighbor(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => IpAddr::V4((u32::from(addr) ^ 3).into()),
        IpAddr::V6(addr) => IpAddr::V6((u128::from(addr) ^ 3).into()),
    }
}

fn carry(from: &mut Packet, to: &mut Packet) {
    if let (Some(packet), Some(_)) = (from.get(), to.free()) {
        to.bytes[..packet.len()].copy_from_slice(packet);
        (to.len, from.len) = (from.len, 0);
    }
}

fn assert_echoes(mut serve: impl FnMut(&mut Wire)) {
    let payload: Vec<u8> = (0..PAYLOAD).map(|i| (i % 251) as u8).collect();
    let mut client = Client::new();
    for (addr, _) in ADDRESSES {
        for _ in 0..3 {
            let back = client.call(*addr, &payload, &mut serve);
            assert!(back == payload, "{} of {PAYLOAD} bytes come back from {addr}, or others", back.len());
        }
    }
}

#[test]
fn ours_echoes_to_one_client_after_the_other() {
    let mut server = ours::Echo::new(leak(ours::Memory::new()), *b"0123456789abcdef").expect("all is in bounds");
    assert_echoes(|line| server.step(line));
}

#[test]
fn theirs_echoes_to_one_client_after_the_other() {
    let (sockets, buffers) = (leak(theirs::SOCKETS), leak([[0; BUFFER]; 2]));
    let mut line = Wire::NEW;
    let server = theirs::Echo::new(sockets, buffers, &mut line, *b"01234567");
    let mut server = server.expect("all is in bounds");
    assert_echoes(|line| server.step(line));
}
