//! `.snapshot` and `.txnindex` files.

use std::path::Path;

use super::{Dump, base_offset};
use crate::log::inspect::InspectError;
use crate::log::{snapshot, txn_index};

impl Dump<'_> {
    pub(super) fn snapshot(&mut self, path: &Path) -> Result<(), InspectError> {
        let bytes = std::fs::read(path).map_err(InspectError::file(path))?;
        let Some(entries) = snapshot::decode(&bytes) else {
            return self.complain(format_args!("{}", fault(&bytes)));
        };
        for entry in entries {
            write!(
                self.out,
                "producerId: {} producerEpoch: {} coordinatorEpoch: {} currentTxnFirstOffset: ",
                entry.producer_id, entry.epoch, entry.coordinator_epoch
            )?;
            match entry.txn_first_offset {
                -1 => write!(self.out, "OptionalLong.empty")?,
                offset => write!(self.out, "OptionalLong[{offset}]")?,
            }
            write!(self.out, " lastTimestamp: {} ", entry.timestamp)?;
            if entry.last_offset >= 0 {
                let first_sequence = java_decrement(entry.last_sequence, entry.offset_delta);
                write!(
                    self.out,
                    "firstSequence: {first_sequence} lastSequence: {} lastOffset: {} offsetDelta: {} timestamp: {}",
                    entry.last_sequence, entry.last_offset, entry.offset_delta, entry.timestamp
                )?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    pub(super) fn txn_index(&mut self, path: &Path) -> Result<(), InspectError> {
        base_offset(path)?;
        let bytes = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            read => read.map_err(InspectError::file(path))?,
        };
        let entries: Vec<_> = txn_index::decode(&bytes).collect();
        if let Some((version, _)) = entries.iter().find(|(version, _)| *version > 0) {
            return Err(InspectError::corrupt(path, format!("unknown version {version} of an entry")));
        }
        for (version, txn) in entries {
            writeln!(
                self.out,
                "version: {version} producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
                txn.producer_id, txn.first_offset, txn.last_offset, txn.last_stable_offset
            )?;
        }
        Ok(())
    }
}

/// Why bytes are no snapshot, in Kafka's words; of an incomplete one Java may say it otherwise after the colon.
fn fault(bytes: &[u8]) -> String {
    let (Some(version), Some(stored), Some(count)) = (
        bytes.first_chunk(),
        bytes.get(2..).and_then(<[u8]>::first_chunk),
        bytes.get(6..).and_then(<[u8]>::first_chunk),
    ) else {
        return "Snapshot failed schema validation: the file is cut off".to_owned();
    };
    let (version, stored) = (i16::from_be_bytes(*version), u32::from_be_bytes(*stored));
    let (count, there) = (i32::from_be_bytes(*count), bytes.len() - 10);
    let computed = crc32c::crc32c(&bytes[6..]);
    if i64::from(count) > there as i64 {
        format!(
            "Snapshot failed schema validation: Error reading field 'producer_entries': Error reading array of size {count}, \
             only {there} bytes available"
        )
    } else if usize::try_from(count).map_or(true, |count| count * snapshot::ENTRY_BYTES > there) {
        format!("Snapshot failed schema validation: {count} entries are not there")
    } else if version != 1 {
        format!("Snapshot contained an unknown file version {version}")
    } else if stored != computed {
        format!("Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}")
    } else {
        "Snapshot failed schema validation: bytes follow the entries".to_owned()
    }
}

/// `DefaultRecordBatch.decrementSequence`, for any input.
fn java_decrement(sequence: i32, decrement: i32) -> i32 {
    if sequence < decrement {
        i32::MAX.wrapping_sub(decrement.wrapping_sub(sequence)).wrapping_add(1)
    } else {
        sequence.wrapping_sub(decrement)
    }
}
