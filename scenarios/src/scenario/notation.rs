//! People's notation: `5000/s`, `2m`, `99.99%`, `1..100`, `exponential(30s)`.

use std::time::Duration;

use checkers::checks::Independence;
use generators::{
    random::{Distribution, Share},
    schedule::Rate,
};
use toml::de::DeValue;

use super::reader::text;

/// Something that a scenario can say in a word.
pub trait Expectable: Sized {
    /// Reads it, or says what is wrong and how it is written.
    ///
    /// # Errors
    /// What is wrong, for people.
    fn parse(value: &DeValue<'_>) -> Result<Self, String>;
}

impl Expectable for Duration {
    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value).map_err(|_| no_duration("a number alone has no unit"))?;
        duration(&text)
    }
}

fn no_duration(what: &str) -> String {
    format!("{what}: a duration is a number with its unit, such as \"500ms\", \"2s\", \"30m\", \"1h\" or \"1d\"")
}

/// Reads `500ms`, `2s`, `30m`, `1h` or `1d`.
///
/// # Errors
/// What is wrong, for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || no_duration(&format!("`{text}` is no duration"));
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.replace('_', "").parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

impl Expectable for Independence {
    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        let word = match value {
            DeValue::Integer(number) => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            other => text(other)?,
        };
        word.replace('_', "").parse()
    }
}

impl Expectable for Rate {
    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        rate(&text(value).unwrap_or_else(|_| "a number alone".into()))
    }
}

/// Reads `5000/s`, `90/m` or `10/h`.
///
/// # Errors
/// What is wrong, for people.
pub fn rate(text: &str) -> Result<Rate, String> {
    let wrong =
        || format!("`{text}` is no rate: a rate is a whole number above 0 and a unit, such as \"5000/s\" or \"90/m\"");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let number: u64 = number.trim().replace('_', "").parse().map_err(|_| wrong())?;
    let per = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" | "min" => Duration::from_mins(1),
        "h" => Duration::from_hours(1),
        _ => return Err(wrong()),
    };
    Rate::new(number, per).ok_or_else(wrong)
}

/// Reads `"20%"` as 0.2.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_share(value: &DeValue<'_>) -> Result<f64, String> {
    share(&text(value).unwrap_or_else(|_| "a number alone".into()))
}

/// The rate of defects that a promised share leaves: `99.99%` leaves 0.0001, without the dust of binary fractions.
pub fn defect_rate(promised: f64) -> f64 {
    ((1.0 - promised) * 1e15).round() / 1e15
}

/// Reads `20%` as 0.2.
///
/// # Errors
/// What is wrong, for people.
pub fn share(text: &str) -> Result<f64, String> {
    let wrong =
        |text: &str| format!("`{text}` is no share: a share is written in percent, such as \"0.5%\" or \"20%\"");
    let number = text.strip_suffix('%').ok_or_else(|| wrong(text))?;
    let percent: f64 = number.trim().parse().map_err(|_| wrong(text))?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("`{text}` lies outside 0% to 100%"));
    }
    Ok(percent / 100.0)
}

impl Expectable for Share {
    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        parse_share(value).and_then(|share| Self::new(share).ok_or_else(|| "lies outside 0% to 100%".into()))
    }
}

/// Nothing is farther away than this, a hundred years: the store's timestamps begin in 1900 (ClickHouse, `DateTime64`).
const FARTHEST: Duration = Duration::from_hours(36_525 * 24);

impl Expectable for Distribution {
    fn parse(value: &DeValue<'_>) -> Result<Self, String> {
        let text = text(value).map_err(|_| no_distribution("a number alone"))?;
        let wrong = || no_distribution(&text);
        let near = |text: &str| match duration(text) {
            Ok(time) if time > FARTHEST => {
                Err(format!("`{text}` is more than 100 years, and no store has such timestamps"))
            }
            time => time,
        };
        let Some((shape, arguments)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
            duration(&text).map_err(|_| wrong())?;
            return near(&text).map(|value| Self::Constant { value });
        };
        let arguments: Vec<Duration> =
            arguments.split(',').map(|argument| near(argument.trim())).collect::<Result<_, _>>()?;
        match (shape.trim(), arguments.as_slice()) {
            ("constant", [value]) => Ok(Self::Constant { value: *value }),
            ("exponential", [mean]) => Ok(Self::Exponential { mean: *mean }),
            ("normal", [mean, deviation]) => Ok(Self::Normal { mean: *mean, deviation: *deviation }),
            ("uniform", [from, to]) if from <= to => Ok(Self::Uniform { from: *from, to: *to }),
            _ => Err(wrong()),
        }
    }
}

fn no_distribution(text: &str) -> String {
    format!(
        "`{text}` is no distribution: write \"30s\", \"uniform(1s, 5s)\", \"exponential(30s)\" or \"normal(0s, 2s)\""
    )
}

