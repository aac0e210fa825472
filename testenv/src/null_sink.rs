//! A capture that keeps nothing: what sending costs by itself, and what a client reports of a stall, is measured against it.
//!
//! Every request is read to its end and answered like the capture's own `{"status":"Ok"}`. `POST /_stall?ms=1000` stops all
//! answers for so long: requests that come meanwhile wait. `GET /_received` tells how many requests and bytes came, and how long
//! after the latest stall the last of those that had waited was answered, in seconds.

use std::{
    convert::Infallible,
    pin::pin,
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Notify,
};

use crate::pipeline::settings::{end, log, or, say_ready};

/// No stall is longer.
const LONGEST_STALL: Duration = Duration::from_mins(10);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plays the role `sink`.
pub fn serve() -> ExitCode {
    // One thread: its clients shall have the rest of the machine.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("sink", Err(error.into())),
    };
    end("sink", runtime.block_on(run()))
}

async fn run() -> Result<(), Error> {
    if or("WITH_PARENT", false)? {
        set_parent_process_death_signal(Some(Signal::TERM))?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(or("ADDRESS", "127.0.0.1:0".to_owned())?).await?;
    say_ready(listener.local_addr()?.port())?;
    let sink = Arc::new(NullSink::new());
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    log(&format!("a connection could not be accepted: {error}"));
                    continue;
                }
            },
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        stream.set_nodelay(true)?;
        let sink = Arc::clone(&sink);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let sink = Arc::clone(&sink);
                async move { Ok::<_, Infallible>(sink.answer(request).await) }
            });
            // A client that goes away in mid-request is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What it knows of its requests.
#[derive(Debug)]
struct NullSink {
    /// Until when no answer goes out.
    stalled_until: Mutex<Instant>,
    /// A stall is over.
    released: Notify,
    requests: AtomicU64,
    bytes: AtomicU64,
    /// How long after the latest stall the latest of those that had waited was answered.
    drained_micros: AtomicU64,
}

impl NullSink {
    fn new() -> Self {
        Self {
            stalled_until: Mutex::new(Instant::now()),
            released: Notify::new(),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            drained_micros: AtomicU64::new(0),
        }
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/_stall") => return self.stall(request.uri().query()),
            (&Method::GET, "/_received") => {
                let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
                let (requests, bytes, drained) =
                    (of(&self.requests), of(&self.bytes), of(&self.drained_micros) as f64 / 1e6);
                let text = format!("{{\"requests\":{requests},\"bytes\":{bytes},\"drained\":{drained}}}");
                return reply(StatusCode::OK, text.into());
            }
            _ => {}
        }
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return reply(StatusCode::BAD_REQUEST, "the body broke off".into()) };
            self.bytes.fetch_add(frame.data_ref().map_or(0, |data| data.len() as u64), Ordering::Relaxed);
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.wait().await;
        reply(StatusCode::OK, Bytes::from_static(b"{\"status\":\"Ok\"}"))
    }

    /// Waits for the end of the stall, if there is one. Who came first is answered first.
    async fn wait(&self) {
        let mut has_waited = false;
        loop {
            let mut released = pin!(self.released.notified());
            released.as_mut().enable();
            let (until, now) = (*lock(&self.stalled_until), Instant::now());
            if until <= now {
                if has_waited {
                    self.drained_micros.store((now - until).as_micros() as u64, Ordering::Relaxed);
                }
                return;
            }
            released.await;
            has_waited = true;
        }
    }

    /// Stalls for the time that is asked for.
    fn stall(self: &Arc<Self>, query: Option<&str>) -> Response<Full<Bytes>> {
        match stall_of(query.unwrap_or_default()) {
            Some(time) => {
                let until = Instant::now() + time;
                *lock(&self.stalled_until) = until;
                let sink = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep_until(until.into()).await;
                    sink.released.notify_waiters();
                });
                reply(StatusCode::OK, Bytes::from_static(b"stalled"))
            }
            None => reply(StatusCode::BAD_REQUEST, "say for how long: POST /_stall?ms=1000, up to ten minutes".into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stall_of(query: &str) -> Option<Duration> {
    let (_, ms) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "ms")?;
    ms.parse().ok().map(Duration::from_millis).filter(|time| *time <= LONGEST_STALL)
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_has_a_length() {
        assert_eq!(stall_of("ms=1000"), Some(Duration::from_secs(1)));
        for wrong in ["", "ms=", "ms=-1", "ms=1s", "ms=600001", "s=1"] {
            assert_eq!(stall_of(wrong), None, "{wrong}");
        }
    }
}
