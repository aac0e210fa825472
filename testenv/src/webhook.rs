//! The webhook sink: the test's own server behind plugins that export, which notes every delivery.
//!
//! `POST /` takes a batch, `{"plugin": NAME, "batch": [EVENT, …]}`, and answers 200 once it holds it, or 503 without having
//! looked at it, to a share of the requests that is drawn from a seed. `GET /deliveries?from=N` tells of deliveries from number
//! N on, and forgets those before: whoever asks has them then. It lives outside of the pipeline, as a component of its own, so
//! that it is reached in the same way in every environment.

mod held;

use std::{
    convert::Infallible,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use self::held::{Held, Refusals};
use crate::pipeline::settings::{end, log, or, say_ready};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Plays the role `webhook`.
pub fn serve() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("webhook", Err(error.into())),
    };
    end("webhook", runtime.block_on(run()))
}

async fn run() -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(or("ADDRESS", "127.0.0.1:0".to_owned())?).await?;
    let refusals = Refusals::new(or("ASSAY_WEBHOOK_SEED", 0)?, or("ASSAY_WEBHOOK_FAILS_OF_A_MILLION", 0)?);
    let held = Arc::new(Mutex::new(Held::new(refusals)));
    say_ready(listener.local_addr()?.port())?;
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
        };
        stream.set_nodelay(true)?;
        let held = Arc::clone(&held);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let held = Arc::clone(&held);
                async move { Ok::<_, Infallible>(answer(&held, request).await) }
            });
            // A client that goes away in mid-request is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(held: &Mutex<Held>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let from = form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        .find(|(key, _)| key == "from")
        .and_then(|(_, from)| from.parse().ok());
    match (method, path.as_str(), from) {
        (Method::POST, "/", _) => {
            let Ok(body) = request.into_body().collect().await else {
                return reply(StatusCode::BAD_REQUEST, "the body broke off".into());
            };
            let taken = held.lock().unwrap_or_else(PoisonError::into_inner).take(&body.to_bytes());
            if taken { reply(StatusCode::OK, "{}".into()) } else { reply(StatusCode::SERVICE_UNAVAILABLE, "{}".into()) }
        }
        (Method::GET, "/deliveries", Some(from)) => {
            let text = held.lock().unwrap_or_else(PoisonError::into_inner).tell(from);
            reply(StatusCode::OK, text.into())
        }
        _ => reply(StatusCode::NOT_FOUND, "there are POST / and GET /deliveries?from=N".into()),
    }
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
