//! What an event's second sending says differently, where it is altered: some of what tells it from the first one in the store.
//!
//! ClickHouse keeps one row of those that have team, UTC day, event, distinct id and uuid in common (ingestion contract 2.6;
//! `posthog/models/event/sql.py`). So one with other content takes the place of the first or gives way to it, and one with another
//! name or day stands beside it for ever.

use serde::{Deserialize, Serialize};

use super::{oddity::Subject, spelling::Spelling};
use crate::event::Event;

/// What differs in an altered event's second sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alteration {
    /// A property.
    #[default]
    Content,
    /// Its name.
    Name,
    /// Its time, which is a minute earlier.
    Time,
    /// Its time, which is a day earlier, and so across UTC midnight.
    Day,
}

/// What an event whose name is altered is called then.
pub const ALTERED_NAME: &str = "altered on its way";
/// What the names begin with that the pipeline does something about: another one would make another event of it.
const OF_THE_PIPELINE: [&str; 8] =
    ["$identify", "$create_alias", "$merge_dangerously", "$groupidentify", "$$", "$snapshot", "$exception", "$ai_"];

impl Alteration {
    /// All of them, with the words for them.
    pub const ALL: [(&str, Self); 4] =
        [("content", Self::Content), ("name", Self::Name), ("time", Self::Time), ("day", Self::Day)];

    /// By how many microseconds the second sending says that the event happened earlier.
    pub const fn earlier_micros(self) -> i64 {
        match self {
            Self::Content | Self::Name => 0,
            Self::Time => 60_000_000,
            Self::Day => 86_400_000_000,
        }
    }

    /// The same for one event, whose name may mean so much that only its content can differ.
    #[must_use]
    pub(super) fn of(self, event: &Event) -> Self {
        let odd = event.oddities;
        let has_mere_name = odd.subject == Subject::Action
            && odd.spelling != Spelling::Nameless
            && !odd.elements
            && odd.refused.is_none()
            && odd.hostile.is_none()
            && !OF_THE_PIPELINE.iter().any(|special| event.name.starts_with(special));
        if self == Self::Name && !has_mere_name { Self::Content } else { self }
    }
}

impl Event {
    /// Makes of it what its second sending says; the content is altered where it is written.
    pub(crate) fn alter(&mut self) {
        let oddities = &mut self.oddities;
        if !oddities.altered || oddities.alteration == Alteration::Content {
            return;
        }
        self.occurred_micros -= oddities.alteration.earlier_micros();
        if oddities.alteration == Alteration::Name {
            ALTERED_NAME.clone_into(&mut self.name);
        }
        oddities.altered = false;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::{
        clock::RunStart,
        event::EventSource,
        identity::StreamId,
        persona::PersonaTable,
        random::{Distribution, Share},
        request::Requests,
        wire::Encoder,
        workload::{Workload, tests::small},
    };

    const STREAM: StreamId = StreamId(0);

    fn altered(kinds: &[Alteration]) -> Workload {
        let mut plan = small().plan().clone();
        let disorder = &mut plan.traffic[0].disorder;
        disorder.resend = Share::new(0.3).unwrap();
        disorder.altered = Share::new(0.5).unwrap();
        disorder.clock_skew = Distribution::default();
        disorder.altered_in = kinds.to_vec();
        Workload::new(plan, PersonaTable::make(42, 16))
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Told {
        event: String,
        timestamp: String,
        properties: serde_json::Value,
    }

    #[derive(serde::Deserialize)]
    struct Body {
        batch: Vec<Told>,
    }

    /// What each event that is sent twice says the first and the second time.
    fn told(workload: &Workload) -> Vec<(u64, Told, Told)> {
        let (mut first, mut both) = (HashMap::new(), Vec::new());
        for request in Requests::new(workload, STREAM) {
            let start = RunStart::from_unix_micros(1_790_000_000_000_000);
            let made = Encoder::default().encode(workload, &request, start, Vec::new()).unwrap();
            let body: Body = serde_json::from_slice(&made.body).unwrap();
            for (told, (seq, again)) in body.batch.into_iter().zip(request.seqs(workload)) {
                if again {
                    both.push((seq, first.remove(&seq).unwrap(), told));
                } else {
                    first.insert(seq, told);
                }
            }
        }
        both
    }

    #[test]
    fn a_second_sending_differs_in_what_it_is_called() {
        let all = Alteration::ALL.map(|(_, kind)| kind);
        let workload = altered(&all);
        let mut counts = HashMap::<Alteration, u64>::new();
        for (seq, first, second) in told(&workload) {
            let event = workload.event(STREAM, seq).unwrap();
            assert_eq!(first.event, event.name, "the first says what it says");
            let at = |told: &Told| told.timestamp.parse::<jiff::Timestamp>().unwrap().as_microsecond();
            let (renamed, earlier) = (first.event != second.event, at(&first) - at(&second));
            let changed = first.properties != second.properties;
            if !event.oddities.altered {
                assert_eq!(first, second);
                continue;
            }
            let expected = match event.oddities.alteration {
                Alteration::Content => (false, 0, true),
                Alteration::Name => (true, 0, false),
                Alteration::Time => (false, 60_000_000, false),
                Alteration::Day => (false, 86_400_000_000, false),
            };
            assert_eq!((renamed, earlier, changed), expected, "{seq} {:?}", event.oddities.alteration);
            assert!(!renamed || (second.event == ALTERED_NAME && !event.name.starts_with("$identify")));
            *counts.entry(event.oddities.alteration).or_default() += 1;
        }
        for kind in all {
            assert!(counts.get(&kind).is_some_and(|count| *count > 100), "{counts:?}");
        }
    }

    #[test]
    fn where_no_kind_is_named_the_content_differs_as_ever() {
        let workload = altered(&[]);
        let altered = |seq| workload.oddities(STREAM, seq).altered;
        let all: Vec<_> = told(&workload).into_iter().filter(|(seq, ..)| altered(*seq)).collect();
        assert!(all.len() > 400);
        for (seq, first, second) in all {
            assert_eq!((&first.event, &first.timestamp), (&second.event, &second.timestamp));
            assert_ne!(first.properties, second.properties, "{seq}");
        }
    }
}
