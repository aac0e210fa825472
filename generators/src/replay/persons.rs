//! Who is joined with whom in a recording: the distinct ids that become one person.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::event::Recorded;

/// Distinct ids and those that they were joined with (a disjoint-set forest, Galler and Fischer 1964).
#[derive(Debug, Default)]
pub(super) struct Persons {
    numbers: HashMap<String, usize>,
    /// Whom each leads to; one that leads to itself stands for its person.
    leads_to: Vec<usize>,
}

impl Persons {
    /// Takes in an event: those that identify and alias join two ids (ingestion contract 2.3).
    pub fn note(&mut self, event: &Recorded) {
        let other = match event.name.as_str() {
            "$identify" => event.property("$anon_distinct_id"),
            "$create_alias" | "$merge_dangerously" => event.property("alias"),
            _ => None,
        };
        let other = match other {
            None | Some("null") => return,
            Some(text) if text.starts_with('"') => serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
            Some(text) => text.to_owned(),
        };
        let (one, other) = (self.number(&event.distinct_id), self.number(&other));
        let (one, other) = (self.head(one), self.head(other));
        self.leads_to[one] = other;
    }

    fn number(&mut self, id: &str) -> usize {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = self.leads_to.len();
        self.leads_to.push(number);
        self.numbers.insert(id.to_owned(), number);
        number
    }

    fn head(&mut self, mut number: usize) -> usize {
        while self.leads_to[number] != number {
            // Halving the path keeps it short.
            self.leads_to[number] = self.leads_to[self.leads_to[number]];
            number = self.leads_to[number];
        }
        number
    }

    /// For each id that was joined with another, all ids of its person, in their order.
    pub fn joined(mut self) -> HashMap<String, Arc<[String]>> {
        let mut persons: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (id, number) in std::mem::take(&mut self.numbers) {
            persons.entry(self.head(number)).or_default().push(id);
        }
        let mut joined = HashMap::new();
        for mut ids in persons.into_values().filter(|ids| ids.len() > 1) {
            ids.sort_unstable();
            let ids: Arc<[String]> = ids.into();
            joined.extend(ids.iter().map(|id| (id.clone(), Arc::clone(&ids))));
        }
        joined
    }
}
