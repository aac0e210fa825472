//! What is told of an event with which something is wrong.

use std::{collections::BTreeSet, time::Duration};

use generators::identity::{EventId, StreamId};

use super::{
    super::{
        evidence::{Class, Evidence, Finding},
        rows::FoundRow,
        sent::{Exchange, SentEvent},
    },
    Case, PERSON, TEAM, is_of_group,
};

impl Case<'_> {
    /// The last stage that had an event that is missing.
    fn stage_of(&self, class: Class, stream: StreamId, seq: u64) -> Option<String> {
        let missing = matches!(class, Class::Lost | Class::Vanished);
        self.stages.filter(|_| missing).map(|stages| stages.last(stream, seq).name().to_owned())
    }

    /// Tells of the event under a class, and counts the columns that differ.
    pub(super) fn report(
        &self,
        class: Class,
        stream: StreamId,
        seq: u64,
        event: &SentEvent,
        rows: &[FoundRow],
        evidence: &mut Evidence,
    ) {
        let seconds = |moment: Duration| moment.as_secs_f64();
        let exchange = self.sent.exchanges().get(event.exchange as usize).filter(|_| event.sent_at.is_some());
        let common = || Finding {
            request: exchange.map(Exchange::name),
            sent_at: event.sent_at.map(seconds),
            stage: self.stage_of(class, stream, seq),
            first_seen: self.reads.first_seen(stream, seq).map(|first| seconds(first.seen)),
            ..Finding::bare(class, EventId { run: self.workload.plan().run, stream, seq }.to_string())
        };
        let differing = |wanted: fn(&str) -> bool| {
            let mut columns: Vec<_> =
                rows.iter().flat_map(|row| &row.differences).filter(|other| wanted(&other.column)).collect();
            columns.dedup();
            columns
        };
        let columns = match class {
            Class::Corrupted => differing(|column| column != PERSON && !is_of_group(column) && column != TEAM),
            Class::WrongPerson => differing(|column| column == PERSON),
            Class::WrongGroup => differing(is_of_group),
            Class::Misrouted => differing(|column| column == TEAM),
            Class::Duplicated => {
                let found = || Finding {
                    expected: Some(format!("at most {} row(s)", self.most_rows(stream, seq))),
                    found: Some(format!("{} rows that no merge removes{}", rows.len(), in_shards(rows))),
                    ..common()
                };
                return evidence.find(found, class);
            }
            Class::NotExported | Class::StrayExport => {
                return evidence.find(|| self.export_finding(class, stream, seq, common()), class);
            }
            Class::WronglyExported => {
                self.exports.map(|exports| exports.wrong(stream, seq).collect()).unwrap_or_default()
            }
            Class::Lost | Class::ShouldBeAbsent => {
                let found = event.dropped.map(|word| format!("capture said that it was dropped: {}", word.word()));
                let expected = found.as_ref().map(|_| if class == Class::Lost { "a row" } else { "no row" }.to_owned());
                return evidence.find(|| Finding { expected, found, ..common() }, class);
            }
            _ => return evidence.find(common, class),
        };
        let mut named = BTreeSet::new();
        // What is told of columns is told of rows.
        for difference in columns.iter().filter(|_| class != Class::WronglyExported) {
            if named.insert(&difference.column) {
                *evidence.columns.entry(difference.column.clone()).or_default() += 1;
            }
        }
        let first = columns.first();
        evidence.find(
            || Finding {
                column: first.map(|difference| difference.column.clone()),
                expected: first.map(|difference| difference.expected.clone()),
                found: first.map(|difference| difference.found.clone().unwrap_or_else(|| "nothing".into())),
                ..common()
            },
            class,
        );
    }

    /// A finding about deliveries, with whose they are.
    fn export_finding(&self, class: Class, stream: StreamId, seq: u64, finding: Finding) -> Finding {
        let Some(exports) = self.exports else { return finding };
        let rules = self.export_rules(stream, seq);
        let named = |wanted: &dyn Fn(usize, Option<bool>) -> bool| {
            let plugins = self.plugins.exporting().zip(&rules).enumerate();
            let named = plugins.filter(|(number, (_, rule))| wanted(*number, **rule));
            named.map(|(_, (plugin, _))| format!("`{}`", plugin.name)).collect::<Vec<_>>().join(", ")
        };
        let delivered = |number| exports.times(number, stream, seq) > 0;
        let (expected, found) = if class == Class::NotExported {
            let missing = named(&|number, rule| rule == Some(true) && !delivered(number));
            (format!("a delivery by {missing}"), "none".to_owned())
        } else {
            ("no delivery".to_owned(), format!("one by {}", named(&|number, _| delivered(number))))
        };
        Finding { expected: Some(expected), found: Some(found), ..finding }
    }
}

/// In which shards `rows` are, where they are in several.
fn in_shards(rows: &[FoundRow]) -> String {
    let shards: BTreeSet<u32> = rows.iter().map(|row| row.shard).collect();
    if shards.len() < 2 {
        return String::new();
    }
    let shards: Vec<String> = shards.iter().map(u32::to_string).collect();
    format!(", in the shards {}", shards.join(", "))
}
