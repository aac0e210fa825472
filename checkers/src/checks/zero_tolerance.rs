//! Checks without a rate: one finding is a fail, none a pass.

use super::CheckResult;
use crate::{
    reconcile::evidence::{Class, Evidence},
    verdict::Verdict,
};

pub(super) fn checks(evidence: &Evidence) -> Vec<CheckResult> {
    let counts = &evidence.counts;
    let rejected = counts.rejected + counts.unsent;
    let read_whole = evidence.read_whole;
    [
        (Class::Phantom, read_whole, "rows that nobody sent", "no read has listed everything"),
        (
            Class::Misrouted,
            read_whole && evidence.tenants,
            "events under another tenant",
            if read_whole { "no tenants are known" } else { "no read has listed everything" },
        ),
        (
            Class::RejectedButVisible,
            rejected > 0 && evidence.reads > 0,
            "events visible though rejected or never sent",
            "nothing was rejected or left unsent",
        ),
        (
            Class::ShouldBeAbsent,
            evidence.expected_absent > 0 && evidence.reads > 0,
            "events visible though they must be absent",
            "no event is expected absent",
        ),
        (Class::Flicker, evidence.reads > 1, "events seen, missing and seen again", "there was one read at most"),
    ]
    .into_iter()
    .map(|(class, applies, what, why_not)| {
        let found = evidence.found(class);
        let verdict = match (applies || found > 0, found) {
            (false, _) => Verdict::NotApplicable,
            (true, 0) => Verdict::Pass,
            (true, _) => Verdict::Fail,
        };
        CheckResult {
            verdict,
            measured: (verdict != Verdict::NotApplicable).then_some(found as f64),
            target: Some(0.0),
            k: found,
            n: counts.planned,
            reason: if verdict == Verdict::NotApplicable { why_not.to_owned() } else { format!("{found} {what}") },
            ..CheckResult::without_rate(class.name())
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_a_fail_and_what_cannot_apply_does_not_count() {
        let verdicts = |evidence: &Evidence| -> Vec<(String, Verdict)> {
            checks(evidence).into_iter().map(|result| (result.name, result.verdict)).collect()
        };
        let nothing = Evidence::default();
        assert!(verdicts(&nothing).iter().all(|(_, verdict)| *verdict == Verdict::NotApplicable));
        let mut evidence =
            Evidence { read_whole: true, reads: 2, tenants: true, expected_absent: 1, ..Evidence::default() };
        evidence.counts.rejected = 1;
        for class in
            [Class::Phantom, Class::Misrouted, Class::RejectedButVisible, Class::ShouldBeAbsent, Class::Flicker]
        {
            let of = |evidence: &Evidence| {
                verdicts(evidence).into_iter().find(|(name, _)| name == class.name()).map(|(_, verdict)| verdict)
            };
            assert_eq!(of(&evidence), Some(Verdict::Pass));
            let mut bad = evidence.clone();
            bad.findings.insert(class, 1);
            assert_eq!(of(&bad), Some(Verdict::Fail), "{}", class.name());
        }
    }

    #[test]
    #[expect(clippy::large_stack_arrays, reason = "the table of a test")]
    fn each_applies_where_it_can_see_something() {
        let whole = || Evidence { read_whole: true, reads: 1, ..Evidence::default() };
        let mut rejected = whole();
        rejected.counts.rejected = 1;
        let mut unsent = whole();
        unsent.counts.unsent = 1;
        let mut unread = Evidence { expected_absent: 1, ..Evidence::default() };
        unread.counts.rejected = 1;
        for (evidence, applying) in [
            (whole(), vec![Class::Phantom]),
            (Evidence { tenants: true, ..whole() }, vec![Class::Phantom, Class::Misrouted]),
            (Evidence { tenants: true, read_whole: false, ..whole() }, vec![]),
            (rejected, vec![Class::Phantom, Class::RejectedButVisible]),
            (unsent, vec![Class::Phantom, Class::RejectedButVisible]),
            (Evidence { expected_absent: 1, ..whole() }, vec![Class::Phantom, Class::ShouldBeAbsent]),
            (Evidence { reads: 2, ..whole() }, vec![Class::Phantom, Class::Flicker]),
            // What nobody has read cannot be there.
            (unread, vec![]),
        ] {
            let applies = checks(&evidence).into_iter().filter(|result| result.verdict != Verdict::NotApplicable);
            let names: Vec<String> = applies.map(|result| result.name).collect();
            assert_eq!(names, applying.into_iter().map(Class::name).collect::<Vec<_>>(), "{evidence:?}");
        }
        // A finding counts also where the check could not have been expected to see any.
        let found = Evidence { findings: [(Class::Flicker, 2)].into(), ..Evidence::default() };
        let flicker = checks(&found).pop().unwrap();
        assert_eq!((flicker.verdict, flicker.k, flicker.measured), (Verdict::Fail, 2, Some(2.0)));
        assert!(flicker.reason.starts_with("2 events seen"));
        let mut planned = whole();
        planned.counts.planned = 7;
        assert!(checks(&planned).iter().all(|result| (result.n, result.target) == (7, Some(0.0))));
    }
}
