//! Which image plays which part.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A part that an image plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Kafka, with the contract of `apache/kafka`: settings in variables `KAFKA_…`, one node, ports as told.
    Kafka,
    /// ClickHouse, with the contract of `clickhouse/clickhouse-server`: HTTP on port 8123, files in `config.d`.
    Clickhouse,
    /// What the reference pipeline runs in: any Linux with glibc; Assay's own executable is put into it.
    Pipeline,
}

impl Part {
    /// All parts, by their names on the command line, in scenarios and in the environment.
    pub const ALL: [(&'static str, Self); 3] =
        [("kafka", Self::Kafka), ("clickhouse", Self::Clickhouse), ("pipeline", Self::Pipeline)];

    /// Its name.
    pub fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, part)| *part == self).map_or("", |(word, _)| word)
    }

    /// The environment variable that names its image.
    pub fn variable(self) -> String {
        format!("ASSAY_IMAGE_{}", self.word().to_uppercase())
    }

    /// The port that an image of its contract declares.
    pub const fn port(self) -> Option<u16> {
        match self {
            Self::Kafka => Some(9092),
            Self::Clickhouse => Some(8123),
            Self::Pipeline => None,
        }
    }

    /// The public image that plays it.
    pub const fn public(self) -> &'static str {
        match self {
            Self::Kafka => "apache/kafka:4.1.0",
            Self::Clickhouse => "clickhouse/clickhouse-server:25.8",
            Self::Pipeline => "debian:bookworm-slim",
        }
    }

    /// The image that `testenv/images/build` makes for it.
    pub const fn local(self) -> &'static str {
        match self {
            Self::Kafka => "assay/kafka:local",
            Self::Clickhouse => "assay/clickhouse:local",
            Self::Pipeline => "assay/debian:local",
        }
    }
}

/// An image's name and tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Image {
    /// Where it is: `[REGISTRY/]NAME`.
    pub name: String,
    /// Which of them.
    pub tag: String,
}

/// Text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no image: write [REGISTRY/]NAME[:TAG]")]
pub struct NoImage(String);

impl TryFrom<String> for Image {
    type Error = NoImage;

    fn try_from(text: String) -> Result<Self, NoImage> {
        let fine =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:@".contains(c));
        // A colon before the last slash belongs to a registry's port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, tag),
            _ => (text.as_str(), "latest"),
        };
        if fine(name) && fine(tag) && !name.starts_with(['/', '-']) {
            Ok(Self { name: name.to_owned(), tag: tag.to_owned() })
        } else {
            Err(NoImage(text))
        }
    }
}

impl From<Image> for String {
    fn from(image: Image) -> Self {
        image.to_string()
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// The images of an environment; a part that is not named is played by the public one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Images(BTreeMap<Part, Image>);

impl Images {
    /// The images that `testenv/images/build` makes.
    pub fn local() -> Self {
        let image = |part: Part| Some((part, Image::try_from(part.local().to_owned()).ok()?));
        Self(Part::ALL.into_iter().filter_map(|(_, part)| image(part)).collect())
    }

    /// Has `image` play `part`.
    pub fn set(&mut self, part: Part, image: Image) {
        self.0.insert(part, image);
    }

    /// With what `others` name in its place.
    #[must_use]
    pub fn overridden_by(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().map(|(part, image)| (*part, image.clone())));
        self
    }

    /// What plays `part`.
    pub fn of(&self, part: Part) -> Image {
        let public = || Image::try_from(part.public().to_owned()).ok();
        self.0.get(&part).cloned().or_else(public).unwrap_or_else(|| Image { name: String::new(), tag: String::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Result<(String, String), NoImage> {
        Image::try_from(text.to_owned()).map(|image| (image.name, image.tag))
    }

    #[test]
    fn an_image_is_a_name_and_a_tag() {
        let told = |name: &str, tag: &str| Ok((name.to_owned(), tag.to_owned()));
        assert_eq!(image("apache/kafka:4.1.0"), told("apache/kafka", "4.1.0"));
        assert_eq!(image("debian"), told("debian", "latest"));
        assert_eq!(image("hub.example:5000/kafka"), told("hub.example:5000/kafka", "latest"));
        assert_eq!(image("hub.example:5000/kafka:1"), told("hub.example:5000/kafka", "1"));
        for wrong in ["", ":1", "kafka:", "a b", "--privileged", "/kafka"] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_part_has_a_public_image_and_can_be_played_by_another() {
        let mut mine = Images::default();
        for (word, part) in Part::ALL {
            assert_eq!(Images::default().of(part).to_string(), part.public());
            assert_eq!(Images::local().of(part).to_string(), part.local());
            assert_eq!(part.word(), word);
        }
        mine.set(Part::Kafka, Image::try_from("mine:1".to_owned()).unwrap());
        let both = Images::local().overridden_by(&mine);
        assert_eq!(both.of(Part::Kafka).to_string(), "mine:1");
        assert_eq!(both.of(Part::Clickhouse).to_string(), Part::Clickhouse.local());
        assert_eq!(Part::Kafka.variable(), "ASSAY_IMAGE_KAFKA");
    }
}
