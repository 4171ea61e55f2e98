#![no_std]
#![no_main]
//! ST's NUCLEO-H743ZI2: Cortex-M7, on-chip Ethernet with a LAN8742 PHY.

use core::cell::RefCell;

use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_stm32::eth::{self, Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::peripherals::{ETH, ETH_SMA, IWDG1, RNG};
use embassy_stm32::rcc::{
    AHBPrescaler, APBPrescaler, Hsi48Config, Pll, PllDiv, PllMul, PllPreDiv, PllSource, Sysclk, VoltageScale,
};
use embassy_stm32::rng::{self, Rng};
use embassy_stm32::wdg::IndependentWatchdog;
use embassy_stm32::{Config, bind_interrupts, pac, uid};
use firmware::app::{self, Board, Panel, ResetJournal, Settings};
use firmware::restart;
use static_cell::{ConstStaticCell, StaticCell};
use tcp_reset_core::embassy::TcpRunner;

bind_interrupts!(struct Irqs {
    ETH => eth::InterruptHandler;
    RNG => rng::InterruptHandler<RNG>;
});

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

/// Longer than the 3.2 s that a missing PHY is asked for, in microseconds.
const WATCHDOG_US: u32 = 8_000_000;
/// The Ethernet's DMA reaches the AXI SRAM that all of RAM is in here, but not the DTCM.
static QUEUE: ConstStaticCell<PacketQueue<4, 8>> = ConstStaticCell::new(PacketQueue::new());
/// The startup code leaves it alone. In AXI SRAM, whose words are written back without a cache in between.
#[unsafe(link_section = ".uninit.JOURNAL")]
static JOURNAL: ResetJournal = ResetJournal::new();
static PANEL: StaticCell<Leds> = StaticCell::new();

/// LD1, LD2, LD3, and the watchdog.
struct Leds(RefCell<Parts>);

struct Parts {
    green: Output<'static>,
    yellow: Output<'static>,
    red: Output<'static>,
    watchdog: IndependentWatchdog<'static, IWDG1>,
}

impl Panel for Leds {
    fn show_link(&self, is_up: bool) {
        self.0.borrow_mut().green.set_level(if is_up { Level::High } else { Level::Low });
    }

    fn show_resets(&self, were_there: bool) {
        self.0.borrow_mut().red.set_level(if were_there { Level::High } else { Level::Low });
    }

    fn feed_watchdog(&self) {
        let mut parts = self.0.borrow_mut();
        parts.watchdog.pet();
        parts.yellow.toggle();
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let p = embassy_stm32::init(clocks());
    let cause = reset_cause();
    let mut watchdog = IndependentWatchdog::new(p.IWDG1, WATCHDOG_US);
    // A debugger that halts the core halts the watchdog too.
    pac::DBGMCU.apb4fzr1().modify(|w| w.set_iwdg1(true));
    watchdog.unleash();
    if let Some(mut core) = cortex_m::Peripherals::take() {
        // Not the data cache: the Ethernet's DMA does not see it, and a reset would lose what the journal has in it.
        core.SCB.enable_icache();
    }
    let led = |pin: embassy_stm32::Peri<'static, embassy_stm32::gpio::AnyPin>| Output::new(pin, Level::Low, Speed::Low);
    let parts = Parts { green: led(p.PB0.into()), yellow: led(p.PE1.into()), red: led(p.PB14.into()), watchdog };
    let panel: &'static Leds = PANEL.init(Leds(RefCell::new(parts)));

    let mut rng = Rng::new(p.RNG, Irqs);
    let key = random(&mut rng).await;
    let seed = u64::from_le_bytes(random(&mut rng).await);
    panel.feed_watchdog();
    // RMII: clock, valid, in 0 and 1, out 0 and 1, enable; then the PHY's management.
    let device: Device = Ethernet::new(
        QUEUE.take(),
        p.ETH,
        Irqs,
        p.PA1,
        p.PA7,
        p.PC4,
        p.PC5,
        p.PG13,
        p.PB13,
        p.PG11,
        app::mac_address(&uid::uid()),
        p.ETH_SMA,
        p.PA2,
        p.PC1,
    );
    let board = Board { name: "nucleo-h743zi", reset_cause: cause, key, seed, journal: &JOURNAL, panel };
    match app::start(spawner, device, board, Settings::from_build()) {
        Ok(runner) => match net(runner) {
            Ok(task) => spawner.spawn(task),
            Err(_) => defmt::panic!("the network's task runs already"),
        },
        Err(error) => defmt::panic!("cannot start: {}", error),
    }
}

#[embassy_executor::task]
async fn net(mut runner: TcpRunner<Device>) {
    runner.run().await;
}

/// 400 MHz for the core, 200 for the buses, 100 for peripherals, from the internal oscillator: the external clock comes from the debugger's
/// chip and may be missing. Ethernet has the PHY's clock. HSI48 is the random number generator's.
fn clocks() -> Config {
    let mut config = Config::default();
    let rcc = &mut config.rcc;
    rcc.csi = true;
    rcc.hsi48 = Some(Hsi48Config::default());
    rcc.pll1 = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL50,
        fracn: None,
        divp: Some(PllDiv::DIV2),
        divq: None,
        divr: None,
    });
    rcc.sys = Sysclk::PLL1_P;
    rcc.ahb_pre = AHBPrescaler::DIV2;
    rcc.apb1_pre = APBPrescaler::DIV2;
    rcc.apb2_pre = APBPrescaler::DIV2;
    rcc.apb3_pre = APBPrescaler::DIV2;
    rcc.apb4_pre = APBPrescaler::DIV2;
    rcc.voltage_scale = VoltageScale::Scale1;
    config
}

/// Several flags are set by any reset, the watchdog's pulls the pin as well: the most particular one tells.
fn reset_cause() -> &'static str {
    let flags = pac::RCC.rsr().read();
    pac::RCC.rsr().modify(|w| w.set_rmvf(true));
    let by_mark = restart::take_cause();
    if flags.iwdg1rstf() || flags.wwdg1rstf() {
        "watchdog"
    } else if flags.sftrstf() {
        by_mark.unwrap_or("software")
    } else if flags.lpwrrstf() {
        "low power"
    } else if flags.porrstf() {
        "power-on"
    } else if flags.borrstf() {
        "brown-out"
    } else if flags.pinrstf() {
        "pin"
    } else {
        "unknown"
    }
}

/// Bytes that the hardware vouches for; where it does not, the watchdog restarts a board that never had a key.
async fn random<const N: usize>(rng: &mut Rng<'_, RNG>) -> [u8; N] {
    let mut bytes = [0; N];
    while let Err(error) = rng.async_fill_bytes(&mut bytes).await {
        defmt::error!("random number generator: {}", error);
        embassy_time::Timer::after_millis(10).await;
    }
    bytes
}
