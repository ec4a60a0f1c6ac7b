//! The group coordinator: which groups live here, who waits for them, and the log they are kept in.
//!
//! A shard is one partition of `__consumer_offsets` that this broker leads; it holds the groups that hash to it. All
//! decisions are those of [`super::machine`]; this shell gives out tokens, wakes waiters after its locks are
//! released, writes records through [`InternalLog`] and watches the clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::machine::{Claim, Effect, Group, Join, Joined, State, Synced};
use super::member::Token;
use super::offsets::{Committed, Offsets};
use super::records;
use super::txn::OpenTxns;
use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, TopicPartition, java_string_hash, kafka_abs};
use crate::internal_log::InternalLog;
use crate::time::{Clock, Millis};
use crate::wait::{Deadline, Fill, Runtime, Signal, slot};

/// Settings of groups and offsets (coordinators.md 3.7).
#[derive(Clone, Debug)]
pub struct GroupConfig {
    pub min_session_timeout_ms: i32,
    pub max_session_timeout_ms: i32,
    pub initial_rebalance_delay_ms: i64,
    pub max_size: usize,
    pub offset_metadata_max_bytes: usize,
    pub load_buffer_bytes: usize,
    pub commit_timeout_ms: i32,
    pub commit_required_acks: i16,
    pub offsets_retention_ms: Millis,
}

/// A group and its offsets.
pub(super) struct Held {
    pub machine: Group,
    pub offsets: Offsets,
}

impl Held {
    pub fn new(id: &str) -> Self {
        Self { machine: Group::new(id), offsets: Offsets::default() }
    }
}

#[derive(Default)]
pub(super) struct ShardState {
    pub loading: bool,
    pub groups: HashMap<String, Held>,
    joins: HashMap<Token, Fill<Joined>>,
    syncs: HashMap<Token, Fill<Synced>>,
    pub open_txns: OpenTxns,
}

/// One partition of `__consumer_offsets` under this broker's lead.
pub(super) struct Shard {
    pub partition: i32,
    pub epoch: LeaderEpoch,
    pub state: Mutex<ShardState>,
    /// A deadline may have moved.
    wake: Signal,
    pub closed: AtomicBool,
}

/// Answers that are ready, to be given once no lock is held, and records that have to be written.
#[derive(Default)]
struct Outbox {
    joined: Vec<(Fill<Joined>, Joined)>,
    synced: Vec<(Fill<Synced>, Synced)>,
    stores: Vec<(String, i32, Bytes)>,
}

/// A group as DescribeGroups shows it.
pub struct Described {
    pub state: State,
    pub protocol_type: String,
    pub protocol: String,
    pub members: Vec<super::member::Member>,
}

/// The coordinator of the groups whose partitions this broker leads.
pub struct Coordinator {
    pub(super) log: Arc<dyn InternalLog>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) clock: Clock,
    pub config: GroupConfig,
    partition_count: AtomicI32,
    pub(super) shards: RwLock<HashMap<i32, Arc<Shard>>>,
    next_token: AtomicU64,
}

impl Coordinator {
    pub fn new(
        log: Arc<dyn InternalLog>,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        config: GroupConfig,
        partitions: i32,
    ) -> Arc<Self> {
        Arc::new(Self {
            log,
            runtime,
            clock,
            config,
            partition_count: AtomicI32::new(partitions),
            shards: RwLock::default(),
            next_token: AtomicU64::new(1),
        })
    }

    /// Partitions of `__consumer_offsets`, as ZooKeeper or the settings said when the broker started.
    pub fn set_partition_count(&self, count: i32) {
        self.partition_count.store(count, Ordering::Relaxed);
    }

    /// The partition of `__consumer_offsets` that a group hashes to.
    pub fn partition_for(&self, group: &str) -> i32 {
        kafka_abs(java_string_hash(group)) % self.partition_count.load(Ordering::Relaxed)
    }

