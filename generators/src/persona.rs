//! Personas: the believable people whose values the events carry.
//!
//! Made once with `fake` when a run starts, never in the per-event path. `fake`'s lists may change between versions,
//! so the table is kept in the run's manifest: a stored run is judged with the personas that it was sent with.

use fake::{
    Fake,
    faker::{
        address::en::{CityName, CountryCode, TimeZone},
        company::en::{BsNoun, CompanyName},
        internet::en::{DomainSuffix, IPv4, SafeEmail, UserAgent},
        lorem::en::Sentence,
        name::en::Name,
    },
};
use rand::{SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// What is the same in all events of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persona {
    /// Full name.
    pub name: String,
    /// A mail address in a reserved domain (RFC 2606).
    pub email: String,
    /// City.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// IANA time zone.
    pub time_zone: String,
    /// Company.
    pub company: String,
    /// The host of the pages that the person visits.
    pub host: String,
    /// The browser's user agent.
    pub user_agent: String,
    /// An address that is told in a property; nothing is ever sent to it.
    pub address: String,
    /// A sentence for free text.
    pub motto: String,
}

/// The personas of a run. Persons beyond its length share them, each with ids of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PersonaTable(Vec<Persona>);

impl PersonaTable {
    /// Makes `count` personas, at least 1, from `seed`.
    pub fn make(seed: u64, count: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let rng = &mut rng;
        Self(
            (0..count.max(1))
                .map(|_| Persona {
                    name: Name().fake_with_rng(rng),
                    email: SafeEmail().fake_with_rng(rng),
                    city: CityName().fake_with_rng(rng),
                    country: CountryCode().fake_with_rng(rng),
                    time_zone: TimeZone().fake_with_rng(rng),
                    company: CompanyName().fake_with_rng(rng),
                    host: format!(
                        "{}.example.{}",
                        BsNoun().fake_with_rng::<String, _>(rng).replace(' ', "-"),
                        DomainSuffix().fake_with_rng::<String, _>(rng)
                    ),
                    user_agent: UserAgent().fake_with_rng(rng),
                    address: IPv4().fake_with_rng(rng),
                    motto: Sentence(4..12).fake_with_rng(rng),
                })
                .collect(),
        )
    }

    /// The persona of person number `person`; `None` only for an empty table.
    pub fn of(&self, person: u64) -> Option<&Persona> {
        let count = self.0.len() as u64;
        (count > 0).then(|| &self.0[(person % count) as usize])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none, as in a damaged manifest.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_one_table() {
        assert_eq!(PersonaTable::make(1, 3), PersonaTable::make(1, 3));
        assert_ne!(PersonaTable::make(1, 3), PersonaTable::make(2, 3));
    }

    #[test]
    fn persons_beyond_the_table_share_its_personas() {
        let table = PersonaTable::make(1, 3);
        assert_eq!(table.of(1), table.of(4));
        assert_ne!(table.of(1), table.of(2));
    }
}
