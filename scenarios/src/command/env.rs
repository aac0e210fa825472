//! `assay env prepare`: fetch what the embedded environment is made of.

use std::process::ExitCode;

use reports::progress::Progress;
use testenv::embedded::artefacts::{Places, prepare as fetch};

use super::print;
use crate::{failure::Failure, runner::unavailable};

pub(super) fn prepare() -> Result<ExitCode, Failure> {
    let progress = Progress::on_stderr(false);
    let artefacts =
        fetch(&Places::of_user(), &|line| progress.step(line)).map_err(|error| unavailable(error.into()))?;
    print(&format!(
        "prepared\n  java        {}\n  kafka       {}\n  clickhouse  {}\n",
        artefacts.java.display(),
        artefacts.kafka_libs.display(),
        artefacts.clickhouse_library.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
