//! What a request to ClickHouse's HTTP interface asks: query, format, database, settings, parameters.
//!
//! A closed list: what is not understood is refused, never ignored (ClickHouse documentation, "HTTP interface").

use hyper::{HeaderMap, Method};

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The query, with the body's data behind it for an INSERT.
    pub query: Vec<u8>,
    /// The format of the result, unless the query names one.
    pub format: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// Settings for this request alone.
    pub settings: Vec<(String, String)>,
    /// Query parameters.
    pub parameters: Vec<(String, String)>,
    /// Whether nothing may be changed, as with GET.
    pub read_only: bool,
    /// Whether the result is wanted in native frames.
    pub compress: bool,
    /// The request's id.
    pub query_id: Option<String>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The user, if one is named.
    pub user: Option<String>,
    /// The password.
    pub password: String,
}

/// Why a request was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// Something that this interface does not do.
    #[error("{0} is not supported here: this is the embedded engine, which supports queries, parameters and settings")]
    Unsupported(String),
    /// Something wrong.
    #[error("{0}")]
    Wrong(String),
}

/// The part of a request before its body.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// What was asked so far.
    pub asked: Asked,
    /// Who asks.
    pub credentials: Credentials,
    /// Whether the body comes in native frames.
    pub decompress: bool,
    /// The boundary of a multipart body.
    pub boundary: Option<String>,
    query_in_url: Option<String>,
}

/// Understands the head of a request.
///
/// # Errors
/// When something in it is not supported.
pub fn head(method: &Method, url_query: &str, headers: &HeaderMap) -> Result<Head, NotAsked> {
    if method != Method::GET && method != Method::POST {
        return Err(NotAsked::Unsupported(format!("the method {method}")));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut head = Head { credentials: credentials(&header)?, ..Head::default() };
    head.asked.read_only = method == Method::GET;
    head.asked.database = header("x-clickhouse-database");
    head.asked.format = header("x-clickhouse-format");
    if let Some(kind) = header("content-type").filter(|kind| kind.starts_with("multipart/")) {
        let boundary = multer::parse_boundary(kind).map_err(|error| NotAsked::Wrong(error.to_string()))?;
        head.boundary = Some(boundary);
    }
    if let Some(encoding) = header("content-encoding") {
        return Err(NotAsked::Unsupported(format!("the content encoding {encoding}")));
    }
    for (name, value) in pairs(url_query) {
        let flag = value == "1" || value == "true";
        match name.as_str() {
            "query" => head.query_in_url = Some(value),
            "database" => head.asked.database = Some(value),
            "default_format" => head.asked.format = Some(value),
            "user" => head.credentials.user = Some(value),
            "password" => head.credentials.password = value,
            "query_id" => head.asked.query_id = Some(value),
            "compress" => head.asked.compress = flag,
            "decompress" => head.decompress = flag,
            // Hints that change nothing of the result: no encoding is ever chosen, no progress is ever sent.
            "enable_http_compression" | "send_progress_in_http_headers" | "add_http_cors_header" | "quota_key" => (),
            "session_id" | "session_timeout" | "session_check" | "role" | "stacktrace" => {
                return Err(NotAsked::Unsupported(format!("the parameter `{name}`")));
            }
            _ => match name.strip_prefix("param_") {
                Some(parameter) => head.asked.parameters.push((parameter.to_owned(), value)),
                None => head.asked.settings.push((name, value)),
            },
        }
    }
    for (name, _) in head.asked.settings.iter().chain(&head.asked.parameters) {
        if !is_name(name) {
            return Err(NotAsked::Wrong(format!("`{name}` is no name of a setting or parameter")));
        }
    }
    Ok(head)
}

/// Settings and parameters are put into statements by name.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn credentials(header: &impl Fn(&str) -> Option<String>) -> Result<Credentials, NotAsked> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    if let Some(authorization) = header("authorization") {
        let wrong = || NotAsked::Unsupported("an authorization other than basic".to_owned());
        let encoded = authorization.strip_prefix("Basic ").ok_or_else(wrong)?;
        let decoded = BASE64_STANDARD.decode(encoded.trim()).map_err(|_| wrong())?;
        let text = String::from_utf8(decoded).map_err(|_| wrong())?;
        let (user, password) = text.split_once(':').ok_or_else(wrong)?;
        return Ok(Credentials { user: Some(user.to_owned()), password: password.to_owned() });
    }
    Ok(Credentials { user: header("x-clickhouse-user"), password: header("x-clickhouse-key").unwrap_or_default() })
}

