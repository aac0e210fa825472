//! Faults: what is done to an environment on purpose, to which part of it, and when.
//!
//! A fault is data: an environment carries it out, and refuses what it cannot do. Every fault heals by itself when its time
//! is over, so that what follows is judged on a whole pipeline.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::name::{is_host, kept};

/// A part of an environment that a fault can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The HTTP capture.
    Capture,
    /// The ingester; of several the first.
    Ingester,
    /// The exporter, where plugins export.
    Exporter,
    /// Kafka.
    Kafka,
    /// ClickHouse.
    Clickhouse,
    /// Between the clients and the capture.
    ClientCapture,
    /// Between the capture and Kafka.
    CaptureKafka,
    /// Between the ingester and Kafka.
    IngesterKafka,
    /// Between ClickHouse and Kafka.
    ClickhouseKafka,
    /// Between whoever checks and ClickHouse.
    CheckerClickhouse,
    /// What the capture writes and the ingester reads.
    CaptureTopic,
    /// What the ingester writes and ClickHouse reads.
    EventsTopic,
    /// A component that not every run has, by its name: one of several ingesters but the first, or one that the scenario adds.
    Named(&'static str),
}

/// What kind of part a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A program.
    Component,
    /// A network connection between two of them.
    Link,
    /// A topic in Kafka.
    Topic,
}

impl Target {
    /// Those that runs have whatever their scenario adds, each with its name in scenarios and output.
    pub const ALL: [(&'static str, Self); 12] = [
        ("capture", Self::Capture),
        ("ingester", Self::Ingester),
        ("exporter", Self::Exporter),
        ("kafka", Self::Kafka),
        ("clickhouse", Self::Clickhouse),
        ("client-capture", Self::ClientCapture),
        ("capture-kafka", Self::CaptureKafka),
        ("ingester-kafka", Self::IngesterKafka),
        ("clickhouse-kafka", Self::ClickhouseKafka),
        ("checker-clickhouse", Self::CheckerClickhouse),
        ("capture-topic", Self::CaptureTopic),
        ("events-topic", Self::EventsTopic),
    ];

    /// The component that is called `name`.
    pub fn component(name: &str) -> Self {
        let known = Self::ALL.into_iter().find(|(word, target)| *word == name && target.kind() == Kind::Component);
        known.map_or_else(|| Self::Named(kept(name)), |(_, target)| target)
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        if let Self::Named(name) = self {
            return name;
        }
        Self::ALL.iter().find(|(_, target)| *target == self).map_or("", |(word, _)| word)
    }

    /// What kind of part it is.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Capture | Self::Ingester | Self::Exporter | Self::Kafka | Self::Clickhouse | Self::Named(_) => {
                Kind::Component
            }
            Self::ClientCapture
            | Self::CaptureKafka
            | Self::IngesterKafka
            | Self::ClickhouseKafka
            | Self::CheckerClickhouse => Kind::Link,
            Self::CaptureTopic | Self::EventsTopic => Kind::Topic,
        }
    }

    /// Whether it belongs to the substrate, which several runs may share.
    pub const fn is_shared(self) -> bool {
        matches!(
            self,
            Self::Kafka | Self::Clickhouse | Self::CaptureKafka | Self::IngesterKafka | Self::ClickhouseKafka
        )
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        match Self::ALL.into_iter().find(|(known, _)| *known == word) {
            Some((_, target)) => Ok(target),
            None if is_host(&word) => Ok(Self::component(&word)),
            None => Err(D::Error::custom(format!("`{word}` is no part of an environment"))),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is done to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The component is killed (SIGKILL), and started again when its time is over.
    Kill,
    /// The component is asked to end (SIGTERM), and started again when its time is over.
    Stop,
    /// The component stands still (SIGSTOP), and goes on when its time is over.
    Pause,
    /// A second component of the same kind joins, and leaves when its time is over: consumers share their partitions anew.
    Rebalance,
    /// Nothing gets through the link; what was on its way arrives later.
    Cut,
    /// All connections of the link are reset, and so is every new one until its time is over.
    Reset,
    /// What goes through the link takes longer, evenly spread around `by`.
    Delay {
        /// How much longer.
        by: Duration,
        /// By so much more or less.
        jitter: Duration,
    },
    /// The link carries no more than so many bytes a second, both directions together.
    Narrow {
        /// How many.
        bytes_per_second: u64,
    },
    /// A message that cannot be read is put straight on the topic.
    BrokenMessage,
    /// The disk that the component keeps its data on is full. The component may end of it; it is started again.
    FillDisk,
    /// The component may use no more than so much processor time.
    Throttle {
        /// In thousandths of a processor.
        thousandths: u32,
    },
    /// The component may use no more than so much memory. It may be killed for it; it is started again.
    Squeeze {
        /// How much, in bytes.
        memory: u64,
    },
}

impl Action {
    /// Its name in scenarios and output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Rebalance => "rebalance",
            Self::Cut => "cut",
            Self::Reset => "reset",
            Self::Delay { .. } => "delay",
            Self::Narrow { .. } => "narrow",
            Self::BrokenMessage => "broken_message",
            Self::FillDisk => "fill_disk",
            Self::Throttle { .. } => "throttle",
            Self::Squeeze { .. } => "squeeze",
        }
    }

    /// What kind of part it can be done to.
    pub const fn acts_on(self) -> Kind {
        match self {
            Self::Kill
            | Self::Stop
            | Self::Pause
            | Self::Rebalance
            | Self::FillDisk
            | Self::Throttle { .. }
            | Self::Squeeze { .. } => Kind::Component,
            Self::Cut | Self::Reset | Self::Delay { .. } | Self::Narrow { .. } => Kind::Link,
            Self::BrokenMessage => Kind::Topic,
        }
    }

    /// Whether it goes on for a time, rather than being done at once.
    pub const fn lasts(self) -> bool {
        !matches!(self, Self::BrokenMessage)
    }

    /// Whether it means nothing without a time.
    pub const fn needs_time(self) -> bool {
        self.lasts() && !matches!(self, Self::Kill | Self::Stop)
    }

    /// Whether it can be done to `target`.
    pub fn fits(self, target: Target) -> bool {
        let among: &[Target] = match self {
            Self::Rebalance => &[Target::Ingester],
            Self::FillDisk => &[Target::Kafka, Target::Clickhouse],
            _ => return self.acts_on() == target.kind(),
        };
        among.contains(&target)
    }

    /// Whether only containers can be treated so.
    pub const fn needs_containers(self) -> bool {
        matches!(self, Self::FillDisk | Self::Throttle { .. } | Self::Squeeze { .. })
    }
}

