//! A driver for the SMSC LAN9118 family of Ethernet controllers (LAN9118, LAN9220), by programmed I/O. Names are the data sheet's.
//!
//! Frames are moved word by word between the chip's FIFOs and one buffer. Interrupts: a frame came in, room was made, the PHY has news,
//! an error. The handler masks them and wakes the task, which unmasks them when it finds nothing to do.

use core::mem;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;

use super::lines::Line;

const RX_DATA_FIFO: usize = 0x00;
const TX_DATA_FIFO: usize = 0x20;
const RX_STATUS_FIFO: usize = 0x40;
const TX_STATUS_FIFO: usize = 0x48;
const ID_REV: usize = 0x50;
const IRQ_CFG: usize = 0x54;
const INT_STS: usize = 0x58;
const INT_EN: usize = 0x5c;
const BYTE_TEST: usize = 0x64;
const FIFO_INT: usize = 0x68;
const RX_CFG: usize = 0x6c;
const TX_CFG: usize = 0x70;
const HW_CFG: usize = 0x74;
const RX_FIFO_INF: usize = 0x7c;
const TX_FIFO_INF: usize = 0x80;
const RX_DROP: usize = 0xa0;
const MAC_CSR_CMD: usize = 0xa4;
const MAC_CSR_DATA: usize = 0xa8;

/// What [`BYTE_TEST`] reads where bytes are in order.
const BYTE_TEST_VALUE: u32 = 0x8765_4321;

/// Interrupt output: driven (not open drain), active high, enabled.
const IRQ_CFG_PUSH_PULL_HIGH: u32 = 1 << 8 | 1 << 4 | 1 << 0;
const INT_PHY: u32 = 1 << 18;
const INT_RXE: u32 = 1 << 14;
const INT_TXE: u32 = 1 << 13;
const INT_TDFA: u32 = 1 << 9;
const INT_RXDF: u32 = 1 << 6;
const INT_RSFF: u32 = 1 << 4;
const INT_RSFL: u32 = 1 << 3;
/// What always wakes the task.
const INT_NEWS: u32 = INT_PHY | INT_RXE | INT_TXE | INT_RXDF | INT_RSFF | INT_RSFL;

/// TX data FIFO space that counts as room, in units of 64 bytes: a whole frame with its commands.
const ROOM_UNITS: u32 = 25;
const ROOM: u32 = ROOM_UNITS * 64;
const _: () = assert!(ROOM as usize >= MAX_FRAME + 2 * size_of::<u32>());

const RX_CFG_DUMP: u32 = 1 << 15;
const TX_CFG_STATUS_DUMP: u32 = 1 << 15;
const TX_CFG_DATA_DUMP: u32 = 1 << 14;
const TX_CFG_ON: u32 = 1 << 1;
const TX_CFG_STOP: u32 = 1 << 0;
const HW_CFG_MUST_BE_ONE: u32 = 1 << 20;
/// 5 KiB for what goes out; the rest is for what comes in.
const HW_CFG_TX_FIFO_KIB: u32 = 5 << 16;
const HW_CFG_RESET: u32 = 1 << 0;

const CSR_BUSY: u32 = 1 << 31;
const CSR_READ: u32 = 1 << 30;
const MAC_CR: u32 = 1;
const ADDRH: u32 = 2;
const ADDRL: u32 = 3;
const MII_ACC: u32 = 6;
const MII_DATA: u32 = 7;
const MAC_CR_FULL_DUPLEX: u32 = 1 << 20;
const MAC_CR_TX_ON: u32 = 1 << 3;
const MAC_CR_RX_ON: u32 = 1 << 2;
const MAC_CR_PASS_GROUPS: u32 = 1 << 19;
/// Perfect filter: our own address and broadcast come in, other stations' frames do not. IPv6 asks for addresses by groups.
const MAC_CR_RUN: u32 =
    MAC_CR_FULL_DUPLEX | MAC_CR_TX_ON | MAC_CR_RX_ON | if cfg!(feature = "ipv6") { MAC_CR_PASS_GROUPS } else { 0 };

