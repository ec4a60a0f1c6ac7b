//! A follower's fetcher: copies the partitions of one leader, one request in flight.
//!
//! Each round: cut the logs whose end must be compared first (only with old inter-broker protocols, or when no epoch is
//! known), fetch, apply. Every change to a log names the leader epoch it belongs to, so that a partition whose role changed
//! meanwhile refuses it: no lock is held over an append. Studied: `AbstractFetcherThread.scala`, `ReplicaFetcherThread.scala`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, Offset, TopicId, TopicName, TopicPartition};
use crate::time::Millis;
use crate::wait::{Deadline, First, Runtime, Signal, first};
use crate::wire::Records;
use crate::wire::messages::{fetch, list_offsets, offset_for_leader_epoch};

use super::fetch_plan::truncation;
use super::fetch_session::Asked;
use super::fetch_states::{FetchState, FetchStates, Stage, Start};
use super::hosted::{FollowerError, Partition};
use super::links::{LeaderLink, LinkError};
use super::session_client::{Difference, SessionClient, Wanted, by_topic};
use super::{Env, Versions};

/// `ListOffsets` timestamp of the log's end, and of its start.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// Settings of all fetchers.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// `replica.fetch.wait.max.ms`
    pub wait_max_ms: i32,
    /// `replica.fetch.min.bytes`
    pub min_bytes: i32,
    /// `replica.fetch.response.max.bytes`
    pub response_max_bytes: i32,
    /// `replica.fetch.max.bytes`
    pub partition_max_bytes: i32,
    /// `replica.fetch.backoff.ms`
    pub backoff_ms: Millis,
    pub versions: Versions,
}

/// The partitions that one fetcher copies from one leader.
pub struct Fetcher {
    pub leader: BrokerId,
    pub index: u32,
    env: Arc<Env>,
    options: FetchOptions,
    work: Mutex<Work>,
    /// Something to fetch was added.
    changed: Signal,
    stop: Signal,
    stopped: AtomicBool,
    /// A log was cut since the recovery points were written.
    truncated: AtomicBool,
    pub bytes_in: AtomicU64,
    pub requests: AtomicU64,
}

#[derive(Default)]
struct Work {
    states: FetchStates,
    partitions: HashMap<TopicPartition, Arc<Partition>>,
    failed: Vec<TopicPartition>,
}

/// A partition that was asked for, as it stood then.
type InRequest = HashMap<TopicPartition, FetchState>;

impl Fetcher {
    pub fn new(leader: BrokerId, index: u32, env: Arc<Env>, options: FetchOptions) -> Self {
        Self {
            leader,
            index,
            env,
            options,
            work: Mutex::default(),
            changed: Signal::new(),
            stop: Signal::new(),
            stopped: AtomicBool::new(false),
            truncated: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        }
    }

    /// Starts to copy a partition, or goes on with it if it is copied in this epoch already.
    pub fn add(&self, partition: Arc<Partition>, start: Start) {
        let mut work = self.work.lock();
        work.states.add(partition.tp.clone(), start);
        work.partitions.insert(partition.tp.clone(), partition);
        drop(work);
        self.changed.set();
    }

    pub fn remove(&self, tp: &TopicPartition) {
        let mut work = self.work.lock();
        work.states.remove(tp);
        work.partitions.remove(tp);
    }

    /// The id of the partition's topic became known.
    pub fn set_topic_id(&self, tp: &TopicPartition, id: TopicId) {
        self.work.lock().states.set_topic_id(tp, id);
    }

    pub fn is_idle(&self) -> bool {
        self.work.lock().states.is_empty()
    }

    pub fn max_lag(&self) -> i64 {
        self.work.lock().states.max_lag()
    }

    /// Lag of each partition, for the metrics.
    pub fn lags(&self) -> Vec<(TopicPartition, i64)> {
        self.work.lock().states.iter().map(|(tp, state)| (tp.clone(), state.lag.unwrap_or(0))).collect()
    }

    /// Takes the partitions that were given up since the last call.
    pub fn take_failed(&self) -> Vec<TopicPartition> {
        std::mem::take(&mut self.work.lock().failed)
    }

