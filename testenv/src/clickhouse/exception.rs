//! ClickHouse's exceptions as HTTP tells them: status, headers, and the tagged block in mid-stream.

use hyper::StatusCode;

/// An exception's text, `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    text: String,
}

impl Exception {
    /// The exception of the engine's `text`, completed with the version as a server does.
    pub fn new(text: &str, version: &str) -> Self {
        Self { text: format!("{} (version {version})\n", text.trim_end()) }
    }

    /// An exception of our own.
    pub fn told(code: u32, name: &str, what: &str, version: &str) -> Self {
        Self::new(&format!("Code: {code}. DB::Exception: {what} ({name})"), version)
    }

    /// The text, ending with a newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The number behind `Code:`.
    pub fn code(&self) -> Option<u32> {
        let digits = self.text.strip_prefix("Code: ")?;
        digits.split('.').next()?.parse().ok()
    }

    /// The status that a server gives it (`ClickHouse: src/Server/HTTP/exceptionCodeToHTTPStatus.cpp`).
    pub fn status(&self) -> StatusCode {
        match self.code() {
            Some(194) => StatusCode::UNAUTHORIZED,
            Some(192 | 193 | 516) => StatusCode::FORBIDDEN,
            // Parse errors, wrong arguments and types, syntax.
            Some(6 | 25 | 26 | 27 | 36 | 38 | 41 | 42 | 43 | 53 | 62 | 70 | 72 | 117 | 130 | 457 | 491 | 632) => {
                StatusCode::BAD_REQUEST
            }
            // Unknown function, identifier, type, storage, table, format, database, setting.
            Some(46 | 47 | 50 | 56 | 60 | 63 | 73 | 81 | 115 | 336) => StatusCode::NOT_FOUND,
            Some(159) => StatusCode::REQUEST_TIMEOUT,
            Some(223) => StatusCode::PAYLOAD_TOO_LARGE,
            Some(48 | 78) => StatusCode::NOT_IMPLEMENTED,
            Some(202) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The block that ends a reply which failed after it had begun, as ClickHouse writes it since 25.11
    /// (`WriteBufferFromHTTPServerResponse.cpp`); `tag` was announced in `X-ClickHouse-Exception-Tag`.
    pub fn block(&self, tag: &str) -> String {
        const MARK: &str = "__exception__";
        let text = &self.text;
        format!("\r\n{MARK}\r\n{tag}\r\n{text}{} {tag}\r\n{MARK}\r\n", text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_clickhouses() {
        for (text, status) in [
            ("Code: 60. DB::Exception: x. (UNKNOWN_TABLE)", 404),
            ("Code: 62. DB::Exception: Syntax error", 400),
            ("Code: 159. DB::Exception: Timeout", 408),
            ("Code: 516. DB::Exception: x", 403),
            ("Code: 241. DB::Exception: memory", 500),
            ("no code at all", 500),
        ] {
            assert_eq!(Exception::new(text, "1.2").status().as_u16(), status, "{text}");
        }
    }

    #[test]
    fn the_block_has_the_length_of_its_text() {
        let exception = Exception::told(395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", "boom", "1.2");
        assert_eq!(exception.code(), Some(395));
        let text = "Code: 395. DB::Exception: boom (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 1.2)\n";
        let expected = format!("\r\n__exception__\r\ntagtag\r\n{text}{} tagtag\r\n__exception__\r\n", text.len());
        assert_eq!(exception.block("tagtag"), expected);
    }
}
