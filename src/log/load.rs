//! Loading a partition directory, and recovering it when the broker did not stop cleanly.
//!
//! Source: `LogLoader`, `LogSegment.recover` and `UnifiedLog.rebuildProducerState` of Kafka 3.9.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use arc_swap::ArcSwap;

use super::dir::LogDir;
use super::epochs::Epochs;
use super::log::{Active, Log, Shared};
use super::names::{CLEANED, DELETED, INDEX, LEADER_EPOCHS, LOG, SWAP, TIME_INDEX, TXN_INDEX, parse_segment_file};
use super::notes::Notes;
use super::producers::Producers;
use super::progress::ThreadProgress;
use super::scan::{Found, HEADERS_CHUNK_BYTES, Scan, WHOLE_CHUNK_BYTES, read_batch};
use super::segment::{PartitionDir, Recovered, Segment};
use super::view::{LogView, TAIL_BATCHES};
use super::{checkpoint, disk, meta, snapshot, split};
use crate::config::LogConfig;
use crate::ids::TopicPartition;
use crate::record::EndMarker;
use crate::time::Clock;

/// What a log is opened with.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    pub tp: TopicPartition,
    pub log_dir: Arc<LogDir>,
    /// The partition's directory; created if it is not there.
    pub path: PathBuf,
    pub config: Arc<LogConfig>,
    /// Did the broker stop cleanly? If not, everything from the recovery point on is checked.
    pub clean: bool,
    /// From the checkpoints; 0 if not there.
    pub recovery_point: i64,
    pub log_start: i64,
    pub producer_expiration_ms: i64,
}

/// Loads a log, or creates an empty one.
pub fn open(options: OpenOptions) -> io::Result<Log> {
    open_watched(options, &ThreadProgress::default())
}

/// As [`open`]; somebody watches how far recovery is.
pub(super) fn open_watched(options: OpenOptions, progress: &ThreadProgress) -> io::Result<Log> {
    let OpenOptions { tp, log_dir, path, config, clean, recovery_point, log_start, producer_expiration_ms } = options;
    let clock = Clock;
    let now_ms = clock.wall_ms();
    std::fs::create_dir_all(&path)?;
    tidy(&path)?;
    let dir = PartitionDir::new(path.clone());
    let topic_id = meta::read_topic_id(&path)?;
    if config.target_magic() < 2 {
        // Messages before magic 2 carry no epochs; truncation goes by high watermarks.
        disk::remove(&path.join(LEADER_EPOCHS))?;
    }
    let stored_epochs = checkpoint::read_epochs(&path.join(LEADER_EPOCHS))?;
    let mut loader = Loader {
        path: &path,
        log_dir: &log_dir,
        config: &config,
        segments: Vec::new(),
        epochs: Epochs::from_entries(stored_epochs.iter().copied()),
        now_ms,
        producer_expiration_ms,
        progress,
    };
    let (mut recovered, mut end) = loop {
        match loader.load(&dir, (!clean).then_some(recovery_point), log_start)? {
            Loaded::Done { recovered, end } => break (recovered, end),
            Loaded::TooWide(index) => loader.split(&dir, index)?,
        }
    };
    if end < log_start && !loader.segments.is_empty() {
        tracing::error!(%tp, end, log_start, "log end is below the log start, starting anew there");
        loader.discard_from(0)?;
        snapshot::list(&path)?.into_iter().try_for_each(|offset| disk::remove(&snapshot::path(&path, offset)))?;
        loader.epochs = Epochs::default();
        recovered = true;
    }
    if loader.segments.is_empty() {
        loader.segments.push(Arc::new(Segment::create(&dir, log_start)?));
        end = log_start;
    }
    let Loader { segments, mut epochs, .. } = loader;
    let active = segments.last().expect("at least one segment").clone();
    active.activate()?;

    let start = log_start.max(segments[0].base_offset);
    epochs.truncate_from_end(end);
    epochs.truncate_from_start(start);
    let epochs = Arc::new(epochs);
    // Epochs that begin beyond the end need not be taken from the file: if they are read again, they go again.
    let needed = stored_epochs.iter().filter(|(_, start)| *start < end);
    let written_epochs = if needed.eq(epochs.entries()) {
        Arc::new(Epochs::from_entries(stored_epochs))
    } else {
        checkpoint::write_epochs(&path.join(LEADER_EPOCHS), epochs.entries())?;
        epochs.clone()
    };
    let notes = Notes { topic_id_waits: false, epochs: written_epochs };
    let producers = load_producers(&path, &segments, start, end, clean && !recovered, now_ms, producer_expiration_ms)?;
    drop_stray_snapshots(&path, &segments)?;

    let mut writer = Active::new(now_ms, &config);
    writer.first_timestamp = active.first_timestamp().unwrap_or(None);
    let published_segments: Arc<[_]> = segments.iter().cloned().collect();
    let topic_id = topic_id.unwrap_or_default();
    let unstable = producers.unstable();
    let view = LogView {
        dir: log_dir.clone(),
        topic_id,
        start,
        end,
        segments: published_segments.clone(),
        end_position: active.size(),
        epochs: epochs.clone(),
        unstable: unstable.clone(),
        tail: [(i64::MAX, 0); TAIL_BATCHES],
    };
    Ok(Log {
        tp,
        log_dir,
        dir,
        clock,
        topic_id,
        active: writer,
        start,
        end,
        recovery_point: if clean && !recovered { end } else { recovery_point.min(end) },
        last_flush_ms: clock.now_ms(),
        truncations: 0,
        being_copied: false,
        lowest_cut: None,
        epochs,
        notes,
        producers,
        producer_expiration_ms,
        unstable,
        published_segments,
        tail: view.tail,
        shared: Arc::new(Shared {
            view: ArcSwap::from_pointee(view),
            high_watermark: AtomicI64::new(start),
            first_dirty: AtomicI64::new(-1),
        }),
        segments,
        config,
        deleted: false,
    })
}

