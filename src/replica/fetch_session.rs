//! Incremental fetch sessions (KIP-227): what a client need not repeat, and what the broker need not answer. Pure.
//!
//! A session remembers the partitions that its client fetches, in an order that rotates so that none starves, and what
//! was sent last for each, so that an answer lists only partitions with news. The cache is split into eight shards, as
//! in Kafka 3.9, and the id tells the shard. Studied: `FetchSession.scala`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset, TopicId, TopicName};
use crate::time::Millis;

const SHARDS: usize = 8;
const IDS_PER_SHARD: i32 = i32::MAX / SHARDS as i32;
/// A session idle or alive for longer than this may be evicted.
const EVICTABLE_AFTER_MS: Millis = 120_000;

/// Epoch of a full request that wants a session.
const INITIAL_EPOCH: i32 = 0;
/// Epoch of a full request that wants none, and ends the one it names.
const FINAL_EPOCH: i32 = -1;

/// A topic as the client names it: by id since Fetch v13, by name before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    Id(TopicId),
    Name(TopicName),
}

/// A partition as the client names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub topic: Topic,
    pub partition: i32,
}

/// What a client asks for one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub fetch_offset: Offset,
    /// The follower's log start; -1 from consumers.
    pub log_start: Offset,
    /// `current_leader_epoch`, negative if not given.
    pub leader_epoch: LeaderEpoch,
    /// Epoch of the last record that the client has, negative if not given.
    pub last_fetched_epoch: LeaderEpoch,
    pub max_bytes: i32,
}

/// What an answer says about one partition, as far as the session cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    pub high_watermark: i64,
    pub log_start: i64,
    pub has_records: bool,
    pub is_error: bool,
    /// A diverging epoch or a preferred read replica is set.
    pub is_redirect: bool,
}

/// One client's session.
#[derive(Debug)]
struct Session {
    id: i32,
    /// A follower's session; consumers do not displace it while it is young.
    privileged: bool,
    uses_topic_ids: bool,
    created_ms: Millis,
    last_used_ms: Millis,
    /// The epoch that the next request must carry.
    epoch: i32,
    partitions: BTreeMap<u64, Cached>,
    order: HashMap<Key, u64>,
    next_order: u64,
}

#[derive(Debug)]
struct Cached {
    key: Key,
    asked: Asked,
    sent_high_watermark: i64,
    sent_log_start: i64,
}

impl Session {
    fn add(&mut self, cached: Cached) {
        let order = self.next_order;
        self.next_order += 1;
        self.order.insert(cached.key.clone(), order);
        self.partitions.insert(order, cached);
    }

    fn update(&mut self, partitions: Vec<(Key, Asked)>, forgotten: &[Key]) {
        for (key, asked) in partitions {
            match self.order.get(&key).and_then(|order| self.partitions.get_mut(order)) {
                Some(cached) => cached.asked = asked,
                None => self.add(Cached { key, asked, sent_high_watermark: -1, sent_log_start: -1 }),
            }
        }
        for key in forgotten {
            if let Some(order) = self.order.remove(key) {
                self.partitions.remove(&order);
            }
        }
    }

    /// Notes what is sent for `key`; is it news to the client?
    fn note(&mut self, key: &Key, answered: Answered) -> bool {
        let Some(order) = self.order.get(key).copied() else { return true };
        let Some(cached) = self.partitions.get_mut(&order) else { return true };
        let news = answered.has_records
            || answered.is_error
            || answered.is_redirect
            || cached.sent_high_watermark != answered.high_watermark
            || cached.sent_log_start != answered.log_start;
        // After an error the high watermark is forgotten, so that the recovery is reported.
        cached.sent_high_watermark = if answered.is_error { -1 } else { answered.high_watermark };
        cached.sent_log_start = answered.log_start;
        if answered.has_records
            && let Some(cached) = self.partitions.remove(&order)
        {
            self.add(cached);
        }
        news
    }
}

