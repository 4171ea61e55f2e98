//! Everything at once, for a project that wants nothing special: the device wrapped, embassy-net over it, the runner for both.

use core::fmt;

use embassy_net_driver::Driver;

use super::driver::{DeviceError, new};
use super::runner::TcpRunner;
use super::stack::TcpStack;
use super::state::TcpResources;
use crate::config::{Config, SecretKey, WeakKey};

/// All memory of both stacks: [`TcpResources`] with the same first parameters, and embassy-net's for so many sockets of its own, DHCP and DNS among
/// them.
pub struct Resources<
    const CONNECTIONS: usize,
    const LISTENERS: usize,
    const HALF_OPEN: usize,
    const TIME_WAIT: usize,
    const POOL: usize,
    const SOCKETS: usize,
> {
    pub(super) tcp: TcpResources<CONNECTIONS, LISTENERS, HALF_OPEN, TIME_WAIT, POOL>,
    net: embassy_net::StackResources<SOCKETS>,
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize, const S: usize>
    Resources<C, L, H, T, P, S>
{
    /// Makes empty resources, in a constant if wished.
    pub const fn new() -> Self {
        Resources { tcp: TcpResources::new(), net: embassy_net::StackResources::new() }
    }
}

impl<const C: usize, const L: usize, const H: usize, const T: usize, const P: usize, const S: usize> Default
    for Resources<C, L, H, T, P, S>
{
    fn default() -> Self {
        Resources::new()
    }
}

/// Why [`start`] could not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StartError {
    /// The device cannot be wrapped, or a setting is out of its bounds.
    Device(DeviceError),
    /// The random source does not work.
    WeakKey(WeakKey),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Device(error) => error.fmt(f),
            StartError::WeakKey(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for StartError {}

/// Starts both stacks on a device: [`super::new`], [`embassy_net::new`] and [`TcpRunner::new`] in one. Returns the handle for TCP, embassy-net's for all else,
/// and the runner, which a task of its own must [`TcpRunner::run`].
///
/// `fill_random` fills what it is given with random bytes, new at each boot: `|bytes| rng.fill_bytes(bytes)`. The secret of initial sequence numbers and ports
/// comes from it, and embassy-net's seed.
///
/// # Errors
/// [`StartError`].
pub fn start<
    D: Driver,
    const C: usize,
    const L: usize,
    const H: usize,
    const T: usize,
    const P: usize,
    const S: usize,
>(
    device: D,
    resources: &'static mut Resources<C, L, H, T, P, S>,
    tcp: Config,
    net: embassy_net::Config,
    fill_random: impl FnMut(&mut [u8]),
) -> Result<(TcpStack, embassy_net::Stack<'static>, TcpRunner<D>), StartError> {
    let mut fill_random = fill_random;
    let (mut key, mut seed) = ([0; 16], [0; 8]);
    fill_random(&mut key);
    fill_random(&mut seed);
    let key = SecretKey::new(key).map_err(StartError::WeakKey)?;
    let (shared, driver) = new(device, &mut resources.tcp, tcp, key).map_err(StartError::Device)?;
    let (stack, runner) = embassy_net::new(driver, net, &mut resources.net, u64::from_ne_bytes(seed));
    let (tcp, runner) = TcpRunner::new(shared, stack, runner);
    Ok((tcp, stack, runner))
}
