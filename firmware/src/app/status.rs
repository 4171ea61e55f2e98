//! The status page and its facts: HTTP/1.1, one request for each connection.

use core::fmt::Write as _;

use embassy_time::{Duration, with_timeout};
use embedded_io_async::Write as _;
use tcp_reset_core::Error;
use tcp_reset_core::embassy::TcpStream;

use super::liveness;
use super::page::{self, Facts, Format, Framing, Out, Part, Pieces, Text, View};
use super::request::{self, Ask, Host};
use super::services::{accept, tell};
use super::shared::{App, instant};
use super::stack_use::{StackUse, stack_use};

/// How many requests are answered at once; as many more wait in the backlog.
pub(super) const PAGES: usize = 2;
/// The longest request, in bytes.
const LONGEST_REQUEST: usize = 1_024;
/// How long a client may take for all of it: a slow one must not keep others out.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take then until it closes by itself, and until it closes after us.
const LEAVING_PATIENCE: Duration = Duration::from_secs(1);
const CLOSING_PATIENCE: Duration = Duration::from_secs(1);
const _: () =
    assert!(liveness::outlasts_page(PATIENCE.as_secs(), LEAVING_PATIENCE.as_secs() + CLOSING_PATIENCE.as_secs()));
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
    // It closed without asking.
    let Some(ask) = read_request(stream).await? else { return Ok(()) };
    let mut text = Text::new();
    // Heads are short, and fit.
    let _ = match ask {
        Ask::Index => head(&mut text, "200 OK", "text/html; charset=utf-8", Some(page::INDEX.len())),
        Ask::Facts(format, _, Framing::Chunks) => {
            head(&mut text, "200 OK\r\nTransfer-Encoding: chunked", format.media_type(), None)
        }
        Ask::Facts(format, _, Framing::Close) => head(&mut text, "200 OK", format.media_type(), None),
        Ask::Refused(status) => head(&mut text, status, "text/plain", Some(0)),
    };
    stream.write_all(&text).await?;
    match ask {
        Ask::Index => stream.write_all(page::INDEX.as_bytes()).await?,
        Ask::Facts(format, host, framing) => {
            send_facts(app, stream, format, view_of(app, stream, host), framing).await?;
        }
        Ask::Refused(_) => {}
    }
    if !matches!(ask, Ask::Facts(_, _, Framing::Close)) {
        // It knows where the answer ends, and whoever closes first has the TIME-WAIT record.
        leaves_within(LEAVING_PATIENCE, stream).await?;
    }
    stream.shutdown()?;
    // Reads on until the client closes: an RST for unread bytes could overtake the answer (RFC 9112 §9.6).
    leaves_within(CLOSING_PATIENCE, stream).await
}

fn head(text: &mut Text, status: &str, media_type: &str, len: Option<usize>) -> core::fmt::Result {
    write!(
        text,
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nCache-Control: no-store\r\nConnection: close\r\n"
    )?;
    if let Some(len) = len {
        write!(text, "Content-Length: {len}\r\n")?;
    }
    text.write_str("\r\n")
}

/// Takes and forgets what the client may still send, until it closes or the time is over.
async fn leaves_within(patience: Duration, stream: &mut TcpStream) -> Result<(), Error> {
    let rest = async {
        while stream.read_with(|bytes| (bytes.len(), !bytes.is_empty())).await? {}
        Ok(())
    };
    with_timeout(patience, rest).await.unwrap_or(Ok(()))
}

async fn read_request(stream: &mut TcpStream) -> Result<Option<Ask>, Error> {
    let mut buf = [0; LONGEST_REQUEST];
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

/// Piece by piece, so that all of it needs little memory.
async fn send_facts(
    app: &App,
    stream: &mut TcpStream,
    format: Format,
    view: View,
    framing: Framing,
) -> Result<(), Error> {
    // Walking the painted stack takes its time: once for all parts.
    let stack = stack_use();
    let mut pieces = Pieces::new(format.first(), view, framing);
    while let Some(piece) = pieces.next(|part, out| write_part(app, stack, part, view, out)) {
        stream.write_all(piece).await?;
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

fn write_part(app: &App, stack: StackUse, part: Part, view: View, out: &mut Out) {
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
    app.tcp.inspect(|link| page::write(&facts, link, part, view, out));
}
