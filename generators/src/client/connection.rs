//! A connection to the capture, which carries one request after another.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use super::{
    http::{self, Reply},
    results,
    target::{Target, Tls},
};
use crate::{
    error_chain::told,
    ledger::{Answer, TEXT_LIMIT},
    wire::Encoded,
};

/// A connection is established within this time, or the request never leaves.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(5);
/// There is always room for more than a usual reply, so that one read takes all there is, and the next need not ask in vain.
const ROOM: usize = 4 << 10;

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

    /// What a whole reply to a request of `events` events comes to.
    pub(super) fn of(Reply { status, body, retry_after, .. }: Reply<'_>, events: u64) -> Self {
        let results = if status == 200 { results::read(&body, events) } else { None };
        let answer = results.unwrap_or_else(|| Answer::Reply { status, excerpt: excerpt(status, &body) });
        Self { answer, retry_after }
    }
}

fn excerpt(status: u16, body: &[u8]) -> String {
    if status == 200 {
        return String::new();
    }
    let text = String::from_utf8_lossy(body);
    text[..text.floor_char_boundary(TEXT_LIMIT)].to_owned()
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Unavailable(pub String);

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

/// A stream to a target, with TLS or without.
#[derive(Debug)]
pub enum Stream {
    /// Without.
    Plain(TcpStream),
    /// With.
    Secured(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// A new one.
    pub(super) async fn to(target: &Target) -> Result<Self, Unavailable> {
        let stream = open(target.address()).await?;
        Ok(match target.tls() {
            None => Self::Plain(stream),
            Some(tls) => Self::Secured(Box::new(secured(stream, tls).await?)),
        })
    }
}

/// Does the same with either stream.
macro_rules! either {
    ($stream:expr, $inner:ident => $does:expr) => {
        match $stream {
            Stream::Plain($inner) => $does,
            Stream::Secured($inner) => $does,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(&mut *self, stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        either!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(&mut *self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

/// A connection that is used again and again, and replaced when it is gone.
#[derive(Debug)]
pub(super) struct Reused {
    target: Target,
    stream: Option<Stream>,
    head: Vec<u8>,
    received: Vec<u8>,
}

impl Reused {
    pub(super) const fn new(target: Target) -> Self {
        Self { target, stream: None, head: Vec::new(), received: Vec::new() }
    }

    /// Sends a request and waits for the whole reply. When this is dropped before it is done, so is the connection.
    pub(super) async fn exchange(&mut self, encoded: &Encoded) -> Told {
        match self.reply(encoded).await {
            Ok(told) => told,
            Err(answer) => Told::without_reply(answer),
        }
    }

    async fn reply(&mut self, encoded: &Encoded) -> Result<Told, Answer> {
        let Self { target, head, received, .. } = self;
        head.clear();
        let host = target.host().to_str().unwrap_or_default();
        http::begin(encoded, host, true, head).map_err(|error| Answer::NeverLeft { error: error.to_string() })?;
        head.extend_from_slice(b"content-type: ");
        head.extend_from_slice(encoded.content_type.as_bytes());
        head.extend_from_slice(b"\r\n\r\n");
        let mut reused = self.stream.take();
        loop {
            received.clear();
            let (mut stream, was_reused) = match reused.take() {
                Some(mut stream) => {
                    if poll_fn(|cx| has_news(&mut stream, cx)).await {
                        // The server had closed it, or has said something that nobody asked for.
                        continue;
                    }
                    (stream, true)
                }
                None => match Stream::to(target).await {
                    Ok(stream) => (stream, false),
                    Err(Unavailable(error)) => return Err(Answer::NeverLeft { error }),
                },
            };
            let sent = match send(&mut stream, head, &encoded.body, received).await {
                Sent::Unwritten(_) if was_reused => continue,
                Sent::Unwritten(error) => return Err(Answer::NeverLeft { error: error.to_string() }),
                sent => sent,
            };
            let take = |reply: Reply<'_>| (reply.keeps, Told::of(reply, encoded.events));
            return match (receive(&mut stream, received, take).await, sent) {
                (Ok((keeps, told)), sent) => {
                    if keeps && matches!(sent, Sent::Whole) {
                        self.stream = Some(stream);
                    }
                    Ok(told)
                }
                // Why the rest could not be written tells more than that there is no reply.
                (Err(_), Sent::Partly(Some(error))) | (Err(error), _) => {
                    Err(Answer::Broken { error: error.to_string() })
                }
            };
        }
    }
}

/// How much of a request left.
enum Sent {
    Whole,
    /// Not all: a reply came before, or an error.
    Partly(Option<io::Error>),
    /// Nothing.
    Unwritten(io::Error),
}

/// Whether there is anything to read from `stream`, its end among it. That is not asked of the system, but of what it has told.
fn has_news(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<bool> {
    let mut byte = [0];
    Poll::Ready(Pin::new(stream).poll_read(cx, &mut ReadBuf::new(&mut byte)).is_ready())
}

/// Writes a request. Where the other side does not take all of it at once, what it says meanwhile is `received`, and then the rest
/// is not written.
async fn send(stream: &mut Stream, head: &[u8], body: &[u8], received: &mut Vec<u8>) -> Sent {
    let (mut written, whole) = (0, head.len() + body.len());
    let ended = poll_fn(|cx| {
        while written < whole {
            let (head, body) = (head.get(written..).unwrap_or_default(), &body[written.saturating_sub(head.len())..]);
            let bytes = [IoSlice::new(head), IoSlice::new(body)];
            match Pin::new(&mut *stream).poll_write_vectored(cx, &bytes[usize::from(head.is_empty())..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => written += more,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return poll_receive(stream, received, cx).map(Ok),
            }
        }
        Pin::new(&mut *stream).poll_flush(cx)
    });
    match ended.await {
        Err(error) if written == 0 => Sent::Unwritten(error),
        Err(error) => Sent::Partly(Some(error)),
        Ok(()) if written == whole => Sent::Whole,
        Ok(()) => Sent::Partly(None),
    }
}

/// Takes in what has come, if anything has; an end or an error is met again by who reads on.
fn poll_receive(stream: &mut Stream, received: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<()> {
    let mut bytes = [0; ROOM];
    let mut buffer = ReadBuf::new(&mut bytes);
    let read = ready!(Pin::new(stream).poll_read(cx, &mut buffer));
    if read.is_ok() {
        received.extend_from_slice(buffer.filled());
    }
    Poll::Ready(())
}

/// Reads a reply to its end, behind what was received of it already, and gives it to `take`.
pub(super) async fn receive<S: AsyncRead + Unpin, T>(
    stream: &mut S,
    received: &mut Vec<u8>,
    take: impl FnOnce(Reply<'_>) -> T,
) -> io::Result<T> {
    let mut ended = false;
    loop {
        if (!received.is_empty() || ended)
            && let Some(reply) = http::parse(received, ended)?
        {
            return Ok(take(reply));
        }
        received.reserve(ROOM);
        ended = stream.read_buf(received).await? == 0;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;
    use crate::wire::Method;

    fn encoded(body: usize) -> Encoded {
        Encoded {
            method: Method::Post,
            target: "/e/".into(),
            content_type: "application/json".into(),
            headers: Vec::new(),
            body: vec![b'x'; body],
            events: 1,
        }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// What a connection of the server does: how much of each request it reads, and what it says then, before it closes.
    type Script = Vec<(usize, &'static str)>;

    /// What requests with bodies of these lengths come to, one after the other; and how many connections they took.
    fn exchanged(scripts: Vec<Script>, bodies: &[usize]) -> (Vec<Answer>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut connection = Reused::new(Target::http(listener.local_addr().unwrap()));
            let server = tokio::spawn(async move {
                let mut accepted = 0;
                for script in scripts {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    accepted += 1;
                    'script: for (wanted, reply) in script {
                        let mut received = Vec::new();
                        while received.len() < wanted || !received.windows(4).any(|end| end == b"\r\n\r\n") {
                            if matches!(stream.read_buf(&mut received).await, Ok(0) | Err(_)) {
                                break 'script;
                            }
                        }
                        stream.write_all(reply.as_bytes()).await.unwrap();
                    }
                }
                accepted
            });
            let mut answers = Vec::new();
            for body in bodies {
                let told = timeout(Duration::from_secs(20), connection.exchange(&encoded(*body))).await;
                answers.push(told.expect("an answer").answer);
                // The end of a connection takes its time to come.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(connection);
            (answers, server.await.unwrap())
        })
    }

    fn is_status(answer: &Answer, expected: u16) -> bool {
        matches!(answer, Answer::Reply { status, .. } if *status == expected)
    }

    #[test]
    fn a_connection_is_used_again_until_the_server_closes_it() {
        let (answers, connections) = exchanged(vec![vec![(0, OK), (0, OK)], vec![(0, OK)]], &[0, 0, 0]);
        assert!(answers.iter().all(|answer| is_status(answer, 200)), "{answers:?}");
        assert_eq!(connections, 2, "the third request found that the first connection was closed");
    }

    #[test]
    fn what_ends_a_connection_or_comes_unasked_is_not_followed_by_another_request() {
        const CLOSE: &str = "HTTP/1.1 503 Later\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        const MORE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 408 Slow\r\n\r\n";
        for (reply, status) in [(CLOSE, 503), (MORE, 200)] {
            let (answers, connections) = exchanged(vec![vec![(0, reply), (0, OK)], vec![(0, OK)]], &[0, 0]);
            assert!(is_status(&answers[0], status) && is_status(&answers[1], 200), "{answers:?}");
            assert_eq!(connections, 2, "the second request came on a connection of its own");
        }
    }

    #[test]
    fn a_reply_that_comes_before_all_is_written_is_taken() {
        const LARGE: &str = "HTTP/1.1 413 Large\r\ncontent-length: 9\r\n\r\ntoo large";
        // Far more than sockets hold.
        let (answers, _) = exchanged(vec![vec![(0, LARGE), (usize::MAX, "")], vec![(0, OK)]], &[64 << 20, 0]);
        assert_eq!(answers[0], Answer::Reply { status: 413, excerpt: "too large".into() });
    }

    #[test]
    fn large_bodies_leave_whole() {
        let length = 32 << 20;
        let (answers, connections) = exchanged(vec![vec![(length, OK), (0, OK)]], &[length, 0]);
        assert!(answers.iter().all(|answer| is_status(answer, 200)), "{answers:?}");
        assert_eq!(connections, 1);
    }

    #[test]
    fn without_a_whole_reply_it_is_broken_and_without_a_connection_nothing_left() {
        for part in ["", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{"] {
            let (answers, _) = exchanged(vec![vec![(0, part)]], &[0]);
            assert!(matches!(answers[0], Answer::Broken { .. }), "{answers:?}");
        }
        let (answers, _) = exchanged(vec![vec![(0, OK)]], &[0, 0]);
        assert!(matches!(answers[1], Answer::NeverLeft { .. }), "{answers:?}");
    }
}
