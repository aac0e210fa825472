//! The body of a reply, and the two ways in which it says that it is not the whole answer.
//!
//! A query that fails when its reply has begun gets a tagged exception block, and then the transfer breaks (no last
//! chunk). The block tells why; the break reaches clients that look for no block, or miss one that the network has cut in
//! two. It may only break once the block has left this process: hence [`Flushes`].

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::mpsc,
};

use super::{exception::Exception, packing::Packer, query::Told};

/// The reply is not the whole answer: the transfer must break.
#[derive(Debug, thiserror::Error)]
#[error("the query failed when its reply had begun")]
pub struct Broken;

/// The body of a reply.
pub enum Reply {
    /// A text.
    Text(Option<Bytes>),
    /// A query's answer.
    Answer(Box<Answer>),
}

/// A query's answer, as it goes out.
pub struct Answer {
    told: mpsc::Receiver<Told>,
    packer: Packer,
    tag: String,
    version: Arc<str>,
    flushes: Flushes,
    end: End,
    /// Called when the client goes away before the end.
    abandoned: Option<Box<dyn FnOnce() + Send>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// The answer was whole, and this is all.
    Whole,
    /// The exception's block is in hyper's hands since the given number of flushes.
    Failed(u64),
}

impl Answer {
    /// An answer whose pieces come through `told`.
    pub fn new(
        told: mpsc::Receiver<Told>,
        packer: Packer,
        tag: String,
        version: Arc<str>,
        flushes: Flushes,
        abandoned: Box<dyn FnOnce() + Send>,
    ) -> Self {
        Self { told, packer, tag, version, flushes, end: End::NotYet, abandoned: Some(abandoned) }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        match self.end {
            End::Whole => return Poll::Ready(None),
            End::Failed(since) => {
                ready!(self.flushes.poll_past(since, context));
                return Poll::Ready(Some(Err(Broken)));
            }
            End::NotYet => (),
        }
        loop {
            let packed = match ready!(self.told.poll_recv(context)) {
                Some(Told::Piece(piece)) => self.packer.pack(piece),
                Some(Told::Begins(_)) => continue,
                Some(Told::Ends) => {
                    self.abandoned = None;
                    self.end = End::Whole;
                    match self.packer.finish() {
                        Ok(last) if last.is_empty() => return Poll::Ready(None),
                        last => last,
                    }
                }
                Some(Told::Failed(exception)) => self.fail(&exception),
                // Whoever ran the query has gone without a word.
                None => self.fail(&Exception::new(1001, "STD_EXCEPTION", "the query ended without an end.")),
            };
            match packed {
                Ok(bytes) if bytes.is_empty() => (),
                Ok(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Err(_) => return Poll::Ready(Some(Err(Broken))),
            }
        }
    }

    fn fail(&mut self, exception: &Exception) -> io::Result<Bytes> {
        self.abandoned = None;
        self.end = End::Failed(self.flushes.count());
        self.packer.pack(exception.block(&self.version, &self.tag).into())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned.take() {
            abandoned();
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Answer(answer) => answer.poll(context).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Text(None))
    }
}

/// How often a connection has been flushed: hyper flushes when all that it holds is written.
#[derive(Debug, Clone, Default)]
pub struct Flushes(Arc<Mutex<(u64, Option<Waker>)>>);

impl Flushes {
    fn with<T>(&self, change: impl FnOnce(&mut (u64, Option<Waker>)) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self) -> u64 {
        self.with(|(count, _)| *count)
    }

    fn poll_past(&self, since: u64, context: &Context<'_>) -> Poll<()> {
        self.with(|(count, waker)| {
            if *count > since {
                return Poll::Ready(());
            }
            *waker = Some(context.waker().clone());
            Poll::Pending
        })
    }

    fn note(&self) {
        let waker = self.with(|(count, waker)| {
            *count += 1;
            waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A connection that counts its flushes.
#[derive(Debug)]
pub struct Watched {
    stream: TcpStream,
    flushes: Flushes,
}

impl Watched {
    /// Counts the flushes of `stream` in `flushes`.
    pub fn new(stream: TcpStream, flushes: Flushes) -> Self {
        Self { stream, flushes }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.flushes.note();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::clickhouse::request::Packing;

    struct Fixture {
        tell: Option<mpsc::Sender<Told>>,
        answer: Answer,
        flushes: Flushes,
        abandoned: Arc<AtomicBool>,
    }

    fn fixture() -> Fixture {
        let (tell, told) = mpsc::channel(8);
        let (flushes, abandoned) = (Flushes::default(), Arc::new(AtomicBool::new(false)));
        let mark = Arc::clone(&abandoned);
        let abandon = Box::new(move || mark.store(true, Ordering::Relaxed));
        let packer = Packer::new(Packing::Plain);
        let answer = Answer::new(told, packer, "tagtag".into(), "1.2".into(), flushes.clone(), abandon);
        Fixture { tell: Some(tell), answer, flushes, abandoned }
    }

    impl Fixture {
        fn tell(&self, told: Told) {
            self.tell.as_ref().unwrap().try_send(told).unwrap();
        }

        fn poll(&mut self) -> Poll<Option<Result<Bytes, Broken>>> {
            self.answer.poll(&mut Context::from_waker(Waker::noop()))
        }

        fn text(&mut self) -> String {
            let Poll::Ready(Some(Ok(bytes))) = self.poll() else { panic!("no bytes") };
            String::from_utf8(bytes.to_vec()).unwrap()
        }
    }

    #[test]
    fn a_whole_answer_ends() {
        let mut fixture = fixture();
        fixture.tell(Told::Piece(Bytes::from_static(b"rows")));
        assert_eq!(fixture.text(), "rows");
        assert!(fixture.poll().is_pending());
        fixture.tell(Told::Ends);
        assert!(matches!(fixture.poll(), Poll::Ready(None)));
        assert!(matches!(fixture.poll(), Poll::Ready(None)));
        drop(fixture.answer);
        assert!(!fixture.abandoned.load(Ordering::Relaxed));
    }

    #[test]
    fn a_failed_answer_breaks_once_its_block_is_out() {
        let mut fixture = fixture();
        fixture.flushes.note();
        fixture.tell(Told::Failed(Exception::new(395, "X", "boom")));
        let block = fixture.text();
        assert!(
            block.starts_with("\r\n__exception__\r\ntagtag\r\nCode: 395. ") && block.ends_with("__exception__\r\n")
        );
        assert!(fixture.poll().is_pending());
        fixture.flushes.note();
        assert!(matches!(fixture.poll(), Poll::Ready(Some(Err(Broken)))));
    }

    #[test]
    fn silence_is_no_end() {
        let mut fixture = fixture();
        fixture.tell(Told::Piece(Bytes::from_static(b"rows")));
        fixture.tell = None;
        assert_eq!(fixture.text(), "rows");
        assert!(fixture.text().contains("Code: 1001. "));
        fixture.flushes.note();
        assert!(matches!(fixture.poll(), Poll::Ready(Some(Err(Broken)))));
    }

    #[test]
    fn who_goes_away_abandons_the_query() {
        let mut fixture = fixture();
        fixture.tell(Told::Piece(Bytes::from_static(b"rows")));
        assert_eq!(fixture.text(), "rows");
        drop(fixture.answer);
        assert!(fixture.abandoned.load(Ordering::Relaxed));
    }
}
