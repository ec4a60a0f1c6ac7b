//! Record batches: reading, checking, building, compressing.
//!
//! Pure functions over bytes: no files, no sockets, no clock. The formats are those of Kafka's
//! `org.apache.kafka.common.record`; a batch of magic 2 is
//!
//! ```text
//! base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 | last offset delta i32 |
//! base timestamp i64 | max timestamp i64 | producer id i64 | producer epoch i16 | base sequence i32 | count i32 | records
//! ```
//!
//! The CRC covers everything after itself, so a leader may set the offset and its epoch without touching it; that is
//! what makes the common append free of copies. Only the records are compressed, never the header.
//! The messages of the formats before (magic 0 and 1) are read through the same [`Batch`], one message a batch.

mod batch;
mod build;
mod codec;
mod control;
mod convert;
mod down_convert;
mod legacy;
mod message_set;
mod rebatch;
mod records;
mod validate;
mod varint;

pub use batch::{Attributes, Batch, BatchError, BatchHeader, Batches, HEADER_BYTES, PREFIX_BYTES, batches, frame};
pub(crate) use batch::{add_sequence, check_crc};
pub use build::{BatchBuilder, NO_TIMESTAMP};
pub use codec::{Codec, CodecError, Compression, DECOMPRESSED_LIMIT_BYTES};
pub use control::{EndMarker, EndTxn, end_txn_batch};
pub use convert::{PlacedMessages, PreparedMessages};
pub use down_convert::{DownConvertError, down_convert};
pub use legacy::{Message, Messages};
pub use message_set::MessageSetBuilder;
pub use rebatch::{RawRecord, RawRecords, emptied, raw_records, write_thinned};
pub use records::{Header, Record, RecordError, RecordSummary, Records, walk};
pub use validate::{
    AppendOrigin, Content, Prepared, PreparedBatch, RecordFault, ValidateError, ValidateOptions, check_produce,
    validate,
};
pub use varint::{put_varint, put_varlong, varint_len, varlong_len};
