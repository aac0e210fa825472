//! A daemon that answers as a test says: for rules that must hold without Docker.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use testcontainers::bollard::{API_DEFAULT_VERSION, Docker};

/// The daemon, for as long as this lives.
pub(super) struct Daemon {
    folder: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// One that answers `GET /path` with a status and JSON.
    pub(super) fn answering(answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some(request) = request(&stream) {
                    let (status, body) = answer(&request);
                    noted.lock().unwrap().push(request);
                    reply(&stream, status, &body);
                }
            }
        });
        Self { folder, asked }
    }

    /// Who asks it.
    pub(super) fn client(&self) -> Docker {
        let path = self.folder.path().join("docker.sock");
        Docker::connect_with_unix(&path.to_string_lossy(), 10, API_DEFAULT_VERSION).unwrap()
    }

    /// What it was asked, in alphabetical order.
    pub(super) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort_unstable();
        asked
    }
}

/// Method and path of a request, without its query.
fn request(stream: &UnixStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    lines.find(String::is_empty)?;
    let (method, rest) = first.split_once(' ')?;
    let path = rest.split([' ', '?']).next()?;
    Some(format!("{method} {path}"))
}

fn reply(mut stream: &UnixStream, status: u16, body: &str) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // Who does not listen any more has no use for it.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}
