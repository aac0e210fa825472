//! What a request to ClickHouse's HTTP interface asks: query, format, database, settings, parameters.
//!
//! A closed list: what is not understood is refused, never ignored (ClickHouse documentation, "HTTP interface").

use hyper::{HeaderMap, Method};

use super::exception::Exception;

/// What a request says before its body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The statement, or its beginning: the body goes on where it ends.
    pub query: Option<String>,
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
    /// How the result is to be packed.
    pub packing: Packing,
    /// Whether the body comes in native frames.
    pub decompress: bool,
    /// Whether the result is wanted only when it is whole.
    pub whole: bool,
    /// The boundary of a multipart body.
    pub boundary: Option<String>,
    /// The request's id.
    pub query_id: Option<String>,
    /// Who asks.
    pub credentials: Credentials,
    /// What who asks may do.
    pub right: Right,
}

/// How a result is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// Not at all.
    #[default]
    Plain,
    /// In an LZ4 frame, as `Accept-Encoding: lz4` asks.
    Lz4,
    /// In ClickHouse's native frames, as `compress=1` asks.
    Native,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user; `default` where none is named.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Right {
    /// Everything.
    #[default]
    All,
    /// Read, and change no setting.
    Reading,
}

/// Who may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// Who may do everything.
    pub owner: Credentials,
    /// Who may only read, as with a server's `readonly = 1`.
    pub reader: Option<Credentials>,
}

impl From<Credentials> for Accounts {
    fn from(owner: Credentials) -> Self {
        Self { owner, reader: None }
    }
}

impl Default for Credentials {
    fn default() -> Self {
        Self { user: "default".into(), password: String::new() }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Credentials({})", self.user)
    }
}

