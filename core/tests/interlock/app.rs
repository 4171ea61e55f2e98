//! Applications: each is one task or two, and a task is a list of steps that it does again and again.

use std::time::Duration;

use tcp_reset_core::{ConnectionHandle, Error, Instant, Tcp};

/// What a task does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Writes so many bytes.
    Write(usize),
    /// Reads so many bytes, and asks until it has them: with buffers of so many bytes.
    Read(usize, usize),
    /// The same, but never asks for what is not there: waits to be told each time.
    ReadWhenTold(usize),
    /// Does something else for so long.
    Pause(Duration),
}

impl Step {
    /// Bytes that it moves.
    pub(crate) fn len(self) -> usize {
        match self {
            Step::Write(len) | Step::Read(len, _) | Step::ReadWhenTold(len) => len,
            Step::Pause(_) => 0,
        }
    }
}

/// Steps that are done again and again.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    steps: Vec<Step>,
    rounds: usize,
    at: usize,
    /// Bytes of the step that are done.
    done: usize,
    until: Option<Instant>,
}

/// One side's application.
pub(crate) struct App {
    pub(crate) tasks: Vec<Task>,
    pub(crate) written: usize,
    pub(crate) read: usize,
    /// Payload can be read that was not read when it was told of.
    is_told: bool,
}

/// The byte at a place of both streams.
fn byte_at(at: usize) -> u8 {
    (at ^ (at >> 8)).wrapping_mul(29) as u8
}

fn bytes(at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(byte_at).collect()
}

impl Task {
    pub(crate) fn new(rounds: usize, steps: &[Step]) -> Task {
        Task { steps: steps.to_vec(), rounds, at: 0, done: 0, until: None }
    }

    fn step(&self) -> Option<Step> {
        (self.at < self.rounds * self.steps.len()).then(|| self.steps[self.at % self.steps.len()])
    }

    pub(crate) fn is_done(&self) -> bool {
        self.step().is_none()
    }

    fn next(&mut self) {
        (self.at, self.done, self.until) = (self.at + 1, 0, None);
    }
}

impl App {
    pub(crate) fn new(tasks: &[Task]) -> App {
        App { tasks: tasks.to_vec(), written: 0, read: 0, is_told: false }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.tasks.iter().all(Task::is_done)
    }

    /// When a task goes on by itself.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.tasks.iter().filter_map(|task| task.until).min()
    }

    /// Does all that can be done now.
    pub(crate) fn act(&mut self, tcp: &mut Tcp<'_>, handle: ConnectionHandle, now: Instant, is_told: bool) {
        self.is_told |= is_told;
        for i in 0..self.tasks.len() {
            let mut task = self.tasks[i].clone();
            while let Some(step) = task.step() {
                let is_over = match step {
                    Step::Write(len) => self.write(tcp, handle, now, len, &mut task),
                    Step::Read(len, piece) => self.read(tcp, handle, now, len, piece, &mut task),
                    Step::ReadWhenTold(len) => self.read_when_told(tcp, handle, now, len, &mut task),
                    Step::Pause(time) => now >= *task.until.get_or_insert(now + time),
                };
                if !is_over {
                    break;
                }
                task.next();
            }
            self.tasks[i] = task;
        }
    }

    fn write(
        &mut self,
        tcp: &mut Tcp<'_>,
        handle: ConnectionHandle,
        now: Instant,
        len: usize,
        task: &mut Task,
    ) -> bool {
        while task.done < len {
            match tcp.send(now, handle, &bytes(self.written, len - task.done)) {
                Ok(n) => (self.written, task.done) = (self.written + n, task.done + n),
                Err(error) => {
                    assert_eq!(error, Error::WouldBlock);
                    return false;
                }
            }
        }
        true
    }

    /// Returns how many bytes there were, or `None` if none.
    fn recv(&mut self, tcp: &mut Tcp<'_>, handle: ConnectionHandle, now: Instant, len: usize) -> Option<usize> {
        let mut buf = vec![0; len];
        match tcp.recv(now, handle, &mut buf) {
            Ok(n) => {
                assert_eq!(buf[..n], bytes(self.read, n), "bytes from {}", self.read);
                self.read += n;
                Some(n)
            }
            Err(error) => {
                assert_eq!(error, Error::WouldBlock);
                None
            }
        }
    }

    fn read(
        &mut self,
        tcp: &mut Tcp<'_>,
        handle: ConnectionHandle,
        now: Instant,
        len: usize,
        piece: usize,
        task: &mut Task,
    ) -> bool {
        while task.done < len {
            let Some(n) = self.recv(tcp, handle, now, piece.min(len - task.done)) else { return false };
            task.done += n;
        }
        true
    }

    fn read_when_told(
        &mut self,
        tcp: &mut Tcp<'_>,
        handle: ConnectionHandle,
        now: Instant,
        len: usize,
        task: &mut Task,
    ) -> bool {
        while task.done < len && self.is_told {
            let most = len - task.done;
            let n = self.recv(tcp, handle, now, most).unwrap_or(0);
            task.done += n;
            // What was left is there still, for the next step.
            self.is_told = n == most;
        }
        task.done == len
    }
}
