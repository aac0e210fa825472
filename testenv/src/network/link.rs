//! A link: a TCP connection between two components that can be cut, reset, delayed and narrowed.
//!
//! Whoever connects to the link's address is connected to the other side. A link costs a copy of every byte, so one is
//! opened only where a fault will act on it.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Condition, jitter::Jitter};

/// Bytes are carried so many at a time, at the most.
const CHUNK: usize = 16 << 10;
/// So many chunks of one direction of a connection may be on their way: what a delayed link holds in memory.
const ON_THEIR_WAY: usize = 256;

/// An open link. It closes when it is dropped.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    _serving: JoinSet<()>,
}

impl Link {
    /// Opens a link to `upstream` on any free loopback port.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn open(upstream: SocketAddr) -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST.into(), 0), upstream.to_string()).await
    }

    /// Opens a link to `upstream`, `HOST:PORT`, on this address; the host is looked up for each connection.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn at(address: (IpAddr, u16), upstream: String) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (condition, conditions) = watch::channel(Condition::Healthy);
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, upstream.into(), conditions));
        Ok(Self { address, condition, _serving: serving })
    }

    /// Where to connect to.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the link does, from now on, also to what is on its way.
    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

async fn serve(listener: TcpListener, upstream: Arc<str>, condition: watch::Receiver<Condition>) {
    let narrow = Arc::new(Narrow::default());
    // They end with the link.
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let (condition, narrow) = (condition.clone(), Arc::clone(&narrow));
                let serving = connection(stream, Arc::clone(&upstream), condition, narrow, number);
                connections.spawn(serving);
                number += 1;
            }
            Some(_) = connections.join_next() => (),
        }
    }
}

/// Carries one connection, the link's with this `number`, until it ends or is reset.
async fn connection(
    mut client: TcpStream,
    upstream: Arc<str>,
    condition: watch::Receiver<Condition>,
    narrow: Arc<Narrow>,
    number: u64,
) {
    let (mut whole, mut resets) = (condition.clone(), condition.clone());
    let connected = async {
        // A cut link does not get there before it is whole again.
        let _ = whole.wait_for(|condition| *condition != Condition::Cut).await;
        TcpStream::connect(&*upstream).await
    };
    let mut server = tokio::select! {
        biased;
        () = is_reset(&mut resets) => return reset(&client),
        server = connected => match server {
            Ok(server) => server,
            // Nobody listens there: the client is told so in the only way that is left.
            Err(_) => return reset(&client),
        },
    };
    // Without it a chunk may wait; that cannot be set is no reason to carry nothing.
    let _ = client.set_nodelay(true).and_then(|()| server.set_nodelay(true));
    let was_reset = {
        let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
        let there = carry(from_client, to_server, condition.clone(), (&narrow, Jitter::new(number, false)));
        let back = carry(from_server, to_client, condition, (&narrow, Jitter::new(number, true)));
        tokio::select! {
            biased;
            () = is_reset(&mut resets) => true,
            _ = async { tokio::join!(there, back) } => false,
        }
    };
    if was_reset {
        reset(&client);
        reset(&server);
    }
}

async fn is_reset(condition: &mut watch::Receiver<Condition>) {
    if condition.wait_for(|condition| *condition == Condition::Reset).await.is_err() {
        // The link is gone, and this with it.
        std::future::pending::<()>().await;
    }
}

/// Has a connection end with a reset when it is dropped.
fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    let _ = stream.set_zero_linger();
}

