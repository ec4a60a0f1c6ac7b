//! What a leader makes of a produce request, whatever its format.

use barnabas::error::ErrorCode;
use barnabas::record::{
    AppendOrigin, Batch, Content, PreparedBatch, Record, ValidateOptions, batches, down_convert, validate, walk,
};
use bytes::Bytes;

use super::input::{Input, codec};

/// Of a batch, decompressed: what is compared record by record.
const COMPARED_RECORDS: usize = 10_000;

/// A topic's settings from three bytes.
pub fn options(input: &mut Input<'_>, target_magic: i8) -> ValidateOptions {
    let (bits, limits, target) = (input.byte(), input.byte(), input.byte());
    ValidateOptions {
        origin: match bits & 3 {
            0 | 1 => AppendOrigin::Client,
            2 => AppendOrigin::Coordinator,
            _ => AppendOrigin::Replication,
        },
        now_ms: 1_700_000_000_000,
        log_append_time: bits & 4 != 0,
        timestamp_before_max_ms: if limits & 1 == 0 { i64::MAX } else { 1_000 },
        timestamp_after_max_ms: if limits & 2 == 0 { i64::MAX } else { 1_000 },
        max_message_bytes: if limits & 4 == 0 { 1 << 20 } else { 200 },
        target_magic,
        compacted: bits & 8 != 0,
        compression: (target & 1 != 0).then(|| codec(target >> 1).into()),
    }
}

/// Validates; what is accepted is sound, and has the records that were sent.
pub fn check_append(bytes: &Bytes, options: &ValidateOptions) {
    let prepared = match validate(bytes, options) {
        Ok(prepared) => prepared,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_ne!(ErrorCode::from(&error), ErrorCode::None);
            return;
        }
    };
    let placed = match prepared.content {
        Content::Nothing => return,
        Content::Batch(mut batch) => {
            batch.place(77, 5);
            check_batch(&batch, options, stamped(bytes));
            batch.to_batch().bytes
        }
        Content::Messages(messages) => {
            let count = messages.count;
            let Ok(placed) = messages.place(77) else { return };
            check_messages(&placed.bytes, options.target_magic, count);
            placed.bytes
        }
    };
    if let Some(sent) = contents(bytes) {
        let written = contents(&placed).expect("what was accepted can be read");
        assert!(sent == written, "the records are those that were sent");
    }
    check_down_conversion(&placed, 77);
}

/// Does a batch say that a log stamped it? Its records' own times are not checked then, as in Kafka.
fn stamped(bytes: &Bytes) -> bool {
    batches(bytes.clone()).map_while(Result::ok).any(|batch| batch.header.attributes.log_append_time())
}

fn check_batch(batch: &PreparedBatch, options: &ValidateOptions, stamped: bool) {
    let whole = batch.to_batch();
    let again = Batch::read(&whole.bytes).expect("a sound header").expect("a whole batch");
    assert_eq!((again.header, again.header.base_offset), (batch.header, 77));
    again.check_crc().expect("the CRC of what is written");
    if batch.header.records_count >= 0 {
        walk(&again, |record| {
            if options.log_append_time {
                assert_eq!(record.timestamp, options.now_ms);
            }
            assert!(stamped || record.timestamp <= again.header.max_timestamp);
        })
        .expect("records that were accepted");
    }
}

fn check_messages(set: &Bytes, magic: i8, count: i32) {
    let mut next = 77;
    let mut end = 0;
    for batch in batches(set.clone()) {
        let batch = batch.expect("a sound message");
        end += batch.bytes.len();
        assert_eq!(batch.header.magic, magic);
        batch.check_crc().expect("the CRC of what is written");
        for message in batch.messages().expect("a set that was accepted") {
            let message = message.expect("a message that was accepted");
            assert!(message.crc_holds());
            assert_eq!(message.offset, next);
            next += 1;
        }
    }
    assert_eq!((end, next), (set.len(), 77 + i64::from(count)));
}

/// Keys and values of all records; `None` if some cannot be read, or if there are very many.
fn contents(bytes: &Bytes) -> Option<Vec<(Option<Bytes>, Option<Bytes>)>> {
    let mut found = Vec::new();
    for batch in batches(bytes.clone()) {
        for record in batch.ok()?.records().ok()? {
            let Record { key, value, .. } = record.ok()?;
            found.push((key, value));
            if found.len() > COMPARED_RECORDS {
                return None;
            }
        }
    }
    Some(found)
}

/// Converts for old consumers; what comes out are messages, and no more bytes than were promised.
pub fn check_down_conversion(bytes: &Bytes, fetch_offset: i64) {
    for to_magic in [0, 1] {
        let Ok(parts) = down_convert(bytes, to_magic, fetch_offset) else { continue };
        let answer: Bytes = parts.concat().into();
        let first = batches(bytes.clone()).map_while(Result::ok).next().map_or(0, |batch| batch.bytes.len());
        assert!(answer.is_empty() || first > 0);
        for batch in batches(answer).map_while(Result::ok) {
            assert!(batch.header.magic <= to_magic, "magic {}", batch.header.magic);
        }
    }
}
