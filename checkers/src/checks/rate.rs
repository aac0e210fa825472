//! A rate against its target: the rule that loss, correctness and time-to-visible share.
//!
//! Pass if the upper bound is at most the target, fail if the lower bound is above it, else inconclusive. The upper bound
//! takes as together what the scenario says comes together, or what was seen to; the lower bound takes the design effect
//! of the observed clustering (Korn and Graubard 1998). So one more defect never lowers the upper bound, and one more
//! clean event never raises it.

use serde::{Deserialize, Serialize};

use super::{CheckResult, Independence, Targets};
use crate::{
    reasons::Reason,
    reconcile::population::Population,
    statistics::{binomial, clusters::Clusters},
    verdict::Verdict,
};

/// What a rate is judged from. A check may count defects differently for the two bounds, where an observation is only
/// known to lie in a span; otherwise the two are equal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    /// Defects when every doubt counts against the subject.
    pub worst: &'a Population,
    /// Defects when every doubt counts for the subject.
    pub best: &'a Population,
}

impl<'a> Counted<'a> {
    /// Where nothing is in doubt.
    pub(super) const fn of(population: &'a Population) -> Self {
        Self { worst: population, best: population }
    }
}

/// One way in which events came together, and what it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clustering {
    /// By what: `request`, or `partition_and_second`.
    pub by: String,
    /// How many clusters there were.
    pub clusters: u64,
    /// The defects in the cluster that had the most.
    pub largest_defects: u64,
    /// The design effect; `None` where the clustering says nothing.
    pub deff: Option<f64>,
    /// Why it says nothing, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// The bounds of a rate, and what they were made with.
struct Bounds {
    lower: f64,
    upper: f64,
    upper_by_request: f64,
    n_effective: f64,
    deff: f64,
}

fn bounds(counted: &Counted<'_>, independence: Independence, confidence: f64) -> Bounds {
    let (worst, best) = (counted.worst, counted.best);
    let (n, k) = (worst.n as f64, worst.k as f64);
    let requests = worst.by_request.clusters.max(1) as f64;
    let together = match independence {
        Independence::Event => 1.0,
        Independence::Request => n / requests,
        Independence::Events(events) => events,
    };
    let largest = used(worst).map(|clusters| clusters.largest_k).max().unwrap_or(0) as f64;
    let deff = used(best).map(|clusters| clusters.design_effect(confidence)).fold(1.0, f64::max);
    let upper = |together: f64| {
        let size = together.max(largest).max(1.0);
        (binomial::upper(k / size, n / size, confidence), n / size)
    };
    let (by_event, n_effective) = upper(together);
    Bounds {
        lower: binomial::lower(best.k as f64 / deff, best.n as f64 / deff, confidence),
        upper: by_event,
        upper_by_request: upper(n / requests).0,
        n_effective,
        deff,
    }
}

/// The clusterings that say something.
fn used(population: &Population) -> impl Iterator<Item = Clusters> {
    [Some(population.by_request), population.by_lane].into_iter().flatten().filter(Clusters::tells)
}

fn clusterings(population: &Population, confidence: f64) -> Vec<Clustering> {
    let told = |by: &str, clusters: Option<Clusters>| {
        let skipped = match &clusters {
            None => Some("the partitions of the capture topic are not known"),
            Some(clusters) if clusters.clusters < 2 => Some("there are fewer than two clusters"),
            Some(clusters) if clusters.largest_n < 2 => Some("no cluster holds two events"),
            Some(_) => None,
        };
        let clusters = clusters.unwrap_or_default();
        Clustering {
            by: by.to_owned(),
            clusters: clusters.clusters,
            largest_defects: clusters.largest_k,
            deff: skipped.is_none().then(|| clusters.design_effect(confidence)),
            skipped: skipped.map(str::to_owned),
        }
    };
    vec![told("request", Some(population.by_request)), told("partition_and_second", population.by_lane)]
}

