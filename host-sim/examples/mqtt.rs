//! An MQTT client: rust-mqtt, unmodified, on the core's Embassy side. The broker is mosquitto, on the kernel's TCP.
//!
//! ```sh
//! cargo run -p host-sim --features embassy --example mqtt
//! ```
//!
//! [`TcpStream`] is what rust-mqtt asks for as it stands. Starts and ends the broker itself; ends with 0 if all came as expected. How long a
//! publication takes, beside embassy-net's own TCP: `--example mqtt_latency`.

#[path = "support/mqtt.rs"]
mod broker;
#[path = "support/server.rs"]
mod server;
mod support;

use std::process::ExitCode;

use anyhow::{Result, anyhow, ensure};
use broker::Client;
use embassy_time::{Duration, with_timeout};
use host_sim::family::Family;
use rust_mqtt::buffer::AllocBuffer;
use rust_mqtt::types::QoS;
use tcp_reset_core::embassy::{TcpStack, TcpStream};
use tcp_reset_core::{CloseReason, StreamOptions};

const TOPIC: &str = "core/temperature";
const SMALL: &[u8] = b"21.5";
/// Larger than the connection's buffers.
const LARGE_LEN: usize = 16_384;
/// How long all of it may take in one family.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Result<ExitCode> {
    support::run(|_, tcp| async move {
        let _broker = broker::start_broker()?;
        for family in Family::ALL {
            let played = with_timeout(PATIENCE, play(tcp, family)).await;
            played.map_err(|_| anyhow!("the broker has not answered over {family} in time"))??;
        }
        Ok(0)
    })
}

/// Goes through one session and judges what comes.
async fn play(tcp: TcpStack, family: Family) -> Result<()> {
    let stream = tcp.connect((family.peer_addr(), broker::PORT), StreamOptions::default()).await?;
    let mut buffer = AllocBuffer;
    let mut client = Client::new(&mut buffer);
    broker::connect(&mut client, stream, "tcp-reset-core").await?;
    println!("{family}: connected");
    broker::subscribe(&mut client, TOPIC, QoS::AtLeastOnce).await?;
    println!("{family}: subscribed to {TOPIC}");
    let large: Vec<u8> = (0..LARGE_LEN).map(|i| ((i * 31) >> 3) as u8).collect();
    for message in [SMALL, &large] {
        let received = broker::publish(&mut client, TOPIC, message, true).await?.unwrap_or_default();
        println!("{family}: {} bytes acknowledged, {} of them came back", message.len(), received.len());
        ensure!(received == message, "this is not what was published");
    }
    let stream = broker::disconnect(&mut client).await?;
    let reason = end(stream).await?;
    println!("{family}: disconnected: {reason}");
    // The client has said that it leaves: the broker closes.
    ensure!(reason == CloseReason::PeerClosed, "this is no orderly end");
    Ok(())
}

/// Waits until the broker has closed, and closes as well.
async fn end(mut stream: TcpStream) -> Result<CloseReason> {
    let rest = stream.read(&mut [0; 16]).await?;
    ensure!(rest == 0, "the broker says something after the end");
    stream.shutdown()?;
    Ok(stream.closed().await)
}
