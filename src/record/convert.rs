//! A leader's check of records that are, or become, messages of magic 0 or 1.
//!
//! Old producers' sets become one v2 batch; topics that are kept in an old format get old messages. The set is walked
//! twice, once to check and once to build, so that nothing is held per record.
//! Source: `LogValidator` of Kafka 3.9.

use bytes::Bytes;

use super::batch::{Batch, batches};
use super::build::{BatchBuilder, NO_TIMESTAMP};
use super::codec::{Codec, CodecError, Compression};
use super::legacy::Messages;
use super::message_set::{MessageSetBuilder, for_each_message, restamp, shift_offsets};
use super::records::{Record, RecordError, Records};
use super::validate::{
    Content, Faults, Prepared, PreparedBatch, Sent, ValidateError, ValidateOptions, check_header, check_size,
    timestamp_fault,
};
use crate::error::ErrorCode;

/// A message set that passed. Its first offset is 0 until it is placed.
#[derive(Clone, Debug)]
pub struct PreparedMessages {
    stored: Stored,
    /// Number of records.
    pub count: i32,
    /// Largest timestamp and the offset of its batch.
    max_timestamp: (i64, i64),
    max_message_bytes: usize,
}

/// How the offsets get into a set.
#[derive(Clone, Debug)]
enum Stored {
    /// Messages by themselves.
    Plain(Vec<u8>),
    /// A magic 1 wrapper: its own offset is that of the last one inside.
    Wrapper(Vec<u8>),
    /// Magic 0 has the offsets inside the wrapper: it can be compressed only when they are known.
    Wrapping(MessageSetBuilder),
}

/// A message set with its final offsets.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacedMessages {
    pub bytes: Bytes,
    /// Largest timestamp and the offset of its batch; (-1, -1) in magic 0.
    pub max_timestamp: (i64, i64),
}

impl PreparedMessages {
    /// Assigns the offsets from `base_offset` on. Errors if a message has become too large.
    pub fn place(self, base_offset: i64) -> Result<PlacedMessages, ValidateError> {
        let bytes = match self.stored {
            Stored::Plain(mut set) => {
                shift_offsets(&mut set, base_offset);
                set
            }
            Stored::Wrapper(mut message) => {
                let last = base_offset + i64::from(self.count) - 1;
                message[..8].copy_from_slice(&last.to_be_bytes());
                message
            }
            Stored::Wrapping(mut builder) => {
                builder.shift(base_offset);
                let message = builder.build();
                check_size(message.len(), self.max_message_bytes)?;
                message
            }
        };
        let max_timestamp = match self.max_timestamp {
            (timestamp, at) if at >= 0 => (timestamp, at + base_offset),
            none => none,
        };
        Ok(PlacedMessages { bytes: bytes.into(), max_timestamp })
    }
}

/// The one v2 batch of a client, for a topic of magic 0 or 1.
pub(super) fn validate_batch(batch: &Batch, options: &ValidateOptions) -> Result<Prepared, ValidateError> {
    check_header(&batch.header, options.origin)?;
    if batch.header.attributes.transactional() || batch.header.has_producer_id() {
        return Err(ValidateError::NeedsCurrentFormat);
    }
    let source = batch.header.attributes.codec();
    let source = source.ok_or(RecordError::Codec(CodecError::UnknownCodec(batch.header.attributes.0 & 7)))?;
    let records = batch.records()?;
    let mut faults = Faults::default();
    for (index, record) in records.clone().enumerate() {
        check_record(&record?, index as i32, batch.header.attributes.log_append_time(), options, &mut faults);
    }
    faults.into_result()?;
    rebuild(records, source, options)
}

/// A set of messages of magic 0 or 1. What is cut off at the end is left out.
pub(super) fn validate_set(records: &Bytes, options: &ValidateOptions) -> Result<Prepared, ValidateError> {
    let Some(set) = Set::check(records, options)? else {
        return Ok(Prepared::new(Content::Nothing, options, false, 0));
    };
    let target = options.compression.unwrap_or(set.source.into()).codec;
    let mut in_place = set.magic == options.target_magic
        && set.source == target
        && (set.source == Codec::None || options.target_magic == 1);

    let wrapped = set.source != Codec::None;
    let mut faults = Faults::default();
    let mut max_timestamp = (NO_TIMESTAMP, -1);
    let mut count = 0;
    for message in set.messages.clone() {
        let message = message?;
        // Each message that is not wrapped is a batch of its own.
        let index = if wrapped { count } else { 0 };
        if wrapped && message.codec != Some(Codec::None) {
            return Err(RecordError::Invalid("a message in a wrapper is compressed").into());
        }
        if message.magic != set.magic {
            let text = || format!("Record's magic {} does not match outer magic {}", message.magic, set.magic);
            if !wrapped {
                return Err(ValidateError::InvalidRecord(text()));
            }
            faults.add(ErrorCode::InvalidRecord, index, text);
        } else {
            if wrapped && !message.crc_holds() {
                return Err(RecordError::Corrupt("the crc of a message in a wrapper is wrong").into());
            }
            let stamped = if wrapped { set.stamped } else { message.stamped };
            check_record(&message.into_record(), index, stamped, options, &mut faults);
        }
        if !wrapped {
            std::mem::take(&mut faults).into_result()?;
        }
        count += 1;
    }
    faults.into_result()?;
    let records = Records::of_messages(set.messages.clone(), wrapped);
    if in_place {
        for (expected, record) in records.clone().enumerate() {
            let record = record?;
            if record.timestamp > max_timestamp.0 {
                max_timestamp = (record.timestamp, expected as i64);
            }
            in_place &= !wrapped || record.offset == expected as i64;
        }
    }
    if !in_place {
        return rebuild(records, set.source, options);
    }
    let now = options.log_append_time.then_some(options.now_ms);
    if set.magic == 0 {
        max_timestamp = (NO_TIMESTAMP, -1);
    } else if let Some(now) = now {
        max_timestamp = (now, 0);
    }
    let mut bytes = set.bytes.to_vec();
    let stored = if wrapped {
        restamp(&mut bytes, now.is_some(), max_timestamp.0);
        max_timestamp.1 = i64::from(count) - 1;
        Stored::Wrapper(bytes)
    } else {
        let mut offset = 0i64;
        for_each_message(&mut bytes, |message| {
            message[..8].copy_from_slice(&offset.to_be_bytes());
            offset += 1;
            if set.magic == 1 {
                let own = i64::from_be_bytes(message[18..26].try_into().expect("eight bytes"));
                restamp(message, now.is_some(), now.unwrap_or(own));
            }
        });
        Stored::Plain(bytes)
    };
    let messages = PreparedMessages { stored, count, max_timestamp, max_message_bytes: options.max_message_bytes };
    Ok(Prepared::new(Content::Messages(messages), options, false, 0))
}

