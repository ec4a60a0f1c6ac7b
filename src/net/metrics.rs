//! Numbers and times of requests, under the names of Kafka's `RequestMetrics`.
//!
//! Kafka's stages fit as follows: the request queue is the time from the last byte of a request to its start, local time is
//! the ordered phase (the first poll), remote time all that it waits afterwards, the response queue the time that a decided
//! answer waits for those before it, and the rest is sending.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::Subject;
use super::memory::Memory;
use crate::metrics::names::{
    ACCEPTOR_ACCEPTOR_BLOCKED_PERCENT, REQUEST_METRICS_LOCAL_TIME_MS, REQUEST_METRICS_REMOTE_TIME_MS,
    REQUEST_METRICS_REQUEST_BYTES, REQUEST_METRICS_REQUEST_QUEUE_TIME_MS, REQUEST_METRICS_REQUESTS_PER_SEC,
    REQUEST_METRICS_RESPONSE_QUEUE_TIME_MS, REQUEST_METRICS_RESPONSE_SEND_TIME_MS, REQUEST_METRICS_TOTAL_TIME_MS,
    SOCKET_SERVER_MEMORY_POOL_AVAILABLE, SOCKET_SERVER_MEMORY_POOL_USED,
};
use crate::metrics::{Counter, Histogram, Metrics};
use crate::wire::ApiKey;

/// When a request reached its stages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub arrived: Instant,
    pub started: Instant,
    /// End of the ordered phase.
    pub ordered: Instant,
    pub decided: Instant,
}

/// The metrics of one API.
struct ApiMetrics {
    name: &'static str,
    requests: Vec<OnceLock<Counter>>,
    bytes: Histogram,
    queue: Histogram,
    local: Histogram,
    remote: Histogram,
    response_queue: Histogram,
    send: Histogram,
    total: Histogram,
}

/// The metrics of all APIs; those of one come into being with its first request.
pub(super) struct RequestMetrics {
    metrics: Metrics,
    by_api: Vec<OnceLock<ApiMetrics>>,
    /// Fetches also count as one of these.
    fetch_consumer: OnceLock<ApiMetrics>,
    fetch_follower: OnceLock<ApiMetrics>,
}

impl RequestMetrics {
    pub fn new(metrics: Metrics) -> Self {
        let last = ApiKey::ALL.iter().map(|api| api.key()).max().unwrap_or(0);
        let by_api = (0..=last).map(|_| OnceLock::new()).collect();
        Self { metrics, by_api, fetch_consumer: OnceLock::new(), fetch_follower: OnceLock::new() }
    }

    /// Shows the request memory.
    pub fn show_memory(&self, memory: &Arc<Memory>) {
        let (used, available) = (memory.clone(), memory.clone());
        self.metrics.gauge_fn(&SOCKET_SERVER_MEMORY_POOL_USED, &[], move || used.used() as f64);
        self.metrics.gauge_fn(&SOCKET_SERVER_MEMORY_POOL_AVAILABLE, &[], move || available.available() as f64);
    }

    /// Counts the nanoseconds for which a listener could not accept.
    pub fn blocked_acceptor(&self, listener: &str) -> Counter {
        self.metrics.counter(&ACCEPTOR_ACCEPTOR_BLOCKED_PERCENT, &[listener])
    }

    fn of(&self, subject: Subject) -> impl Iterator<Item = &ApiMetrics> {
        let create = |name| move || ApiMetrics::new(&self.metrics, name);
        let api = self.by_api[subject.api.key() as usize].get_or_init(create(subject.api.name()));
        let fetch = subject.from_follower.map(|from_follower| match from_follower {
            true => self.fetch_follower.get_or_init(create("FetchFollower")),
            false => self.fetch_consumer.get_or_init(create("FetchConsumer")),
        });
        std::iter::once(api).chain(fetch)
    }

    /// A request has been decided and its answer handed over for sending, or needs none.
    pub fn decided(&self, subject: Subject, bytes: usize, times: Times, taken: Instant) {
        for api in self.of(subject) {
            let version = subject.version.clamp(0, api.requests.len() as i16 - 1);
            let count = || {
                let labels = [api.name, &subject.version.to_string()];
                self.metrics.counter(&REQUEST_METRICS_REQUESTS_PER_SEC, &labels)
            };
            api.requests[version as usize].get_or_init(count).increment();
            api.bytes.record(bytes as f64);
            api.queue.record_duration(times.started - times.arrived);
            api.local.record_duration(times.ordered - times.started);
            api.remote.record_duration(times.decided - times.ordered);
            api.response_queue.record_duration(taken - times.decided);
        }
    }

    /// Its answer is out.
    pub fn sent(&self, subject: Subject, times: Times, taken: Instant, sent: Instant) {
        for api in self.of(subject) {
            api.send.record_duration(sent - taken);
            api.total.record_duration(sent - times.arrived);
        }
    }
}

impl ApiMetrics {
    fn new(metrics: &Metrics, name: &'static str) -> Self {
        /// More than any API has versions.
        const VERSIONS: usize = 32;
        let histogram = |metric| metrics.histogram(metric, &[name]);
        Self {
            name,
            requests: (0..VERSIONS).map(|_| OnceLock::new()).collect(),
            bytes: histogram(&REQUEST_METRICS_REQUEST_BYTES),
            queue: histogram(&REQUEST_METRICS_REQUEST_QUEUE_TIME_MS),
            local: histogram(&REQUEST_METRICS_LOCAL_TIME_MS),
            remote: histogram(&REQUEST_METRICS_REMOTE_TIME_MS),
            response_queue: histogram(&REQUEST_METRICS_RESPONSE_QUEUE_TIME_MS),
            send: histogram(&REQUEST_METRICS_RESPONSE_SEND_TIME_MS),
            total: histogram(&REQUEST_METRICS_TOTAL_TIME_MS),
        }
    }
}
