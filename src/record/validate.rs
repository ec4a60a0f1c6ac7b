//! What a leader checks before it appends, and the header that it will write.
//!
//! Nothing here needs the log: offsets and the leader epoch lie outside the CRC and are set last, by
//! [`PreparedBatch::place`]. So all of it runs before the log's lock is taken.
//! Source: `LogValidator` and `UnifiedLog.analyzeAndValidateRecords` of Kafka 3.9.

use bytes::Bytes;

use super::batch::{Attributes, Batch, BatchError, BatchHeader, HEADER_BYTES, batches};
use super::build::{BatchBuilder, NO_TIMESTAMP};
use super::codec::{Codec, CodecError, Compression};
use super::convert::{self, PreparedMessages};
use super::records::{RecordError, RecordSummary, walk};
use crate::error::ErrorCode;

/// Who appends; decides what is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A produce request: everything is checked.
    Client,
    /// This broker's group or transaction coordinator; may write control batches.
    Coordinator,
    /// A copy from the leader: taken as it is.
    Replication,
}

/// The topic's settings that matter for the check, and the time.
#[derive(Clone, Debug)]
pub struct ValidateOptions {
    pub origin: AppendOrigin,
    /// Wall clock, milliseconds; taken once for the append.
    pub now_ms: i64,
    /// `message.timestamp.type`: does the log stamp the records?
    pub log_append_time: bool,
    pub timestamp_before_max_ms: i64,
    pub timestamp_after_max_ms: i64,
    pub max_message_bytes: usize,
    /// The format that the topic is kept in: 2, or 0 or 1 for `message.format.version` under an old protocol.
    pub target_magic: i8,
    /// Does the cleanup policy contain `compact`? Then every record needs a key.
    pub compacted: bool,
    /// What `compression.type` asks for; `None` for `producer`: keep the batch's codec.
    pub compression: Option<Compression>,
}

/// One record that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordFault {
    /// Position in the batch, from 0.
    pub index: i32,
    pub message: String,
}

/// Why an append was refused before the log was asked.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("{0}")]
    InvalidRecord(String),
    #[error("batch of {size} bytes exceeds max.message.bytes, {limit}")]
    TooLarge { size: usize, limit: usize },
    #[error("{}", rejected(*.code, .faults))]
    Records { code: ErrorCode, faults: Vec<RecordFault> },
    #[error("zstd needs Produce version 7 or later")]
    ZstdNotSupported,
    #[error("transactional and idempotent records cannot be kept in an older format")]
    NeedsCurrentFormat,
    /// Kafka fails here, too, without a better code.
    #[error("the records cannot be written: {0}")]
    Unwritable(&'static str),
    #[error(transparent)]
    Content(#[from] RecordError),
}

fn rejected(code: ErrorCode, faults: &[RecordFault]) -> String {
    if code == ErrorCode::InvalidTimestamp {
        return "One or more records have been rejected due to invalid timestamp".into();
    }
    // As Java prints the list.
    let first = faults
        .iter()
        .take(3)
        .map(|fault| format!("RecordError(batchIndex={}, message='{}')", fault.index, fault.message));
    let first = first.collect::<Vec<_>>().join(", ");
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first three errors at most: [{first}]",
        faults.len()
    )
}

impl From<&ValidateError> for ErrorCode {
    fn from(error: &ValidateError) -> ErrorCode {
        match error {
            ValidateError::Batch(error) => error.into(),
            ValidateError::InvalidRecord(_) => ErrorCode::InvalidRecord,
            ValidateError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            ValidateError::Records { code, .. } => *code,
            ValidateError::ZstdNotSupported => ErrorCode::UnsupportedCompressionType,
            ValidateError::NeedsCurrentFormat => ErrorCode::UnsupportedForMessageFormat,
            ValidateError::Unwritable(_) => ErrorCode::UnknownServerError,
            ValidateError::Content(error) => error.into(),
        }
    }
}

/// A batch that passed: a header of its own, and the records of the request, shared.
#[derive(Clone, Debug)]
pub struct PreparedBatch {
    pub header: BatchHeader,
    /// The records; with the header in front they are the batch.
    pub payload: Bytes,
}

impl PreparedBatch {
    /// Sets the offset and the leader epoch. Neither is covered by the CRC.
    pub fn place(&mut self, base_offset: i64, leader_epoch: i32) {
        self.header.base_offset = base_offset;
        self.header.partition_leader_epoch = leader_epoch;
    }

    /// A batch in one piece, taken apart.
    pub(super) fn read(bytes: Bytes) -> Result<Self, BatchError> {
        Ok(Self { header: BatchHeader::read(&bytes)?, payload: bytes.slice(HEADER_BYTES..) })
    }

    /// The batch in one piece (copies the records).
    pub fn to_batch(&self) -> Batch {
        let mut bytes = Vec::with_capacity(self.header.size());
        bytes.extend_from_slice(&self.header.encode());
        bytes.extend_from_slice(&self.payload);
        Batch { header: self.header, bytes: bytes.into() }
    }
}