/// Finishes or undoes what was under way: deletions, and swaps of compacted or split segments.
fn tidy(path: &Path) -> io::Result<()> {
    let mut files: Vec<(i64, String)> = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let name = entry?.file_name();
        if let Some((offset, extension)) = name.to_str().and_then(parse_segment_file) {
            files.push((offset, extension.to_owned()));
        }
    }
    let file = |offset: i64, extension: &str| path.join(super::names::segment_file(offset, extension));
    let has = |extension: &str, suffix: &str| extension.rsplit('.').next() == Some(suffix);

    let first_cleaned = files.iter().filter(|(_, extension)| has(extension, CLEANED)).map(|(offset, _)| *offset).min();
    let doomed = |(offset, extension): &(i64, String)| {
        has(extension, DELETED)
            || has(extension, CLEANED)
            // A split that was not finished: its parts up to here are older than the swap files after it.
            || (has(extension, SWAP) && first_cleaned.is_some_and(|first| *offset >= first))
    };
    for (offset, extension) in files.iter().filter(|file| doomed(file)) {
        disk::remove(&file(*offset, extension))?;
    }
    files.retain(|file| !doomed(file));

    let swap_log = format!("{LOG}.{SWAP}");
    let mut range: Option<(i64, i64)> = None;
    for (offset, _) in files.iter().filter(|(_, extension)| *extension == swap_log) {
        let next = next_offset_of_file(&file(*offset, &swap_log), *offset)?;
        let (low, high) = range.unwrap_or((*offset, next));
        range = Some((low.min(*offset), high.max(next)));
    }
    if let Some((low, high)) = range {
        for (offset, extension) in files.iter().filter(|(_, extension)| !has(extension, SWAP)) {
            if (low..high).contains(offset) {
                disk::remove(&file(*offset, extension))?;
            }
        }
    }
    for (offset, extension) in files.iter().filter(|(_, extension)| has(extension, SWAP)) {
        let plain = extension.trim_end_matches(SWAP).trim_end_matches('.');
        disk::rename(&file(*offset, extension), &file(*offset, plain))?;
    }
    Ok(())
}

fn next_offset_of_file(path: &Path, base_offset: i64) -> io::Result<i64> {
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut scan = Scan::new(&file, 0, len, HEADERS_CHUNK_BYTES);
    let mut next = base_offset;
    while let Some(found) = scan.next_header()? {
        next = found.header.next_offset();
    }
    Ok(next)
}

struct Loader<'a> {
    path: &'a Path,
    log_dir: &'a LogDir,
    config: &'a LogConfig,
    segments: Vec<Arc<Segment>>,
    epochs: Epochs,
    now_ms: i64,
    producer_expiration_ms: i64,
    progress: &'a ThreadProgress,
}

/// How far loading came.
enum Loaded {
    Done {
        /// Was something checked and rebuilt?
        recovered: bool,
        /// The log end offset.
        end: i64,
    },
    /// This segment must be split before the log can be loaded.
    TooWide(usize),
}

