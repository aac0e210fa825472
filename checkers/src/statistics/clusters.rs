//! Clusters: defects that come together, and what that does to a bound.
//!
//! Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
//! survey data", Survey Methodology 24 (1998): Clopper–Pearson bounds on effective sizes, where the design effect is the
//! ratio of the clustered variance of the rate to that of independent events, with a correction for the degrees of
//! freedom that few clusters leave.

use std::{collections::HashMap, hash::Hash};

use super::student;

/// One way to put a sample's events into clusters, reduced to the sums that the variance needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clusters {
    /// How many clusters hold an event.
    pub clusters: u64,
    /// How many events there are.
    pub n: u64,
    /// How many of them are defects.
    pub k: u64,
    /// The defects in the cluster that has the most of them.
    pub largest_k: u64,
    /// The events in the largest cluster.
    pub largest_n: u64,
    sum_kk: u128,
    sum_kn: u128,
    sum_nn: u128,
}

impl Clusters {
    /// Adds a cluster of `n` events with `k` defects; an empty one is none.
    pub fn add(&mut self, k: u64, n: u64) {
        if n == 0 {
            return;
        }
        let (wide_k, wide_n) = (u128::from(k), u128::from(n));
        self.clusters += 1;
        self.n += n;
        self.k += k;
        self.largest_k = self.largest_k.max(k);
        self.largest_n = self.largest_n.max(n);
        self.sum_kk += wide_k * wide_k;
        self.sum_kn += wide_k * wide_n;
        self.sum_nn += wide_n * wide_n;
    }

    /// Adds so many clusters of one clean event each.
    pub fn add_singles(&mut self, singles: u64) {
        self.clusters += singles;
        self.n += singles;
        self.largest_n = self.largest_n.max(u64::from(singles > 0));
        self.sum_nn += u128::from(singles);
    }

    /// Whether the clustering says anything: two clusters at least, and two events in one of them.
    pub const fn tells(&self) -> bool {
        self.clusters >= 2 && self.largest_n >= 2
    }

    /// The design effect at `confidence`: how many times larger than that of independent events the variance of the rate
    /// is. 1 where the clustering says nothing, and where all or none are defects.
    pub fn design_effect(&self, confidence: f64) -> f64 {
        if !self.tells() || self.k == 0 || self.k == self.n {
            return 1.0;
        }
        let (m, n, k) = (self.clusters as f64, self.n as f64, self.k as f64);
        let rate = k / n;
        // Σ(kᵢ − p nᵢ)², multiplied out; the sums are exact, so nothing is lost but in the last step.
        let squares =
            (rate * rate).mul_add(self.sum_nn as f64, (2.0 * rate).mul_add(-(self.sum_kn as f64), self.sum_kk as f64));
        let variance = m / (m - 1.0) * squares.max(0.0) / (n * n);
        let independent = rate * (1.0 - rate) / n;
        let (few, all) = (student::quantile(confidence, m - 1.0), student::quantile(confidence, n - 1.0));
        let freedom = if all > 0.0 { (few / all).powi(2) } else { 1.0 };
        (variance / independent).max(1.0) * freedom
    }
}

