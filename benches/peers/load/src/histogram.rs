//! Latencies in buckets that are at most 1/128 wide, relative to their value.

use std::fmt::Write;

const BITS: u32 = 7;

#[derive(Default)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub fn record(&mut self, nanoseconds: u64) {
        let at = index(nanoseconds);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
    }

    /// `[[nanoseconds, count], …]`, without the empty buckets.
    pub fn json(&self) -> String {
        let mut out = String::from("[");
        for (at, count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            let comma = if out.len() > 1 { "," } else { "" };
            let _ = write!(out, "{comma}[{},{count}]", middle(at));
        }
        out + "]"
    }
}

fn index(value: u64) -> usize {
    if value < 1 << BITS {
        return value as usize;
    }
    let shift = value.ilog2() - BITS;
    (((shift as u64) << BITS) + (value >> shift)) as usize
}

fn middle(index: usize) -> u64 {
    if index < 1 << BITS {
        return index as u64;
    }
    let shift = (index as u64 >> BITS) - 1;
    let low = (index as u64 - (shift << BITS)) << shift;
    low + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lies_within_a_hundredth_of_what_it_holds() {
        for value in (0..200).chain([1_000, 123_456, 5_000_000, 9_999_999_999]) {
            let found = middle(index(value));
            assert!(
                found.abs_diff(value) * 100 <= value,
                "{value} came back as {found}"
            );
        }
    }
}
