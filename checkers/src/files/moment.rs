//! Times in files: seconds as numbers, or RFC 3339.

use jiff::Timestamp;

use crate::reconcile::story::Micros;

/// Ten thousand years, in seconds: a time beyond it is a mistake, such as milliseconds for seconds.
const LIMIT: f64 = 3.2e11;

/// Reads `0.25`, or `2026-11-23T12:00:00.25Z`, as microseconds.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_moment(text: &str) -> Result<Micros, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.abs() > LIMIT || seconds.is_nan() {
            return Err(format!("`{text}` is no time: seconds as a number, and not so many"));
        }
        return Ok((seconds * 1e6).round() as Micros);
    }
    text.parse::<Timestamp>().map(Timestamp::as_microsecond).map_err(|_| {
        format!("`{text}` is no time: write seconds as a number, or RFC 3339 such as 2026-11-23T12:00:00Z")
    })
}

/// The moment that a JSON value means: a number, or a string.
///
/// # Errors
/// What is wrong, for people.
pub(super) fn moment_of_json(raw: &str) -> Result<Micros, String> {
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).map_err(|_| format!("`{raw}` is no time"))?;
        parse_moment(&text)
    } else {
        parse_moment(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_rfc_3339() {
        assert_eq!(parse_moment("0.25"), Ok(250_000));
        assert_eq!(parse_moment("-1"), Ok(-1_000_000));
        assert_eq!(parse_moment("1e3"), Ok(1_000_000_000));
        assert_eq!(parse_moment("1970-01-01T00:00:01.5Z"), Ok(1_500_000));
        assert_eq!(parse_moment("1970-01-01T01:00:00+01:00"), Ok(0));
        for wrong in ["", "soon", "NaN", "inf", "1e300", "1970-01-01", "1970-01-01T00:00:00"] {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }
}