/// Understands the head of a request.
///
/// # Errors
/// ClickHouse's own kind of exception for what is wrong or not supported.
pub fn head(method: &Method, url_query: &str, headers: &HeaderMap) -> Result<Asked, Exception> {
    if method != Method::GET && method != Method::POST {
        return Err(Exception::unsupported(&format!("The method {method}")));
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut asked = Asked {
        credentials: credentials(&header)?,
        read_only: method == Method::GET,
        database: header("x-clickhouse-database"),
        format: header("x-clickhouse-format"),
        ..Asked::default()
    };
    if header("accept-encoding").is_some_and(|accepted| accepts(&accepted, "lz4")) {
        asked.packing = Packing::Lz4;
    }
    if let Some(kind) = header("content-type").filter(|kind| kind.starts_with("multipart/")) {
        let boundary = multer::parse_boundary(kind).map_err(|error| Exception::wrong(&format!("{error}.")))?;
        asked.boundary = Some(boundary);
    }
    if let Some(encoding) = header("content-encoding").filter(|encoding| encoding != "identity") {
        return Err(Exception::unsupported(&format!("The content encoding {encoding}")));
    }
    for (name, value) in form_urlencoded::parse(url_query.as_bytes()).into_owned() {
        asked.take(name, value)?;
    }
    Ok(asked)
}

impl Asked {
    /// Takes one parameter of the URL. Later ones win, as with a server.
    fn take(&mut self, name: String, value: String) -> Result<(), Exception> {
        let flag = |value: &str| matches!(value, "1" | "true");
        match name.as_str() {
            "query" => self.query = Some(value),
            "database" => self.database = Some(value),
            "default_format" => self.format = Some(value),
            "user" => self.credentials.user = value,
            "password" => self.credentials.password = value,
            "query_id" => self.query_id = Some(value),
            "compress" if flag(&value) => self.packing = Packing::Native,
            "decompress" => self.decompress = flag(&value),
            "wait_end_of_query" => self.whole = flag(&value),
            "enable_http_compression" if !flag(&value) && self.packing == Packing::Lz4 => {
                self.packing = Packing::Plain;
            }
            // Hints that change nothing of the result: no progress is ever sent.
            "compress" | "enable_http_compression" | "send_progress_in_http_headers" | "add_http_cors_header" => (),
            "session_id"
            | "session_timeout"
            | "session_check"
            | "close_session"
            | "role"
            | "quota_key"
            | "stacktrace"
            | "buffer_size"
            | "client_protocol_version" => {
                return Err(Exception::unsupported(&format!("The parameter `{name}`")));
            }
            _ => match name.strip_prefix("param_") {
                Some(parameter) if is_name(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None if is_name(&name) => self.settings.push((name, value)),
                _ => return Err(Exception::new(115, "UNKNOWN_SETTING", &format!("Unknown setting '{name}'."))),
            },
        }
        Ok(())
    }

    /// Takes a field of a multipart body.
    ///
    /// # Errors
    /// When the field means nothing here.
    pub fn take_field(&mut self, name: &str, value: String) -> Result<(), Exception> {
        match (name, name.strip_prefix("param_")) {
            ("query", _) => self.query = Some(self.query.take().map_or(value.clone(), |first| first + "\n" + &value)),
            (_, Some(parameter)) if is_name(parameter) => self.parameters.push((parameter.to_owned(), value)),
            _ => return Err(Exception::unsupported(&format!("The form field `{name}`"))),
        }
        Ok(())
    }

    /// Whether one of `accounts` may ask this.
    ///
    /// # Errors
    /// ClickHouse's refusal, which does not say what was wrong; or that of a setting, from who may only read.
    pub fn authenticate(&mut self, accounts: &Accounts) -> Result<(), Exception> {
        if self.credentials == accounts.owner {
            return Ok(());
        }
        if accounts.reader.as_ref() == Some(&self.credentials) {
            if let Some((name, _)) = self.settings.first() {
                let what = format!("Cannot modify '{name}' setting in readonly mode.");
                return Err(Exception::new(164, "READONLY", &what));
            }
            self.right = Right::Reading;
            return Ok(());
        }
        let what = "Authentication failed: password is incorrect, or there is no user with such name.";
        Err(Exception::new(516, "AUTHENTICATION_FAILED", &format!("{}: {what}", self.credentials.user)))
    }
}

/// Whether a list of encodings names `encoding` and does not forbid it.
fn accepts(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|entry| {
        let (name, weight) = entry.split_once(';').unwrap_or((entry, ""));
        name.trim().eq_ignore_ascii_case(encoding) && !matches!(weight.trim(), "q=0" | "q=0.0")
    })
}

/// Settings and parameters are put into statements by name.
fn is_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn credentials(header: &impl Fn(&str) -> Option<String>) -> Result<Credentials, Exception> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let (user, password) = (header("x-clickhouse-user"), header("x-clickhouse-key"));
    let Some(authorization) = header("authorization") else {
        let user = user.unwrap_or_else(|| Credentials::default().user);
        return Ok(Credentials { user, password: password.unwrap_or_default() });
    };
    if user.is_some() || password.is_some() {
        let what = "Invalid authentication: it is not allowed to use X-ClickHouse HTTP headers and Authorization HTTP \
                    header simultaneously.";
        return Err(Exception::new(516, "AUTHENTICATION_FAILED", what));
    }
    let wrong = || Exception::unsupported("An authorization other than basic");
    let (scheme, encoded) = authorization.split_once(' ').ok_or_else(wrong)?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"));
    let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(wrong)?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(method: &Method, query: &str, headers: &[(&'static str, &str)]) -> Result<Asked, u32> {
        let headers = headers.iter().map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap())).collect();
        head(method, query, &headers).map_err(|exception| exception.code())
    }

    fn asked(query: &str) -> Asked {
        with(&Method::POST, query, &[]).unwrap()
    }

    #[test]
    fn the_url_says_query_format_database_settings_and_parameters() {
        let asked =
            asked("database=d&default_format=JSON&param_x=a%26b%2B&max_threads=2&compress=1&query=SELECT+1%2B1");
        assert_eq!(asked.query.as_deref(), Some("SELECT 1+1"));
        assert_eq!((asked.database.as_deref(), asked.format.as_deref()), (Some("d"), Some("JSON")));
        assert_eq!(asked.parameters, [("x".into(), "a&b+".into())]);
        assert_eq!(asked.settings, [("max_threads".into(), "2".into())]);
        assert_eq!(asked.packing, Packing::Native);
    }

    #[test]
    fn get_changes_nothing() {
        assert!(with(&Method::GET, "query=SELECT+1", &[]).unwrap().read_only);
        assert!(!with(&Method::POST, "query=SELECT+1", &[]).unwrap().read_only);
    }

    #[test]
    fn packing_is_negotiated() {
        for (query, accepted, expected) in [
            ("", "lz4", Packing::Lz4),
            ("", "gzip, LZ4;q=0.5", Packing::Lz4),
            ("", "gzip, lz4;q=0", Packing::Plain),
            ("", "gzip, br", Packing::Plain),
            ("enable_http_compression=0", "lz4", Packing::Plain),
            ("enable_http_compression=1", "lz4", Packing::Lz4),
            ("compress=1", "lz4", Packing::Native),
            ("compress=0", "lz4", Packing::Lz4),
        ] {
            let asked = with(&Method::POST, query, &[("accept-encoding", accepted)]).unwrap();
            assert_eq!(asked.packing, expected, "{query} {accepted}");
        }
    }

    #[test]
    fn what_is_not_supported_is_said() {
        for (method, query, headers, code) in [
            (Method::PUT, "", &[][..], 48),
            (Method::POST, "session_id=1", &[], 48),
            (Method::POST, "role=x", &[], 48),
            (Method::POST, "a%20b=1", &[], 115),
            (Method::POST, "param_=1", &[], 115),
            (Method::POST, "1=1", &[], 115),
            (Method::POST, "", &[("content-encoding", "gzip")], 48),
            (Method::POST, "", &[("content-type", "multipart/form-data")], 36),
            (Method::POST, "", &[("authorization", "Bearer x")], 48),
            (Method::POST, "", &[("authorization", "Basic bWU6cw=="), ("x-clickhouse-user", "me")], 516),
        ] {
            assert_eq!(with(&method, query, headers), Err(code), "{method} {query} {headers:?}");
        }
    }

    #[test]
    fn form_fields_are_query_and_parameters() {
        let mut asked = Asked::default();
        asked.take_field("query", "SELECT {x:String}".into()).unwrap();
        asked.take_field("param_x", "a\nb".into()).unwrap();
        assert_eq!(asked.query.as_deref(), Some("SELECT {x:String}"));
        assert_eq!(asked.parameters, [("x".into(), "a\nb".into())]);
        assert!(asked.take_field("external_format", "CSV".into()).is_err());
    }

    #[test]
    fn who_asks() {
        let account = Credentials { user: "me".into(), password: "secret".into() };
        for (query, headers, let_in) in [
            ("", &[("authorization", "Basic bWU6c2VjcmV0")][..], true),
            ("", &[("x-clickhouse-user", "me"), ("x-clickhouse-key", "secret")], true),
            ("user=me&password=secret", &[], true),
            ("user=me", &[], false),
            ("password=secret", &[], false),
            ("", &[("x-clickhouse-user", "me"), ("x-clickhouse-key", "wrong")], false),
            ("", &[], false),
        ] {
            let mut asked = with(&Method::POST, query, headers).unwrap();
            assert_eq!(asked.authenticate(&account.clone().into()).is_ok(), let_in, "{query} {headers:?}");
            assert_eq!(asked.right, Right::All);
        }
        assert_eq!(asked("").authenticate(&Credentials::default().into()), Ok(()));
    }

    #[test]
    fn who_may_only_read_changes_no_setting() {
        let reader = Credentials { user: "reader".into(), password: "r".into() };
        let accounts = Accounts { owner: Credentials::default(), reader: Some(reader) };
        let mut reads = asked("user=reader&password=r&database=x");
        assert_eq!((reads.authenticate(&accounts), reads.right), (Ok(()), Right::Reading));
        let mut owner = asked("max_threads=1");
        assert_eq!((owner.authenticate(&accounts), owner.right), (Ok(()), Right::All));
        let refused = asked("user=reader&password=r&max_threads=1").authenticate(&accounts).unwrap_err();
        assert!(refused.line("1").contains("max_threads"), "{}", refused.line("1"));
        assert!(asked("user=reader&password=wrong").authenticate(&accounts).is_err());
    }
}
