//! How many operations fill the time to be measured: contenders differ a hundredfold in some rows,
//! and a fixed count would measure noise for one and last minutes for another.

use std::time::Duration;

/// Decides the size of the next batch of operations.
///
/// Batches grow until one lasts as long as wanted; only that one counts. The earlier ones warm up.
#[derive(Debug)]
pub struct Calibration {
    wanted: Duration,
    size: u64,
}

impl Calibration {
    /// Starts with a batch of `first` operations and aims at one that lasts `wanted`.
    pub fn new(first: u64, wanted: Duration) -> Calibration {
        Calibration {
            wanted,
            size: first.max(1),
        }
    }

    /// The number of operations to run now.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Tells how long the batch took. Returns nanoseconds per operation when it was long enough.
    pub fn record(&mut self, elapsed: Duration) -> Option<f64> {
        // A little short is long enough: chasing the last fifth would double the time.
        if elapsed >= self.wanted.mul_f64(0.8) {
            return Some(elapsed.as_nanos() as f64 / self.size as f64);
        }
        let factor = self.wanted.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        self.size = (self.size as f64 * factor.clamp(1.1, 50.0)).ceil() as u64;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_until_one_lasts_long_enough() {
        for ns_per_op in [3.0, 300.0, 30_000.0] {
            let mut calibration = Calibration::new(100, Duration::from_millis(50));
            let mut batches = 0;
            let measured = loop {
                let elapsed = Duration::from_nanos((calibration.size() as f64 * ns_per_op) as u64);
                batches += 1;
                if let Some(measured) = calibration.record(elapsed) {
                    break measured;
                }
            };
            assert!(
                (measured / ns_per_op - 1.0).abs() < 0.01,
                "{measured} for {ns_per_op}"
            );
            assert!(batches < 8, "{batches} batches for {ns_per_op}");
        }
    }
}
