//! One partition's log: appends, rolls, flushes. Loading is in `load`, truncation in `truncate`, reading in `view`.
//!
//! All methods that change the log need it exclusively; each publishes a new [`LogView`] when it is done. A disk error
//! takes the whole log dir offline: nothing is appended after a failed write.
//! Source: `UnifiedLog` and `LocalLog` of Kafka 3.9.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::dir::{Errand, LogDir};
use super::epochs::Epochs;
use super::error::{AppendError, FollowerAppendError, StorageError};
use super::index::TimestampOffset;
use super::notes::Notes;
use super::producers::{Producers, RememberedBatch, Unstable};
use super::segment::{PartitionDir, Segment};
use super::snapshot;
use super::verification::{Guard, TxnCheck};
use super::view::{LogPosition, LogView, TAIL_BATCHES};
use crate::config::{LogConfig, TimestampType};
use crate::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::record::{
    AppendOrigin, BatchHeader, Codec, Compression, Content, EndMarker, Prepared, ValidateOptions, batches, validate,
};
use crate::time::Clock;

/// Segments and positions are 32-bit on disk.
pub(super) const MAX_RELATIVE_OFFSET: i64 = i32::MAX as i64;

/// How a leader appends.
#[derive(Clone, Copy, Debug)]
pub struct LeaderAppend {
    pub leader_epoch: LeaderEpoch,
    pub origin: AppendOrigin,
    /// What is asked of transactional data whose transaction is not open in this log.
    pub txn: TxnCheck,
    /// Wall clock, milliseconds.
    pub now_ms: i64,
}

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    pub first_offset: Offset,
    pub last_offset: Offset,
    /// The log start offset at that time.
    pub log_start_offset: Offset,
    /// Time of the append if the topic stamps records, else -1; of a duplicate, the original's timestamp, as in Kafka.
    pub log_append_time_ms: i64,
    pub leader_epoch: LeaderEpoch,
    /// Where the first batch lies.
    pub position: LogPosition,
    /// Bytes written; 0 for a duplicate.
    pub bytes: usize,
    /// Was it there already (an idempotent producer's retry)?
    pub duplicate: bool,
    pub max_timestamp: i64,
    pub records: i64,
}

/// What only the writer needs to know of the active segment.
#[derive(Debug)]
pub(super) struct Active {
    pub bytes_since_index_entry: u64,
    /// Largest timestamp of the first append; decides on rolling by time.
    pub first_timestamp: Option<i64>,
    pub created_ms: i64,
    pub jitter_ms: i64,
}

/// What a log shares with its readers.
#[derive(Debug)]
pub struct Shared {
    pub(super) view: ArcSwap<LogView>,
    /// The high watermark, kept here for the checkpoint; the replica layer moves it.
    pub(super) high_watermark: AtomicI64,
    /// Where the part begins that compaction has not seen; -1 if it has seen nothing.
    pub(super) first_dirty: AtomicI64,
}

/// See the head of the file.
#[derive(Debug)]
pub struct Log {
    pub(super) tp: TopicPartition,
    pub(super) log_dir: Arc<LogDir>,
    pub(super) dir: Arc<PartitionDir>,
    pub(super) config: Arc<LogConfig>,
    pub(super) clock: Clock,
    pub(super) topic_id: TopicId,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) active: Active,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) recovery_point: i64,
    /// When the recovery point was last made to follow the log end or the active segment; monotonic milliseconds.
    pub(super) last_flush_ms: i64,
    /// Counts truncations: a flush that began before one must not move the recovery point.
    pub(super) truncations: u64,
    /// A copy in another dir follows it: nothing that the copy may still need goes, so it is not compacted.
    pub(super) being_copied: bool,
    /// The lowest offset that the log was cut to since a copy of it was cut; see `moves`.
    pub(super) lowest_cut: Option<i64>,
    pub(super) epochs: Arc<Epochs>,
    pub(super) notes: Notes,
    pub(super) producers: Producers,
    pub(super) producer_expiration_ms: i64,
    pub(super) unstable: Unstable,
    pub(super) published_segments: Arc<[Arc<Segment>]>,
    pub(super) tail: [(i64, u64); TAIL_BATCHES],
    pub(super) shared: Arc<Shared>,
    /// Its directory waits to be removed; nothing may be written there any more.
    pub(super) deleted: bool,
}

