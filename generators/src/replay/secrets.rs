//! What looks like a secret, in a header's name or in a text. Nobody can know one for sure, so what only may be one counts as one.

use std::borrow::Cow;

/// What the name of a secret holds.
const IN_NAMES: [&str; 23] = [
    "assertion",
    "auth",
    "bearer",
    "cert",
    "cookie",
    "credential",
    "csrf",
    "hmac",
    "identity",
    "jwt",
    "key",
    "oidc",
    "pass",
    "principal",
    "pwd",
    "saml",
    "secret",
    "session",
    "signature",
    "ticket",
    "token",
    "vault",
    "xsrf",
];
/// The same, as a word of its own.
const WORDS: [&str; 6] = ["otp", "pin", "pw", "sid", "sig", "sso"];
/// The same, where it names a parameter: a header of that name says something else.
const PARAMETERS: [&str; 4] = ["code", "hash", "nonce", "state"];
/// How a header's value begins that proves who somebody is.
const SCHEMES: [&str; 3] = ["basic ", "bearer ", "digest "];
/// How often what is escaped in a text is looked at unescaped.
const ESCAPED: usize = 4;
/// A key or an id has so many letters and digits in a row; a word has fewer, and no digits.
const OPAQUE: usize = 20;

/// Whether a header of this name may hold a secret.
pub(super) fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    IN_NAMES.iter().any(|part| name.contains(part)) || has_word(&name, &WORDS)
}

/// Whether a text holds what looks like a secret, or names one and says what it is, escaped or not.
pub(super) fn is_held(text: &str) -> bool {
    let mut text = Cow::Borrowed(text);
    for _ in 0..ESCAPED {
        if is_plain(&text) {
            return true;
        }
        match unescaped(&text) {
            Some(other) if other != text => text = Cow::Owned(other),
            _ => return false,
        }
    }
    // Nobody escapes anything so often without a reason.
    true
}

/// What of a text may be kept: an address, or a path, without a query that holds a secret; `None` where it is one elsewhere.
pub(super) fn kept(text: &str) -> Option<&str> {
    if !is_held(text) {
        return Some(text);
    }
    let (address, _) = text.split_at(text.find(['?', '#'])?);
    let is_address = (address.starts_with('/') || address.contains("://")) && !address.contains([' ', '\t']);
    (is_address && !is_held(address)).then_some(address)
}

/// Whether a text holds so many letters and digits in a row as a key or an id does.
pub(super) fn is_opaque(text: &str) -> bool {
    let mut runs = text.split(|c: char| !c.is_ascii_alphanumeric());
    runs.any(|run| {
        run.len() >= OPAQUE
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

fn is_plain(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    // Keys of PostHog: `phc_`, `phx_`, `phs_`, `pha_` and those to come.
    let has_key = lower.as_bytes().windows(4).any(|begin| matches!(begin, [b'p', b'h', b'a'..=b'z', b'_']));
    // What begins so is a JSON object in base64, as a JWT does.
    let has_jwt = text.contains("eyJ");
    let has_scheme = SCHEMES.iter().any(|scheme| lower.contains(scheme));
    has_key || has_jwt || has_scheme || has_user(text) || names_a_secret(&lower)
}

/// Whether a URL in it says who asks, before its host.
fn has_user(text: &str) -> bool {
    let mut hosts = text.split("://").skip(1);
    hosts.any(|behind| behind.split(['/', '?', '#', ' ']).next().is_some_and(|host| host.contains('@')))
}

/// Whether there is a pair of a secret's name and something else.
fn names_a_secret(lower: &str) -> bool {
    let mut pairs = lower.split(['?', '&', ';', '#', ',', ' ', '\t']);
    pairs.any(|pair| {
        let name = pair.split_once(['=', ':']).map(|(name, _)| name);
        name.is_some_and(|name| is_named(name) || has_word(name, &PARAMETERS))
    })
}

fn has_word(lower: &str, words: &[&str]) -> bool {
    lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word))
}

/// A text with what is escaped in it undone once, where there may be something.
fn unescaped(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let pairs = form_urlencoded::parse(text.as_bytes());
    let pairs = pairs.map(|(name, value)| if value.is_empty() { name.into_owned() } else { format!("{name}={value}") });
    Some(pairs.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "X-Goog-Iap-Jwt-Assertion",
            "Cf-Access-Jwt-Assertion",
            "X-Amzn-Oidc-Data",
            "X-Amzn-Oidc-Identity",
            "X-Ms-Client-Principal",
            "X-Forwarded-Client-Cert",
            "X-Passwd",
            "X-Api-Key",
            "Proxy-Authorization",
            "X-Auth-Request-Email",
            "Set-Cookie",
            "X-Hub-Signature-256",
            "X-Sid",
        ] {
            assert!(is_named(name), "{name}");
        }
        // What the capture reads is none of them, nor is what says a country.
        for name in ["User-Agent", "X-Forwarded-For", "PostHog-Request-Id", "Referer", "X-Inside", "X-Country-Code"] {
            assert!(!is_named(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_how_they_look() {
        for text in [
            "phc_abc",
            "a phx_abc",
            "phs_abc",
            "pha_abc",
            "PHZ_abc",
            "eyJhbGciOiJIUzI1NiJ9.e30.x",
            "Basic YTpi",
            "bearer abc",
            "user=a; password=b",
            "{\"token\":\"abc\"}",
            "https://user:abc@host.example/",
            "/login?next=%2Fback%3Faccess_token%3Dabc",
            "/login?next=%252Fback%253Faccess_token%253Dabc",
            "/?api%5Fkey=abc",
            "%25252525253F",
        ] {
            assert!(is_held(text), "{text}");
        }
        for text in [
            "",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "posthog-go/1.2",
            "192.0.2.7, 2001:db8::1",
            "for=192.0.2.7;proto=https;host=a.example",
            "application/json; charset=utf-8",
            "https://shop.example/a%20b?utm_source=x&page=7",
            "100 %",
            "graph_x",
            "0190aaaa-0000-7000-8000-000000000001",
        ] {
            assert!(!is_held(text), "{text}");
            assert_eq!(kept(text), Some(text));
        }
    }

    #[test]
    fn of_an_address_the_query_goes() {
        for (text, expected) in [
            ("https://a.example/b?x=1&token=abc", Some("https://a.example/b")),
            ("/b?code=abc", Some("/b")),
            ("https://a.example/#access_token=abc", Some("https://a.example/")),
            ("/b?sig=abc#top", Some("/b")),
            ("/b?x=phx_abc", Some("/b")),
            ("/array/phc_abc/config.js?x=1", None),
            ("/b;jsessionid=abc", None),
            ("https://me:abc@a.example/?x=1", None),
            ("Bearer abc?x=1", None),
            ("token=abc?x=1", None),
        ] {
            assert_eq!(kept(text), expected, "{text}");
        }
    }

    #[test]
    fn keys_have_many_letters_and_digits_in_a_row() {
        assert!(is_opaque("v1 3f2a9c3f2a9c3f2a9c3f2a9c"));
        let uuid = "0190aaaa-0000-7000-8000-000000000001";
        for text in ["3f2a9c3f2a9c3f2a9c3", "12345678901234567890123", "internationalisierungen", uuid] {
            assert!(!is_opaque(text), "{text}");
        }
    }
}
