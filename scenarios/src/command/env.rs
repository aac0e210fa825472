//! `assay env`: the test environment by itself.
//!
//! `up` starts a substrate and stays in the foreground; runs attach to it with `run --env FILE` and bring pipelines of
//! their own, so several may run beside each other. What is in the file is where the substrate is, and who keeps it up.

use std::fmt::Write as _;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use checkers::observe::clickhouse::{Store, StoreAddress};
use generators::identity::RunId;
use reports::progress::Progress;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal, test_kill_process};
use serde::{Deserialize, Serialize};
use testenv::{
    containers::container::Limits,
    embedded::{
        artefacts::{Places, prepare as fetch},
        kafka::rehearse,
    },
};
use tokio::runtime::Runtime;

use super::{place::PlaceOptions, print, standing::Standing};
use crate::{
    external::{External, Reached, reach},
    failure::{Failure, Kind},
    interrupt,
    run_directory::{read_json, write_json},
    runner::{Shared, SubstrateSettings, executable, unavailable, unique},
};

/// How long `down` waits until it is down.
const DOWN_WITHIN: Duration = Duration::from_secs(10);

/// What environment.json says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvironmentFile {
    /// The substrate.
    pub substrate: Shared,
    /// The process that keeps it up.
    pub process: i32,
    /// Where its logs are.
    pub logs: PathBuf,
    /// The file by which `run --env external` uses the pipeline that is up with it, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<PathBuf>,
}

/// Reads environment.json.
pub(super) fn read(path: &Path) -> Result<EnvironmentFile, Failure> {
    read_json(path)?.ok_or_else(|| {
        Failure::told(
            Kind::Usage,
            format!("there is no environment file {}", path.display()),
            "start an environment with `assay env up`, or leave --env out",
        )
    })
}

