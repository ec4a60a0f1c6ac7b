//! Topics that are kept in an old format: which they are, and a leader's append of messages before magic 2.

use std::io::IoSlice;

use super::error::AppendError;
use super::index::TimestampOffset;
use super::log::{AppendInfo, LeaderAppend, Log};
use super::view::LogPosition;
use crate::config::{LogConfig, Release};
use crate::ids::Offset;
use crate::record::{Batch, BatchHeader, PreparedMessages, batches};

impl LogConfig {
    /// The format that a leader writes: magic 2, unless an old protocol lets `message.format.version` name another.
    pub fn target_magic(&self) -> i8 {
        if !self.old_formats {
            return 2;
        }
        self.message_format_version.parse::<Release>().map_or(2, Release::magic)
    }
}

impl Log {
    pub(super) fn append_messages(
        &mut self,
        messages: PreparedMessages,
        log_append_time: Option<i64>,
        append: &LeaderAppend,
    ) -> Result<AppendInfo, AppendError> {
        let count = i64::from(messages.count);
        let placed = messages.place(self.end_offset().0)?;
        let (size, limit) = (placed.bytes.len(), self.config.segment_bytes as usize);
        if size > limit {
            return Err(AppendError::LargerThanSegment { size, limit });
        }
        let header = |batch: Batch| (batch.header, None);
        let mut sound = batches(placed.bytes.clone()).flatten();
        let mut ends: Vec<(BatchHeader, _)> = sound.next().map(header).into_iter().collect();
        ends.extend(sound.last().map(header));
        let (timestamp, offset) = placed.max_timestamp;
        let mut info = AppendInfo {
            last_offset: Offset(self.end + count - 1),
            log_append_time_ms: log_append_time.unwrap_or(-1),
            bytes: size,
            max_timestamp: timestamp,
            records: count,
            ..self.append_of_nothing(append)
        };
        let mut slices = [IoSlice::new(&placed.bytes)];
        let largest = TimestampOffset { timestamp, offset };
        info.first_offset = Offset(self.end);
        let written = self.write(&mut slices, size, &ends, largest, append.now_ms);
        self.log_dir.guard(written)?;
        info.position = LogPosition { segment_base: Offset(self.active_segment().base_offset), ..info.position };
        info.position.position = self.active_segment().size() - size as u64;
        Ok(info)
    }

    /// What an append without a whole message does.
    pub(super) fn append_of_nothing(&self, append: &LeaderAppend) -> AppendInfo {
        AppendInfo {
            first_offset: Offset(-1),
            last_offset: Offset(self.end - 1),
            log_start_offset: Offset(self.start),
            log_append_time_ms: -1,
            leader_epoch: append.leader_epoch,
            position: self.end_position(),
            bytes: 0,
            duplicate: false,
            max_timestamp: -1,
            records: 0,
        }
    }
}
