//! The same check in two runs: rates by their intervals, and counts of what must not be at all by themselves.

use checkers::{checks::CheckResult, statistics::binomial, verdict::Verdict};

use super::{CONFIDENCE, Difference, Kind, Outcome};
use crate::figures::{count, percent};

/// A check in both runs; none where it tells nothing in either, and for times, which tell by themselves.
pub(super) fn difference(before: &CheckResult, after: &CheckResult) -> Option<Difference> {
    if after.name == "time_to_visible" {
        return None;
    }
    let must_not_be = |check: &CheckResult| check.target.is_some_and(|target| target <= 0.0);
    match (bounds(before), bounds(after)) {
        (Some(was), Some(is)) => Some(rate(before, was, after, is)),
        (None, None) if must_not_be(before) && must_not_be(after) => counts(before, after),
        (None, None) => None,
        (was, _) => {
            let which = if was.is_none() { "before" } else { "after" };
            let reason = format!("no rate could be told in the run {which}");
            Some(told(before, after, Kind::Rate, (Outcome::CannotTell, reason)))
        }
    }
}

fn bounds(check: &CheckResult) -> Option<(f64, f64)> {
    check.lower.zip(check.upper)
}

fn told(before: &CheckResult, after: &CheckResult, kind: Kind, (outcome, reason): (Outcome, String)) -> Difference {
    let name = after.name.replace('_', " ");
    let name = if kind == Kind::Rate { format!("{name} rate") } else { name };
    Difference { name, kind, before: before.measured, after: after.measured, outcome, reason }
}

fn rate(
    before: &CheckResult,
    (lower_before, upper_before): (f64, f64),
    after: &CheckResult,
    (lower, upper): (f64, f64),
) -> Difference {
    let answer = if lower > upper_before {
        (Outcome::Worse, format!("at least {} now, at most {} before", percent(lower), percent(upper_before)))
    } else if upper < lower_before {
        (Outcome::Better, format!("at most {} now, at least {} before", percent(upper), percent(lower_before)))
    } else if before.target.zip(after.target).is_some_and(|(was, is)| upper_before <= was && upper <= is) {
        (Outcome::Same, "both are surely within the target, and their intervals overlap".into())
    } else {
        (
            Outcome::CannotTell,
            format!("the intervals overlap: up to {} before, {} now", percent(upper_before), percent(upper)),
        )
    };
    told(before, after, Kind::Rate, answer)
}

/// What must not be at all: the first one is worse, and none any more is better. Between two numbers a difference is sure
/// only if it is more than chance makes where each comes by itself: of all of them together the share that falls into one
/// run is binomial, and would be that run's share of the events.
fn counts(before: &CheckResult, after: &CheckResult) -> Option<Difference> {
    let was_looked_for = |check: &CheckResult| check.verdict != Verdict::NotApplicable;
    let answer = match (before.k, after.k) {
        (0, 0) if was_looked_for(before) && was_looked_for(after) => (Outcome::Same, "none in either run".into()),
        (0, 0) => return None,
        (0, _) if !was_looked_for(before) => (Outcome::CannotTell, "could not be seen in the run before".into()),
        (_, 0) if !was_looked_for(after) => (Outcome::CannotTell, "could not be seen in the run after".into()),
        (0, is) => (Outcome::Worse, format!("none may be: {} now, none before", count(is))),
        (was, 0) => (Outcome::Better, format!("none may be: none now, {} before", count(was))),
        (was, is) => {
            let (all, confidence) = ((was + is) as f64, f64::midpoint(1.0, CONFIDENCE));
            let share = after.n as f64 / (before.n + after.n).max(1) as f64;
            if binomial::lower(is as f64, all, confidence) > share {
                (Outcome::Worse, "none may be, and these are more than chance alone makes of those before".into())
            } else if binomial::upper(is as f64, all, confidence) < share {
                (Outcome::Better, "none may be, and these are fewer than chance alone makes of those before".into())
            } else {
                (Outcome::CannotTell, "none may be, and chance alone makes such a difference".into())
            }
        }
    };
    let measured = |check: &CheckResult| was_looked_for(check).then_some(check.k as f64);
    let difference = told(before, after, Kind::Count, answer);
    Some(Difference { before: measured(before), after: measured(after), ..difference })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::tests::passed;

    fn phantoms(k: u64, n: u64) -> CheckResult {
        let check = passed().checks.into_iter().find(|check| check.name == "phantom").unwrap();
        let verdict = if k == 0 { Verdict::Pass } else { Verdict::Fail };
        CheckResult { verdict, k, n, measured: Some(k as f64), ..check }
    }

    fn not_looked_for() -> CheckResult {
        CheckResult { verdict: Verdict::NotApplicable, measured: None, ..phantoms(0, 60_000) }
    }

    #[test]
    fn of_what_must_not_be_the_first_is_worse_and_the_last_that_is_gone_is_better() {
        let of = |k| phantoms(k, 60_000);
        for (before, after, expected) in [
            (of(0), of(0), Some(Outcome::Same)),
            (of(0), of(1), Some(Outcome::Worse)),
            (of(1), of(0), Some(Outcome::Better)),
            (of(3), of(5), Some(Outcome::CannotTell)),
            (of(3), of(300), Some(Outcome::Worse)),
            (of(300), of(3), Some(Outcome::Better)),
            // Ten times as many among ten times as many events are as many.
            (of(30), phantoms(300, 600_000), Some(Outcome::CannotTell)),
            (not_looked_for(), not_looked_for(), None),
            (not_looked_for(), of(0), None),
            (not_looked_for(), of(2), Some(Outcome::CannotTell)),
            (of(2), not_looked_for(), Some(Outcome::CannotTell)),
        ] {
            let found = difference(&before, &after);
            assert_eq!(found.as_ref().map(|found| found.outcome), expected, "{} to {}: {found:?}", before.k, after.k);
            assert!(found.is_none_or(|found| found.kind == Kind::Count && found.name == "phantom"));
        }
    }

    #[test]
    fn a_rate_that_only_one_of_them_tells_is_no_match() {
        let loss = passed().checks.into_iter().find(|check| check.name == "loss").unwrap();
        let without = CheckResult { lower: None, upper: None, ..loss.clone() };
        let found = difference(&loss, &without).unwrap();
        assert_eq!(
            (found.outcome, found.reason.as_str()),
            (Outcome::CannotTell, "no rate could be told in the run after")
        );
        assert!(difference(&without, &loss).unwrap().reason.ends_with("before"));
        assert_eq!(difference(&without, &without), None);
    }
}
