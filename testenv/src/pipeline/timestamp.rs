//! An event's moment, from what the client wrote and what the server's clock shows
//! (2026: rust/common/types/src/timestamp.rs, `parse_event_timestamp`; before: plugin-server's timestamps.ts).

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use super::dialect::Dialect;

/// Further ahead than this of the server's clock, a moment is not believed.
const AHEAD_MS: i64 = 23 * 3_600_000;

/// What a client says about an event's time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// `timestamp`.
    pub timestamp: Option<&'a str>,
    /// `offset`, in milliseconds before it was received.
    pub offset_ms: Option<i64>,
    /// The request's `sent_at`.
    pub sent_at: Option<Timestamp>,
    /// `properties.$ignore_sent_at`.
    pub ignore_sent_at: bool,
}

/// The event's moment, when the server's clock shows `now`.
pub fn normalise(dialect: Dialect, said: Said<'_>, now: Timestamp) -> Timestamp {
    let now_ms = now.as_millisecond();
    let timestamp = said.timestamp.and_then(parse);
    // Of the two, the offset counts in 2026 and the timestamp before.
    let offset_ms = said.offset_ms.filter(|_| dialect == Dialect::V2026 || timestamp.is_none());
    let moment_ms = match (offset_ms, timestamp) {
        (Some(offset), _) => now_ms.saturating_sub(offset),
        (None, None) => return now,
        (None, Some(moment)) => match said.sent_at.filter(|_| !said.ignore_sent_at) {
            // The client's clock is off by what it shows on sending, against ours on receiving.
            Some(sent_at) => moment.as_millisecond().saturating_sub(sent_at.as_millisecond()).saturating_add(now_ms),
            None => moment.as_millisecond(),
        },
    };
    if dialect == Dialect::V2026 && moment_ms.saturating_sub(now_ms) > AHEAD_MS {
        return now;
    }
    match Timestamp::from_millisecond(moment_ms) {
        Ok(moment) if (0..=9999).contains(&moment.to_zoned(TimeZone::UTC).year()) => moment,
        _ => Timestamp::UNIX_EPOCH,
    }
}

/// RFC 3339, a civil date and time (taken as UTC), or milliseconds since 1970 in digits.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    if let Ok(civil) = text.parse::<DateTime>() {
        return civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    text.parse::<i64>().ok().and_then(|ms| Timestamp::from_millisecond(ms).ok())
}

/// RFC 3339 as v1 takes it: everything must be there, and nothing else (rust/capture/src/v1, by chrono's `parse_from_rfc3339`, which
/// takes a blank for the `T`, as that RFC allows, and reads no more than nine digits of a second).
pub fn strict_rfc3339(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let (start, rest) = bytes.split_at_checked("2026-06-01T12:00:00".len())?;
    let is_start = start.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b't' | b' '),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let (fraction, zone) = match rest.strip_prefix(b".") {
        None => (&rest[..0], rest),
        Some(rest) => {
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, zone) = rest.split_at(length);
            if fraction.is_empty() {
                return None;
            }
            (fraction, zone)
        }
    };
    let is_zone = match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', hours @ .., b':', minute, second] => {
            let minutes = [*minute, *second];
            hours.len() == 2 && digits(hours) && hours <= &b"23"[..] && digits(&minutes) && *minute < b'6'
        }
        _ => false,
    };
    if !is_start || !is_zone {
        return None;
    }
    // All of it is ASCII, and of a form that jiff takes.
    let (date, time) = (text.get(..10)?, text.get(11..19)?);
    let fraction = std::str::from_utf8(fraction.get(..9).unwrap_or(fraction)).ok()?;
    let point = if fraction.is_empty() { "" } else { "." };
    let zone = std::str::from_utf8(zone).ok()?.to_ascii_uppercase();
    format!("{date}T{time}{point}{fraction}{zone}").parse().ok()
}

/// `2026-11-23T01:02:03.456Z`.
pub fn rfc3339(moment: Timestamp) -> String {
    format!("{moment:.3}")
}

/// `2026-11-23 01:02:03.456000`, as ClickHouse reads it.
pub fn clickhouse_micros(moment: Timestamp) -> String {
    match utc(moment) {
        Some(mut text) => {
            let micros = moment.subsec_microsecond().unsigned_abs();
            text.push('.');
            for pair in [micros / 10_000, micros / 100 % 100, micros % 100] {
                push_two(&mut text, pair);
            }
            text
        }
        None => moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
    }
}

