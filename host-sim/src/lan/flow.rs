//! A connection that carries bulk data, and its path: the sender's application always has data, the receiver's reads at once.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use lossy_path::{End, Path};

use super::shared::Shared;
use super::station::{self, Buffers, Listener, Place, STATIONS, Socket, Standing, Station};
use crate::kernel::ETHERNET_HEADER_LEN;

/// The applications read and write so many bytes at a time.
const CHUNK: usize = 16_384;
const DATA: [u8; CHUNK] = [0x5a; CHUNK];

/// What a flow is to be.
pub(crate) struct FlowOptions {
    /// Stations of the sender and the receiver.
    pub(crate) places: [Place; 2],
    pub(crate) buffers: Buffers,
    pub(crate) path: Path,
}

pub(crate) struct Flow {
    options: FlowOptions,
    /// Its own, where the receiver listens.
    port: u16,
    /// Ethernet headers of the frames to the sender and to the receiver.
    headers: [[u8; ETHERNET_HEADER_LEN]; 2],
    sender: Socket,
    listener: Listener,
    receiver: Option<Socket>,
    /// When it was opened, and when the sender's handshake was done.
    opened: Duration,
    started: Option<Duration>,
    bytes: u64,
    /// Why it has come to its end, if it has.
    pub(super) failure: Option<String>,
}

impl Flow {
    pub(super) fn open(
        options: FlowOptions,
        port: u16,
        now: Duration,
        stations: &mut [Station; STATIONS],
    ) -> Result<Flow> {
        let ([from, to], buffers) = (options.places, options.buffers);
        let headers = [header(&stations[to], &stations[from]), header(&stations[from], &stations[to])];
        let listener = stations[to].listen(to, port, buffers)?;
        let sender = stations[from].connect(now, from, SocketAddr::new(station::addr_of(to), port), buffers)?;
        Ok(Flow {
            options,
            port,
            headers,
            sender,
            listener,
            receiver: None,
            opened: now,
            started: None,
            bytes: 0,
            failure: None,
        })
    }

    pub(crate) fn opened(&self) -> Duration {
        self.opened
    }

    /// Returns when the sender's handshake was done, if it is.
    pub(crate) fn started(&self) -> Option<Duration> {
        self.started
    }

    /// Returns the bytes that the receiver's application has read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns why it has come to its end, if it has.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Returns the end that has sent a segment between these ports, if it is of this flow.
    pub(super) fn sender_of(&self, source: u16, destination: u16) -> Option<End> {
        match (source == self.port, destination == self.port) {
            (_, true) => Some(End::Sender),
            (true, false) => Some(End::Receiver),
            (false, false) => None,
        }
    }

    /// Puts a frame on the path, behind the bottleneck that is shared with others, if there is one.
    pub(super) fn carry(&mut self, now: Duration, from: End, frame: &[u8], shared: Option<&mut Shared>) {
        let packet = frame[ETHERNET_HEADER_LEN..].to_vec();
        let departure = match shared {
            None => Some(now),
            Some(shared) => shared.send(now, from, packet.len()),
        };
        if let Some(departure) = departure {
            // What becomes of it shows when it arrives.
            let _fate = self.options.path.carry(departure, from, packet);
        }
    }

    pub(super) fn next_arrival(&self) -> Option<Duration> {
        self.options.path.next_arrival().map(|(at, _)| at)
    }

    /// Takes the next frame off the path, hands it to its station, and lets the application there act; returns the station.
    pub(super) fn deliver(&mut self, now: Duration, stations: &mut [Station; STATIONS]) -> Result<Option<Place>> {
        let Some((_, from)) = self.options.path.next_arrival() else { return Ok(None) };
        let Some(packet) = self.options.path.take(from) else { return Ok(None) };
        let to = match from {
            End::Sender => End::Receiver,
            End::Receiver => End::Sender,
        };
        let frame = [&self.headers[to as usize][..], &packet].concat();
        let place = self.options.places[to as usize];
        // It is a TCP segment: nothing answers it but TCP.
        let _ = stations[place].handle_frame(now, &frame)?;
        if to == End::Sender {
            // The first frame that arrives there is the SYN,ACK.
            self.started.get_or_insert(now);
        }
        self.pump(now, to, stations)?;
        Ok(Some(place))
    }

    /// Lets the application at one end act.
    pub(super) fn pump(&mut self, now: Duration, end: End, stations: &mut [Station; STATIONS]) -> Result<()> {
        let station = &mut stations[self.options.places[end as usize]];
        match end {
            End::Sender if self.started.is_some() => while station.send(now, &self.sender, &DATA)? > 0 {},
            End::Sender => {}
            End::Receiver => {
                if self.receiver.is_none() {
                    self.receiver = station.accept(now, &self.listener)?;
                }
                let Some(socket) = &self.receiver else { return Ok(()) };
                socket.clamp_window(self.options.buffers)?;
                let mut buf = [0; CHUNK];
                loop {
                    let n = station.recv(now, socket, &mut buf)?;
                    if n == 0 {
                        break;
                    }
                    self.bytes += n as u64;
                }
            }
        }
        Ok(())
    }

    pub(super) fn standing(&self, stations: &mut [Station; STATIONS]) -> Result<Standing> {
        stations[self.options.places[End::Sender as usize]].standing(&self.sender)
    }

    /// Ends what is left of its connection.
    pub(super) fn end(self, now: Duration, stations: &mut [Station; STATIONS]) -> Result<()> {
        let [from, to] = self.options.places;
        stations[from].abort(now, self.sender)?;
        // One that nobody has accepted is the listener's.
        if let Some(socket) = self.receiver {
            stations[to].abort(now, socket)?;
        }
        stations[to].unlisten(now, self.listener);
        Ok(())
    }
}

/// IPv4 over Ethernet.
fn header(from: &Station, to: &Station) -> [u8; ETHERNET_HEADER_LEN] {
    let mut header = [0; ETHERNET_HEADER_LEN];
    header[..6].copy_from_slice(&to.mac());
    header[6..12].copy_from_slice(&from.mac());
    header[12..].copy_from_slice(&[0x08, 0x00]);
    header
}
