//! What the stories have in common: opening, echoing, checking that a connection lives.

use anyhow::{Result, anyhow, bail, ensure};
use tcp_reset_core::{CloseReason, ConnectionHandle, Control, ListenerHandle, Seq, State};

use crate::frame::Seen;
use crate::peer::{Failure, Read, Socket};
use crate::world::{Pair, World};

/// Bytes written at a time.
const CHUNK: usize = 4_096;

/// The most an echo sends on a hostile wire, in bytes: each loss costs a timeout.
const HOSTILE_SIZE: usize = 128 * 1_024;

/// The scenario's ports: our listener, the peer's client, the peer's listener, our client.
pub(crate) const OUR_SERVER: u16 = 0;
pub(crate) const THEIR_CLIENT: u16 = 1;
pub(crate) const THEIR_SERVER: u16 = 2;
pub(crate) const OUR_CLIENT: u16 = 3;

/// The peer connects to our listener.
pub(crate) fn peer_opens(w: &mut World<'_>) -> Result<(Pair, ListenerHandle)> {
    let listener = w.listen(w.port(OUR_SERVER))?;
    let pair = peer_opens_again(w, listener, false)?;
    Ok((pair, listener))
}

/// The peer connects to a listener there is.
pub(crate) fn peer_opens_again(w: &mut World<'_>, listener: ListenerHandle, is_narrow: bool) -> Result<Pair> {
    peer_opens_from(w, listener, THEIR_CLIENT, is_narrow)
}

/// The peer connects to a listener there is, from the scenario's `n`th port.
pub(crate) fn peer_comes_from(w: &mut World<'_>, listener: ListenerHandle, n: u16) -> Result<Pair> {
    peer_opens_from(w, listener, n, false)
}

fn peer_opens_from(w: &mut World<'_>, listener: ListenerHandle, n: u16, is_narrow: bool) -> Result<Pair> {
    let (our_port, their_port) = (w.port(OUR_SERVER), w.port(n));
    w.note(format!("the peer connects from port {their_port} to our port {our_port}"));
    let our_end = w.our_end(our_port);
    let theirs = w.peer().connect(their_port, our_end, is_narrow)?;
    let ours = w.accept(listener)?;
    w.peer_connected(theirs)?.map_err(|failure| anyhow!("the peer could not connect: {failure}"))?;
    Ok(Pair { ours, theirs, our_end: w.our_end(our_port), their_end: w.their_end(their_port) })
}

/// We connect to a listener of the peer's.
pub(crate) fn we_open(w: &mut World<'_>) -> Result<(Pair, Socket)> {
    let listener = w.port(THEIR_SERVER);
    let listener = w.peer().listen(listener)?;
    let pair = we_open_again(w, listener)?;
    Ok((pair, listener))
}

/// We connect to a listener there is.
pub(crate) fn we_open_again(w: &mut World<'_>, listener: Socket) -> Result<Pair> {
    we_come_from(w, listener, OUR_CLIENT)
}

/// We connect to a listener there is, from the scenario's `n`th port.
pub(crate) fn we_come_from(w: &mut World<'_>, listener: Socket, n: u16) -> Result<Pair> {
    let (our_port, their_port) = (w.port(n), w.port(THEIR_SERVER));
    w.note(format!("we connect from port {our_port} to the peer's port {their_port}"));
    let ours = w.connect(our_port, their_port)?;
    let theirs = peer_accepts(w, listener)?;
    let pair = Pair { ours, theirs, our_end: w.our_end(our_port), their_end: w.their_end(their_port) };
    expect_our_state(w, &pair, State::Established)?;
    Ok(pair)
}

/// The peer accepts the next connection.
pub(crate) fn peer_accepts(w: &mut World<'_>, listener: Socket) -> Result<Socket> {
    let mut theirs = None;
    w.until("the peer accepts us", |w| {
        theirs = w.peer().accept(listener)?;
        Ok(theirs.is_some())
    })?;
    theirs.ok_or_else(|| anyhow!("the peer accepted nobody"))
}

