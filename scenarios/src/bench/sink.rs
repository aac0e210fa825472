//! A null sink as a child of this process.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use serde_json::Value;

/// A running `assay serve sink`; it ends when this is dropped.
#[derive(Debug)]
pub struct Sink {
    child: Child,
    address: SocketAddr,
}

impl Sink {
    /// Starts one on a free port of the loopback.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "sink"])
            .env("ADDRESS", "127.0.0.1:0")
            .env("WITH_PARENT", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line.strip_prefix("ready ").and_then(|port| port.trim().parse().ok());
        let Some(port) = port else {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!("it said `{}` in the place of its port", line.trim())));
        };
        Ok(Self { child, address: (Ipv4Addr::LOCALHOST, port).into() })
    }

    /// Gives the sink a processor of its own, and this thread and those that it starts the others, if these are enough for so many
    /// senders. Where both are left to the
    /// scheduler, it has them share one again and again, and what is measured is their getting in each other's way.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn keep_apart(&self, senders: u64) -> io::Result<()> {
        let all = sched_getaffinity(None)?;
        let mut processors = (0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor));
        let Some(own) = processors.next_back().filter(|_| u64::from(all.count()) > senders) else { return Ok(()) };
        let (mut of_sink, mut others) = (CpuSet::new(), all);
        of_sink.set(own);
        others.unset(own);
        sched_setaffinity(Pid::from_raw(self.child.id() as i32), &of_sink)?;
        sched_setaffinity(None, &others)?;
        Ok(())
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Stops the answers of the sink at `address` for `time`, from the moment `at`.
///
/// # Errors
/// When it does not do so.
pub fn stall(address: SocketAddr, at: Instant, time: Duration) -> io::Result<()> {
    std::thread::sleep(at.saturating_duration_since(Instant::now()));
    ask(address, &format!("POST /_stall?ms={}", time.as_millis())).map(|_| ())
}

/// How long the sink took after its latest stall until all that had waited were answered.
///
/// # Errors
/// When it does not say so.
pub fn drained(address: SocketAddr) -> io::Result<Duration> {
    let answer = ask(address, "GET /_received")?;
    let seconds = serde_json::from_str::<Value>(&answer).ok().and_then(|said| said.get("drained")?.as_f64());
    let drained = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    drained.ok_or_else(|| io::Error::other(format!("it does not say how long it drained: {answer}")))
}

/// The body of the answer to a request for `what`, a method and a path.
fn ask(address: SocketAddr, what: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "{what} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(answer)),
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It may have ended by itself.
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
