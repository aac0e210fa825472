//! What injects faults among containers, which cannot reach this process: links between them, and disks of theirs.
//!
//! The role `injector` opens the links, has the disks as its own, and takes orders on a port: a line of JSON with what
//! shall be in which condition, answered with `done`. Nothing but the loopback reaches that port from outside.

mod disk;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use self::disk::FullDisk;
use crate::{
    containers::docker::CARRIED_OUT_WITHIN,
    environment::EnvironmentError,
    fault::Target,
    network::{Condition, Link},
    pipeline::settings::{end, json, or, say_ready},
};

/// The answer to an order that was obeyed.
const DONE: &str = "done";

/// A link that the role is to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkSpec {
    /// Where it listens.
    pub port: u16,
    /// Where it leads to, `HOST:PORT`.
    pub upstream: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    Link { link: Target, condition: Condition },
    Disk { disk: Target, full: bool },
}

/// What it injects faults into.
#[derive(Debug, Default)]
struct Reach {
    links: BTreeMap<Target, Link>,
    /// Folders on the disks.
    disks: BTreeMap<Target, PathBuf>,
    full: Mutex<BTreeMap<Target, FullDisk>>,
}

/// Plays the role `injector`. It takes from the environment `ASSAY_LINKS`, a JSON object of links by their names,
/// `ASSAY_DISKS`, one of folders by whose disks they are on, and `ASSAY_INJECTOR_ADDRESS`, where it takes orders.
pub fn serve() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("injector", Err(error.into())),
    };
    end("injector", runtime.block_on(run()))
}

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let specs: BTreeMap<Target, LinkSpec> = json("ASSAY_LINKS")?;
    let mut reach = Reach { disks: json("ASSAY_DISKS")?, ..Reach::default() };
    let listener = TcpListener::bind(or("ASSAY_INJECTOR_ADDRESS", "127.0.0.1:0".to_owned())?).await?;
    for (target, spec) in specs {
        let everybody = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        reach.links.insert(target, Link::at((everybody, spec.port), spec.upstream).await?);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    say_ready(listener.local_addr()?.port())?;
    let reach = Arc::new(reach);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            Ok((stream, _)) = listener.accept() => {
                let reach = Arc::clone(&reach);
                // Who gave a bad order hears of it; nobody else needs to.
                tokio::spawn(async move { let _ = take_order(stream, &reach).await; });
            }
        }
    }
}

async fn take_order(stream: TcpStream, reach: &Arc<Reach>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut text = String::new();
    stream.read_line(&mut text).await?;
    let answer = match serde_json::from_str(&text) {
        Ok(order) => reach.obey(order).await.map_or_else(|why| why, |()| DONE.to_owned()),
        Err(error) => error.to_string(),
    };
    stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await
}

impl Reach {
    /// Does what it is told, or says why it cannot.
    async fn obey(self: &Arc<Self>, order: Order) -> Result<(), String> {
        match order {
            Order::Link { link, condition } => {
                self.links.get(&link).ok_or_else(|| format!("there is no link {link}"))?.set(condition);
                Ok(())
            }
            Order::Disk { disk, full } => {
                let reach = Arc::clone(self);
                let done = tokio::task::spawn_blocking(move || reach.set_disk(disk, full)).await;
                done.map_err(|error| error.to_string())?
            }
        }
    }

    fn set_disk(&self, disk: Target, full: bool) -> Result<(), String> {
        let folder = self.disks.get(&disk).ok_or_else(|| format!("there is no disk of {disk}"))?;
        let mut filled = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |error: std::io::Error| format!("the disk of {disk}: {error}");
        match (full, filled.remove(&disk)) {
            (true, None) => {
                filled.insert(disk, FullDisk::fill(folder).map_err(told)?);
            }
            (true, Some(already)) => {
                filled.insert(disk, already);
            }
            (false, Some(disk)) => disk.free().map_err(told)?,
            (false, None) => (),
        }
        Ok(())
    }
}

/// An injector in a container. Clones are the same one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Injector {
    control: SocketAddr,
}

impl Injector {
    /// The one that takes orders at `control`.
    pub(crate) const fn at(control: SocketAddr) -> Self {
        Self { control }
    }

    /// One of its links.
    pub(crate) const fn link(self, target: Target) -> RemoteLink {
        RemoteLink { injector: self, target }
    }

    /// One of its disks.
    pub(crate) const fn disk(self, target: Target) -> RemoteDisk {
        RemoteDisk { injector: self, target }
    }

    async fn order(self, order: &Order) -> std::io::Result<()> {
        let obeyed = async {
            let mut stream = BufReader::new(TcpStream::connect(self.control).await?);
            let mut text = serde_json::to_vec(order)?;
            text.push(b'\n');
            stream.get_mut().write_all(&text).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            if answer.trim_end() == DONE { Ok(()) } else { Err(std::io::Error::other(answer.trim_end().to_owned())) }
        };
        timeout(CARRIED_OUT_WITHIN, obeyed).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

/// A link in a container. Clones are the same one.
#[derive(Debug, Clone)]
pub struct RemoteLink {
    injector: Injector,
    target: Target,
}

impl RemoteLink {
    /// Changes what the link does.
    ///
    /// # Errors
    /// When the container does not obey.
    pub async fn set(&self, condition: Condition) -> Result<(), EnvironmentError> {
        let order = Order::Link { link: self.target, condition };
        self.injector.order(&order).await.map_err(|source| EnvironmentError::System {
            what: format!("the link {} cannot be told what to do", self.target),
            source,
        })
    }
}

/// A disk of a container's that another one fills. Clones are the same one.
#[derive(Debug, Clone)]
pub struct RemoteDisk {
    injector: Injector,
    target: Target,
}

impl RemoteDisk {
    /// Fills it and keeps it full, or gives the room back.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn set_full(&self, full: bool) -> Result<(), EnvironmentError> {
        let order = Order::Disk { disk: self.target, full };
        self.injector.order(&order).await.map_err(|source| EnvironmentError::System {
            what: format!("the disk of {} cannot be {}", self.target, if full { "filled" } else { "freed" }),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_gives_orders_is_obeyed_and_told_of_mistakes() {
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let link = Link::open(upstream.local_addr().unwrap()).await.unwrap();
        let address = link.address();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let control = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let reach = Reach {
            links: [(Target::CaptureKafka, link)].into(),
            disks: [(Target::Kafka, folder.path().join("nowhere"))].into(),
            ..Reach::default()
        };
        let reach = Arc::new(reach);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                take_order(stream, &reach).await.unwrap();
            }
        });
        let links = Injector::at(control);
        links.link(Target::CaptureKafka).set(Condition::Reset).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut heard = [0; 1];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut heard).await;
        assert!(read.is_err(), "a reset link took a connection: {read:?}");
        links.link(Target::CaptureKafka).set(Condition::Healthy).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (mut accepted, _) = upstream.accept().await.unwrap();
        stream.write_all(b"x").await.unwrap();
        tokio::io::AsyncReadExt::read_exact(&mut accepted, &mut heard).await.unwrap();
        let error = links.link(Target::IngesterKafka).set(Condition::Cut).await.unwrap_err();
        assert!(format!("{error}").contains("ingester-kafka"), "{error}");
        for (target, full, why) in [
            (Target::Clickhouse, true, "there is no disk of clickhouse"),
            (Target::Kafka, true, "the disk of kafka: No such file or directory"),
        ] {
            let error = links.disk(target).set_full(full).await.unwrap_err();
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains(why), "{source}");
        }
        links.disk(Target::Kafka).set_full(false).await.unwrap();
    }
}