impl Log {
    /// Errors if nothing can be written: the dir is offline, or the log was deleted.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        if self.deleted { Err(StorageError::Deleted) } else { self.log_dir.check() }
    }

    /// Renames the directory and takes no more writes. Readers that hold a view go on reading.
    pub(super) fn rename_deleted(&mut self, name: &str) -> Result<std::path::PathBuf, StorageError> {
        self.check()?;
        self.deleted = true;
        self.log_dir.guard(self.dir.rename(name))
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        &self.tp
    }

    pub fn log_dir(&self) -> &Arc<LogDir> {
        &self.log_dir
    }

    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// Changes the topic's settings; the next append goes by them.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    pub fn start_offset(&self) -> Offset {
        Offset(self.start)
    }

    pub fn end_offset(&self) -> Offset {
        Offset(self.end)
    }

    /// Everything below is on the disk.
    pub fn recovery_point(&self) -> Offset {
        Offset(self.recovery_point)
    }

    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// The view that was published last.
    pub fn view(&self) -> Arc<LogView> {
        self.shared.view.load_full()
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Base offset of the first segment.
    pub fn first_segment_base(&self) -> Offset {
        Offset(self.segments[0].base_offset)
    }

    pub(super) fn active_segment(&self) -> &Arc<Segment> {
        self.segments.last().expect("a log has a segment")
    }

    /// Checks records as a leader does; needs no log, so it can run before the log is locked.
    pub fn prepare(records: &Bytes, append: &LeaderAppend, config: &LogConfig) -> Result<Prepared, AppendError> {
        Ok(validate(records, &validate_options(append, config))?)
    }

    /// Checks records and appends them: offsets are assigned, the epoch is set.
    pub fn append_as_leader(&mut self, records: &Bytes, append: &LeaderAppend) -> Result<AppendInfo, AppendError> {
        let prepared = Self::prepare(records, append, &self.config)?;
        self.append_prepared(prepared, append)
    }

    /// Appends records that [`Self::prepare`] has checked.
    pub fn append_prepared(&mut self, prepared: Prepared, append: &LeaderAppend) -> Result<AppendInfo, AppendError> {
        self.check()?;
        let mut batch = match prepared.content {
            Content::Batch(batch) => batch,
            Content::Messages(messages) => return self.append_messages(messages, prepared.log_append_time, append),
            Content::Nothing => return Ok(self.append_of_nothing(append)),
        };
        batch.place(self.end, append.leader_epoch.0);
        let header = batch.header;
        let (size, limit) = (header.size(), self.config.segment_bytes as usize);
        if size > limit {
            return Err(AppendError::LargerThanSegment { size, limit });
        }
        let marker = if header.attributes.control() { EndMarker::of(&batch.to_batch()) } else { None };
        let mut info = AppendInfo {
            first_offset: Offset(header.base_offset),
            last_offset: Offset(header.last_offset()),
            log_start_offset: Offset(self.start),
            log_append_time_ms: prepared.log_append_time.unwrap_or(-1),
            leader_epoch: append.leader_epoch,
            position: self.end_position(),
            bytes: size,
            duplicate: false,
            max_timestamp: header.max_timestamp,
            records: i64::from(header.records_count),
        };
        let largest = TimestampOffset { timestamp: header.max_timestamp, offset: header.last_offset() };
        // Before the producer is asked, as in Kafka: what is refused or known already may roll the log, too.
        let room = self.make_room(size, &header, header.last_offset(), largest.timestamp, append.now_ms);
        self.log_dir.guard(room)?;
        let origin = prepared.origin;
        if let Some(known) = self.producers.check(&header, marker.as_ref(), origin, append.txn)? {
            return Ok(duplicate(info, &known));
        }
        let encoded = header.encode();
        let mut slices = [IoSlice::new(&encoded), IoSlice::new(&batch.payload)];
        let written = self.write(&mut slices, size, &[(header, marker)], largest, append.now_ms);
        self.log_dir.guard(written)?;
        info.position = LogPosition { segment_base: Offset(self.active_segment().base_offset), ..info.position };
        info.position.position = self.active_segment().size() - size as u64;
        Ok(info)
    }

    /// Appends a leader's batches as they are. A batch cut off at the end is left out.
    pub fn append_as_follower(&mut self, records: &Bytes) -> Result<AppendInfo, FollowerAppendError> {
        self.check()?;
        let mut found: Vec<(BatchHeader, Option<EndMarker>)> = Vec::new();
        let mut largest = TimestampOffset { timestamp: -1, offset: -1 };
        let (mut bytes, mut last) = (0, -1);
        for batch in batches(records.clone()) {
            let batch = batch?;
            batch.check_crc()?;
            let header = batch.header;
            let next = header.last_offset();
            if header.base_offset <= last || next < header.base_offset || next == i64::MAX {
                return Err(FollowerAppendError::OffsetsOutOfOrder { last: Offset(last), next: Offset(next) });
            }
            last = next;
            if header.max_timestamp > largest.timestamp {
                largest = TimestampOffset { timestamp: header.max_timestamp, offset: last };
            }
            bytes += header.size();
            let marker = if header.attributes.control() { EndMarker::of(&batch) } else { None };
            found.push((header, marker));
        }
        let first = found.first().map_or(self.end, |(header, _)| header.base_offset);
        let mut info = AppendInfo {
            first_offset: Offset(first),
            last_offset: Offset(if found.is_empty() { self.end - 1 } else { last }),
            log_start_offset: Offset(self.start),
            log_append_time_ms: -1,
            leader_epoch: LeaderEpoch(found.last().map_or(-1, |(header, _)| header.partition_leader_epoch)),
            position: self.end_position(),
            bytes,
            duplicate: false,
            max_timestamp: largest.timestamp,
            records: found.iter().map(|(header, _)| i64::from(header.records_count.max(0))).sum(),
        };
        if found.is_empty() {
            return Ok(info);
        }
        if first < self.end {
            let (first, log_end) = (Offset(first), Offset(self.end));
            return Err(FollowerAppendError::UnexpectedOffset { first, log_end });
        }
        if last - first > MAX_RELATIVE_OFFSET {
            return self.append_in_parts(records, found.iter().map(|(header, _)| header));
        }
        let limit = self.config.segment_bytes as usize;
        if bytes > limit {
            return Err(FollowerAppendError::LargerThanSegment { size: bytes, limit });
        }
        let mut slices = [IoSlice::new(&records[..bytes])];
        let written = self.write(&mut slices, bytes, &found, largest, self.clock.wall_ms());
        self.log_dir.guard(written)?;
        info.position.segment_base = Offset(self.active_segment().base_offset);
        info.position.position = self.active_segment().size() - bytes as u64;
        Ok(info)
    }

    /// Writes batches with their final offsets in one system call, and draws all consequences. Of messages before magic 2
    /// the first and the last header are enough.
    pub(super) fn write(
        &mut self,
        slices: &mut [IoSlice<'_>],
        bytes: usize,
        found: &[(BatchHeader, Option<EndMarker>)],
        largest: TimestampOffset,
        now_ms: i64,
    ) -> io::Result<()> {
        let (first, last) = (found[0].0.base_offset, found[found.len() - 1].0.last_offset());
        self.note_epochs(found)?;
        self.try_write_notes()?;
        self.make_room(bytes, &found[0].0, last, largest.timestamp, now_ms)?;

        let segment = self.active_segment().clone();
        let position = segment.size();
        if position == 0 {
            self.active.first_timestamp = Some(largest.timestamp);
        }
        // The rule counts the bytes before this append, never its own.
        let index = self.active.bytes_since_index_entry > self.config.index_interval_bytes as u64;
        segment.append(slices, bytes as u64, last, largest, index)?;
        if index {
            self.active.bytes_since_index_entry = 0;
        }
        self.active.bytes_since_index_entry += bytes as u64;
        self.end = last + 1;
        self.remember_tail(first, position);

        for (header, marker) in found {
            self.apply_to_producers(&segment, header, marker.as_ref())?;
        }
        self.producers.set_end(self.end);
        if self.end - self.recovery_point >= self.config.flush_messages {
            self.flush_now()?;
        }
        self.publish();
        Ok(())
    }

    fn apply_to_producers(
        &mut self,
        segment: &Segment,
        header: &BatchHeader,
        marker: Option<&EndMarker>,
    ) -> io::Result<()> {
        if !header.has_producer_id() {
            return Ok(());
        }
        if let Some(txn) = self.producers.apply(header, marker)
            && txn.aborted
        {
            segment.add_aborted_txn(&self.producers.aborted(&txn))?;
        }
        if header.attributes.transactional() || header.attributes.control() {
            self.producers.replicated_to(self.shared.high_watermark.load(Ordering::Acquire));
            self.unstable = self.producers.unstable();
        }
        Ok(())
    }

    fn note_epochs(&mut self, found: &[(BatchHeader, Option<EndMarker>)]) -> io::Result<()> {
        let news = |header: &BatchHeader| {
            header.partition_leader_epoch >= 0
                && self.epochs.would_change(header.partition_leader_epoch, header.base_offset)
        };
        // A leader that went back to an older format: epochs would mislead, so truncation goes by high watermarks.
        let forgets = |header: &BatchHeader| header.magic < 2;
        let forget = !self.epochs.is_empty() && found.iter().any(|(header, _)| forgets(header));
        if forget || found.iter().any(|(header, _)| news(header)) {
            let mut epochs = Epochs::clone(&self.epochs);
            for (header, _) in found {
                if forgets(header) {
                    epochs = Epochs::default();
                }
                epochs.assign(header.partition_leader_epoch, header.base_offset);
            }
            self.replace_epochs(epochs)?;
        }
        Ok(())
    }

    fn should_roll(&self, bytes: u64, max_timestamp: i64, last_offset: i64, now_ms: i64) -> io::Result<bool> {
        let (segment, config) = (self.active_segment(), &self.config);
        let size = segment.size();
        let waited_ms = match self.active.first_timestamp {
            Some(first) if first >= 0 => max_timestamp.saturating_sub(first),
            _ => now_ms - self.active.created_ms,
        };
        Ok(size > (config.segment_bytes as u64).saturating_sub(bytes)
            || (size > 0 && waited_ms > config.segment_ms - self.active.jitter_ms)
            || segment.index_full(config.segment_index_bytes as usize)
            || last_offset - segment.base_offset > MAX_RELATIVE_OFFSET)
    }

    /// Rolls the log if an append of these batches, from `first` to the offset `last`, must begin a new segment.
    fn make_room(
        &mut self,
        bytes: usize,
        first: &BatchHeader,
        last: i64,
        max_timestamp: i64,
        now_ms: i64,
    ) -> io::Result<()> {
        if self.should_roll(bytes as u64, max_timestamp, last, now_ms)? {
            // A wrapper does not tell its first offset; this is not above it.
            let at_most = if first.magic < 2 { last - MAX_RELATIVE_OFFSET } else { first.base_offset };
            self.roll_to(at_most)?;
            self.publish();
        }
        Ok(())
    }

    /// Begins a new segment at the log end. Nothing happens if the active one is empty.
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let rolled = self.roll_to(self.end);
        self.log_dir.guard(rolled)?;
        self.publish();
        Ok(())
    }

    fn roll_to(&mut self, offset: i64) -> io::Result<()> {
        let base = offset.max(self.end);
        let closing = self.active_segment().clone();
        if closing.size() == 0 && closing.base_offset == base {
            return Ok(());
        }
        closing.close()?;
        if self.config.preallocate {
            closing.trim()?;
        }
        self.producers.set_end(base);
        snapshot::write(&self.dir.path(), &self.producers)?;
        self.add_segment(base)?;
        self.log_dir.ask_for(&self.tp, Errand::FlushClosed);
        Ok(())
    }

    /// Appends an empty segment to the list.
    pub(super) fn add_segment(&mut self, base: i64) -> io::Result<()> {
        let segment = Segment::create(&self.dir, base)?;
        if self.config.preallocate {
            segment.reserve(self.config.segment_bytes as u64)?;
        }
        self.segments.push(Arc::new(segment));
        self.segments_changed();
        self.active = Active::new(self.clock.wall_ms(), &self.config);
        self.tail = [(i64::MAX, 0); TAIL_BATCHES];
        Ok(())
    }

    pub(super) fn segments_changed(&mut self) {
        self.published_segments = self.segments.iter().cloned().collect();
    }

    fn remember_tail(&mut self, offset: i64, position: u64) {
        match self.tail.iter_mut().find(|(base, _)| *base == i64::MAX) {
            Some(free) => *free = (offset, position),
            None => {
                self.tail.rotate_left(1);
                self.tail[TAIL_BATCHES - 1] = (offset, position);
            }
        }
    }

    pub(super) fn end_position(&self) -> LogPosition {
        let segment = self.active_segment();
        let segment_base = Offset(segment.base_offset);
        LogPosition { offset: Offset(self.end), segment_base, position: segment.size() }
    }

    pub(super) fn make_view(&self) -> LogView {
        LogView {
            dir: self.log_dir.clone(),
            topic_id: self.topic_id,
            start: self.start,
            end: self.end,
            segments: self.published_segments.clone(),
            end_position: self.active_segment().size(),
            epochs: self.epochs.clone(),
            unstable: self.unstable.clone(),
            tail: self.tail,
        }
    }

    /// Shows readers the log as it is now.
    pub(super) fn publish(&self) {
        self.shared.view.store(Arc::new(self.make_view()));
    }

    /// See [`Producers::begin_verification`].
    pub fn begin_verification(&mut self, producer_id: i64, epoch: i16, sequence: i32) -> Option<Guard> {
        self.producers.begin_verification(producer_id, epoch, sequence, self.clock.wall_ms())
    }

    /// Forgets producers that have been silent for too long.
    pub fn expire_producers(&mut self, now_ms: i64) {
        self.producers.expire(now_ms, self.producer_expiration_ms);
    }
}