    pub(super) fn shard(&self, group: &str) -> Result<Arc<Shard>, ErrorCode> {
        let shard = self.shards.read().get(&self.partition_for(group)).cloned().ok_or(ErrorCode::NotCoordinator)?;
        if shard.state.lock().loading { Err(ErrorCode::CoordinatorLoadInProgress) } else { Ok(shard) }
    }

    fn token(&self) -> Token {
        Token(self.next_token.fetch_add(1, Ordering::Relaxed))
    }

    // --- Requests ---

    /// JoinGroup; resolves when the next generation stands, or at once with an error.
    pub async fn join(self: &Arc<Self>, group_id: &str, join: Join) -> Joined {
        let fail = |error| Joined::failed(error, &join.member_id);
        if group_id.is_empty() {
            return fail(ErrorCode::InvalidGroupId);
        }
        let shard = match self.shard(group_id) {
            Ok(shard) => shard,
            Err(error) => return fail(error),
        };
        if !(self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms).contains(&join.session_timeout_ms)
        {
            return fail(ErrorCode::InvalidSessionTimeout);
        }
        let token = self.token();
        let (fill, answer) = slot();
        let mut outbox = Outbox::default();
        {
            let mut state = shard.state.lock();
            if !state.groups.contains_key(group_id) && !join.member_id.is_empty() {
                return fail(ErrorCode::UnknownMemberId);
            }
            let held = state.groups.entry(group_id.to_owned()).or_insert_with(|| Held::new(group_id));
            if !held.machine.accepts(&join.member_id, self.config.max_size) {
                return Joined::failed(ErrorCode::GroupMaxSizeReached, "");
            }
            let prefix = join.instance_id.as_deref().unwrap_or(&join.client_id);
            let fresh_id = format!("{prefix}-{}", uuid_v4());
            state.joins.insert(token, fill);
            let delay = self.config.initial_rebalance_delay_ms;
            let now = self.clock.now_ms();
            self.turn(&mut state, group_id, &mut outbox, |group, out| {
                group.join(join.clone(), token, fresh_id, delay, now, out)
            });
        }
        self.deliver(&shard, outbox);
        answer.await.unwrap_or_else(|| Joined::failed(ErrorCode::NotCoordinator, &join.member_id))
    }

    /// SyncGroup; resolves when the leader's assignment is in the log.
    pub async fn sync(
        self: &Arc<Self>,
        group_id: &str,
        claim: Claim<'_>,
        protocol_type: Option<&str>,
        protocol: Option<&str>,
        assignments: Vec<(String, Bytes)>,
    ) -> Synced {
        let fail = |error| Synced { error: Some(error), ..Synced::default() };
        if group_id.is_empty() {
            return fail(ErrorCode::InvalidGroupId);
        }
        let shard = match self.shard(group_id) {
            Ok(shard) => shard,
            // The assignment cannot be looked up yet: the member joins again, as in Kafka.
            Err(ErrorCode::CoordinatorLoadInProgress) => return fail(ErrorCode::RebalanceInProgress),
            Err(error) => return fail(error),
        };
        let token = self.token();
        let (fill, answer) = slot();
        let mut outbox = Outbox::default();
        {
            let mut state = shard.state.lock();
            if !state.groups.contains_key(group_id) {
                return fail(ErrorCode::UnknownMemberId);
            }
            state.syncs.insert(token, fill);
            let now = self.clock.now_ms();
            self.turn(&mut state, group_id, &mut outbox, |group, out| {
                group.sync(claim, protocol_type, protocol, assignments, token, now, out)
            });
        }
        self.deliver(&shard, outbox);
        answer.await.unwrap_or_else(|| fail(ErrorCode::NotCoordinator))
    }

