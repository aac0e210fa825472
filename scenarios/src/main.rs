//! The `assay` command line.
//!
//! One binary plays every role: what a person types is in [`command`], what child processes run (`assay serve ROLE`) is in
//! the test environment. Exit codes: 0 pass, 1 fail, 2 inconclusive, 64 what the user wrote is wrong, 69 something could
//! not be had, 70 internal error.

mod answers;
mod bench;
mod calibrate;
mod capacity;
mod command;
mod external;
mod failure;
mod faults;
mod final_read;
mod heap;
mod interrupt;
mod ledgers;
mod library;
mod manifest;
mod metrics_server;
mod open_files;
mod plan;
mod plugins;
mod recording;
mod reporting;
mod rounds;
mod run_directory;
mod runner;
mod scenario;
mod senders;
mod siblings;
mod soak;
mod stored;
mod watch;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Messages are made in one thread and freed in another, all day long: the C library's heap takes a third of capture's time
/// for it. C libraries keep that heap: the engine of ClickHouse stands no other.
#[global_allocator]
static HEAP: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    open_files::raise();
    command::main()
}
