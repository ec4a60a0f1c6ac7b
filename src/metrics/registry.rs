//! The series of a process.

use super::names::{Kind, Metric};
use super::reservoir::{Histogram, QUANTILES};
use parking_lot::RwLock;
use prometheus::TextEncoder;
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A number that only grows; cloning shares it.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down; cloning shares it.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    pub fn add(&self, difference: i64) {
        self.0.fetch_add(difference, Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

type Read = Arc<dyn Fn() -> f64 + Send + Sync>;
type Source = Arc<dyn Fn(&mut Samples) + Send + Sync>;
type Labels = Arc<[String]>;

#[derive(Clone)]
enum Series {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    Read(Read),
}

/// All series; cloning shares them.
///
/// Label values are given in the order of [`Metric::labels`]; none at all means the series over all.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    families: RwLock<BTreeMap<&'static str, (&'static Metric, BTreeMap<Labels, Series>)>>,
    sources: RwLock<Vec<Source>>,
}

impl Metrics {
    /// The counter with these labels; the same one each time.
    pub fn counter(&self, metric: &'static Metric, labels: &[&str]) -> Counter {
        match self.series(metric, labels, || Series::Counter(Counter::default())) {
            Series::Counter(counter) => counter,
            _ => panic!("{} is not a counter", metric.name),
        }
    }

    /// The gauge with these labels; the same one each time.
    pub fn gauge(&self, metric: &'static Metric, labels: &[&str]) -> Gauge {
        match self.series(metric, labels, || Series::Gauge(Gauge::default())) {
            Series::Gauge(gauge) => gauge,
            _ => panic!("{} is not a stored gauge", metric.name),
        }
    }

    /// The histogram with these labels; the same one each time.
    pub fn histogram(&self, metric: &'static Metric, labels: &[&str]) -> Histogram {
        match self.series(metric, labels, || Series::Histogram(Histogram::default())) {
            Series::Histogram(histogram) => histogram,
            _ => panic!("{} is not a histogram", metric.name),
        }
    }

    /// A gauge that is read when somebody looks; replaces an earlier one with these labels.
    pub fn gauge_fn(&self, metric: &'static Metric, labels: &[&str], read: impl Fn() -> f64 + Send + Sync + 'static) {
        check(metric, labels);
        let mut families = self.0.families.write();
        let (_, series) = families.entry(metric.name).or_insert_with(|| (metric, BTreeMap::new()));
        series.insert(owned(labels), Series::Read(Arc::new(read)));
    }

    /// A function that lists series when somebody looks: for series that come and go, as those of partitions.
    pub fn source(&self, list: impl Fn(&mut Samples) + Send + Sync + 'static) {
        self.0.sources.write().push(Arc::new(list));
    }

    /// Removes the series with these labels; clones of its handle count on unseen.
    pub fn remove(&self, metric: &'static Metric, labels: &[&str]) {
        if let Some((_, series)) = self.0.families.write().get_mut(metric.name) {
            series.remove(&owned(labels));
        }
    }

    /// Removes every series whose label `topic` has this value, those of its partitions too.
    pub fn remove_topic(&self, topic: &str) {
        self.remove_where(|metric, values| label(metric, values, "topic") == Some(topic));
    }

    /// Removes every series of one partition.
    pub fn remove_partition(&self, topic: &str, partition: i32) {
        let partition = partition.to_string();
        self.remove_where(|metric, values| {
            label(metric, values, "topic") == Some(topic) && label(metric, values, "partition") == Some(&partition)
        });
    }

    fn remove_where(&self, matches: impl Fn(&Metric, &[String]) -> bool) {
        for (metric, series) in self.0.families.write().values_mut() {
            if metric.labels.contains(&"topic") {
                series.retain(|values, _| !matches(metric, values));
            }
        }
    }

    fn series(&self, metric: &'static Metric, labels: &[&str], make: impl FnOnce() -> Series) -> Series {
        check(metric, labels);
        let key = owned(labels);
        if let Some(series) = self.0.families.read().get(metric.name).and_then(|(_, series)| series.get(&key)) {
            return series.clone();
        }
        let mut families = self.0.families.write();
        let (_, series) = families.entry(metric.name).or_insert_with(|| (metric, BTreeMap::new()));
        series.entry(key).or_insert_with(make).clone()
    }

    /// The text for Prometheus, version 0.0.4 of the format.
    pub fn render(&self) -> String {
        let mut samples = Samples::default();
        // Functions of others run without our lock: they may take theirs.
        let mut reads: Vec<(&'static Metric, Labels, Read)> = Vec::new();
        for (metric, series) in self.0.families.read().values() {
            for (labels, series) in series {
                match series {
                    Series::Counter(counter) => samples.push(metric, labels, counter.get() as f64),
                    Series::Gauge(gauge) => samples.push(metric, labels, gauge.get() as f64),
                    Series::Histogram(histogram) => samples.histogram(metric, labels, histogram),
                    Series::Read(read) => reads.push((metric, labels.clone(), read.clone())),
                }
            }
        }
        for (metric, labels, read) in reads {
            samples.push(metric, &labels, read());
        }
        let sources = self.0.sources.read().clone();
        for source in sources {
            source(&mut samples);
        }
        let families: Vec<MetricFamily> = samples.families.into_values().collect();
        TextEncoder::new().encode_to_string(&families).expect("every family has a name and a series")
    }
}

/// What one look at the metrics finds.
#[derive(Default)]
pub struct Samples {
    families: BTreeMap<(&'static str, bool), MetricFamily>,
}

impl Samples {
    /// Adds a value of a gauge or counter.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        check(metric, labels);
        self.push(metric, labels, value);
    }

    /// The number of series so far.
    pub fn len(&self) -> usize {
        self.families.values().map(|family| family.get_metric().len()).sum()
    }

    /// Is nothing there yet?
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    fn push(&mut self, metric: &'static Metric, labels: &[impl AsRef<str>], value: f64) {
        let counts = metric.kind == Kind::Counter;
        self.family(metric, false, counts).mut_metric().push(sample(pairs(metric, labels), counts, value));
    }

    fn histogram(&mut self, metric: &'static Metric, labels: &[String], histogram: &Histogram) {
        let family = self.family(metric, false, false);
        for ((_, quantile), value) in QUANTILES.iter().zip(histogram.quantiles()) {
            let mut labels = pairs(metric, labels);
            labels.push(pair("quantile", quantile));
            family.mut_metric().push(sample(labels, false, value));
        }
        let count = sample(pairs(metric, labels), true, histogram.count() as f64);
        self.family(metric, true, true).mut_metric().push(count);
    }

    fn family(&mut self, metric: &'static Metric, count: bool, counts: bool) -> &mut MetricFamily {
        self.families.entry((metric.name, count)).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(if count { format!("{}_count", metric.name) } else { metric.name.to_owned() });
            family.set_help(if count { format!("how often: {}", metric.help) } else { metric.help.to_owned() });
            family.set_field_type(if counts { MetricType::COUNTER } else { MetricType::GAUGE });
            family
        })
    }
}

