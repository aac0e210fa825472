//! A null sink as a child of this process.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

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
    let mut stream = TcpStream::connect(address)?;
    let ms = time.as_millis();
    write!(
        stream,
        "POST /_stall?ms={ms} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other(answer)) }
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
