//! Both stacks by one call.

use std::net::Ipv4Addr;

use static_cell::ConstStaticCell;
use tcp_reset_core::embassy::{DeviceError, Resources, StartError, start};
use tcp_reset_core::{Config, ListenOptions, Setting, StreamOptions, WeakKey};

use crate::exec::World;
use crate::hosts::{HOST, OTHER, mac_of, static_config};
use crate::net::{Device, PortRef};
use crate::streams::echo;

type Small = Resources<2, 1, 2, 2, 8_192, 1>;

/// In a static, as a firmware has it.
static IN_A_STATIC: ConstStaticCell<Small> = ConstStaticCell::new(Resources::new());

fn net() -> embassy_net::Config {
    embassy_net::Config::ipv4_static(static_config(HOST, None))
}

/// Bytes that differ from call to call.
fn random(seed: u8) -> impl FnMut(&mut [u8]) {
    let mut state = seed;
    move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(5).wrapping_add(29);
            *byte = state;
        }
    }
}

#[test]
fn started_device_serves_and_answers() {
    let mut world = World::new();
    let port = PortRef::new(Some(mac_of(HOST)));
    let device = Device(port.clone());
    let (tcp, stack, mut runner) = start(device, IN_A_STATIC.take(), Config::default(), net(), random(1)).unwrap();
    world.net.add(port);
    world.spawn(async move { runner.run().await });
    let peer = world.host(OTHER);
    world.run_ms(1);
    assert_eq!(stack.config_v4().map(|config| config.address.address()), Some(HOST));
    let listener = tcp.listen((Ipv4Addr::UNSPECIFIED, 7), ListenOptions::default()).unwrap();
    world.spawn(async move {
        let stream = listener.accept().await.unwrap();
        echo(stream).await
    });
    let answer = world.block_on(async {
        let mut stream = peer.tcp.connect((HOST, 7), StreamOptions::default()).await.unwrap();
        stream.write(b"hello").await.unwrap();
        let mut answer = [0; 5];
        assert_eq!(stream.read(&mut answer).await, Ok(5));
        answer
    });
    assert_eq!(&answer, b"hello");
}

/// Initial sequence numbers are secret: they come of the random source.
#[test]
fn another_random_source_gives_other_numbers() {
    let first_number = |seed: u8| {
        let mut world = World::new();
        let port = PortRef::new(Some(mac_of(HOST)));
        let resources: &mut Small = Box::leak(Box::default());
        let (tcp, _, mut runner) =
            start(Device(port.clone()), resources, Config::default(), net(), random(seed)).unwrap();
        world.net.add(port.clone());
        world.spawn(async move { runner.run().await });
        let _raw = world.raw(OTHER);
        world.run_ms(1);
        world.spawn(async move { tcp.connect_from(5_000, (OTHER, 7), StreamOptions::default()).await.map(|_| ()) });
        world.run_ms(10);
        let sent = port.sent_since(0);
        let syn = sent.iter().find(|frame| frame[12..14] == [8, 0] && frame[23] == 6).expect("a SYN");
        syn[38..42].to_vec()
    };
    assert_eq!(first_number(1), first_number(1));
    assert_ne!(first_number(1), first_number(2));
}

#[test]
fn what_cannot_start_says_why() {
    let try_to = |config: Config, random: &mut dyn FnMut(&mut [u8])| {
        let resources: &mut Small = Box::leak(Box::default());
        start(Device(PortRef::new(Some(mac_of(HOST)))), resources, config, net(), random).err()
    };
    assert_eq!(try_to(Config::default(), &mut |_| {}), Some(StartError::WeakKey(WeakKey)), "the source does nothing");
    let error = try_to(Config { mss: Some(9_000), ..Config::default() }, &mut random(1)).unwrap();
    assert_eq!(error, StartError::Device(DeviceError::InvalidSetting(Setting::Mss)));
    assert!(!error.to_string().is_empty());
}