/// `2026-11-23 01:02:03`.
pub fn clickhouse_seconds(moment: Timestamp) -> String {
    utc(moment).unwrap_or_else(|| moment.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The same by hand, which every row needs several times; `None` before 1970, where parts of seconds count backwards.
fn utc(moment: Timestamp) -> Option<String> {
    let civil = (moment >= Timestamp::UNIX_EPOCH).then(|| TimeZone::UTC.to_datetime(moment))?;
    let year = u32::from(civil.year().unsigned_abs());
    let mut text = String::with_capacity("2026-11-23 01:02:03.456000".len());
    push_two(&mut text, year / 100);
    push_two(&mut text, year % 100);
    let rest =
        [('-', civil.month()), ('-', civil.day()), (' ', civil.hour()), (':', civil.minute()), (':', civil.second())];
    for (before, part) in rest {
        text.push(before);
        push_two(&mut text, part.unsigned_abs().into());
    }
    Some(text)
}

/// Two digits; `number` is below a hundred.
fn push_two(text: &mut String, number: u32) {
    for digit in [number / 10, number % 10] {
        text.push(char::from(b'0' + digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_is_strict() {
        for (text, expected) in [
            ("2026-06-01T12:00:00Z", Some("2026-06-01T12:00:00Z")),
            ("2026-06-01t12:00:00.5z", Some("2026-06-01T12:00:00.5Z")),
            ("2026-06-01 12:00:00Z", Some("2026-06-01T12:00:00Z")),
            ("2026-06-01T12:00:00.1234567899+02:00", Some("2026-06-01T10:00:00.123456789Z")),
            ("2026-06-01T12:00:00-23:59", Some("2026-06-02T11:59:00Z")),
            ("2026-06-01T12:00:00+02", None),
            ("2026-06-01T12:00:00+0200", None),
            ("2026-06-01T12:00:00+24:00", None),
            ("2026-06-01T12:00:00+02:60", None),
            ("2026-06-01T12:00:00", None),
            ("2026-06-01T12:00Z", None),
            ("2026-06-01T12:00:00.Z", None),
            ("2026-06-01T12:00:00,5Z", None),
            ("2026-06-01T25:00:00Z", None),
            ("2026-02-30T12:00:00Z", None),
            ("2026-06-01T12:00:00Z[UTC]", None),
            (" 2026-06-01T12:00:00Z", None),
            ("20260601T120000Z", None),
            ("1790000000000", None),
            ("", None),
        ] {
            assert_eq!(strict_rfc3339(text).map(|moment| moment.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_believed() {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let said = |timestamp: Option<&'static str>, sent_at: Option<&str>| Said {
            timestamp,
            sent_at: sent_at.and_then(at),
            ..Said::default()
        };
        for (name, said, expected) in [
            ("neither", said(None, None), "2026-06-01T12:00:00Z"),
            ("no sent_at", said(Some("2026-06-01T11:00:00Z"), None), "2026-06-01T11:00:00Z"),
            ("skewed", said(Some("2026-06-01T09:59:58Z"), Some("2026-06-01T10:00:00Z")), "2026-06-01T11:59:58Z"),
            (
                "skew ignored",
                Said { ignore_sent_at: true, ..said(Some("2026-06-01T09:59:58Z"), Some("2026-06-01T10:00:00Z")) },
                "2026-06-01T09:59:58Z",
            ),
            (
                "an offset beats all",
                Said { offset_ms: Some(1_500), ..said(Some("2026-06-01T09:59:58Z"), None) },
                "2026-06-01T11:59:58.5Z",
            ),
            ("unreadable", said(Some("yesterday"), None), "2026-06-01T12:00:00Z"),
            ("other zone", said(Some("2026-06-01T13:00:00+02:00"), None), "2026-06-01T11:00:00Z"),
            ("civil", said(Some("2026-06-01 11:00:00"), None), "2026-06-01T11:00:00Z"),
            ("digits", said(Some("1780311600000"), None), "2026-06-01T11:00:00Z"),
            ("23 hours ahead", said(Some("2026-06-02T11:00:00Z"), None), "2026-06-02T11:00:00Z"),
            ("more", said(Some("2026-06-02T11:00:01Z"), None), "2026-06-01T12:00:00Z"),
            ("before our era", said(Some("-000005-06-02T11:00:01Z"), None), "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(Some(normalise(Dialect::V2026, said, now)), at(expected), "{name}");
        }
        let (timestamp, sent_at) = (Some("2026-06-03T12:00:00Z"), Some("2026-06-01T12:00:00Z"));
        let before = [
            (
                "an offset beside it",
                Said { offset_ms: Some(1_500), ..said(timestamp, sent_at) },
                "2026-06-03T12:00:00Z",
            ),
            ("an offset alone", Said { offset_ms: Some(1_500), ..said(None, sent_at) }, "2026-06-01T11:59:58.5Z"),
            ("far ahead", said(timestamp, sent_at), "2026-06-03T12:00:00Z"),
        ];
        for (name, said, expected) in before {
            for dialect in [Dialect::V2021, Dialect::V2024] {
                assert_eq!(Some(normalise(dialect, said, now)), at(expected), "{name} in {dialect}");
            }
        }
    }

    #[test]
    fn forms() {
        let moment: Timestamp = "2026-06-01T12:00:00.1234567Z".parse().unwrap();
        assert_eq!(clickhouse_micros(moment), "2026-06-01 12:00:00.123456");
        assert_eq!(clickhouse_seconds(moment), "2026-06-01 12:00:00");
        assert_eq!(rfc3339(moment), "2026-06-01T12:00:00.123Z");
        for text in
            ["1969-12-31T23:59:59.25Z", "1970-01-01T00:00:00Z", "9999-12-30T01:02:03.000004Z", "0001-02-03T04:05:06Z"]
        {
            let moment: Timestamp = text.parse().unwrap();
            let slowly = moment.to_zoned(TimeZone::UTC);
            assert_eq!(clickhouse_micros(moment), slowly.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string());
            assert_eq!(clickhouse_seconds(moment), slowly.strftime("%Y-%m-%d %H:%M:%S").to_string());
        }
    }
}
