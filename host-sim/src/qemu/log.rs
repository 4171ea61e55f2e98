//! The firmware's log: defmt's frames from QEMU's standard output, as lines.

use std::fmt;
use std::io::Read;
use std::process::ChildStdout;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result, bail};
use defmt_decoder::{DecodeError, Table};

/// Bytes read at a time.
const CHUNK: usize = 4_096;

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// "info", "warn", ...; empty for plain output.
    pub(super) level: &'static str,
    pub(super) text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let style = match self.level {
            "error" => AnsiColor::Red.on_default().bold(),
            "warn" => AnsiColor::Yellow.on_default(),
            "info" => AnsiColor::Green.on_default(),
            _ => Style::new().dimmed(),
        };
        write!(f, "{style}{:<5}{style:#} {}", self.level, self.text)
    }
}

#[derive(Default)]
struct Lines {
    lines: Vec<Line>,
    /// The machine whose log it is: what an older one still says is not heard.
    machine: u32,
    /// It has ended.
    is_over: bool,
}

/// Everything the firmware has logged since the last power-on.
#[derive(Clone)]
pub(super) struct Log {
    lines: Arc<(Mutex<Lines>, Condvar)>,
    table: Arc<Table>,
    is_printed: bool,
}

impl Log {
    /// Reads the log's strings from the image.
    pub(super) fn of_image(image: &[u8], is_printed: bool) -> Result<Log> {
        let table = Table::parse(image).context("cannot read the log's strings from the image")?;
        let table = table.context("the image holds no log strings (no section .defmt)")?;
        Ok(Log { lines: Arc::default(), table: Arc::new(table), is_printed })
    }

    /// Forgets the lines, and follows a machine's output until it ends: then the thread does.
    pub(super) fn follow(&self, output: ChildStdout) -> JoinHandle<()> {
        let machine = {
            let mut log = self.lock();
            *log = Lines { machine: log.machine + 1, ..Lines::default() };
            log.machine
        };
        let log = self.clone();
        thread::spawn(move || {
            log.read(output, machine);
            let mut lines = log.lock();
            lines.is_over |= lines.machine == machine;
            log.lines.1.notify_all();
        })
    }

    fn read(&self, mut output: ChildStdout, machine: u32) {
        let mut decoder = self.table.new_stream_decoder();
        let mut buf = [0; CHUNK];
        // An error is an end as well: the machine is gone.
        while let Ok(n @ 1..) = output.read(&mut buf) {
            decoder.received(&buf[..n]);
            loop {
                match decoder.decode() {
                    Ok(frame) => {
                        let level = frame.level().map_or("", |level| level.as_str());
                        self.add(machine, Line { level, text: frame.display_message().to_string() });
                    }
                    Err(DecodeError::UnexpectedEof) => break,
                    Err(DecodeError::Malformed) => {
                        self.add(machine, Line { level: "warn", text: "(log frame damaged)".into() });
                        break;
                    }
                }
            }
        }
    }

    fn add(&self, machine: u32, line: Line) {
        let mut log = self.lock();
        if log.machine != machine {
            return;
        }
        if self.is_printed {
            anstream::println!("{line}");
        }
        log.lines.push(line);
        self.lines.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what was logged.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.lock().lines.clone()
    }

    /// Returns how many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    /// Waits for a line with this in it, from the `from`th on; gives its place.
    ///
    /// # Errors
    /// If none comes in time, or before the machine ends; the last lines are told.
    pub(super) fn wait_for(&self, text: &str, from: usize, patience: Duration) -> Result<usize> {
        let end = Instant::now() + patience;
        let mut log = self.lock();
        loop {
            let found = log.lines.iter().enumerate().skip(from).find(|(_, line)| line.text.contains(text));
            if let Some((at, _)) = found {
                return Ok(at);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || log.is_over {
                let last: Vec<_> = log.lines.iter().rev().take(5).rev().map(|line| line.text.as_str()).collect();
                let when = if log.is_over { "before it ended".into() } else { format!("in {} s", patience.as_secs()) };
                bail!("the firmware did not log \"{text}\" {when}; its last lines: {last:?}");
            }
            let waited = self.lines.1.wait_timeout(log, left);
            log = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
