//! Checks without a rate: one finding is a fail, none a pass.

use super::CheckResult;
use crate::{
    reconcile::evidence::{Class, Evidence},
    verdict::Verdict,
};

pub(super) fn checks(evidence: &Evidence) -> Vec<CheckResult> {
    let counts = &evidence.counts;
    let rejected = counts.rejected + counts.unsent;
    let read_whole = evidence.final_reads > 0;
    [
        (Class::Phantom, read_whole, "rows that nobody sent", "there was no final read"),
        (Class::Misrouted, read_whole, "events under another tenant", "there was no final read"),
        (
            Class::RejectedButVisible,
            rejected > 0 && evidence.reads > 0,
            "events visible though rejected or never sent",
            "nothing was rejected or left unsent",
        ),
        (Class::ShouldBeAbsent, false, "events visible though they must be absent", "no event is expected absent"),
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
            name: class.name().to_owned(),
            verdict,
            measured: (verdict != Verdict::NotApplicable).then_some(found as f64),
            lower: None,
            upper: None,
            target: Some(0.0),
            k: found,
            n: counts.planned,
            n_effective: None,
            deff: None,
            reason: if verdict == Verdict::NotApplicable { why_not.to_owned() } else { format!("{found} {what}") },
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
        let mut evidence = Evidence { final_reads: 2, reads: 2, ..Evidence::default() };
        evidence.counts.rejected = 1;
        for class in [Class::Phantom, Class::Misrouted, Class::RejectedButVisible, Class::Flicker] {
            let of = |evidence: &Evidence| {
                verdicts(evidence).into_iter().find(|(name, _)| name == class.name()).map(|(_, verdict)| verdict)
            };
            assert_eq!(of(&evidence), Some(Verdict::Pass));
            let mut bad = evidence.clone();
            bad.findings.insert(class, 1);
            assert_eq!(of(&bad), Some(Verdict::Fail), "{}", class.name());
        }
    }
}