fn next_epoch(epoch: i32) -> i32 {
    if epoch < 0 { FINAL_EPOCH } else { epoch.checked_add(1).unwrap_or(1) }
}

/// What the request's session fields say.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    pub session_id: i32,
    pub session_epoch: i32,
    pub uses_topic_ids: bool,
    pub from_follower: bool,
}

/// A request whose session is settled; [`Context::finish`] decides what goes into the answer.
pub struct Context {
    /// What to fetch, in the session's order.
    pub partitions: Vec<(Key, Asked)>,
    kind: Kind,
}

enum Kind {
    Sessionless,
    Full { asking: Asking },
    Incremental { session: Arc<Mutex<Session>>, id: i32, request_epoch: i32 },
}

/// The session part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub session_id: i32,
    pub error: ErrorCode,
    /// Per partition of [`Context::partitions`]: does it go into the answer?
    pub include: Vec<bool>,
}

/// The broker's sessions.
pub struct Cache {
    shards: [Mutex<HashMap<i32, Arc<Mutex<Session>>>>; SHARDS],
    slots_per_shard: usize,
    next_shard: AtomicUsize,
    evictions: AtomicU64,
}

impl Cache {
    /// A cache of `max.incremental.fetch.session.cache.slots`.
    pub fn new(slots: usize) -> Self {
        Self {
            shards: Default::default(),
            slots_per_shard: slots / SHARDS,
            next_shard: AtomicUsize::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    /// Number of sessions, and of partitions in them.
    pub fn sizes(&self) -> (usize, usize) {
        let mut sizes = (0, 0);
        for shard in &self.shards {
            let sessions: Vec<_> = shard.lock().values().cloned().collect();
            sizes.0 += sessions.len();
            sizes.1 += sessions.iter().map(|session| session.lock().partitions.len()).sum::<usize>();
        }
        sizes
    }

    /// Sessions evicted so far.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    fn shard_of(&self, id: i32) -> &Mutex<HashMap<i32, Arc<Mutex<Session>>>> {
        &self.shards[((id / IDS_PER_SHARD).max(0) as usize).min(SHARDS - 1)]
    }

    /// Resolves the session of a request.
    ///
    /// Errors, for the whole request: 70 unknown session, 71 wrong epoch, 106 ids where names were used or the reverse.
    pub fn open(
        &self,
        asking: Asking,
        partitions: Vec<(Key, Asked)>,
        forgotten: &[Key],
        now: Millis,
    ) -> Result<Context, ErrorCode> {
        let Asking { session_id, session_epoch, uses_topic_ids, .. } = asking;
        if session_epoch == INITIAL_EPOCH || session_epoch == FINAL_EPOCH {
            if session_id != 0 {
                self.shard_of(session_id).lock().remove(&session_id);
            }
            let kind = if session_epoch == FINAL_EPOCH { Kind::Sessionless } else { Kind::Full { asking } };
            return Ok(Context { partitions, kind });
        }
        let mut shard = self.shard_of(session_id).lock();
        let session = shard.get(&session_id).cloned().ok_or(ErrorCode::FetchSessionIdNotFound)?;
        let mut state = session.lock();
        if state.epoch != session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if state.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        state.update(partitions, forgotten);
        if state.partitions.is_empty() {
            shard.remove(&session_id);
            return Ok(Context { partitions: Vec::new(), kind: Kind::Sessionless });
        }
        state.last_used_ms = now;
        state.epoch = next_epoch(state.epoch);
        let partitions = state.partitions.values().map(|cached| (cached.key.clone(), cached.asked)).collect();
        drop(state);
        Ok(Context { partitions, kind: Kind::Incremental { session, id: session_id, request_epoch: session_epoch } })
    }

    fn create(
        &self,
        asking: Asking,
        partitions: Vec<(Key, Asked)>,
        answered: &[Answered],
        now: Millis,
        random: &mut dyn FnMut() -> u32,
    ) -> i32 {
        let shard_index = self.next_shard.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = self.shards[shard_index].lock();
        let privileged = asking.from_follower;
        if shard.len() >= self.slots_per_shard && !self.evict(&mut shard, privileged, partitions.len(), now) {
            return 0;
        }
        let lowest = (shard_index as i32 * IDS_PER_SHARD).max(1);
        let span = ((shard_index as i32 + 1) * IDS_PER_SHARD - lowest) as u32;
        let id = loop {
            let id = lowest + (random() % span) as i32;
            if !shard.contains_key(&id) {
                break id;
            }
        };
        let mut session = Session {
            id,
            privileged,
            uses_topic_ids: asking.uses_topic_ids,
            created_ms: now,
            last_used_ms: now,
            epoch: next_epoch(INITIAL_EPOCH),
            partitions: BTreeMap::new(),
            order: HashMap::with_capacity(partitions.len()),
            next_order: 0,
        };
        for ((key, asked), sent) in partitions.into_iter().zip(answered) {
            // A partition named twice is asked once, as it was named last.
            if let Some(order) = session.order.get(&key).copied() {
                session.partitions.remove(&order);
            }
            session.add(Cached {
                key,
                asked,
                sent_high_watermark: if sent.is_error { -1 } else { sent.high_watermark },
                sent_log_start: sent.log_start,
            });
        }
        shard.insert(id, Arc::new(Mutex::new(session)));
        id
    }

    /// Makes room: the session idle longest if it is stale, else the least valuable one if the new one, of `size`
    /// partitions, is worth as much. Followers' sessions are worth more than consumers', then size counts.
    fn evict(&self, shard: &mut HashMap<i32, Arc<Mutex<Session>>>, privileged: bool, size: usize, now: Millis) -> bool {
        let mut oldest: Option<(Millis, i32)> = None;
        let mut least: Option<(bool, usize, i32)> = None;
        for session in shard.values() {
            let session = session.lock();
            let used = (session.last_used_ms, session.id);
            oldest = Some(oldest.map_or(used, |best| best.min(used)));
            let old = now - session.created_ms > EVICTABLE_AFTER_MS;
            if old || (privileged && !session.privileged) {
                let value = (session.privileged, session.partitions.len(), session.id);
                least = Some(least.map_or(value, |best| best.min(value)));
            }
        }
        let victim = match (oldest, least) {
            (Some((used, id)), _) if now - used > EVICTABLE_AFTER_MS => Some(id),
            (_, Some(value)) if (privileged, size, 0) >= value => Some(value.2),
            _ => None,
        };
        let Some(id) = victim else { return false };
        shard.remove(&id);
        self.evictions.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl Context {
    /// Settles the answer: which partitions to include and which session id to tell. `answered` is parallel to
    /// [`Self::partitions`]; `random` draws session ids.
    pub fn finish(
        self,
        cache: &Cache,
        answered: &[Answered],
        now: Millis,
        random: &mut dyn FnMut() -> u32,
    ) -> Finished {
        let all = |session_id| Finished { session_id, error: ErrorCode::None, include: vec![true; answered.len()] };
        match self.kind {
            Kind::Sessionless => all(0),
            Kind::Full { asking } => all(cache.create(asking, self.partitions, answered, now, random)),
            Kind::Incremental { session, id, request_epoch } => {
                let mut session = session.lock();
                if session.epoch != next_epoch(request_epoch) {
                    // The client sent another request meanwhile, so it gave this one up.
                    let include = vec![false; answered.len()];
                    return Finished { session_id: 0, error: ErrorCode::InvalidFetchSessionEpoch, include };
                }
                let include =
                    self.partitions.iter().zip(answered).map(|((key, _), sent)| session.note(key, *sent)).collect();
                Finished { session_id: id, error: ErrorCode::None, include }
            }
        }
    }
}

#[cfg(test)]
#[path = "fetch_session_tests.rs"]
mod tests;
