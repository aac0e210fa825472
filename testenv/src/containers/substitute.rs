//! Other people's images in the pipeline's places, and what they need beside them.
//!
//! PostHog's own capture and plugin server read the variables that the reference pipeline's roles are told, so an image takes
//! its place by name. What it wants in other variables, and where its databases are, a scenario says in words in braces:
//! `redis://{redis}:6379/`, `{KAFKA_HOSTS}`.

use std::{collections::BTreeMap, time::Duration};

use super::{images::Image, mount::Mount};

/// How long an image may take until it serves, unless it is told otherwise: databases set themselves up, servers migrate them.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// An image in a place of the pipeline, or beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitute {
    /// The image.
    pub image: Image,
    /// What is started in it, if that is not what the image says.
    pub entry_point: Option<String>,
    /// Its arguments; those that the image says if there are none.
    pub command: Vec<String>,
    /// Its variables, with words in braces. Of what it is told of the run, and as the role that it takes the place of, it gets as
    /// well what stands not here.
    pub environment: BTreeMap<String, String>,
    /// The port that it listens on; the one in its variables if it is told one.
    pub port: Option<u16>,
    /// What a line of its output holds as soon as it serves.
    pub ready: Option<String>,
    /// How long it may take until it serves, or has ended where it runs once.
    pub within: Duration,
    /// The files beside the scenario's that it may read.
    pub mounts: Vec<Mount>,
}

/// A component beside the pipeline, for substitutes that need one: a database, say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Further {
    /// Its name, by which variables say where it is.
    pub name: String,
    /// The image.
    pub substitute: Substitute,
    /// Whether it has something to do once, and must have ended well before anything else is started.
    pub once: bool,
}

/// What takes the pipeline's places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Substitutes {
    /// In capture's place.
    pub capture: Option<Substitute>,
    /// In the ingester's place.
    pub ingester: Option<Substitute>,
    /// Beside them, each started when those before it serve, and all before the pipeline.
    pub further: Vec<Further>,
    /// The topics that they need beside the pipeline's own, without the run's name.
    pub topics: Vec<String>,
}

impl Substitutes {
    /// The mounts of all of them, each with the name of what its image plays.
    pub fn mounts(&mut self) -> impl Iterator<Item = (&str, &mut Mount)> {
        let places = [("capture", &mut self.capture), ("ingester", &mut self.ingester)];
        let places = places.into_iter().filter_map(|(name, place)| Some((name, place.as_mut()?)));
        let further = self.further.iter_mut().map(|further| (further.name.as_str(), &mut further.substitute));
        further.chain(places).flat_map(|(name, image)| image.mounts.iter_mut().map(move |mount| (name, mount)))
    }

    /// All of them, each with the name of what it plays.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Substitute)> {
        let places = [("capture", &self.capture), ("ingester", &self.ingester)];
        let places = places.into_iter().filter_map(|(name, place)| Some((name, place.as_ref()?)));
        self.further.iter().map(|further| (further.name.as_str(), &further.substitute)).chain(places)
    }
}

impl Substitute {
    /// Its variables, and those of `told` that it does not name, with what the words in braces stand for: a variable of
    /// `told`, or a component by its name, for which `hosts` tells where it is.
    ///
    /// # Errors
    /// The first word that stands for nothing.
    pub fn variables(
        &self,
        told: &BTreeMap<String, String>,
        hosts: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, String> {
        let mut all = told.clone();
        for (name, value) in &self.environment {
            let stands_for = |word: &str| told.get(word).or_else(|| hosts.get(word)).cloned();
            all.insert(name.clone(), filled(value, stands_for)?);
        }
        Ok(all)
    }
}

/// The words in braces in a variable's value.
pub fn words(value: &str) -> impl Iterator<Item = &str> {
    pieces(value).filter_map(|(_, word)| word)
}

/// `value` with what its words stand for.
fn filled(value: &str, stands_for: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut text = String::new();
    for (plain, word) in pieces(value) {
        text.push_str(plain);
        if let Some(word) = word {
            text.push_str(&stands_for(word).ok_or_else(|| word.to_owned())?);
        }
    }
    Ok(text)
}

/// Plain text, each piece with the word in braces behind it, if there is one. Braces around anything but a word are plain: JSON
/// has them too.
fn pieces(value: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        let found = text.match_indices('{').find_map(|(start, _)| {
            let (word, after) = text[start + 1..].split_once('}')?;
            is_word(word).then_some((&text[..start], word, after))
        });
        let (plain, word, after) = match found {
            Some((plain, word, after)) => (plain, Some(word), Some(after)),
            None => (text, None, None),
        };
        rest = after;
        Some((plain, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn words_in_braces_stand_for_the_roles_variables_and_for_hosts() {
        let substitute = |environment| Substitute {
            image: Image { name: "capture".into(), tag: "1".into() },
            entry_point: None,
            command: Vec::new(),
            environment: map(environment),
            port: None,
            ready: None,
            within: PATIENCE,
            mounts: Vec::new(),
        };
        let role = map(&[("KAFKA_HOSTS", "kafka:9092"), ("KAFKA_TOPIC", "t"), ("DIALECT", "2026")]);
        let hosts = map(&[("redis", "assay-r1-redis")]);
        let told = substitute(&[
            ("REDIS_URL", "redis://{redis}:6379/"),
            ("TOPICS", "{KAFKA_TOPIC},{KAFKA_TOPIC}"),
            ("DIALECT", "mine"),
            ("JSON", "{\"a\":{}}"),
            ("PLAIN", "}{"),
        ]);
        let expected = map(&[
            ("DIALECT", "mine"),
            ("JSON", "{\"a\":{}}"),
            ("KAFKA_HOSTS", "kafka:9092"),
            ("KAFKA_TOPIC", "t"),
            ("PLAIN", "}{"),
            ("REDIS_URL", "redis://assay-r1-redis:6379/"),
            ("TOPICS", "t,t"),
        ]);
        assert_eq!(told.variables(&role, &hosts), Ok(expected));
        assert_eq!(substitute(&[("A", "{b}:{postgres}")]).variables(&role, &map(&[("b", "")])), Err("postgres".into()));
        assert_eq!(words("{a}-{B_2}{\"c\":1}{d").collect::<Vec<_>>(), ["a", "B_2"]);
    }
}
