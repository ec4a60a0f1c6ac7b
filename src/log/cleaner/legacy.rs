//! What stays of messages before magic 2, and of their wrappers. They know no transactions and no delete horizon: a
//! tombstone stays as long as the age of its segment says. Source: as [`super::filter`].

use super::filter::{Filter, Kept, whole};
use super::{CleanError, Stats};
use crate::log::index::TimestampOffset;
use crate::record::{BatchHeader, Codec, Compression, Message, MessageSetBuilder};

impl Filter<'_> {
    /// Adds to `out` what stays of a message or wrapper.
    pub(super) fn messages(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        position: u64,
        out: &mut Kept,
        stats: &mut Stats,
    ) -> Result<(), CleanError> {
        let bad = |source| CleanError::Records { position, source };
        let codec = header.attributes.codec().unwrap_or(Codec::None);
        let append_time = header.attributes.log_append_time().then_some(header.max_timestamp);
        let mut thinned = MessageSetBuilder::new(header.magic, Compression::from(codec), append_time);
        let mut unchanged = true;
        for message in whole(header, batch).messages().map_err(bad)? {
            let message = message.map_err(bad)?;
            stats.records_read += 1;
            let stays = self.message_stays(&message, stats);
            // Brokers of old may have put messages of another magic into a wrapper (KAFKA-4298).
            unchanged &= stays && message.magic == header.magic;
            if stays {
                let Message { offset, timestamp, key, value, .. } = &message;
                thinned.push(*offset, *timestamp, key.as_deref(), value.as_deref());
            }
        }
        stats.records_written += thinned.len() as u64;
        if unchanged {
            out.bytes.extend_from_slice(batch);
            out.note(header.last_offset(), header);
        } else if !thinned.is_empty() {
            let (timestamp, offset) = thinned.max_timestamp();
            out.note_at(thinned.last_offset(), TimestampOffset { timestamp, offset });
            out.bytes.extend_from_slice(&thinned.build());
        }
        Ok(())
    }

    fn message_stays(&self, message: &Message, stats: &mut Stats) -> bool {
        let newest = self.is_newest(message.key.as_deref(), message.offset, stats);
        newest && (message.value.is_some() || self.keep_old_tombstones || !self.is_mapped(message.offset))
    }
}