const PHY: u32 = 1;
const MII_BUSY: u32 = 1 << 0;
const MII_WRITE: u32 = 1 << 1;
const PHY_CONTROL: u32 = 0;
const PHY_STATUS: u32 = 1;
const PHY_INT_SOURCE: u32 = 29;
const PHY_INT_MASK: u32 = 30;
const PHY_CONTROL_AUTONEGOTIATE: u32 = 1 << 12 | 1 << 9;
const PHY_STATUS_LINK: u32 = 1 << 2;
const PHY_INT_LINK_DOWN: u32 = 1 << 4;
const PHY_INT_AUTONEGOTIATED: u32 = 1 << 6;

const RX_STATUS_ERROR: u32 = 1 << 15;
const TX_CMD_FIRST_SEGMENT: u32 = 1 << 13;
const TX_CMD_LAST_SEGMENT: u32 = 1 << 12;

/// Bytes of the check sequence behind each frame in the RX FIFO.
const CHECK_SEQUENCE: usize = 4;
/// The longest frame without check sequence.
const MAX_FRAME: usize = 1_514;
const MIN_FRAME: usize = 14;
const FRAME_WORDS: usize = MAX_FRAME.div_ceil(4);
/// How many damaged frames are passed over at a time.
const MOST_DAMAGED: u32 = 16;
/// How often a busy register is asked before the chip counts as dead; far more than it ever takes.
const PATIENCE: u32 = 100_000;

static WAKER: AtomicWaker = AtomicWaker::new();
/// Where the chip is, for the interrupt handler; 0 before it is started.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Frames that came in damaged, with a length that no frame has, or found no room in the chip. It wraps.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Returns how many frames were lost: damaged, of a length that no frame has, or without room in the chip. It wraps.
pub fn frames_lost() -> u32 {
    LOST.load(Ordering::Relaxed)
}

/// Why the chip cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, defmt::Format)]
pub enum InitError {
    /// What answers at this address is no chip of the family: what BYTE_TEST read.
    NoChip(u32),
    /// A register stayed busy.
    Timeout,
}

/// The chip.
pub struct Lan9118 {
    registers: Registers,
    addr: [u8; 6],
    link: LinkState,
    /// Somebody asked for room in vain since there was some.
    is_room_wanted: bool,
    buffers: &'static mut Buffers,
}

/// The frame that came in last, and the one that goes out: an answer is written while its question is still read.
pub struct Buffers {
    incoming: Buffer,
    outgoing: Buffer,
}

impl Buffers {
    /// Makes empty buffers, in a constant if wished.
    pub const fn new() -> Buffers {
        Buffers { incoming: [0; FRAME_WORDS], outgoing: [0; FRAME_WORDS] }
    }
}

impl Default for Buffers {
    fn default() -> Buffers {
        Buffers::new()
    }
}

/// One frame, in the words the FIFOs take.
type Buffer = [u32; FRAME_WORDS];

/// The chip's registers.
#[derive(Clone, Copy)]
struct Registers {
    base: usize,
}

impl Registers {
    fn read(self, offset: usize) -> u32 {
        // SAFETY: `base` is the chip's address, which `Lan9118::new`'s caller has vouched for, and `offset` one of its registers.
        unsafe { ((self.base + offset) as *const u32).read_volatile() }
    }

    fn write(self, offset: usize, value: u32) {
        // SAFETY: as for reading.
        unsafe { ((self.base + offset) as *mut u32).write_volatile(value) }
    }

    fn wait_while(self, mut is_busy: impl FnMut(Registers) -> bool) -> Result<(), InitError> {
        for _ in 0..PATIENCE {
            if !is_busy(self) {
                return Ok(());
            }
        }
        Err(InitError::Timeout)
    }