/// The least memory with which a container starts at all.
pub const LEAST_MEMORY: u64 = 6 << 20;

/// A number, with a point or without one; `None` for what is none.
pub fn number(value: &DeValue<'_>) -> Option<f64> {
    let text = match value {
        DeValue::Integer(number) => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        DeValue::String(text) => text,
        _ => return None,
    };
    text.replace('_', "").parse().ok()
}

/// Reads `512MiB` or `1GiB` as bytes.
///
/// # Errors
/// What is wrong, for people.
pub fn memory(value: &DeValue<'_>) -> Result<u64, String> {
    let text = text(value).unwrap_or_else(|_| "a number alone".into());
    let wrong = || format!("`{text}` is no amount of memory: write \"512MiB\" or \"1GiB\"");
    let units = [("MiB", f64::from(1 << 20)), ("GiB", f64::from(1 << 30))];
    let told = units.into_iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, size)));
    let (number, size) = told.ok_or_else(wrong)?;
    let number: f64 = number.trim().replace('_', "").parse().map_err(|_| wrong())?;
    let bytes = number * size;
    if bytes >= LEAST_MEMORY as f64 && bytes <= u64::MAX as f64 {
        Ok(bytes as u64)
    } else {
        Err(format!("`{text}` is too little or too much: no container starts with less than 6MiB"))
    }
}

/// Reads `"1..100"` or `50` as the least and the greatest of a range.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_range(value: &DeValue<'_>) -> Result<(u64, u64), String> {
    let wrong = |text: &str| format!("`{text}` is no size: write 50, or \"1..100\" for anything from 1 to 100");
    let (from, to) = match value {
        DeValue::Integer(number) => (number.as_str().to_owned(), number.as_str().to_owned()),
        other => {
            let text = text(other).map_err(|_| wrong(other.type_str()))?;
            match text.split_once("..") {
                Some((from, to)) => (from.trim().to_owned(), to.trim().to_owned()),
                None => (text.clone(), text),
            }
        }
    };
    let number = |text: &str| text.replace('_', "").parse::<u64>().ok();
    match (number(&from), number(&to)) {
        (Some(least), Some(most)) if 1 <= least && least <= most => Ok((least, most)),
        _ => Err(wrong(&format!("{from}..{to}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn said(text: &str) -> DeValue<'_> {
        DeValue::String(Cow::Borrowed(text))
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("500ms", Some(500)),
            ("2s", Some(2_000)),
            ("1.5s", Some(1_500)),
            ("2 m", Some(120_000)),
            ("1_000s", Some(1_000_000)),
            ("1d", Some(86_400_000)),
            ("2", None),
            ("s", None),
            ("-1s", None),
            ("2 weeks", None),
        ] {
            assert_eq!(Duration::parse(&said(text)).ok(), expected.map(Duration::from_millis), "{text}");
        }
        assert!(Duration::parse(&DeValue::Boolean(true)).is_err());
    }

    #[test]
    fn rates_and_shares_and_ranges() {
        assert_eq!(Rate::parse(&said("5_000/s")).ok(), Rate::new(5_000, Duration::from_secs(1)));
        assert_eq!(Rate::parse(&said("90/m")).ok(), Rate::new(90, Duration::from_mins(1)));
        for wrong in ["5000", "0/s", "x/s", "5/parsec", "1.5/s"] {
            assert!(Rate::parse(&said(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(parse_share(&said("20%")), Ok(0.2));
        for wrong in ["20", "101%", "-1%", "%"] {
            assert!(parse_share(&said(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(parse_range(&said("1..100")), Ok((1, 100)));
        assert_eq!(parse_range(&said("7")), Ok((7, 7)));
        for wrong in ["0..5", "5..1", "a..b", ""] {
            assert!(parse_range(&said(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn distributions() {
        let seconds = Duration::from_secs;
        for (text, expected) in [
            ("30s", Some(Distribution::Constant { value: seconds(30) })),
            ("exponential(30s)", Some(Distribution::Exponential { mean: seconds(30) })),
            ("normal(0s, 2s)", Some(Distribution::Normal { mean: seconds(0), deviation: seconds(2) })),
            ("uniform(1s,5s)", Some(Distribution::Uniform { from: seconds(1), to: seconds(5) })),
            ("uniform(5s,1s)", None),
            ("normal(2s)", None),
            ("zipf(2s)", None),
            ("exponential(30)", None),
            ("exponential(36525d)", Some(Distribution::Exponential { mean: seconds(36_525 * 86_400) })),
            ("exponential(36526d)", None),
            ("36526d", None),
        ] {
            assert_eq!(Distribution::parse(&said(text)).ok(), expected, "{text}");
        }
    }
}
