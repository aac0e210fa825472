//! ClickHouse's HTTP interface.
//!
//! Replies stream: memory does not grow with a result. A query that fails before its first byte gets ClickHouse's status
//! and text; one that fails later ends with a tagged exception block *and* a broken transfer, so that no client can take
//! what came for the whole.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::mpsc};
use uuid::Uuid;

use super::{
    exception::Exception,
    frames,
    library::Engine,
    query::{Told, run},
    request::{Asked, Head, NotAsked, head},
};

/// The greatest body: data of an INSERT is held in memory.
const BODY_LIMIT: usize = 256 << 20;

/// Who may ask.
#[derive(Clone)]
pub struct Account {
    /// The only user.
    pub user: String,
    /// Its password, empty for none.
    pub password: String,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({})", self.user)
    }
}

/// Serves requests from `listener` until it fails.
///
/// # Errors
/// When no connection can be accepted any more.
pub async fn serve(listener: TcpListener, engine: Arc<Engine>, account: Account) -> std::io::Result<()> {
    let account = Arc::new(account);
    loop {
        let (stream, _) = listener.accept().await?;
        // Without it small replies wait for the client's delayed acknowledgement.
        stream.set_nodelay(true)?;
        let (engine, account) = (Arc::clone(&engine), Arc::clone(&account));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (engine, account) = (Arc::clone(&engine), Arc::clone(&account));
                async move { Ok::<_, Infallible>(answer(request, engine, &account).await) }
            });
            // A client that goes away in mid-request is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, engine: Arc<Engine>, account: &Account) -> Response<Reply> {
    match request.uri().path() {
        "/" => (),
        "/ping" => return plain(StatusCode::OK, "Ok.\n".into()),
        path => return plain(StatusCode::NOT_FOUND, format!("There is no handle {path}\n")),
    }
    let version = engine.version().to_owned();
    match understand(request, account, &version).await {
        Ok(asked) => execute(asked, engine).await,
        Err(exception) => failed(&exception),
    }
}

async fn understand(request: Request<Incoming>, account: &Account, version: &str) -> Result<Asked, Exception> {
    let refused = |error: NotAsked| match error {
        NotAsked::Unsupported(_) => Exception::told(48, "NOT_IMPLEMENTED", &error.to_string(), version),
        NotAsked::Wrong(_) => Exception::told(36, "BAD_ARGUMENTS", &error.to_string(), version),
    };
    let url_query = request.uri().query().unwrap_or_default().to_owned();
    let mut head = head(request.method(), &url_query, request.headers()).map_err(refused)?;
    let user = head.credentials.user.as_deref().unwrap_or(&account.user);
    if user != account.user || head.credentials.password != account.password {
        let what = format!("{user}: Authentication failed: password is incorrect, or there is no user with such name.");
        return Err(Exception::told(516, "AUTHENTICATION_FAILED", &what, version));
    }
    let body = Limited::new(request.into_body(), BODY_LIMIT).collect().await.map_err(|error| {
        Exception::told(223, "QUERY_IS_TOO_LARGE", &format!("the body cannot be read: {error}"), version)
    })?;
    let mut body = body.to_bytes();
    if let Some(boundary) = head.boundary.take() {
        fields(&mut head, body, boundary).await.map_err(refused)?;
        body = Bytes::new();
    }
    if head.decompress {
        let unpacked = frames::unpack(&body)
            .map_err(|error| Exception::told(271, "CANNOT_DECOMPRESS", &error.to_string(), version))?;
        body = unpacked.into();
    }
    Ok(head.with_body(&body))
}

async fn fields(head: &mut Head, body: Bytes, boundary: String) -> Result<(), NotAsked> {
    let wrong = |error: multer::Error| NotAsked::Wrong(format!("the form cannot be read: {error}"));
    let stream = futures_util::stream::iter([Ok::<_, Infallible>(body)]);
    let mut form = multer::Multipart::new(stream, boundary);
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        let name = field.name().unwrap_or_default().to_owned();
        let value = field.text().await.map_err(wrong)?;
        head.with_field(&name, value)?;
    }
    Ok(())
}

async fn execute(asked: Asked, engine: Arc<Engine>) -> Response<Reply> {
    let version = engine.version().to_owned();
    let query_id = asked.query_id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
    let (compress, format) = (asked.compress, asked.format.clone());
    let (tell, mut told) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || run(&engine, &asked, &tell));
    let first = match told.recv().await {
        Some(Told::Failed(text)) => return failed(&Exception::new(&text, &version)),
        Some(Told::Chunk(bytes)) => Some(bytes),
        None => None,
    };
    // Random, so that no data can be mistaken for the end of a failed reply.
    let tag = Uuid::now_v7().simple().to_string().split_off(16);
    let mut response = Response::builder()
        .status(StatusCode::OK)
        .header("Content-Type", "application/octet-stream")
        .header("X-ClickHouse-Server-Display-Name", "assay")
        .header("X-ClickHouse-Query-Id", query_id)
        .header("X-ClickHouse-Timezone", "UTC")
        .header("X-ClickHouse-Exception-Tag", &tag);
    if let Some(format) = format {
        response = response.header("X-ClickHouse-Format", format);
    }
    let reply = Reply::Query { first, told, tag, version, compress, broken: false };
    response.body(reply).unwrap_or_else(|error| plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

fn failed(exception: &Exception) -> Response<Reply> {
    let mut response = plain(exception.status(), exception.text().to_owned());
    if let Some(code) = exception.code() {
        response.headers_mut().insert("X-ClickHouse-Exception-Code", code.into());
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<Reply> {
    let mut response = Response::new(Reply::Text(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert("Content-Type", hyper::header::HeaderValue::from_static("text/plain; charset=UTF-8"));
    response
}

/// The body of a reply.
#[derive(Debug)]
pub enum Reply {
    /// A text.
    Text(Option<Bytes>),
    /// A query's result.
    Query {
        /// The chunk that came before the headers were sent.
        first: Option<Vec<u8>>,
        /// The others.
        told: mpsc::Receiver<Told>,
        /// What marks the exception block.
        tag: String,
        /// The engine's version.
        version: String,
        /// Whether chunks go out in native frames.
        compress: bool,
        /// Whether the exception block was sent, and the transfer must break.
        broken: bool,
    },
}

/// The query failed after the reply had begun.
#[derive(Debug, thiserror::Error)]
#[error("the query failed in mid-stream")]
pub struct Broken;

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Query { broken: true, .. } => Poll::Ready(Some(Err(Broken))),
            Self::Query { first, told, tag, version, compress, broken } => {
                let next = match first.take() {
                    Some(bytes) => Some(Told::Chunk(bytes)),
                    None => std::task::ready!(told.poll_recv(context)),
                };
                Poll::Ready(match next {
                    None => None,
                    Some(Told::Chunk(bytes)) if *compress => Some(Ok(Frame::data(frames::pack(&bytes).into()))),
                    Some(Told::Chunk(bytes)) => Some(Ok(Frame::data(bytes.into()))),
                    Some(Told::Failed(text)) => {
                        *broken = true;
                        let block = Exception::new(&text, version).block(tag);
                        Some(Ok(Frame::data(block.into())))
                    }
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None))
    }
}
