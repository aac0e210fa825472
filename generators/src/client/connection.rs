//! A connection to the capture: hyper's http1 and nothing more.

use std::{net::SocketAddr, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Buf, client::conn::http1, header::RETRY_AFTER};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{
    buffers::Body,
    results,
    target::{Target, Tls},
};
use crate::{
    error_chain::told,
    ledger::{Answer, TEXT_LIMIT},
};

/// A connection is established within this time, or the request never leaves.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(5);

pub(super) type Connection<B> = http1::SendRequest<Full<B>>;

/// What a request came to.
#[derive(Debug)]
pub(super) struct Told {
    pub answer: Answer,
    /// The reply's `Retry-After`, unless it is a success.
    pub retry_after: Option<String>,
}

impl Told {
    /// What came instead of a reply.
    pub(super) const fn without_reply(answer: Answer) -> Self {
        Self { answer, retry_after: None }
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Unavailable(pub String);

/// A new connection to `target`, driven by a task of its own.
pub(super) async fn connect<B: Buf + Send + 'static>(target: &Target) -> Result<Connection<B>, Unavailable> {
    let stream = open(target.address()).await?;
    match target.tls() {
        None => begun(stream).await,
        Some(tls) => begun(secured(stream, tls).await?).await,
    }
}

/// HTTP over `stream`. What carries it is known to the task alone, so plain streams pay nothing for there being others.
async fn begun<S, B>(stream: S) -> Result<Connection<B>, Unavailable>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Buf + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| Unavailable(told(&error)))?;
    // Its errors reach the request that waits on it.
    tokio::spawn(connection);
    Ok(sender)
}

/// A new stream to `address`.
pub(super) async fn open(address: SocketAddr) -> Result<TcpStream, Unavailable> {
    let stream = timeout(CONNECT_TIME_OUT, TcpStream::connect(address))
        .await
        .map_err(|_| Unavailable(format!("no connection to {address} within {CONNECT_TIME_OUT:?}")))?
        .map_err(|error| Unavailable(error.to_string()))?;
    stream.set_nodelay(true).map_err(|error| Unavailable(error.to_string()))?;
    Ok(stream)
}

/// TLS over `stream`.
pub(super) async fn secured(stream: TcpStream, tls: &Tls) -> Result<TlsStream<TcpStream>, Unavailable> {
    timeout(CONNECT_TIME_OUT, tls.connector.connect(tls.name.clone(), stream))
        .await
        .map_err(|_| Unavailable(format!("no TLS within {CONNECT_TIME_OUT:?}")))?
        .map_err(|error| Unavailable(told(&error)))
}

/// A connection that is used again and again, and replaced when it is gone.
#[derive(Debug)]
pub(super) struct Reused {
    target: Target,
    connection: Option<Connection<Body>>,
}

impl Reused {
    pub(super) const fn new(target: Target) -> Self {
        Self { target, connection: None }
    }

    /// Sends `request`, of so many events, and waits for the whole reply. When this is dropped before it is done, so is the
    /// connection.
    pub(super) async fn exchange(&mut self, request: Request<Full<Body>>, events: u64) -> Told {
        match self.reply(request, events).await {
            Ok(told) => told,
            Err(answer) => Told::without_reply(answer),
        }
    }

    async fn reply(&mut self, mut request: Request<Full<Body>>, events: u64) -> Result<Told, Answer> {
        loop {
            let reused = self.connection.is_some();
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => match connect(&self.target).await {
                    Ok(connection) => connection,
                    Err(Unavailable(error)) => return Err(Answer::NeverLeft { error }),
                },
            };
            match reply(&mut connection, request, events).await {
                Ok(told) => {
                    self.connection = Some(connection);
                    return Ok(told);
                }
                // The server had closed an idle connection and no byte of this request was written: a fresh one will do.
                Err(Failure::Unwritten(unwritten, _)) if reused => request = *unwritten,
                Err(Failure::Unwritten(_, error)) => return Err(Answer::NeverLeft { error }),
                Err(Failure::Broken(error)) => return Err(Answer::Broken { error }),
            }
        }
    }
}

async fn reply(connection: &mut Connection<Body>, request: Request<Full<Body>>, events: u64) -> Result<Told, Failure> {
    let response = connection.try_send_request(request).await.map_err(Failure::from)?;
    let status = response.status().as_u16();
    let retry_after = if status == 200 { None } else { response.headers().get(RETRY_AFTER) };
    let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = response.into_body().collect().await.map_err(|error| Failure::Broken(told(&error)))?;
    Ok(Told { answer: answer(status, &body.to_bytes(), events), retry_after })
}

enum Failure {
    /// hyper gave the request back: none of it was written.
    Unwritten(Box<Request<Full<Body>>>, String),
    /// Some of it may have been.
    Broken(String),
}

impl From<hyper::client::conn::TrySendError<Request<Full<Body>>>> for Failure {
    fn from(mut error: hyper::client::conn::TrySendError<Request<Full<Body>>>) -> Self {
        let told = told(error.error());
        match error.take_message() {
            Some(request) => Self::Unwritten(Box::new(request), told),
            None => Self::Broken(told),
        }
    }
}

/// What a whole reply to a request of `events` events comes to.
pub(super) fn answer(status: u16, body: &[u8], events: u64) -> Answer {
    let results = if status == 200 { results::read(body, events) } else { None };
    results.unwrap_or_else(|| Answer::Reply { status, excerpt: excerpt(status, body) })
}

fn excerpt(status: u16, body: &[u8]) -> String {
    if status == 200 {
        return String::new();
    }
    let text = String::from_utf8_lossy(body);
    text[..text.floor_char_boundary(TEXT_LIMIT)].to_owned()
}
