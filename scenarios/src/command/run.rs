//! `assay run SCENARIO`: from a scenario to a verdict.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
};

use checkers::record::RunRecord;
use reports::{capacity::render, progress::Progress};
use tokio::runtime::Runtime;

use super::{
    Annotations, RunArguments, RunOptions,
    check::show,
    compare::{comparison, judged},
    print,
};
use crate::{
    capacity::measure,
    failure::{Failure, Kind},
    interrupt, library,
    metrics_server::MetricsServer,
    runner::{Request, run as run_request},
    scenario::{Capacity, Override, Scenario},
    senders::Division,
    soak::soak,
};

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, Failure> {
    let command = shell(["assay", "run", &arguments.scenario]);
    run_scenario(library::read(&arguments.scenario, &arguments.options.overrides)?, &arguments.options, command)
}

/// Words as a shell takes them.
pub(super) fn shell<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:%@+,".contains(character);
    let quoted = words.into_iter().map(|word| match word {
        word if !word.is_empty() && word.chars().all(plain) => word.to_owned(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Runs a scenario that was read, by a `command` that more options are added to, and shows its verdict.
pub(super) fn run_scenario(mut scenario: Scenario, options: &RunOptions, command: String) -> Result<ExitCode, Failure> {
    scenario.seed = options.seed.or(scenario.seed);
    if scenario.expect.targets.may_stop_early && !options.shard.is_whole() {
        return Err(Failure::told(
            Kind::Usage,
            "a run that may stop early cannot be divided: nobody could stop the senders of the other shares",
            "leave out --shard, or set expect.may_stop_early to false",
        ));
    }
    if let Some(before) = &options.against {
        // Before anything is started: a comparison with nothing is found out about late otherwise.
        judged(before)?;
    }
    if scenario.capacity.is_some()
        && (options.junit.is_some() || options.against.is_some() || !options.shard.is_whole())
    {
        return Err(Failure::told(
            Kind::Usage,
            "a scenario that looks for a capacity is many runs, and --junit, --against and --shard are for one",
            "leave them out: every trial's directory has its own junit.xml, and scaling.json tells of all",
        ));
    }
    refuse_for_a_soak(&scenario, options)?;
    let mut progress = Progress::on_stderr(options.json);
    if options.metrics.is_some() {
        progress = progress.followed();
    }
    if options.tui {
        progress = progress.with_view();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::caused(Kind::Internal, "no runtime could be made", "", error))?;
    let environment = options.place.choose(&scenario, &runtime, &progress)?;
    let request = Request {
        scenario,
        out: options.out.clone(),
        junit: options.junit.clone(),
        environment,
        division: Division { shard: options.shard, senders: options.senders },
        starts_in: options.starts_in,
        command: Some(with_changes(command, options)),
        confirmation: options.place.confirmation(),
        windows: 1,
    };
    let _server = match options.metrics {
        Some(address) => Some(runtime.block_on(served(address, &progress))?),
        None => None,
    };
    if let Some(capacity) = &request.scenario.capacity {
        return look_for(capacity, &request, &runtime, &progress, options);
    }
    let result = runtime.block_on(async {
        let stop = interrupt::listen()?;
        match request.scenario.soak {
            Some(wanted) => soak(&request, wanted, options.resume.as_deref(), &progress, stop).await,
            None => run_request(&request, &progress, stop).await,
        }
    });
    progress.clear();
    let (record, directory) = result?;
    annotate(&record, options)?;
    let shown = show(&record, options.json);
    if let Some(before) = &options.against {
        let comparison = comparison(before, &record, directory.path())?;
        progress.step(&format!("\nagainst {}:\n{}", before.display(), comparison.render()));
    }
    progress.step(&format!("\nreport: {}", directory.report().display()));
    progress.step(&format!("run directory: {}", directory.path().display()));
    shown
}

/// What does not go with a soak, and what goes with nothing else.
fn refuse_for_a_soak(scenario: &Scenario, options: &RunOptions) -> Result<(), Failure> {
    if scenario.soak.is_none() && options.resume.is_some() {
        return Err(Failure::told(
            Kind::Usage,
            format!("the scenario {} is no soak, so there is nothing to go on with", scenario.name),
            "leave out --resume, or name a scenario with a [soak] section",
        ));
    }
    if scenario.soak.is_some() && (options.against.is_some() || !options.shard.is_whole()) {
        return Err(Failure::told(
            Kind::Usage,
            "a soak is many runs, and --against and --shard are for one",
            "leave them out: `assay compare` sets two windows' directories side by side",
        ));
    }
    Ok(())
}

/// `command` with the values that were changed for this run.
fn with_changes(command: String, options: &RunOptions) -> String {
    let changes = options.overrides.iter().map(|Override { key, value }| {
        let change = format!("{key}={value}");
        format!(" --set {}", shell([change.as_str()]))
    });
    std::iter::once(command).chain(changes).collect()
}

/// Writes annotations where a CI reads them. They go to stderr, since stdout may be somebody's JSON; GitHub reads both.
fn annotate(record: &RunRecord, options: &RunOptions) -> Result<(), Failure> {
    let in_github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    let wanted = options.annotations.unwrap_or(if in_github { Annotations::Github } else { Annotations::None });
    if wanted == Annotations::None {
        return Ok(());
    }
    let text = reports::annotations::github(record);
    std::io::stderr().lock().write_all(text.as_bytes()).map_err(|error| {
        Failure::caused(Kind::Unavailable, "the annotations could not be written to stderr", "", error)
    })
}

/// Looks for a capacity, run after run, and shows what was found.
fn look_for(
    capacity: &Capacity,
    request: &Request,
    runtime: &Runtime,
    progress: &Progress,
    options: &RunOptions,
) -> Result<ExitCode, Failure> {
    let result = runtime.block_on(async { Box::pin(measure(request, capacity, progress, interrupt::listen()?)).await });
    progress.clear();
    let (found, directory) = result?;
    if options.json {
        let text = serde_json::to_string_pretty(&found)
            .map_err(|error| Failure::caused(Kind::Internal, "scaling.json could not be made", "", error))?;
        print(&(text + "\n"))?;
    } else {
        let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        print(&render(&found, color))?;
    }
    progress.step(&format!("\nsearch directory: {}", directory.path().display()));
    Ok(ExitCode::from(found.exit_code))
}

/// Serves the metrics of what `progress` shows, and says where.
pub(super) async fn served(address: SocketAddr, progress: &Progress) -> Result<MetricsServer, Failure> {
    let server = MetricsServer::start(address, progress.board().clone()).await?;
    let address = server.address();
    progress.step(&format!("metrics at http://{address}/metrics, a page for people at http://{address}/"));
    Ok(server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_a_shell_as_they_are() {
        assert_eq!(shell(["assay", "run", "a b", "it's", ""]), r"assay run 'a b' 'it'\''s' ''");
        assert_eq!(shell(["expect.loss_after=20s"]), "expect.loss_after=20s");
        assert_eq!(shell(["$(x)", "`y`"]), "'$(x)' '`y`'");
    }
}
