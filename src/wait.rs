//! Waiting without naming an executor: one-shot slots, level-triggered signals, deadlines.
//!
//! Handlers, the replica manager and the coordinators await only these types, so that tokio can poll them in
//! production and a simulator can poll them on its own clock. The one place that names tokio is [`TokioRuntime`].

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::time::Millis;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a component needs from the executor that runs it: sleeping and starting tasks.
pub trait Runtime: Send + Sync + 'static {
    /// Ends `ms` milliseconds from now; zero or less ends at the first poll.
    fn sleep(&self, ms: Millis) -> BoxFuture<'static, ()>;
    /// Runs `task` to its end in the background. Tasks end themselves: they are told by a [`Signal`] of their owner.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// The production runtime: the tokio runtime that is current when a method is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioRuntime;

impl Runtime for TokioRuntime {
    fn sleep(&self, ms: Millis) -> BoxFuture<'static, ()> {
        let duration = std::time::Duration::from_millis(ms.max(0) as u64);
        Box::pin(async move { tokio::time::sleep(duration).await })
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }
}

/// A point in time to wait for.
pub struct Deadline {
    sleep: BoxFuture<'static, ()>,
    passed: bool,
}

impl Deadline {
    /// The deadline `ms` milliseconds from now.
    pub fn after(runtime: &dyn Runtime, ms: Millis) -> Self {
        Self { sleep: runtime.sleep(ms), passed: ms <= 0 }
    }

    /// Has it passed, as far as polls have shown?
    pub fn passed(&self) -> bool {
        self.passed
    }

    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.passed {
            return Poll::Ready(());
        }
        self.sleep.as_mut().poll(cx).map(|()| self.passed = true)
    }

    /// Waits for `work`, but no longer than the deadline: `None` if that came first. `work` is asked first, so that
    /// a result that is there is never thrown away.
    pub async fn limit<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => self.poll_passed(cx).map(|()| None),
        })
        .await
    }
}

/// Whichever of two futures ends first.
pub enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for the first of two futures and drops the other; `left` is asked first.
pub async fn first<A: Future, B: Future>(left: A, right: B) -> First<A::Output, B::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| match left.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(First::Left(value)),
        Poll::Pending => right.as_mut().poll(cx).map(First::Right),
    })
    .await
}

/// The receiving end of a one-shot value. Resolves to `None` if the [`Fill`] was dropped unused.
pub struct Slot<T> {
    shared: Arc<Mutex<SlotState<T>>>,
}

/// The giving end of a [`Slot`].
pub struct Fill<T> {
    shared: Option<Arc<Mutex<SlotState<T>>>>,
}

struct SlotState<T> {
    value: Option<T>,
    filler_gone: bool,
    waker: Option<Waker>,
}

/// A one-shot slot and its filler.
pub fn slot<T>() -> (Fill<T>, Slot<T>) {
    let shared = Arc::new(Mutex::new(SlotState { value: None, filler_gone: false, waker: None }));
    (Fill { shared: Some(shared.clone()) }, Slot { shared })
}

impl<T> Fill<T> {
    /// Gives the value and wakes the waiter.
    pub fn fill(mut self, value: T) {
        self.finish(Some(value));
    }