    pub fn heartbeat(self: &Arc<Self>, group_id: &str, claim: Claim<'_>) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let shard = match self.shard(group_id) {
            // Nothing is known to be wrong with the member: it goes on.
            Err(ErrorCode::CoordinatorLoadInProgress) => return Ok(()),
            other => other?,
        };
        let mut state = shard.state.lock();
        let held = state.groups.get_mut(group_id).ok_or(ErrorCode::UnknownMemberId)?;
        let result = held.machine.heartbeat(claim, self.clock.now_ms());
        drop(state);
        result
    }

    /// LeaveGroup of several members (member id, instance id); one result each.
    pub fn leave(
        self: &Arc<Self>,
        group_id: &str,
        members: &[(&str, Option<&str>)],
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let shard = self.shard(group_id)?;
        let mut outbox = Outbox::default();
        let mut results = Vec::with_capacity(members.len());
        {
            let mut state = shard.state.lock();
            if !state.groups.contains_key(group_id) {
                return Ok(vec![Err(ErrorCode::UnknownMemberId); members.len()]);
            }
            let now = self.clock.now_ms();
            for (member, instance) in members {
                let mut result = Ok(());
                self.turn(&mut state, group_id, &mut outbox, |group, out| {
                    result = group.leave(member, *instance, now, out)
                });
                results.push(result);
            }
        }
        self.deliver(&shard, outbox);
        Ok(results)
    }

    /// OffsetCommit of partitions that were found good; one result for all of them.
    pub async fn commit(
        self: &Arc<Self>,
        group_id: &str,
        claim: Claim<'_>,
        offsets: Vec<(TopicPartition, Committed)>,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard(group_id)?;
        {
            let mut state = shard.state.lock();
            if !state.groups.contains_key(group_id) {
                if claim.generation >= 0 {
                    return Err(ErrorCode::IllegalGeneration);
                }
                state.groups.insert(group_id.to_owned(), Held::new(group_id));
            }
            let held = state.groups.get_mut(group_id).expect("inserted above");
            held.machine.check_commit(claim, self.clock.now_ms())?;
            if offsets.is_empty() {
                return Ok(());
            }
            for (partition, committed) in &offsets {
                held.offsets.begin_write(partition.clone(), committed.clone());
            }
        }
        let lines: Vec<(Bytes, Option<Bytes>)> = offsets
            .iter()
            .map(|(partition, committed)| {
                (records::offset_key(group_id, partition), Some(records::offset_value(committed)))
            })
            .collect();
        let batch = records::batch(&lines, self.clock.wall_ms());
        let appended =
            self.log.append(shard.partition, batch, self.config.commit_required_acks, self.config.commit_timeout_ms);
        let appended = appended.await;
        let mut state = shard.state.lock();
        if let Some(held) = state.groups.get_mut(group_id) {
            for (n, (partition, committed)) in offsets.into_iter().enumerate() {
                held.offsets.end_write(&partition, &committed);
                if let Ok(base) = &appended {
                    held.offsets.apply(partition, Offset(base.0 + n as i64), committed);
                }
            }
        }
        appended.map(|_| ()).map_err(commit_error)
    }

    /// Committed offsets of a group: of these partitions, or of all that have one. With `require_stable` an offset that
    /// a commit under way or an open transaction may change is UNSTABLE_OFFSET_COMMIT.
    pub fn fetch(
        &self,
        group_id: &str,
        partitions: Option<&[TopicPartition]>,
        require_stable: bool,
    ) -> Result<Vec<(TopicPartition, Result<Option<Committed>, ErrorCode>)>, ErrorCode> {
        let shard = self.shard(group_id)?;
        let state = shard.state.lock();
        let held = state.groups.get(group_id).filter(|held| held.machine.state != State::Dead);
        let Some(held) = held else {
            return Ok(partitions.unwrap_or_default().iter().map(|p| (p.clone(), Ok(None))).collect());
        };
        let look = |partition: &TopicPartition| match held.offsets.get(partition) {
            _ if require_stable && held.offsets.is_unstable(partition) => Err(ErrorCode::UnstableOffsetCommit),
            committed => Ok(committed.cloned()),
        };
        Ok(match partitions {
            Some(asked) => asked.iter().map(|p| (p.clone(), look(p))).collect(),
            None => held.offsets.iter().map(|(p, _)| (p.clone(), look(p))).collect(),
        })
    }

    /// DescribeGroups of one group; an unknown one is `Dead`.
    pub fn describe(&self, group_id: &str) -> Result<Described, ErrorCode> {
        let shard = self.shard(group_id)?;
        let state = shard.state.lock();
        let Some(held) = state.groups.get(group_id) else {
            return Ok(Described {
                state: State::Dead,
                protocol_type: String::new(),
                protocol: String::new(),
                members: Vec::new(),
            });
        };
        let group = &held.machine;
        let stable = group.state == State::Stable;
        let protocol = group.protocol.clone().filter(|_| stable).unwrap_or_default();
        let members = group.members().into_iter().map(|member| {
            let mut member = member.clone();
            if !stable {
                member.protocols.clear();
                member.assignment = Bytes::new();
            }
            member
        });
        Ok(Described {
            state: group.state,
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: members.collect(),
            protocol,
        })
    }

    /// Groups that live here: id, protocol type, state. The error says that some are still being loaded.
    pub fn list(&self) -> (Option<ErrorCode>, Vec<(String, String, State)>) {
        let shards: Vec<Arc<Shard>> = self.shards.read().values().cloned().collect();
        let mut error = None;
        let mut groups = Vec::new();
        for shard in shards {
            let state = shard.state.lock();
            if state.loading {
                error = Some(ErrorCode::CoordinatorLoadInProgress);
            }
            for (id, held) in &state.groups {
                groups.push((id.clone(), held.machine.protocol_type.clone().unwrap_or_default(), held.machine.state));
            }
        }
        (error, groups)
    }

    // --- The log ---

    /// This broker leads the partition from `epoch` on: its groups are read from the log in the background.
    pub fn elected(self: &Arc<Self>, partition: i32, epoch: LeaderEpoch) {
        let shard = Arc::new(Shard {
            partition,
            epoch,
            state: Mutex::new(ShardState { loading: true, ..ShardState::default() }),
            wake: Signal::new(),
            closed: AtomicBool::new(false),
        });
        {
            let mut shards = self.shards.write();
            if shards.get(&partition).is_some_and(|known| known.epoch >= epoch) {
                return;
            }
            if let Some(old) = shards.insert(partition, shard.clone()) {
                self.close(&old);
            }
        }
        let coordinator = self.clone();
        self.runtime.spawn(Box::pin(async move {
            coordinator.load(&shard);
            coordinator.watch_clock(&shard).await;
        }));
    }

    /// Another broker leads the partition from `epoch` on (`None`: it is gone): whoever waits is sent there.
    pub fn resigned(self: &Arc<Self>, partition: i32, epoch: Option<LeaderEpoch>) {
        let mut shards = self.shards.write();
        if let Some(shard) = shards.get(&partition)
            && epoch.is_none_or(|epoch| epoch > shard.epoch)
        {
            let shard = shard.clone();
            shards.remove(&partition);
            drop(shards);
            self.close(&shard);
        }
    }

    fn close(self: &Arc<Self>, shard: &Arc<Shard>) {
        shard.closed.store(true, Ordering::Relaxed);
        let mut outbox = Outbox::default();
        {
            let mut state = shard.state.lock();
            let ids: Vec<String> = state.groups.keys().cloned().collect();
            for id in ids {
                self.turn(&mut state, &id, &mut outbox, |group, out| group.die(ErrorCode::NotCoordinator, out));
            }
            state.groups.clear();
        }
        self.deliver(shard, outbox);
        shard.wake.set();
    }

    // --- Turning the machines ---

    /// Lets a group take a step and sorts out what comes of it.
    fn turn(
        &self,
        state: &mut ShardState,
        group_id: &str,
        outbox: &mut Outbox,
        step: impl FnOnce(&mut Group, &mut Vec<Effect>),
    ) {
        let Some(held) = state.groups.get_mut(group_id) else { return };
        let mut effects = Vec::new();
        step(&mut held.machine, &mut effects);
        for effect in effects {
            match effect {
                Effect::Joined(token, joined) => {
                    outbox.joined.extend(state.joins.remove(&token).map(|fill| (fill, joined)));
                }
                Effect::Synced(token, synced) => {
                    outbox.synced.extend(state.syncs.remove(&token).map(|fill| (fill, synced)));
                }
                Effect::Store { generation } => {
                    let wall_ms = self.clock.wall_ms();
                    held.machine.current_state_timestamp = Some(wall_ms);
                    let line = (records::group_key(group_id), Some(records::group_value(&held.machine)));
                    outbox.stores.push((group_id.to_owned(), generation, records::batch(&[line], wall_ms)));
                }
            }
        }
    }

    /// Gives the answers and starts the writes; called with no lock held.
    fn deliver(self: &Arc<Self>, shard: &Arc<Shard>, outbox: Outbox) {
        shard.wake.set();
        for (fill, joined) in outbox.joined {
            fill.fill(joined);
        }
        for (fill, synced) in outbox.synced {
            fill.fill(synced);
        }
        for (group_id, generation, batch) in outbox.stores {
            let append = self.log.append(shard.partition, batch, -1, self.config.commit_timeout_ms);
            let (coordinator, shard) = (self.clone(), shard.clone());
            self.runtime.spawn(Box::pin(async move {
                let result = append.await.map(|_| ()).map_err(group_error);
                if let Err(error) = result {
                    tracing::warn!(target: "kafka.coordinator.group", group = group_id, generation, %error,
                        "The group's record could not be written");
                }
                let mut outbox = Outbox::default();
                let now = coordinator.clock.now_ms();
                coordinator.turn(&mut shard.state.lock(), &group_id, &mut outbox, |group, out| {
                    group.stored(generation, result, now, out)
                });
                coordinator.deliver(&shard, outbox);
            }));
        }
    }

    /// Ends sessions and join phases of the shard's groups when their time has come.
    async fn watch_clock(self: &Arc<Self>, shard: &Arc<Shard>) {
        while !shard.closed.load(Ordering::Relaxed) {
            let next = shard.state.lock().groups.values().filter_map(|held| held.machine.deadline()).min();
            let now = self.clock.now_ms();
            match next {
                Some(deadline) if deadline > now => {
                    Deadline::after(&*self.runtime, deadline - now).limit(shard.wake.wait()).await;
                }
                None => shard.wake.wait().await,
                Some(_) => {
                    let mut outbox = Outbox::default();
                    self.tick(&mut shard.state.lock(), now, &mut outbox);
                    self.deliver(shard, outbox);
                }
            }
        }
    }

    fn tick(&self, state: &mut ShardState, now: Millis, outbox: &mut Outbox) {
        let due: Vec<String> = state
            .groups
            .iter()
            .filter(|(_, held)| held.machine.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| id.clone())
            .collect();
        let delay = self.config.initial_rebalance_delay_ms;
        for id in due {
            self.turn(state, &id, outbox, |group, out| group.tick(delay, now, out));
        }
    }
}