/// A pattern without a short period, so that no byte can stand in for another.
fn pattern(from: usize, upto: usize) -> Vec<u8> {
    (from..upto).map(|i| (i ^ i >> 8 ^ i >> 16) as u8).collect()
}

/// The peer sends `size` bytes, our application sends each back, the peer checks them.
pub(crate) fn echo(w: &mut World<'_>, pair: &Pair, size: usize) -> Result<()> {
    let size = if w.is_hostile() { size.min(HOSTILE_SIZE) } else { size };
    let (mut sent, mut returned) = (0, 0);
    let mut kept = Vec::new();
    w.until("every byte has come back", |w| {
        if sent < size {
            let chunk = pattern(sent, size.min(sent + CHUNK));
            sent += peer_sends(w, pair, &chunk)?;
        }
        if kept.is_empty() {
            kept = receive(w, pair)?;
        }
        if !kept.is_empty() {
            let n = w.send_some(pair.ours, &kept)?;
            kept.drain(..n);
        }
        let got = peer_receives(w, pair)?;
        ensure!(got == pattern(returned, returned + got.len()), "bytes near {returned} came back changed");
        returned += got.len();
        Ok(returned == size)
    })?;
    ensure!(sent == size, "the peer sent {sent} of {size} bytes");
    // What comes next must meet a wire without stragglers.
    w.until("the peer has acknowledged everything", |w| Ok(w.status(pair.ours)?.unacknowledged == 0))?;
    w.note(format!("{size} bytes went to the core and came back"));
    Ok(())
}

/// A few bytes each way: the connection lives.
pub(crate) fn is_alive(w: &mut World<'_>, pair: &Pair) -> Result<()> {
    echo(w, pair, 100)
}

/// The peer sends `size` bytes, our application reads them all.
pub(crate) fn peer_to_us(w: &mut World<'_>, pair: &Pair, size: usize) -> Result<()> {
    let (mut sent, mut got) = (0, 0);
    w.until("every byte of the peer's has arrived", |w| {
        if sent < size {
            sent += peer_sends(w, pair, &pattern(sent, size.min(sent + CHUNK)))?;
        }
        let bytes = receive(w, pair)?;
        ensure!(bytes == pattern(got, got + bytes.len()), "bytes near {got} arrived changed");
        got += bytes.len();
        Ok(got == size)
    })
}

/// The peer reads `size` bytes that we have sent or still hold, whatever they are.
pub(crate) fn peer_reads(w: &mut World<'_>, pair: &Pair, size: usize) -> Result<()> {
    let mut got = 0;
    w.until("our bytes have arrived", |w| {
        if let Ok(Read::Data(n)) = w.peer().recv(pair.theirs, &mut [0; 2_048])? {
            got += n;
        }
        Ok(got == size)
    })
}

/// Our application sends `size` bytes, the peer reads them all.
pub(crate) fn us_to_peer(w: &mut World<'_>, pair: &Pair, size: usize) -> Result<()> {
    let (mut sent, mut got) = (0, 0);
    w.until("every byte of ours has arrived", |w| {
        if sent < size {
            sent += w.send_some(pair.ours, &pattern(sent, size.min(sent + CHUNK)))?;
        }
        let bytes = peer_receives(w, pair)?;
        ensure!(bytes == pattern(got, got + bytes.len()), "bytes near {got} arrived changed");
        got += bytes.len();
        Ok(got == size)
    })
}

pub(crate) fn peer_sends(w: &mut World<'_>, pair: &Pair, data: &[u8]) -> Result<usize> {
    w.peer().send(pair.theirs, data)?.map_err(|failure| anyhow!("the peer could not send: {failure}"))
}

