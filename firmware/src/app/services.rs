//! Echo (RFC 862) and discard (RFC 863).

use embedded_io_async::Write as _;
use tcp_reset_core::Error;
use tcp_reset_core::embassy::{TcpListener, TcpStream};

use super::shared::App;

/// How many clients are echoed to at once; as many more wait in the backlog.
pub(super) const ECHOES: usize = 3;
/// What is moved at a time, in bytes.
const CHUNK: usize = 512;

#[embassy_executor::task(pool_size = ECHOES)]
pub(super) async fn echo(app: &'static App) {
    loop {
        let Some(mut stream) = accept(&app.echo).await else { return };
        let outcome = echo_to(&mut stream).await;
        tell("echo", &stream, outcome);
    }
}

async fn echo_to(stream: &mut TcpStream) -> Result<(), Error> {
    let mut buf = [0; CHUNK];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

#[embassy_executor::task]
pub(super) async fn discard(app: &'static App) {
    let mut buf = [0; CHUNK];
    loop {
        let Some(mut stream) = accept(&app.discard).await else { return };
        let outcome = loop {
            match stream.read(&mut buf).await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        tell("discard", &stream, outcome);
    }
}

/// The next client; `None` once the listeners are closed for a restart.
pub(super) async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    listener.accept().await.ok()
}

/// Says in the log how a connection ended, where it did not end as it should.
pub(super) fn tell(service: &str, stream: &TcpStream, outcome: Result<(), Error>) {
    if let (Err(error), Some(peer)) = (outcome, stream.remote_endpoint()) {
        let (peer, error) = (defmt::Display2Format(&peer), defmt::Display2Format(&error));
        // Nothing is to be read where the setting is off.
        let _ = stream.peer_reason(|said| match said {
            Some(said) => defmt::info!("{=str}, {}: {}; the peer says: {}", service, peer, error, said),
            None => defmt::info!("{=str}, {}: {}", service, peer, error),
        });
    }
}