    fn read_mac(self, register: u32) -> Result<u32, InitError> {
        self.write(MAC_CSR_CMD, CSR_BUSY | CSR_READ | register);
        self.wait_while(|r| r.read(MAC_CSR_CMD) & CSR_BUSY != 0)?;
        Ok(self.read(MAC_CSR_DATA))
    }

    fn write_mac(self, register: u32, value: u32) -> Result<(), InitError> {
        self.write(MAC_CSR_DATA, value);
        self.write(MAC_CSR_CMD, CSR_BUSY | register);
        self.wait_while(|r| r.read(MAC_CSR_CMD) & CSR_BUSY != 0)
    }

    fn wait_for_phy(self) -> Result<(), InitError> {
        for _ in 0..PATIENCE {
            if self.read_mac(MII_ACC)? & MII_BUSY == 0 {
                return Ok(());
            }
        }
        Err(InitError::Timeout)
    }

    fn read_phy(self, register: u32) -> Result<u32, InitError> {
        self.wait_for_phy()?;
        self.write_mac(MII_ACC, PHY << 11 | register << 6 | MII_BUSY)?;
        self.wait_for_phy()?;
        self.read_mac(MII_DATA)
    }

    fn write_phy(self, register: u32, value: u32) -> Result<(), InitError> {
        self.wait_for_phy()?;
        self.write_mac(MII_DATA, value)?;
        self.write_mac(MII_ACC, PHY << 11 | register << 6 | MII_WRITE | MII_BUSY)?;
        self.wait_for_phy()
    }
}

impl Lan9118 {
    /// Resets the chip and starts it.
    ///
    /// # Safety
    /// `base` must be the address of a chip of the family, which nothing else uses.
    ///
    /// # Errors
    /// [`InitError`].
    pub unsafe fn new(base: usize, buffers: &'static mut Buffers) -> Result<Lan9118, InitError> {
        let registers = Registers { base };
        let test = registers.read(BYTE_TEST);
        if test != BYTE_TEST_VALUE {
            return Err(InitError::NoChip(test));
        }
        registers.write(HW_CFG, HW_CFG_RESET);
        registers.wait_while(|r| r.read(HW_CFG) & HW_CFG_RESET != 0)?;
        registers.write(HW_CFG, HW_CFG_MUST_BE_ONE | HW_CFG_TX_FIFO_KIB);
        registers.write(INT_EN, 0);
        registers.write(INT_STS, u32::MAX);
        registers.write(IRQ_CFG, IRQ_CFG_PUSH_PULL_HIGH);
        // A wake-up for the first frame in, and for room for a whole frame out.
        registers.write(FIFO_INT, ROOM_UNITS << 24);
        let mut chip = Lan9118 {
            registers,
            addr: read_address(registers)?,
            link: LinkState::Down,
            is_room_wanted: false,
            buffers,
        };
        registers.write_phy(PHY_CONTROL, PHY_CONTROL_AUTONEGOTIATE)?;
        registers.write_phy(PHY_INT_MASK, PHY_INT_LINK_DOWN | PHY_INT_AUTONEGOTIATED)?;
        chip.link = chip.read_link();
        registers.write(RX_CFG, 0);
        registers.write(TX_CFG, TX_CFG_ON);
        registers.write_mac(MAC_CR, MAC_CR_RUN)?;
        registers.write(INT_EN, INT_NEWS);
        BASE.store(base, Ordering::Release);
        Line::Ethernet.enable();
        Ok(chip)
    }

    /// Returns the chip's identity, as ID_REV has it.
    pub fn id(&self) -> u32 {
        self.registers.read(ID_REV)
    }

    /// Returns the Ethernet address that the chip loaded from its EEPROM.
    pub fn address(&self) -> [u8; 6] {
        self.addr
    }

    /// Returns whether the cable leads to another end, as of the last time that anything was asked for.
    pub fn is_link_up(&self) -> bool {
        self.link == LinkState::Up
    }

