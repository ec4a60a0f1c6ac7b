//! All fetchers of a broker: `num.replica.fetchers` per leader, partitions spread over them as in Kafka.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::ids::{BrokerId, TopicId, TopicPartition, java_string_hash, kafka_abs};
use crate::wait::Runtime;

use super::env::Env;
use super::fetch_states::Start;
use super::fetcher::{FetchOptions, Fetcher};
use super::hosted::Partition;
use super::links::LeaderLinks;

/// The fetchers, by leader and number.
pub struct Fetchers {
    env: Arc<Env>,
    options: FetchOptions,
    per_leader: u32,
    links: Arc<dyn LeaderLinks>,
    runtime: Arc<dyn Runtime>,
    running: Mutex<HashMap<(BrokerId, u32), Arc<Fetcher>>>,
    failed: Mutex<HashSet<TopicPartition>>,
    stopped: AtomicBool,
}

impl Fetchers {
    pub fn new(
        env: Arc<Env>,
        options: FetchOptions,
        per_leader: u32,
        links: Arc<dyn LeaderLinks>,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        Self {
            env,
            options,
            per_leader: per_leader.max(1),
            links,
            runtime,
            running: Mutex::default(),
            failed: Mutex::default(),
            stopped: AtomicBool::new(false),
        }
    }

    fn index(&self, tp: &TopicPartition) -> u32 {
        let hash = java_string_hash(&tp.topic).wrapping_mul(31).wrapping_add(tp.partition);
        kafka_abs(hash) as u32 % self.per_leader
    }

    /// Does the leader tell divergence while it answers Fetch?
    pub fn truncates_on_fetch(&self) -> bool {
        self.options.versions.truncates_on_fetch
    }

    /// Starts to copy a partition from `leader`.
    pub fn add(&self, leader: BrokerId, partition: Arc<Partition>, start: Start) {
        let index = self.index(&partition.tp);
        self.failed.lock().remove(&partition.tp);
        let mut running = self.running.lock();
        if self.stopped.load(Ordering::Acquire) {
            return;
        }
        let fetcher = running.entry((leader, index)).or_insert_with(|| {
            tracing::info!(%leader, fetcher = index, "Starting replica fetcher");
            let fetcher = Arc::new(Fetcher::new(leader, index, self.env.clone(), self.options.clone()));
            let client_id = format!("broker-{}-fetcher-{index}", self.env.me);
            let link = self.links.link(leader, &client_id);
            self.runtime.spawn(Box::pin(fetcher.clone().run(link, self.runtime.clone())));
            fetcher
        });
        fetcher.add(partition, start);
    }

    fn with_index(&self, tp: &TopicPartition) -> Vec<Arc<Fetcher>> {
        let index = self.index(tp);
        let running = self.running.lock();
        running.iter().filter(|((_, at), _)| *at == index).map(|(_, fetcher)| fetcher.clone()).collect()
    }

    /// Stops copying a partition from whomever.
    pub fn remove(&self, tp: &TopicPartition) {
        self.failed.lock().remove(tp);
        for fetcher in self.with_index(tp) {
            fetcher.remove(tp);
        }
    }

    /// The id of a topic became known.
    pub fn set_topic_id(&self, tp: &TopicPartition, id: TopicId) {
        for fetcher in self.with_index(tp) {
            fetcher.set_topic_id(tp, id);
        }
    }

    /// Ends the fetchers that have nothing to copy.
    pub fn stop_idle(&self) {
        self.running.lock().retain(|_, fetcher| {
            let keep = !fetcher.is_idle();
            if !keep {
                tracing::info!(leader = %fetcher.leader, fetcher = fetcher.index, "Stopping idle replica fetcher");
                fetcher.stop();
            }
            keep
        });
    }

    /// Ends all fetchers for good.
    pub fn stop(&self) {
        let mut running = self.running.lock();
        self.stopped.store(true, Ordering::Release);
        running.drain().for_each(|(_, fetcher)| fetcher.stop());
    }

    /// The fetchers that run now.
    pub fn running(&self) -> Vec<Arc<Fetcher>> {
        self.running.lock().values().cloned().collect()
    }

    /// Partitions given up until the next LeaderAndIsr (FailedPartitionsCount).
    pub fn failed_count(&self) -> usize {
        let newly: Vec<TopicPartition> = self.running().iter().flat_map(|fetcher| fetcher.take_failed()).collect();
        let mut failed = self.failed.lock();
        failed.extend(newly);
        failed.len()
    }

    /// The largest lag of any partition (MaxLag).
    pub fn max_lag(&self) -> i64 {
        self.running().iter().map(|fetcher| fetcher.max_lag()).max().unwrap_or(0)
    }
}