impl Loader<'_> {
    /// Opens the segments and checks those that must be: after an unclean stop all that hold something from the recovery
    /// point on, else only those whose indexes are missing or broken.
    fn load(&mut self, dir: &Arc<PartitionDir>, unclean: Option<i64>, log_start: i64) -> io::Result<Loaded> {
        let broken = self.open_segments(dir)?;
        let unflushed = unclean.map_or(self.segments.len(), |point| self.first_unflushed(point));
        let mut recovered = unflushed < self.segments.len();
        for index in broken.into_iter().filter(|index| *index < unflushed) {
            recovered = true;
            if let Some(wide) = self.recover(index..index + 1, log_start)? {
                return Ok(Loaded::TooWide(wide));
            }
        }
        if let Some(wide) = self.recover(unflushed..self.segments.len(), log_start)? {
            return Ok(Loaded::TooWide(wide));
        }
        let Some(last) = self.segments.last().cloned() else { return Ok(Loaded::Done { recovered, end: 0 }) };
        let end = match last.next_offset() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                // Cut off or flipped although the broker stopped cleanly, or below the recovery point.
                tracing::error!(dir = %self.path.display(), %error, "the end of the log is damaged");
                recovered = true;
                let count = self.segments.len();
                if let Some(wide) = self.recover(count - 1..count, log_start)? {
                    return Ok(Loaded::TooWide(wide));
                }
                last.next_offset()?
            }
            other => other?,
        };
        Ok(Loaded::Done { recovered, end })
    }

    /// Opens the segments in order; returns those whose indexes must be rebuilt.
    fn open_segments(&mut self, dir: &Arc<PartitionDir>) -> io::Result<Vec<usize>> {
        self.segments.clear();
        let mut logs = BTreeSet::new();
        let mut indexes = Vec::new();
        for entry in std::fs::read_dir(self.path)? {
            let entry = entry?;
            match entry.file_name().to_str().and_then(parse_segment_file) {
                Some((offset, LOG)) => _ = logs.insert(offset),
                Some((offset, INDEX | TIME_INDEX | TXN_INDEX)) => indexes.push((offset, entry.path())),
                _ => {}
            }
        }
        for (offset, path) in indexes {
            if !logs.contains(&offset) {
                tracing::warn!(path = %path.display(), "orphan index file, deleted");
                disk::remove(&path)?;
            }
        }
        let mut broken = Vec::new();
        for base in logs {
            let (segment, rebuild) = Segment::open(dir, base)?;
            if rebuild {
                tracing::warn!(dir = %self.path.display(), base, "indexes are missing or broken, rebuilding them");
                broken.push(self.segments.len());
            }
            self.segments.push(Arc::new(segment));
        }
        Ok(broken)
    }

    /// The first segment that holds an offset at or above the recovery point.
    fn first_unflushed(&self, recovery_point: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset <= recovery_point).saturating_sub(1)
    }

    /// Checks all batches of some segments, and rebuilds what is derived from them. What follows a batch that is not sound
    /// is cut off; whole segments too if the check goes to the log's end. Returns a segment that must be split first.
    fn recover(&mut self, range: Range<usize>, log_start: i64) -> io::Result<Option<usize>> {
        let (from, to_the_end) = (range.start, range.end == self.segments.len());
        if range.is_empty() {
            return Ok(None);
        }
        self.progress.segments(range.len());
        let base = self.segments[from].base_offset;
        let start = log_start.max(self.segments[0].base_offset);
        let (now_ms, expiration_ms) = (self.now_ms, self.producer_expiration_ms);
        let mut producers =
            rebuild_producers(self.path, &self.segments[..from], start.min(base), base, base, now_ms, expiration_ms)?;
        for index in range.clone() {
            let segment = self.segments[index].clone();
            let size = segment.size();
            let mut end = segment.base_offset;
            let epochs = &mut self.epochs;
            let limit = self.segments.get(index + 1).map_or(i64::MAX, |next| next.base_offset);
            let interval = self.config.index_interval_bytes as u64;
            let recovered = segment.recover(limit, interval, |segment, file, found| {
                let header = &found.header;
                if epochs.latest().is_none_or(|latest| header.partition_leader_epoch > latest.0) {
                    epochs.assign(header.partition_leader_epoch, header.base_offset);
                }
                if header.has_producer_id() {
                    let marker = marker_of(file, found)?;
                    if let Some(txn) = producers.apply(header, marker.as_ref())
                        && txn.aborted
                    {
                        segment.add_aborted_txn(&producers.aborted(&txn))?;
                    }
                }
                end = header.next_offset();
                Ok(())
            });
            let Recovered::Cut(cut) = recovered? else { return Ok(Some(index)) };
            producers.set_end(end);
            snapshot::write(self.path, &producers)?;
            self.progress.segment_done(range.end - index - 1, size);
            if cut > 0 {
                let (dir, base) = (self.path.display(), segment.base_offset);
                let later = self.segments.len() - index - 1;
                if to_the_end {
                    tracing::warn!(%dir, base, end, cut, later, "recovery cut the log; later segments are deleted");
                    self.discard_from(index + 1)?;
                } else {
                    tracing::error!(%dir, base, end, cut, later, "records below the recovery point were damaged and are lost");
                }
                break;
            }
        }
        self.progress.segments(0);
        Ok(None)
    }

    /// Makes several segments of one that is too wide, for the next [`Self::load`].
    fn split(&mut self, dir: &Arc<PartitionDir>, index: usize) -> io::Result<()> {
        let segment = self.segments[index].clone();
        tracing::warn!(dir = %self.path.display(), base = segment.base_offset, "segment is too wide for its indexes, splitting it");
        let replaced = split::split(dir, &segment)?;
        self.log_dir.discard(replaced, self.now_ms.saturating_add(self.config.file_delete_delay_ms));
        Ok(())
    }

    /// Renames segments, and all after them, to be deleted later.
    fn discard_from(&mut self, index: usize) -> io::Result<()> {
        let due_ms = self.now_ms.saturating_add(self.config.file_delete_delay_ms);
        for segment in self.segments.split_off(index) {
            self.log_dir.discard(segment.mark_deleted(true)?, due_ms);
        }
        Ok(())
    }
}