    /// A chip that does not answer any more has no link.
    fn read_link(&self) -> LinkState {
        // The first read tells what has been since the last, the second what is.
        let _ = self.registers.read_phy(PHY_STATUS);
        match self.registers.read_phy(PHY_STATUS) {
            Ok(status) if status & PHY_STATUS_LINK != 0 => LinkState::Up,
            Ok(_) | Err(InitError::Timeout | InitError::NoChip(_)) => LinkState::Down,
        }
    }

    /// Looks at what the interrupts told.
    fn mind_news(&mut self) {
        let news = self.registers.read(INT_STS) & (INT_PHY | INT_RXE | INT_TXE | INT_RXDF | INT_RSFF);
        if news == 0 {
            return;
        }
        self.registers.write(INT_STS, news);
        if news & INT_PHY != 0 {
            // Reading tells the PHY that its news was heard.
            let _ = self.registers.read_phy(PHY_INT_SOURCE);
            self.link = self.read_link();
        }
        if news & INT_RXE != 0 {
            self.restart_receiver();
        }
        if news & INT_TXE != 0 {
            self.restart_transmitter();
        }
        if news & (INT_RXDF | INT_RSFF) != 0 {
            LOST.fetch_add(self.registers.read(RX_DROP), Ordering::Relaxed);
        }
    }

    fn restart_receiver(&mut self) {
        defmt::warn!("Ethernet: the receiver has lost its place and is restarted");
        let _ = self.registers.write_mac(MAC_CR, MAC_CR_RUN & !MAC_CR_RX_ON);
        self.registers.write(RX_CFG, RX_CFG_DUMP);
        let _ = self.registers.wait_while(|r| r.read(RX_CFG) & RX_CFG_DUMP != 0);
        let _ = self.registers.write_mac(MAC_CR, MAC_CR_RUN);
    }

    fn restart_transmitter(&mut self) {
        defmt::warn!("Ethernet: the transmitter has lost its place and is restarted");
        self.registers.write(TX_CFG, TX_CFG_STOP);
        let _ = self.registers.wait_while(|r| r.read(TX_CFG) & TX_CFG_STOP != 0);
        self.registers.write(TX_CFG, TX_CFG_STATUS_DUMP | TX_CFG_DATA_DUMP);
        self.registers.write(TX_CFG, TX_CFG_ON);
    }

    /// Moves the next good frame into the buffer; gives its length.
    fn take_frame(&mut self) -> Option<usize> {
        for _ in 0..MOST_DAMAGED {
            if self.registers.read(RX_FIFO_INF) >> 16 & 0xff == 0 {
                return None;
            }
            let status = self.registers.read(RX_STATUS_FIFO);
            let stored = (status >> 16 & 0x3fff) as usize;
            let len = stored.saturating_sub(CHECK_SEQUENCE);
            let is_good = status & RX_STATUS_ERROR == 0 && (MIN_FRAME..=MAX_FRAME).contains(&len);
            self.read_frame(stored.div_ceil(4));
            if is_good {
                return Some(len);
            }
            LOST.fetch_add(1, Ordering::Relaxed);
        }
        // More of them wait: others have their turn first.
        Line::Ethernet.pend();
        None
    }

    /// Every word must be read, also those that are kept nowhere: the chip's own way to skip them leaves it deaf after an oversized frame.
    fn read_frame(&mut self, words: usize) {
        for at in 0..words {
            let word = self.registers.read(RX_DATA_FIFO);
            if let Some(place) = self.buffers.incoming.get_mut(at) {
                *place = word.to_le();
            }
        }
    }

