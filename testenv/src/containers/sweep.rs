//! Removing everything that carries a run's label, and everything whose owner is dead.
//!
//! The first is the guard's affair when its run is over. The second is for what stays behind when the guard is killed with
//! the run, as a CI does that cancels a job: the next run on the same machine removes it. What has no owner's label, or one of
//! another machine, or of somebody who lives, is not touched.

use std::{collections::HashMap, ffi::OsString, fmt, io::Write, process::ExitCode, time::Duration};

use testcontainers::bollard::{
    Docker,
    errors::Error,
    query_parameters::{
        ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
        RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder,
    },
};

use tokio::time::timeout;

use super::{
    docker::{CARRIED_OUT_WITHIN, LABEL, OWNER_LABEL, connect},
    owner::Owner,
};

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

fn failed(error: &dyn fmt::Display) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "assay serve sweep: {error}");
    ExitCode::from(69)
}

/// Removes what owners on this machine have left that are dead, and tells in a line what that was. That something of it cannot
/// be removed, which is told as well, keeps nobody from starting.
pub(super) async fn sweep_dead(docker: &Docker, tell: &(dyn Fn(&str) + Sync)) {
    // Who does not know where it is cannot know who is dead there.
    let Ok(here) = Owner::this() else { return };
    let is_dead = |labels: &Labels| {
        let owner = labels.get(OWNER_LABEL).and_then(|owner| owner.parse::<Owner>().ok());
        owner.is_some_and(|owner| owner.is_dead(&here))
    };
    let swept = timeout(CARRIED_OUT_WITHIN, round(docker, OWNER_LABEL, is_dead)).await;
    let problem = match swept {
        Ok(Ok(Round { removed, .. })) => {
            if removed != Removed::default() {
                tell(&format!("removed what killed runs had left: {removed}"));
            }
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(late) => late.to_string(),
    };
    tell(&format!("what killed runs have left may still be there: {problem}"));
}

/// Removes what carries the run's label, until nothing is left and nothing more comes.
async fn sweep(docker: &Docker, run: &str) -> Result<(), Error> {
    let mut was_clean = false;
    for _ in 0..ROUNDS {
        let is_clean = round(docker, &format!("{LABEL}={run}"), |_| true).await?.found == 0;
        if is_clean && was_clean {
            return Ok(());
        }
        was_clean = is_clean;
        tokio::time::sleep(STILL_COMING).await;
    }
    Ok(())
}

type Labels = HashMap<String, String>;

/// What one look at the daemon has found, and what of it is gone.
#[derive(Debug, Default)]
struct Round {
    found: usize,
    removed: Removed,
}

/// So much was removed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Removed {
    containers: usize,
    volumes: usize,
    networks: usize,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [(self.containers, "container"), (self.volumes, "volume"), (self.networks, "network")];
        let told = kinds.into_iter().filter(|(count, _)| *count > 0);
        let told = told.map(|(count, kind)| format!("{count} {kind}{}", if count == 1 { "" } else { "s" }));
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
}

