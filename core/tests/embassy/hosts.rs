//! Who is on the net: hosts with our stack, and peers made by hand.

use std::cell::Cell;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;

use embassy_net::{Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_net_driver::Checksum;
use tcp_reset_core::embassy::{TcpResources, TcpRunner, TcpStack, TcpStream};
use tcp_reset_core::{ListenOptions, SecretKey, StreamOptions};

use crate::exec::World;
use crate::net::{Device, PortRef};
use crate::packet::{self, ACK, Body, IPV4, IPV6, Mac, PARAMETER, Packet, RST, SYN, Seg};

pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const RAW: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

/// A device's address, from the last byte of its IP address.
pub fn mac_of(addr: impl Into<IpAddr>) -> Mac {
    let last = match addr.into() {
        IpAddr::V4(addr) => addr.octets()[3],
        IpAddr::V6(addr) => addr.octets()[15],
    };
    [2, 0, 0, 0, 0, last]
}

/// How often the runner's task was polled, and the most frames it took in one poll.
#[derive(Default)]
pub struct Polls {
    pub count: Cell<u64>,
    pub most_frames: Cell<u64>,
}

/// A host with our stack beside embassy-net.
pub struct Host {
    pub tcp: TcpStack,
    pub stack: Stack<'static>,
    pub port: PortRef,
    pub polls: Rc<Polls>,
}

pub fn static_config(addr: Ipv4Addr, gateway: Option<Ipv4Addr>) -> StaticConfigV4 {
    StaticConfigV4 { address: Ipv4Cidr::new(addr, 24), gateway, dns_servers: Default::default() }
}

/// Polls the runner and counts.
async fn counted(runner: impl Future<Output = ()>, polls: Rc<Polls>, port: PortRef) {
    let mut runner = pin!(runner);
    std::future::poll_fn(|cx| {
        polls.count.set(polls.count.get() + 1);
        let before = port.0.borrow().handed_in;
        let result = runner.as_mut().poll(cx);
        let taken = port.0.borrow().handed_in - before;
        polls.most_frames.set(polls.most_frames.get().max(taken));
        result
    })
    .await;
}

impl World {
    /// Adds a host with a static address.
    pub fn host(&mut self, addr: Ipv4Addr) -> Host {
        self.host_on(PortRef::new(Some(mac_of(addr))), addr)
    }

    /// Adds a host with a static address on a port that is prepared.
    pub fn host_on(&mut self, port: PortRef, addr: Ipv4Addr) -> Host {
        self.host_with(port, embassy_net::Config::ipv4_static(static_config(addr, None)), Default::default())
    }

    /// Adds a host, and lets it take its address over.
    pub fn host_with(&mut self, port: PortRef, net: embassy_net::Config, tcp: tcp_reset_core::Config) -> Host {
        let host = self.host_before_its_first_pass(port, net, tcp);
        self.run_ms(1);
        host
    }

    /// Adds a host whose runner has not run yet.
    pub fn host_before_its_first_pass(
        &mut self,
        port: PortRef,
        net: embassy_net::Config,
        tcp: tcp_reset_core::Config,
    ) -> Host {
        let resources: Box<TcpResources<8, 4, 16, 16, 131_072>> = Box::default();
        let key = SecretKey::new(*b"sixteen bytes...").unwrap();
        let device = Device(port.clone());
        let (shared, driver) = tcp_reset_core::embassy::new(device, Box::leak(resources), tcp, key).unwrap();
        let storage: Box<StackResources<4>> = Box::new(StackResources::new());
        let (stack, runner) = embassy_net::new(driver, net, Box::leak(storage), 0x1234_5678_9abc_def0);
        let polls = Rc::<Polls>::default();
        let (tcp, mut runner) = TcpRunner::new(shared, stack, runner);
        let running = async move {
            runner.run().await;
        };
        self.spawn(counted(running, polls.clone(), port.clone()));
        self.net.add(port.clone());
        Host { tcp, stack, port, polls }
    }

    /// Adds a peer made by hand, whose ARP or neighbor discovery the switch answers.
    pub fn raw(&mut self, addr: impl Into<IpAddr>) -> Raw {
        let addr = addr.into();
        let port = PortRef::new(Some(mac_of(addr)));
        port.set(|port| port.answers_for.push(addr));
        self.net.add(port.clone());
        Raw { port, mac: mac_of(addr), addr }
    }

    /// A host and a peer made by hand.
    pub fn host_and_raw() -> (World, Host, Raw) {
        let mut world = World::new();
        let host = world.host(HOST);
        let raw = world.raw(RAW);
        (world, host, raw)
    }

    /// Two hosts.
    pub fn two_hosts() -> (World, Host, Host) {
        let mut world = World::new();
        let (a, b) = (world.host(HOST), world.host(OTHER));
        (world, a, b)
    }

    /// Connects `b` to a listener on `a`: gives the stream on `a`, and the one on `b`.
    pub fn pair(&mut self, a: &Host, b: &Host, port: u16, options: ListenOptions) -> (TcpStream, TcpStream) {
        let listener = a.tcp.listen(([0, 0, 0, 0], port), options).unwrap();
        let addr = a.stack.config_v4().unwrap().address.address();
        let (accepted, connected) =
            self.block_on(crate::exec::both(listener.accept(), b.tcp.connect((addr, port), StreamOptions::default())));
        (accepted.unwrap(), connected.unwrap())
    }

    /// The peer connects to a listener of the host's: gives the stream, and the peer's side.
    pub fn accepted(&mut self, host: &Host, raw: &Raw, port: u16) -> (TcpStream, Conn) {
        let any: IpAddr = if raw.addr.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let listener = host.tcp.listen((any, port), ListenOptions::default()).unwrap();
        let conn = raw.open(self, host, 40_000, port);
        (self.block_on(listener.accept()).unwrap(), conn)
    }
}

impl Host {
    pub fn in_use(&self) -> (usize, usize, usize) {
        self.tcp.inspect(|link| link.tcp_ref().in_use())
    }

    pub fn mac(&self) -> Mac {
        self.port.0.borrow().mac.unwrap()
    }

    /// Where the host is reached.
    pub fn at(&self, port: u16) -> SocketAddr {
        (self.stack.config_v4().unwrap().address.address(), port).into()
    }

    /// Where a peer of either family reaches the host.
    pub fn reached_by(&self, peer: IpAddr, port: u16) -> SocketAddr {
        match peer {
            IpAddr::V4(_) => self.at(port),
            #[cfg(feature = "ipv6")]
            IpAddr::V6(_) => (self.stack.config_v6().unwrap().address.address(), port).into(),
            #[cfg(not(feature = "ipv6"))]
            IpAddr::V6(_) => panic!("IPv6 is not there"),
        }
    }

    /// The TCP segments sent since the mark.
    pub fn segments_since(&self, mark: usize) -> Vec<Seg> {
        self.port.sent_since(mark).iter().filter_map(|frame| segment_of(packet::parse(frame))).collect()
    }
}

pub fn segment_of(packet: Packet) -> Option<Seg> {
    match packet.body {
        Body::Tcp(seg) => Some(seg),
        Body::Arp { .. } | Body::Icmp { .. } | Body::Icmpv6 { .. } | Body::Udp { .. } | Body::Other => None,
    }
}

/// A peer made by hand.
#[derive(Clone)]
pub struct Raw {
    pub port: PortRef,
    pub mac: Mac,
    pub addr: IpAddr,
}

impl Raw {
    /// Sends an IP packet.
    pub fn send_packet(&self, to: Mac, packet: &[u8]) {
        self.port.send(packet::on_ethernet(to, self.mac, packet));
    }

    /// Takes everything that has come.
    pub fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut self.port.0.borrow_mut().rx).iter().map(|frame| packet::parse(frame)).collect()
    }

    /// Takes everything that has come, and gives what is TCP.
    pub fn take_segments(&self) -> Vec<Seg> {
        self.take().into_iter().filter_map(segment_of).collect()
    }

    /// The peer's side of a connection that does not exist yet.
    pub fn conn(&self, host: &Host, sport: u16, dport: u16) -> Conn {
        self.conn_to(host.reached_by(self.addr, dport), host.mac(), sport)
    }

    /// The same to an address and link address.
    pub fn conn_to(&self, at: SocketAddr, to: Mac, sport: u16) -> Conn {
        Conn { raw: self.clone(), to, me: (self.addr, sport), them: (at.ip(), at.port()), ..Conn::BLANK(self) }
    }

    /// Opens a connection to the host.
    pub fn open(&self, world: &mut World, host: &Host, sport: u16, dport: u16) -> Conn {
        let mut conn = self.conn(host, sport, dport);
        conn.open(world);
        conn
    }

    /// Answers the SYN that the host has sent.
    pub fn answer(&self, world: &mut World, host: &Host) -> Conn {
        world.run_ms(2);
        let mut got = self.take_segments();
        got.retain(|seg| seg.has(SYN));
        let [syn] = &got[..] else { panic!("one SYN, not {got:?}") };
        assert!(!syn.has(ACK));
        let mut conn =
            Conn { to: host.mac(), me: (syn.dst, syn.dport), them: (syn.src, syn.sport), ..Conn::BLANK(self) };
        conn.ack = syn.seq.wrapping_add(1);
        conn.send(SYN | ACK, b"");
        world.run_ms(2);
        conn
    }
}

