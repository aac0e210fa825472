//! The ClickHouse engine as a child process: the library binding, and ClickHouse's HTTP interface before it.
//!
//! The engine is a library that speaks no network protocol. The role `clickhouse` puts enough of ClickHouse's HTTP
//! interface before it that the official `clickhouse` crate and `curl` work unchanged against it and against a real
//! server. What is supported is a closed list; everything else is answered with 501.

pub mod exception;
pub mod frames;
pub mod http;
pub mod library;
pub mod query;
pub mod request;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use library::Engine;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// The engine's settings: it would otherwise read whatever `config.xml` lies in the working directory.
const CONFIG: &str = include_str!("../schema/clickhouse.xml");

/// Plays the role `clickhouse`.
pub fn serve() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    match runtime.block_on(run()) {
        Ok(()) => {
            // Unloading the engine is not safe, and what it has acknowledged survives any end.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            ExitCode::SUCCESS
        }
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
    ExitCode::from(69)
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
    let user = variable("CLICKHOUSE_USER").unwrap_or_else(|_| "default".into());
    let password = variable("CLICKHOUSE_PASSWORD").unwrap_or_default();
    let mut terminate = signal(SignalKind::terminate())?;
    let engine = tokio::task::spawn_blocking(move || open(&library, &path)).await??;
    let listener = TcpListener::bind(&address).await?;
    let port = listener.local_addr()?.port();
    {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "ready {port}")?;
        stdout.flush()?;
    }
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        result = http::serve(listener, Arc::new(engine), http::Account { user, password }) => result.map_err(Into::into),
    }
}

/// Opens the engine on the data folder `path`, with settings of our own, and proves that it answers.
///
/// # Errors
/// When the library or the folder cannot be used.
pub fn open(library: &Path, path: &Path) -> Result<Engine, library::EngineError> {
    let io = |source| library::EngineError::Folder { path: path.to_owned(), source };
    std::fs::create_dir_all(path).map_err(io)?;
    let config = path.join("assay-config.xml");
    std::fs::write(&config, CONFIG).map_err(io)?;
    Engine::open(library, &path.join("data"), &config)
}
