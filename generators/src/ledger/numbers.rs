//! Distances and moments as numbers.

use std::time::Duration;

/// In microseconds.
pub(super) fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

/// How far `number` lies from `from`, small numbers for small distances to both sides.
pub(super) const fn zigzag(number: u64, from: u64) -> u64 {
    let distance = number.wrapping_sub(from) as i64;
    ((distance << 1) ^ (distance >> 63)) as u64
}

/// The number that lies so far from `from`.
pub(super) const fn unzigzag(distance: u64, from: u64) -> u64 {
    from.wrapping_add((distance >> 1) ^ (distance & 1).wrapping_neg())
}
