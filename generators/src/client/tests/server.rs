//! A server of a few lines, that answers as it is told: what it gets wrong of HTTP cannot be what its client gets wrong.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::client::target::Target;

/// A request's bytes, as far as they tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Received {
    pub target: String,
    pub body: Vec<u8>,
}

/// What an answer depends on.
pub struct Request {
    /// How many events it holds.
    pub events: usize,
    /// Their uuids, where they stand in the body.
    pub uuids: Vec<String>,
    /// The how manieth with the same first event and as many of them it is.
    pub times: usize,
    /// What its header `host` says.
    pub host: String,
    /// Whom its TLS was for.
    pub server_name: Option<String>,
}

/// A reply's bytes; none for closing the connection without one.
pub type Reply = Vec<u8>;

pub fn ok() -> Reply {
    status(200, "")
}

/// A success with a result for each event.
pub fn results(results: impl IntoIterator<Item = (String, &'static str)>) -> Reply {
    let all: Vec<String> =
        results.into_iter().map(|(uuid, word)| format!("\"{uuid}\":{{\"result\":\"{word}\"}}")).collect();
    let body = format!("{{\"results\":{{{}}}}}", all.join(","));
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

pub fn status(status: u16, headers: &str) -> Reply {
    format!("HTTP/1.1 {status} Whatever\r\n{headers}content-length: 2\r\n\r\n{{}}").into_bytes()
}

pub fn silence() -> Reply {
    Vec::new()
}

type Answer = Box<dyn Fn(&Request) -> Reply + Send + Sync>;

#[derive(Clone)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Answer,
    received: Mutex<Vec<Received>>,
    /// How often requests came with the same first event, and as many of them.
    times: Mutex<HashMap<(String, usize), usize>>,
}

impl Server {
    /// A server on a port of its own; its threads end with their connections.
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(None, answer)
    }

    /// The same, with TLS.
    pub fn with(tls: Option<Arc<ServerConfig>>, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { answer: Box::new(answer), received: Mutex::default(), times: Mutex::default() });
        let server = Self { address, shared };
        let serving = server.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (serving, tls) = (serving.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serving.serve(stream, |_| None),
                    Some(tls) => {
                        let stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
                        serving.serve(stream, |stream| stream.conn.server_name().map(str::to_owned));
                    }
                });
            }
        });
        server
    }

    pub fn target(&self) -> Target {
        Target::http(self.address)
    }

    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// What came.
    pub fn end(self) -> Vec<Received> {
        std::mem::take(&mut self.shared.received.lock().unwrap())
    }

    fn serve<S: Read + Write>(&self, stream: S, server_name: impl Fn(&S) -> Option<String>) {
        let mut reader = BufReader::new(stream);
        while let Some((head, body)) = read(&mut reader) {
            let target = head.split(' ').nth(1).unwrap().to_owned();
            let text = String::from_utf8_lossy(&body).into_owned();
            let events = text.matches("\"distinct_id\":").count();
            let uuids: Vec<String> = text.split("\"uuid\":\"").skip(1).map(|rest| rest[..36].to_owned()).collect();
            let first = uuids.first().cloned().unwrap_or_default();
            let times = {
                let mut times = self.shared.times.lock().unwrap();
                *times.entry((first, events)).and_modify(|times| *times += 1).or_insert(1)
            };
            let host = head.to_ascii_lowercase().split_once("\r\nhost: ").map(|(_, rest)| rest.to_owned());
            let host = host.and_then(|rest| Some(rest.split("\r\n").next()?.to_owned())).unwrap_or_default();
            let request = Request { events, uuids, times, host, server_name: server_name(reader.get_ref()) };
            self.shared.received.lock().unwrap().push(Received { target, body });
            let reply = (self.shared.answer)(&request);
            let stream = reader.get_mut();
            if reply.is_empty() || stream.write_all(&reply).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}

/// The next request; `None` where the connection ends, or ends early.
fn read(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length:").nth(1)?.split("\r\n").next()?.trim().parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
