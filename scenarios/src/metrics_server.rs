//! The server of `--metrics`: `/metrics` for Prometheus, `/` for people, `/runbooks/NAME` for whoever an alert sends.
//!
//! It only reads the board, and renders when it is asked; it listens on the loopback unless another address is given.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use reports::{
    live::Board,
    live_page,
    metrics::{self, Process},
    runbooks,
};
use testenv::environment::usage::Usage;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::failure::{Failure, Kind};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where to listen: a port alone is one of the loopback.
///
/// # Errors
/// When it is neither a port nor an address with one.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    match port {
        Ok(port) => Ok((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().map_err(|_| "give a port, such as 9187, or an address, such as 0.0.0.0:9187".into()),
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Listens on `address`, and shows `board`.
    ///
    /// # Errors
    /// When nobody can listen there.
    pub async fn start(address: SocketAddr, board: Arc<Board>) -> Result<Self, Failure> {
        let refused = |error| {
            let what = format!("metrics cannot be served on {address}");
            Failure::caused(Kind::Unavailable, what, "give another port with --metrics, or 0 for any free one", error)
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self { address, task: tokio::spawn(serve(listener, board)) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, board: Arc<Board>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Such as too many open files: it passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let board = Arc::clone(&board);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<_>| {
                let reply = reply(request.method(), request.uri().path(), &board);
                async move { Ok::<_, Infallible>(reply) }
            });
            // A reader that goes away is its own affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn reply(method: &Method, path: &str, board: &Board) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".into());
    }
    match path {
        "/metrics" => {
            let cpu = Usage::of(std::process::id()).cpu.as_secs_f64();
            let process = Process { cpu, resident: resident() };
            // A copy, so that whoever fills the board in does not wait for the rendering.
            let live = board.live().clone();
            text(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(&live, VERSION, Some(process)))
        }
        "/" => {
            let live = board.live().clone();
            text(StatusCode::OK, "text/html; charset=utf-8", live_page::render(&live, jiff::Timestamp::now()))
        }
        _ => match path.strip_prefix("/runbooks/").and_then(|name| runbooks::page_for(name.trim_end_matches(".md"))) {
            Some(page) => text(StatusCode::OK, "text/plain; charset=utf-8", page.text.to_owned()),
            None => text(StatusCode::NOT_FOUND, "text/plain", "there are /, /metrics and /runbooks/NAME\n".into()),
        },
    }
}

/// The memory of this process that is resident, in bytes: the second field of proc(5)'s statm, in pages.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_the_loopback() {
        for (text, expected) in [
            ("9187", Ok("127.0.0.1:9187")),
            (":0", Ok("127.0.0.1:0")),
            ("0.0.0.0:9187", Ok("0.0.0.0:9187")),
            ("[::1]:9187", Ok("[::1]:9187")),
            ("everywhere", Err(())),
            ("99999", Err(())),
        ] {
            let parsed = parse_address(text).map(|address| address.to_string()).map_err(|_| ());
            assert_eq!(parsed, expected.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn this_process_is_somewhere_in_memory() {
        assert!(resident() > 1 << 20);
    }

    #[test]
    fn each_path_has_its_answer() {
        let board = Board::default();
        for (method, path, status) in [
            (Method::GET, "/metrics", 200),
            (Method::GET, "/", 200),
            (Method::GET, "/runbooks/lost", 200),
            (Method::GET, "/runbooks/lost.md", 200),
            (Method::GET, "/runbooks/nothing", 404),
            (Method::GET, "/etc/passwd", 404),
            (Method::POST, "/metrics", 405),
        ] {
            assert_eq!(reply(&method, path, &board).status().as_u16(), status, "{method} {path}");
        }
    }
}
