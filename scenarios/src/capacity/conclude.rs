//! What a search comes to: efficiencies, the law of scaling, and the verdict on what was expected.
//!
//! A capacity lies between the highest rate that held and the lowest that did not. So an expectation is met only if the
//! first is enough, and broken only if the second is too little and the pipeline itself was what did not hold; anything
//! else is inconclusive, as everywhere.

use checkers::{
    statistics::usl::{self, Capacity},
    verdict::Verdict,
};
use reports::{
    capacity::{Found, Limit, Step},
    figures::{count, percent},
};

use crate::scenario::Expect;

/// Works out what follows from the trials of `found`.
pub fn conclude(found: &mut Found, expect: &Expect) {
    compare(&mut found.steps);
    (found.fit, found.no_fit) = if found.steps.len() < 2 { (None, None) } else { fit(found) };
    let mut judged = Vec::new();
    if !found.complete {
        judged
            .push((Verdict::Inconclusive, "the search was not ended: this is what was measured until then".to_owned()));
    }
    judged.extend(found.steps.iter().filter_map(step));
    if let Some(wanted) = expect.capacity {
        judged.extend(found.steps.last().and_then(|last| capacity(last, wanted)));
    }
    if let (Some(wanted), [first, .., last]) = (expect.linear, found.steps.as_slice()) {
        judged.extend(linear(first, last, wanted));
    }
    found.verdict = judged.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Pass);
    found.exit_code = found.verdict.exit_code();
    found.reasons = judged.into_iter().map(|(_, reason)| reason).collect();
}

fn compare(steps: &mut [Step]) {
    let Some((size, capacity)) = steps.first().and_then(|first| Some((first.size, first.capacity?))) else { return };
    for step in steps {
        step.efficiency = step.capacity.map(|own| own as f64 / capacity as f64 * size / step.size);
    }
}

fn fit(found: &Found) -> (Option<usl::Fit>, Option<String>) {
    // Where the generator or the range ended it, nobody knows what the pipeline can do.
    let ended = found.steps.iter().filter(|step| step.limited_by == Limit::Pipeline);
    let capacities: Vec<Capacity> = ended
        .filter_map(|step| Some(Capacity { size: step.size, held: step.capacity? as f64, failed: step.failed? as f64 }))
        .collect();
    match usl::fit(&capacities, found.confidence) {
        Ok(fit) => (Some(fit), None),
        Err(error) => (None, Some(error.to_string())),
    }
}

/// What stands in the way of believing a step.
fn step(step: &Step) -> Option<(Verdict, String)> {
    let name = &step.name;
    match (step.limited_by, step.capacity) {
        (Limit::Unknown, _) => {
            let void = step.trials.last().map(|trial| trial.why.clone()).filter(|why| !why.is_empty());
            let why = void.map_or_else(String::new, |why| format!(" ({why})"));
            Some((Verdict::Inconclusive, format!("{name}: its capacity was not found{why}")))
        }
        (Limit::Pipeline, None) => Some((Verdict::Fail, format!("{name}: not even the lowest rate held"))),
        (Limit::Generator, None) => {
            Some((Verdict::Inconclusive, format!("{name}: the generator was late even at the lowest rate")))
        }
        _ => None,
    }
}

fn capacity(last: &Step, wanted: u64) -> Option<(Verdict, String)> {
    let name = &last.name;
    if last.capacity.is_some_and(|capacity| capacity >= wanted) {
        return None;
    }
    let wanted_rate = count(wanted);
    Some(match (last.limited_by, last.failed) {
        (Limit::Pipeline, Some(failed)) if failed <= wanted => {
            (Verdict::Fail, format!("{name} did not hold {}/s, and {wanted_rate}/s are expected", count(failed)))
        }
        (Limit::Range, _) => (
            Verdict::Inconclusive,
            format!("{name}: {wanted_rate}/s are expected, and no rate as high was tried: raise `capacity.to`"),
        ),
        _ => {
            (Verdict::Inconclusive, format!("{name}: whether it holds the expected {wanted_rate}/s was not found out"))
        }
    })
}