impl From<Batch> for PreparedBatch {
    fn from(batch: Batch) -> Self {
        Self { header: batch.header, payload: batch.payload() }
    }
}

/// What is to be written.
#[derive(Clone, Debug)]
pub enum Content {
    Batch(PreparedBatch),
    /// Messages of an older format.
    Messages(PreparedMessages),
    /// An old client's set without a whole message: the append succeeds and does nothing.
    Nothing,
}

/// Records that passed every check which needs no log.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub content: Content,
    pub origin: AppendOrigin,
    /// The append's time if the topic stamps its records.
    pub log_append_time: Option<i64>,
    /// Was the batch built anew? Then it may have become larger.
    pub rebuilt: bool,
    /// Records whose batch had to be built anew.
    pub converted_records: i32,
}

impl Prepared {
    pub(super) fn new(content: Content, options: &ValidateOptions, rebuilt: bool, converted_records: i32) -> Self {
        let log_append_time = options.log_append_time.then_some(options.now_ms);
        Self { content, origin: options.origin, log_append_time, rebuilt, converted_records }
    }
}

/// What Kafka checks of a produce request before anything else: exactly one v2 batch, from version 3 on.
pub fn check_produce(records: &Bytes, api_version: i16) -> Result<(), ValidateError> {
    if api_version < 3 {
        return Ok(());
    }
    let invalid =
        |text: &str| Err(ValidateError::InvalidRecord(format!("Produce requests with version {api_version} {text}")));
    let mut list = batches(records.clone());
    match list.next().transpose() {
        Ok(None) => return invalid("must have at least one record batch per partition"),
        Ok(Some(batch)) if batch.header.magic < 2 => {
            return invalid("are only allowed to contain record batches with magic version 2");
        }
        Ok(Some(batch)) if batch.header.attributes.codec() == Some(Codec::Zstd) && api_version < 7 => {
            return Err(ValidateError::ZstdNotSupported);
        }
        Ok(Some(_)) => {}
        Err(error) => return Err(error.into()),
    }
    match list.next() {
        None => Ok(()),
        Some(Ok(_)) => invalid("are only allowed to contain exactly one record batch per partition"),
        Some(Err(error)) => Err(error.into()),
    }
}

/// Checks records for an append by the leader and prepares the batch to write.
///
/// The common path touches no record bytes: the records are walked (streamed if compressed) and only the header is
/// made anew. They are built anew if the topic asks for another codec, or if inner offsets of a compressed batch are
/// not 0, 1, 2…
pub fn validate(records: &Bytes, options: &ValidateOptions) -> Result<Prepared, ValidateError> {
    let Some((batch, several)) = first_batch(records, options)? else {
        return convert::validate_set(records, options);
    };
    if several {
        return Err(ValidateError::InvalidRecord("Compressed outer record has more than one batch".into()));
    }
    if options.target_magic < 2 {
        return convert::validate_batch(&batch, options);
    }
    check_header(&batch.header, options.origin)?;

    let attributes = batch.header.attributes;
    let source = attributes.codec().ok_or(RecordError::Codec(CodecError::UnknownCodec(attributes.0 & 7)))?;
    let target = options.compression.unwrap_or(source.into());
    let uncompressed = source == Codec::None && (target.codec == Codec::None || attributes.control());

    let mut faults = Faults::default();
    let mut max_timestamp = NO_TIMESTAMP;
    let mut dense = true;
    walk(&batch, |record| {
        if options.compacted && !record.has_key {
            faults.add(ErrorCode::InvalidRecord, record.index, || {
                "Compacted topic cannot accept message without key".into()
            });
        } else if let Some(message) = timestamp_fault(&sent(&record, attributes), options) {
            faults.add(ErrorCode::InvalidTimestamp, record.index, || message);
        }
        max_timestamp = max_timestamp.max(record.timestamp);
        dense &= record.offset_delta == record.index;
    })?;
    faults.into_result()?;

    let log_append_time = options.log_append_time.then_some(options.now_ms);
    if uncompressed || (source == target.codec && dense) {
        let batch = restamp(batch, log_append_time, max_timestamp);
        return Ok(Prepared::new(Content::Batch(batch), options, false, 0));
    }
    let batch = rebuild(&batch, target, log_append_time)?;
    check_size(batch.header.size(), options.max_message_bytes)?;
    let converted_records = batch.header.records_count;
    Ok(Prepared::new(Content::Batch(batch), options, true, converted_records))
}

/// The first batch of a v2 append, and whether there are more; sizes and CRCs are checked. `None` if the set begins with
/// an older message, or with none that is whole.
fn first_batch(records: &Bytes, options: &ValidateOptions) -> Result<Option<(Batch, bool)>, ValidateError> {
    let mut first = None;
    let mut several = false;
    for batch in batches(records.clone()) {
        let batch = batch?;
        if first.is_none() && batch.header.magic < 2 {
            return Ok(None);
        }
        if options.origin == AppendOrigin::Client && batch.header.magic == 2 && batch.header.base_offset != 0 {
            let text =
                format!("The baseOffset of the record batch should be 0, but it is {}", batch.header.base_offset);
            return Err(ValidateError::InvalidRecord(text));
        }
        check_size(batch.header.size(), options.max_message_bytes)?;
        batch.check_crc()?;
        several |= first.is_some();
        first.get_or_insert(batch);
    }
    Ok(first.map(|first| (first, several)))
}

