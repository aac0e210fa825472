//! Moments as text, quickly: `2026-11-23T01:02:03.456Z`.

use jiff::Timestamp;

use crate::{
    text::put_digits,
    workload::{NO_TIME, TimeSpelling},
};

const DAY_MS: i64 = 86_400_000;
/// Another zone than UTC is so far ahead.
const ZONE_MS: i64 = 2 * 3_600_000;

/// Writes moments; the date of the last one is kept, since the next one is likely to be of the same day.
#[derive(Debug, Default)]
pub(super) struct Moments {
    date: Option<(i64, [u8; 10])>,
}

impl Moments {
    /// Appends a moment in milliseconds since 1970, with all three of its digits; one beyond the calendar becomes its
    /// nearest end.
    pub fn write(&mut self, unix_ms: i64, into: &mut Vec<u8>) {
        let (day, time) = (unix_ms.div_euclid(DAY_MS), unix_ms.rem_euclid(DAY_MS) as u64);
        let date = match self.date {
            Some((of, date)) if of == day => date,
            _ => match date(day) {
                Some(date) => date,
                // The first and the last day are not whole, and years with a sign have dates of another length.
                None => return into.extend_from_slice(rfc3339(unix_ms).as_bytes()),
            },
        };
        self.date = Some((day, date));
        let start = into.len();
        into.extend_from_slice(b"0000-00-00T00:00:00.000Z");
        let text = &mut into[start..];
        text[..10].copy_from_slice(&date);
        put_digits(&mut text[11..13], time / 3_600_000);
        put_digits(&mut text[14..16], time / 60_000 % 60);
        put_digits(&mut text[17..19], time / 1_000 % 60);
        put_digits(&mut text[20..23], time % 1_000);
    }

    /// Appends a moment in microseconds since 1970 in this form.
    pub fn spell(&mut self, spelling: TimeSpelling, unix_micros: i64, into: &mut Vec<u8>) {
        let unix_ms = unix_micros.div_euclid(1_000);
        let spelling = spelling.at(unix_ms);
        match spelling {
            TimeSpelling::Digits => return into.extend_from_slice(unix_ms.to_string().as_bytes()),
            TimeSpelling::Unreadable => return into.extend_from_slice(NO_TIME.as_bytes()),
            TimeSpelling::Offset | TimeSpelling::Hours => self.write(unix_ms + ZONE_MS, into),
            _ => self.write(unix_ms, into),
        }
        let zone = into.len() - 1;
        let (end, tail): (usize, &[u8]) = match spelling {
            TimeSpelling::Offset => (zone, b"+02:00"),
            TimeSpelling::Hours => (zone, b"+02"),
            TimeSpelling::Seconds => (zone - ".000".len(), b"Z"),
            TimeSpelling::Micros => (zone, b"000Z"),
            TimeSpelling::Civil => (zone, b""),
            _ => return,
        };
        into.truncate(end);
        into.extend_from_slice(tail);
        if spelling == TimeSpelling::Micros {
            put_digits(&mut into[end..end + 3], unix_micros.rem_euclid(1_000) as u64);
        }
    }
}

/// The date of a day that is counted from 1970, where it is a whole day of the years 0 to 9999.
fn date(day: i64) -> Option<[u8; 10]> {
    let first = Timestamp::from_millisecond(day.checked_mul(DAY_MS)?).ok()?;
    Timestamp::from_millisecond((day + 1).checked_mul(DAY_MS)?).ok()?;
    first.to_string().as_bytes().first_chunk().copied().filter(|date| date[0].is_ascii_digit())
}

/// The same, slowly.
pub(super) fn rfc3339(unix_ms: i64) -> String {
    let end = if unix_ms < 0 { Timestamp::MIN } else { Timestamp::MAX };
    format!("{:.3}", Timestamp::from_millisecond(unix_ms).unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(moments: &mut Moments, unix_ms: i64) -> String {
        let mut text = Vec::new();
        moments.write(unix_ms, &mut text);
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn they_are_written_as_by_the_library(start in -400_000_000_000_000i64..400_000_000_000_000, steps in prop::collection::vec(-2 * DAY_MS..2 * DAY_MS, 9)) {
            let mut moments = Moments::default();
            let mut at = start;
            for step in steps {
                prop_assert_eq!(written(&mut moments, at), rfc3339(at));
                at += step;
            }
        }
    }

    #[test]
    fn every_form_is_written() {
        const AT: i64 = 1_790_000_000_012_034;
        let spelt = |spelling, unix_micros| {
            let mut text = Vec::new();
            Moments::default().spell(spelling, unix_micros, &mut text);
            String::from_utf8(text).unwrap()
        };
        assert_eq!(spelt(TimeSpelling::Usual, AT), "2026-09-21T14:13:20.012Z");
        let all = TimeSpelling::ALL.map(|(_, spelling)| spelt(spelling, AT));
        assert_eq!(
            all,
            [
                "2026-09-21T16:13:20.012+02:00",
                "2026-09-21T16:13:20.012+02",
                "2026-09-21T14:13:20Z",
                "2026-09-21T14:13:20.012034Z",
                "2026-09-21T14:13:20.012",
                "1790000000012",
                "yesterday",
            ]
        );
        for (_, spelling) in TimeSpelling::ALL {
            assert_eq!(spelt(spelling, 999_999_999_999_999), "2001-09-09T01:46:39.999Z");
            assert_eq!(spelling.told_ms(999_999_999_999), Some(999_999_999_999));
        }
    }

    #[test]
    fn milliseconds_are_written_always_and_the_calendar_has_ends() {
        let mut moments = Moments::default();
        assert_eq!(written(&mut moments, 1_790_000_000_000), "2026-09-21T14:13:20.000Z");
        assert_eq!(written(&mut moments, i64::MAX), "9999-12-30T22:00:00.999Z");
        assert_eq!(written(&mut moments, i64::MIN), rfc3339(i64::MIN));
        assert_eq!(written(&mut moments, -1), "1969-12-31T23:59:59.999Z");
    }
}
