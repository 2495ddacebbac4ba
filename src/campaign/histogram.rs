//! A histogram of sizes.

use serde::{Deserialize, Serialize};

/// Counts of sizes by powers of two: each from one power up to the next. Zero is counted as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    /// Counts a size.
    pub fn record(&mut self, size: u64) {
        let place = size.max(1).ilog2() as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, 0);
        }
        self.0[place] += 1;
    }

    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (count, other) in self.0.iter_mut().zip(&other.0) {
            *count += other;
        }
    }

    /// Returns the powers of two at which the non-empty buckets begin, and their counts.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.0.iter().enumerate();
        let counts = counts.map(|(place, count)| (1 << place, *count));
        counts.filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_counted_by_powers_of_two() {
        let of = |sizes: &[u64]| {
            let mut seen = Histogram::default();
            sizes.iter().for_each(|size| seen.record(*size));
            seen
        };
        let mut seen = of(&[0, 1, 5]);
        seen.add(&of(&[4, 7, 8, u64::MAX]));
        let buckets: Vec<_> = seen.buckets().collect();
        assert_eq!(buckets, [(1, 2), (4, 3), (8, 1), (1 << 63, 1)]);
    }
}