    fn finish(&mut self, value: Option<T>) {
        let Some(shared) = self.shared.take() else { return };
        let waker = {
            let mut state = shared.lock();
            state.value = value;
            state.filler_gone = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Fill<T> {
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl<T> Future for Slot<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        if state.filler_gone {
            return Poll::Ready(state.value.take());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A level-triggered signal with one waiter: `set` before `wait` is not lost, and several `set`s count as one.
#[derive(Clone, Default)]
pub struct Signal {
    shared: Arc<Mutex<SignalState>>,
}

#[derive(Default)]
struct SignalState {
    set: bool,
    waker: Option<Waker>,
}

impl Signal {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the signal and wakes the waiter.
    pub fn set(&self) {
        let waker = {
            let mut state = self.shared.lock();
            state.set = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Waits until the signal is set, and clears it.
    pub async fn wait(&self) {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if std::mem::take(&mut state.set) {
                return Poll::Ready(());
            }
            state.waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// A runtime with a clock moved by hand, for tests: `spawn` collects tasks that [`ManualRuntime::run`] polls until all
/// of them wait. Not for production: every `run` polls every task.
#[derive(Clone, Default)]
pub struct ManualRuntime {
    inner: Arc<Mutex<Manual>>,
}

#[derive(Default)]
struct Manual {
    now: Millis,
    sleepers: BTreeMap<(Millis, u64), Waker>,
    next_id: u64,
    tasks: Vec<BoxFuture<'static, ()>>,
}

impl ManualRuntime {
    pub fn new() -> Self {
        Self::default()
    }

    /// Milliseconds since the runtime was made.
    pub fn now_ms(&self) -> Millis {
        self.inner.lock().now
    }

    /// Moves the clock and wakes the sleepers whose time has come.
    pub fn advance(&self, ms: Millis) {
        let woken: Vec<Waker> = {
            let mut inner = self.inner.lock();
            inner.now += ms;
            let now = inner.now;
            let later = inner.sleepers.split_off(&(now + 1, 0));
            std::mem::replace(&mut inner.sleepers, later).into_values().collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Polls all spawned tasks, again and again, until none makes progress in `rounds` rounds.
    pub fn run(&self, rounds: usize) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..rounds {
            let tasks = std::mem::take(&mut self.inner.lock().tasks);
            let mut left: Vec<_> =
                tasks.into_iter().filter_map(|mut t| t.as_mut().poll(&mut cx).is_pending().then_some(t)).collect();
            let mut inner = self.inner.lock();
            left.append(&mut inner.tasks);
            inner.tasks = left;
        }
    }
}

impl Runtime for ManualRuntime {
    fn sleep(&self, ms: Millis) -> BoxFuture<'static, ()> {
        let inner = self.inner.clone();
        let (until, id) = {
            let mut manual = inner.lock();
            manual.next_id += 1;
            (manual.now + ms.max(0), manual.next_id)
        };
        Box::pin(poll_fn(move |cx| {
            let mut manual = inner.lock();
            if manual.now >= until {
                return Poll::Ready(());
            }
            manual.sleepers.insert((until, id), cx.waker().clone());
            Poll::Pending
        }))
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.inner.lock().tasks.push(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn slot_gives_its_value_once_filled() {
        let (fill, slot) = slot();
        let mut slot = pin!(slot);
        assert_eq!(poll_once(slot.as_mut()), Poll::Pending);
        fill.fill(7);
        assert_eq!(poll_once(slot.as_mut()), Poll::Ready(Some(7)));
    }

    #[test]
    fn slot_ends_when_the_filler_is_dropped() {
        let (fill, slot) = slot::<u8>();
        drop(fill);
        assert_eq!(poll_once(pin!(slot)), Poll::Ready(None));
    }

    #[test]
    fn signal_is_not_lost_and_counts_once() {
        let signal = Signal::new();
        signal.set();
        signal.set();
        assert_eq!(poll_once(pin!(signal.wait())), Poll::Ready(()));
        assert_eq!(poll_once(pin!(signal.wait())), Poll::Pending);
    }

    #[test]
    fn deadline_limits_work_but_keeps_results() {
        let runtime = ManualRuntime::new();
        let mut deadline = Deadline::after(&runtime, 10);
        {
            let mut work = pin!(deadline.limit(std::future::pending::<()>()));
            assert_eq!(poll_once(work.as_mut()), Poll::Pending);
            runtime.advance(9);
            assert_eq!(poll_once(work.as_mut()), Poll::Pending);
            runtime.advance(1);
            assert_eq!(poll_once(work.as_mut()), Poll::Ready(None));
        }
        assert!(deadline.passed());
        assert_eq!(poll_once(pin!(deadline.limit(std::future::ready(3)))), Poll::Ready(Some(3)));
    }

    #[test]
    fn manual_runtime_runs_spawned_tasks() {
        let runtime = ManualRuntime::new();
        let (fill, slot) = slot();
        let sleep = runtime.sleep(5);
        runtime.spawn(Box::pin(async move {
            sleep.await;
            fill.fill(1);
        }));
        let mut slot = pin!(slot);
        runtime.run(2);
        assert_eq!(poll_once(slot.as_mut()), Poll::Pending);
        runtime.advance(5);
        runtime.run(1);
        assert_eq!(poll_once(slot.as_mut()), Poll::Ready(Some(1)));
    }
}
