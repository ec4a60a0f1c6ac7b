//! Which transactions a pass over a log is inside of: decides what of their data and markers may go.
//! Source: `CleanedTransactionMetadata` of Kafka 3.9.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::log::txn_index::AbortedTxn;
use crate::record::{BatchHeader, EndMarker, EndTxn};

/// See the head of the file. Told every batch of the log, in order.
#[derive(Default)]
pub struct Transactions {
    /// Aborted ones that were not reached yet, by first offset and producer.
    ahead: BTreeMap<(i64, i64), AbortedTxn>,
    /// Aborted ones that we are inside of, by producer, and whether any data of them was seen.
    aborted: HashMap<i64, (AbortedTxn, bool)>,
    /// Producers with transactional data that was not aborted, since their last marker.
    committed: HashSet<i64>,
}

/// What a marker means for its own future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// No data of its transaction was seen: it may go, in time.
    Unneeded,
    /// It stays, and so does the index entry if the transaction was aborted.
    Needed(Option<AbortedTxn>),
}

impl Transactions {
    /// Tells the aborted transactions of a part of the log before its batches come; the same may be told again.
    pub fn announce(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        self.ahead.extend(aborted.into_iter().map(|txn| ((txn.first_offset, txn.producer_id), txn)));
    }

    fn advance(&mut self, offset: i64) {
        while let Some(first) = self.ahead.first_entry().filter(|entry| entry.key().0 <= offset) {
            let txn = first.remove();
            self.aborted.entry(txn.producer_id).or_insert((txn, false));
        }
    }

    /// A data batch; returns whether it was aborted.
    pub fn data(&mut self, header: &BatchHeader) -> bool {
        self.advance(header.last_offset());
        if !header.attributes.transactional() {
            return false;
        }
        match self.aborted.get_mut(&header.producer_id) {
            Some((_, seen)) => {
                *seen = true;
                true
            }
            None => {
                self.committed.insert(header.producer_id);
                false
            }
        }
    }

    /// A control batch, and its marker if it has one that ends a transaction.
    pub fn control(&mut self, header: &BatchHeader, marker: Option<&EndMarker>) -> Marker {
        self.advance(header.last_offset());
        match marker.map(|marker| marker.end) {
            Some(EndTxn::Abort) => match self.aborted.remove(&header.producer_id) {
                Some((txn, true)) => Marker::Needed(Some(txn)),
                _ => Marker::Unneeded,
            },
            Some(EndTxn::Commit) if self.committed.remove(&header.producer_id) => Marker::Needed(None),
            Some(EndTxn::Commit) => Marker::Unneeded,
            // An empty batch was cleaned before; other types of control records are not for us to judge.
            None if header.records_count == 0 => Marker::Unneeded,
            None => Marker::Needed(None),
        }
    }
}
