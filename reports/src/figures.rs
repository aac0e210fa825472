//! Numbers as people read them.

use checkers::checks::Quantile;

/// `60 000`: thousands apart by a narrow no-break space would be right in print; terminals get a plain space.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A fraction in percent, with two significant digits below one percent: `0.0050 %`.
pub fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let decimals = if percent == 0.0 || percent >= 99.995 {
        0
    } else if percent >= 0.995 {
        2
    } else {
        (1.0 - percent.log10().floor()) as usize
    };
    let text = format!("{percent:.decimals$}");
    format!("{} %", text.strip_suffix(".00").unwrap_or(&text))
}

/// Seconds: `1.31 s`, `75 ms`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 0.9995 { format!("{:.0} ms", seconds * 1e3) } else { format!("{seconds:.2} s") }
}

/// A quantile of time-to-visible.
pub fn quantile(quantile: Option<Quantile>) -> String {
    match quantile {
        Some(Quantile::Seconds(value)) => seconds(value),
        Some(Quantile::NotReached(_)) => "not reached".into(),
        None => "–".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1 000");
        assert_eq!(count(1_234_567), "1 234 567");
        for (fraction, expected) in [
            (0.0, "0 %"),
            (0.0001, "0.010 %"),
            (0.000_049_93, "0.0050 %"),
            (0.01, "1 %"),
            (0.95, "95 %"),
            (0.999, "99.90 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(fraction), expected);
        }
        assert_eq!(seconds(0.075), "75 ms");
        assert_eq!(seconds(1.312), "1.31 s");
        assert_eq!(quantile(Some(Quantile::NotReached(checkers::checks::NotReached::NotReached))), "not reached");
    }
}
