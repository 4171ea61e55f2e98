//! Devices and the switch between them, in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;
use std::task::{Context, Waker};

use embassy_net_driver::{Capabilities, Checksum, Driver, HardwareAddress, LinkState, RxToken, TxToken};

use crate::clock;
use crate::packet::{self, ARP, Body, IPV6, Mac, OVERRIDE, SOLICITED};

/// How long a frame is on its way, in µs.
pub const LATENCY: u64 = 200;

/// A socket of the switch, and the device in it.
pub struct Port {
    /// The device's address; `None`: IP packets without Ethernet.
    pub mac: Option<Mac>,
    pub mtu: usize,
    pub ipv4_checksum: Checksum,
    pub tcp_checksum: Checksum,
    pub is_up: bool,
    /// How many frames may wait to be sent.
    pub tx_slots: usize,
    /// Nothing leaves the device.
    pub is_stuck: bool,
    /// How long a frame takes to leave the device, in µs.
    pub frame_time: u64,
    /// And how many bits a second, zero: at once.
    pub bit_rate: u64,
    /// When the frame that is leaving has left.
    busy_until: u64,
    /// A frame comes in only while there is room for an answer, as the contract has it and embassy-stm32 does it. Otherwise the answer of
    /// embassy-net is lost, as in a driver that hands out tokens it cannot keep.
    pub needs_tx_to_receive: bool,
    /// How many frames the device has handed to its stack.
    pub handed_in: u64,
    /// Every frame the stack has given to the device, and when.
    pub sent: Vec<(u64, Vec<u8>)>,
    /// For whom the switch answers ARP requests and neighbor solicitations in the device's place.
    pub answers_for: Vec<IpAddr>,
    pub rx: VecDeque<Vec<u8>>,
    tx: VecDeque<Vec<u8>>,
    rx_waker: Option<Waker>,
    tx_waker: Option<Waker>,
    link_waker: Option<Waker>,
}

#[derive(Clone)]
pub struct PortRef(pub Rc<RefCell<Port>>);

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl PortRef {
    pub fn new(mac: Option<Mac>) -> PortRef {
        PortRef(Rc::new(RefCell::new(Port {
            mac,
            mtu: if mac.is_some() { 1_514 } else { 1_500 },
            ipv4_checksum: Checksum::Both,
            tcp_checksum: Checksum::Both,
            is_up: true,
            tx_slots: 8,
            is_stuck: false,
            frame_time: 0,
            bit_rate: 0,
            busy_until: 0,
            needs_tx_to_receive: true,
            handed_in: 0,
            sent: Vec::new(),
            answers_for: Vec::new(),
            rx: VecDeque::new(),
            tx: VecDeque::new(),
            rx_waker: None,
            tx_waker: None,
            link_waker: None,
        })))
    }

    /// Changes a setting.
    pub fn set(&self, change: impl FnOnce(&mut Port)) {
        change(&mut self.0.borrow_mut());
    }

    /// Puts the cable in or out.
    pub fn set_link(&self, is_up: bool) {
        let mut port = self.0.borrow_mut();
        port.is_up = is_up;
        wake(&mut port.link_waker);
    }

    /// Puts a frame into the device, as if it had come over the cable.
    pub fn deliver(&self, frame: Vec<u8>) {
        let mut port = self.0.borrow_mut();
        port.rx.push_back(frame);
        wake(&mut port.rx_waker);
    }

    /// Sends without a stack.
    pub fn send(&self, frame: Vec<u8>) {
        self.0.borrow_mut().tx.push_back(frame);
    }

    /// How many frames wait in the device to be sent.
    pub fn waiting(&self) -> usize {
        self.0.borrow().tx.len()
    }

    /// The frames the stack has sent since the mark, which is a length of the log.
    pub fn sent_since(&self, mark: usize) -> Vec<Vec<u8>> {
        self.0.borrow().sent[mark..].iter().map(|(_, frame)| frame.clone()).collect()
    }

    pub fn mark(&self) -> usize {
        self.0.borrow().sent.len()
    }
}

/// The device as a stack sees it.
pub struct Device(pub PortRef);

pub struct Rx(Vec<u8>);
pub struct Tx(PortRef);

impl Driver for Device {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Rx, Tx)> {
        let mut port = self.0.0.borrow_mut();
        let has_room = !port.needs_tx_to_receive || port.tx.len() < port.tx_slots;
        if !has_room {
            port.tx_waker = Some(cx.waker().clone());
        }
        match if has_room { port.rx.pop_front() } else { None } {
            Some(frame) => {
                port.handed_in += 1;
                Some((Rx(frame), Tx(self.0.clone())))
            }
            None => {
                port.rx_waker = Some(cx.waker().clone());
                None
            }
        }
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Tx> {
        let mut port = self.0.0.borrow_mut();
        if port.tx.len() < port.tx_slots {
            return Some(Tx(self.0.clone()));
        }
        port.tx_waker = Some(cx.waker().clone());
        None
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let mut port = self.0.0.borrow_mut();
        port.link_waker = Some(cx.waker().clone());
        if port.is_up { LinkState::Up } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        let port = self.0.0.borrow();
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = port.mtu;
        capabilities.checksum.ipv4 = port.ipv4_checksum;
        capabilities.checksum.tcp = port.tcp_checksum;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.0.0.borrow().mac.map_or(HardwareAddress::Ip, HardwareAddress::Ethernet)
    }
}

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

