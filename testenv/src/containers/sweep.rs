//! Removing everything that carries a run's label.

use std::{collections::HashMap, ffi::OsString, io::Write, process::ExitCode, time::Duration};

use testcontainers::bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
    },
};

use super::docker::{LABEL, connect};

/// A request that was on its way when its sender died may still make something.
const STILL_COMING: Duration = Duration::from_millis(200);
/// As often something may still have come.
const ROUNDS: usize = 20;

/// Plays the role `sweep`: removes the containers, volumes and networks of the run that is the argument.
pub fn serve(arguments: &[OsString]) -> ExitCode {
    let [run] = arguments else { return ExitCode::from(64) };
    let run = run.to_string_lossy();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let swept = runtime.block_on(async {
        let docker = connect().await.map_err(|error| error.to_string())?;
        sweep(&docker, &run).await.map_err(|error| error.to_string())
    });
    match swept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "assay serve sweep: {error}");
    ExitCode::from(69)
}

/// Removes them, until nothing is left and nothing more comes.
async fn sweep(docker: &Docker, run: &str) -> Result<(), Error> {
    let mut was_clean = false;
    for _ in 0..ROUNDS {
        let is_clean = round(docker, run).await?;
        if is_clean && was_clean {
            return Ok(());
        }
        was_clean = is_clean;
        tokio::time::sleep(STILL_COMING).await;
    }
    Ok(())
}

/// Removes what is there; whether nothing was.
async fn round(docker: &Docker, run: &str) -> Result<bool, Error> {
    let filter: HashMap<String, Vec<String>> = [("label".to_owned(), vec![format!("{LABEL}={run}")])].into();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
    let containers = docker.list_containers(Some(options)).await?;
    let removing = containers.iter().filter_map(|container| container.id.as_deref()).map(|id| {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        docker.remove_container(id, Some(options))
    });
    // All at once; one that cannot be removed yet is found again in the next round.
    futures_util::future::join_all(removing).await;
    let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let volumes = docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    for volume in &volumes {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        let _ = docker.remove_volume(&volume.name, Some(options)).await;
    }
    let options = ListNetworksOptionsBuilder::new().filters(&filter).build();
    let networks = docker.list_networks(Some(options)).await?;
    for network in networks.iter().filter_map(|network| network.id.as_deref()) {
        let _ = docker.remove_network(network).await;
    }
    Ok(containers.is_empty() && volumes.is_empty() && networks.is_empty())
}