pub(super) fn check_size(size: usize, limit: usize) -> Result<(), ValidateError> {
    if size > limit { Err(ValidateError::TooLarge { size, limit }) } else { Ok(()) }
}

pub(super) fn check_header(header: &BatchHeader, origin: AppendOrigin) -> Result<(), ValidateError> {
    if origin != AppendOrigin::Client {
        return Ok(());
    }
    let by_offsets = i64::from(header.last_offset_delta) + 1;
    let text = if by_offsets <= 0 {
        format!("Batch has an invalid offset range: [{}, {}]", header.base_offset, header.last_offset())
    } else if header.records_count <= 0 {
        format!("Invalid reported count for record batch: {}", header.records_count)
    } else if by_offsets != i64::from(header.records_count) {
        format!(
            "Inconsistent batch offset range [{}, {}] and count of records {}",
            header.base_offset,
            header.last_offset(),
            header.records_count
        )
    } else if header.attributes.control() {
        "Clients are not allowed to write control records".into()
    } else if header.has_producer_id() && header.base_sequence < 0 {
        format!(
            "Invalid sequence number {} in record batch with producerId {}",
            header.base_sequence, header.producer_id
        )
    } else {
        return Ok(());
    };
    Err(ValidateError::InvalidRecord(text))
}

/// A record's time as its producer sent it.
pub(super) struct Sent {
    /// Does it say that the log stamped it?
    pub stamped: bool,
    pub offset: i64,
    pub timestamp: i64,
}

fn sent(record: &RecordSummary, attributes: Attributes) -> Sent {
    Sent { stamped: attributes.log_append_time(), offset: i64::from(record.offset_delta), timestamp: record.timestamp }
}

pub(super) fn timestamp_fault(sent: &Sent, options: &ValidateOptions) -> Option<String> {
    let Sent { stamped, offset, timestamp } = *sent;
    if !options.log_append_time && timestamp != NO_TIMESTAMP {
        let (before, after) = (options.timestamp_before_max_ms, options.timestamp_after_max_ms);
        let ahead = timestamp.saturating_sub(options.now_ms);
        if ahead > after || ahead.saturating_neg() > before {
            let (low, high) = (options.now_ms.saturating_sub(before), options.now_ms.saturating_add(after));
            return Some(format!(
                "Timestamp {timestamp} of message with offset {offset} is out of range. The timestamp should be within [{low}, {high}]"
            ));
        }
        None
    } else if stamped {
        Some("Invalid timestamp type: producer should not set timestamp type to LogAppendTime".into())
    } else {
        None
    }
}

/// The same records under a header with the right timestamps; the CRC is computed only if they differ.
fn restamp(batch: Batch, log_append_time: Option<i64>, max_timestamp: i64) -> PreparedBatch {
    let mut batch = PreparedBatch::from(batch);
    let header = &mut batch.header;
    let bits = header.attributes.0 & !Attributes::LOG_APPEND_TIME;
    let (bits, max_timestamp) = match log_append_time {
        Some(now) => (bits | Attributes::LOG_APPEND_TIME, now),
        None => (bits, max_timestamp),
    };
    if header.attributes.0 != bits || header.max_timestamp != max_timestamp {
        header.attributes.0 = bits;
        header.max_timestamp = max_timestamp;
        header.crc = header.compute_crc(&batch.payload);
    }
    batch
}

fn rebuild(batch: &Batch, target: Compression, log_append_time: Option<i64>) -> Result<PreparedBatch, ValidateError> {
    let header = &batch.header;
    let keep = Attributes::TRANSACTIONAL | Attributes::CONTROL;
    let mut builder = BatchBuilder::new().compression(target).attributes(header.attributes.0 & keep).producer(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
    );
    if let Some(now) = log_append_time {
        builder = builder.log_append_time(now);
    }
    if header.has_producer_id() && header.producer_epoch < 0 {
        return Err(ValidateError::Unwritable("a producer id without an epoch"));
    }
    for record in batch.records()? {
        let record = record?;
        convert::check_writable(&record)?;
        let headers: Vec<_> = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    Ok(PreparedBatch::read(builder.build())?)
}

/// The records of a batch that were refused; the code of the worst.
#[derive(Default)]
pub(super) struct Faults {
    list: Vec<RecordFault>,
    timestamp: bool,
}

impl Faults {
    pub fn add(&mut self, code: ErrorCode, index: i32, message: impl FnOnce() -> String) {
        self.timestamp |= code == ErrorCode::InvalidTimestamp;
        self.list.push(RecordFault { index, message: message() });
    }

    pub fn into_result(self) -> Result<(), ValidateError> {
        if self.list.is_empty() {
            return Ok(());
        }
        let code = if self.timestamp { ErrorCode::InvalidTimestamp } else { ErrorCode::InvalidRecord };
        Err(ValidateError::Records { code, faults: self.list })
    }
}
