//! The scenario library: files of their own, built into the binary.

use std::path::Path;

use crate::{
    failure::{Failure, Kind},
    scenario::{Override, Scenario},
};

/// The library's files: name and text.
pub const LIBRARY: &[(&str, &str)] = &[
    ("smoke", include_str!("../library/smoke.toml")),
    ("canary", include_str!("../library/canary.toml")),
    ("content", include_str!("../library/content.toml")),
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
    ("five-dollar", include_str!("../library/five-dollar.toml")),
];

/// Reads a scenario: a name of the library, or a file.
///
/// # Errors
/// When there is no such scenario or file, or it is wrong.
pub fn read(name_or_file: &str, overrides: &[Override]) -> Result<Scenario, Failure> {
    let known = LIBRARY.iter().find(|(name, _)| *name == name_or_file);
    let (file, source) = match known {
        Some((name, source)) => (format!("{name}.toml"), (*source).to_owned()),
        None => (name_or_file.to_owned(), read_file(Path::new(name_or_file))?),
    };
    Scenario::read(&file, &source, overrides).map_err(|problems| Failure::new(Kind::Usage, problems))
}

fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        let names: Vec<&str> = LIBRARY.iter().map(|(name, _)| *name).collect();
        Failure::caused(
            Kind::Usage,
            format!("the scenario {} cannot be read", path.display()),
            format!("give a file, or a name of the library: {} (`assay list` tells more)", names.join(", ")),
            error,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_library_is_right_and_named_as_its_file() {
        for (name, source) in LIBRARY {
            let scenario = Scenario::read(name, source, &[]).unwrap_or_else(|problems| panic!("{problems}"));
            assert_eq!(scenario.name, *name);
        }
    }
}
