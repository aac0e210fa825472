//! Numbers at random from a seed, for what is drawn here: the same ones in every run of that seed.

/// The number at this place in the row of numbers of `seed`. `SplitMix64`'s (Steele, Lea and Flood, OOPSLA 2014): numbers in a
/// row become numbers at random.
pub(crate) const fn drawn(seed: u64, place: u64) -> u64 {
    let word = seed.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs from state 0, as published with Vigna's reference implementation.
    #[test]
    fn the_algorithm_is_splitmix64() {
        assert_eq!(
            [drawn(0, 1), drawn(0, 2), drawn(0, 3)],
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]
        );
    }
}
