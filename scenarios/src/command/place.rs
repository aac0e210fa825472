//! Where a run's pipeline is: what `--env`, `--images` and `--image` say, and the environment and the scenario beside them.

use std::path::{Path, PathBuf};

use generators::error_chain::told;
use reports::progress::Progress;
use testenv::{
    containers::{
        images::{Image, Images, Part},
        supply::can_be_had,
    },
    embedded::{
        artefacts::{Places, prepare},
        quota,
    },
    environment::EnvironmentError,
};
use tokio::runtime::Runtime;

use crate::{
    external::{Confirmation, External},
    failure::{Failure, Kind},
    runner::{Own, Wanted},
    scenario::Scenario,
};

/// What a person says about the environment.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceOptions {
    /// Where the pipeline runs: auto, embedded, containers, external, or the environment.json of `assay env up`
    #[arg(long, value_name = "KIND|FILE", default_value = "auto", env = "ASSAY_ENV")]
    pub env: String,
    /// The images of `--env containers` that nothing else names: the public ones, or those that testenv/images/build has made on this machine
    #[arg(long, value_name = "WHICH", default_value = "public", value_parser = ["public", "local"], env = "ASSAY_IMAGES")]
    pub images: String,
    /// One image, such as `kafka=apache/kafka:4.1.0`; parts are kafka, clickhouse and pipeline. It goes before `ASSAY_IMAGE_KAFKA`, and that before the scenario's `[images]`
    #[arg(long = "image", value_name = "PART=IMAGE", value_parser = parse_image)]
    pub image: Vec<(Part, Image)>,
    /// The file that says where the pipeline of `--env external` is and what may be done to it
    #[arg(long, value_name = "FILE", env = "ASSAY_EXTERNAL")]
    pub external: Option<PathBuf>,
    /// Send to the pipeline of `--env external` without asking first
    #[arg(long)]
    pub yes: bool,
    /// Let Kafka listen on this port instead of a free one
    #[arg(long, value_name = "PORT")]
    pub kafka_port: Option<u16>,
    /// Let ClickHouse listen on this port instead of a free one
    #[arg(long, value_name = "PORT")]
    pub clickhouse_port: Option<u16>,
    /// Give Kafka the settings in this file as well, such as listeners that demand a password: for tests
    #[arg(long, value_name = "FILE", hide = true)]
    pub kafka_settings: Option<PathBuf>,
}

/// The pipeline of the file that `--external` names.
pub(super) fn external(file: Option<&Path>) -> Result<External, Failure> {
    match file {
        Some(path) => External::open(path),
        None => Err(Failure::told(
            Kind::Usage,
            "`--env external` needs to know where the pipeline is",
            "name the file that says it: --external FILE; docs/your-own-pipeline.md shows one",
        )),
    }
}

/// What of `scenario` needs containers on this machine.
pub(super) fn needs_containers(scenario: &Scenario) -> Option<String> {
    scenario.needs_containers(|most| quota::can_be_had(most).map_err(|error| told(&error)))
}

/// Refuses what of a scenario `needs` containers where components are child processes.
pub(super) fn fits_processes(needs: Option<&str>) -> Result<(), Failure> {
    let Some(what) = needs else { return Ok(()) };
    Err(Failure::told(
        Kind::Usage,
        format!("{what} cannot be had where components are child processes"),
        "run it with `--env containers`, or take it out of the scenario",
    ))
}

fn parse_image(text: &str) -> Result<(Part, Image), String> {
    let parts = Part::ALL.map(|(word, _)| word).join(", ");
    let (word, image) = text.split_once('=').ok_or("write PART=IMAGE, such as kafka=apache/kafka:4.1.0")?;
    let part = Part::ALL.into_iter().find(|(name, _)| *name == word);
    let (_, part) = part.ok_or_else(|| format!("there is no part `{word}`; the parts are {parts}"))?;
    Ok((part, Image::try_from(image.to_owned()).map_err(|error| error.to_string())?))
}

/// The images that variables such as `ASSAY_IMAGE_KAFKA` name; an empty one names none.
fn of_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Images, Failure> {
    let mut named = Images::default();
    for (_, part) in Part::ALL {
        let name = part.variable();
        let Some(value) = variable(&name).filter(|value| !value.is_empty()) else { continue };
        let image = Image::try_from(value)
            .map_err(|error| Failure::told(Kind::Usage, format!("{name}: {error}"), "correct or unset it"))?;
        named.set(part, image);
    }
    Ok(named)
}

