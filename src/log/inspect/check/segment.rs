//! One segment: its batches, and what is beside them.

use std::path::Path;

use super::indexes::{IndexFault, OffsetIndexCheck, TimeIndexCheck};
use super::{CUT_AT_START, Check, REBUILD, REPLICATE_AGAIN, TAKEN_CARE_OF};
use crate::log::inspect::InspectError;
use crate::log::inspect::frames::{Frame, SegmentFile};
use crate::log::names::{INDEX, LOG, TIME_INDEX, TXN_INDEX};
use crate::log::txn_index::{self, AbortedTxn};
use crate::record::{BatchHeader, EndMarker, EndTxn, RecordError, walk};

/// What the batches of a segment tell about transactions.
#[derive(Default)]
struct Transactions {
    /// ABORT markers: producer and offset.
    aborts: Vec<(i64, i64)>,
    /// Those whose data is still there.
    aborted: Vec<AbortedTxn>,
}

impl Check<'_> {
    pub(super) fn segment(&mut self, base: i64, next_base: Option<i64>) -> Result<(), InspectError> {
        self.totals.segments += 1;
        let path = self.files.file(base, LOG);
        if base < self.end {
            let what = format!("begins below offset {}, where the segment before it ends", self.end);
            self.fault(&path, None, what, REPLICATE_AGAIN);
        }
        self.end = self.end.max(base);
        let mut log = match SegmentFile::open(&path) {
            Err(InspectError::Corrupt { what, .. }) => {
                self.fault(&path, None, what, REPLICATE_AGAIN);
                self.broken = true;
                return Ok(());
            }
            opened => opened?,
        };
        self.totals.bytes += log.len;
        let interval = self.context.index_interval_bytes;
        let mut offsets = OffsetIndexCheck::new(self.read(base, INDEX)?.as_deref(), base, interval);
        let mut times = TimeIndexCheck::new(self.read(base, TIME_INDEX)?.as_deref(), base);
        let mut transactions = Transactions::default();
        let mut sound = true;
        let mut position = 0;
        loop {
            let frame = match log.frame_at(position, u64::MAX) {
                Ok(Some(frame)) => frame,
                Ok(None) if position < log.len => {
                    let what = format!("the last {} bytes are no whole batch", log.len - position);
                    self.unsound(&path, position, self.end, what);
                    sound = false;
                    break;
                }
                Ok(None) => break,
                Err(InspectError::Corrupt { .. }) => {
                    let what = "no batch begins here".to_owned();
                    self.unsound(&path, position, self.end, what);
                    sound = false;
                    break;
                }
                Err(error) => return Err(error),
            };
            position = frame.end();
            self.totals.batches += 1;
            match self.batch(&mut log, &frame, base, &mut transactions)? {
                Some(header) => {
                    let indexed = offsets.batch(frame.position, &header);
                    times.batch(&header, indexed);
                }
                None => sound = false,
            }
        }
        if !sound {
            // Indexes cannot be told from a log that is itself in doubt.
            self.broken = true;
            return Ok(());
        }
        offsets.finish();
        times.finish();
        let active = next_base.is_none();
        self.index(base, INDEX, offsets.fault, offsets.rebuilt, active);
        self.index(base, TIME_INDEX, times.fault, times.rebuilt, active);
        self.transactions(base, &transactions)
    }

    fn read(&self, base: i64, extension: &str) -> Result<Option<Vec<u8>>, InspectError> {
        let path = self.files.file(base, extension);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(InspectError::file(&path)),
        }
    }

    /// Bytes of the log that make no sense.
    fn unsound(&mut self, path: &Path, position: u64, offset: i64, what: String) {
        let advice = if self.will_be_recovered(offset) { CUT_AT_START } else { REPLICATE_AGAIN };
        self.fault(path, Some(position), what, advice);
    }

    /// Checks a batch and follows it. `None` if it is not sound.
    fn batch(
        &mut self,
        log: &mut SegmentFile,
        frame: &Frame,
        base: i64,
        transactions: &mut Transactions,
    ) -> Result<Option<BatchHeader>, InspectError> {
        let (path, position) = (log.path.clone(), frame.position);
        if !(0..=2).contains(&frame.magic) {
            self.unsound(&path, position, self.end, format!("a batch of unknown magic {}", frame.magic));
            return Ok(None);
        }
        let header = match log.batch_header(frame) {
            Err(InspectError::Corrupt { what, .. }) => {
                self.unsound(&path, position, self.end, what);
                return Ok(None);
            }
            header => header?,
        };
        let (first, last) = (header.base_offset, header.last_offset());
        let computed = log.computed_crc(frame)?;
        if computed != header.crc {
            let what = format!(
                "the batch of offsets {first} to {last} (leader epoch {}, {} bytes) has CRC {:#010x}, its bytes {computed:#010x}",
                header.partition_leader_epoch, frame.size, header.crc
            );
            self.unsound(&path, position, first, what);
            return Ok(None);
        }
        // The offset of a wrapper is that of its last message.
        if first < self.end || last < first || last - base > i64::from(i32::MAX) {
            let end = self.end;
            let what = format!("offsets {first} to {last} do not follow offset {end} in the segment from {base}");
            self.unsound(&path, position, first, what);
            return Ok(None);
        }
        self.snapshots_up_to(first)?;
        self.epoch(&path, position, header.partition_leader_epoch, first);
        let marker = match header.attributes.control() {
            true => EndMarker::of(&log.batch(frame)?),
            false => None,
        };
        if let Some(EndMarker { end: EndTxn::Abort, .. }) = marker {
            transactions.aborts.push((header.producer_id, first));
        }
        if let Some(ended) = self.producers.apply(&header, marker.as_ref()).filter(|ended| ended.aborted) {
            transactions.aborted.push(self.producers.aborted(&ended));
        }
        self.end = last.saturating_add(1);
        self.producers.replicated_to(self.end);
        self.producers.set_end(self.end);
        if self.context.deep
            && let Err(error) = check_records(log, frame, &header)?
        {
            self.unsound(&path, position, first, format!("records of offsets {first} to {last}: {error}"));
            return Ok(None);
        }
        Ok(Some(header))
    }

    fn index(&mut self, base: i64, extension: &str, fault: Option<IndexFault>, rebuilt: Vec<u8>, active: bool) {
        let file = self.files.file(base, extension);
        let Some((position, what)) = fault else { return };
        // Brokers before 0.10.1 wrote no time index.
        if (active && !self.context.clean) || (position.is_none() && extension == TIME_INDEX) {
            self.remark(&file, what, TAKEN_CARE_OF);
        } else {
            self.fault(&file, position, what, REBUILD);
        }
        self.repair(file, Some(rebuilt));
    }

    /// The transaction index. One entry too few lets clients read aborted data.
    fn transactions(&mut self, base: i64, found: &Transactions) -> Result<(), InspectError> {
        let file = self.files.file(base, TXN_INDEX);
        let bytes = self.read(base, TXN_INDEX)?.unwrap_or_default();
        let entries: Vec<(i16, AbortedTxn)> = txn_index::decode(&bytes).collect();
        let mut wrong = None;
        if entries.len() * txn_index::ENTRY_BYTES != bytes.len() {
            wrong = Some(format!("{} bytes are no whole number of entries", bytes.len()));
        }
        for (version, entry) in &entries {
            let AbortedTxn { producer_id, first_offset, last_offset, .. } = *entry;
            if *version != 0 {
                wrong.get_or_insert(format!("unknown version {version}"));
            } else if !found.aborts.contains(&(producer_id, last_offset)) || first_offset > last_offset {
                wrong.get_or_insert(format!(
                    "producer {producer_id}, offsets {first_offset} to {last_offset}: no abort marker is there"
                ));
            }
        }
        for txn in &found.aborted {
            let known = entries.iter().any(|(_, entry)| {
                (entry.producer_id, entry.last_offset) == (txn.producer_id, txn.last_offset)
                    && entry.first_offset <= txn.first_offset
            });
            if !known {
                let AbortedTxn { producer_id, first_offset, last_offset, .. } = txn;
                wrong.get_or_insert(format!(
                    "the transaction of producer {producer_id}, offsets {first_offset} to {last_offset}, was aborted, but \
                     is not here: clients would read it"
                ));
            }
        }
        if let Some(what) = wrong {
            if self.will_be_recovered(self.end) {
                self.remark(&file, what, TAKEN_CARE_OF);
            } else {
                self.fault(&file, None, what, REBUILD);
            }
            let bytes: Vec<u8> = found.aborted.iter().flat_map(AbortedTxn::encode).collect();
            self.repair(file, (!bytes.is_empty()).then_some(bytes));
        }
        Ok(())
    }
}

/// Decodes the records of a batch.
fn check_records(
    log: &mut SegmentFile,
    frame: &Frame,
    header: &BatchHeader,
) -> Result<Result<(), RecordError>, InspectError> {
    let batch = log.batch(frame)?;
    if frame.magic == 2 {
        let mut before = -1;
        let mut in_order = true;
        let read = walk(&batch, |record| {
            in_order &= record.offset_delta > before && record.offset_delta <= header.last_offset_delta;
            before = record.offset_delta;
        });
        return Ok(match read {
            Ok(()) if !in_order => Err(RecordError::Invalid("offsets do not grow, or leave the batch")),
            read => read,
        });
    }
    let messages = match batch.messages() {
        Ok(messages) => messages,
        Err(error) => return Ok(Err(error)),
    };
    for message in messages {
        match message {
            Ok(message) if !message.crc_holds() => {
                return Ok(Err(RecordError::Corrupt("a message inside has the wrong CRC")));
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(()))
}
