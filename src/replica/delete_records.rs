//! DeleteRecords: a leader moves its log start, and the answer waits until all live replicas have followed.
//! Studied: `Partition.deleteRecordsOnLeader`, `ReplicaManager.deleteRecords`, `DelayedDeleteRecords`.

use std::sync::Arc;

use crate::error::ErrorCode;
use crate::ids::Offset;
use crate::time::Millis;
use crate::wait::Deadline;

use super::env::Env;
use super::hosted::Partition;
use super::manager::Manager;
use super::waits::{FetchWaiter, Interest};

/// Asks for everything below the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// What DeleteRecords did with one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordsDeleted {
    /// The smallest log start of the live replicas; [`Offset::NONE`] with an error other than a time-out.
    pub low_watermark: Offset,
    pub error: ErrorCode,
}

impl RecordsDeleted {
    fn failed(error: ErrorCode) -> Self {
        Self { low_watermark: Offset::NONE, error }
    }
}

impl Partition {
    /// Moves the log start up to `offset` (-1: the high watermark). Segments go with the next retention pass. Returns the
    /// offset that the replicas must reach.
    ///
    /// Errors: 6 if not leader; 44 if records of the topic are never deleted; 1 below zero or above the high watermark; 56.
    pub fn delete_records(&self, offset: i64) -> Result<Offset, ErrorCode> {
        let to = {
            let mut log = self.log().lock();
            let high_watermark = self.leads()?;
            if !log.config().cleanup_policy.delete {
                return Err(ErrorCode::PolicyViolation);
            }
            let to = if offset == HIGH_WATERMARK { high_watermark } else { Offset(offset) };
            if to < Offset(0) || to > high_watermark {
                return Err(ErrorCode::OffsetOutOfRange);
            }
            log.increment_start_offset(to).map_err(|error| ErrorCode::from(&error))?;
            to
        };
        // Followers that wait for records are told at once.
        self.waits.everything_changed();
        Ok(to)
    }

    /// The high watermark, if this broker leads.
    fn leads(&self) -> Result<Offset, ErrorCode> {
        self.with_state(|state| {
            let leads = state.is_leader() && !self.is_stopped();
            if leads { Ok(state.high_watermark()) } else { Err(ErrorCode::NotLeaderOrFollower) }
        })
    }

    /// The smallest log start of the live replicas. Errors: 6 if not leader; 56.
    pub fn low_watermark(&self, env: &Env) -> Result<Offset, ErrorCode> {
        if self.is_offline() {
            return Err(ErrorCode::KafkaStorageError);
        }
        self.leads()?;
        let (image, start) = (env.metadata.image(), self.log_start());
        Ok(self.with_state(|state| state.low_watermark(start, |broker| image.is_alive(broker))))
    }
}

/// A partition whose replicas have not followed yet.
struct Pending {
    index: usize,
    partition: Arc<Partition>,
    to: Offset,
}

/// Removes the waiter from its partitions, also when its connection goes away.
struct Registered<'a> {
    waiter: Arc<FetchWaiter>,
    pending: &'a [Pending],
}

impl<'a> Registered<'a> {
    fn new(pending: &'a [Pending]) -> Self {
        let waiter = FetchWaiter::new(pending.len());
        for (at, pending) in pending.iter().enumerate() {
            pending.partition.waits.add_fetch(waiter.clone(), at as u32, Interest::LowWatermark);
        }
        Self { waiter, pending }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        for pending in self.pending {
            pending.partition.waits.remove_fetch(&self.waiter);
        }
    }
}

impl Manager {
    /// Moves the log starts of partitions, named by topic, number and offset, and waits until all live replicas have
    /// moved theirs, or `timeout_ms` is over (7).
    pub async fn delete_records(
        &self,
        asked: &[(impl AsRef<str>, i32, i64)],
        timeout_ms: Millis,
    ) -> Vec<RecordsDeleted> {
        let mut pending = Vec::new();
        let mut results = Vec::with_capacity(asked.len());
        for (index, (topic, number, offset)) in asked.iter().enumerate() {
            let deleted = self.partition(topic.as_ref(), *number).and_then(|partition| {
                let to = partition.delete_records(*offset)?;
                Ok((to, partition.low_watermark(self.env())?, partition))
            });
            results.push(match deleted {
                Ok((to, low_watermark, partition)) => {
                    let reached = low_watermark >= to;
                    if !reached {
                        pending.push(Pending { index, partition, to });
                    }
                    let error = if reached { ErrorCode::None } else { ErrorCode::RequestTimedOut };
                    RecordsDeleted { low_watermark, error }
                }
                Err(error) => RecordsDeleted::failed(error),
            });
        }
        if !pending.is_empty() {
            let mut deadline = Deadline::after(&**self.runtime(), timeout_ms);
            deadline.limit(self.follow(&pending, &mut results)).await;
        }
        results
    }

    /// Notes in `results` which partitions are done; ends when all are.
    async fn follow(&self, pending: &[Pending], results: &mut [RecordsDeleted]) {
        let registered = Registered::new(pending);
        let mut open = vec![true; pending.len()];
        // What happened between the change and the registration marked nothing.
        let mut changed: Vec<u32> = (0..pending.len() as u32).collect();
        while open.contains(&true) {
            for at in std::mem::take(&mut changed) {
                let Pending { index, partition, to } = &pending[at as usize];
                let settled = match partition.low_watermark(self.env()) {
                    Ok(low_watermark) if low_watermark >= *to => {
                        Some(RecordsDeleted { low_watermark, error: ErrorCode::None })
                    }
                    Ok(_) => None,
                    Err(error) => Some(RecordsDeleted::failed(error)),
                };
                if let Some(settled) = settled
                    && std::mem::take(&mut open[at as usize])
                {
                    results[*index] = settled;
                }
            }
            if open.contains(&true) {
                changed = registered.waiter.changed().await;
            }
        }
    }
}