pub(super) fn prepare() -> Result<ExitCode, Failure> {
    let progress = Progress::on_stderr(false);
    let tell = |line: &str| progress.step(line);
    let artefacts = fetch(&Places::of_user(), &tell).map_err(|error| unavailable(error.into()))?;
    runtime()?.block_on(rehearse(&executable()?, &artefacts, &tell)).map_err(unavailable)?;
    print(&format!(
        "prepared\n  java        {}\n  kafka       {}\n  clickhouse  {}\n",
        artefacts.java.display(),
        artefacts.kafka_libs.display(),
        artefacts.clickhouse_library.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Keeps a substrate up, and with it a pipeline whose events are on so many shards, if there is to be one.
pub(super) fn up(
    path: &Path,
    place: &PlaceOptions,
    pipeline: Option<u8>,
    with_parent: bool,
) -> Result<ExitCode, Failure> {
    if with_parent {
        set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|error| Failure::caused(Kind::Internal, "the parent's end cannot be noticed", "", error))?;
    }
    let runtime = runtime()?;
    let progress = Progress::on_stderr(false);
    let own = place.choose_own(&runtime, &progress)?;
    runtime.block_on(async {
        let mut stop = interrupt::listen()?;
        let name = unique("environment");
        let folder = std::env::temp_dir().join(format!("assay-{name}"));
        let logs = std::path::absolute(path.with_extension("logs")).unwrap_or_else(|_| path.with_extension("logs"));
        std::fs::create_dir_all(&logs).map_err(|error| {
            let what = format!("the folder for logs {} cannot be made", logs.display());
            Failure::caused(Kind::Usage, what, "name a file in a folder that you may write to with --file", error)
        })?;
        let settings = SubstrateSettings {
            name,
            folder: &folder,
            logs: &logs,
            linked: Vec::new(),
            disks: Vec::new(),
            limits: Limits::default(),
        };
        let substrate = tokio::select! {
            up = own.start(settings, &progress) => up?,
            _ = stop.wait_for(|stop| *stop) => return Ok(ExitCode::SUCCESS),
        };
        let pipeline = if let Some(shards) = pipeline {
            progress.now("starting the reference pipeline".into());
            match Standing::up(path, &substrate, shards, &folder, &logs).await {
                Ok(standing) => Some(standing),
                Err(failure) => {
                    substrate.down().await;
                    return Err(failure);
                }
            }
        } else {
            None
        };
        let process = i32::try_from(std::process::id()).unwrap_or_default();
        let external = pipeline.as_ref().map(|standing| standing.file.clone());
        if let Some(file) = &external {
            progress.step(&format!(
                "a pipeline is up: `assay run SCENARIO --env external --external {}` sends to it",
                file.display()
            ));
        }
        write_json(path, &EnvironmentFile { substrate: Shared::of(&substrate, &own), process, logs, external })?;
        progress.step(&format!("up: `assay run SCENARIO --env {}` attaches to it, Ctrl-C ends it", path.display()));
        let pipeline_failed = async {
            match &pipeline {
                Some(standing) => standing.pipeline.failed().await,
                None => std::future::pending().await,
            }
        };
        let failed = tokio::select! {
            ended = substrate.failed() => Some(ended),
            ended = pipeline_failed => Some(ended),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        // It says where something is that is no longer there.
        let _ = std::fs::remove_file(path);
        if let Some(standing) = pipeline {
            standing.forget();
        }
        substrate.down().await;
        match failed {
            None => Ok(ExitCode::SUCCESS),
            Some(ended) => Err(Failure::told(Kind::Unavailable, ended.to_string(), "start it again")),
        }
    })
}

pub(super) fn status(path: &Path) -> Result<ExitCode, Failure> {
    let file = read(path)?;
    let version = runtime()?.block_on(async {
        let url = &file.substrate.addresses.clickhouse_url;
        let address = StoreAddress { url, user: "default", password: "", database: "default", table: "" };
        Store::new(address).version().await
    });
    let version = version.map_err(|error| {
        Failure::caused(
            Kind::Unavailable,
            "the environment does not answer",
            "start it again with `assay env up`",
            error,
        )
    })?;
    let external = file.external.as_ref().map(|path| format!("  external    {}\n", path.display()));
    print(&format!(
        "up, kept by process {}\n  kafka       {}\n  clickhouse  {} ({version})\n  logs        {}\n{}",
        file.process,
        file.substrate.addresses.brokers,
        file.substrate.addresses.clickhouse_url,
        file.logs.display(),
        external.unwrap_or_default()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Reaches every part of somebody else's pipeline, as a run does before it sends.
pub(super) fn status_of_external(path: &Path) -> Result<ExitCode, Failure> {
    let external = External::open(path)?;
    let reached = runtime()?.block_on(reach(&external, RunId::new(0)))?;
    let Reached { capture, clickhouse, facts, weaker, .. } = reached;
    let mut text = format!(
        "up, somebody else's\n  capture     {capture}\n  clickhouse  {} ({clickhouse}), {} as {}\n  rows        found by {}\n  \
         clock       {:+.3} s from this machine's, give or take {:.3} s\n",
        facts.clickhouse,
        facts.table,
        facts.user,
        facts.rows_found_by,
        facts.clock_offset_micros as f64 / 1e6,
        facts.clock_uncertainty_micros as f64 / 1e6,
    );
    if let Some(brokers) = &facts.brokers {
        let _ = writeln!(text, "  kafka       {brokers}");
    }
    for project in &external.projects {
        let _ = writeln!(text, "  project     team {} with the token {}", project.team, project.token);
    }
    for line in weaker {
        let _ = writeln!(text, "  note        {line}");
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn down(path: &Path) -> Result<ExitCode, Failure> {
    let file = read(path)?;
    let Some(process) = Pid::from_raw(file.process) else {
        return Err(Failure::told(Kind::Usage, format!("{} names no process", path.display()), "delete the file"));
    };
    if kill_process(process, Signal::TERM).is_err() {
        let _ = std::fs::remove_file(path);
        print("it was not up any more\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let deadline = std::time::Instant::now() + DOWN_WITHIN;
    while test_kill_process(process).is_ok() {
        if std::time::Instant::now() > deadline {
            return Err(Failure::told(
                Kind::Unavailable,
                format!("process {} did not end within {DOWN_WITHIN:?}", file.process),
                "end it by hand; what it has started ends with it",
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    print("down\n")?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))
}
