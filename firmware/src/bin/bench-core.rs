#![no_std]
#![no_main]
//! What a segment costs: `tcp-reset-core` on `mps2-an385`, over a wire in memory.

use core::net::Ipv6Addr;

use embassy_executor::Spawner;
use firmware::bench::{self, BUFFER, PORT, Server, Wire};
use firmware::mps2;
use static_cell::{ConstStaticCell, StaticCell};
use tcp_reset_core::embassy::{TcpListener, TcpResources, TcpRunner, TcpStream};
use tcp_reset_core::{Config, ListenOptions, SecretKey, StreamOptions};

static TCP: ConstStaticCell<TcpResources<4, 1, 8, 8, { 8 * BUFFER }>> = ConstStaticCell::new(TcpResources::new());
static NET: StaticCell<embassy_net::StackResources<1>> = StaticCell::new();

struct Ours(TcpListener);

impl Server for Ours {
    type Stream = TcpStream;

    async fn accept(&mut self) -> TcpStream {
        match self.0.accept().await {
            Ok(stream) => stream,
            Err(error) => defmt::panic!("accept: {}", error),
        }
    }

    async fn finish(&mut self, stream: TcpStream) {
        drop(stream);
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
    let Ok(key) = SecretKey::new(mps2::random()) else { defmt::panic!("the host's random bytes are all equal") };
    let Ok((shared, driver)) = tcp_reset_core::embassy::new(wire, TCP.take(), Config::default(), key) else {
        defmt::panic!("the wire is no Ethernet")
    };
    let (stack, net) = embassy_net::new(driver, bench::config(), NET.init(embassy_net::StackResources::new()), 1);
    let (tcp, runner) = TcpRunner::new(shared, stack, net);
    let stream = StreamOptions { rx_buffer: BUFFER, tx_buffer: BUFFER, ..StreamOptions::default() };
    let options = ListenOptions { stream, ..ListenOptions::default() };
    let Ok(listener) = tcp.listen((Ipv6Addr::UNSPECIFIED, PORT), options) else { defmt::panic!("cannot listen") };
    spawner.spawn(drive(runner)?);
    spawner.spawn(application(wire, listener)?);
    Ok(())
}

#[embassy_executor::task]
async fn drive(mut runner: TcpRunner<Wire>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn application(wire: Wire, listener: TcpListener) {
    bench::measure("tcp-reset-core", wire, &mut Ours(listener)).await;
}
