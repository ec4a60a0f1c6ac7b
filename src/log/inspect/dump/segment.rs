//! `.log` files: batches, and with deep iteration the records in them.

use std::path::Path;

use bytes::Bytes;

use super::decode::Printer;
use super::{Dump, base_offset};
use crate::log::inspect::InspectError;
use crate::log::inspect::frames::{Frame, SegmentFile};
use crate::log::inspect::text::push_utf8;
use crate::record::{Attributes, BatchHeader, Codec, HEADER_BYTES, Message, Record, RecordError, add_sequence};

/// The way through the records of one file.
struct RecordWalk<'a> {
    path: &'a Path,
    last_offset: i64,
    /// Scratch.
    line: String,
}

impl Dump<'_> {
    pub(super) fn segment(&mut self, path: &Path) -> Result<(), InspectError> {
        writeln!(self.out, "Log starting offset: {}", base_offset(path)?)?;
        let mut file = SegmentFile::open(path)?;
        let end = match u64::try_from(self.options.max_bytes) {
            Ok(max_bytes) => file.len.min(max_bytes),
            Err(_) => return Err(InspectError::Refused(format!("invalid size: {}", self.options.max_bytes))),
        };
        let mut walk = RecordWalk { path, last_offset: -1, line: String::new() };
        let mut position = 0;
        while let Some(frame) = file.frame_at(position, end)? {
            if frame.magic < 2 {
                self.message_set(&mut file, &frame, &mut walk)?;
            } else {
                self.batch(&mut file, &frame, &mut walk)?;
            }
            position = frame.end();
        }
        let trailing = end - position;
        if trailing > 0 && self.options.max_bytes == i32::MAX {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            writeln!(self.out, "Found {trailing} invalid bytes at the end of {name}")?;
        }
        Ok(())
    }

    fn batch(&mut self, file: &mut SegmentFile, frame: &Frame, walk: &mut RecordWalk) -> Result<(), InspectError> {
        let header = file.header(frame)?;
        let BatchHeader { attributes, base_offset, records_count, producer_id, producer_epoch, .. } = header;
        let last_sequence = match header.base_sequence {
            -1 => -1,
            base => java_increment(base, header.last_offset_delta),
        };
        write!(
            self.out,
            "baseOffset: {base_offset} lastOffset: {} count: {records_count} baseSequence: {} lastSequence: \
             {last_sequence} producerId: {producer_id} producerEpoch: {producer_epoch} partitionLeaderEpoch: {} \
             isTransactional: {} isControl: {} deleteHorizonMs: ",
            header.last_offset(),
            header.base_sequence,
            header.partition_leader_epoch,
            attributes.transactional(),
            attributes.control(),
        )?;
        match attributes.delete_horizon() {
            true => write!(self.out, "OptionalLong[{}]", header.base_timestamp)?,
            false => write!(self.out, "OptionalLong.empty")?,
        }
        let time = time(attributes);
        self.end_of_batch_line(file, frame, &header, time)?;
        if self.options.deep && records_count != 0 {
            let corrupt = corrupt_batch(walk.path, frame);
            for record in file.batch(frame)?.records().map_err(&corrupt)? {
                self.record(&header, time, &record.map_err(&corrupt)?, walk)?;
            }
        }
        Ok(())
    }

    /// A message of magic 0 or 1, and the messages inside if it is a wrapper.
    fn message_set(
        &mut self,
        file: &mut SegmentFile,
        frame: &Frame,
        walk: &mut RecordWalk,
    ) -> Result<(), InspectError> {
        write!(self.out, "offset: {}", frame.offset)?;
        let header = file.header(frame)?;
        let time = if frame.magic == 0 { "NoTimestampType" } else { time(header.attributes) };
        self.end_of_batch_line(file, frame, &header, time)?;
        if self.options.deep {
            let corrupt = corrupt_batch(walk.path, frame);
            for message in file.batch(frame)?.messages().map_err(&corrupt)? {
                self.message(&message.map_err(&corrupt)?, time, walk)?;
            }
        }
        Ok(())
    }

    fn end_of_batch_line(
        &mut self,
        file: &mut SegmentFile,
        frame: &Frame,
        header: &BatchHeader,
        time: &str,
    ) -> Result<(), InspectError> {
        let codec = codec(file, frame, header.attributes)?;
        let whole = frame.magic < 2 || frame.size >= HEADER_BYTES;
        let valid = whole && file.computed_crc(frame)? == header.crc;
        writeln!(
            self.out,
            " position: {} {time}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {valid}",
            frame.position,
            header.max_timestamp,
            frame.size,
            frame.magic,
            codec.name(),
            header.crc,
        )?;
        Ok(())
    }

    fn record(
        &mut self,
        header: &BatchHeader,
        time: &str,
        record: &Record,
        walk: &mut RecordWalk,
    ) -> Result<(), InspectError> {
        self.follow(record.offset, walk);
        let Record { offset, timestamp, key, value, headers } = record;
        let control = header.attributes.control();
        let mut separator = "| ";
        if !self.options.skip_record_metadata {
            let sequence = match header.base_sequence {
                0.. => add_sequence(header.base_sequence, (offset - header.base_offset) as i32),
                _ => -1,
            };
            write!(
                self.out,
                "| offset: {offset} {time}: {timestamp} keySize: {} valueSize: {} sequence: {sequence} headerKeys: [",
                size(key),
                size(value),
            )?;
            walk.line.clear();
            for (n, header) in headers.iter().enumerate() {
                if n > 0 {
                    walk.line.push(',');
                }
                push_utf8(&mut walk.line, &header.key);
            }
            walk.line.push(']');
            self.out.write_all(walk.line.as_bytes())?;
            if control {
                self.control(record, walk)?;
            }
            separator = " ";
        }
        if !control {
            self.content(separator, *offset, key.as_ref(), value.as_ref(), walk)?;
        }
        Ok(writeln!(self.out)?)
    }

    /// The record of a control batch.
    fn control(&mut self, record: &Record, walk: &RecordWalk) -> Result<(), InspectError> {
        let corrupt = |what| InspectError::corrupt(walk.path, format!("at offset {}: {what}", record.offset));
        let key = record.key.as_deref().and_then(|key| key.first_chunk::<4>());
        let [a, b, c, d] = *key.ok_or_else(|| corrupt("a control record's key is too short"))?;
        if i16::from_be_bytes([a, b]) < 0 {
            return Err(corrupt("the version of a control record's key is negative"));
        }
        let kind = i16::from_be_bytes([c, d]);
        let name = match kind {
            0 => "ABORT",
            1 => "COMMIT",
            2 => "LEADER_CHANGE",
            3 => "SNAPSHOT_HEADER",
            4 => "SNAPSHOT_FOOTER",
            5 => "KRAFT_VERSION",
            6 => "KRAFT_VOTERS",
            _ => "UNKNOWN",
        };
        if !matches!(kind, 0 | 1) {
            return Ok(write!(self.out, " controlType: {name}({kind})")?);
        }
        let value = record.value.as_deref().and_then(|value| value.first_chunk::<6>());
        let [v, w, epoch @ ..] = *value.ok_or_else(|| corrupt("the value of an end marker is too short"))?;
        if i16::from_be_bytes([v, w]) < 0 {
            return Err(corrupt("the version of an end marker is negative"));
        }
        let epoch = i32::from_be_bytes(epoch);
        Ok(write!(self.out, " endTxnMarker: {name} coordinatorEpoch: {epoch}")?)
    }

    fn message(&mut self, message: &Message, time: &str, walk: &mut RecordWalk) -> Result<(), InspectError> {
        self.follow(message.offset, walk);
        let Message { offset, timestamp, key, value, .. } = message;
        let mut separator = "| ";
        if !self.options.skip_record_metadata {
            // The bracket is Kafka's.
            write!(
                self.out,
                "| offset: {offset} {time}: {timestamp} keySize: {} valueSize: {} isValid: {} crc: {}}}",
                size(key),
                size(value),
                message.crc_holds(),
                message.crc(),
            )?;
            separator = " ";
        }
        self.content(separator, *offset, key.as_ref(), value.as_ref(), walk)?;
        Ok(writeln!(self.out)?)
    }

    /// Key and value, if they are wanted.
    fn content(
        &mut self,
        separator: &str,
        offset: i64,
        key: Option<&Bytes>,
        value: Option<&Bytes>,
        walk: &mut RecordWalk,
    ) -> Result<(), InspectError> {
        let Some(content) = self.options.print_content else { return Ok(()) };
        walk.line.clear();
        Printer { content, path: walk.path }.print(&mut walk.line, separator, offset, key, value)?;
        Ok(self.out.write_all(walk.line.as_bytes())?)
    }

    /// Notes a gap before this offset.
    fn follow(&mut self, offset: i64, walk: &mut RecordWalk) {
        if walk.last_offset != -1 && offset != walk.last_offset.wrapping_add(1) {
            self.gaps.add(walk.path, (walk.last_offset, offset));
        }
        walk.last_offset = offset;
    }
}

fn size(bytes: &Option<Bytes>) -> i64 {
    bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64)
}

fn time(attributes: Attributes) -> &'static str {
    if attributes.log_append_time() { "LogAppendTime" } else { "CreateTime" }
}

fn corrupt_batch(path: &Path, frame: &Frame) -> impl Fn(RecordError) -> InspectError {
    move |error| InspectError::corrupt(path, format!("at position {}: {error}", frame.position))
}

fn codec(file: &SegmentFile, frame: &Frame, attributes: Attributes) -> Result<Codec, InspectError> {
    attributes.codec().ok_or_else(|| {
        let what = format!("at position {}: unknown compression type {}", frame.position, attributes.0 & 7);
        InspectError::corrupt(&file.path, what)
    })
}

/// `DefaultRecordBatch.incrementSequence`, for any input.
fn java_increment(sequence: i32, increment: i32) -> i32 {
    if sequence > i32::MAX.wrapping_sub(increment) {
        increment.wrapping_sub(i32::MAX.wrapping_sub(sequence)).wrapping_sub(1)
    } else {
        sequence.wrapping_add(increment)
    }
}
