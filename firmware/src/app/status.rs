//! The status page: HTTP/1.1, one request for each connection.

use embassy_time::{Duration, with_timeout};
use embedded_io_async::Write as _;
use heapless::String;
use tcp_reset_core::Error;
use tcp_reset_core::embassy::TcpStream;

use super::liveness;
use super::page::{self, Facts, Format, Part, View};
use super::request::{self, Ask, Host};
use super::services::{accept, tell};
use super::shared::{App, instant};
use super::stack_use::{StackUse, stack_use};

/// How many requests are answered at once; as many more wait in the backlog.
pub(super) const PAGES: usize = 2;
/// The longest request, in bytes.
const LONGEST_REQUEST: usize = 1_024;
/// How long a client may take for all of it, and then to close: a slow one must not keep others out.
const PATIENCE: Duration = Duration::from_secs(10);
const CLOSING_PATIENCE: Duration = Duration::from_secs(2);
const _: () = assert!(liveness::outlasts_page(PATIENCE.as_secs(), CLOSING_PATIENCE.as_secs()));

#[embassy_executor::task(pool_size = PAGES)]
pub(super) async fn serve(app: &'static App) {
    loop {
        let Some(mut stream) = accept(&app.status).await else { return };
        match with_timeout(PATIENCE, answer(app, &mut stream)).await {
            Ok(outcome) => tell("status page", &stream, outcome),
            // The peer learns by RST that nothing more comes.
            Err(_) => stream.abort(),
        }
    }
}

async fn answer(app: &App, stream: &mut TcpStream) -> Result<(), Error> {
    let mut buf = [0; LONGEST_REQUEST];
    match read_request(stream, &mut buf).await? {
        Some(Ask::Page(format, host)) => send_page(app, stream, format, host).await?,
        Some(Ask::Refused(status)) => {
            let mut text: String<128> = String::new();
            // It fits: the longest status line is far shorter.
            let _ = text.push_str("HTTP/1.1 ");
            let _ = text.push_str(status);
            let _ = text.push_str("\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(text.as_bytes()).await?;
        }
        // It closed without asking.
        None => return Ok(()),
    }
    stream.shutdown()?;
    // Reads on until the client closes: an RST for unread bytes could overtake the answer (RFC 9112 §9.6).
    let rest = async {
        while stream.read(&mut buf).await? > 0 {}
        Ok(())
    };
    with_timeout(CLOSING_PATIENCE, rest).await.unwrap_or(Ok(()))
}

async fn read_request(stream: &mut TcpStream, buf: &mut [u8]) -> Result<Option<Ask>, Error> {
    let mut len = 0;
    while len < buf.len() {
        let n = stream.read(&mut buf[len..]).await?;
        if n == 0 {
            return Ok(None);
        }
        len += n;
        if let Some(ask) = request::parse(&buf[..len]) {
            return Ok(Some(ask));
        }
    }
    Ok(Some(Ask::Refused("431 Request Header Fields Too Large")))
}

/// Part by part, so that the page needs little memory; its end is the end of the stream.
async fn send_page(app: &App, stream: &mut TcpStream, format: Format, host: Host) -> Result<(), Error> {
    let view = view_of(app, stream, host);
    let mut text: String<{ page::LONGEST_PART }> = String::new();
    let _ = text.push_str("HTTP/1.1 200 OK\r\nContent-Type: ");
    let _ = text.push_str(format.media_type());
    let _ = text.push_str("\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await?;
    // Walking the painted stack takes its time: once a page.
    let stack = stack_use();
    let mut part = Some(Part::FIRST);
    while let Some(now) = part {
        text.clear();
        write_part(app, stack, now, view, format, &mut text);
        stream.write_all(text.as_bytes()).await?;
        part = now.next(view);
    }
    Ok(())
}

/// Who asks has completed a handshake: the address is not forged by somebody blind. But it may be a browser's that a page of another site
/// makes ask, after it has let the site's name point here (DNS rebinding). The Host header has that name then.
fn view_of(app: &App, stream: &TcpStream, host: Host) -> View {
    let is_let_in = stream.remote_endpoint().is_some_and(|asker| app.settings.status_from.contain(asker.ip()));
    let is_meant = stream.local_endpoint().is_some_and(|board| host.is_board(board.ip()));
    if is_meant && (cfg!(feature = "diagnostics") || is_let_in) { View::Everything } else { View::Overview }
}

fn write_part(
    app: &App,
    stack: StackUse,
    part: Part,
    view: View,
    format: Format,
    text: &mut String<{ page::LONGEST_PART }>,
) {
    let last_ends = app.last_ends.borrow();
    let facts = Facts {
        board: app.board.name,
        reset_cause: app.board.reset_cause,
        uptime_s: app.started.elapsed().as_secs(),
        now: instant(),
        is_link_up: app.stack.is_link_up(),
        address: app.stack.config_v4().map(|config| config.address),
        #[cfg(feature = "ipv6")]
        address_v6: app.stack.config_v6().map(|config| config.address),
        stack,
        frames_lost: app.board.panel.frames_lost(),
        server: app.settings.server,
        client: *app.client.borrow(),
        last_ends: &last_ends,
    };
    app.tcp.inspect(|link| page::write(&facts, link, part, view, format, text));
}
