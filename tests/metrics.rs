//! Names of metrics against those of a live Kafka 3.9.1 cluster.

use barnabas::metrics::{Kind, docs, names};
use std::collections::{BTreeMap, BTreeSet};

/// Kafka removes them when its logs are loaded, so the dump of a running broker lacks them (KIP-831).
const ONLY_AT_START: [&str; 2] =
    ["kafka_log_logmanager_remaininglogstorecover", "kafka_log_logmanager_remainingsegmentstorecover"];

/// Exported name to label sets, from the dump of MBeans.
fn golden() -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let path = format!("{}/tests/golden/metrics.txt", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut found: BTreeMap<String, BTreeSet<Vec<String>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let exported = line.split('\t').nth(3).unwrap();
        for series in exported.split(" ; ").filter(|series| *series != "(none)") {
            let series = series.split(" <- ").next().unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            // The exporter makes label names that Prometheus accepts.
            let labels = labels.split(',').filter_map(|pair| Some(pair.split_once('=')?.0.trim().replace('-', "_")));
            found.entry(name.to_owned()).or_default().insert(labels.filter(|label| label != "quantile").collect());
        }
    }
    found
}

#[test]
fn every_name_is_one_of_kafka() {
    let golden = golden();
    assert!(golden.len() > 150);
    let mut seen = BTreeSet::new();
    for metric in names::TABLE {
        assert!(seen.insert(metric.name), "{} stands there twice", metric.name);
        if ONLY_AT_START.contains(&metric.name) {
            continue;
        }
        let Some(labels) = golden.get(metric.name) else { panic!("Kafka has no {}", metric.name) };
        let ours: Vec<String> = metric.labels.iter().map(|label| label.to_string()).collect();
        assert!(labels.contains(&ours), "{}: {ours:?} is not in {labels:?}", metric.name);
        let counted = golden.contains_key(&format!("{}_count", metric.name));
        assert_eq!(metric.kind == Kind::Histogram, counted, "{}", metric.name);
        let grows = metric.name.ends_with("_total") || metric.name.ends_with("_count");
        assert_eq!(
            metric.kind == Kind::Counter,
            grows && !metric.name.contains("partitions_count") && !metric.name.contains("metrics_count"),
            "{}",
            metric.name
        );
    }
    // The value of this one is a text, which the exporter cannot show.
    let left_out: Vec<&String> = golden
        .keys()
        .filter(|name| !seen.contains(name.as_str()) && !seen.contains(name.trim_end_matches("_count")))
        .collect();
    assert_eq!(left_out, ["kafka_server_kafkaserver_clusterid"]);
}

#[test]
fn the_page_about_metrics_is_up_to_date() {
    let path = format!("{}/docs/metrics.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == docs::page(), "docs/metrics.md is old; write it again: barnabas docs metrics > docs/metrics.md");
}