fn linear(first: &Step, last: &Step, wanted: f64) -> Option<(Verdict, String)> {
    let grows = last.size / first.size;
    let of_pipeline = |step: &Step| step.failed.filter(|_| step.limited_by == Limit::Pipeline);
    let efficiency = |much: Option<u64>, little: Option<u64>| Some(much? as f64 / little? as f64 / grows);
    let low = efficiency(last.capacity, of_pipeline(first));
    let high = efficiency(of_pipeline(last), first.capacity);
    if low.is_some_and(|low| low >= wanted) {
        return None;
    }
    let told = match (low, high) {
        (Some(low), Some(high)) => format!("{} to {}", percent(low), percent(high)),
        (Some(low), None) => format!("{} or more", percent(low)),
        (None, Some(high)) => format!("at most {}", percent(high)),
        (None, None) => "unknown".into(),
    };
    let reason = format!("the efficiency of {} is {told}, and {} is expected", last.name, percent(wanted));
    Some((if high.is_some_and(|high| high < wanted) { Verdict::Fail } else { Verdict::Inconclusive }, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    fn known(size: f64, capacity: Option<u64>, failed: Option<u64>, limited_by: Limit) -> Step {
        Step {
            name: format!("size {size}"),
            size,
            partitions: 1,
            ingesters: 1,
            processors: None,
            limits: Vec::new(),
            capacity,
            failed,
            limited_by,
            efficiency: None,
            components: Vec::new(),
            events: 0,
            p99: None,
            trials: Vec::new(),
        }
    }

    fn found(steps: Vec<Step>, complete: bool, linear: Option<f64>, capacity: Option<u64>) -> Found {
        let smoke = Scenario::read("x.toml", include_str!("../../library/smoke.toml"), &[]).unwrap();
        let mut found = Found {
            schema: 1,
            verdict: Verdict::Inconclusive,
            reasons: Vec::new(),
            exit_code: 2,
            scenario: "x".into(),
            environment: "embedded".into(),
            machine_processors: 2,
            complete,
            idle: None,
            steps,
            fit: None,
            no_fit: None,
            confidence: 0.95,
        };
        conclude(&mut found, &Expect { linear, capacity, ..smoke.expect });
        found
    }

    #[test]
    fn expectations_are_met_or_broken_only_for_certain() {
        use Verdict::{Fail, Inconclusive, Pass};
        let step = |size, held, failed, limit| known(size, Some(held), Some(failed), limit);
        let two = |held, failed, limit| vec![step(1.0, 1_000, 1_100, Limit::Pipeline), step(2.0, held, failed, limit)];
        // Between 1 800 / 1 100 / 2 = 82 % and 1 980 / 1 000 / 2 = 99 %.
        for (steps, linear, expected) in [
            (two(1_800, 1_980, Limit::Pipeline), 0.8, Pass),
            (two(1_800, 1_980, Limit::Pipeline), 0.9, Inconclusive),
            (two(1_800, 1_980, Limit::Pipeline), 1.0, Fail),
            (two(1_800, 1_980, Limit::Generator), 0.8, Pass),
            (two(1_800, 1_980, Limit::Generator), 1.0, Inconclusive),
        ] {
            let found = found(steps, true, Some(linear), None);
            assert_eq!(found.verdict, expected, "{linear} {found:?}");
        }
        for (limit, wanted, expected) in [
            (Limit::Pipeline, 1_800, Pass),
            (Limit::Pipeline, 1_900, Inconclusive),
            (Limit::Pipeline, 1_980, Fail),
            (Limit::Generator, 1_980, Inconclusive),
        ] {
            let found = found(two(1_800, 1_980, limit), true, None, Some(wanted));
            assert_eq!(found.verdict, expected, "{wanted} {found:?}");
        }
    }

    #[test]
    fn what_was_not_ended_proves_nothing() {
        let all = || vec![known(1.0, Some(1_000), Some(1_100), Limit::Pipeline)];
        assert_eq!(found(all(), true, None, None).verdict, Verdict::Pass);
        assert_eq!(found(all(), false, None, None).verdict, Verdict::Inconclusive);
        let open = vec![known(1.0, Some(1_000), None, Limit::Unknown)];
        assert_eq!(found(open, true, None, None).verdict, Verdict::Inconclusive);
        let none = |limit| found(vec![known(1.0, None, Some(100), limit)], true, None, None).verdict;
        assert_eq!((none(Limit::Pipeline), none(Limit::Generator)), (Verdict::Fail, Verdict::Inconclusive));
    }

    #[test]
    fn the_law_is_fitted_to_what_the_pipeline_itself_ended() {
        let steps = |last| {
            vec![
                known(1.0, Some(1_000), Some(1_010), Limit::Pipeline),
                known(2.0, Some(2_000), Some(2_020), Limit::Pipeline),
                known(4.0, Some(4_000), Some(4_040), last),
            ]
        };
        let fitted = found(steps(Limit::Pipeline), true, None, None);
        assert!(fitted.fit.is_some() && fitted.no_fit.is_none(), "{fitted:?}");
        assert_eq!(fitted.steps[2].efficiency, Some(1.0));
        let generator = found(steps(Limit::Generator), true, None, None);
        assert!(generator.fit.is_none() && generator.no_fit.is_some(), "{generator:?}");
    }
}