/// Removes what carries `label` and is `meant`, by all its labels.
async fn round(docker: &Docker, label: &str, meant: impl Fn(&Labels) -> bool) -> Result<Round, Error> {
    let filter: HashMap<String, Vec<String>> = [("label".to_owned(), vec![label.to_owned()])].into();
    let is_meant = |labels: Option<&Labels>| meant(labels.unwrap_or(&Labels::new()));
    let mut round = Round::default();

    let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
    let containers = docker.list_containers(Some(options)).await?;
    let containers = containers.iter().filter(|container| is_meant(container.labels.as_ref()));
    let removing = containers.filter_map(|container| container.id.as_deref()).map(|id| {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        docker.remove_container(id, Some(options))
    });
    // All at once; one that cannot be removed yet is found again in the next round.
    let gone = futures_util::future::join_all(removing).await;
    round.found += gone.len();
    round.removed.containers = gone.iter().filter(|gone| gone.is_ok()).count();

    let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let volumes = docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    for volume in volumes.iter().filter(|volume| meant(&volume.labels)) {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        round.found += 1;
        round.removed.volumes += usize::from(docker.remove_volume(&volume.name, Some(options)).await.is_ok());
    }

    let options = ListNetworksOptionsBuilder::new().filters(&filter).build();
    let networks = docker.list_networks(Some(options)).await?;
    let networks = networks.iter().filter(|network| is_meant(network.labels.as_ref()));
    for network in networks.filter_map(|network| network.id.as_deref()) {
        round.found += 1;
        round.removed.networks += usize::from(docker.remove_network(network).await.is_ok());
    }
    Ok(round)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::{super::fake::Daemon, *};

    /// A container, a volume and a network of each of these owners, on a daemon that removes what it is told.
    fn daemon(owners: &[(&str, Owner)]) -> Daemon {
        let thing = |kind: &str, (name, owner): &(&str, Owner)| {
            let name = format!("{name}-{kind}");
            json!({"Id": name, "Name": name, "Labels": {OWNER_LABEL: owner.to_string()}})
        };
        let all = |kind: &str| owners.iter().map(|owner| thing(kind, owner)).collect::<Vec<Value>>();
        let (containers, volumes, networks) = (json!(all("c")), json!({"Volumes": volumes(all("v"))}), json!(all("n")));
        Daemon::answering(move |request| match request {
            "GET /containers/json" => (200, containers.to_string()),
            "GET /volumes" => (200, volumes.to_string()),
            "GET /networks" => (200, networks.to_string()),
            _ => (204, String::new()),
        })
    }

    /// With what the daemon says of volumes besides.
    fn volumes(all: Vec<Value>) -> Vec<Value> {
        let more = |mut volume: Value| {
            (volume["Driver"], volume["Mountpoint"], volume["Options"]) = ("local".into(), "/".into(), json!({}));
            volume["Scope"] = "local".into();
            volume
        };
        all.into_iter().map(more).collect()
    }

    async fn told(daemon: &Daemon) -> Vec<String> {
        let told = Mutex::new(Vec::new());
        sweep_dead(&daemon.client(), &|line| told.lock().unwrap().push(line.to_owned())).await;
        told.into_inner().unwrap()
    }

    #[tokio::test]
    async fn only_what_dead_owners_of_this_machine_have_left_goes_and_a_line_tells_of_it() {
        let here = Owner::this().unwrap();
        let dead = Owner { began: here.began - 1, ..here.clone() };
        let elsewhere = Owner { machine: "elsewhere".into(), ..dead.clone() };
        let daemon = daemon(&[("dead", dead.clone()), ("here", here), ("elsewhere", elsewhere), ("dead-too", dead)]);
        assert_eq!(told(&daemon).await, ["removed what killed runs had left: 2 containers, 2 volumes, 2 networks"]);
        let asked = daemon.asked();
        let removed: Vec<&str> = asked.iter().filter_map(|asked| asked.strip_prefix("DELETE ")).collect();
        let expected = [
            "/containers/dead-c",
            "/containers/dead-too-c",
            "/networks/dead-n",
            "/networks/dead-too-n",
            "/volumes/dead-too-v",
            "/volumes/dead-v",
        ];
        assert_eq!(removed, expected);
    }

    #[tokio::test]
    async fn where_nothing_was_left_nothing_is_told_and_a_daemon_that_refuses_is_no_failure() {
        let here = Owner::this().unwrap();
        assert_eq!(told(&daemon(&[("here", here)])).await, [""; 0]);
        let refusing = Daemon::answering(|_| (500, r#"{"message":"no"}"#.into()));
        let told = told(&refusing).await;
        assert!(told.len() == 1 && told[0].starts_with("what killed runs have left may still be there"), "{told:?}");
    }

    #[test]
    fn what_was_removed_is_told_by_kinds() {
        let removed = Removed { containers: 1, volumes: 0, networks: 2 };
        assert_eq!(removed.to_string(), "1 container, 2 networks");
    }
}
