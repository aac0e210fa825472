//! The peer that sending is measured against: hyper's http1 connections and nothing more, with bytes that were made before.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    StatusCode,
    client::conn::http1::{self, SendRequest},
    header::{CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    SendError,
    connection::{Stream, Unavailable, open},
    target::Target,
};
use crate::{
    identity::StreamId,
    schedule::{Arrival, Rate, Schedule},
    wire::{Encoded, Header, Method},
};

/// How often turns are given, as the sender releases what is due.
const TICK: Duration = Duration::from_millis(2);

/// Gives `count` turns at `rate`, those that are due together.
async fn give_turns(turns: Arc<Semaphore>, rate: Rate, count: u64) -> Result<(), Unavailable> {
    let (began, mut given) = (Instant::now(), 0);
    let schedule = Schedule::new(&Arrival::Constant { rate }, 0, StreamId(0));
    while given < count {
        let due = schedule.before(began.elapsed()).min(count);
        turns.add_permits((due - given) as usize);
        given = due;
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}

/// Sends each of `requests` so often that there are `count` of them, over so many connections to `target`, each as soon as the
/// one before it on its connection is answered and, with a `rate`, not before its turn; returns how long that took.
///
/// # Errors
/// When a connection cannot be had or breaks, or an answer is not 200.
pub fn send(
    target: &Target,
    requests: Vec<Encoded>,
    count: u64,
    connections: usize,
    rate: Option<Rate>,
) -> Result<Duration, SendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(SendError::Start)?;
    let requests: Arc<[_]> = requests
        .into_iter()
        .map(|request| {
            let (head, body) = Head::of(request);
            (head, Bytes::from(body))
        })
        .collect();

    let began = Instant::now();
    runtime.block_on(async {
        let turns = Arc::new(Semaphore::new(if rate.is_some() { 0 } else { Semaphore::MAX_PERMITS }));
        let mut loops = JoinSet::new();
        if let Some(rate) = rate {
            loops.spawn(give_turns(Arc::clone(&turns), rate, count));
        }
        for number in 0..connections as u64 {
            let own = count / connections as u64 + u64::from(number < count % connections as u64);
            let (requests, target, turns) = (Arc::clone(&requests), target.clone(), Arc::clone(&turns));
            loops.spawn(async move {
                let mut connection = connect(&target).await?;
                for at in 0..own as usize {
                    if rate.is_some() {
                        // It is never closed.
                        turns.acquire().await.map_err(|error| Unavailable(error.to_string()))?.forget();
                    }
                    let request = &requests[(at + number as usize) % requests.len()];
                    let http = http_request(target.host(), request.0.clone(), request.1.clone())
                        .map_err(|error| Unavailable(error.to_string()))?;
                    let broken = |error: hyper::Error| Unavailable(crate::error_chain::told(&error));
                    let reply = connection.send_request(http).await.map_err(broken)?;
                    let status = reply.status();
                    http_body_util::BodyExt::collect(reply.into_body()).await.map_err(broken)?;
                    if status != StatusCode::OK {
                        return Err(Unavailable(format!("was answered {status}")));
                    }
                }
                Ok(())
            });
        }
        while let Some(ended) = loops.join_next().await {
            ended.map_err(|_| SendError::Crashed)?.map_err(|Unavailable(what)| SendError::Peer(what))?;
        }
        Ok(began.elapsed())
    })
}

/// A new connection to `target`, driven by a task of its own. What carries it is known to the task alone.
async fn connect(target: &Target) -> Result<SendRequest<Full<Bytes>>, Unavailable> {
    let broken = |error: hyper::Error| Unavailable(crate::error_chain::told(&error));
    // Its errors reach the request that waits on it.
    if target.tls().is_none() {
        let stream = open(target.address()).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        return Ok(sender);
    }
    let (sender, connection) = http1::handshake(TokioIo::new(Stream::to(target).await?)).await.map_err(broken)?;
    tokio::spawn(connection);
    Ok(sender)
}

/// A request but for its body.
#[derive(Debug, Clone)]
struct Head {
    method: Method,
    target: String,
    content_type: Cow<'static, str>,
    headers: Vec<Header>,
}

impl Head {
    /// The head and the body of what was encoded.
    fn of(encoded: Encoded) -> (Self, Vec<u8>) {
        let Encoded { method, target, content_type, headers, body, .. } = encoded;
        (Self { method, target, content_type, headers }, body)
    }
}

/// The HTTP request that carries `body` to `target`.
fn http_request(
    host: &HeaderValue,
    Head { method, target, content_type, headers }: Head,
    body: Bytes,
) -> Result<hyper::Request<Full<Bytes>>, hyper::http::Error> {
    let request = match method {
        Method::Post => hyper::Request::post(target),
        Method::Get => hyper::Request::get(target),
    };
    headers
        .into_iter()
        .fold(request, |request, (name, value)| request.header(&*name, value))
        .header(HOST, host)
        .header(CONTENT_TYPE, &*content_type)
        .header(USER_AGENT, HeaderValue::from_static(concat!("assay/", env!("CARGO_PKG_VERSION"))))
        .body(Full::new(body))
}