/// A peer's side of a connection: it sends what it is told, and acknowledges what came in order when it is told.
#[derive(Clone)]
pub struct Conn {
    pub raw: Raw,
    pub to: Mac,
    pub me: (IpAddr, u16),
    pub them: (IpAddr, u16),
    /// The next number to send.
    pub seq: u32,
    /// The next number expected.
    pub ack: u32,
    pub wnd: u16,
    /// What came in order.
    pub got: Vec<u8>,
}

impl Conn {
    #[allow(non_snake_case, reason = "what a constant would be")]
    fn BLANK(raw: &Raw) -> Conn {
        let nobody = (Ipv4Addr::UNSPECIFIED.into(), 0);
        Conn { raw: raw.clone(), to: [0; 6], me: nobody, them: nobody, seq: 7_000, ack: 0, wnd: 8_192, got: Vec::new() }
    }

    pub fn segment(&self, flags: u8, text: &[u8]) -> Seg {
        Seg {
            src: self.me.0,
            dst: self.them.0,
            sport: self.me.1,
            dport: self.them.1,
            seq: self.seq,
            ack: if flags & ACK == 0 { 0 } else { self.ack },
            flags,
            wnd: self.wnd,
            mss: (flags & SYN != 0).then_some(1_460),
            text: text.to_vec(),
        }
    }

