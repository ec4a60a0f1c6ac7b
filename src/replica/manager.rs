//! The replica manager: all partitions of a broker, and the requests of the controller that change them.
//!
//! LeaderAndIsr, StopReplica and UpdateMetadata run one at a time, under the state change lock; produce and fetch do not
//! take it. Studied: `ReplicaManager.scala`.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::cluster::metadata::MetadataCache;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, ControllerEpoch, LeaderEpoch, Offset, TopicPartition};
use crate::log::{self, AppendInfo, Guard};
use crate::record::AppendOrigin;
use crate::time::{Clock, Millis};
use crate::wait::{Deadline, Runtime, Signal, Slot};

use super::alter_partition::{ControllerLink, IsrAnswers, IsrChange, IsrUpdates};
use super::env::{Counters, Env};
use super::fetch_session;
use super::fetcher::FetchOptions;
use super::fetchers::Fetchers;
use super::hosted::{LeaderAppendError, Partition};
use super::hosted_map::{Hosted, HostedMap};
use super::isr::Accepted;
use super::links::LeaderLinks;
use super::metrics::Traffic;
use super::reader::{self, FetchParams, PartitionRead, Target};
use super::txn::TxnVerifier;
use super::waits::{ProduceTicket, ProduceWait};

/// Settings of the replica manager.
#[derive(Clone, Debug)]
pub struct Options {
    /// `replica.lag.time.max.ms`
    pub lag_max_ms: Millis,
    /// `transaction.partition.verification.enable`
    pub verify_txns: bool,
    /// `transaction.max.timeout.ms`
    pub txn_max_timeout_ms: Millis,
    /// `replica.high.watermark.checkpoint.interval.ms`
    pub checkpoint_interval_ms: Millis,
    /// `num.replica.fetchers`
    pub fetchers_per_leader: u32,
    /// `max.incremental.fetch.session.cache.slots`
    pub fetch_session_slots: usize,
    /// `fetch.max.bytes`: no Fetch answer is larger, whatever is asked.
    pub fetch_max_bytes: i32,
    /// Of our own fetchers.
    pub fetch: FetchOptions,
}

/// What the manager stands on.
pub struct Parts {
    pub me: BrokerId,
    pub clock: Clock,
    pub metadata: Arc<MetadataCache>,
    pub broker_epoch: Arc<AtomicI64>,
    pub logs: Arc<log::Manager>,
    pub runtime: Arc<dyn Runtime>,
    pub leaders: Arc<dyn LeaderLinks>,
}

/// Who is told that this broker's role for a partition changed: the coordinators. Called under the state change lock.
pub trait RoleListener: Send + Sync + 'static {
    /// This broker leads the partition now and did not before.
    fn elected(&self, tp: &TopicPartition, epoch: LeaderEpoch);
    /// This broker follows, or hosts the partition no more; the epoch is not known when a replica is deleted.
    fn resigned(&self, tp: &TopicPartition, epoch: Option<LeaderEpoch>);
    /// The topic is being deleted.
    fn deleted(&self, partitions: &[TopicPartition]);
}

/// See the head of the file.
pub struct Manager {
    pub(super) env: Arc<Env>,
    pub options: Options,
    pub(super) hosted: HostedMap,
    pub(super) fetchers: Fetchers,
    pub(super) changes: Mutex<Changes>,
    pub(super) listener: OnceLock<Arc<dyn RoleListener>>,
    pub(super) verifier: OnceLock<Arc<dyn TxnVerifier>>,
    pub sessions: fetch_session::Cache,
    runtime: Arc<dyn Runtime>,
    stopped: AtomicBool,
    stop_checkpoints: Signal,
    stop_shrinking: Signal,
    /// Feeds the ids of fetch sessions.
    random: AtomicU32,
}

/// Guarded by the state change lock.
#[derive(Default)]
pub(super) struct Changes {
    /// The highest that any controller request carried; starts at 0 with each process, as in Kafka.
    pub controller_epoch: Option<ControllerEpoch>,
    pub checkpoints_started: bool,
}

impl Manager {
    pub fn new(parts: Parts, options: Options) -> Arc<Self> {
        let env = Arc::new(Env {
            me: parts.me,
            clock: parts.clock,
            metadata: parts.metadata,
            logs: parts.logs,
            broker_epoch: parts.broker_epoch,
            lag_max_ms: options.lag_max_ms,
            verify_txns: AtomicBool::new(options.verify_txns),
            isr_updates: Arc::new(IsrUpdates::default()),
            counters: Counters::default(),
            traffic: Traffic::default(),
        });
        let per_leader = options.fetchers_per_leader;
        let fetchers =
            Fetchers::new(env.clone(), options.fetch.clone(), per_leader, parts.leaders, parts.runtime.clone());
        Arc::new(Self {
            env,
            hosted: HostedMap::default(),
            fetchers,
            changes: Mutex::default(),
            listener: OnceLock::new(),
            verifier: OnceLock::new(),
            sessions: fetch_session::Cache::new(options.fetch_session_slots),
            options,
            runtime: parts.runtime,
            stopped: AtomicBool::new(false),
            stop_checkpoints: Signal::new(),
            stop_shrinking: Signal::new(),
            random: AtomicU32::new(u32::from_be_bytes(crate::time::os_random())),
        })
    }

