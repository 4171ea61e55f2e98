//! rust-mqtt as the MQTT examples use it, and its broker: mosquitto, on the kernel's side.

use std::fs;

use anyhow::{Context, Result, anyhow, ensure};
use rust_mqtt::Bytes;
use rust_mqtt::buffer::AllocBuffer;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{
    ConnectOptions, DisconnectOptions, PublicationOptions, SubscriptionOptions, TopicReference,
};
use rust_mqtt::client::{self, MqttError};
use rust_mqtt::io::Transport;
use rust_mqtt::types::{MqttString, QoS, TopicFilter, TopicName};

use crate::server::{self, Server};

pub(crate) const PORT: u16 = 1883;
/// `user root` keeps what this program is: the broker would look for an account of its own.
const CONFIG: &str = "listener 1883\nallow_anonymous true\nuser root\nlog_type error\n";

/// One subscription, one message at a time in each direction; no property that would need room.
pub(crate) type Client<'c, N> = client::Client<'c, 'c, N, AllocBuffer, 1, 1, 1, 0, 0, 0, 0>;

/// Starts mosquitto. It listens at every address of the namespace.
///
/// # Errors
/// If it is missing, or does not listen.
pub(crate) fn start_broker() -> Result<Server> {
    let program = server::find("mosquitto")?;
    let folder = tempfile::tempdir().context("cannot make a folder for the broker")?;
    let path = folder.path().join("mosquitto.conf");
    fs::write(&path, CONFIG).context("cannot write the broker's configuration")?;
    let path = path.display().to_string();
    Server::start(&program, &["-c", &path], folder, PORT)
}

/// Begins an MQTT session on a connection.
///
/// # Errors
/// If the broker refuses it.
pub(crate) async fn connect<N: Transport>(client: &mut Client<'_, N>, stream: N, name: &str) -> Result<()> {
    let name = MqttString::from_str(name).map_err(|error| anyhow!("{error:?}"))?;
    client.connect(stream, &ConnectOptions::new().clean_start(), Some(name)).await.map_err(told)?;
    Ok(())
}

/// Subscribes to a topic: the broker sends what is published to it, with this quality of service.
///
/// # Errors
/// If the broker does not take the subscription.
pub(crate) async fn subscribe<N: Transport>(client: &mut Client<'_, N>, topic: &'static str, qos: QoS) -> Result<()> {
    let topic = MqttString::from_str(topic).ok().and_then(TopicFilter::new).context("this is no topic")?;
    let subscribed = client.subscribe(topic, &SubscriptionOptions::new().qos(qos)).await.map_err(told)?;
    let event = client.poll().await.map_err(told)?;
    let is_taken = matches!(&event, Event::Suback(answer) if answer.packet_identifier == subscribed && answer.reason_code.is_success());
    ensure!(is_taken, "the broker does not take the subscription: {event:?}");
    Ok(())
}

/// Publishes with QoS 1, and waits for the acknowledgment and, where the client is subscribed to the topic, for the message, whichever is first;
/// gives the message.
///
/// # Errors
/// If the connection ends, or the broker says anything else.
pub(crate) async fn publish<N: Transport>(
    client: &mut Client<'_, N>,
    topic: &'static str,
    message: &[u8],
    is_subscribed: bool,
) -> Result<Option<Vec<u8>>> {
    let topic = MqttString::from_str(topic).ok().and_then(TopicName::new).context("this is no topic")?;
    let options = PublicationOptions::new(TopicReference::Name(topic)).at_least_once();
    let published = client.publish(&options, Bytes::Borrowed(message)).await.map_err(told)?;
    let (mut is_acknowledged, mut received) = (false, None);
    while !is_acknowledged || is_subscribed && received.is_none() {
        let event = client.poll().await.map_err(told)?;
        if let Event::Publish(publication) = event {
            received = Some(publication.message.as_bytes().to_vec());
        } else {
            is_acknowledged =
                matches!(&event, Event::PublishAcknowledged(answer) if Some(answer.packet_identifier) == published);
            ensure!(is_acknowledged, "the broker answers a publication with {event:?}");
        }
    }
    Ok(received)
}

/// Ends a session; gives the connection back.
///
/// # Errors
/// If it has ended before.
pub(crate) async fn disconnect<N: Transport>(client: &mut Client<'_, N>) -> Result<N> {
    client.disconnect(&DisconnectOptions::new()).await.map_err(told)
}

/// The error without what it borrows.
fn told(error: MqttError<'_, 0>) -> anyhow::Error {
    anyhow!("MQTT: {error:?}")
}