fn peer_receives(w: &mut World<'_>, pair: &Pair) -> Result<Vec<u8>> {
    let mut buf = [0; CHUNK];
    match w.peer().recv(pair.theirs, &mut buf)? {
        Ok(Read::Data(n)) => Ok(buf[..n].to_vec()),
        Ok(Read::Nothing) => Ok(Vec::new()),
        Ok(Read::End) => bail!("the peer met the end of the stream too early"),
        Err(failure) => bail!("the peer could not receive: {failure}"),
    }
}

fn receive(w: &mut World<'_>, pair: &Pair) -> Result<Vec<u8>> {
    let mut buf = [0; CHUNK];
    match w.recv(pair.ours, &mut buf)? {
        Ok(Read::Data(n)) => Ok(buf[..n].to_vec()),
        Ok(Read::Nothing) => Ok(Vec::new()),
        Ok(Read::End) => bail!("we met the end of the stream too early"),
        Err(error) => bail!("we could not receive: {error}"),
    }
}

/// Waits until our reader meets the end of the stream; bytes before it are a fault.
pub(crate) fn expect_our_end_of_stream(w: &mut World<'_>, pair: &Pair) -> Result<()> {
    w.until("our application sees the end of the stream", |w| match w.recv(pair.ours, &mut [0; CHUNK])? {
        Ok(Read::End) => Ok(true),
        Ok(Read::Nothing) => Ok(false),
        Ok(Read::Data(n)) => bail!("{n} bytes came where the stream should end"),
        Err(error) => {
            bail!("our application saw an error where the stream should end: {error}")
        }
    })
}

/// Waits until the peer's reader meets the end of the stream; bytes before it are a fault.
pub(crate) fn expect_their_end_of_stream(w: &mut World<'_>, pair: &Pair) -> Result<()> {
    w.until("the peer's process sees the end of the stream", |w| match w.peer().recv(pair.theirs, &mut [0; CHUNK])? {
        Ok(Read::End) => Ok(true),
        Ok(Read::Nothing) => Ok(false),
        Ok(Read::Data(n)) => bail!("{n} bytes came where the stream should end"),
        Err(failure) => bail!("the peer saw {failure} where the stream should end"),
    })
}

pub(crate) fn expect_our_state(w: &mut World<'_>, pair: &Pair, state: State) -> Result<()> {
    w.until(&format!("we are in {state}"), |w| Ok(w.state(pair) == state))
}

pub(crate) fn expect_their_state(w: &mut World<'_>, pair: &Pair, state: State) -> Result<()> {
    w.until(&format!("the peer is in {state}"), |w| Ok(w.peer().state(pair.their_end.port(), pair.our_end)? == state))
}

/// Our application is told that the connection ended, and why.
pub(crate) fn expect_told(w: &mut World<'_>, ours: ConnectionHandle, reason: CloseReason) -> Result<()> {
    w.until("our application is told the end", |w| Ok(w.ended(ours).is_some()))?;
    let told = w.ended(ours).ok_or_else(|| anyhow!("our application was told nothing"))?;
    ensure!(told == reason, "our application was told \"{told}\", not \"{reason}\"");
    w.note(format!("our application is told: {reason}"));
    Ok(())
}

/// The peer's process learns that the connection was reset.
pub(crate) fn expect_reset(w: &mut World<'_>, theirs: Socket) -> Result<()> {
    let failure = w.peer_failure(theirs)?;
    ensure!(failure == Failure::Reset, "the peer's process saw {failure}, not ECONNRESET");
    w.note("the peer's process sees ECONNRESET");
    Ok(())
}

/// A segment in the peer's name that fits the connection as it stands, to be bent.
pub(crate) fn from_peer(w: &mut World<'_>, pair: &Pair, control: Control) -> Result<Seen> {
    let status = w.status(pair.ours)?;
    Ok(Seen {
        from: pair.their_end,
        to: pair.our_end,
        seq: status.rcv_nxt,
        ack: if control.contains(Control::ACK) { status.snd_nxt } else { Seq(0) },
        control,
        wnd: 1_000,
        len: 0,
        timestamps: w.latest_timestamps(pair.their_end, pair.our_end),
    })
}