impl Head {
    /// Puts query and body together: a body is the query where the URL has none, and the data behind it where it has one.
    pub fn with_body(mut self, body: &[u8]) -> Asked {
        self.asked.query = match self.query_in_url {
            None => body.to_vec(),
            Some(query) if body.is_empty() => query.into_bytes(),
            Some(query) => {
                let mut whole = query.into_bytes();
                // The parser skips one newline between the format's name and its data.
                whole.push(b'\n');
                whole.extend_from_slice(body);
                whole
            }
        };
        self.asked
    }

    /// Takes a field of a multipart body.
    ///
    /// # Errors
    /// When the field means nothing here.
    pub fn with_field(&mut self, name: &str, value: String) -> Result<(), NotAsked> {
        match (name, name.strip_prefix("param_")) {
            ("query", _) => self.query_in_url = Some(value),
            (_, Some(parameter)) if is_name(parameter) => self.asked.parameters.push((parameter.to_owned(), value)),
            _ => return Err(NotAsked::Unsupported(format!("the form field `{name}`"))),
        }
        Ok(())
    }
}

/// The pairs of a URL's query (URL standard, application/x-www-form-urlencoded).
fn pairs(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let mut ahead = rest.clone();
                    let digits: Option<Vec<u8>> = (0..2)
                        .map(|_| ahead.next().and_then(|digit| char::from(digit).to_digit(16)).map(|d| d as u8))
                        .collect();
                    match digits.as_deref() {
                        Some([high, low]) => {
                            bytes.push(high << 4 | low);
                            rest = ahead;
                        }
                        _ => bytes.push(b'%'),
                    }
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &Method, query: &str, body: &str) -> Asked {
        head(method, query, &HeaderMap::new()).unwrap().with_body(body.as_bytes())
    }

    #[test]
    fn the_query_comes_from_url_or_body_and_data_from_the_body() {
        assert_eq!(asked(&Method::GET, "query=SELECT+1%2B1", "").query, b"SELECT 1+1");
        assert_eq!(asked(&Method::POST, "", "SELECT 1").query, b"SELECT 1");
        assert_eq!(
            asked(&Method::POST, "query=INSERT%20INTO%20t%20FORMAT%20CSV", "1,2").query,
            b"INSERT INTO t FORMAT CSV\n1,2"
        );
        assert!(asked(&Method::GET, "query=SELECT+1", "").read_only);
        assert!(!asked(&Method::POST, "query=SELECT+1", "").read_only);
    }

    #[test]
    fn the_rest_is_settings_and_parameters() {
        let asked =
            asked(&Method::POST, "database=d&default_format=JSON&param_x=a%26b&max_threads=2&compress=1", "SELECT 1");
        assert_eq!((asked.database.as_deref(), asked.format.as_deref()), (Some("d"), Some("JSON")));
        assert_eq!(asked.parameters, [("x".into(), "a&b".into())]);
        assert_eq!(asked.settings, [("max_threads".into(), "2".into())]);
        assert!(asked.compress);
    }

    #[test]
    fn what_is_not_supported_is_said() {
        let refused = |method: &Method, query: &str| head(method, query, &HeaderMap::new()).unwrap_err();
        assert!(matches!(refused(&Method::PUT, ""), NotAsked::Unsupported(_)));
        assert!(matches!(refused(&Method::POST, "session_id=1"), NotAsked::Unsupported(_)));
        assert!(matches!(refused(&Method::POST, "a%20b=1"), NotAsked::Wrong(_)));
    }

    #[test]
    fn who_asks() {
        let with = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            head(&Method::POST, "", &headers).map(|head| head.credentials)
        };
        let expected = Credentials { user: Some("me".into()), password: "secret".into() };
        assert_eq!(with("authorization", "Basic bWU6c2VjcmV0"), Ok(expected));
        assert_eq!(with("x-clickhouse-user", "me").unwrap().user.as_deref(), Some("me"));
        assert!(with("authorization", "Bearer x").is_err());
    }
}