impl TxToken for Tx {
    /// The buffer is dirty, as a ring's buffers are.
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0xa5; len];
        let result = f(&mut frame);
        let mut port = self.0.0.borrow_mut();
        assert!(len <= port.mtu, "a frame of {len} bytes, more than the MTU of {}", port.mtu);
        if port.tx.len() < port.tx_slots {
            port.sent.push((clock::now(), frame.clone()));
            port.tx.push_back(frame);
        } else {
            assert!(!port.needs_tx_to_receive, "a token without room");
        }
        result
    }
}

/// Says of a frame whether it is let through.
type Filter = Box<dyn FnMut(&[u8]) -> bool>;

/// The switch.
pub struct Net {
    pub ports: Vec<PortRef>,
    /// Frames on their way: when they arrive, from which port.
    on_the_way: VecDeque<(u64, usize, Vec<u8>)>,
    /// Which frames are let through.
    pub filter: Filter,
}

impl Net {
    pub fn new() -> Net {
        Net { ports: Vec::new(), on_the_way: VecDeque::new(), filter: Box::new(|_| true) }
    }

    pub fn add(&mut self, port: PortRef) {
        self.ports.push(port);
    }

    /// When the next frame arrives.
    fn next_arrival(&self) -> Option<u64> {
        self.on_the_way.front().map(|(at, ..)| *at)
    }

    /// When a frame arrives, or a device can send its next one.
    pub fn next_step(&self) -> Option<u64> {
        let devices = self.ports.iter().filter_map(|port| {
            let port = port.0.borrow();
            (!port.is_stuck && !port.tx.is_empty()).then_some(port.busy_until)
        });
        devices.chain(self.next_arrival()).min()
    }

    /// Takes what the devices have sent, brings what has arrived; returns whether there was anything.
    pub fn pump(&mut self) -> bool {
        let mut has_moved = false;
        for (from, port) in self.ports.iter().enumerate() {
            let mut port = port.0.borrow_mut();
            while !port.is_stuck && port.busy_until <= clock::now() {
                let Some(frame) = port.tx.pop_front() else { break };
                has_moved = true;
                let bits = frame.len() as u64 * 8;
                let on_the_line = (bits * 1_000_000).checked_div(port.bit_rate).unwrap_or(0);
                port.busy_until = clock::now() + port.frame_time + on_the_line;
                if port.is_up {
                    self.on_the_way.push_back((clock::now() + LATENCY, from, frame));
                }
                wake(&mut port.tx_waker);
            }
        }
        while self.next_arrival().is_some_and(|at| at <= clock::now()) {
            has_moved = true;
            if let Some((_, from, frame)) = self.on_the_way.pop_front()
                && (self.filter)(&frame)
            {
                self.distribute(from, &frame);
            }
        }
        has_moved
    }

    fn distribute(&self, from: usize, frame: &[u8]) {
        for (to, port) in self.ports.iter().enumerate() {
            let (is_up, mac) = (port.0.borrow().is_up, port.0.borrow().mac);
            let is_wanted = mac.is_none_or(|mac| frame.len() < 14 || frame[0] & 1 == 1 || frame[..6] == mac);
            if to == from || !is_up || !is_wanted || self.answers(port, frame) {
                continue;
            }
            port.deliver(frame.to_vec());
        }
    }

    /// Answers a question for one whose stack is a test's hand. Who answers sees no questions.
    fn answers(&self, port: &PortRef, frame: &[u8]) -> bool {
        let answers_for = port.0.borrow().answers_for.clone();
        let Some(mac) = port.0.borrow().mac else { return false };
        let is_of = |ethertype: u16| frame.len() >= 42 && frame[12..14] == ethertype.to_be_bytes();
        let v6: Vec<_> = answers_for.iter().filter_map(in_v6).collect();
        if !v6.is_empty() && is_of(IPV6) {
            return answers_v6(port, (mac, &v6), frame);
        }
        if answers_for.is_empty() || !is_of(ARP) {
            return false;
        }
        let Body::Arp { op: 1, sender, target } = packet::parse(frame).body else { return false };
        if answers_for.contains(&target.1.into()) {
            let answer = packet::arp(2, (mac, target.1), sender);
            port.send(packet::ethernet(sender.0, mac, ARP, &answer));
        }
        true
    }
}

fn in_v6(addr: &IpAddr) -> Option<Ipv6Addr> {
    match addr {
        IpAddr::V4(_) => None,
        IpAddr::V6(addr) => Some(*addr),
    }
}

/// The same for neighbor discovery.
fn answers_v6(port: &PortRef, (mac, addrs): (Mac, &[Ipv6Addr]), frame: &[u8]) -> bool {
    let Some((asker, target)) = packet::solicitation_of(&packet::parse(frame).body) else { return false };
    if addrs.contains(&target) {
        let answer = packet::advertisement((mac, target), asker.1, SOLICITED | OVERRIDE);
        port.send(packet::on_ethernet(asker.0, mac, &answer));
    }
    true
}