/// One direction: reads as long as there is room, and writes each chunk when its time has come.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut condition: watch::Receiver<Condition>,
    (narrow, mut draws): (&Narrow, Jitter),
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THEIR_WAY);
    let conditions = condition.clone();
    let reading = async move {
        let mut last_due = Instant::now();
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            if !from.read_buf(&mut chunk).await.is_ok_and(|read| read > 0) {
                return;
            }
            let delay = match *conditions.borrow() {
                Condition::Delayed { by, jitter, seed } => draws.next(by, jitter, seed),
                _ => Duration::ZERO,
            };
            // Nothing overtakes.
            last_due = last_due.max(Instant::now() + delay);
            if sender.send((last_due, chunk)).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            // It may have changed while this waited.
            let _ = condition.wait_for(|condition| *condition != Condition::Cut).await;
            let now = *condition.borrow();
            if let Condition::Narrow { bytes_per_second } = now {
                sleep_until(narrow.reserve(chunk.len(), bytes_per_second)).await;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        // The other side may be gone already.
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}

/// The one lane of a narrow link.
#[derive(Debug, Default)]
struct Narrow {
    free: Mutex<Option<Instant>>,
}

impl Narrow {
    /// Takes the lane for so many bytes; returns when they are through.
    fn reserve(&self, bytes: usize, bytes_per_second: u64) -> Instant {
        let takes = Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64);
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let through = free.map_or(now, |free| free.max(now)) + takes;
        *free = Some(through);
        through
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    /// A server that says back what it hears, and a link to it.
    async fn echo() -> Link {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        Link::open(address).await.unwrap()
    }

    /// Says `bytes` and waits for them to come back; how long it took.
    async fn said(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<Duration> {
        let began = Instant::now();
        stream.write_all(bytes).await?;
        let mut heard = vec![0; bytes.len()];
        stream.read_exact(&mut heard).await?;
        assert_eq!(heard, bytes);
        Ok(began.elapsed())
    }

    const SHORT: Duration = Duration::from_millis(150);

    #[tokio::test]
    async fn a_cut_link_holds_back_and_loses_nothing() {
        let link = echo().await;
        let mut before = TcpStream::connect(link.address()).await.unwrap();
        said(&mut before, b"whole").await.unwrap();
        link.set(Condition::Cut);
        let mut meanwhile = TcpStream::connect(link.address()).await.unwrap();
        for stream in [&mut before, &mut meanwhile] {
            stream.write_all(b"later").await.unwrap();
            let mut heard = [0; 5];
            assert!(timeout(SHORT, stream.read_exact(&mut heard)).await.is_err(), "it went through");
        }
        link.set(Condition::Healthy);
        for stream in [&mut before, &mut meanwhile] {
            let mut heard = [0; 5];
            stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"later");
            said(stream, b"again").await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_reset_link_ends_connections_and_takes_none_until_it_heals() {
        let link = echo().await;
        let mut before = TcpStream::connect(link.address()).await.unwrap();
        said(&mut before, b"whole").await.unwrap();
        link.set(Condition::Reset);
        let mut heard = [0; 1];
        let error = before.read_exact(&mut heard).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut meanwhile = TcpStream::connect(link.address()).await.unwrap();
        assert!(said(&mut meanwhile, b"no").await.is_err());
        link.set(Condition::Healthy);
        let mut after = TcpStream::connect(link.address()).await.unwrap();
        said(&mut after, b"whole").await.unwrap();
    }

    #[tokio::test]
    async fn a_delayed_link_delays_each_way_and_keeps_the_order() {
        let link = echo().await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        let (by, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
        link.set(Condition::Delayed { by, jitter, seed: 7 });
        for number in 0..5_u8 {
            let took = said(&mut stream, &[number; 40]).await.unwrap();
            assert!(took >= by.saturating_sub(jitter) * 2, "{took:?}");
        }
        // Many chunks on their way at once do not wait for each other.
        let many: Vec<u8> = (0..CHUNK * 8).map(|byte| byte as u8).collect();
        let took = said(&mut stream, &many).await.unwrap();
        assert!(took < (by + jitter) * 8, "{took:?}");
    }

    #[tokio::test]
    async fn a_narrow_link_carries_so_many_bytes_a_second() {
        let link = echo().await;
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        link.set(Condition::Narrow { bytes_per_second: 200_000 });
        // There and back.
        let took = said(&mut stream, &vec![7; 20_000]).await.unwrap().as_secs_f64();
        assert!(took >= 0.19, "{took}");
    }

    #[tokio::test]
    async fn without_the_other_side_a_connection_is_reset() {
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
        let link = Link::open(nobody).await.unwrap();
        let mut stream = TcpStream::connect(link.address()).await.unwrap();
        assert!(said(&mut stream, b"?").await.is_err());
    }
}