    /// Ends the task, also in the middle of a request.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.stop.set();
    }

    /// The task: runs until [`Self::stop`].
    pub async fn run(self: Arc<Self>, mut link: Box<dyn LeaderLink>, runtime: Arc<dyn Runtime>) {
        let mut session = SessionClient::default();
        loop {
            if let First::Left(()) = first(self.stop.wait(), self.round(&mut session, &mut *link, &*runtime)).await {
                return;
            }
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
        }
    }

    /// One round: truncate what must be truncated, then one Fetch.
    pub async fn round(&self, session: &mut SessionClient, link: &mut dyn LeaderLink, runtime: &dyn Runtime) {
        self.truncate_ready(link).await;
        self.checkpoint_truncations();
        let (wanted, asked) = self.wanted();
        if wanted.is_empty() {
            let mut pause = Deadline::after(runtime, self.pause_ms());
            pause.limit(self.changed.wait()).await;
            return;
        }
        let (version, request) = self.encode(session.next(wanted));
        self.requests.fetch_add(1, Ordering::Relaxed);
        match link.fetch(version, request).await {
            Ok(response) => {
                let error = ErrorCode::from_code(response.error_code);
                let count = response.responses.iter().map(|topic| topic.partitions.len()).sum();
                if session.answered(error, response.session_id, count) {
                    self.apply_response(response, &asked, link).await;
                    self.checkpoint_truncations();
                } else {
                    tracing::info!(leader = %self.leader, fetcher = self.index, %error, partitions = count,
                        "Fetch session ended, the next request is a full one");
                    let is_about_the_session = matches!(
                        error,
                        ErrorCode::None | ErrorCode::FetchSessionIdNotFound | ErrorCode::InvalidFetchSessionEpoch
                    );
                    if !is_about_the_session {
                        self.back_off(asked.keys());
                    }
                }
            }
            Err(error) => {
                session.start_again();
                self.link_failed(&error, asked.keys());
            }
        }
    }

    /// After logs were cut, no recovery point on disk may lie above what is written anew: recovery would trust it.
    fn checkpoint_truncations(&self) {
        if self.truncated.swap(false, Ordering::AcqRel) {
            self.env.logs.checkpoint_recovery_points();
        }
    }

    fn link_failed<'a>(&self, error: &LinkError, partitions: impl Iterator<Item = &'a TopicPartition>) {
        tracing::warn!(leader = %self.leader, fetcher = self.index, %error, "Error in fetch from leader, will retry");
        self.back_off(partitions);
    }

    fn pause_ms(&self) -> Millis {
        let now = self.env.now_ms();
        let next = self.work.lock().states.next_ready(now);
        next.map_or(self.options.backoff_ms, |at| (at - now).min(self.options.backoff_ms))
    }

    fn back_off<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>) {
        let until = self.env.now_ms() + self.options.backoff_ms;
        let mut work = self.work.lock();
        partitions.for_each(|tp| work.states.delay(tp, until));
    }

    /// Gives a partition up until the next LeaderAndIsr.
    fn fail(&self, tp: &TopicPartition) {
        let mut work = self.work.lock();
        work.states.remove(tp);
        work.partitions.remove(tp);
        work.failed.push(tp.clone());
    }

    fn wanted(&self) -> (Vec<(TopicPartition, Wanted)>, InRequest) {
        let work = self.work.lock();
        let ready = work.states.ready(Stage::Fetching, self.env.now_ms());
        let wanted = ready
            .iter()
            .filter_map(|(tp, state)| {
                let log_start = work.partitions.get(tp)?.log_start();
                let epoch = if self.options.versions.truncates_on_fetch { state.last_fetched_epoch } else { None };
                let asked = Asked {
                    fetch_offset: state.fetch_offset,
                    log_start,
                    leader_epoch: state.leader_epoch,
                    last_fetched_epoch: epoch.unwrap_or(LeaderEpoch::NONE),
                    max_bytes: self.options.partition_max_bytes,
                };
                Some((tp.clone(), Wanted { topic_id: state.topic_id, asked }))
            })
            .collect();
        (wanted, ready.into_iter().collect())
    }

    fn encode(&self, next: Difference) -> (i16, fetch::Request) {
        let options = &self.options;
        let version = if next.uses_topic_ids { options.versions.fetch } else { options.versions.fetch.min(12) };
        let ids: HashMap<TopicName, TopicId> =
            next.send.iter().map(|(tp, wanted)| (tp.topic.clone(), wanted.topic_id)).collect();
        let partition = |(index, wanted): (i32, Wanted)| fetch::FetchPartition {
            partition: index,
            current_leader_epoch: wanted.asked.leader_epoch.0,
            fetch_offset: wanted.asked.fetch_offset.0,
            last_fetched_epoch: wanted.asked.last_fetched_epoch.0,
            log_start_offset: wanted.asked.log_start.0,
            partition_max_bytes: wanted.asked.max_bytes,
            ..Default::default()
        };
        let topics = by_topic(next.send)
            .into_iter()
            .map(|(name, partitions)| fetch::FetchTopic {
                topic_id: ids.get(&name).copied().unwrap_or_default(),
                topic: if version < 13 { (&name).into() } else { Default::default() },
                partitions: partitions.into_iter().map(partition).collect(),
            })
            .collect();
        let mut forgotten: Vec<fetch::ForgottenTopic> = Vec::new();
        for (tp, topic_id) in next.forget {
            let same = |topic: &&mut fetch::ForgottenTopic| {
                if version < 13 { *topic.topic == *tp.topic } else { topic.topic_id == topic_id }
            };
            match forgotten.iter_mut().find(same) {
                Some(topic) => topic.partitions.push(tp.partition),
                None => forgotten.push(fetch::ForgottenTopic {
                    topic: if version < 13 { (&tp.topic).into() } else { Default::default() },
                    topic_id,
                    partitions: vec![tp.partition],
                }),
            }
        }
        let (me, epoch) = (self.env.me.0, self.env.broker_epoch());
        let request = fetch::Request {
            replica_id: if version < 15 { me } else { -1 },
            replica_state: if version < 15 {
                Default::default()
            } else {
                fetch::ReplicaState { replica_id: me, replica_epoch: epoch.0 }
            },
            max_wait_ms: options.wait_max_ms,
            min_bytes: options.min_bytes,
            max_bytes: options.response_max_bytes,
            session_id: next.session_id,
            session_epoch: next.session_epoch,
            topics,
            forgotten_topics_data: forgotten,
            ..Default::default()
        };
        (version, request)
    }

    async fn apply_response(&self, response: fetch::Response, asked: &InRequest, link: &mut dyn LeaderLink) {
        // Answers by topic id name no topic.
        let names: HashMap<TopicId, &TopicName> = asked.iter().map(|(tp, state)| (state.topic_id, &tp.topic)).collect();
        let mut out_of_range = Vec::new();
        for topic in response.responses {
            let name: TopicName = if topic.topic.is_empty() {
                match names.get(&topic.topic_id) {
                    Some(name) => TopicName::clone(name),
                    None => continue,
                }
            } else {
                topic.topic.into()
            };
            for data in topic.partitions {
                let tp = TopicPartition { topic: name.clone(), partition: data.partition_index };
                let Some(state) = asked.get(&tp) else { continue };
                match ErrorCode::from_code(data.error_code) {
                    ErrorCode::None if data.diverging_epoch.epoch >= 0 => self.truncate(
                        &tp,
                        state,
                        (LeaderEpoch(data.diverging_epoch.epoch), Offset(data.diverging_epoch.end_offset)),
                    ),
                    ErrorCode::None => self.append(&tp, state, data),
                    ErrorCode::OffsetOutOfRange => out_of_range.push((tp, state)),
                    error => self.refused(&tp, state, error),
                }
            }
        }
        for (tp, state) in out_of_range {
            self.out_of_range(&tp, state, link).await;
        }
    }

    /// The partition, if an answer to what was asked at `asked` still counts.
    fn current(&self, tp: &TopicPartition, asked: &FetchState) -> Option<Arc<Partition>> {
        let work = self.work.lock();
        work.states.current(tp, asked, self.env.now_ms())?;
        work.partitions.get(tp).cloned()
    }

    fn append(&self, tp: &TopicPartition, asked: &FetchState, data: fetch::PartitionData) {
        let Some(partition) = self.current(tp, asked) else { return };
        let records = match data.records {
            Records::Null => Bytes::new(),
            Records::Bytes(bytes) => bytes,
            rope => match rope.into_bytes() {
                Ok(bytes) => bytes,
                Err(_) => return self.back_off(std::iter::once(tp)),
            },
        };
        let size = records.len();
        let (hw, start) = (Offset(data.high_watermark), Offset(data.log_start_offset));
        match partition.append_as_follower(&self.env, asked.leader_epoch, asked.fetch_offset, &records, hw, start) {
            Ok(appended) => {
                self.bytes_in.fetch_add(size as u64, Ordering::Relaxed);
                self.env.counters.replication_bytes_in.fetch_add(size as u64, Ordering::Relaxed);
                let mut work = self.work.lock();
                if work.states.current(tp, asked, self.env.now_ms()).is_some() {
                    let lag = hw.0 - appended.log_end.0;
                    let moved = appended.log_end > asked.fetch_offset;
                    work.states.advanced(tp, appended.log_end, appended.last_epoch, lag, moved);
                }
            }
            Err(error) => self.local_failure(tp, &error),
        }
    }

    /// The log here refused a change.
    fn local_failure(&self, tp: &TopicPartition, error: &FollowerError) {
        match error {
            // A LeaderAndIsr or StopReplica came first; it takes care of the fetcher.
            FollowerError::NotFollower => {}
            FollowerError::Corrupt(_) => {
                tracing::error!(partition = %tp, %error, "Found invalid messages during fetch, will retry");
                self.back_off(std::iter::once(tp));
            }
            FollowerError::Storage(_) | FollowerError::Unexpected(_) => {
                tracing::error!(partition = %tp, %error, "Partition marked as failed");
                self.fail(tp);
            }
        }
    }

    fn refused(&self, tp: &TopicPartition, asked: &FetchState, error: ErrorCode) {
        if self.current(tp, asked).is_none() {
            return;
        }
        if error == ErrorCode::FencedLeaderEpoch {
            // Ours is the epoch that was refused: only a LeaderAndIsr can help.
            tracing::info!(partition = %tp, epoch = %asked.leader_epoch,
                "Partition has an older epoch than its leader, waits for LeaderAndIsr");
            self.fail(tp);
        } else {
            tracing::warn!(partition = %tp, leader = %self.leader, %error, "Leader refused the fetch, will retry");
            self.back_off(std::iter::once(tp));
        }
    }

    /// Cuts the log after the leader told where `leader.0` ended in its own.
    fn truncate(&self, tp: &TopicPartition, asked: &FetchState, leader: (LeaderEpoch, Offset)) {
        let Some(partition) = self.current(tp, asked) else { return };
        let own = partition.end_offset_for_epoch(leader.0);
        let (to, completed) = truncation(leader, own, partition.log_end(), asked.fetch_offset);
        tracing::info!(partition = %tp, offset = %to, completed, leader_epoch = %leader.0, end_offset = %leader.1,
            "Truncating to the leader's history");
        let stage =
            if completed || self.options.versions.truncates_on_fetch { Stage::Fetching } else { Stage::Truncating };
        self.cut(&partition, asked, Cut::To(to), stage);
    }

    fn cut(&self, partition: &Partition, asked: &FetchState, cut: Cut, stage: Stage) {
        let tp = &partition.tp;
        let done = match cut {
            Cut::To(offset) => partition.truncate_as_follower(&self.env, asked.leader_epoch, offset),
            Cut::RestartAt(offset) => partition.restart_as_follower(&self.env, asked.leader_epoch, offset),
            Cut::Nothing => Ok(partition.log_end()),
        };
        match done {
            Ok(log_end) => {
                self.truncated.fetch_or(!matches!(cut, Cut::Nothing), Ordering::AcqRel);
                let mut work = self.work.lock();
                if work.states.current(tp, asked, self.env.now_ms()).is_some() {
                    work.states.truncated(tp, log_end, partition.latest_epoch(), stage);
                }
            }
            Err(error) => self.local_failure(tp, &error),
        }
    }

    /// Partitions that must compare histories before they fetch.
    async fn truncate_ready(&self, link: &mut dyn LeaderLink) {
        let ready = self.work.lock().states.ready(Stage::Truncating, self.env.now_ms());
        let mut ask = Vec::new();
        for (tp, state) in ready {
            let Some(partition) = self.current(&tp, &state) else { continue };
            match partition.latest_epoch() {
                Some(epoch) => ask.push((tp, (state, epoch))),
                // Nothing to compare: everything above the high watermark goes.
                None => self.cut(&partition, &state, Cut::To(state.fetch_offset), Stage::Fetching),
            }
        }
        if ask.is_empty() {
            return;
        }
        let asked: InRequest = ask.iter().map(|(tp, (state, _))| (tp.clone(), state.clone())).collect();
        let topics = by_topic(ask)
            .into_iter()
            .map(|(topic, partitions)| offset_for_leader_epoch::OffsetForLeaderTopic {
                topic: topic.into(),
                partitions: partitions
                    .into_iter()
                    .map(|(partition, (state, epoch))| offset_for_leader_epoch::OffsetForLeaderPartition {
                        partition,
                        current_leader_epoch: state.leader_epoch.0,
                        leader_epoch: epoch.0,
                    })
                    .collect(),
            })
            .collect();
        let request = offset_for_leader_epoch::Request { replica_id: self.env.me.0, topics };
        let response = match link.offset_for_leader_epoch(self.options.versions.offset_for_leader_epoch, request).await
        {
            Ok(response) => response,
            Err(error) => return self.link_failed(&error, asked.keys()),
        };
        for topic in response.topics {
            let name: TopicName = topic.topic.into();
            for answer in topic.partitions {
                let tp = TopicPartition { topic: name.clone(), partition: answer.partition };
                let Some(state) = asked.get(&tp) else { continue };
                match ErrorCode::from_code(answer.error_code) {
                    ErrorCode::None => {
                        self.truncate(&tp, state, (LeaderEpoch(answer.leader_epoch), Offset(answer.end_offset)));
                    }
                    error => self.refused(&tp, state, error),
                }
            }
        }
    }

    /// The leader does not have our offset: its log ends before it, or starts after it.
    async fn out_of_range(&self, tp: &TopicPartition, asked: &FetchState, link: &mut dyn LeaderLink) {
        let Some(partition) = self.current(tp, asked) else { return };
        let log_end = partition.log_end();
        let cut = match self.leader_offset(tp, asked, LATEST, link).await {
            Ok(latest) if latest < log_end => Ok(Cut::To(latest)),
            Ok(_) => self
                .leader_offset(tp, asked, EARLIEST, link)
                .await
                .map(|earliest| if earliest > log_end { Cut::RestartAt(earliest) } else { Cut::Nothing }),
            Err(failed) => Err(failed),
        };
        match cut {
            Ok(cut) => {
                tracing::warn!(partition = %tp, fetch_offset = %asked.fetch_offset, ?cut, "Fetch offset is out of range");
                if self.current(tp, asked).is_some() {
                    self.cut(&partition, asked, cut, Stage::Fetching);
                }
            }
            Err(OffsetFailure::Refused(error)) => self.refused(tp, asked, error),
            Err(OffsetFailure::Link(error)) => self.link_failed(&error, std::iter::once(tp)),
        }
    }

    async fn leader_offset(
        &self,
        tp: &TopicPartition,
        asked: &FetchState,
        timestamp: i64,
        link: &mut dyn LeaderLink,
    ) -> Result<Offset, OffsetFailure> {
        let partition = list_offsets::ListOffsetsPartition {
            partition_index: tp.partition,
            current_leader_epoch: asked.leader_epoch.0,
            timestamp,
            ..Default::default()
        };
        let topic = list_offsets::ListOffsetsTopic { name: (&tp.topic).into(), partitions: vec![partition] };
        let request = list_offsets::Request { replica_id: self.env.me.0, isolation_level: 0, topics: vec![topic] };
        let response =
            link.list_offsets(self.options.versions.list_offsets, request).await.map_err(OffsetFailure::Link)?;
        let answer = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let answer = answer.ok_or(OffsetFailure::Refused(ErrorCode::UnknownServerError))?;
        match ErrorCode::from_code(answer.error_code) {
            ErrorCode::None => Ok(Offset(answer.offset)),
            error => Err(OffsetFailure::Refused(error)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    To(Offset),
    /// Drop everything; the log starts anew here.
    RestartAt(Offset),
    Nothing,
}

enum OffsetFailure {
    Refused(ErrorCode),
    Link(LinkError),
}
