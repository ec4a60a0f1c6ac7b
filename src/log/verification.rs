//! Transactions that are being verified (KIP-890): before the first transactional batch of a producer is written, the
//! leader asks the transaction coordinator whether the partition is part of the producer's transaction.
//!
//! The log gives out a [`Guard`] when the question is asked, and wants it back with the batch. Any transactional batch
//! that is written meanwhile, a marker above all, makes the guard worthless: what was true when the coordinator
//! answered may no longer be so. Source: `VerificationGuard` and `VerificationStateEntry` of Kafka 3.9.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Shows that a producer's transaction was verified since the last transactional batch that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard(u64);

impl Guard {
    /// A guard that no log of this process has given out before.
    fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What an append asks of a transactional batch whose transaction is not open in the log yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxnCheck {
    /// Nothing: verification is off (`transaction.partition.verification.enable`).
    #[default]
    Off,
    /// The guard that the log gave out last for the producer.
    Verified(Option<Guard>),
}

/// A producer's verification under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verification {
    guard: Guard,
    since_ms: i64,
    epoch: i16,
    /// The lowest sequence seen: a higher one must not be written before it, or its retry would fail for ever.
    lowest_sequence: i32,
}

/// The verifications under way in a partition, by producer id. Only in memory: after a restart producers ask again.
#[derive(Clone, Debug, Default)]
pub(super) struct Verifications(HashMap<i64, Verification>);

impl Verifications {
    pub fn begin(&mut self, producer_id: i64, epoch: i16, sequence: i32, now_ms: i64) -> Guard {
        let entry = self.0.entry(producer_id).or_insert_with(|| Verification {
            guard: Guard::fresh(),
            since_ms: now_ms,
            epoch,
            lowest_sequence: sequence,
        });
        if epoch > entry.epoch || (epoch == entry.epoch && sequence < entry.lowest_sequence) {
            (entry.epoch, entry.lowest_sequence) = (epoch, sequence);
        }
        entry.guard
    }

    /// May an unopened transaction be begun under this check?
    pub fn allows(&self, producer_id: i64, check: TxnCheck) -> bool {
        match check {
            TxnCheck::Off => true,
            TxnCheck::Verified(given) => given.is_some() && given == self.0.get(&producer_id).map(|entry| entry.guard),
        }
    }

    pub fn lowest_sequence(&self, producer_id: i64) -> Option<i32> {
        self.0.get(&producer_id).map(|entry| entry.lowest_sequence)
    }

    /// A transactional batch was written.
    pub fn end(&mut self, producer_id: i64) {
        self.0.remove(&producer_id);
    }

    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.0.retain(|_, entry| now_ms.saturating_sub(entry.since_ms) < expiration_ms);
    }
}