/// Judges `counted` against `target`, and says why in `told` words: what was counted among what.
pub(super) fn judge(
    name: &str,
    counted: &Counted<'_>,
    target: f64,
    targets: &Targets,
    told: (&str, &str),
) -> CheckResult {
    let Counted { worst, best } = *counted;
    let Bounds { lower, upper, upper_by_request, n_effective, deff } =
        bounds(counted, targets.independence, targets.confidence);
    let verdict = if worst.n == 0 {
        Verdict::Inconclusive
    } else if lower > target {
        Verdict::Fail
    } else if upper <= target {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let (what, among) = told;
    let counts = format!("{} of {} {among} {what}", worst.k, worst.n);
    let reason = match verdict {
        _ if worst.n == 0 => format!("no {among} {}", Reason::NothingToLookAt.words()),
        Verdict::Fail => format!("{counts}: more than the target allows"),
        Verdict::Pass => counts,
        _ if best.k < worst.k => {
            format!("{counts}, but {} for certain: {}", best.k, Reason::ReadsTooFarApart.words())
        }
        _ => format!("{counts}: {} on which side of the target the rate lies", Reason::TooFewEvents.words()),
    };
    CheckResult {
        name: name.to_owned(),
        verdict,
        measured: (worst.n > 0).then(|| worst.k as f64 / worst.n as f64),
        lower: Some(lower),
        upper: Some(upper),
        upper_by_request: Some(upper_by_request),
        target: Some(target),
        k: worst.k,
        certain: (best.k < worst.k).then_some(best.k),
        n: worst.n,
        n_effective: Some(n_effective),
        deff: Some(deff),
        clusterings: clusterings(best, targets.confidence),
        sequential: None,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::checks::tests::{TARGETS, population};

    fn judged(population: &Population) -> CheckResult {
        judge("x", &Counted::of(population), 1e-4, &TARGETS, ("are lost", "events"))
    }

    /// Requests of (defects, events).
    fn in_requests(requests: &[(u64, u64)]) -> Population {
        let mut by_request = Clusters::default();
        for (k, n) in requests {
            by_request.add(*k, *n);
        }
        Population { n: by_request.n, k: by_request.k, by_request, by_lane: None }
    }

    #[test]
    fn the_checkpoints_of_the_design() {
        for (k, n, expected) in [
            (0, 0, Verdict::Inconclusive),
            (0, 29_955, Verdict::Inconclusive),
            (0, 29_956, Verdict::Pass),
            (4, 100_000, Verdict::Pass),
            (5, 100_000, Verdict::Inconclusive),
            (10, 100_000, Verdict::Inconclusive),
            (15, 100_000, Verdict::Inconclusive),
            (16, 100_000, Verdict::Fail),
            (100_000, 100_000, Verdict::Fail),
        ] {
            assert_eq!(judged(&population(k, n)).verdict, expected, "{k} of {n}");
        }
    }

    #[test]
    fn the_reason_says_what_was_counted_and_why_that_decides() {
        for (k, n, reason) in [
            (0, 0, "no events to look at"),
            (0, 60_000, "0 of 60000 events are lost"),
            (60, 60_000, "60 of 60000 events are lost: more than the target allows"),
            (0, 10, "0 of 10 events are lost: too few events to tell on which side of the target the rate lies"),
        ] {
            let result = judged(&population(k, n));
            assert_eq!((result.reason.as_str(), result.measured.is_some()), (reason, n > 0));
        }
        let counted = Counted { worst: &population(40, 1_000), best: &population(0, 1_000) };
        let doubt = judge("x", &counted, 0.01, &TARGETS, ("are late", "events")).reason;
        assert!(doubt.contains("but 0 for certain: the reads are too far apart"), "{doubt}");
    }

    #[test]
    fn a_doubt_forbids_both_pass_and_fail() {
        let judged = |worst, best| {
            let (worst, best) = (population(worst, 1_000), population(best, 1_000));
            let counted = Counted { worst: &worst, best: &best };
            judge("x", &counted, 0.01, &TARGETS, ("are late", "events")).verdict
        };
        assert_eq!(judged(4, 0), Verdict::Pass);
        assert_eq!(judged(40, 0), Verdict::Inconclusive);
        assert_eq!(judged(40, 16), Verdict::Fail);
    }

    #[test]
    fn what_comes_together_counts_together() {
        // 40 events lost from 40 requests are a fail; one request lost whole is one bad thing that happened.
        let apart: Vec<(u64, u64)> = (0..1_000).map(|request| (u64::from(request < 40), 100)).collect();
        let whole: Vec<(u64, u64)> = (0..1_000).map(|request| (if request == 0 { 40 } else { 0 }, 100)).collect();
        let (apart, whole) = (judged(&in_requests(&apart)), judged(&in_requests(&whole)));
        assert_eq!((apart.k, whole.k), (40, 40));
        assert_eq!(apart.verdict, Verdict::Fail);
        assert!(apart.deff.unwrap() < 1.1, "{apart:?}");
        assert_eq!(whole.verdict, Verdict::Inconclusive);
        assert!(whole.deff.unwrap() > 39.0 && whole.upper > apart.upper, "{whole:?}");
        assert_eq!(whole.n_effective, Some(100_000.0 / 40.0));
        let by_request = &whole.clusterings[0];
        assert_eq!((by_request.clusters, by_request.largest_defects, &by_request.skipped), (1_000, 40, &None));
        assert_eq!(by_request.deff, whole.deff);
        // The very bounds, from effective sizes.
        assert_eq!(whole.upper, Some(binomial::upper(1.0, 2_500.0, 0.95)));
        let deff = whole.deff.unwrap();
        assert_eq!(whole.lower, Some(binomial::lower(40.0 / deff, 1e5 / deff, 0.95)));
        assert_eq!((whole.measured, whole.k, whole.n), (Some(4e-4), 40, 100_000));
    }

    #[test]
    fn the_scenario_may_say_what_comes_together() {
        let population = in_requests(&[(0, 100); 1_000]);
        let upper = |independence| {
            let targets = Targets { independence, ..TARGETS };
            judge("x", &Counted::of(&population), 1e-4, &targets, ("", "")).upper.unwrap()
        };
        let event = upper(Independence::Event);
        assert!((event - binomial::upper(0.0, 1e5, 0.95)).abs() < 1e-12);
        let request = upper(Independence::Request);
        assert!((request - binomial::upper(0.0, 1e3, 0.95)).abs() < 1e-12);
        assert!((upper(Independence::Events(10.0)) - binomial::upper(0.0, 1e4, 0.95)).abs() < 1e-12);
        let result = judged(&population);
        assert_eq!(result.upper_by_request, Some(request), "said in every report");
    }

    #[test]
    fn a_clustering_that_says_nothing_is_named() {
        let result = judged(&in_requests(&[(0, 1), (1, 1)]));
        let told: Vec<_> = result.clusterings.iter().map(|clustering| clustering.skipped.as_deref()).collect();
        assert_eq!(
            told,
            [Some("no cluster holds two events"), Some("the partitions of the capture topic are not known")]
        );
        let pairs = judged(&in_requests(&[(0, 1), (1, 2)]));
        assert_eq!(pairs.clusterings[0].skipped, None, "two events are enough");
        let result = judged(&in_requests(&[(1, 5)]));
        assert_eq!(result.clusterings[0].skipped.as_deref(), Some("there are fewer than two clusters"));
    }

    proptest! {
        #[test]
        fn one_more_defect_never_lowers_the_upper_bound_and_one_more_clean_event_never_raises_it(
            // One request alone is no clustering; from two on there always is one, or none holds more than one defect.
            requests in prop::collection::vec((0u64..5, 1u64..50), 2..40),
            at in 0usize..40,
            independence in prop_oneof![Just(Independence::Event), Just(Independence::Events(7.0))],
        ) {
            let requests: Vec<(u64, u64)> = requests.into_iter().map(|(k, n)| (k.min(n), n)).collect();
            let targets = Targets { independence, ..TARGETS };
            let upper = |requests: &[(u64, u64)]| {
                judge("x", &Counted::of(&in_requests(requests)), 1e-4, &targets, ("", "")).upper.unwrap()
            };
            let before = upper(&requests);
            let at = at % requests.len();
            let mut worse = requests.clone();
            if worse[at].0 < worse[at].1 {
                worse[at].0 += 1;
                prop_assert!(upper(&worse) >= before - 1e-12);
            }
            let mut more = requests.clone();
            more[at].1 += 1;
            prop_assert!(upper(&more) <= before + 1e-12);
            more.push((0, 1));
            prop_assert!(upper(&more) <= before + 1e-12);
        }
    }
}