/// Events and defects of clusters that come in no order.
#[derive(Debug, Clone)]
pub struct Tally<K>(HashMap<K, (u32, u32)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Tally<K> {
    /// Counts so many events of the cluster `key`, all of them defects or none.
    pub fn count(&mut self, key: K, defect: bool, events: u32) {
        let (k, n) = self.0.entry(key).or_default();
        *k += if defect { events } else { 0 };
        *n += events;
    }

    /// The clusters counted so far.
    pub fn clusters(&self) -> Clusters {
        let mut clusters = Clusters::default();
        for (k, n) in self.0.values() {
            clusters.add(u64::from(*k), u64::from(*n));
        }
        clusters
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clusters(sizes: &[(u64, u64)]) -> Clusters {
        let mut clusters = Clusters::default();
        for (k, n) in sizes {
            clusters.add(*k, *n);
        }
        clusters
    }

    /// The formula as it is printed, with loops.
    fn by_the_book(sizes: &[(u64, u64)], confidence: f64) -> f64 {
        let (n, k) = sizes.iter().fold((0.0, 0.0), |(n, k), (ki, ni)| (n + *ni as f64, k + *ki as f64));
        let (m, p) = (sizes.len() as f64, k / n);
        let squares: f64 = sizes.iter().map(|(ki, ni)| (*ki as f64 - p * *ni as f64).powi(2)).sum();
        let variance = m / (m - 1.0) * squares / (n * n);
        let ratio = student::quantile(confidence, m - 1.0) / student::quantile(confidence, n - 1.0);
        (variance / (p * (1.0 - p) / n)).max(1.0) * ratio * ratio
    }

    #[test]
    fn single_clean_events_are_clusters_of_one() {
        for singles in [0, 1, 3] {
            let mut at_once = Clusters::default();
            at_once.add_singles(singles);
            assert_eq!(at_once, clusters(&vec![(0, 1); singles as usize]), "{singles}");
        }
    }

    #[test]
    fn an_even_chance_has_its_design_effect_too() {
        let deff = clusters(&[(5, 5), (0, 5), (0, 5), (0, 5)]).design_effect(0.5);
        // Student's median is 0 at any freedom, so none is lost: 4 ÷ 3 × (0.75² + 3 × 0.25²) × 25 ÷ 20² over 0.25 × 0.75 ÷ 20.
        assert!((deff - 4.0 / 3.0 * 0.75 * 25.0 / 400.0 / (0.1875 / 20.0)).abs() < 1e-9, "{deff}");
    }

    #[test]
    fn whole_clusters_lost_inflate_and_spread_defects_do_not() {
        // Ten requests of 100, one of them lost whole: the variance is that of ten events, not of a thousand.
        let whole: Vec<(u64, u64)> = (0..10).map(|cluster| (if cluster == 0 { 100 } else { 0 }, 100)).collect();
        let deff = clusters(&whole).design_effect(0.95);
        let freedom = (1.833_113 / 1.646_380_f64).powi(2);
        assert!((deff / (100.0 * 10.0 / 9.0 * freedom) - 1.0).abs() < 1e-5, "{deff}");
        // One defect in each: less than independent, so 1 but for the degrees of freedom.
        let spread = [(1, 100); 10];
        let deff = clusters(&spread).design_effect(0.95);
        assert!((deff / freedom - 1.0).abs() < 1e-5, "{deff}");
    }

    #[test]
    fn where_a_clustering_says_nothing() {
        for sizes in [vec![], vec![(3, 100)], vec![(0, 1), (1, 1), (0, 1)], vec![(0, 50); 4], vec![(50, 50); 4]] {
            assert!((clusters(&sizes).design_effect(0.95) - 1.0).abs() < f64::EPSILON, "{sizes:?}");
        }
        assert!(!clusters(&[(3, 100)]).tells() && !clusters(&[(0, 1), (1, 1)]).tells());
        assert!(clusters(&[(0, 1), (1, 2)]).tells());
        assert_eq!(clusters(&[(0, 0), (1, 2)]).clusters, 1, "an empty cluster is none");
        let mut singles = clusters(&[(1, 2)]);
        singles.add_singles(3);
        assert_eq!(singles, clusters(&[(1, 2), (0, 1), (0, 1), (0, 1)]));
    }

    #[test]
    fn a_tally_becomes_its_clusters() {
        let mut tally = Tally::default();
        for (key, defect, events) in [("a", false, 1), ("b", true, 2), ("a", true, 1)] {
            tally.count(key, defect, events);
        }
        assert_eq!(tally.clusters(), clusters(&[(1, 2), (2, 2)]));
        assert_eq!(tally.clusters().largest_k, 2);
    }

    proptest! {
        #[test]
        fn the_sums_give_what_the_loops_give(sizes in prop::collection::vec((0u64..40, 0u64..40), 2..60)) {
            let sizes: Vec<(u64, u64)> = sizes.into_iter().map(|(k, more)| (k, k + more + 1)).collect();
            let together = clusters(&sizes);
            if together.tells() && together.k > 0 && together.k < together.n {
                let (fast, slow) = (together.design_effect(0.95), by_the_book(&sizes, 0.95));
                prop_assert!((fast / slow - 1.0).abs() < 1e-9, "{fast} {slow}");
                prop_assert!(fast >= 1.0);
            }
        }
    }
}