    /// Shakes hands.
    pub fn open(&mut self, world: &mut World) {
        self.send(SYN, b"");
        world.run_ms(2);
        let got = self.take();
        assert!(matches!(&got[..], [seg] if seg.has(SYN | ACK) && seg.ack == self.seq), "one SYN,ACK, not {got:?}");
        self.send(ACK, b"");
        world.run_ms(2);
    }

    /// Sends a segment; the number moves over what it occupies.
    pub fn send(&mut self, flags: u8, text: &[u8]) {
        let seg = self.segment(flags, text);
        self.seq = self.seq.wrapping_add(seg.len());
        self.raw.send_packet(self.to, &seg.packet());
    }

    /// Takes this connection's segments; the others' are lost. What is in order moves the acknowledgment.
    pub fn take(&mut self) -> Vec<Seg> {
        let mut segments = self.raw.take_segments();
        segments.retain(|seg| seg.sport == self.them.1 && seg.dport == self.me.1);
        for seg in &segments {
            if seg.has(SYN) {
                self.ack = seg.seq.wrapping_add(1);
            } else if seg.seq == self.ack && !seg.has(RST) {
                self.got.extend(&seg.text);
                self.ack = self.ack.wrapping_add(seg.len());
            }
        }
        segments
    }
}

impl Drop for World {
    /// What holds for every frame of every host, in every test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for port in &self.net.ports {
            let port = port.0.borrow();
            for (_, frame) in &port.sent {
                let packet = if port.mac.is_some() { &frame[14..] } else { &frame[..] };
                let is_ip = [IPV4, IPV6].iter().any(|kind| frame[12..14] == kind.to_be_bytes());
                if port.mac.is_some() && !is_ip {
                    continue;
                }
                let body = packet::parse_ip(packet);
                if let Body::Icmp { kind: 3, code: 2, .. } | Body::Icmpv6 { kind: PARAMETER, .. } = body {
                    panic!("protocol unreachable: {frame:02x?}");
                }
                let is_software = matches!((port.ipv4_checksum, port.tcp_checksum), (Checksum::Both, Checksum::Both));
                if is_software && matches!(body, Body::Tcp(_) | Body::Icmpv6 { .. }) {
                    assert_eq!(packet::are_checksums_right(packet), (true, true), "checksums of {frame:02x?}");
                }
            }
        }
    }
}