/// The marker of a control batch, else `None`.
fn marker_of(file: &File, found: &Found) -> io::Result<Option<EndMarker>> {
    if found.header.attributes.control() { Ok(EndMarker::of(&read_batch(file, found)?)) } else { Ok(None) }
}

/// Producer state at the end of a loaded log; a snapshot of it is written.
fn load_producers(
    path: &Path,
    segments: &[Arc<Segment>],
    start: i64,
    end: i64,
    clean: bool,
    now_ms: i64,
    expiration_ms: i64,
) -> io::Result<Producers> {
    let mut producers = Producers::default();
    if clean && snapshot::list(path)?.is_empty() {
        // The broker before us knew no snapshots: there is nothing to know, and no reason to read everything.
        for base in segments.iter().rev().take(2).map(|segment| segment.base_offset) {
            producers.set_end(base);
            if base > start {
                snapshot::write(path, &producers)?;
            }
        }
        producers.set_end(end);
    } else {
        // A snapshot holds one batch of a producer, memory five. After a crash a producer comes back with all that it
        // had in flight, so the active segment is read even if recovery has just written a snapshot at its end; with
        // the snapshot alone, as in Kafka, the retries of all but the last batch would be out of order.
        let active_base = segments.last().map_or(start, |segment| segment.base_offset);
        let snapshots_up_to = if clean { end } else { active_base.min(end) };
        producers = rebuild_producers(path, segments, start, end, snapshots_up_to, now_ms, expiration_ms)?;
    }
    snapshot::write_if_new(path, &producers, start)?;
    Ok(producers)
}

/// Producer state of the log `[start, end)`: the newest usable snapshot not above `snapshots_up_to`, then the batches
/// after it.
pub(super) fn rebuild_producers(
    path: &Path,
    segments: &[Arc<Segment>],
    start: i64,
    end: i64,
    snapshots_up_to: i64,
    now_ms: i64,
    expiration_ms: i64,
) -> io::Result<Producers> {
    let mut producers = match snapshot::load_newest(path, start, snapshots_up_to, now_ms, expiration_ms)? {
        Some(producers) => producers,
        None => {
            let mut empty = Producers::default();
            empty.set_end(start);
            empty
        }
    };
    let from = producers.end();
    let first = segments.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
    for segment in &segments[first..] {
        if segment.base_offset >= end || from >= end {
            break;
        }
        let file = segment.file()?;
        let Some(found) = segment.find(&file, from, None, segment.size())? else { continue };
        let mut scan = Scan::new(&file, found.position, segment.size(), WHOLE_CHUNK_BYTES);
        while let Some(found) = scan.next_header()? {
            // A log may begin in the middle of a batch.
            if found.header.last_offset() >= from && found.header.has_producer_id() {
                producers.apply(&found.header, marker_of(&file, &found)?.as_ref());
            }
        }
    }
    producers.set_end(end);
    Ok(producers)
}

/// Keeps the snapshots at the base offsets of segments, and the newest.
fn drop_stray_snapshots(path: &Path, segments: &[Arc<Segment>]) -> io::Result<()> {
    let mut offsets = snapshot::list(path)?;
    offsets.pop();
    for offset in offsets {
        if segments.binary_search_by_key(&offset, |segment| segment.base_offset).is_err() {
            disk::remove(&snapshot::path(path, offset))?;
        }
    }
    Ok(())
}