/// What a client is told when the record of its commit could not be written (coordinators.md 3.1).
pub(super) fn commit_error(error: ErrorCode) -> ErrorCode {
    use ErrorCode::*;
    match error {
        UnknownTopicOrPartition | NotEnoughReplicas | NotEnoughReplicasAfterAppend => CoordinatorNotAvailable,
        NotLeaderOrFollower | KafkaStorageError => NotCoordinator,
        MessageTooLarge | RecordListTooLarge | InvalidFetchSize => InvalidCommitOffsetSize,
        NetworkException => CoordinatorLoadInProgress,
        other => other,
    }
}

/// The same for the record of a group.
fn group_error(error: ErrorCode) -> ErrorCode {
    use ErrorCode::*;
    match error {
        UnknownTopicOrPartition | NotEnoughReplicas | NotEnoughReplicasAfterAppend => CoordinatorNotAvailable,
        NotLeaderOrFollower | KafkaStorageError => NotCoordinator,
        RequestTimedOut => RebalanceInProgress,
        MessageTooLarge | RecordListTooLarge | InvalidFetchSize => UnknownServerError,
        other => other,
    }
}

/// The usual text of a random UUID: what follows the client id in a member id.
fn uuid_v4() -> String {
    let mut b: [u8; 16] = crate::time::os_random();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