/// A fault that is to happen. Times count from the start of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts; a component that is killed for no time is started again at once.
    pub lasts: Duration,
    /// What is concerned.
    pub target: Target,
    /// What is done to it.
    pub action: Action,
    /// What is drawn from while it goes on: by how much a link's delay varies. Runs of before this was kept have none.
    #[serde(default)]
    pub seed: u64,
}

impl PlannedFault {
    /// When it should be over.
    pub const fn until(&self) -> Duration {
        self.at.saturating_add(self.lasts)
    }
}

impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Started again at once: that is what scenarios call it.
        let restarts = self.action == Action::Stop && self.lasts.is_zero();
        write!(f, "{} {}", if restarts { "restart" } else { self.action.word() }, self.target)?;
        match self.action {
            Action::Delay { by, jitter } => write!(f, " by {by:?} ± {jitter:?}")?,
            Action::Narrow { bytes_per_second } => write!(f, " to {bytes_per_second} B/s")?,
            Action::Throttle { thousandths } => {
                write!(f, " to {}.{:03} of a processor", thousandths / 1_000, thousandths % 1_000)?;
            }
            Action::Squeeze { memory } => write!(f, " to {} MiB", memory >> 20)?,
            _ => (),
        }
        if self.lasts.is_zero() { Ok(()) } else { write!(f, " for {:?}", self.lasts) }
    }
}

/// A fault could not be carried out, or not be healed.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The environment has no such part that it could reach.
    #[error("this environment has no {0} that a fault can reach")]
    OutOfReach(Target),
    /// A component could not be started again.
    #[error(transparent)]
    Environment(#[from] crate::environment::EnvironmentError),
    /// A message could not be put on a topic.
    #[error("the message could not be put on the topic")]
    Kafka(#[from] rdkafka::error::KafkaError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_named_as_in_files_and_every_action_fits_its_kind() {
        let named = [("ingester-2", Target::Named("ingester-2")), ("redis", Target::Named("redis"))];
        for (word, target) in Target::ALL.into_iter().chain(named) {
            let json = format!("\"{word}\"");
            assert_eq!(serde_json::to_string(&target).unwrap(), json);
            assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), target);
            assert_eq!(target.word(), word);
            assert!(target.kind() != Kind::Component || Target::component(word) == target);
        }
        assert!(serde_json::from_str::<Target>("\"No Host\"").is_err());
        let redis = Target::component("redis");
        assert!(Action::Kill.fits(redis) && Action::Throttle { thousandths: 1 }.fits(redis) && !redis.is_shared());
        assert!(!Action::FillDisk.fits(redis) && !Action::Rebalance.fits(Target::Named("ingester-2")));
        assert!(Action::Kill.fits(Target::Kafka) && !Action::Kill.fits(Target::CaptureKafka));
        assert!(Action::Cut.fits(Target::CheckerClickhouse) && !Action::Cut.fits(Target::Capture));
        assert!(Action::Rebalance.fits(Target::Ingester) && !Action::Rebalance.fits(Target::Kafka));
        assert!(Action::FillDisk.fits(Target::Kafka) && !Action::FillDisk.fits(Target::Capture));
        assert!(Action::Squeeze { memory: 1 }.fits(Target::Capture) && Action::FillDisk.needs_containers());
        assert!(Action::BrokenMessage.fits(Target::EventsTopic) && !Action::BrokenMessage.lasts());
    }

    #[test]
    fn a_fault_is_told_in_words() {
        let fault = |action, target, seconds| PlannedFault {
            at: Duration::ZERO,
            lasts: Duration::from_secs(seconds),
            target,
            action,
            seed: 0,
        };
        assert_eq!(fault(Action::Kill, Target::Ingester, 0).to_string(), "kill ingester");
        assert_eq!(fault(Action::Stop, Target::Ingester, 0).to_string(), "restart ingester");
        assert_eq!(fault(Action::Stop, Target::Ingester, 3).to_string(), "stop ingester for 3s");
        let delay = Action::Delay { by: Duration::from_millis(100), jitter: Duration::from_millis(20) };
        let told = fault(delay, Target::CaptureKafka, 10).to_string();
        assert_eq!(told, "delay capture-kafka by 100ms ± 20ms for 10s");
        let throttle = fault(Action::Throttle { thousandths: 50 }, Target::Ingester, 10).to_string();
        assert_eq!(throttle, "throttle ingester to 0.050 of a processor for 10s");
        let squeeze = fault(Action::Squeeze { memory: 64 << 20 }, Target::Kafka, 1).to_string();
        assert_eq!(squeeze, "squeeze kafka to 64 MiB for 1s");
    }
}
