//! Scripts of any origin may send, and read what is answered: old versions of the libraries and proxies send odd headers
//! (rust/capture, `router.rs`, `CorsLayer`).

use hyper::{
    HeaderMap,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue, ORIGIN,
    },
};

/// What a browser asked for.
#[derive(Debug, Default)]
pub struct Asked {
    origin: Option<HeaderValue>,
    headers: Option<HeaderValue>,
}

impl Asked {
    /// Reads a request's headers.
    pub fn read(headers: &HeaderMap) -> Self {
        // Nobody but a browser says where it comes from.
        let Some(origin) = headers.get(ORIGIN) else { return Self::default() };
        Self { origin: Some(origin.clone()), headers: headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned() }
    }

    /// Allows it.
    pub fn allow(self, answer: &mut HeaderMap) {
        let Some(origin) = self.origin else { return };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        if let Some(headers) = self.headers {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers);
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST,OPTIONS"));
        }
    }
}
