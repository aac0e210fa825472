//! A permutation of 0..n without a table: who comes when, in any order, in constant memory.
//!
//! A four-round Feistel network over just enough bits, its two parts unlike by one where their number is odd, walked until it
//! lands inside (Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002). Part of the workload: the rounds
//! must not change.

use crate::random::mix;

const ROUNDS: usize = 4;

/// A permutation of the numbers below `size`, chosen by `key`.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    keys: [u64; ROUNDS],
    size: u64,
    /// How many bits the lower part has; the upper one has as many, or one less.
    lower_bits: u32,
    upper_mask: u64,
}

impl Permutation {
    /// The permutation of 0..`size` that `key` chooses.
    pub const fn new(key: u64, size: u64) -> Self {
        let bits = if size <= 2 { 1 } else { 64 - (size - 1).leading_zeros() };
        let mut keys = [0; ROUNDS];
        let mut round = 0;
        while round < ROUNDS {
            keys[round] = mix(key ^ mix(round as u64 + 1));
            round += 1;
        }
        Self { keys, size, lower_bits: bits.div_ceil(2), upper_mask: (1 << (bits / 2)) - 1 }
    }

    /// Where `index` goes. An index that is not below the size stays where it is.
    pub const fn apply(&self, index: u64) -> u64 {
        if index >= self.size { index } else { self.walk(self.step(index)) }
    }

    /// Where each of `indices` goes. The network's rounds wait for each other, but not those of one index for another's.
    pub fn apply_all<const N: usize>(&self, indices: [u64; N]) -> [u64; N] {
        let mut values = indices.map(|index| self.step(index));
        // Which are still outside; nobody can foresee whether one is, so that is no branch.
        let (mut outside, mut count) = ([0; N], 0);
        for (at, value) in values.iter_mut().enumerate() {
            let stays = indices[at] >= self.size;
            *value = if stays { indices[at] } else { *value };
            outside[count] = at;
            count += usize::from(!stays) * usize::from(*value >= self.size);
        }
        while count > 0 {
            let mut still = 0;
            for next in 0..count {
                let at = outside[next];
                values[at] = self.step(values[at]);
                outside[still] = at;
                still += usize::from(values[at] >= self.size);
            }
            count = still;
        }
        values
    }

    /// Goes on from a value until it is inside. The walk ends: the network permutes a domain of at most 2 × size, so a cycle
    /// through an index returns inside.
    const fn walk(&self, mut value: u64) -> u64 {
        while value >= self.size {
            value = self.step(value);
        }
        value
    }

    const fn step(&self, value: u64) -> u64 {
        let lower_mask = (1u64 << self.lower_bits) - 1;
        let (mut upper, mut lower) = (value >> self.lower_bits, value & lower_mask);
        let mut round = 0;
        while round < ROUNDS {
            upper ^= mix(lower ^ self.keys[round]) & self.upper_mask;
            lower ^= mix(upper ^ self.keys[round + 1]) & lower_mask;
            round += 2;
        }
        (upper << self.lower_bits) | lower
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_number_is_hit_once(key in any::<u64>(), size in 0u64..3000) {
            let permutation = Permutation::new(key, size);
            let mut hit: Vec<u64> = (0..size).map(|index| permutation.apply(index)).collect();
            hit.sort_unstable();
            for first in (0..size + 8).step_by(8) {
                let several: [u64; 8] = std::array::from_fn(|at| first + at as u64);
                prop_assert_eq!(permutation.apply_all(several), several.map(|index| permutation.apply(index)));
            }
            prop_assert_eq!(hit, (0..size).collect::<Vec<_>>());
        }
    }

    #[test]
    fn it_does_shuffle() {
        let permutation = Permutation::new(7, 10_000);
        let stayed = (0..10_000).filter(|&index| permutation.apply(index) == index).count();
        assert!(stayed < 20, "{stayed} of 10 000 stayed in place");
    }
}
