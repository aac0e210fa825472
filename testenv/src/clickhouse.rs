//! The ClickHouse engine as a child process: the library binding, and ClickHouse's HTTP interface before it.
//!
//! The engine is a library that speaks no network protocol. The role `clickhouse` puts enough of ClickHouse's HTTP
//! interface before it that the official `clickhouse` crate and `curl` work unchanged against it and against a real
//! server. What is supported is a closed list; everything else is answered with 501. A read that breaks is never
//! answered with what looks like a whole result: what judges the pipeline reads through this.

pub mod body;
pub mod exception;
pub mod format;
pub mod frames;
pub mod http;
pub mod library;
pub mod packing;
pub mod query;
pub mod reply;
pub mod request;
pub mod statement;
pub mod token;
pub mod upload;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use http::{ServeError, Server};
use library::Engine;
use request::{Accounts, Credentials};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// The engine's settings: it would otherwise read whatever `config.xml` lies in the working directory.
const CONFIGURATION: &str = include_str!("../schema/clickhouse.xml");

/// Plays the role `clickhouse`.
///
/// It takes from the environment `CLICKHOUSE_LIBRARY` (libchdb.so), `CLICKHOUSE_PATH` (a folder, made if it is missing),
/// `CLICKHOUSE_HTTP_ADDRESS` (default `127.0.0.1:0`), `CLICKHOUSE_USER` (`default`) and `CLICKHOUSE_PASSWORD` (empty),
/// and `CLICKHOUSE_READER_USER` with `CLICKHOUSE_READER_PASSWORD`, who may only read (nobody where they are missing).
/// It prints `ready PORT` once the engine has answered, and ends at SIGTERM.
pub fn serve() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(run()) {
        // What the engine has acknowledged is in files, and taking it apart is neither quick nor safe.
        Ok(()) => library::leave(0),
        Err(error) => refuse(error.as_ref()),
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let _ = writeln!(std::io::stderr().lock(), "assay serve clickhouse: {text}");
    library::leave(69)
}

/// A variable that the role cannot do without is missing.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is missing")]
struct Missing(&'static str);

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let variable = |name: &'static str| std::env::var(name).map_err(|_| Missing(name));
    let library = PathBuf::from(variable("CLICKHOUSE_LIBRARY")?);
    let path = PathBuf::from(variable("CLICKHOUSE_PATH")?);
    let address = variable("CLICKHOUSE_HTTP_ADDRESS").unwrap_or_else(|_| "127.0.0.1:0".into());
    let owner = Credentials {
        user: variable("CLICKHOUSE_USER").unwrap_or_else(|_| "default".into()),
        password: variable("CLICKHOUSE_PASSWORD").unwrap_or_default(),
    };
    let reader = variable("CLICKHOUSE_READER_USER")
        .ok()
        .map(|user| Credentials { user, password: variable("CLICKHOUSE_READER_PASSWORD").unwrap_or_default() });
    let accounts = Accounts { owner, reader };
    // Bound first: a used port is found before the engine is loaded, and a client that comes early waits.
    let listener = TcpListener::bind(&address).await.map_err(|source| Address { address, source })?;
    let server = tokio::task::spawn_blocking(move || open(&library, &path, accounts)).await??;
    // Behind the engine, which sets signals up for itself.
    let mut terminate = signal(SignalKind::terminate())?;
    let port = listener.local_addr()?.port();
    {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "ready {port}")?;
        stdout.flush()?;
    }
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        result = Arc::new(server).serve(listener) => result.map_err(Into::into),
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; name another in CLICKHOUSE_HTTP_ADDRESS")]
struct Address {
    address: String,
    source: std::io::Error,
}

/// The role could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be used.
    #[error("ClickHouse's folder {path} cannot be used")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] library::EngineError),
    /// The interface did not start.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Opens the engine on the folder `path` and puts the interface before it; blocks for some tenths of a second.
///
/// The folder gets `data` (the engine's), `uploads` (data of running INSERTs) and `assay-config.xml`.
///
/// # Errors
/// When the library or the folder cannot be used.
pub fn open(library: &Path, path: &Path, accounts: Accounts) -> Result<Server, OpenError> {
    let folder = |source| OpenError::Folder { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(folder)?;
    let path = path.canonicalize().map_err(folder)?;
    let configuration = path.join("assay-config.xml");
    std::fs::write(&configuration, CONFIGURATION).map_err(folder)?;
    let data = path.join("data");
    // Where this folder is missing, the engine takes the path for one without tables and never starts the threads that
    // remove dropped ones: DROP … SYNC would wait for ever.
    std::fs::create_dir_all(data.join("metadata")).map_err(folder)?;
    let engine = Engine::open(library, &data, &configuration)?;
    Ok(Server::new(Arc::new(engine), accounts, &path.join("uploads"))?)
}