fn sample(labels: Vec<LabelPair>, counts: bool, value: f64) -> proto::Metric {
    let mut sample = proto::Metric::from_label(labels);
    if counts {
        let mut counter = proto::Counter::default();
        counter.set_value(value);
        sample.set_counter(counter);
    } else {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(value);
        sample.set_gauge(gauge);
    }
    sample
}

fn pairs(metric: &Metric, labels: &[impl AsRef<str>]) -> Vec<LabelPair> {
    metric.labels.iter().zip(labels).map(|(name, value)| pair(name, value.as_ref())).collect()
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

fn owned(labels: &[&str]) -> Labels {
    labels.iter().map(|label| label.to_string()).collect()
}

fn label<'a>(metric: &Metric, values: &'a [String], name: &str) -> Option<&'a str> {
    metric.labels.iter().position(|label| *label == name).and_then(|index| values.get(index)).map(String::as_str)
}

fn check(metric: &Metric, labels: &[&str]) {
    debug_assert!(labels.is_empty() || labels.len() == metric.labels.len(), "labels of {}", metric.name);
}

#[cfg(test)]
mod tests {
    use super::super::names;
    use super::*;

    #[test]
    fn series_come_and_go() {
        let metrics = Metrics::default();
        metrics.counter(&names::BROKER_TOPIC_METRICS_BYTES_IN_PER_SEC, &[]).add(5);
        metrics.counter(&names::BROKER_TOPIC_METRICS_BYTES_IN_PER_SEC, &["a"]).add(2);
        metrics.counter(&names::BROKER_TOPIC_METRICS_BYTES_IN_PER_SEC, &["a"]).increment();
        metrics.gauge(&names::PARTITION_UNDER_REPLICATED, &["a", "0"]).set(1);
        metrics.gauge(&names::PARTITION_UNDER_REPLICATED, &["a", "1"]).set(0);
        metrics.gauge_fn(&names::REPLICA_MANAGER_LEADER_COUNT, &[], || 7.0);
        metrics.histogram(&names::REQUEST_METRICS_TOTAL_TIME_MS, &["Produce"]).record(1.5);
        metrics.source(|samples| samples.add(&names::LOG_SIZE, &["a\"b", "0"], 12.0));
        let text = metrics.render();
        for line in [
            "# TYPE kafka_server_brokertopicmetrics_bytesin_total counter",
            "kafka_server_brokertopicmetrics_bytesin_total 5",
            "kafka_server_brokertopicmetrics_bytesin_total{topic=\"a\"} 3",
            "# TYPE kafka_cluster_partition_underreplicated gauge",
            "kafka_cluster_partition_underreplicated{topic=\"a\",partition=\"0\"} 1",
            "kafka_server_replicamanager_leadercount 7",
            "kafka_network_requestmetrics_totaltimems{request=\"Produce\",quantile=\"0.999\"} 1.5",
            "kafka_network_requestmetrics_totaltimems_count{request=\"Produce\"} 1",
            "kafka_log_log_size{topic=\"a\\\"b\",partition=\"0\"} 12",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        metrics.remove_partition("a", 1);
        assert!(!metrics.render().contains("partition=\"1\""));
        metrics.remove_topic("a");
        let text = metrics.render();
        assert!(!text.contains("topic=\"a\"") && text.contains("bytesin_total 5"));
    }
}