/// What a user hears who left the choice to Assay, and neither kind can be had.
fn neither(embedded: &EnvironmentError, containers: &EnvironmentError) -> Failure {
    Failure::told(
        Kind::Unavailable,
        format!(
            "neither environment can be had. Tried for embedded: {}. Tried for containers: {}",
            in_a_line(embedded),
            in_a_line(containers)
        ),
        format!("for embedded: {}. For containers: {}", embedded.help(), containers.help()),
    )
}

/// An error and what is behind it.
fn in_a_line(error: &EnvironmentError) -> String {
    let errors = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl PlaceOptions {
    /// The images: of each part from `--image`, else from a variable such as `ASSAY_IMAGE_KAFKA`, else from the scenario, else
    /// the one that `--images` means for all.
    fn images(&self, of_scenario: &Images) -> Result<Images, Failure> {
        self.images_with(|name| std::env::var(name).ok(), of_scenario)
    }

    fn images_with(&self, variable: impl Fn(&str) -> Option<String>, of_scenario: &Images) -> Result<Images, Failure> {
        let all = if self.images == "local" { Images::local() } else { Images::default() };
        Ok(all.overridden_by(of_scenario).overridden_by(&of_variables(variable)?).overridden_by(&self.named()))
    }

    /// What `--image` names.
    fn named(&self) -> Images {
        let mut named = Images::default();
        for (part, image) in &self.image {
            named.set(*part, image.clone());
        }
        named
    }

    /// Where `scenario` is to run. For `auto` it says which kind that is, and why.
    pub(super) fn choose(
        &self,
        scenario: &Scenario,
        runtime: &Runtime,
        progress: &Progress,
    ) -> Result<Wanted, Failure> {
        if self.env == "external" {
            let external = external(self.external.as_deref())?;
            external.check(scenario)?;
            for line in external.notes(scenario) {
                progress.step(&format!("note: {line}"));
            }
            return Ok(Wanted::External(Box::new(external)));
        }
        self.choose_for(&scenario.images, needs_containers(scenario).as_deref(), runtime, progress)
    }

    /// Where `scenario` is to run that is about the reference pipeline.
    pub(super) fn choose_reference(
        &self,
        scenario: &Scenario,
        runtime: &Runtime,
        progress: &Progress,
    ) -> Result<Wanted, Failure> {
        self.choose_for(&scenario.images, needs_containers(scenario).as_deref(), runtime, progress)
    }

    /// Whether somebody has to agree before anything is sent to somebody else's pipeline.
    pub(super) const fn confirmation(&self) -> Confirmation {
        if self.yes { Confirmation::Given } else { Confirmation::Ask }
    }

    /// What a substrate of one's own is made of, for whatever may run on it.
    pub(super) fn choose_own(&self, runtime: &Runtime, progress: &Progress) -> Result<Own, Failure> {
        match self.choose_for(&Images::default(), None, runtime, progress)? {
            Wanted::Own(own) => Ok(own),
            Wanted::Shared(_) | Wanted::External(_) => Err(Failure::told(
                Kind::Usage,
                format!("`--env {}` names an environment that is up, and a new one shall be started", self.env),
                "write --env embedded or --env containers, or leave it out",
            )),
        }
    }

    /// Where something is to run that may say its `images`, and that `needs` containers for something.
    fn choose_for(
        &self,
        images: &Images,
        needs: Option<&str>,
        runtime: &Runtime,
        progress: &Progress,
    ) -> Result<Wanted, Failure> {
        let containers = || self.images(images).map(Own::Containers).map(Wanted::Own);
        let chosen = match self.env.as_str() {
            "containers" => containers()?,
            "embedded" => self.embedded(),
            "auto" => match needs {
                Some(what) => {
                    progress.step(&format!("environment: containers, since {what} is asked for"));
                    containers()?
                }
                None => match prepare(&Places::of_user(), &|line| progress.step(line)) {
                    Ok(_) => {
                        progress.step("environment: embedded (Kafka and ClickHouse as child processes)");
                        self.embedded()
                    }
                    Err(error) => {
                        let images = self.images(images)?;
                        let why = error.to_string();
                        runtime.block_on(can_be_had(&images)).map_err(|other| neither(&error.into(), &other))?;
                        progress.step(&format!("environment: containers, since the embedded one cannot be had: {why}"));
                        Wanted::Own(Own::Containers(images))
                    }
                },
            },
            "external" => {
                return Err(Failure::told(
                    Kind::Usage,
                    "somebody else's pipeline cannot be used for this, which needs one of its own",
                    "write --env embedded or --env containers, or leave it out",
                ));
            }
            file => Wanted::Shared(super::env::read(Path::new(file))?.substrate),
        };
        let is_containers = chosen.kind() == "containers";
        if !is_containers {
            fits_processes(needs)?;
        }
        let is_for_processes =
            self.kafka_port.is_some() || self.clickhouse_port.is_some() || self.kafka_settings.is_some();
        if is_containers && is_for_processes {
            return Err(Failure::told(
                Kind::Usage,
                "--kafka-port, --clickhouse-port and --kafka-settings are for the embedded environment",
                "leave them out: containers get free ports",
            ));
        }
        Ok(chosen)
    }

    fn embedded(&self) -> Wanted {
        Wanted::Own(Own::Embedded {
            kafka_port: self.kafka_port,
            clickhouse_port: self.clickhouse_port,
            kafka_settings: self.kafka_settings.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        place: PlaceOptions,
    }

    /// What plays Kafka, ClickHouse and the pipeline.
    fn played(arguments: &[&str], variables: &[(&str, &str)], scenario: &[(Part, &str)]) -> [String; 3] {
        let place = Command::parse_from([&["assay"], arguments].concat()).place;
        let value = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut of_scenario = Images::default();
        for (part, image) in scenario {
            of_scenario.set(*part, Image::try_from((*image).to_owned()).unwrap());
        }
        let images = place.images_with(value, &of_scenario).unwrap();
        Part::ALL.map(|(_, part)| images.of(part).to_string())
    }

    #[test]
    fn of_what_names_an_image_the_more_specific_wins_and_local_is_only_for_the_rest() {
        let (kafka, clickhouse) = ((Part::Kafka, "kafka:scenario"), (Part::Clickhouse, "clickhouse:scenario"));
        let (public, local) = (["--images", "public"], ["--images", "local"]);
        let every = |of: fn(Part) -> &'static str| Part::ALL.map(|(_, part)| of(part).to_owned());
        assert_eq!(played(&public, &[], &[]), every(Part::public));
        assert_eq!(played(&local, &[], &[]), every(Part::local));

        // A scenario names two; `local` is for the third.
        let [_, _, rest] = every(Part::local);
        let named = played(&local, &[], &[kafka, clickhouse]);
        assert_eq!(named, ["kafka:scenario".to_owned(), "clickhouse:scenario".into(), rest.clone()]);
        let [_, _, public_rest] = every(Part::public);
        assert_eq!(played(&public, &[], &[kafka, clickhouse])[2], public_rest);

        // A variable goes before the scenario, and the command line before both; an empty variable names nothing.
        let variables = [("ASSAY_IMAGE_KAFKA", "kafka:variable"), ("ASSAY_IMAGE_CLICKHOUSE", "")];
        let named = played(&local, &variables, &[kafka, clickhouse]);
        assert_eq!(named, ["kafka:variable".to_owned(), "clickhouse:scenario".into(), rest.clone()]);
        let flag = ["--images", "local", "--image", "kafka=kafka:flag"];
        let named = played(&flag, &variables, &[kafka, clickhouse]);
        assert_eq!(named, ["kafka:flag".to_owned(), "clickhouse:scenario".into(), rest]);
        let pipeline = [("ASSAY_IMAGE_PIPELINE", "debian:variable")];
        assert_eq!(played(&local, &pipeline, &[])[2], "debian:variable");
    }

    #[test]
    fn a_variable_that_names_no_image_is_told_by_its_name() {
        let wrong = of_variables(|name| (name == "ASSAY_IMAGE_KAFKA").then(|| "a b".into())).unwrap_err();
        assert!(wrong.line().starts_with("ASSAY_IMAGE_KAFKA: `a b` names no image"), "{}", wrong.line());
    }

    #[test]
    fn who_gets_neither_environment_hears_of_both() {
        let tried = |what: &str, help: &str| EnvironmentError::Docker {
            what: what.into(),
            help: help.into(),
            source: "the reason".into(),
        };
        let line = neither(&tried("no Java", "install it"), &tried("no daemon", "start one")).line();
        let expected = "neither environment can be had. Tried for embedded: no Java: the reason. Tried for containers: no daemon: the reason";
        assert_eq!(line, expected);
    }
}
