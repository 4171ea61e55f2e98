#![no_std]
#![no_main]
//! What a segment costs: embassy-net's own TCP on `mps2-an385`, over the same wire in memory.

use embassy_executor::Spawner;
use embassy_net::tcp::TcpSocket;
use firmware::bench::{self, BUFFER, PORT, Server, Wire};
use firmware::mps2;
use static_cell::{ConstStaticCell, StaticCell};

static NET: StaticCell<embassy_net::StackResources<2>> = StaticCell::new();
static RX: ConstStaticCell<[u8; BUFFER]> = ConstStaticCell::new([0; BUFFER]);
static TX: ConstStaticCell<[u8; BUFFER]> = ConstStaticCell::new([0; BUFFER]);

/// One socket, which is the listener too.
struct Theirs {
    socket: Option<TcpSocket<'static>>,
}

impl Server for Theirs {
    type Stream = TcpSocket<'static>;

    async fn accept(&mut self) -> TcpSocket<'static> {
        let Some(mut socket) = self.socket.take() else { defmt::panic!("the socket is in use") };
        match socket.accept(PORT).await {
            Ok(()) => socket,
            Err(_) => defmt::panic!("accept"),
        }
    }

    async fn finish(&mut self, mut stream: TcpSocket<'static>) {
        stream.abort();
        self.socket = Some(stream);
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    mps2::run(|spawner| match start(spawner) {
        Ok(()) => {}
        Err(_) => defmt::panic!("a task runs already"),
    })
}

fn start(spawner: Spawner) -> Result<(), embassy_executor::SpawnError> {
    let wire = Wire::lay();
    let seed = u64::from_le_bytes(mps2::random());
    let (stack, runner) = embassy_net::new(wire, bench::config(), NET.init(embassy_net::StackResources::new()), seed);
    let socket = TcpSocket::new(stack, RX.take(), TX.take());
    spawner.spawn(net(runner)?);
    spawner.spawn(application(wire, socket)?);
    Ok(())
}

#[embassy_executor::task]
async fn net(mut runner: embassy_net::Runner<'static, Wire>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn application(wire: Wire, socket: TcpSocket<'static>) {
    bench::measure("embassy-net", wire, &mut Theirs { socket: Some(socket) }).await;
}
