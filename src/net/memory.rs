//! The memory of requests: bounded for the whole broker, charged as bytes arrive.
//!
//! - A frame is charged in steps that follow what has arrived, never by the length it announces. Where there is no room the
//!   reader waits, so only its own socket feels the pressure. The charge lasts until the request is decided.
//! - One part is a reserve for requests of brokers ([`Class::Broker`]): a flood of produce cannot stop replication.
//! - Slow connections cannot keep the memory. A reader that has waited for [`MEMORY_PATIENCE`] looks at the frames that are
//!   half read: those that have kept us waiting for their bytes for more than [`SLOW_FRAME_PATIENCE`] are given up
//!   ([`GivenUp`] in their own tasks) and their connections closed. If no frame is slow, all of them may be waiting for
//!   memory; then the oldest goes on without, so that the bound is the limit plus one frame and nothing deadlocks.
//!
//! Kafka: `queued.max.request.bytes`, `SimpleMemoryPool`, which charges the announced length and also oversteps its limit by
//! one frame.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::limits::{MEMORY_PATIENCE, REQUEST_MEMORY_BYTES, REQUEST_MEMORY_RESERVE, SLOW_FRAME_PATIENCE};

/// Who pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Clients: the general part only.
    Client,
    /// Replication and the controller: the general part, and the reserve where that is used up.
    Broker,
}

/// The request memory of a broker.
pub struct Memory {
    general: Semaphore,
    reserve: Semaphore,
    limit: usize,
    slow_frame_patience: Duration,
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    next: u64,
    /// Frames that are being read, oldest first.
    frames: BTreeMap<u64, Reader>,
    /// The frame that may go on without memory.
    overdraft: Option<u64>,
}

struct Reader {
    /// What the frame has waited for its socket so far.
    socket_wait: Duration,
    /// It waits for its socket since then.
    waiting_since: Option<Instant>,
    waits_for_memory: bool,
    give_up: Arc<Notify>,
}

