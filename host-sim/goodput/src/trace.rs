//! A line for each segment of a transfer.

use std::io::{self, Write};

use smoltcp_0_14::wire::{Ipv4Packet, TcpPacket};

use crate::path::{Fate, Time};
use crate::stack::End;

/// Writes the segments of a transfer. Numbers are relative to the first of their end.
pub struct Trace<'w> {
    out: &'w mut dyn Write,
    /// Initial sequence numbers of the sender and the receiver, once their SYNs were seen.
    first: [Option<u32>; 2],
    /// The numbers after the last that either has sent, relative.
    next: [u32; 2],
}

impl<'w> Trace<'w> {
    /// Begins a trace.
    pub fn new(out: &'w mut dyn Write) -> Trace<'w> {
        Trace { out, first: [None; 2], next: [0; 2] }
    }

    /// Writes a line for a packet that an end has sent.
    pub(crate) fn write(&mut self, now: Time, from: End, packet: &[u8], fate: Fate) -> io::Result<()> {
        let arrow = if from == End::Sender { "> " } else { " <" };
        let segment = self.describe(from, packet).unwrap_or_else(|| "not a TCP segment".into());
        writeln!(self.out, "{:>12.6} {arrow} {segment}{}", now.as_secs_f64(), describe_fate(fate))
    }

    fn describe(&mut self, from: End, packet: &[u8]) -> Option<String> {
        let ip = Ipv4Packet::new_checked(packet).ok()?;
        let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
        let (here, there) = (from as usize, 1 - from as usize);
        let seq = (tcp.seq_number().0 as u32).wrapping_sub(*self.first[here].get_or_insert(tcp.seq_number().0 as u32));
        let len = tcp.segment_len() as u32;
        let end = seq.wrapping_add(len);
        let is_again = len > 0 && seq < self.next[here];
        self.next[here] = self.next[here].max(end);
        let mut text = if len > 0 { format!("seq {seq}..{end}") } else { format!("seq {seq}") };
        let relative = |number: u32| number.wrapping_sub(self.first[there].unwrap_or(number));
        if tcp.ack() {
            text += &format!(" ack {}", relative(tcp.ack_number().0 as u32));
        }
        text += &format!(" wnd {}", tcp.window_len());
        for (from, to) in tcp.selective_ack_ranges().ok()?.into_iter().flatten() {
            text += &format!(" sack {}..{}", relative(from), relative(to));
        }
        let words = [(tcp.syn(), " SYN"), (tcp.fin(), " FIN"), (tcp.rst(), " RST"), (tcp.psh(), " PSH")];
        text.extend(words.into_iter().chain([(is_again, ", again")]).filter(|(is, _)| *is).map(|(_, word)| word));
        Some(text)
    }
}

fn describe_fate(fate: Fate) -> String {
    match fate {
        Fate::QueueFull => ", QUEUE FULL".into(),
        Fate::Lost => ", LOST".into(),
        Fate::Arrives { at: _, is_late, is_twice, is_corrupt } => {
            let words = [(is_late, ", LATE"), (is_twice, ", TWICE"), (is_corrupt, ", CORRUPT")];
            words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect()
        }
    }
}
