//! The follower's side of an incremental fetch session (KIP-227): sends only what changed since the last request. Pure.
//!
//! Studied: `FetchSessionHandler.java`.

use std::collections::{BTreeMap, HashMap};

use crate::error::ErrorCode;
use crate::ids::{TopicId, TopicPartition};

use super::fetch_session::Asked;

/// A partition to fetch, with the topic's id (zero if it has none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub topic_id: TopicId,
    pub asked: Asked,
}

/// What the next request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub session_id: i32,
    pub session_epoch: i32,
    /// All topics have ids: Fetch v13 or later may be used.
    pub uses_topic_ids: bool,
    pub send: Vec<(TopicPartition, Wanted)>,
    pub forget: Vec<(TopicPartition, TopicId)>,
}

/// The session as the follower knows it.
#[derive(Debug, Default)]
pub struct SessionClient {
    id: i32,
    /// Of the next request; 0 asks for a new session.
    epoch: i32,
    uses_topic_ids: bool,
    partitions: HashMap<TopicPartition, Wanted>,
}

impl SessionClient {
    /// Makes the next request out of all that should be fetched, in order.
    pub fn next(&mut self, wanted: Vec<(TopicPartition, Wanted)>) -> Difference {
        let uses_topic_ids = wanted.iter().all(|(_, w)| !w.topic_id.is_zero());
        if self.epoch != 0 && uses_topic_ids != self.uses_topic_ids {
            self.start_again();
        }
        self.uses_topic_ids = uses_topic_ids;
        let mut forget = Vec::new();
        let mut send = wanted;
        if self.epoch == 0 {
            self.partitions = send.iter().cloned().collect();
        } else {
            let mut left = std::mem::take(&mut self.partitions);
            send.retain(|(tp, now)| {
                let before = left.remove(tp);
                self.partitions.insert(tp.clone(), *now);
                // A topic that was created again: the old incarnation leaves the session.
                if let Some(before) = before.filter(|before| before.topic_id != now.topic_id) {
                    forget.push((tp.clone(), before.topic_id));
                }
                before != Some(*now)
            });
            forget.extend(left.into_iter().map(|(tp, before)| (tp, before.topic_id)));
        }
        Difference { session_id: self.id, session_epoch: self.epoch, uses_topic_ids, send, forget }
    }

    /// The leader answered. `answered` lists the partitions of the answer. Returns whether the partitions of the answer
    /// may be used.
    pub fn answered(&mut self, error: ErrorCode, session_id: i32, answered: usize) -> bool {
        if error != ErrorCode::None {
            if error == ErrorCode::FetchSessionIdNotFound {
                self.id = 0;
            }
            self.start_again();
            return false;
        }
        let was_full = self.epoch == 0;
        // A full answer must name every partition that was asked for; else the two sides disagree.
        if was_full && answered != self.partitions.len() {
            self.start_again();
            return false;
        }
        if session_id == 0 {
            // No session, or the leader closed it: the next request is full again.
            self.id = 0;
            self.start_again();
        } else if was_full {
            self.id = session_id;
            self.epoch = 1;
        } else {
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
        true
    }

    /// The request or its answer was lost: the next one closes this session and asks for a new one.
    pub fn start_again(&mut self) {
        self.epoch = 0;
    }
}

/// Groups partitions by topic, in the order of first mention; the request lists each topic once.
pub fn by_topic<T>(partitions: Vec<(TopicPartition, T)>) -> Vec<(crate::ids::TopicName, Vec<(i32, T)>)> {
    let mut order: BTreeMap<crate::ids::TopicName, usize> = BTreeMap::new();
    let mut topics: Vec<(crate::ids::TopicName, Vec<(i32, T)>)> = Vec::new();
    for (tp, value) in partitions {
        let index = *order.entry(tp.topic.clone()).or_insert_with(|| {
            topics.push((tp.topic.clone(), Vec::new()));
            topics.len() - 1
        });
        topics[index].1.push((tp.partition, value));
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LeaderEpoch, Offset, Uuid};

    fn want(partition: i32, offset: i64, id: u128) -> (TopicPartition, Wanted) {
        let asked = Asked {
            fetch_offset: Offset(offset),
            log_start: Offset(0),
            leader_epoch: LeaderEpoch(0),
            last_fetched_epoch: LeaderEpoch(0),
            max_bytes: 10,
        };
        (TopicPartition::new("t", partition), Wanted { topic_id: Uuid(id), asked })
    }

    fn names(list: &[(TopicPartition, Wanted)]) -> Vec<i32> {
        list.iter().map(|(tp, _)| tp.partition).collect()
    }

    #[test]
    fn sends_differences_once_the_session_stands() {
        let mut client = SessionClient::default();
        let first = client.next(vec![want(0, 0, 7), want(1, 0, 7), want(2, 0, 7)]);
        assert_eq!((first.session_id, first.session_epoch, first.send.len()), (0, 0, 3));
        assert!(client.answered(ErrorCode::None, 42, 3));
        let second = client.next(vec![want(0, 5, 7), want(1, 0, 7), want(3, 0, 7)]);
        assert_eq!((second.session_id, second.session_epoch), (42, 1));
        assert_eq!(names(&second.send), [0, 3]);
        assert_eq!(second.forget, [(TopicPartition::new("t", 2), Uuid(7))]);
        assert!(client.answered(ErrorCode::None, 42, 0));
        assert_eq!(client.next(vec![want(0, 5, 7), want(1, 0, 7), want(3, 0, 7)]).send, []);
    }

    #[test]
    fn errors_lead_to_a_full_request() {
        let established = || {
            let mut client = SessionClient::default();
            client.next(vec![want(0, 0, 7)]);
            client.answered(ErrorCode::None, 42, 1);
            client
        };
        let full = |mut client: SessionClient| {
            let next = client.next(vec![want(0, 0, 7)]);
            (next.session_id, next.session_epoch, next.send.len())
        };
        let mut client = established();
        assert!(!client.answered(ErrorCode::FetchSessionIdNotFound, 0, 0));
        assert_eq!(full(client), (0, 0, 1));
        let mut client = established();
        assert!(!client.answered(ErrorCode::InvalidFetchSessionEpoch, 0, 0));
        assert_eq!(full(client), (42, 0, 1), "names the old session, so that it is closed");
        let mut client = established();
        client.start_again();
        assert_eq!(full(client), (42, 0, 1));
        let mut client = established();
        assert!(client.answered(ErrorCode::None, 0, 0));
        assert_eq!(full(client), (0, 0, 1), "closed by the leader");
    }

    #[test]
    fn incomplete_full_answers_are_refused() {
        let mut client = SessionClient::default();
        client.next(vec![want(0, 0, 7), want(1, 0, 7)]);
        assert!(!client.answered(ErrorCode::None, 42, 1));
    }

    #[test]
    fn topics_without_ids_and_new_incarnations() {
        let mut client = SessionClient::default();
        client.next(vec![want(0, 0, 7)]);
        client.answered(ErrorCode::None, 42, 1);
        let changed = client.next(vec![want(0, 0, 8)]);
        assert_eq!((changed.send.len(), changed.forget), (1, vec![(TopicPartition::new("t", 0), Uuid(7))]));
        client.answered(ErrorCode::None, 42, 0);
        let named = client.next(vec![want(0, 0, 8), want(1, 0, 0)]);
        assert!(!named.uses_topic_ids);
        assert_eq!(named.session_epoch, 0, "a session uses either ids or names");
    }
}
