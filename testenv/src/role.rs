//! The roles that this executable plays as a child process or in an image: `assay serve ROLE`.
//!
//! A role takes its whole configuration from environment variables, binds port 0 where it listens, prints
//! `ready PORT` on stdout once it can serve, and writes its log to stderr.

use std::{io::Write, process::ExitCode};

use crate::{clickhouse, containers, embedded, healer, injector, null_sink, pipeline, webhook};

/// The names that `assay serve` accepts.
pub const ROLES: [&str; 12] = [
    "guard",
    "healer",
    "leash",
    "launch",
    "sweep",
    "clickhouse",
    "capture",
    "ingester",
    "exporter",
    "webhook",
    "injector",
    "sink",
];

/// Plays `role` until it is told to end; `arguments` are what followed the role on the command line.
///
/// Called before any runtime or thread exists: the guard must stay single-threaded.
pub fn serve(role: &str, arguments: &[std::ffi::OsString]) -> ExitCode {
    if !arguments.is_empty() && !matches!(role, "launch" | "sweep" | "leash") && ROLES.contains(&role) {
        return refuse(&format!(
            "`{role}` takes no arguments, but environment variables, such as ADDRESS=127.0.0.1:8000"
        ));
    }
    match role {
        "guard" => embedded::guard::serve(),
        "healer" => healer::serve(),
        "leash" => healer::leash::serve(arguments),
        "launch" => embedded::guard::launch(arguments),
        "sweep" => containers::sweep::serve(arguments),
        "clickhouse" => clickhouse::serve(),
        "injector" => injector::serve(),
        "capture" => pipeline::capture::serve(),
        "ingester" => pipeline::ingester::serve(),
        "exporter" => pipeline::exporter::serve(),
        "webhook" => webhook::serve(),
        "sink" => null_sink::serve(),
        _ => refuse(&format!("no role `{role}`; the roles are {}", ROLES.join(", "))),
    }
}

fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "assay serve: {why}");
    ExitCode::from(64)
}
