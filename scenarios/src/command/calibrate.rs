//! `assay calibrate`: plant every known defect, one at a time, and show which were found.

use std::{collections::HashSet, path::PathBuf, process::ExitCode, time::Duration};

use checkers::verdict::Verdict;
use reports::{
    calibration::{Outcome, Row, render},
    progress::Progress,
};
use testenv::{
    containers::container::Limits,
    pipeline::defect::{CATALOGUE, Defect, DefectName},
};
use tokio::sync::watch;

use super::{place::PlaceOptions, print};
use crate::{
    calibrate::{row, scenario},
    external::Confirmation,
    failure::{Failure, Kind},
    interrupt, library,
    run_directory::RunDirectory,
    runner::{Request, Shared, SubstrateSettings, Wanted, run, unique},
    scenario::Scenario,
    senders::Division,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only these defects; all of them without it
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = named)]
    only: Vec<DefectName>,
    #[command(flatten)]
    place: PlaceOptions,
    /// The folder that runs are kept in
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
}

fn named(word: &str) -> Result<DefectName, String> {
    CATALOGUE.iter().find(|defect| defect.word == word).map(|defect| defect.name).ok_or_else(|| {
        let words: Vec<&str> = CATALOGUE.iter().map(|defect| defect.word).collect();
        format!("there is no such defect; there are {}", words.join(", "))
    })
}

pub(super) fn calibrate(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    let progress = Progress::on_stderr(arguments.json);
    let wanted = arguments.place.choose_reference(&library::read("calibrate", &[])?, &runtime, &progress)?;
    let rows = runtime.block_on(async {
        let stop = interrupt::listen()?;
        let own = match wanted {
            Wanted::Shared(shared) => return plant_all(arguments, &shared, &progress, stop).await,
            Wanted::Own(own) => own,
            Wanted::External(_) => {
                return Err(Failure::told(Kind::Internal, "defects are planted in the reference pipeline only", ""));
            }
        };
        let name = unique("calibrate");
        let folder = std::env::temp_dir().join(format!("assay-{name}"));
        let logs = std::path::absolute(arguments.out.join("calibrate").join("substrate"))
            .unwrap_or_else(|_| arguments.out.join("calibrate"));
        std::fs::create_dir_all(&logs).map_err(|error| {
            let what = format!("the folder {} cannot be made", logs.display());
            Failure::caused(Kind::Usage, what, "name a folder that you may write to with --out DIR", error)
        })?;
        let settings = SubstrateSettings {
            name,
            folder: &folder,
            logs: &logs,
            linked: Vec::new(),
            disks: Vec::new(),
            limits: Limits::default(),
        };
        let substrate = own.start(settings, &progress).await?;
        let rows = plant_all(arguments, &Shared::of(&substrate, &own), &progress, stop).await;
        substrate.down().await;
        rows
    });
    progress.clear();
    let rows = rows?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&rows)
            .map_err(|error| Failure::caused(Kind::Internal, "the table could not be written", "", error))?;
        print(&(text + "\n"))?;
    } else {
        print(&render(&rows))?;
    }
    Ok(ExitCode::from(verdict(&rows).exit_code()))
}

/// A calibration fails if the judge was wrong once, and says nothing if a defect could not be tried.
fn verdict(rows: &[Row]) -> Verdict {
    let of = |row: &Row| match row.outcome {
        Outcome::AsItMust => Verdict::Pass,
        Outcome::Wrong(_) => Verdict::Fail,
        Outcome::NotCalibrated(_) => Verdict::Inconclusive,
    };
    rows.iter().map(of).max().unwrap_or(Verdict::Inconclusive)
}

/// One run after the other, a clean one first.
async fn plant_all(
    arguments: &Arguments,
    shared: &Shared,
    progress: &Progress,
    stop: watch::Receiver<bool>,
) -> Result<Vec<Row>, Failure> {
    let clean = library::read("calibrate", &[])?;
    let wanted = CATALOGUE.iter().filter(|defect| arguments.only.is_empty() || arguments.only.contains(&defect.name));
    let mut rows = Vec::new();
    for defect in std::iter::once(None).chain(wanted.map(Some)) {
        let name = defect.map_or("nothing", |defect| defect.word);
        progress.now(format!("planting {name}"));
        let row = plant(&clean, defect, arguments, shared, stop.clone()).await?;
        let word = if row.outcome == Outcome::AsItMust { "ok" } else { "not as it must be" };
        progress.step(&format!("{name}: planted {}, found {} {}: {word}", row.planted, row.found, row.finding));
        rows.push(row);
        if *stop.borrow() {
            return Err(Failure::told(Kind::Stopped, "stopped", "the rest was not calibrated"));
        }
    }
    Ok(rows)
}

async fn plant(
    clean: &Scenario,
    defect: Option<&'static Defect>,
    arguments: &Arguments,
    shared: &Shared,
    stop: watch::Receiver<bool>,
) -> Result<Row, Failure> {
    let scenario = scenario(clean, defect);
    let environment = Wanted::Shared(shared.clone());
    let request = Request {
        scenario,
        out: arguments.out.clone(),
        junit: None,
        environment,
        division: Division::WHOLE,
        starts_in: Duration::ZERO,
        command: None,
        confirmation: Confirmation::Ask,
        windows: 1,
    };
    let (record, directory) = Box::pin(run(&request, &Progress::on_stderr(true), stop)).await?;
    let planted = defect.map_or(0, |defect| planted_in(&directory, defect));
    Ok(row(defect, planted, &record))
}

/// How many events the pipeline's logs name as planted.
fn planted_in(directory: &RunDirectory, defect: &Defect) -> u64 {
    let log = directory.logs().join(format!("{}.log", defect.stage.name()));
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let beginning = format!("planted {} in ", defect.word);
    text.lines().filter_map(|line| line.strip_prefix(&beginning)).collect::<HashSet<_>>().len() as u64
}
