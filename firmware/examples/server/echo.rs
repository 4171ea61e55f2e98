//! The application: everything that comes is sent back.

use tcp_reset_core::{ConnectionHandle, Event, Instant, Tcp};

pub(super) fn handle_event(tcp: &mut Tcp<'_>, now: Instant, event: Event) {
    match event {
        Event::Acceptable(listener) => while tcp.accept(now, listener).is_ok() {},
        Event::Readable(c) | Event::Writable(c) | Event::PeerFinished(c) => echo(tcp, now, c),
        Event::Closed(c, reason) => {
            defmt::info!("connection ended: {}", reason);
            _ = tcp.close(now, c);
        }
        Event::Connected(_) | Event::Stalled(_) => {}
    }
}

/// Sends back what came, and closes when the peer has. An event tells when to go on.
fn echo(tcp: &mut Tcp<'_>, now: Instant, c: ConnectionHandle) {
    let mut buf = [0; 512];
    // Reads no more than can be sent back, so that nothing is lost.
    while let Ok(status) = tcp.status(c) {
        let room = status.writable.min(buf.len());
        match tcp.recv(now, c, &mut buf[..room]) {
            Ok(0) if room > 0 => {
                _ = tcp.close(now, c);
                return;
            }
            Ok(0) | Err(_) => return,
            Ok(n) => _ = tcp.send(now, c, &buf[..n]),
        }
    }
}
