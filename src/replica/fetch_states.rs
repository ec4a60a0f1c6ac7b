//! Where a fetcher stands with each of its partitions. Pure; the rules of retry and rotation, without the network.
//!
//! Studied: `AbstractFetcherThread.scala`, `PartitionFetchState`.

use std::collections::{BTreeMap, HashMap};

use crate::ids::{LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::time::Millis;

/// What a fetcher does for a partition next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Asks where its last epoch ended at the leader, and cuts its log there.
    Truncating,
    Fetching,
}

/// One partition's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchState {
    pub topic_id: TopicId,
    /// The epoch that LeaderAndIsr told; answers to requests of other epochs are dropped.
    pub leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    /// Epoch of the last record in the log, if there is one.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    pub stage: Stage,
    /// Not asked for before this time.
    pub delayed_until: Millis,
    /// Records between our end and the leader's high watermark; `None` before the first answer.
    pub lag: Option<i64>,
}

impl FetchState {
    fn ready(&self, now: Millis) -> bool {
        self.delayed_until <= now
    }
}

/// Where a partition shall start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub topic_id: TopicId,
    pub leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// The leader finds divergence while it answers Fetch (inter-broker protocol 2.7 and later).
    pub truncates_on_fetch: bool,
}

/// The partitions of one fetcher, in an order that rotates.
#[derive(Debug, Default)]
pub struct FetchStates {
    states: HashMap<TopicPartition, (u64, FetchState)>,
    order: BTreeMap<u64, TopicPartition>,
    next_order: u64,
}

impl FetchStates {
    /// Adds a partition. One that is there with the same epoch keeps its state.
    pub fn add(&mut self, tp: TopicPartition, start: Start) {
        if let Some((_, state)) = self.states.get_mut(&tp)
            && state.leader_epoch == start.leader_epoch
        {
            if state.topic_id.is_zero() {
                state.topic_id = start.topic_id;
            }
            return;
        }
        let fetching = start.truncates_on_fetch && start.last_fetched_epoch.is_some();
        let state = FetchState {
            topic_id: start.topic_id,
            leader_epoch: start.leader_epoch,
            fetch_offset: start.fetch_offset,
            last_fetched_epoch: if fetching { start.last_fetched_epoch } else { None },
            stage: if fetching { Stage::Fetching } else { Stage::Truncating },
            delayed_until: 0,
            lag: None,
        };
        self.remove(&tp);
        self.append(tp, state);
    }

    fn append(&mut self, tp: TopicPartition, state: FetchState) {
        let order = self.next_order;
        self.next_order += 1;
        self.order.insert(order, tp.clone());
        self.states.insert(tp, (order, state));
    }

    pub fn remove(&mut self, tp: &TopicPartition) -> Option<FetchState> {
        let (order, state) = self.states.remove(tp)?;
        self.order.remove(&order);
        Some(state)
    }

