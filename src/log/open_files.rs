//! The `.log` files that active segments hold open: as many as the process may afford, whatever the number of partitions.
//!
//! A segment asks for its file when it needs it. The files that were asked for lately stay open; when there are too many,
//! one that was not asked for since the clock's hand last came by is closed (second chance). Whoever is using a file holds
//! it open by himself, so closing never pulls it away. A file that was written to and closed before a flush is opened again
//! for that flush; see `docs/decisions/0012-open-files.md` for what the system then tells of failed writes.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the system knows no limit, or a larger one.
const MOST_FILES: u64 = 1 << 20;
/// Closed at once when the system refuses another descriptor.
const ROOM: usize = 32;

/// The process's; descriptors belong to the process.
pub static OPEN_FILES: LazyLock<OpenFiles> = LazyLock::new(|| OpenFiles::new(descriptors() / 8 * 5));

/// Descriptors that this process may have: the soft limit is raised to the hard one first, as the JVM does.
pub fn descriptors() -> usize {
    static DESCRIPTORS: LazyLock<usize> = LazyLock::new(|| {
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
            // Then the old one stays in force.
            let _ = raised;
        }
        getrlimit(Resource::Nofile).current.unwrap_or(MOST_FILES).min(MOST_FILES) as usize
    });
    *DESCRIPTORS
}

/// Descriptors for connections: a quarter. The rest, an eighth, is for files that are open for a moment.
pub fn connections() -> usize {
    (descriptors() / 4).max(1)
}

/// See the head of the file.
#[derive(Debug)]
pub struct OpenFiles {
    most: usize,
    slots: Mutex<Slots>,
    /// Files that were closed between a write and its flush.
    unflushed: AtomicU64,
}

#[derive(Debug, Default)]
struct Slots {
    files: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
}

#[derive(Debug)]
struct Slot {
    /// Open as long as it is here.
    _file: Arc<File>,
    marks: Arc<Marks>,
}

/// What the owner of a file tells about it.
#[derive(Debug, Default)]
struct Marks {
    /// Asked for since the hand came by.
    used: AtomicBool,
    /// Written to since the last flush.
    written: AtomicBool,
}

/// A file in the pool. It may have been closed meanwhile.
#[derive(Debug)]
pub struct Kept {
    slot: usize,
    file: Weak<File>,
    marks: Arc<Marks>,
}

impl Kept {
    /// The file, unless it was closed.
    pub fn get(&self) -> Option<Arc<File>> {
        let file = self.file.upgrade()?;
        if !self.marks.used.load(Ordering::Relaxed) {
            self.marks.used.store(true, Ordering::Relaxed);
        }
        Some(file)
    }

    /// The file was written to, or everything written to it was flushed.
    pub fn set_written(&self, written: bool) {
        if self.marks.written.load(Ordering::Relaxed) != written {
            self.marks.written.store(written, Ordering::Release);
        }
    }
}

