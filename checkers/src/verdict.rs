//! The algebra of verdicts, on one page.
//!
//! Checks merge by the worst: fail > inconclusive > pass. Two kinds of reasons stand above them. *Insufficient*: there
//! is too little to say pass; it never hides a fail. *Invalid*: the run as a whole proves nothing, whatever was found.
//! A run never passes by default: no check at all is inconclusive.

use serde::{Deserialize, Serialize};

/// What a run, or one check of it, comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing that applies to this run; does not count.
    NotApplicable,
    /// The promise holds, at the stated confidence.
    Pass,
    /// Neither can be said.
    Inconclusive,
    /// The promise is broken, at the stated confidence.
    Fail,
}

impl Verdict {
    /// The process's exit code: 0 pass, 1 fail, 2 inconclusive.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Fail => 1,
            Self::Inconclusive | Self::NotApplicable => 2,
        }
    }

    /// The word for people and files.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }
}

/// Why a run cannot simply be judged by its checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "what", rename_all = "snake_case")]
pub enum Obstacle {
    /// The run as a whole proves nothing.
    Invalid(String),
    /// There is too little for a pass.
    Insufficient(String),
}

/// The verdict of a run from those of its checks and what stood in its way.
pub fn merge(checks: impl IntoIterator<Item = Verdict>, obstacles: &[Obstacle]) -> Verdict {
    if obstacles.iter().any(|obstacle| matches!(obstacle, Obstacle::Invalid(_))) {
        return Verdict::Inconclusive;
    }
    let worst = checks.into_iter().max().unwrap_or(Verdict::NotApplicable);
    match worst {
        Verdict::Fail => Verdict::Fail,
        Verdict::Pass if obstacles.is_empty() => Verdict::Pass,
        Verdict::Pass | Verdict::NotApplicable | Verdict::Inconclusive => Verdict::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};

    #[test]
    fn the_worst_wins_and_nothing_passes_by_default() {
        let insufficient = || vec![Obstacle::Insufficient("too few".into())];
        let invalid = || vec![Obstacle::Invalid("no store".into())];
        for (checks, obstacles, expected) in [
            (vec![], vec![], Inconclusive),
            (vec![NotApplicable], vec![], Inconclusive),
            (vec![Pass], vec![], Pass),
            (vec![Pass, NotApplicable], vec![], Pass),
            (vec![Pass, Inconclusive], vec![], Inconclusive),
            (vec![Inconclusive, Fail, Pass], vec![], Fail),
            (vec![Pass, Pass], insufficient(), Inconclusive),
            (vec![Pass, Fail], insufficient(), Fail),
            (vec![Pass, Fail], invalid(), Inconclusive),
            (vec![Pass, Pass], invalid(), Inconclusive),
        ] {
            assert_eq!(merge(checks.clone(), &obstacles), expected, "{checks:?} {obstacles:?}");
        }
    }

    #[test]
    fn each_verdict_has_its_exit_code_and_word() {
        assert_eq!([Pass, Fail, Inconclusive, NotApplicable].map(Verdict::exit_code), [0, 1, 2, 2]);
        let words = [Pass, Fail, Inconclusive, NotApplicable].map(Verdict::word);
        assert_eq!(words, ["pass", "fail", "inconclusive", "not applicable"]);
    }
}
