//! Serving Fetch: reads partition by partition under one budget, and the wait for enough bytes.
//!
//! A follower's state is updated on the first read only. A parked fetch looks again only at the partitions that changed
//! and counts bytes by file positions; when it is done everything is read again. Studied: `ReplicaManager.readFromLog`,
//! `Partition.fetchRecords`, `DelayedFetch`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset};
use crate::log::{AbortedTxn, LogPosition, LogView};
use crate::time::Millis;
use crate::wait::{Deadline, Runtime};
use crate::wire::FileSlice;

use super::env::{Counters, Env};
use super::fetch_plan::{Allowance, Budget, Contribution, Reader, contribution, diverging};
use super::fetch_session::Asked;
use super::hosted::Partition;
use super::waits::{FetchWaiter, Interest};

/// The limits of one Fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchParams {
    pub reader: Reader,
    /// Followers may not answer: the reader is a replica, or a consumer that knows nothing of KIP-392.
    pub leader_only: bool,
    pub max_wait_ms: Millis,
    pub min_bytes: usize,
    pub max_bytes: usize,
    /// A batch that does not fit is cut, even the first one: what Fetch before v3 asks for.
    pub hard_max_bytes: bool,
}

/// A partition to fetch from, or why it cannot be.
pub enum Target {
    Hosted(Arc<Partition>, Asked),
    Refused(ErrorCode),
}

/// What one partition gives.
#[derive(Clone, Debug)]
pub struct PartitionRead {
    /// Of followers the one before this fetch.
    pub high_watermark: Offset,
    pub last_stable_offset: Offset,
    pub log_start: Offset,
    pub records: Option<FileSlice>,
    /// The follower's history differs: it shall truncate to the end of this epoch.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// Only for readers of committed data.
    pub aborted: Option<Vec<AbortedTxn>>,
    /// Where the fetch offset lies, if it was looked up.
    position: Option<LogPosition>,
}

