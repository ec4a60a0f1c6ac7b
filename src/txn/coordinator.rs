//! The transaction coordinator: which transactional ids live here, and the log they are kept in.
//!
//! A shard is one partition of `__transaction_state` that this broker leads; it holds the ids that hash to it. All
//! decisions are those of [`super::machine`]; this shell writes its images and has the markers sent
//! ([`super::completion`]). Studied: `TransactionCoordinator`, `TransactionStateManager`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::completion::MarkerSender;
use super::lanes::Lanes;
use super::machine::{Image, Init, State, Txn};
use super::peers::Peers;
use super::records;
use super::verifier::PartitionCount;
use crate::cluster::metadata::MetadataCache;
use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, TopicPartition};
use crate::internal_log::InternalLog;
use crate::metrics::{Gauge, Metrics, names};
use crate::producer_ids::ProducerIds;
use crate::time::{Clock, Millis};
use crate::wait::Runtime;

/// Settings of transactions (coordinators.md 5.9 names Kafka's).
#[derive(Clone, Debug)]
pub struct TxnConfig {
    /// `transaction.max.timeout.ms`
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: Millis,
    /// `transaction.state.log.load.buffer.size`
    pub load_buffer_bytes: usize,
    /// `request.timeout.ms`
    pub request_timeout_ms: i32,
}

/// What the coordinator stands on.
pub struct TxnParts {
    pub log: Arc<dyn InternalLog>,
    pub runtime: Arc<dyn Runtime>,
    pub clock: Clock,
    pub metadata: Arc<MetadataCache>,
    pub producer_ids: Arc<ProducerIds>,
    pub peers: Arc<dyn Peers>,
    pub partitions: Arc<PartitionCount>,
}

#[derive(Default)]
pub(super) struct ShardState {
    pub loading: bool,
    pub txns: HashMap<String, Txn>,
}

/// One partition of `__transaction_state` under this broker's lead.
pub(super) struct Shard {
    pub partition: i32,
    /// Goes into the markers: partitions refuse those of an older coordinator.
    pub epoch: LeaderEpoch,
    pub state: Mutex<ShardState>,
    pub closed: AtomicBool,
}

impl Shard {
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// The coordinator of the transactional ids whose partitions this broker leads.
pub struct Coordinator {
    pub(super) parts: TxnParts,
    pub(super) config: TxnConfig,
    pub(super) shards: RwLock<HashMap<i32, Arc<Shard>>>,
    pub(super) sender: Arc<MarkerSender>,
    pub(super) lanes: Lanes<super::completion::Marker>,
    /// Markers whose partition has no leader at the moment; ends that could not be logged yet.
    pub(super) leaderless: Gauge,
    pub(super) unlogged: Gauge,
}

/// A transactional id as ListTransactions shows it.
pub struct Listed {
    pub transactional_id: String,
    pub producer_id: i64,
    pub state: State,
}

impl Coordinator {
    pub fn new(parts: TxnParts, config: TxnConfig, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self {
            sender: Arc::new(MarkerSender { peers: parts.peers.clone() }),
            lanes: Lanes::new(parts.runtime.clone()),
            parts,
            config,
            shards: RwLock::default(),
            leaderless: metrics.gauge(&names::TRANSACTION_MARKER_CHANNEL_MANAGER_UNKNOWN_DESTINATION_QUEUE_SIZE, &[]),
            unlogged: metrics.gauge(&names::TRANSACTION_MARKER_CHANNEL_MANAGER_LOG_APPEND_RETRY_QUEUE_SIZE, &[]),
        })
    }

    /// The partition of `__transaction_state` that keeps a transactional id.
    pub fn partition_for(&self, transactional_id: &str) -> i32 {
        self.parts.partitions.partition_for(transactional_id)
    }

    fn shard(&self, transactional_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        let partition = self.partition_for(transactional_id);
        let shard = self.shards.read().get(&partition).cloned().ok_or(ErrorCode::NotCoordinator)?;
        if shard.state.lock().loading { Err(ErrorCode::CoordinatorLoadInProgress) } else { Ok(shard) }
    }

    /// The shards as they are now.
    pub(super) fn all_shards(&self) -> Vec<Arc<Shard>> {
        self.shards.read().values().cloned().collect()
    }