impl Reader {
    fn total_socket_wait(&self, now: Instant) -> Duration {
        self.socket_wait + self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// The frame was given up because memory was short and its bytes came slowly.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("memory was short and this frame arrived too slowly")]
pub struct GivenUp;

impl Memory {
    /// `queued_max_request_bytes` is Kafka's setting; not positive means [`REQUEST_MEMORY_BYTES`].
    pub fn new(queued_max_request_bytes: i64) -> Arc<Self> {
        let limit = usize::try_from(queued_max_request_bytes).ok().filter(|&n| n > 0).unwrap_or(REQUEST_MEMORY_BYTES);
        Self::with_limit(limit, SLOW_FRAME_PATIENCE)
    }

    /// A memory of `limit` bytes that gives up frames after `slow_frame_patience` under shortage.
    pub fn with_limit(limit: usize, slow_frame_patience: Duration) -> Arc<Self> {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let reserve = limit / REQUEST_MEMORY_RESERVE;
        Arc::new(Self {
            general: Semaphore::new(limit - reserve),
            reserve: Semaphore::new(reserve),
            limit,
            slow_frame_patience,
            readers: Mutex::default(),
        })
    }

    /// Bytes that are free (`MemoryPoolAvailable`).
    pub fn available(&self) -> usize {
        self.general.available_permits() + self.reserve.available_permits()
    }

    /// Bytes in use (`MemoryPoolUsed`), without an overdraft.
    pub fn used(&self) -> usize {
        self.limit - self.available()
    }

    /// Registers a frame that is about to be read.
    pub fn begin_frame(self: &Arc<Self>, class: Class) -> Charge {
        let give_up = Arc::new(Notify::new());
        let reader = Reader {
            socket_wait: Duration::ZERO,
            waiting_since: None,
            waits_for_memory: false,
            give_up: give_up.clone(),
        };
        let mut readers = self.readers.lock();
        let ticket = readers.next;
        readers.next += 1;
        readers.frames.insert(ticket, reader);
        drop(readers);
        Charge { memory: self.clone(), class, general: 0, reserve: 0, reading: Some(Reading { ticket, give_up }) }
    }

    fn try_take(&self, class: Class, bytes: usize) -> Option<Part> {
        let permits = permits(bytes);
        if let Ok(taken) = self.general.try_acquire_many(permits) {
            taken.forget();
            return Some(Part::General);
        }
        if class == Class::Broker {
            let taken = self.reserve.try_acquire_many(permits).ok()?;
            taken.forget();
            return Some(Part::Reserve);
        }
        None
    }

    async fn take(&self, class: Class, bytes: usize) -> Part {
        let (semaphore, part) = match class {
            Class::Client => (&self.general, Part::General),
            Class::Broker => (&self.reserve, Part::Reserve),
        };
        semaphore.acquire_many(permits(bytes)).await.expect("the semaphore is never closed").forget();
        part
    }

    /// Memory has been short for a while: gives up the slow frames, or lets the oldest go on without memory.
    fn relieve(&self) {
        let now = Instant::now();
        let mut readers = self.readers.lock();
        let slow = |reader: &&Reader| reader.total_socket_wait(now) > self.slow_frame_patience;
        let mut gave_up = false;
        for reader in readers.frames.values().filter(slow) {
            reader.give_up.notify_one();
            gave_up = true;
        }
        if gave_up {
            return;
        }
        let occupied = readers.overdraft.is_some_and(|ticket| readers.frames.contains_key(&ticket));
        if !occupied {
            readers.overdraft =
                readers.frames.iter().find(|(_, reader)| reader.waits_for_memory).map(|(&ticket, _)| ticket);
        }
    }

    fn with_reader<T>(&self, ticket: u64, action: impl FnOnce(&mut Reader) -> T) -> T {
        action(self.readers.lock().frames.get_mut(&ticket).expect("a frame is registered while it is read"))
    }
}

#[derive(Clone, Copy)]
enum Part {
    General,
    Reserve,
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

struct Reading {
    ticket: u64,
    give_up: Arc<Notify>,
}

/// What one request has taken; given back when dropped.
pub struct Charge {
    memory: Arc<Memory>,
    class: Class,
    general: usize,
    reserve: usize,
    reading: Option<Reading>,
}

impl Charge {
    /// Charges `bytes` more, waiting for room. Dropping the future charges nothing.
    ///
    /// # Errors
    /// [`GivenUp`] if the memory was needed for somebody faster.
    pub async fn grow(&mut self, bytes: usize) -> Result<(), GivenUp> {
        // Larger than the whole part would wait for ever: the reader gets as much as exists and goes on.
        let part_size = match self.class {
            Class::Client => self.memory.limit - self.memory.limit / REQUEST_MEMORY_RESERVE,
            Class::Broker => self.memory.limit / REQUEST_MEMORY_RESERVE,
        };
        let bytes = bytes.min(part_size);
        if let Some(part) = self.memory.try_take(self.class, bytes) {
            self.record(part, bytes);
            return Ok(());
        }
        self.wait_for(bytes).await
    }

    async fn wait_for(&mut self, bytes: usize) -> Result<(), GivenUp> {
        let Some(Reading { ticket, give_up }) = &self.reading else { return Ok(()) };
        let (memory, ticket) = (&self.memory, *ticket);
        memory.with_reader(ticket, |reader| reader.waits_for_memory = true);
        let waiting = OnDrop(|| memory.with_reader(ticket, |reader| reader.waits_for_memory = false));
        let part = loop {
            if memory.readers.lock().overdraft == Some(ticket) {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = give_up.notified() => return Err(GivenUp),
                taken = timeout(MEMORY_PATIENCE, memory.take(self.class, bytes)) => match taken {
                    Ok(part) => break part,
                    Err(_) => memory.relieve(),
                },
            }
        };
        drop(waiting);
        self.record(part, bytes);
        Ok(())
    }

    fn record(&mut self, part: Part, bytes: usize) {
        match part {
            Part::General => self.general += bytes,
            Part::Reserve => self.reserve += bytes,
        }
    }

    /// Runs `wait`, which waits for the frame's socket, on the frame's account.
    ///
    /// # Errors
    /// [`GivenUp`] if the memory was needed for somebody faster.
    pub async fn waiting_for_socket<T>(&self, wait: impl Future<Output = T>) -> Result<T, GivenUp> {
        let Some(Reading { ticket, give_up }) = &self.reading else { return Ok(wait.await) };
        let since = Instant::now();
        self.memory.with_reader(*ticket, |reader| reader.waiting_since = Some(since));
        let _waiting = OnDrop(|| {
            self.memory.with_reader(*ticket, |reader| {
                reader.waiting_since = None;
                reader.socket_wait += since.elapsed();
            });
        });
        tokio::select! {
            biased;
            _ = give_up.notified() => Err(GivenUp),
            done = wait => Ok(done),
        }
    }

    /// The frame has arrived whole: it keeps its charge and can no longer be given up.
    pub fn complete(&mut self) {
        if let Some(reading) = self.reading.take() {
            let mut readers = self.memory.readers.lock();
            readers.frames.remove(&reading.ticket);
            readers.overdraft = readers.overdraft.filter(|&ticket| ticket != reading.ticket);
        }
    }

    /// Bytes charged.
    pub fn bytes(&self) -> usize {
        self.general + self.reserve
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.complete();
        self.memory.general.add_permits(self.general);
        self.memory.reserve.add_permits(self.reserve);
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn a_charge_comes_back_when_dropped() {
        let memory = Memory::with_limit(800, PATIENCE);
        let mut charge = memory.begin_frame(Class::Client);
        charge.grow(700).await.unwrap();
        assert_eq!((memory.used(), memory.available()), (700, 100));
        charge.complete();
        drop(charge);
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn brokers_have_a_reserve() {
        let memory = Memory::with_limit(800, PATIENCE);
        let mut flood = memory.begin_frame(Class::Client);
        flood.grow(700).await.unwrap();
        flood.complete();
        let mut fetcher = memory.begin_frame(Class::Broker);
        timeout(MEMORY_PATIENCE / 2, fetcher.grow(50)).await.expect("no wait").unwrap();
    }

    #[tokio::test]
    async fn whoever_waits_gets_what_is_given_back() {
        let memory = Memory::with_limit(800, PATIENCE);
        let mut first = memory.begin_frame(Class::Client);
        first.grow(700).await.unwrap();
        first.complete();
        let mut second = memory.begin_frame(Class::Client);
        let (grown, ()) = tokio::join!(second.grow(500), async { drop(first) });
        grown.unwrap();
        assert_eq!(memory.used(), 500);
    }

    #[tokio::test]
    async fn a_slow_frame_is_given_up_under_shortage() {
        let memory = Memory::with_limit(800, PATIENCE);
        let mut slow = memory.begin_frame(Class::Client);
        slow.grow(700).await.unwrap();
        let slow = tokio::spawn(async move { slow.waiting_for_socket(std::future::pending::<()>()).await });
        let mut quick = memory.begin_frame(Class::Client);
        quick.grow(600).await.unwrap();
        assert_eq!(slow.await.unwrap(), Err(GivenUp));
    }

    #[tokio::test]
    async fn the_oldest_of_many_half_read_frames_goes_on() {
        let memory = Memory::with_limit(800, Duration::from_secs(3600));
        let mut old = memory.begin_frame(Class::Client);
        let mut young = memory.begin_frame(Class::Client);
        old.grow(400).await.unwrap();
        young.grow(300).await.unwrap();
        let finish = async |charge: &mut Charge| {
            charge.grow(400).await.unwrap();
            charge.complete();
        };
        let old_first = async {
            finish(&mut old).await;
            drop(old);
        };
        tokio::join!(finish(&mut young), old_first);
    }

    #[tokio::test]
    async fn more_than_everything_is_as_much_as_there_is() {
        let memory = Memory::with_limit(800, PATIENCE);
        let mut charge = memory.begin_frame(Class::Client);
        charge.grow(10_000).await.unwrap();
        assert_eq!(charge.bytes(), 700);
    }
}
