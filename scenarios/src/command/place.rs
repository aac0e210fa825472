//! Where a run's pipeline is: what `--env`, `--images` and `--image` say, and the environment and the scenario beside them.

use std::path::{Path, PathBuf};

use reports::progress::Progress;
use testenv::{
    containers::{
        docker::connect,
        images::{Image, Images, Part},
    },
    embedded::artefacts::{Places, prepare},
};
use tokio::runtime::Runtime;

use crate::{
    external::{Confirmation, External},
    failure::{Failure, Kind},
    runner::{Own, Wanted, unavailable},
    scenario::Scenario,
};

/// What a person says about the environment.
#[derive(Debug, clap::Args)]
pub(super) struct PlaceOptions {
    /// Where the pipeline runs: auto, embedded, containers, external, or the environment.json of `assay env up`
    #[arg(long, value_name = "KIND|FILE", default_value = "auto", env = "ASSAY_ENV")]
    pub env: String,
    /// The images of `--env containers`: the public ones, or those that testenv/images/build has made on this machine
    #[arg(long, value_name = "WHICH", default_value = "public", value_parser = ["public", "local"], env = "ASSAY_IMAGES")]
    pub images: String,
    /// One image in place of that, such as `kafka=apache/kafka:4.1.0`; parts are kafka, clickhouse and pipeline
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

impl PlaceOptions {
    /// The images: from the command line, else from variables such as `ASSAY_IMAGE_KAFKA`, else from the scenario, else
    /// the public ones.
    pub(super) fn images(&self, of_scenario: &Images) -> Result<Images, Failure> {
        let mut named = Images::default();
        for (_, part) in Part::ALL {
            let variable = part.variable();
            let Some(value) = std::env::var(&variable).ok().filter(|value| !value.is_empty()) else { continue };
            let image = Image::try_from(value)
                .map_err(|error| Failure::told(Kind::Usage, format!("{variable}: {error}"), "correct or unset it"))?;
            named.set(part, image);
        }
        for (part, image) in &self.image {
            named.set(*part, image.clone());
        }
        let base = if self.images == "local" { Images::local() } else { of_scenario.clone() };
        Ok(base.overridden_by(&named))
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
            if let Some(line) = external.ignored(scenario) {
                progress.step(&format!("note: {line}"));
            }
            return Ok(Wanted::External(Box::new(external)));
        }
        self.choose_for(&scenario.images, scenario.needs_containers().as_deref(), runtime, progress)
    }

    /// Where `scenario` is to run that is about the reference pipeline.
    pub(super) fn choose_reference(
        &self,
        scenario: &Scenario,
        runtime: &Runtime,
        progress: &Progress,
    ) -> Result<Wanted, Failure> {
        self.choose_for(&scenario.images, scenario.needs_containers().as_deref(), runtime, progress)
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
                        // What keeps the first choice from being had is what the user hears of if neither can.
                        let why = error.to_string();
                        runtime.block_on(connect()).map_err(|_| unavailable(error.into()))?;
                        progress.step(&format!("environment: containers, since the embedded one cannot be had: {why}"));
                        containers()?
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