    // --- Requests ---

    /// InitProducerId with a transactional id: the producer id and epoch to use. `expected` is what the producer believes
    /// to have.
    pub async fn init(
        self: &Arc<Self>,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
    ) -> Result<(i64, i16), ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.max_timeout_ms {
            return Err(ErrorCode::InvalidTransactionTimeout);
        }
        let shard = self.shard(transactional_id)?;
        let now = self.parts.clock.wall_ms();
        let init = {
            let mut state = shard.state.lock();
            let fresh_id = || self.parts.producer_ids.next().map(|id| id.0);
            if !state.txns.contains_key(transactional_id) {
                state.txns.insert(transactional_id.to_owned(), Txn::new(fresh_id()?, timeout_ms, now));
            }
            let txn = state.txns.get_mut(transactional_id).expect("inserted above");
            txn.init(expected, timeout_ms, now, fresh_id)?
        };
        match init {
            Init::Give(image) => {
                let given = (image.producer_id, image.epoch);
                self.write(&shard, transactional_id, image, false).await?;
                tracing::info!(target: "kafka.coordinator.transaction", transactional_id, producer_id = given.0,
                    producer_epoch = given.1, partition = shard.partition, "Initialized transactionalId");
                Ok(given)
            }
            Init::Abort(image) => {
                self.decide(&shard, transactional_id, image, true).await?;
                Err(ErrorCode::ConcurrentTransactions)
            }
        }
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn: the producer is about to write to these partitions.
    pub async fn add_partitions(
        self: &Arc<Self>,
        transactional_id: &str,
        producer_id: i64,
        epoch: i16,
        partitions: BTreeSet<TopicPartition>,
    ) -> Result<(), ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let shard = self.shard(transactional_id)?;
        let now = self.parts.clock.wall_ms();
        let image = with(&shard, transactional_id, |txn| txn.add_partitions(producer_id, epoch, partitions, now))?;
        match image {
            Some(image) => self.write(&shard, transactional_id, image, false).await,
            None => Ok(()),
        }
    }

    /// Which of the partitions are part of the producer's transaction?
    pub fn verify(
        &self,
        transactional_id: &str,
        producer_id: i64,
        epoch: i16,
        partitions: &[TopicPartition],
    ) -> Result<Vec<bool>, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let shard = self.shard(transactional_id)?;
        with(&shard, transactional_id, |txn| {
            let known = txn.verify(producer_id, epoch)?;
            Ok(partitions.iter().map(|partition| known.contains(partition)).collect())
        })
    }

    /// EndTxn. Answered when the decision is in the log; the markers follow.
    pub async fn end(
        self: &Arc<Self>,
        transactional_id: &str,
        producer_id: i64,
        epoch: i16,
        commit: bool,
    ) -> Result<(), ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let shard = self.shard(transactional_id)?;
        let now = self.parts.clock.wall_ms();
        match with(&shard, transactional_id, |txn| txn.end(producer_id, epoch, commit, now))? {
            Some(image) => self.decide(&shard, transactional_id, image, false).await,
            None => Ok(()),
        }
    }

    /// DescribeTransactions of one id.
    pub fn describe(&self, transactional_id: &str) -> Result<Image, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        let shard = self.shard(transactional_id)?;
        let state = shard.state.lock();
        let txn = state.txns.get(transactional_id).filter(|txn| txn.state() != State::Dead);
        txn.map(|txn| txn.image().clone()).ok_or(ErrorCode::TransactionalIdNotFound)
    }

    /// ListTransactions: the ids whose image `fits`, at the wall clock that it is given.
    pub fn list(&self, fits: impl Fn(&Image, Millis) -> bool) -> Result<Vec<Listed>, ErrorCode> {
        let now = self.parts.clock.wall_ms();
        let mut listed = Vec::new();
        for shard in self.all_shards() {
            let state = shard.state.lock();
            if state.loading {
                return Err(ErrorCode::CoordinatorLoadInProgress);
            }
            for (id, txn) in state.txns.iter().filter(|(_, txn)| fits(txn.image(), now)) {
                let Image { producer_id, state, .. } = *txn.image();
                listed.push(Listed { transactional_id: id.clone(), producer_id, state });
            }
        }
        Ok(listed)
    }

    // --- The log ---

    /// Writes an image that the machine has begun, and makes it the state. `fencing`: it raises the epoch of an ongoing
    /// transaction.
    pub(super) async fn write(
        &self,
        shard: &Shard,
        transactional_id: &str,
        image: Image,
        fencing: bool,
    ) -> Result<(), ErrorCode> {
        let result = self.append(shard, transactional_id, &image).await;
        settle(shard, transactional_id, result, |txn, result| match result {
            Ok(()) => txn.written(image),
            Err(_) => txn.not_written(fencing),
        })
    }

    /// Writes the decision to commit or abort, and has the markers sent.
    pub(super) async fn decide(
        self: &Arc<Self>,
        shard: &Arc<Shard>,
        transactional_id: &str,
        image: Image,
        fencing: bool,
    ) -> Result<(), ErrorCode> {
        let result = self.append(shard, transactional_id, &image).await;
        let now = self.parts.clock.wall_ms();
        let mut complete = None;
        settle(shard, transactional_id, result, |txn, result| match result {
            Ok(()) => {
                txn.written(image);
                complete = Some(txn.complete(now));
            }
            Err(_) => txn.not_written(fencing),
        })?;
        if let Some(complete) = complete {
            self.send_markers(shard.clone(), transactional_id, complete);
        }
        Ok(())
    }

    /// Appends an image's record, unless the partition has got another leader since.
    pub(super) async fn append(&self, shard: &Shard, transactional_id: &str, image: &Image) -> Result<(), ErrorCode> {
        let line = (records::key(transactional_id), Some(records::value(image)));
        self.append_records(shard, &[line], image.timeout_ms).await
    }

    pub(super) async fn append_records(
        &self,
        shard: &Shard,
        lines: &[(Bytes, Option<Bytes>)],
        timeout_ms: i32,
    ) -> Result<(), ErrorCode> {
        let batch = records::batch(lines, self.parts.clock.wall_ms());
        let appended = {
            // Under the shard's lock, so that nothing is written for a leadership that is over.
            let _state = shard.state.lock();
            if shard.is_closed() {
                return Err(ErrorCode::NotCoordinator);
            }
            self.parts.log.append(shard.partition, batch, -1, timeout_ms)
        };
        appended.await.map(|_| ()).map_err(log_error)
    }
}

