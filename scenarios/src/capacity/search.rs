//! Which rate is tried next: doubling until a rate does not hold, then halving what lies between.
//!
//! Pure and without a clock: told how each trial went, it names the next. It takes for granted that what holds at a rate
//! holds below it, so a trial that chance has spoilt costs capacity and never invents some.

/// The rates that may be tried, in events a second, each so much above the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid(Vec<u64>);

impl Grid {
    /// From `from` to `to`, both of them in it, in steps of `resolution`: 0.1 is a tenth more each.
    pub fn new(from: u64, to: u64, resolution: f64) -> Self {
        let mut rates = vec![from.max(1)];
        while let Some(last) = rates.last().copied().filter(|last| *last < to) {
            let next = (last as f64 * (1.0 + resolution)).round() as u64;
            rates.push(next.max(last + 1).min(to));
        }
        Self(rates)
    }

    /// The rate at `place`, if there is one.
    pub fn rate(&self, place: usize) -> Option<u64> {
        self.0.get(place).copied()
    }

    /// The place of the greatest rate that is not above `rate`, or of the least one.
    pub fn at_most(&self, rate: f64) -> usize {
        self.0.iter().rposition(|known| *known as f64 <= rate).unwrap_or(0)
    }

    fn last(&self) -> usize {
        self.0.len() - 1
    }
}

/// A search on a grid.
#[derive(Debug, Clone)]
pub struct Search {
    grid: Grid,
    first: usize,
    held: Option<usize>,
    failed: Option<usize>,
}

impl Search {
    /// A search that tries `first` first.
    pub fn new(grid: Grid, first: f64) -> Self {
        let first = grid.at_most(first);
        Self { grid, first, held: None, failed: None }
    }

    /// The place to try next; none when two neighbours of the grid are told apart, or all of it is on one side.
    pub fn next(&self) -> Option<usize> {
        let twice = |place: usize, times: f64| {
            let rate = self.grid.rate(place).unwrap_or_default() as f64;
            self.grid.at_most(rate * times)
        };
        match (self.held, self.failed) {
            (None, None) => Some(self.first),
            (Some(held), None) => (held < self.grid.last()).then(|| twice(held, 2.0).max(held + 1)),
            (None, Some(failed)) => (failed > 0).then(|| twice(failed, 0.5).min(failed - 1)),
            (Some(held), Some(failed)) => (failed - held > 1).then(|| usize::midpoint(held, failed)),
        }
    }

    /// Notes whether the rate at `place` held.
    pub fn note(&mut self, place: usize, held: bool) {
        if held {
            self.held = Some(self.held.map_or(place, |known| known.max(place)));
        } else {
            self.failed = Some(self.failed.map_or(place, |known| known.min(place)));
        }
    }

    /// The highest rate that held, and the lowest that did not.
    pub fn found(&self) -> (Option<u64>, Option<u64>) {
        let rate = |place: Option<usize>| place.and_then(|place| self.grid.rate(place));
        (rate(self.held), rate(self.failed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use generators::random::mix;
    use proptest::prelude::*;

    use super::*;

    /// Searches a pipeline that holds whatever is below a capacity that wavers by `noise`; what was found, and what was tried.
    fn search(grid: &Grid, first: f64, capacity: f64, noise: f64, seed: u64) -> (Option<u64>, Option<u64>, Vec<usize>) {
        let mut search = Search::new(grid.clone(), first);
        let mut tried = Vec::new();
        while let Some(place) = search.next() {
            let unit = (mix(seed ^ tried.len() as u64) >> 11) as f64 / (1_u64 << 53) as f64;
            let now = capacity * (1.0 + noise * (2.0 * unit - 1.0));
            search.note(place, grid.rate(place).unwrap() as f64 <= now);
            tried.push(place);
        }
        let (held, failed) = search.found();
        (held, failed, tried)
    }

    proptest! {
        #[test]
        fn the_capacity_lies_between_what_held_and_what_did_not(
            from in 1_u64..5_000, times in 1_u64..200, resolution in 0.01..0.5_f64,
            first in 1.0..1e6_f64, capacity in 1.0..1e6_f64, noise in 0.0..0.3_f64, seed: u64,
        ) {
            let grid = Grid::new(from, from * times, resolution);
            let (held, failed, tried) = search(&grid, first, capacity, noise, seed);
            prop_assert_eq!(tried.len(), tried.iter().collect::<BTreeSet<_>>().len(), "no rate is tried twice");
            // Doubling crosses the grid in log2 of its breadth, halving in log2 of what a doubling spans.
            let most = 4.0 + (times as f64).log2() + (grid.0.len() as f64).log2();
            prop_assert!(tried.len() as f64 <= most, "{} trials, {most} at most", tried.len());
            let (low, high) = (capacity * (1.0 - noise), capacity * (1.0 + noise));
            if let Some(held) = held {
                prop_assert!(held as f64 <= high);
            }
            if let Some(failed) = failed {
                prop_assert!(failed as f64 >= low.floor());
            }
            match (held, failed) {
                (Some(held), Some(failed)) => {
                    prop_assert_eq!(grid.at_most(held as f64) + 1, grid.at_most(failed as f64), "neighbours");
                }
                (Some(held), None) => prop_assert_eq!(held, *grid.0.last().unwrap()),
                (None, Some(failed)) => prop_assert_eq!(failed, grid.0[0]),
                (None, None) => prop_assert!(false, "nothing was tried"),
            }
        }

        #[test]
        fn a_grid_has_both_ends_and_grows(from in 1_u64..10_000, more in 0_u64..100_000, resolution in 0.001..1.0_f64) {
            let grid = Grid::new(from, from + more, resolution);
            prop_assert_eq!((grid.0[0], *grid.0.last().unwrap()), (from, from + more));
            prop_assert!(grid.0.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_search_as_it_goes() {
        let grid = Grid::new(1_000, 16_000, 1.0);
        assert_eq!(grid.0, [1_000, 2_000, 4_000, 8_000, 16_000]);
        assert_eq!(search(&grid, 2_000.0, 5_000.0, 0.0, 0), (Some(4_000), Some(8_000), vec![1, 2, 3]));
        assert_eq!(search(&grid, 8_000.0, 1_500.0, 0.0, 0), (Some(1_000), Some(2_000), vec![3, 2, 1, 0]));
        assert_eq!(search(&grid, 1_000.0, 500.0, 0.0, 0), (None, Some(1_000), vec![0]));
        assert_eq!(search(&grid, 9_000.0, 1e9, 0.0, 0), (Some(16_000), None, vec![3, 4]));
    }
}
