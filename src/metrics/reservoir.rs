//! Quantiles of the latest observations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Observations kept. Kafka's reservoirs hold 1028 and favour recent ones; ours holds the latest.
const KEPT: usize = 1024;

/// The quantiles that the JMX exporter shows, with their labels.
pub(super) const QUANTILES: [(f64, &str); 6] =
    [(0.50, "0.50"), (0.75, "0.75"), (0.95, "0.95"), (0.98, "0.98"), (0.99, "0.99"), (0.999, "0.999")];

/// A histogram or timer; cloning shares it. Recording is one addition and one store, without a lock.
#[derive(Clone)]
pub struct Histogram(Arc<Ring>);

struct Ring {
    count: AtomicU64,
    /// Bits of `f32`, overwritten in turn.
    slots: [AtomicU32; KEPT],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram(Arc::new(Ring { count: AtomicU64::new(0), slots: [const { AtomicU32::new(0) }; KEPT] }))
    }
}

impl Histogram {
    /// Adds one observation.
    pub fn record(&self, value: f64) {
        let turn = self.0.count.fetch_add(1, Relaxed);
        self.0.slots[turn as usize % KEPT].store((value as f32).to_bits(), Relaxed);
    }

    /// Adds a duration in milliseconds.
    pub fn record_duration(&self, duration: std::time::Duration) {
        self.record(duration.as_secs_f64() * 1000.0);
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.0.count.load(Relaxed)
    }

    /// The values at [`QUANTILES`], interpolated; 0 without observations.
    pub(super) fn quantiles(&self) -> [f64; QUANTILES.len()] {
        let held = self.count().min(KEPT as u64) as usize;
        let mut values: Vec<f32> = self.0.slots[..held].iter().map(|bits| f32::from_bits(bits.load(Relaxed))).collect();
        values.sort_unstable_by(f32::total_cmp);
        QUANTILES.map(|(quantile, _)| {
            let position = quantile * (held + 1) as f64;
            match position as usize {
                _ if held == 0 => 0.0,
                0 => f64::from(values[0]),
                below if below >= held => f64::from(values[held - 1]),
                below => {
                    let (low, high) = (f64::from(values[below - 1]), f64::from(values[below]));
                    low + (position - position.floor()) * (high - low)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_latest_observations() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantiles(), [0.0; 6]);
        histogram.record(3.0);
        assert_eq!(histogram.quantiles(), [3.0; 6]);
        for value in 0..5000 {
            histogram.record(f64::from(value));
        }
        assert_eq!(histogram.count(), 5001);
        let [median, .., last] = histogram.quantiles();
        assert!((median - 4487.5).abs() < 1.0 && (4996.0..=4999.0).contains(&last), "{median} {last}");
    }
}
