//! picoserve's traits: its web server over our streams, without embassy-net's TCP. Feature `picoserve`.

use core::future::{pending, poll_fn};

use embassy_time::{Instant, Timer};
use picoserve::io::{ReadExt, Socket};
use picoserve::mem::{BorrowedBuffer, BorrowedCursor};
use picoserve::time::Duration;
use picoserve::{Error as HttpError, Timeouts};

use super::stream::{TcpReader, TcpStream, TcpWriter};
use crate::error::Error;

/// Names the pair of clock and sockets that picoserve's traits ask for: [`HttpTimer`] and [`TcpStream`].
pub enum HttpRuntime {}

/// Embassy's clock, for `picoserve::Server::custom(&app, HttpTimer, &config, &mut buffer)`.
pub struct HttpTimer;

impl picoserve::Timer<HttpRuntime> for HttpTimer {
    /// Never over where it is longer than the clock runs.
    async fn delay(&self, duration: Duration) {
        let duration = embassy_time::Duration::try_from_millis(duration.as_millis());
        match duration.and_then(|duration| Instant::now().checked_add(duration)) {
            Some(at) => Timer::at(at).await,
            None => pending().await,
        }
    }
}

/// How much is formatted at once, in bytes: on the stack, and not kept while the task waits.
const LENT: usize = 256;

/// The sending half as picoserve writes to it: formatted text needs no buffer of the caller's, and a flush waits for nothing. What is written is
/// on its way by itself, and picoserve flushes between a response's head and body: were the head's acknowledgment waited for, a peer that holds
/// it back would cost each response 40 ms and more.
pub struct HttpWriter<'s>(TcpWriter<'s>);

impl embedded_io_async::ErrorType for HttpWriter<'_> {
    type Error = Error;
}

impl embedded_io_async::Write for HttpWriter<'_> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.0.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl picoserve::io::Write for HttpWriter<'_> {
    /// Not into the send buffer itself: what formats may ask the stack. picoserve formats a longer text once more for each piece, and wants it to come
    /// out the same.
    async fn write_with<F: FnOnce(BorrowedCursor<'_>) -> R, R>(&mut self, f: F) -> Result<R, Error> {
        let stream = self.0.stream;
        poll_fn(|cx| stream.poll_write_ready(cx)).await?;
        let mut lent = [0; LENT];
        let room = stream.status()?.writable.min(LENT);
        let mut lent = BorrowedBuffer::new(&mut lent[..room]);
        let result = f(lent.unfilled());
        // There is room for all of it, unless the connection has ended meanwhile.
        stream.write_now(lent.filled())?;
        Ok(result)
    }
}

impl Socket<HttpRuntime> for TcpStream {
    type Error = Error;
    type ReadHalf<'a> = TcpReader<'a>;
    type WriteHalf<'a> = HttpWriter<'a>;

    fn split(&mut self) -> (TcpReader<'_>, HttpWriter<'_>) {
        let (reader, writer) = TcpStream::split(self);
        (reader, HttpWriter(writer))
    }

    /// Lets the client have what was written before: picoserve ends a bad request so, after its answer.
    async fn abort<T: picoserve::Timer<HttpRuntime>>(
        mut self,
        timeouts: &Timeouts,
        timer: &T,
    ) -> Result<(), HttpError<Error>> {
        let flushed = timer.run_with_timeout(timeouts.write, self.flush()).await;
        TcpStream::abort(&mut self);
        flushed.map_err(HttpError::WriteTimeout)?.map_err(HttpError::Write)
    }

    /// Reads on until the client has closed as well: what it may still send is of no use, but dropping the stream before would answer it with a
    /// reset.
    async fn shutdown<T: picoserve::Timer<HttpRuntime>>(
        mut self,
        timeouts: &Timeouts,
        timer: &T,
    ) -> Result<(), HttpError<Error>> {
        TcpStream::shutdown(&mut self).map_err(HttpError::Write)?;
        let discarded = timer.run_with_timeout(timeouts.read_request, self.discard_all_data()).await;
        discarded.map_err(HttpError::ReadTimeout)?.map_err(HttpError::Read)
    }
}
