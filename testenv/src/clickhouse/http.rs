//! ClickHouse's HTTP interface: who may ask, what is asked, and the reply's status and headers.
//!
//! A query that fails before a megabyte of its answer is there gets ClickHouse's status and text; one that fails later
//! ends as `reply` says. Calls to the engine block, and so never run on the threads that serve connections.

use std::{convert::Infallible, path::Path, sync::Arc};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc};
use uuid::Uuid;

use super::{
    body,
    exception::Exception,
    library::Engine,
    packing::Packer,
    query::{Beginning, Query, Told, cancel, run},
    reply::{Answer, Flushes, Reply, Watched},
    request::{Accounts, Asked, Packing, head},
    upload::Uploads,
};

/// The interface before an engine.
#[derive(Debug)]
pub struct Server {
    engine: Arc<Engine>,
    accounts: Accounts,
    uploads: Uploads,
    version: Arc<str>,
    timezone: HeaderValue,
    name: HeaderValue,
}

/// The interface could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The folder for uploads cannot be used.
    #[error("the folder for uploads {path} cannot be used")]
    Uploads {
        /// The folder.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine does not answer the first question.
    #[error("the ClickHouse engine does not answer")]
    Engine(#[source] Exception),
}

impl Server {
    /// Asks `engine` who it is, which proves that it answers; blocks. Data of INSERTs are kept in the folder `uploads`.
    ///
    /// # Errors
    /// When the engine does not answer, or the folder cannot be used.
    pub fn new(engine: Arc<Engine>, accounts: Accounts, uploads: &Path) -> Result<Self, ServeError> {
        let folder = |source| ServeError::Uploads { path: uploads.to_owned(), source };
        let failed = |error: &dyn std::fmt::Display| ServeError::Engine(Exception::wrong(&format!("{error}.")));
        let mut connection = engine.connect().map_err(|error| failed(&error))?;
        let answer = connection.query("SELECT version(), timezone(), hostName()", "TSV", &[]);
        let answer = String::from_utf8_lossy(answer.map_err(ServeError::Engine)?.as_ref()).trim_end().to_owned();
        let words: Vec<&str> = answer.split('\t').collect();
        let [version, timezone, name] = words[..] else { return Err(failed(&format!("unexpected: {answer}"))) };
        let header = |text: &str| HeaderValue::from_str(text).map_err(|error| failed(&error));
        Ok(Self {
            accounts,
            uploads: Uploads::open(uploads).map_err(folder)?,
            version: version.into(),
            timezone: header(timezone)?,
            name: header(name)?,
            engine,
        })
    }

    /// Serves requests from `listener` until it fails.
    ///
    /// # Errors
    /// When no connection can be accepted any more.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            // Without it small replies wait for the client's delayed acknowledgement.
            stream.set_nodelay(true)?;
            let flushes = Flushes::default();
            let connection = TokioIo::new(Watched::new(stream, flushes.clone()));
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let (server, flushes) = (Arc::clone(&server), flushes.clone());
                    async move { Ok::<_, Infallible>(server.answer(request, flushes).await) }
                });
                // A client that goes away in mid-request is its own affair.
                let _ = http1::Builder::new().serve_connection(connection, service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>, flushes: Flushes) -> Response<Reply> {
        let probe = request.method() == Method::GET && request.uri().query().is_none();
        match request.uri().path() {
            "/" if !probe => (),
            "/" | "/ping" => return text(StatusCode::OK, "Ok.\n".into()),
            path => return text(StatusCode::NOT_FOUND, format!("There is no handle {path}\n\nUse / or /ping.\n")),
        }
        let given = head(request.method(), request.uri().query().unwrap_or_default(), request.headers());
        let query_id = match &given {
            Ok(Asked { query_id: Some(id), .. }) if !id.is_empty() => id.clone(),
            _ => Uuid::now_v7().to_string(),
        };
        let reply = match given {
            Ok(asked) => self.run(asked, request.into_body(), flushes).await,
            Err(exception) => Err(exception),
        };
        let mut response = reply.unwrap_or_else(|exception| self.failed(&exception));
        let headers = response.headers_mut();
        headers.insert("X-ClickHouse-Server-Display-Name", self.name.clone());
        if let Ok(id) = HeaderValue::from_str(&query_id) {
            headers.insert("X-ClickHouse-Query-Id", id);
        }
        response
    }

    async fn run(&self, mut asked: Asked, body: Incoming, flushes: Flushes) -> Result<Response<Reply>, Exception> {
        asked.authenticate(&self.accounts)?;
        let payload = body::read(&mut asked, body, &self.uploads).await?;
        let packing = asked.packing;
        // The request's own comment, if it makes one, takes the place of ours; then nothing is cancelled by it.
        let comment = Uuid::now_v7().to_string();
        let query = Query { asked, payload, comment: comment.clone() };
        let (tell, mut told) = mpsc::channel(2);
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || run(&engine, &query, &tell));
        // Armed before the first wait: a client may go away while nothing has come yet.
        let engine = Arc::clone(&self.engine);
        let mut abandoned = Abandoned(Some(Box::new(move || {
            // Without a runtime the process is ending, and the query with it.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn_blocking(move || cancel(&engine, &comment));
            }
        })));
        let beginning = match told.recv().await {
            Some(Told::Begins(beginning)) => beginning,
            Some(Told::Failed(exception)) => {
                abandoned.0 = None;
                return Err(exception);
            }
            Some(Told::Piece(_) | Told::Ends) | None => {
                return Err(Exception::new(1001, "STD_EXCEPTION", "the query ended without a beginning."));
            }
        };
        let tag = tag();
        let mut response = Response::new(Reply::Text(None));
        self.describe(&mut response, &beginning, packing, &tag);
        let abandon = abandoned.0.take().unwrap_or_else(|| Box::new(|| ()));
        let answer = Answer::new(told, Packer::new(packing), tag, Arc::clone(&self.version), flushes, abandon);
        *response.body_mut() = Reply::Answer(Box::new(answer));
        Ok(response)
    }

    fn describe(&self, response: &mut Response<Reply>, beginning: &Beginning, packing: Packing, tag: &str) {
        let headers = response.headers_mut();
        let mut insert = |name: &'static str, value: &str| {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        insert("Content-Type", content_type(&beginning.format));
        insert("X-ClickHouse-Format", &beginning.format);
        insert("X-ClickHouse-Exception-Tag", tag);
        insert("X-ClickHouse-Summary", &summary(beginning));
        if packing == Packing::Lz4 {
            insert("Content-Encoding", "lz4");
        }
        headers.insert("X-ClickHouse-Timezone", self.timezone.clone());
    }

    fn failed(&self, exception: &Exception) -> Response<Reply> {
        let mut response = text(exception.status(), exception.line(&self.version));
        response.headers_mut().insert("X-ClickHouse-Exception-Code", exception.code().into());
        response
    }
}

