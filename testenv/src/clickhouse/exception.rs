//! ClickHouse's exceptions as HTTP tells them: text, status, and the tagged block in mid-stream.

use hyper::StatusCode;

/// No exception's text in mid-stream is longer (ClickHouse: `MAX_EXCEPTION_SIZE`).
const BLOCK_LIMIT: usize = 16 * 1024;
/// ClickHouse's `STD_EXCEPTION`: something failed that is no exception of ClickHouse's own.
const STD_EXCEPTION: u32 = 1001;

/// An exception: `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Exception {
    code: u32,
    text: String,
}

impl Exception {
    /// Understands the engine's own text.
    pub fn parse(text: &str) -> Self {
        let text = text.trim_end();
        let code = text.strip_prefix("Code: ").and_then(|rest| rest.split('.').next()?.parse().ok());
        match code {
            Some(code) => Self { code, text: text.to_owned() },
            None => Self::new(STD_EXCEPTION, "STD_EXCEPTION", text),
        }
    }

    /// An exception of the interface's own; `code` and `name` are one of ClickHouse's `ErrorCodes`.
    pub fn new(code: u32, name: &str, what: &str) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {what} ({name})") }
    }

    /// Something that a server does and this interface does not.
    pub fn unsupported(what: &str) -> Self {
        let why = "is not supported here: this is the embedded engine, whose interface is a closed list";
        Self::new(48, "NOT_IMPLEMENTED", &format!("{what} {why}."))
    }

    /// Something wrong with what was asked.
    pub fn wrong(what: &str) -> Self {
        Self::new(36, "BAD_ARGUMENTS", what)
    }

    /// ClickHouse's code.
    pub fn code(&self) -> u32 {
        self.code
    }

    /// Whether the engine refused, before doing anything, to give a statement's answer in pieces.
    pub fn is_not_streamable(&self) -> bool {
        self.code == 36 && self.text.contains("Streaming query is not supported for query")
    }

    /// The status that a server gives it (ClickHouse: `src/Server/HTTP/exceptionCodeToHTTPStatus.cpp`).
    pub fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            // Unknown user, wrong password, authentication failed, access denied, role not granted.
            192 | 193 | 497 | 512 | 516 => StatusCode::FORBIDDEN,
            // Wrong arguments, what cannot be parsed, wrong columns and types, syntax.
            6 | 8 | 15 | 25 | 26 | 27 | 36 | 37 | 38 | 41 | 44 | 53 | 62 | 72 | 117 | 123 | 167 | 168 | 223 | 321
            | 376 | 427 | 441 | 675 | 676 => StatusCode::BAD_REQUEST,
            // Unknown function, identifier, type, storage, table, aggregate function, format, query, database, setting,
            // direction of sorting, database engine, role.
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 152 | 336 | 511 => StatusCode::NOT_FOUND,
            381 => StatusCode::LENGTH_REQUIRED,
            159 => StatusCode::REQUEST_TIMEOUT,
            229 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            // Socket time-out, a file that cannot be opened, no thread to be had.
            76 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The text with the version, as a server ends it, and a newline.
    pub fn line(&self, version: &str) -> String {
        format!("{} (version {version})\n", self.text)
    }

    /// The block that ends a reply which failed after it had begun, as ClickHouse writes it since 25.11
    /// (`WriteBufferFromHTTPServerResponse.cpp`); `tag` was announced in `X-ClickHouse-Exception-Tag`.
    pub fn block(&self, version: &str, tag: &str) -> String {
        const MARK: &str = "__exception__";
        let mut text = self.line(version);
        if text.len() > BLOCK_LIMIT {
            let end = (0..BLOCK_LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
            text.push('\n');
        }
        format!("\r\n{MARK}\r\n{tag}\r\n{text}{} {tag}\r\n{MARK}\r\n", text.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_clickhouses() {
        for (text, code, status) in [
            ("Code: 60. DB::Exception: x. (UNKNOWN_TABLE)", 60, 404),
            ("Code: 115. DB::Exception: Unknown setting", 115, 404),
            ("Code: 62. DB::Exception: Syntax error", 62, 400),
            ("Code: 27. DB::Exception: Cannot parse", 27, 400),
            ("Code: 159. DB::Exception: Timeout", 159, 408),
            ("Code: 516. DB::Exception: x", 516, 403),
            ("Code: 48. DB::Exception: x", 48, 501),
            ("Code: 241. DB::Exception: memory", 241, 500),
            ("Code: 164. DB::Exception: readonly", 164, 500),
            ("no code at all", 1001, 500),
            ("Code: x", 1001, 500),
        ] {
            let exception = Exception::parse(text);
            assert_eq!((exception.code(), exception.status().as_u16()), (code, status), "{text}");
        }
    }

    #[test]
    fn a_line_ends_with_the_version_as_a_servers_does() {
        let exception = Exception::parse("Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)\n");
        assert_eq!(
            exception.line("26.5.1.1"),
            "Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE) (version 26.5.1.1)\n"
        );
    }

    #[test]
    fn the_block_has_the_length_of_its_text() {
        let exception = Exception::new(395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", "boom");
        let text = "Code: 395. DB::Exception: boom (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 1.2)\n";
        let expected = format!("\r\n__exception__\r\ntagtag\r\n{text}{} tagtag\r\n__exception__\r\n", text.len());
        assert_eq!(exception.block("1.2", "tagtag"), expected);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let block = Exception::new(1, "X", &"é".repeat(BLOCK_LIMIT)).block("1.2", "tagtag");
        let text = block.split("tagtag\r\n").nth(1).unwrap();
        let (text, length) = text.rsplit_once('\n').unwrap();
        assert!(text.len() < BLOCK_LIMIT && text.len() > BLOCK_LIMIT - 8);
        assert_eq!(length.trim().parse::<usize>().unwrap(), text.len() + 1);
    }
}