impl Active {
    pub(super) fn new(now_ms: i64, config: &LogConfig) -> Self {
        let most = config.segment_jitter_ms.min(config.segment_ms);
        let jitter_ms = if most <= 0 { 0 } else { (u64::from_be_bytes(crate::time::os_random()) % most as u64) as i64 };
        Self { bytes_since_index_entry: 0, first_timestamp: None, created_ms: now_ms, jitter_ms }
    }
}

fn duplicate(info: AppendInfo, known: &RememberedBatch) -> AppendInfo {
    AppendInfo {
        first_offset: Offset(known.first_offset()),
        last_offset: Offset(known.last_offset),
        log_append_time_ms: known.timestamp,
        bytes: 0,
        duplicate: true,
        ..info
    }
}

/// The settings that the check of a leader's append needs.
fn validate_options(append: &LeaderAppend, config: &LogConfig) -> ValidateOptions {
    // The old setting holds for a bound whose new setting was left alone.
    let bound = |new: i64| if new == i64::MAX { config.message_timestamp_difference_max_ms } else { new };
    ValidateOptions {
        origin: append.origin,
        now_ms: append.now_ms,
        log_append_time: config.message_timestamp_type == TimestampType::LogAppendTime,
        timestamp_before_max_ms: bound(config.message_timestamp_before_max_ms),
        timestamp_after_max_ms: bound(config.message_timestamp_after_max_ms),
        max_message_bytes: config.max_message_bytes as usize,
        target_magic: config.target_magic(),
        compacted: config.cleanup_policy.compact,
        compression: target_compression(config),
    }
}

/// `compression.type` with its level; `None` for `producer`.
fn target_compression(config: &LogConfig) -> Option<Compression> {
    use crate::config::CompressionType as Type;
    let (codec, level) = match config.compression_type {
        Type::Producer => return None,
        Type::Uncompressed => (Codec::None, None),
        Type::Gzip => (Codec::Gzip, Some(config.compression_gzip_level)),
        Type::Snappy => (Codec::Snappy, None),
        Type::Lz4 => (Codec::Lz4, Some(config.compression_lz4_level)),
        Type::Zstd => (Codec::Zstd, Some(config.compression_zstd_level)),
    };
    Some(Compression { codec, level })
}
