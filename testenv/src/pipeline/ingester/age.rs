//! How old an event may be: what a team drops for its age (nodejs/src/ingestion, drop-old-events-step.ts; ingestion contract
//! 2.1).

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;

use crate::pipeline::dialect::Dialect;

/// The ages that teams take: by team, in seconds (`drop_events_older_than_seconds`). It came in 2025.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct AgeLimits(BTreeMap<i64, u32>);

impl AgeLimits {
    /// The greatest age that `team` takes, if it drops older events at all. Zero is taken for no limit.
    pub fn of(&self, dialect: Dialect, team: i64) -> Option<SignedDuration> {
        let seconds = *self.0.get(&team).filter(|seconds| dialect == Dialect::V2026 && **seconds > 0)?;
        Some(SignedDuration::from_secs(seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teams_have_limits_of_their_own_since_2026() {
        let limits: AgeLimits = serde_json::from_str(r#"{"1":60,"2":0}"#).unwrap();
        let of = |dialect, team| limits.of(dialect, team).map(|limit| limit.as_secs());
        assert_eq!(of(Dialect::V2026, 1), Some(60));
        assert_eq!(of(Dialect::V2026, 2), None, "zero is no limit");
        assert_eq!(of(Dialect::V2026, 3), None, "it has none");
        assert_eq!((of(Dialect::V2024, 1), of(Dialect::V2021, 1)), (None, None));
    }
}