impl OpenFiles {
    /// At most `most` files stay open.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), slots: Mutex::default(), unflushed: AtomicU64::new(0) }
    }

    /// Keeps a file open for as long as there is room.
    pub fn keep(&self, file: &Arc<File>) -> Kept {
        let marks = Arc::new(Marks { used: AtomicBool::new(true), written: AtomicBool::new(false) });
        let kept = |slot| Kept { slot, file: Arc::downgrade(file), marks: marks.clone() };
        let new = Slot { _file: file.clone(), marks: marks.clone() };
        let mut closing = None;
        let slot = {
            let mut slots = self.slots.lock();
            if slots.files.len() - slots.free.len() >= self.most {
                closing = slots.take_unused();
            }
            match slots.free.pop() {
                Some(free) => {
                    slots.files[free] = Some(new);
                    free
                }
                None => {
                    slots.files.push(Some(new));
                    slots.files.len() - 1
                }
            }
        };
        self.close(closing);
        kept(slot)
    }

    /// Lets go of a file; who uses it goes on.
    pub fn forget(&self, kept: &Kept) {
        let mut slots = self.slots.lock();
        // The slot may have another file by now.
        let same = slots.files[kept.slot].as_ref().is_some_and(|slot| Arc::ptr_eq(&slot.marks, &kept.marks));
        let gone = if same { slots.files[kept.slot].take() } else { None };
        if gone.is_some() {
            slots.free.push(kept.slot);
        }
        drop(slots);
        // Closed here, not under the lock.
        drop(gone);
    }

    /// Runs what needs a descriptor; when the system has none left, files are closed and it runs again.
    pub fn with_room<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        for _ in 0..8 {
            match act() {
                Err(error) if is_out_of_descriptors(&error) => {
                    for _ in 0..ROOM {
                        let closing = self.slots.lock().take_unused();
                        self.close(closing);
                    }
                }
                done => return done,
            }
        }
        act()
    }

    /// How often a file was closed between a write and its flush. A failed write-back of such a file may be known to the
    /// file system only.
    pub fn closed_unflushed(&self) -> u64 {
        self.unflushed.load(Ordering::Acquire)
    }

    /// Files in the pool.
    pub fn len(&self) -> usize {
        let slots = self.slots.lock();
        slots.files.len() - slots.free.len()
    }

    fn close(&self, slot: Option<Slot>) {
        if let Some(slot) = slot
            && slot.marks.written.load(Ordering::Acquire)
        {
            self.unflushed.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Slots {
    /// Takes a file out that was not asked for lately. The second round at the latest finds one, if there is any.
    fn take_unused(&mut self) -> Option<Slot> {
        for _ in 0..2 * self.files.len() {
            let at = self.hand % self.files.len();
            self.hand = at + 1;
            if let Some(slot) = &self.files[at]
                && !slot.marks.used.swap(false, Ordering::Relaxed)
            {
                self.free.push(at);
                return self.files[at].take();
            }
        }
        None
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<File> {
        Arc::new(tempfile::tempfile().unwrap())
    }

    #[test]
    fn the_least_used_is_closed_first() {
        let pool = OpenFiles::new(3);
        let kept: Vec<_> = (0..3).map(|_| pool.keep(&file())).collect();
        assert!(kept.iter().all(|kept| kept.get().is_some()));
        // The hand takes the marks of all three and then the first; then only the last was asked for again.
        let a = pool.keep(&file());
        assert!(kept[0].get().is_none());
        assert!(kept[2].get().is_some());
        let b = pool.keep(&file());
        assert!(kept[1].get().is_none() && kept[2].get().is_some() && a.get().is_some() && b.get().is_some());
        assert_eq!(pool.len(), 3);
    }

    #[test]
    fn who_uses_a_file_keeps_it() {
        let pool = OpenFiles::new(1);
        let first = pool.keep(&file());
        let using = first.get().unwrap();
        pool.keep(&file());
        assert!(first.get().is_some());
        drop(using);
        assert!(first.get().is_none());
    }

    #[test]
    fn forgetting_is_of_the_file_not_of_the_slot() {
        let pool = OpenFiles::new(1);
        let (first, second) = (pool.keep(&file()), pool.keep(&file()));
        pool.forget(&first);
        assert!(second.get().is_some());
        pool.forget(&second);
        assert!(second.get().is_none() && pool.len() == 0);
        assert!(pool.keep(&file()).get().is_some());
    }

    #[test]
    fn closing_before_a_flush_is_counted() {
        let pool = OpenFiles::new(1);
        let first = pool.keep(&file());
        first.set_written(true);
        let second = pool.keep(&file());
        assert_eq!(pool.closed_unflushed(), 1);
        second.set_written(true);
        second.set_written(false);
        pool.keep(&file());
        assert_eq!(pool.closed_unflushed(), 1);
    }

    #[test]
    fn without_descriptors_files_are_closed() {
        let pool = OpenFiles::new(100);
        let kept: Vec<_> = (0..100).map(|_| pool.keep(&file())).collect();
        let mut tries = 0;
        let done = pool.with_room(|| {
            tries += 1;
            if tries < 3 { Err(io::Error::from_raw_os_error(24)) } else { Ok(()) }
        });
        assert!(done.is_ok());
        assert_eq!(kept.iter().filter(|kept| kept.get().is_some()).count(), 100 - 2 * ROOM);
        assert!(pool.with_room(|| Err::<(), _>(io::Error::other("other"))).is_err());
    }
}