/// Runs what it holds when it is dropped: the wait for a query was given up.
struct Abandoned(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(abandoned) = self.0.take() {
            abandoned();
        }
    }
}

/// Sixteen random letters, so that no data can be mistaken for the end of a failed reply.
fn tag() -> String {
    let random = [Uuid::now_v7(), Uuid::now_v7()];
    let bytes = random.iter().flat_map(|id| id.into_bytes().into_iter().skip(8));
    bytes.map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// What the query did until the reply began, as a server tells it at that moment (ClickHouse documentation, "HTTP
/// interface"). What the engine does not tell is 0.
fn summary(beginning: &Beginning) -> String {
    let counters = beginning.counters;
    format!(
        r#"{{"read_rows":"{}","read_bytes":"{}","written_rows":"{}","written_bytes":"{}","total_rows_to_read":"0","result_rows":"{}","result_bytes":"{}","elapsed_ns":"{}"}}"#,
        counters.read_rows,
        counters.read_bytes,
        counters.written_rows,
        counters.written_bytes,
        counters.result_rows,
        beginning.length,
        beginning.elapsed.as_nanos(),
    )
}

fn content_type(format: &str) -> &'static str {
    if ["JSONEachRow", "JSONLines", "NDJSON"].contains(&format) {
        return "application/x-ndjson; charset=UTF-8";
    }
    match format {
        format if format.starts_with("JSON") => "application/json; charset=UTF-8",
        format if format.starts_with("TSV") || format.starts_with("TabSeparated") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        format if format.starts_with("CSV") => "text/csv; charset=UTF-8; header=absent",
        format if format.starts_with("RowBinary") || format == "Native" => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}

fn text(status: StatusCode, text: String) -> Response<Reply> {
    let mut response = Response::new(Reply::Text(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert("Content-Type", HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}