    /// Names who is told about roles; once, before the first LeaderAndIsr.
    pub fn set_role_listener(&self, listener: Arc<dyn RoleListener>) {
        let _ = self.listener.set(listener);
    }

    /// Starts the background work: the scan of the in-sync sets and the sender to the controller.
    pub fn start(self: &Arc<Self>, controller: Box<dyn ControllerLink>) {
        let manager = self.clone();
        self.runtime.spawn(Box::pin(async move {
            let pause = (manager.env.lag_max_ms / 2).max(1);
            while manager.pause(pause, &manager.stop_shrinking).await {
                for partition in manager.hosted.online() {
                    partition.shrink_isr(&manager.env);
                    partition.recheck_high_watermark(&manager.env);
                    // The replica that DeleteRecords waits for may have died.
                    partition.waits.low_watermark_moved();
                }
            }
        }));
        let answers: Arc<dyn IsrAnswers> = self.clone();
        let updates = self.env.isr_updates.clone();
        let epoch = self.env.broker_epoch.clone();
        self.runtime.spawn(Box::pin(updates.run(self.env.me, epoch, controller, answers, self.runtime.clone())));
    }

    /// Begins to write the high watermarks to disk, now and then; Kafka does so after the first LeaderAndIsr.
    pub(super) fn start_checkpoints(self: &Arc<Self>) {
        let manager = self.clone();
        self.runtime.spawn(Box::pin(async move {
            let interval = manager.options.checkpoint_interval_ms.max(1);
            while manager.pause(interval, &manager.stop_checkpoints).await {
                manager.checkpoint_high_watermarks();
            }
        }));
    }

    /// Sleeps; false if the manager was stopped.
    async fn pause(&self, ms: Millis, stop: &Signal) -> bool {
        Deadline::after(&*self.runtime, ms).limit(stop.wait()).await;
        !self.stopped.load(Ordering::Acquire)
    }

    /// Writes the high watermarks of all partitions to the checkpoint files.
    pub fn checkpoint_high_watermarks(&self) {
        self.env.logs.checkpoint_high_watermarks();
    }

    /// Ends fetchers and background work and writes the high watermarks. The logs stay open.
    pub fn shutdown(&self) {
        self.stopped.store(true, Ordering::Release);
        self.fetchers.stop();
        self.env.isr_updates.stop();
        self.stop_checkpoints.set();
        self.stop_shrinking.set();
        self.checkpoint_high_watermarks();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }

    pub fn fetchers(&self) -> &Fetchers {
        &self.fetchers
    }

    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }

    /// All partitions hosted and online.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.hosted.online()
    }

    /// Number of partitions on failed log dirs.
    pub fn offline_count(&self) -> usize {
        self.hosted.offline_count()
    }

    /// The partition, if it is hosted here.
    ///
    /// Errors: 56 if its log dir failed; 6 if other brokers have it; 3 if nobody knows it.
    pub fn partition(&self, topic: &str, partition: i32) -> Result<Arc<Partition>, ErrorCode> {
        match self.hosted.get(topic, partition) {
            Some(Hosted::Online(partition)) if !partition.is_offline() => Ok(partition),
            Some(_) => Err(ErrorCode::KafkaStorageError),
            None if self.env.metadata.image().partition(topic, partition).is_some() => {
                Err(ErrorCode::NotLeaderOrFollower)
            }
            None => Err(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Appends one batch to a partition that this broker leads.
    pub fn append(
        &self,
        topic: &str,
        partition: i32,
        records: &Bytes,
        origin: AppendOrigin,
        acks_all: bool,
    ) -> Result<(Arc<Partition>, AppendInfo), LeaderAppendError> {
        self.append_verified(topic, partition, records, origin, acks_all, None)
    }

    /// As [`append`](Self::append), with what [`verify_txn`](Self::verify_txn) gave for the partition.
    pub fn append_verified(
        &self,
        topic: &str,
        partition: i32,
        records: &Bytes,
        origin: AppendOrigin,
        acks_all: bool,
        guard: Option<Guard>,
    ) -> Result<(Arc<Partition>, AppendInfo), LeaderAppendError> {
        let appended = self.partition(topic, partition).map_err(LeaderAppendError::NotLeader).and_then(|partition| {
            let info = partition.append_as_leader(&self.env, records, origin, acks_all, guard)?;
            Ok((partition, info))
        });
        match &appended {
            Ok((partition, info)) => {
                let messages = if info.duplicate { 0 } else { info.records.max(0) as u64 };
                partition.traffic.produced(messages, info.bytes as u64);
                self.env.traffic.produced(messages, info.bytes as u64);
            }
            Err(_) => Counters::add(&self.env.counters.failed_produces),
        }
        appended
    }

    /// Serves a Fetch; the first read happens before the first await.
    pub async fn fetch(&self, params: FetchParams, targets: &[Target]) -> Vec<Result<PartitionRead, ErrorCode>> {
        let reads = reader::fetch(&self.env, &*self.runtime, params, targets).await;
        reader::count(&self.env, params.reader, targets, &reads);
        reads
    }

    /// A number for a session id; not a secret.
    pub fn random(&self) -> u32 {
        // The finaliser of SplitMix over a counter that starts at random.
        let mut z = u64::from(self.random.fetch_add(0x9e37_79b9, Ordering::Relaxed)) << 16;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u32
    }

    /// Looks at all partitions once and counts them as the metrics do.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { offline: self.offline_count(), ..Counts::default() };
        let wall_ms = self.env.clock.wall_ms();
        for partition in self.partitions() {
            let min_isr = partition.min_insync_replicas();
            let (produce, fetch, delete) = partition.waits.sizes();
            counts.waiting_produce += produce;
            counts.waiting_fetch += fetch;
            counts.waiting_delete += delete;
            counts.partitions += 1;
            let late = partition.view().has_late_transaction(wall_ms, self.options.txn_max_timeout_ms);
            counts.late_transactions += usize::from(late);
            partition.with_state(|state| {
                let leads = state.is_leader();
                counts.leaders += usize::from(leads);
                counts.under_replicated += usize::from(state.is_under_replicated());
                counts.under_min_isr += usize::from(leads && state.is_under_min_isr(min_isr));
                counts.at_min_isr += usize::from(state.is_at_min_isr(min_isr));
                let assignment = state.assignment();
                let reassigning = !(assignment.adding.is_empty() && assignment.removing.is_empty());
                counts.reassigning += usize::from(leads && reassigning);
            });
        }
        counts
    }
}

/// Gauges of `kafka.server:type=ReplicaManager`, and the sizes of the purgatories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub partitions: usize,
    pub leaders: usize,
    pub offline: usize,
    pub under_replicated: usize,
    pub under_min_isr: usize,
    pub at_min_isr: usize,
    pub reassigning: usize,
    /// Partitions with a transaction that is open too long.
    pub late_transactions: usize,
    /// Registrations of acks=all writes and of parked fetches, one per partition.
    pub waiting_produce: usize,
    pub waiting_fetch: usize,
    /// DeleteRecords requests, one per partition.
    pub waiting_delete: usize,
}

impl IsrAnswers for Manager {
    fn isr_answered(&self, tp: &TopicPartition, ticket: u64, answer: Result<Accepted, ErrorCode>) -> Option<IsrChange> {
        match self.hosted.get(&tp.topic, tp.partition)? {
            Hosted::Online(partition) => partition.isr_answered(&self.env, ticket, answer),
            Hosted::Offline => None,
        }
    }
}

/// An acks=all request that waits for its partitions; dropping it gives up.
pub struct CommitWait {
    wait: Arc<ProduceWait>,
    slot: Slot<()>,
    tickets: Vec<(Arc<Partition>, ProduceTicket)>,
}

impl CommitWait {
    /// Waits until each partition has committed everything below its offset.
    pub fn new(partitions: Vec<(Arc<Partition>, Offset)>) -> Self {
        let (wait, slot) = ProduceWait::new(partitions.len());
        let tickets = partitions
            .into_iter()
            .enumerate()
            .map(|(index, (partition, required))| {
                let ticket = partition.wait_committed(required, &wait, index);
                (partition, ticket)
            })
            .collect();
        Self { wait, slot, tickets }
    }

    /// The outcomes, in order: 7 where `timeout_ms` passed first.
    pub async fn outcomes(mut self, manager: &Manager, timeout_ms: Millis) -> Vec<ErrorCode> {
        let mut deadline = Deadline::after(&*manager.runtime, timeout_ms);
        deadline.limit(&mut self.slot).await;
        let timed_out = |outcome: Option<ErrorCode>| {
            outcome.unwrap_or_else(|| {
                Counters::add(&manager.env.counters.produce_expires);
                ErrorCode::RequestTimedOut
            })
        };
        self.wait.outcomes().into_iter().map(timed_out).collect()
    }
}

impl Drop for CommitWait {
    fn drop(&mut self) {
        for (partition, ticket) in &self.tickets {
            partition.waits.remove_produce(*ticket);
        }
    }
}