    pub fn get(&self, tp: &TopicPartition) -> Option<&FetchState> {
        self.states.get(tp).map(|(_, state)| state)
    }

    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// All partitions and their states, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &FetchState)> {
        self.order.values().filter_map(|tp| self.get(tp).map(|state| (tp, state)))
    }

    /// The partitions in `stage` that need not wait.
    pub fn ready(&self, stage: Stage, now: Millis) -> Vec<(TopicPartition, FetchState)> {
        self.iter()
            .filter(|(_, state)| state.stage == stage && state.ready(now))
            .map(|(tp, state)| (tp.clone(), state.clone()))
            .collect()
    }

    /// When the first of the waiting partitions becomes ready.
    pub fn next_ready(&self, now: Millis) -> Option<Millis> {
        self.states.values().map(|(_, state)| state.delayed_until).filter(|until| *until > now).min()
    }

    /// The state of `tp` if an answer to a request made at `asked` still counts: same epoch, same offset, same stage.
    pub fn current(&self, tp: &TopicPartition, asked: &FetchState, now: Millis) -> Option<&FetchState> {
        self.get(tp).filter(|state| {
            state.leader_epoch == asked.leader_epoch
                && state.fetch_offset == asked.fetch_offset
                && state.stage == asked.stage
                && state.ready(now)
        })
    }

    /// Records were appended, or an empty answer came (`moved` false): where the next fetch starts.
    pub fn advanced(&mut self, tp: &TopicPartition, to: Offset, epoch: Option<LeaderEpoch>, lag: i64, moved: bool) {
        let Some((order, state)) = self.states.get_mut(tp) else { return };
        let first = state.lag.is_none();
        state.fetch_offset = to;
        state.lag = Some(lag.max(0));
        if epoch.is_some() {
            state.last_fetched_epoch = epoch;
        }
        if moved || first {
            let old = std::mem::replace(order, self.next_order);
            self.next_order += 1;
            let new = *order;
            if let Some(tp) = self.order.remove(&old) {
                self.order.insert(new, tp);
            }
        }
    }

    /// The log was cut to `to`, where its last record has `epoch`.
    pub fn truncated(&mut self, tp: &TopicPartition, to: Offset, epoch: Option<LeaderEpoch>, stage: Stage) {
        if let Some((_, state)) = self.states.get_mut(tp) {
            state.fetch_offset = to;
            state.last_fetched_epoch = epoch;
            state.stage = stage;
        }
    }

    /// Leaves `tp` alone until `until`.
    pub fn delay(&mut self, tp: &TopicPartition, until: Millis) {
        if let Some((_, state)) = self.states.get_mut(tp) {
            state.delayed_until = until;
        }
    }

    /// The topic's id became known.
    pub fn set_topic_id(&mut self, tp: &TopicPartition, id: TopicId) {
        if let Some((_, state)) = self.states.get_mut(tp) {
            state.topic_id = id;
        }
    }

    /// The largest lag of any partition.
    pub fn max_lag(&self) -> i64 {
        self.states.values().filter_map(|(_, state)| state.lag).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn start(epoch: i32, offset: i64, last: Option<i32>) -> Start {
        Start {
            topic_id: TopicId::ZERO,
            leader_epoch: LeaderEpoch(epoch),
            fetch_offset: Offset(offset),
            last_fetched_epoch: last.map(LeaderEpoch),
            truncates_on_fetch: true,
        }
    }

    fn names(list: &[(TopicPartition, FetchState)]) -> Vec<i32> {
        list.iter().map(|(tp, _)| tp.partition).collect()
    }

    #[test]
    fn first_stage_depends_on_what_is_known() {
        let mut states = FetchStates::default();
        states.add(tp(0), start(1, 5, Some(0)));
        states.add(tp(1), start(1, 5, None));
        states.add(tp(2), Start { truncates_on_fetch: false, ..start(1, 5, Some(0)) });
        assert_eq!(names(&states.ready(Stage::Fetching, 0)), [0]);
        assert_eq!(names(&states.ready(Stage::Truncating, 0)), [1, 2]);
    }

    #[test]
    fn same_epoch_keeps_the_state_and_a_new_one_resets_it() {
        let mut states = FetchStates::default();
        states.add(tp(0), start(1, 5, Some(0)));
        states.advanced(&tp(0), Offset(9), Some(LeaderEpoch(1)), 3, true);
        states.add(tp(0), start(1, 5, Some(0)));
        assert_eq!(states.get(&tp(0)).unwrap().fetch_offset, Offset(9));
        states.add(tp(0), start(2, 9, Some(1)));
        assert_eq!(states.get(&tp(0)).unwrap().lag, None);
        assert_eq!(states.len(), 1);
    }

    #[test]
    fn partitions_rotate_when_they_move() {
        let mut states = FetchStates::default();
        (0..3).for_each(|p| states.add(tp(p), start(1, 0, Some(0))));
        (0..3).for_each(|p| states.advanced(&tp(p), Offset(0), None, 0, false));
        states.advanced(&tp(0), Offset(4), Some(LeaderEpoch(1)), 0, true);
        states.advanced(&tp(1), Offset(0), None, 0, false);
        assert_eq!(names(&states.ready(Stage::Fetching, 0)), [1, 2, 0]);
    }

    #[test]
    fn answers_to_older_states_do_not_count() {
        let mut states = FetchStates::default();
        states.add(tp(0), start(1, 5, Some(0)));
        let asked = states.get(&tp(0)).unwrap().clone();
        assert!(states.current(&tp(0), &asked, 0).is_some());
        states.delay(&tp(0), 100);
        assert!(states.current(&tp(0), &asked, 99).is_none());
        assert_eq!(states.next_ready(99), Some(100));
        assert!(states.current(&tp(0), &asked, 100).is_some());
        states.truncated(&tp(0), Offset(3), None, Stage::Fetching);
        assert!(states.current(&tp(0), &asked, 100).is_none());
        states.remove(&tp(0));
        assert!(states.is_empty());
    }
}
