//! The client: holds a connection to a server, and says why it lost the last one.

use core::fmt::Write as _;

use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer};
use embedded_io_async::Write as _;
use heapless::String;
use tcp_reset_core::embassy::TcpStream;
use tcp_reset_core::{CloseReason, Error};

use super::settings::Server;
use super::shared::App;
use super::{liveness, net};

/// How long to wait after the first failure; it doubles.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
const LAST_BACK_OFF: Duration = Duration::from_secs(60);
/// A connection that held so long was a success: the next failure is the first again.
const HELD: Duration = Duration::from_secs(60);
/// How often the server hears from us.
const REPORT: Duration = Duration::from_secs(10);
const _: () = assert!(liveness::outlasts_reports(REPORT.as_secs()));

#[embassy_executor::task]
pub(super) async fn client(app: &'static App, server: Server) {
    net::has_address(app, &server).await;
    let mut back_off = FIRST_BACK_OFF;
    loop {
        let (error, held) = hold(app, server).await;
        if held >= HELD {
            back_off = FIRST_BACK_OFF;
        }
        let to = defmt::Display2Format(&server);
        defmt::warn!("client to {}: {}; again in {=u64} s", to, defmt::Display2Format(&error), back_off.as_secs());
        Timer::after(back_off).await;
        back_off = (back_off * 2).min(LAST_BACK_OFF);
    }
}

/// One connection from its beginning to its end; gives how it ended, or why there was none, and how long it was there.
async fn hold(app: &App, server: Server) -> (Error, Duration) {
    app.client.borrow_mut().attempts += 1;
    let mut stream = match app.tcp.connect(server, liveness::client()).await {
        Ok(stream) => stream,
        Err(error) => {
            app.client.borrow_mut().last_end = Some(error);
            return (error, Duration::MIN);
        }
    };
    let began = Instant::now();
    defmt::info!("client to {}: connected", defmt::Display2Format(&server));
    let last = app.client.borrow().last_end;
    app.client.borrow_mut().is_connected = true;
    // The stream's own end tells more than what reading and writing met.
    let _ = converse(app, &mut stream, last).await;
    let _ = stream.shutdown();
    let reason = match select(stream.closed(), Timer::after(REPORT)).await {
        Either::First(reason) => reason,
        Either::Second(()) => CloseReason::LocalClosed,
    };
    app.client.borrow_mut().ended(reason);
    (Error::Closed(reason), began.elapsed())
}

/// Reports now and then, and passes over what the server says, until one side ends.
async fn converse(app: &App, stream: &mut TcpStream, last: Option<Error>) -> Result<(), Error> {
    let mut text: String<160> = String::new();
    // What does not fit is left out: the text is for a reader's eyes.
    let _ = write!(text, "{} hello", app.board.name);
    if let Some(error) = last {
        let _ = write!(text, ", before: {error}");
    }
    let mut buf = [0; 256];
    loop {
        let _ = text.push('\n');
        stream.write_all(text.as_bytes()).await?;
        let next = Timer::after(REPORT);
        let listen = async {
            loop {
                match stream.read(&mut buf).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        match select(next, listen).await {
            Either::First(()) => {}
            Either::Second(end) => return end,
        }
        text.clear();
        let _ = write!(text, "{} up {} s", app.board.name, app.started.elapsed().as_secs());
    }
}
