#![no_std]
#![no_main]
//! WIZnet's W5500-EVB-Pico2: RP2350, W5500 Ethernet on SPI in MACRAW mode.

use core::cell::RefCell;

use defmt_rtt as _;
use embassy_embedded_hal::shared_bus::asynch::spi::SpiDevice;
use embassy_executor::Spawner;
use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embassy_rp::gpio::{Input, Level, Output, Pull};
use embassy_rp::peripherals::{DMA_CH0, DMA_CH1, SPI0, TRNG};
use embassy_rp::spi::{self, Spi};
use embassy_rp::trng::{self, Trng};
use embassy_rp::watchdog::{ResetReason, Watchdog};
use embassy_rp::{bind_interrupts, dma, otp, pac};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_time::{Duration, with_timeout};
use firmware::app::{self, Board, Panel, ResetJournal, Settings};
use firmware::restart;
use static_cell::{ConstStaticCell, StaticCell};
use tcp_reset_core::embassy::TcpRunner;

bind_interrupts!(struct Irqs {
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>, dma::InterruptHandler<DMA_CH1>;
    TRNG_IRQ => trng::InterruptHandler<TRNG>;
});

type Bus = Mutex<NoopRawMutex, Spi<'static, SPI0, spi::Async>>;
type Chip = SpiDevice<'static, NoopRawMutex, Spi<'static, SPI0, spi::Async>, Output<'static>>;
type ChipRunner = embassy_net_wiznet::Runner<'static, W5500, Chip, Input<'static>, Output<'static>>;

const WATCHDOG: Duration = Duration::from_secs(8);
/// The W5500 vouches for 33.3 MHz; the divider makes 25 of this.
const SPI_HZ: u32 = 25_000_000;
/// How long one block of the random source may take: a failed health check shows as a wait without end.
const TRNG_PATIENCE: Duration = Duration::from_millis(250);

static STATE: ConstStaticCell<State<8, 8>> = ConstStaticCell::new(State::new());
static BUS: StaticCell<Bus> = StaticCell::new();
/// The startup code leaves it alone.
#[unsafe(link_section = ".uninit.JOURNAL")]
static JOURNAL: ResetJournal = ResetJournal::new();
static PANEL: StaticCell<Led> = StaticCell::new();

/// The one LED: dark without a link, lit with one, and dark for a second after a reset. And the watchdog.
struct Led(RefCell<Parts>);

struct Parts {
    led: Output<'static>,
    is_link_up: bool,
    watchdog: Watchdog,
}

impl Panel for Led {
    fn show_link(&self, is_up: bool) {
        let mut parts = self.0.borrow_mut();
        parts.is_link_up = is_up;
        parts.led.set_level(if is_up { Level::High } else { Level::Low });
    }

    fn show_resets(&self, were_there: bool) {
        let mut parts = self.0.borrow_mut();
        let is_lit = parts.is_link_up && !were_there;
        parts.led.set_level(if is_lit { Level::High } else { Level::Low });
    }

    fn feed_watchdog(&self) {
        self.0.borrow_mut().watchdog.feed(WATCHDOG);
    }
}

#[embassy_executor::main(executor = "embassy_rp::executor::Executor", entry = "cortex_m_rt::entry")]
async fn main(spawner: Spawner) {
    let p = embassy_rp::init(embassy_rp::config::Config::default());
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    let cause = reset_cause(&watchdog);
    watchdog.pause_on_debug(true);
    watchdog.start(WATCHDOG);
    restart_whole_chip_on_timeout();
    let parts = Parts { led: Output::new(p.PIN_25, Level::Low), is_link_up: false, watchdog };
    let panel: &'static Led = PANEL.init(Led(RefCell::new(parts)));

    restart_random_source();
    let mut trng = Trng::new(p.TRNG, Irqs, trng::Config::default());
    let [key @ .., a, b, c, d, e, f, g, h] = random(&mut trng).await;
    panel.feed_watchdog();

    let mut config = spi::Config::default();
    config.frequency = SPI_HZ;
    let spi = Spi::new(p.SPI0, p.PIN_18, p.PIN_19, p.PIN_16, p.DMA_CH0, p.DMA_CH1, Irqs, config);
    let chip = SpiDevice::new(BUS.init(Mutex::new(spi)), Output::new(p.PIN_17, Level::High));
    let (int, reset) = (Input::new(p.PIN_21, Pull::Up), Output::new(p.PIN_20, Level::High));
    let mac = match otp::get_chipid() {
        Ok(id) => app::mac_address(&id.to_be_bytes()),
        Err(_) => defmt::panic!("the chip does not tell its number"),
    };
    let (device, chip_runner) = match embassy_net_wiznet::new(mac, STATE.take(), chip, int, reset).await {
        Ok(pair) => pair,
        Err(_) => defmt::panic!("the W5500 does not answer"),
    };
    let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let board = Board { name: "w5500-evb-pico2", reset_cause: cause, key, seed, journal: &JOURNAL, panel };
    match app::start(spawner, device, board, Settings::from_build()) {
        Ok(runner) => match (ethernet(chip_runner), net(runner)) {
            (Ok(ethernet), Ok(net)) => {
                spawner.spawn(ethernet);
                spawner.spawn(net);
            }
            _ => defmt::panic!("the network's tasks run already"),
        },
        Err(error) => defmt::panic!("cannot start: {}", error),
    }
}

#[embassy_executor::task]
async fn ethernet(runner: ChipRunner) {
    runner.run().await;
}

#[embassy_executor::task]
async fn net(mut runner: TcpRunner<Device<'static>>) {
    runner.run().await;
}

fn reset_cause(watchdog: &Watchdog) -> &'static str {
    // The mark is left by a restart that the watchdog has no part in.
    if let Some(cause) = restart::take_cause() {
        return cause;
    }
    match watchdog.reset_reason() {
        Some(ResetReason::TimedOut) => return "watchdog",
        Some(ResetReason::Forced) => return "software",
        None => {}
    }
    let flags = pac::POWMAN.chip_reset().read();
    if flags.had_por() {
        "power-on"
    } else if flags.had_bor() {
        "brown-out"
    } else if flags.had_run_low() {
        "pin"
    } else if flags.had_dp_reset_req() || flags.had_rescue() {
        "debugger"
    } else {
        "unknown"
    }
}

/// embassy-rp selects the stages by the RP2040's numbers; here all but the two oscillators restart.
fn restart_whole_chip_on_timeout() {
    let mut stages = pac::psm::regs::Wdsel(0x01ff_ffff);
    stages.set_rosc(false);
    stages.set_xosc(false);
    pac::PSM.wdsel().write_value(stages);
}

/// embassy-rp leaves it as the boot ROM did, perhaps with bytes that were used already.
fn restart_random_source() {
    pac::RESETS.reset().modify(|w| w.set_trng(true));
    pac::RESETS.reset().modify(|w| w.set_trng(false));
    while !pac::RESETS.reset_done().read().trng() {}
}

/// One block of the random source, for key and seed; where it gives none, the watchdog restarts a board that never had a key.
async fn random(trng: &mut Trng<'_, TRNG>) -> [u8; 24] {
    loop {
        let mut bytes = [0; 24];
        match with_timeout(TRNG_PATIENCE, trng.fill_bytes(&mut bytes)).await {
            Ok(()) if bytes.iter().any(|&byte| byte != bytes[0]) => return bytes,
            Ok(()) => defmt::error!("the random source repeats itself"),
            Err(_) => defmt::error!("the random source gives nothing"),
        }
    }
}
