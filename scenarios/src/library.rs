//! The scenario library: files of their own, built into the binary.

use std::path::Path;

use crate::{
    failure::{Failure, Kind},
    scenario::{Override, Scenario, extend::Source},
};

/// The library's files: name and text.
pub const LIBRARY: &[(&str, &str)] = &[
    ("smoke", include_str!("../library/smoke.toml")),
    ("canary", include_str!("../library/canary.toml")),
    ("release-gate", include_str!("../library/release-gate.toml")),
    ("soak", include_str!("../library/soak.toml")),
    ("bursts", include_str!("../library/bursts.toml")),
    ("big-events", include_str!("../library/big-events.toml")),
    ("content", include_str!("../library/content.toml")),
    ("wire", include_str!("../library/wire.toml")),
    ("out-of-order", include_str!("../library/out-of-order.toml")),
    ("plugins", include_str!("../library/plugins.toml")),
    ("hot-keys", include_str!("../library/hot-keys.toml")),
    ("replay", include_str!("../library/replay.toml")),
    ("calibrate", include_str!("../library/calibrate.toml")),
    ("chaos-kill", include_str!("../library/chaos-kill.toml")),
    ("chaos-restart", include_str!("../library/chaos-restart.toml")),
    ("chaos-pause", include_str!("../library/chaos-pause.toml")),
    ("chaos-network", include_str!("../library/chaos-network.toml")),
    ("chaos-rebalance", include_str!("../library/chaos-rebalance.toml")),
    ("chaos-poison", include_str!("../library/chaos-poison.toml")),
    ("chaos-clickhouse-away", include_str!("../library/chaos-clickhouse-away.toml")),
    ("chaos-overload", include_str!("../library/chaos-overload.toml")),
    ("chaos-random", include_str!("../library/chaos-random.toml")),
    ("chaos-resources", include_str!("../library/chaos-resources.toml")),
    ("scaling", include_str!("../library/scaling.toml")),
    ("scaling-processors", include_str!("../library/scaling-processors.toml")),
    ("five-dollar", include_str!("../library/five-dollar.toml")),
];

/// Reads a scenario: a name of the library, or a file.
///
/// # Errors
/// When there is no such scenario or file, or it is wrong.
pub fn read(name_or_file: &str, overrides: &[Override]) -> Result<Scenario, Failure> {
    let source = match of_library(name_or_file) {
        Some(source) => source,
        None => Source { file: name_or_file.to_owned(), text: read_file(Path::new(name_or_file))? },
    };
    let mut scenario = Scenario::read_extending(&source, overrides, extended)
        .map_err(|problems| Failure::new(Kind::Usage, problems))?;
    let folder = Path::new(&source.file).parent().unwrap_or(Path::new(""));
    for (name, mount) in scenario.substitutes.mounts() {
        mount.locate(folder).map_err(|error| {
            Failure::caused(
                Kind::Usage,
                format!("{}: {name}: {} cannot be mounted", source.file, mount.inside),
                "mounts are files and folders beside the scenario's file: put it there",
                error,
            )
        })?;
    }
    Ok(scenario)
}

fn of_library(name: &str) -> Option<Source> {
    let (name, text) = LIBRARY.iter().find(|(known, _)| *known == name)?;
    Some(Source { file: format!("{name}.toml"), text: (*text).to_owned() })
}

/// What `file` extends: a name of the library, or a file whose path counts from that of `file`.
fn extended(wanted: &str, file: &str) -> Result<Source, String> {
    if let Some(source) = of_library(wanted) {
        return Ok(source);
    }
    let path = Path::new(file).parent().unwrap_or(Path::new("")).join(wanted);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        format!("{} cannot be read ({error}), and the library has no `{wanted}`: {}", path.display(), names())
    })?;
    Ok(Source { file: path.display().to_string(), text })
}

fn names() -> String {
    LIBRARY.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::caused(
            Kind::Usage,
            format!("the scenario {} cannot be read", path.display()),
            format!("give a file, or a name of the library: {} (`assay list` tells more)", names()),
            error,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_library_is_right_and_named_as_its_file() {
        for (name, _) in LIBRARY {
            let scenario = read(name, &[]).unwrap_or_else(|problems| panic!("{problems:?}"));
            assert_eq!(scenario.name, *name);
        }
    }

    #[test]
    fn what_a_component_reads_is_beside_the_scenarios_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.toml");
        let more = "[[component]]\nname = \"postgres\"\nimage = \"postgres:15\"\nmounts = { \"/seed\" = \"seed\" }\n";
        std::fs::write(&file, format!("{}\n{more}", LIBRARY[0].1)).unwrap();
        let read = || read(&file.display().to_string(), &[]);
        let told = read().map(drop).map_err(|failure| failure.line()).unwrap_err();
        assert!(told.contains("postgres: /seed cannot be mounted") && told.contains("`seed` is not there"), "{told}");
        std::fs::create_dir(folder.path().join("seed")).unwrap();
        let scenario = read().unwrap();
        let mount = &scenario.substitutes.further[0].substitute.mounts[0];
        assert_eq!(mount.source, folder.path().canonicalize().unwrap().join("seed"));
        assert_eq!(scenario.digest(), read().unwrap().digest());
        std::fs::write(folder.path().join("seed/teams.sql"), "INSERT").unwrap();
        assert_ne!(scenario.digest(), read().unwrap().digest(), "with other files it is another scenario");
    }
}