    /// Returns whether a whole frame can go out; if not, the task is woken when it can.
    fn has_room(&mut self, waker: &mut Context<'_>) -> bool {
        // What became of earlier frames is of no interest, but a full status FIFO stops the transmitter.
        while self.registers.read(TX_FIFO_INF) >> 16 & 0xff != 0 {
            self.registers.read(TX_STATUS_FIFO);
        }
        if self.is_room_there() {
            return true;
        }
        WAKER.register(waker.waker());
        self.registers.write(INT_STS, INT_TDFA);
        // Frames wait until their answers have room, and must not wake us for nothing.
        self.registers.write(INT_EN, INT_NEWS & !INT_RSFL | INT_TDFA);
        // It may have been made since.
        self.is_room_there()
    }

    fn is_room_there(&self) -> bool {
        self.registers.read(TX_FIFO_INF) & 0xffff >= ROOM
    }
}

/// A frame's bytes, in the order they have on the wire.
fn bytes_of(buffer: &mut Buffer, len: usize) -> &mut [u8] {
    // SAFETY: any bytes are a valid `u32` and the other way round, and `u8` has no alignment to keep: nothing is left over.
    let (_, bytes, _) = unsafe { buffer.align_to_mut::<u8>() };
    &mut bytes[..len]
}

fn read_address(registers: Registers) -> Result<[u8; 6], InitError> {
    let [a, b, c, d] = registers.read_mac(ADDRL)?.to_le_bytes();
    let [e, f, ..] = registers.read_mac(ADDRH)?.to_le_bytes();
    Ok([a, b, c, d, e, f])
}

/// Masks the chip's interrupts until whoever polls it has found nothing to do, and wakes the task that does.
pub fn on_interrupt() {
    let registers = Registers { base: BASE.load(Ordering::Acquire) };
    registers.write(INT_EN, 0);
    WAKER.wake();
}

impl Driver for Lan9118 {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Room<'_>)> {
        self.mind_news();
        // A frame taken in may want an answer.
        if !self.has_room(cx) {
            return None;
        }
        let mut frame = self.take_frame();
        if frame.is_none() {
            WAKER.register(cx.waker());
            self.registers.write(INT_STS, INT_RSFL);
            self.registers.write(INT_EN, INT_NEWS);
            // It may have come in since.
            frame = self.take_frame();
            if frame.is_none() && mem::take(&mut self.is_room_wanted) {
                // There is room by now, and its interrupt was just masked.
                Line::Ethernet.pend();
            }
        }
        let len = frame?;
        let Lan9118 { registers, buffers: Buffers { incoming, outgoing }, .. } = self;
        Some((Received { buffer: incoming, len }, Room { registers: *registers, buffer: outgoing }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Room<'_>> {
        let has_room = self.has_room(cx);
        self.is_room_wanted = !has_room;
        let Lan9118 { registers, buffers, .. } = self;
        has_room.then_some(Room { registers: *registers, buffer: &mut buffers.outgoing })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        WAKER.register(cx.waker());
        self.mind_news();
        self.link
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.addr)
    }
}

/// A frame that came in.
pub struct Received<'c> {
    buffer: &'c mut Buffer,
    len: usize,
}

impl RxToken for Received<'_> {
    fn consume<R, F>(self, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        f(bytes_of(self.buffer, self.len))
    }
}

/// Room for a frame to go out.
pub struct Room<'c> {
    registers: Registers,
    buffer: &'c mut Buffer,
}

impl TxToken for Room<'_> {
    /// Frames longer than the driver's MTU are cut: whoever asks for one has not asked for the MTU.
    fn consume<R, F>(self, len: usize, f: F) -> R
    where
        F: FnOnce(&mut [u8]) -> R,
    {
        let Room { registers, buffer } = self;
        let len = len.min(MAX_FRAME);
        let result = f(bytes_of(buffer, len));
        registers.write(TX_DATA_FIFO, TX_CMD_FIRST_SEGMENT | TX_CMD_LAST_SEGMENT | len as u32);
        registers.write(TX_DATA_FIFO, len as u32);
        for word in &buffer[..len.div_ceil(4)] {
            registers.write(TX_DATA_FIFO, u32::from_le(*word));
        }
        result
    }
}
