//! Metrics of the process itself, from `/proc`.

use super::names::{self, Kind, Metric};
use super::{Metrics, Samples};
use std::fs;

macro_rules! process_metrics {
    ($($id:ident: $kind:ident = $name:literal, $help:literal;)*) => {
        $(static $id: Metric = Metric { jmx: "", name: $name, kind: Kind::$kind, labels: &[], help: $help };)*

        /// The metrics that every Prometheus client library has; Kafka's exporter too.
        pub static TABLE: &[&Metric] = &[$(&$id,)*];
    };
}

process_metrics! {
    CPU_SECONDS: Counter = "process_cpu_seconds_total", "processor time, user and system, in s";
    RESIDENT_BYTES: Gauge = "process_resident_memory_bytes", "memory in use, in bytes";
    VIRTUAL_BYTES: Gauge = "process_virtual_memory_bytes", "address space, in bytes";
    THREADS: Gauge = "process_threads", "threads";
    OPEN_FILES: Gauge = "process_open_fds", "open files and sockets";
    START_SECONDS: Gauge = "process_start_time_seconds", "when the process started, in s since 1970";
}

/// Adds the metrics of this process.
pub fn register(metrics: &Metrics) {
    let boot_seconds = boot_seconds();
    metrics.source(move |samples| {
        if let Some(stat) = Stat::read() {
            samples.add(&CPU_SECONDS, &[], stat.cpu_seconds);
            samples.add(&RESIDENT_BYTES, &[], stat.resident_bytes);
            samples.add(&VIRTUAL_BYTES, &[], stat.virtual_bytes);
            samples.add(&THREADS, &[], stat.threads);
            if let Some(boot_seconds) = boot_seconds {
                samples.add(&START_SECONDS, &[], boot_seconds + stat.start_seconds);
            }
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            samples.add(&OPEN_FILES, &[], files.count() as f64);
        }
        disk_bytes(samples);
    });
}

/// Clock ticks of `/proc` per second, a constant of Linux's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Fields of `/proc/self/stat` and `/proc/self/status`.
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    start_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Stat> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program, in parentheses, may hold anything; count from behind it.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let kilobytes = |name: &str| {
            let text = status.lines().find_map(|line| line.strip_prefix(name))?;
            text.split_ascii_whitespace().next()?.parse::<f64>().ok()
        };
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            threads: field(20)?,
            start_seconds: field(22)? / TICKS_PER_SECOND,
            virtual_bytes: field(23)?,
            resident_bytes: kilobytes("VmRSS:")? * 1024.0,
        })
    }
}

/// When the machine started, in s since 1970.
fn boot_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|text| text.trim().parse().ok())
}

fn disk_bytes(samples: &mut Samples) {
    let Ok(text) = fs::read_to_string("/proc/self/io") else { return };
    for (field, metric) in [
        ("read_bytes: ", &names::KAFKA_SERVER_LINUX_DISK_READ_BYTES),
        ("write_bytes: ", &names::KAFKA_SERVER_LINUX_DISK_WRITE_BYTES),
    ] {
        if let Some(bytes) = text.lines().find_map(|line| line.strip_prefix(field)).and_then(|text| text.parse().ok()) {
            samples.add(metric, &[], bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_has_numbers() {
        let metrics = Metrics::default();
        register(&metrics);
        let text = metrics.render();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing in\n{text}")).parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e5 && value("process_open_fds") >= 3.0);
        let age = crate::time::Clock.wall_ms() as f64 / 1000.0 - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "{age}");
    }
}
