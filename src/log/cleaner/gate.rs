//! Who may clean a log: one cleaner at a time, and nobody while it is paused.
//! Source: the states of `LogCleanerManager` of Kafka 3.9.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::log::handle::LogHandle;

/// See the head of the file.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    ended: Condvar,
    /// The cleaning that runs should give up.
    give_up: AtomicBool,
    /// A cleaning failed for a reason that will not go away; cleared by a restart only.
    uncleanable: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    running: bool,
    pauses: usize,
}

/// A log that is being cleaned, until this is dropped.
pub struct Cleaning<'a>(&'a Gate);

impl Cleaning<'_> {
    /// Does somebody wait for it to end?
    pub fn should_give_up(&self) -> bool {
        self.0.give_up.load(Ordering::Acquire)
    }
}

impl Drop for Cleaning<'_> {
    fn drop(&mut self) {
        self.0.state.lock().running = false;
        self.0.ended.notify_all();
    }
}

/// Keeps a log from being cleaned until it is dropped.
#[derive(Debug)]
pub struct CleaningPaused(Arc<LogHandle>);

impl Drop for CleaningPaused {
    fn drop(&mut self) {
        let gate = self.0.gate();
        let mut state = gate.state.lock();
        state.pauses -= 1;
        if state.pauses == 0 {
            gate.give_up.store(false, Ordering::Release);
        }
    }
}

impl LogHandle {
    /// Stops a cleaning of this log that runs, waits for its end, and lets none begin until the guard is dropped. For
    /// deletion and for moves between log dirs; truncation does without. Never with the log's lock held.
    pub fn pause_cleaning(self: &Arc<Self>) -> CleaningPaused {
        let gate = self.gate();
        let mut state = gate.state.lock();
        state.pauses += 1;
        gate.give_up.store(true, Ordering::Release);
        while state.running {
            gate.ended.wait(&mut state);
        }
        drop(state);
        CleaningPaused(self.clone())
    }

    /// Claims the log for a cleaning; `None` if it is paused, claimed or uncleanable.
    pub(super) fn begin_cleaning(&self) -> Option<Cleaning<'_>> {
        let gate = self.gate();
        let mut state = gate.state.lock();
        let free = !state.running && state.pauses == 0 && !self.is_uncleanable();
        state.running |= free;
        // Made only if it is given out: its end would be that of the cleaning that runs.
        free.then(|| Cleaning(gate))
    }

    /// Has a cleaning failed for a reason that will not go away?
    pub fn is_uncleanable(&self) -> bool {
        self.gate().uncleanable.load(Ordering::Acquire)
    }

    pub(super) fn mark_uncleanable(&self) {
        self.gate().uncleanable.store(true, Ordering::Release);
    }
}
