//! An executor that lets time pass when nobody has anything to do, and fails a test that hangs.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::clock;
use crate::net::Net;

/// How much virtual time a future is given unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many polls there may be at one moment of virtual time: more, and somebody spins.
const MOST_POLLS_AT_ONCE: u64 = 20_000;

struct Flag(AtomicBool);

impl Flag {
    fn new() -> Arc<Flag> {
        Arc::new(Flag(AtomicBool::new(true)))
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    id: usize,
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    waker: Waker,
    polls: Rc<Cell<u64>>,
}

/// What a task gives in the end.
pub struct Handle<T> {
    id: usize,
    result: Rc<RefCell<Option<T>>>,
    polls: Rc<Cell<u64>>,
}

impl<T> Handle<T> {
    pub fn is_done(&self) -> bool {
        self.result.borrow().is_some()
    }

    /// Takes the result, if it is there.
    pub fn take(&self) -> Option<T> {
        self.result.borrow_mut().take()
    }

    /// How often the task was polled.
    pub fn polls(&self) -> u64 {
        self.polls.get()
    }
}

/// Tasks, the net between the hosts, and time.
pub struct World {
    tasks: Vec<Task>,
    next_id: usize,
    pub net: Net,
    at: u64,
    polls_at_once: u64,
}

impl World {
    pub fn new() -> World {
        clock::reset();
        World { tasks: Vec::new(), next_id: 0, net: Net::new(), at: 0, polls_at_once: 0 }
    }

    /// Starts a task.
    pub fn spawn<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> Handle<T> {
        let result = Rc::new(RefCell::new(None));
        let there = result.clone();
        let flag = Flag::new();
        let id = self.next_id;
        self.next_id += 1;
        let polls = Rc::new(Cell::new(0));
        self.tasks.push(Task {
            id,
            future: Box::pin(async move {
                let value = future.await;
                *there.borrow_mut() = Some(value);
            }),
            waker: flag.clone().into(),
            flag,
            polls: polls.clone(),
        });
        Handle { id, result, polls }
    }

    /// Drops a task's future where it is.
    pub fn cancel<T>(&mut self, handle: Handle<T>) {
        self.tasks.retain(|task| task.id != handle.id);
    }

    /// Polls each task that was woken once; returns whether there was one. The devices work beside the tasks.
    fn turn(&mut self) -> bool {
        self.net.pump();
        let mut done = Vec::new();
        let mut was_any = false;
        for task in &mut self.tasks {
            if task.flag.take() {
                was_any = true;
                task.polls.set(task.polls.get() + 1);
                if task.future.as_mut().poll(&mut Context::from_waker(&task.waker)).is_ready() {
                    done.push(task.id);
                }
            }
        }
        self.tasks.retain(|task| !done.contains(&task.id));
        if was_any {
            self.count_poll();
        }
        was_any
    }

    fn count_poll(&mut self) {
        if self.at != clock::now() {
            self.at = clock::now();
            self.polls_at_once = 0;
        }
        self.polls_at_once += 1;
        assert!(self.polls_at_once < MOST_POLLS_AT_ONCE, "somebody spins: time stands still at {} us", self.at);
    }

    /// Moves frames, or else lets time pass up to `limit`; returns whether anything has happened.
    fn advance(&mut self, limit: u64) -> bool {
        if self.net.pump() {
            return true;
        }
        let next = [self.net.next_step(), clock::next_wake()].into_iter().flatten().min();
        match next {
            Some(at) if at <= limit => {
                clock::advance_to(at);
                self.net.pump();
                true
            }
            Some(_) | None => false,
        }
    }

    /// Runs until the future is done, within 30 s of virtual time.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        self.block_on_for(PATIENCE, future)
    }

    /// Runs until the future is done, within this virtual time.
    pub fn block_on_for<F: Future>(&mut self, patience: Duration, future: F) -> F::Output {
        let limit = clock::now() + patience.as_micros() as u64;
        let mut future = pin!(future);
        let flag = Flag::new();
        let waker = Waker::from(flag.clone());
        loop {
            let is_woken = flag.take();
            if is_woken {
                self.count_poll();
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return output;
                }
            }
            if !self.turn() && !is_woken && !self.advance(limit) {
                panic!("not done within {patience:?}: now {} us, next timer {:?}", clock::now(), clock::next_wake());
            }
        }
    }

    /// Runs until the task is done.
    pub fn join<T>(&mut self, handle: &Handle<T>) -> T {
        self.join_for(PATIENCE, handle)
    }

    /// Runs until the task is done, within this virtual time.
    pub fn join_for<T>(&mut self, patience: Duration, handle: &Handle<T>) -> T {
        assert!(self.run_until(patience, || handle.is_done()), "the task is not done within {patience:?}");
        handle.take().unwrap()
    }

    /// Runs until the condition holds; returns whether it does within this virtual time.
    pub fn run_until(&mut self, patience: Duration, mut is_done: impl FnMut() -> bool) -> bool {
        let limit = clock::now() + patience.as_micros() as u64;
        loop {
            if is_done() {
                return true;
            }
            if !self.turn() && !self.advance(limit) {
                return is_done();
            }
        }
    }

    /// Runs for this long.
    pub fn run_for(&mut self, time: Duration) {
        let end = clock::now() + time.as_micros() as u64;
        while self.turn() || self.advance(end) {}
        clock::advance_to(end);
    }

    /// Runs for some milliseconds: enough for a few round trips.
    pub fn run_ms(&mut self, ms: u64) {
        self.run_for(Duration::from_millis(ms));
    }
}

/// Lets the others have their turn once.
pub async fn give_way() {
    let mut has_given = false;
    std::future::poll_fn(|cx| {
        if has_given {
            return Poll::Ready(());
        }
        has_given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Both at once.
pub async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut done_a, mut done_b) = (None, None);
    std::future::poll_fn(|cx| {
        if done_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(cx)
        {
            done_a = Some(value);
        }
        if done_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(cx)
        {
            done_b = Some(value);
        }
        if done_a.is_some() && done_b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (done_a.unwrap(), done_b.unwrap())
}