impl PartitionRead {
    /// Bytes of records.
    pub fn len(&self) -> usize {
        self.records.as_ref().map_or(0, |slice| slice.len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Partition {
    /// Checks epoch, role and replica; returns the high watermark.
    fn check_reader(&self, params: &FetchParams, asked: &Asked) -> Result<Offset, ErrorCode> {
        if self.is_stopped() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        self.with_state(|state| {
            state.check_epoch(asked.leader_epoch)?;
            if params.leader_only && !state.is_leader() {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            if let Some(replica) = params.reader.replica() {
                state.check_follower(replica, asked.leader_epoch)?;
            }
            Ok(state.high_watermark())
        })
    }

    /// How far this reader may read.
    fn limit(&self, view: &LogView, reader: Reader, high_watermark: Offset) -> Offset {
        match reader {
            Reader::Consumer { read_committed: false } => high_watermark,
            Reader::Consumer { read_committed: true } => view.last_stable_offset(high_watermark),
            Reader::Replica(_) | Reader::Debug => view.end_offset(),
        }
    }

    /// Where the reader's history leaves the log's, if it does. Errors: 1 if its last epoch is unknown here, or what it
    /// asks for lies below the log's start.
    fn divergence(&self, view: &LogView, asked: &Asked) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
        if asked.last_fetched_epoch < LeaderEpoch(0) {
            return Ok(None);
        }
        let ended = view.end_offset_for_epoch(asked.last_fetched_epoch);
        if ended.0.is_none() || ended.1.is_none() || asked.fetch_offset < view.start_offset() {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        Ok(diverging(asked.fetch_offset, asked.last_fetched_epoch, ended))
    }

    /// Reads what `allowance` admits. `first`: a follower's position is noted.
    fn read(
        &self,
        env: &Env,
        params: &FetchParams,
        asked: &Asked,
        allowance: Allowance,
        first: bool,
    ) -> Result<PartitionRead, ErrorCode> {
        let high_watermark = self.check_reader(params, asked)?;
        let view = self.view();
        let mut result = PartitionRead {
            high_watermark,
            last_stable_offset: view.last_stable_offset(high_watermark),
            log_start: view.start_offset(),
            records: None,
            diverging: self.divergence(&view, asked)?,
            aborted: None,
            position: None,
        };
        if result.diverging.is_some() {
            return Ok(result);
        }
        let limit = self.limit(&view, params.reader, high_watermark);
        let read = view
            .read(asked.fetch_offset, allowance.max_bytes, limit, allowance.at_least_one_batch)
            .map_err(|error| ErrorCode::from(&error))?;
        result.position = Some(read.position);
        if params.reader == (Reader::Consumer { read_committed: true }) {
            let aborted = if read.is_empty() { Ok(Vec::new()) } else { view.aborted_transactions(&read) };
            result.aborted = Some(aborted.map_err(|error| ErrorCode::from(&error))?);
        }
        // A first batch that does not fit waits for its turn to be first.
        if allowance.at_least_one_batch || params.hard_max_bytes || !read.first_batch_incomplete {
            result.records = read.slice;
        }
        if let Some(replica) = params.reader.replica().filter(|_| first) {
            let end = view.end_offset();
            self.follower_fetched(env, replica, asked.leader_epoch, asked.fetch_offset, asked.log_start, end)?;
        }
        Ok(result)
    }

    /// What this partition adds to a parked fetch, which found the log start at `log_start` when it looked first.
    fn contribution(
        &self,
        params: &FetchParams,
        asked: &Asked,
        (position, log_start): (LogPosition, Offset),
    ) -> Contribution {
        let look = || {
            let high_watermark = self.check_reader(params, asked)?;
            let view = self.view();
            // Followers hear of a new log start at once: a DeleteRecords waits for them.
            let start_moved = params.reader.replica().is_some() && view.start_offset() != log_start;
            if start_moved || self.divergence(&view, asked)?.is_some() {
                return Ok(Contribution::AnswerNow);
            }
            let limit = self.limit(&view, params.reader, high_watermark);
            let limit = if limit == view.end_offset() {
                Some(view.end_position())
            } else {
                view.position_of(limit).map_err(|error| ErrorCode::from(&error))?
            };
            Ok::<_, ErrorCode>(match limit {
                Some(limit) => contribution(position, limit, asked.max_bytes.max(0) as usize),
                None => Contribution::AnswerNow,
            })
        };
        look().unwrap_or(Contribution::AnswerNow)
    }
}

/// Reads all targets once, in order, under one budget.
fn read_all(env: &Env, params: &FetchParams, targets: &[Target], first: bool) -> Vec<Result<PartitionRead, ErrorCode>> {
    let mut budget = Budget::new(params.max_bytes, params.hard_max_bytes);
    targets
        .iter()
        .map(|target| match target {
            Target::Refused(error) => Err(*error),
            Target::Hosted(partition, asked) => {
                let allowance = budget.allowance(asked.max_bytes.max(0) as usize);
                let read = partition.read(env, params, asked, allowance, first)?;
                budget.took(read.len());
                Ok(read)
            }
        })
        .collect()
}

/// Is there nothing to wait for?
fn is_complete(params: &FetchParams, reads: &[Result<PartitionRead, ErrorCode>]) -> bool {
    let mut bytes = 0;
    for read in reads {
        match read {
            Ok(read) if read.diverging.is_none() => bytes += read.len(),
            _ => return true,
        }
    }
    params.max_wait_ms <= 0 || reads.is_empty() || bytes >= params.min_bytes
}

/// Removes a parked fetch from its partitions, also when its connection goes away.
struct Parked<'a> {
    waiter: Arc<FetchWaiter>,
    targets: &'a [Target],
}

impl<'a> Parked<'a> {
    fn new(params: &FetchParams, targets: &'a [Target]) -> Self {
        let waiter = FetchWaiter::new(targets.len());
        let interest = if params.reader.reads_to_log_end() { Interest::LogEnd } else { Interest::HighWatermark };
        for (index, target) in targets.iter().enumerate() {
            if let Target::Hosted(partition, _) = target {
                partition.waits.add_fetch(waiter.clone(), index as u32, interest);
            }
        }
        Self { waiter, targets }
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        for target in self.targets {
            if let Target::Hosted(partition, _) = target {
                partition.waits.remove_fetch(&self.waiter);
            }
        }
    }
}

/// Serves one Fetch: reads, waits if there is too little, reads again. The first read happens before the first await.
pub async fn fetch(
    env: &Env,
    runtime: &dyn Runtime,
    params: FetchParams,
    targets: &[Target],
) -> Vec<Result<PartitionRead, ErrorCode>> {
    let reads = read_all(env, &params, targets, true);
    if is_complete(&params, &reads) {
        return reads;
    }
    let found = |read: &PartitionRead| read.position.map(|position| (position, read.log_start));
    let positions: Vec<Option<(LogPosition, Offset)>> =
        reads.iter().map(|read| read.as_ref().ok().and_then(found)).collect();
    // What was read is not sent: let go of its files.
    drop(reads);
    let mut deadline = Deadline::after(runtime, params.max_wait_ms);
    if deadline.limit(enough(&params, targets, &positions)).await.is_none() {
        Counters::add(match params.reader {
            Reader::Replica(_) => &env.counters.follower_fetch_expires,
            _ => &env.counters.consumer_fetch_expires,
        });
    }
    read_all(env, &params, targets, false)
}

/// Counts what a fetch was given, for the metrics.
pub(super) fn count(env: &Env, reader: Reader, targets: &[Target], reads: &[Result<PartitionRead, ErrorCode>]) {
    let (mut fetches, mut bytes, mut failed) = (0, 0, 0);
    for (target, read) in targets.iter().zip(reads) {
        let Ok(read) = read else {
            failed += 1;
            continue;
        };
        fetches += 1;
        bytes += read.len() as u64;
        if let (Target::Hosted(partition, _), None) = (target, reader.replica()) {
            partition.traffic.fetched(1, read.len() as u64);
        }
    }
    match reader.replica() {
        Some(_) => _ = env.counters.replication_bytes_out.fetch_add(bytes, Ordering::Relaxed),
        None => env.traffic.fetched(fetches, bytes),
    }
    env.counters.failed_fetches.fetch_add(failed, Ordering::Relaxed);
}

/// Waits until the targets together have enough bytes, or something happened that must be told at once.
async fn enough(params: &FetchParams, targets: &[Target], positions: &[Option<(LogPosition, Offset)>]) {
    let parked = Parked::new(params, targets);
    let look = |index: usize| match (&targets[index], positions[index]) {
        (Target::Hosted(partition, asked), Some(position)) => partition.contribution(params, asked, position),
        _ => Contribution::AnswerNow,
    };
    let mut bytes = vec![0; targets.len()];
    let mut total = 0;
    // What happened between the read and the registration marked nothing.
    let mut changed: Vec<u32> = (0..targets.len() as u32).collect();
    loop {
        for index in changed {
            let index = index as usize;
            match look(index) {
                Contribution::AnswerNow => return,
                Contribution::Bytes(now) => {
                    total = total - bytes[index] + now;
                    bytes[index] = now;
                }
            }
        }
        if total >= params.min_bytes {
            return;
        }
        changed = parked.waiter.changed().await;
    }
}
