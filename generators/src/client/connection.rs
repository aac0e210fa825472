//! Connections to the capture, reused: hyper's http1 and nothing more.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    clock::RunClock,
    error_chain::told,
    ledger::{Answer, TEXT_LIMIT},
};

/// A connection is established within this time, or the request never leaves.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(5);

type Connection = http1::SendRequest<Full<Bytes>>;

/// The open connections to one target.
#[derive(Debug)]
pub(super) struct Connections {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Connections {
    pub(super) const fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    /// Sends `request` and waits for the whole reply. Returns when the bytes were handed over, and the answer.
    pub(super) async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        time_out: Duration,
        clock: RunClock,
    ) -> (Duration, Answer) {
        loop {
            let idle = self.lock().pop();
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(error) => return (clock.elapsed(), Answer::NeverLeft { error }),
                },
            };
            let sent = clock.elapsed();
            let reply = async {
                let response = connection.try_send_request(request).await.map_err(Failure::from)?;
                let status = response.status().as_u16();
                let body = response.into_body().collect().await.map_err(|error| Failure::Broken(told(&error)))?;
                Ok((status, body.to_bytes()))
            };
            match timeout(time_out, reply).await {
                Err(_) => return (sent, Answer::TimedOut),
                Ok(Ok((status, body))) => {
                    self.lock().push(connection);
                    return (sent, Answer::Reply { status, excerpt: excerpt(status, &body) });
                }
                // The server had closed an idle connection and no byte of this request was written: a fresh one will do.
                Ok(Err(Failure::Unwritten(unwritten, _))) if reused => request = *unwritten,
                Ok(Err(Failure::Unwritten(_, error))) => return (sent, Answer::NeverLeft { error }),
                Ok(Err(Failure::Broken(error))) => return (sent, Answer::Broken { error }),
            }
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let stream = timeout(CONNECT_TIME_OUT, TcpStream::connect(self.address))
            .await
            .map_err(|_| format!("no connection to {} within {CONNECT_TIME_OUT:?}", self.address))?
            .map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| told(&error))?;
        // Its errors reach the request that waits on it.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

enum Failure {
    /// hyper gave the request back: none of it was written.
    Unwritten(Box<Request<Full<Bytes>>>, String),
    /// Some of it may have been.
    Broken(String),
}

impl From<hyper::client::conn::TrySendError<Request<Full<Bytes>>>> for Failure {
    fn from(mut error: hyper::client::conn::TrySendError<Request<Full<Bytes>>>) -> Self {
        let told = told(error.error());
        match error.take_message() {
            Some(request) => Self::Unwritten(Box::new(request), told),
            None => Self::Broken(told),
        }
    }
}

fn excerpt(status: u16, body: &[u8]) -> String {
    if status == 200 {
        return String::new();
    }
    let text = String::from_utf8_lossy(body);
    text[..text.floor_char_boundary(TEXT_LIMIT)].to_owned()
}
