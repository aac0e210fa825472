//! Events that are too old for their team (ingestion contract 2.1).
//!
//! What counts is the stored timestamp against the capture's clock, and that clock stands on both sides: where the event's time
//! is told relative to the request's (`now + (timestamp − sent_at)`, or `now − offset`) it cancels out, and with it how long the
//! request was on its way and how far the client's clock is off. Such an age is known, but for the rounding of servers. Only a
//! timestamp that is taken as it stands hangs on when the capture read its clock, and how far that is from the sender's: where
//! the limit lies between the least and the greatest age that the event may have had, both are fine.

use std::time::Duration;

use super::{
    dialect::Dialect,
    presence::Fate,
    row::{AttemptTimes, ROUNDING_MICROS},
};

/// What must become of an event by its age, as this attempt brings it to a team that drops what is older than `limit`, with
/// `clock_tolerance_micros` between the sender's clock and the servers'.
pub fn fate(dialect: Dialect, limit: Duration, attempt: &AttemptTimes, clock_tolerance_micros: i64) -> Fate {
    // Teams have had the setting since 2025.
    if dialect != Dialect::V2026 {
        return Fate::Present;
    }
    let AttemptTimes { said, earliest_micros, latest_micros } = *attempt;
    let age = |now| now - dialect.stored_timestamp_micros(said, now);
    let (first, last) = (age(earliest_micros), age(latest_micros));
    let is_known = first == age(earliest_micros + 1);
    let clocks = if is_known { 0 } else { clock_tolerance_micros };
    let tolerance = clocks + ROUNDING_MICROS;
    let limit = i64::try_from(limit.as_micros()).unwrap_or(i64::MAX);
    if first.min(last) - tolerance > limit {
        Fate::Absent("it is older than its team takes")
    } else if first.max(last).saturating_add(tolerance) < limit {
        Fate::Present
    } else {
        Fate::Either("it is about as old as its team takes")
    }
}

#[cfg(test)]
mod tests {
    use generators::request::Said;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);
    const NOON_MS: i64 = 1_780_311_600_000;

    /// The fates of events that say this of their time, received between noon and a second later.
    fn fate_of(said: Said, clock_tolerance_micros: i64) -> Fate {
        let earliest_micros = NOON_MS * 1_000;
        let attempt = AttemptTimes { said, earliest_micros, latest_micros: earliest_micros + 1_000_000 };
        fate(Dialect::V2026, LIMIT, &attempt, clock_tolerance_micros)
    }

    const fn said(timestamp_ms: Option<i64>, offset_ms: Option<i64>, sent_at_ms: Option<i64>) -> Said {
        Said { timestamp_ms, offset_ms, sent_at_ms, sent_at_in_query: false, ignores_sent_at: false }
    }

    #[test]
    fn an_age_that_hangs_on_no_clock_is_known_to_the_millisecond() {
        // The client's clock is an hour behind, and the servers' are a second apart: neither matters.
        let sent_at = NOON_MS - 3_600_000;
        let by_sent_at = |age_ms: i64| fate_of(said(Some(sent_at - age_ms), None, Some(sent_at)), 1_000_000);
        let by_offset = |age_ms: i64| fate_of(said(Some(1), Some(age_ms), None), 1_000_000);
        for fate_at in [&by_sent_at as &dyn Fn(i64) -> Fate, &by_offset] {
            assert_eq!((fate_at(0), fate_at(59_998)), (Fate::Present, Fate::Present));
            assert!([59_999, 60_000, 60_001].map(fate_at).iter().all(|fate| matches!(fate, Fate::Either(_))));
            assert!([60_002, 1 << 40].map(fate_at).iter().all(|fate| matches!(fate, Fate::Absent(_))));
        }
        assert_eq!(fate_of(said(None, None, None), 0), Fate::Present, "without a time it is as old as its arrival");
        assert_eq!(by_sent_at(-86_400_000), Fate::Present, "what is yet to happen is not old");
    }

    #[test]
    fn an_age_by_the_captures_clock_lies_between_sending_and_answer() {
        let ages = |said: fn(i64) -> Said, tolerance| {
            [58_998, 58_999, 60_001, 60_002].map(|age_ms| match fate_of(said(NOON_MS - age_ms), tolerance) {
                Fate::Present => "present",
                Fate::Either(_) => "either",
                Fate::Absent(_) => "absent",
            })
        };
        let unsent: fn(i64) -> Said = |timestamp| said(Some(timestamp), None, None);
        let ignoring: fn(i64) -> Said =
            |timestamp| Said { ignores_sent_at: true, ..said(Some(timestamp), None, Some(timestamp)) };
        for said in [unsent, ignoring] {
            assert_eq!(ages(said, 0), ["present", "either", "either", "absent"]);
            assert_eq!(ages(said, 1_000), ["either"; 4], "the clocks may be a millisecond apart");
        }
    }

    #[test]
    fn teams_have_a_limit_since_2026() {
        let said = said(Some(0), None, Some(3_600_000));
        let attempt = AttemptTimes { said, earliest_micros: 0, latest_micros: 0 };
        let fate = |dialect| fate(dialect, LIMIT, &attempt, 0);
        assert!(matches!(fate(Dialect::V2026), Fate::Absent(_)));
        assert_eq!((fate(Dialect::V2024), fate(Dialect::V2021)), (Fate::Present, Fate::Present));
    }
}