/// A message set whose sizes and CRCs are right.
struct Set {
    bytes: Bytes,
    magic: i8,
    source: Codec,
    /// Does the wrapper say that the log stamped it?
    stamped: bool,
    messages: Messages,
}

impl Set {
    /// `None` if there is not a single whole message.
    fn check(records: &Bytes, options: &ValidateOptions) -> Result<Option<Self>, ValidateError> {
        let mut first: Option<Batch> = None;
        let mut source = Codec::None;
        let (mut several, mut len) = (false, 0);
        for batch in batches(records.clone()) {
            let batch = batch?;
            check_size(batch.header.size(), options.max_message_bytes)?;
            batch.check_crc()?;
            let bits = batch.header.attributes.0 & 7;
            match Codec::from_id(bits).ok_or(RecordError::Codec(CodecError::UnknownCodec(bits)))? {
                Codec::None => {}
                codec => source = codec,
            }
            len += batch.header.size();
            several |= first.is_some();
            first.get_or_insert(batch);
        }
        let Some(first) = first else { return Ok(None) };
        if source != Codec::None && several {
            return Err(ValidateError::InvalidRecord("Compressed outer record has more than one batch".into()));
        }
        let bytes = records.slice(..len);
        let messages = if source == Codec::None { Messages::of_set(bytes.clone()) } else { first.messages()? };
        let stamped = first.header.attributes.log_append_time();
        Ok(Some(Self { bytes, magic: first.header.magic, source, stamped, messages }))
    }
}

fn check_record(record: &Record, index: i32, stamped: bool, options: &ValidateOptions, faults: &mut Faults) {
    if options.compacted && record.key.is_none() {
        faults.add(ErrorCode::InvalidRecord, index, || "Compacted topic cannot accept message without key".into());
        return;
    }
    let sent = Sent { stamped, offset: record.offset, timestamp: record.timestamp };
    if let Some(message) = timestamp_fault(&sent, options) {
        faults.add(ErrorCode::InvalidTimestamp, index, || message);
    }
}

/// Builds the records anew in the topic's format and codec.
fn rebuild(records: Records, source: Codec, options: &ValidateOptions) -> Result<Prepared, ValidateError> {
    let target = options.compression.unwrap_or(source.into());
    let now = options.log_append_time.then_some(options.now_ms);
    if options.target_magic == 2 {
        return rebuild_batch(records, target, now, options);
    }
    if target.codec == Codec::Zstd {
        return Err(ValidateError::Unwritable("there is no zstd before magic 2"));
    }
    let mut builder = MessageSetBuilder::new(options.target_magic, target, now);
    for (offset, record) in records.enumerate() {
        let record = record?;
        check_writable(&record)?;
        if !record.headers.is_empty() {
            return Err(ValidateError::Unwritable("there are no headers before magic 2"));
        }
        builder.push(offset as i64, record.timestamp, record.key.as_deref(), record.value.as_deref());
    }
    let (count, max_timestamp) = (builder.len() as i32, builder.max_timestamp());
    let stored = match target.codec {
        Codec::None => {
            let mut set = builder.build();
            let mut largest = 0;
            for_each_message(&mut set, |message| largest = largest.max(message.len()));
            check_size(largest, options.max_message_bytes)?;
            Stored::Plain(set)
        }
        _ if options.target_magic == 0 => Stored::Wrapping(builder),
        _ => {
            let message = builder.build();
            check_size(message.len(), options.max_message_bytes)?;
            Stored::Wrapper(message)
        }
    };
    let messages = PreparedMessages { stored, count, max_timestamp, max_message_bytes: options.max_message_bytes };
    Ok(Prepared::new(Content::Messages(messages), options, true, count))
}

fn rebuild_batch(
    records: Records,
    target: Compression,
    now: Option<i64>,
    options: &ValidateOptions,
) -> Result<Prepared, ValidateError> {
    let mut builder = BatchBuilder::new().compression(target);
    if let Some(now) = now {
        builder = builder.log_append_time(now);
    }
    for record in records {
        let record = record?;
        check_writable(&record)?;
        builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &[]);
    }
    let count = builder.len() as i32;
    let batch = PreparedBatch::read(builder.build())?;
    check_size(batch.header.size(), options.max_message_bytes)?;
    Ok(Prepared::new(Content::Batch(batch), options, true, count))
}

pub(super) fn check_writable(record: &Record) -> Result<(), ValidateError> {
    if record.timestamp < NO_TIMESTAMP {
        return Err(ValidateError::Unwritable("a timestamp is negative"));
    }
    Ok(())
}
