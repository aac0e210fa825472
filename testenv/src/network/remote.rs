//! Links in a container of their own, between containers that cannot reach this process.
//!
//! The role `links` opens them and takes orders on a port: a line of JSON with the link's name and its condition, answered
//! with `done`. Nothing but the loopback reaches that port from outside.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::timeout,
};

use super::{Condition, Link};
use crate::{
    environment::EnvironmentError,
    fault::Target,
    pipeline::settings::{end, json, or, say_ready},
};

/// An order takes no longer.
const OBEYED_WITHIN: Duration = Duration::from_secs(5);
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
struct Order {
    link: Target,
    condition: Condition,
}

/// Plays the role `links`. It takes from the environment `ASSAY_LINKS`, a JSON object of links by their names, and
/// `ASSAY_LINKS_ADDRESS`, where it takes orders.
pub fn serve() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end("links", Err(error.into())),
    };
    end("links", runtime.block_on(run()))
}

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let specs: BTreeMap<Target, LinkSpec> = json("ASSAY_LINKS")?;
    let listener = TcpListener::bind(or("ASSAY_LINKS_ADDRESS", "127.0.0.1:0".to_owned())?).await?;
    let mut links = BTreeMap::new();
    for (target, spec) in specs {
        let everybody = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        links.insert(target, Link::at((everybody, spec.port), spec.upstream).await?);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    say_ready(listener.local_addr()?.port())?;
    let links = Arc::new(links);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            Ok((stream, _)) = listener.accept() => {
                let links = Arc::clone(&links);
                // Who gave a bad order hears of it; nobody else needs to.
                tokio::spawn(async move { let _ = obey(stream, &links).await; });
            }
        }
    }
}

async fn obey(stream: TcpStream, links: &BTreeMap<Target, Link>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut order = String::new();
    stream.read_line(&mut order).await?;
    let answer = match serde_json::from_str::<Order>(&order) {
        Ok(Order { link, condition }) => match links.get(&link) {
            Some(known) => {
                known.set(condition);
                DONE.to_owned()
            }
            None => format!("there is no link {link}"),
        },
        Err(error) => error.to_string(),
    };
    stream.get_mut().write_all(format!("{answer}\n").as_bytes()).await
}

/// All links of a container. Clones are the same ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RemoteLinks {
    control: SocketAddr,
}

impl RemoteLinks {
    /// Those that take orders at `control`.
    pub(crate) const fn at(control: SocketAddr) -> Self {
        Self { control }
    }

    /// One of them.
    pub(crate) const fn link(self, target: Target) -> RemoteLink {
        RemoteLink { links: self, target }
    }

    async fn order(self, link: Target, condition: Condition) -> std::io::Result<()> {
        let obeyed = async {
            let mut stream = BufReader::new(TcpStream::connect(self.control).await?);
            let mut order = serde_json::to_vec(&Order { link, condition })?;
            order.push(b'\n');
            stream.get_mut().write_all(&order).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            if answer.trim_end() == DONE { Ok(()) } else { Err(std::io::Error::other(answer)) }
        };
        timeout(OBEYED_WITHIN, obeyed).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }
}

/// A link in a container. Clones are the same one.
#[derive(Debug, Clone)]
pub struct RemoteLink {
    links: RemoteLinks,
    target: Target,
}

impl RemoteLink {
    /// Changes what the link does.
    ///
    /// # Errors
    /// When the container does not obey.
    pub async fn set(&self, condition: Condition) -> Result<(), EnvironmentError> {
        self.links.order(self.target, condition).await.map_err(|source| EnvironmentError::System {
            what: format!("the link {} cannot be told what to do", self.target),
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
        let opened = BTreeMap::from([(Target::CaptureKafka, link)]);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                obey(stream, &opened).await.unwrap();
            }
        });
        let links = RemoteLinks::at(control);
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
    }
}
