//! What browsers send as a page is closed (`navigator.sendBeacon`): nobody reads the answer, so that there is nothing in it
//! (rust/capture, payload/types.rs, `deserialize_beacon`; `v0_endpoint.rs`).

use super::request::Refusal;
use crate::pipeline::dialect::Dialect;

/// Whether a query says that its request is one; the captures before never asked.
///
/// # Errors
/// [`Refusal::Body`] where what it says is no number.
pub fn is_one(dialect: Dialect, query: &str) -> Result<bool, Refusal> {
    if dialect != Dialect::V2026 {
        return Ok(false);
    }
    match form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "beacon") {
        None => Ok(false),
        Some((_, value)) => match value.parse::<i32>() {
            Ok(number) => Ok(number == 1),
            Err(_) => Err(Refusal::Body(format!("invalid query: beacon={value}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beacon_is_one_since_2026() {
        for (query, expected) in [
            ("", Ok(false)),
            ("_=1&beacon=1", Ok(true)),
            ("compression=gzip-js&beacon=1&_=1", Ok(true)),
            ("beacon=0", Ok(false)),
            ("beacon=2", Ok(false)),
            ("beacons=1", Ok(false)),
            ("beacon=true", Err(400)),
            ("beacon=", Err(400)),
        ] {
            let found = |dialect| is_one(dialect, query).map_err(|refusal| refusal.status());
            assert_eq!(found(Dialect::V2026), expected, "{query}");
            assert_eq!((found(Dialect::V2024), found(Dialect::V2021)), (Ok(false), Ok(false)), "{query}");
        }
    }
}
