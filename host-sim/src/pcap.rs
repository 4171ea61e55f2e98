//! Frames in a pcapng file, with the rule or reason of each as its comment.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption};
use tcp_reset_core::Instant;

/// The capture could not be written: no scenario's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaptureFailed;

impl fmt::Display for CaptureFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot write to the capture")
    }
}

/// A capture being written. Each frame is in the file when [`Capture::add`] returns, so that an end by a signal loses none.
pub struct Capture {
    writer: PcapNgWriter<BufWriter<File>>,
    /// Added to a frame's time. A scenario is dated from the moment it began, or from the last frame, where virtual time has run ahead.
    offset: Duration,
    /// When the last frame was seen. No frame is dated earlier.
    last: Duration,
    /// What the next frame begins with.
    marker: Option<String>,
}

impl Capture {
    /// Creates the file, replacing an older one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> Result<Capture> {
        let file = File::create(path).with_context(|| format!("cannot create the capture {}", path.display()))?;
        let mut writer = PcapNgWriter::new(BufWriter::new(file)).context("cannot begin the capture")?;
        let interface = InterfaceDescriptionBlock {
            linktype: DataLink::ETHERNET,
            snaplen: 0,
            // Times in nanoseconds, which is what this library writes.
            options: vec![InterfaceDescriptionOption::IfTsResol(9)],
        };
        writer.write_pcapng_block(interface).context("cannot begin the capture")?;
        Ok(Capture { writer, offset: wall_clock(), last: Duration::ZERO, marker: None })
    }

    /// Begins a scenario, at `now` on its clock: its first frame carries `marker` as a comment.
    pub fn begin(&mut self, now: Instant, marker: String) {
        self.offset = wall_clock().max(self.last).saturating_sub(since_zero(now));
        self.marker = Some(marker);
    }

    /// Adds a frame seen at `now`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn add(&mut self, now: Instant, frame: &[u8], comment: Option<&str>) -> Result<()> {
        self.last = self.last.max(self.offset + since_zero(now));
        let comments = [self.marker.take(), comment.map(str::to_owned)].into_iter().flatten();
        let options = comments.map(|text| EnhancedPacketOption::Comment(Cow::Owned(text))).collect();
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: self.last,
            original_len: frame.len() as u32,
            data: Cow::Borrowed(frame),
            options,
        };
        self.writer.write_pcapng_block(block).context(CaptureFailed)?;
        self.writer.get_mut().flush().context(CaptureFailed)
    }
}

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn since_zero(now: Instant) -> Duration {
    Duration::from_micros(now.as_micros())
}

#[cfg(test)]
mod tests {
    use pcap_file::pcapng::{Block, PcapNgReader};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn timestamps(path: &Path) -> Vec<Duration> {
        let mut reader = PcapNgReader::new(File::open(path).unwrap()).unwrap();
        let mut timestamps = Vec::new();
        while let Some(block) = reader.next_block() {
            if let Block::EnhancedPacket(packet) = block.unwrap() {
                timestamps.push(packet.timestamp);
            }
        }
        timestamps
    }

    #[test]
    fn scenario_after_one_on_virtual_time_is_dated_from_its_last_frame() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut capture = Capture::create(file.path()).unwrap();
        for _ in 0..2 {
            capture.begin(Instant::ZERO, "a scenario".into());
            capture.add(Instant::ZERO, &[0; 60], None).unwrap();
            capture.add(Instant::ZERO + DAY, &[0; 60], None).unwrap();
        }
        let timestamps = timestamps(file.path());
        let steps: Vec<_> = timestamps.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert_eq!(steps, [DAY, Duration::ZERO, DAY]);
    }
}
