//! What a segment costs: instructions on the board, counted by a timer of QEMU's that advances with them (`-icount`).
//!
//! The peer is a script in the board's own memory behind an embassy-net driver; its own work is not counted. Each stack gets the same
//! frames, on the same board, through the same driver, and the same application on `embedded-io-async`.

mod family;
mod meter;
mod peer;
mod wire;

use core::future::Future;

use embassy_time::Timer;
use embedded_io_async::{Read, Write};

pub use family::{Family, config};
pub use peer::{PORT, Script};
pub use wire::Wire;

/// Buffers of a connection, in bytes, in each stack.
pub const BUFFER: usize = 4_096;

/// A stack as the measurement needs it.
pub trait Server {
    /// A connection.
    type Stream: Read + Write;
    /// Takes the next connection on [`PORT`].
    fn accept(&mut self) -> impl Future<Output = Self::Stream>;
    /// Sees the connection off, whatever became of it, so that the next can come.
    fn finish(&mut self, stream: Self::Stream) -> impl Future<Output = ()>;
}

/// Plays all scripts in all families, tells each result, and ends the machine.
pub async fn measure(name: &'static str, wire: Wire, server: &mut impl Server) -> ! {
    for family in Family::ALL {
        for script in Script::ALL {
            wire.begin(script, *family);
            if script.has_connection() {
                let mut stream = server.accept().await;
                serve(script, &mut stream).await;
                server.finish(stream).await;
            }
            while !wire.is_done() {
                Timer::after_millis(1).await;
            }
            let result = wire.result();
            defmt::println!(
                "bench {=str} {=str} {=str} {=u32} segments in, {=u32} out, {=u32} instructions each",
                name,
                family.name(),
                script.name(),
                result.segments_in,
                result.segments_out,
                result.per_segment()
            );
        }
    }
    semihosting::process::exit(0)
}

/// The application's side of a script; the peer ends the connection by RST.
async fn serve(script: Script, stream: &mut (impl Read + Write)) {
    let mut buf = [0; 2_048];
    loop {
        let is_over = match script {
            Script::SynToClosedPort | Script::PureAck | Script::BulkIn => {
                !matches!(stream.read(&mut buf).await, Ok(1..))
            }
            Script::BulkOut => stream.write(&buf).await.is_err(),
            Script::Echo => match stream.read(&mut buf).await {
                Ok(n @ 1..) => stream.write_all(&buf[..n]).await.is_err(),
                Ok(0) | Err(_) => true,
            },
        };
        if is_over {
            return;
        }
    }
}