/// Lets the machine of an id take a step.
fn with<T>(
    shard: &Shard,
    transactional_id: &str,
    step: impl FnOnce(&mut Txn) -> Result<T, ErrorCode>,
) -> Result<T, ErrorCode> {
    let mut state = shard.state.lock();
    step(state.txns.get_mut(transactional_id).ok_or(ErrorCode::InvalidProducerIdMapping)?)
}

/// Tells the machine what came of a write, if the id is still this shard's.
pub(super) fn settle(
    shard: &Shard,
    transactional_id: &str,
    result: Result<(), ErrorCode>,
    settle: impl FnOnce(&mut Txn, Result<(), ErrorCode>),
) -> Result<(), ErrorCode> {
    let mut state = shard.state.lock();
    if shard.is_closed() {
        return result.and(Err(ErrorCode::NotCoordinator));
    }
    match state.txns.get_mut(transactional_id) {
        Some(txn) => settle(txn, result),
        None => return result.and(Err(ErrorCode::NotCoordinator)),
    }
    if let Err(error) = result {
        tracing::info!(target: "kafka.coordinator.transaction", transactional_id, partition = shard.partition, %error,
            "Appending the transaction's metadata failed");
    }
    result
}

/// What clients are told when a record could not be written.
fn log_error(error: ErrorCode) -> ErrorCode {
    use ErrorCode::*;
    match error {
        UnknownTopicOrPartition | NotEnoughReplicas | NotEnoughReplicasAfterAppend | RequestTimedOut => {
            CoordinatorNotAvailable
        }
        NotLeaderOrFollower | KafkaStorageError => NotCoordinator,
        MessageTooLarge | RecordListTooLarge => UnknownServerError,
        other => other,
    }
}
