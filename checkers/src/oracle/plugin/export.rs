//! Which events plugins must export (ingestion contract, section 4).
//!
//! A plugin that exports sees an event as it is stored: after all other plugins have run over it, wherever it stands among
//! them. What it delivers is that event, so the expectation for the row is the one for the delivery.

use generators::event::Event;

use super::{Action, Plugin, Plugins};
use crate::oracle::row::Expectation;

impl Plugins {
    /// Those that export, in their order.
    pub fn exporting(&self) -> impl Iterator<Item = &Plugin> {
        self.all.iter().filter(|plugin| plugin.action == Action::Export)
    }

    /// Whether some export events of `team`.
    pub fn export(&self, team: i64) -> bool {
        self.exporting().any(|plugin| plugin.is_of(team))
    }

    /// Of those that export, in their order, whether each must have delivered an event of `team` that were stored as
    /// `expectation` says without any plugin; `None` where that cannot be known.
    pub fn exports(&self, expectation: Expectation, event: &Event, team: i64) -> Vec<Option<bool>> {
        let course = self.run(expectation.columns, event, team);
        let exports = |plugin: &Plugin| {
            if plugin.is_of(team) { plugin.when.holds(&plugin.name, &course) } else { Some(false) }
        };
        self.exporting().map(exports).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use generators::event::EventSource;

    use super::*;
    use crate::{
        oracle::{dialect::Dialect, plugin::Condition, row::expect},
        reconcile::example::{STREAM, odd, workload},
    };

    const TEAM: i64 = 1;

    fn when(property: Option<(&str, &str)>, of_a_million: u32) -> Condition {
        let property = property.map(|(key, value)| (key.into(), value.into()));
        Condition { events: Vec::new(), property, of_a_million }
    }

    fn plugin(name: &str, when: Condition, action: Action) -> Plugin {
        Plugin { name: name.into(), teams: vec![TEAM], when, action }
    }

    #[test]
    fn what_is_exported_is_what_the_other_plugins_have_left() {
        let event = workload(3).event(STREAM, 1).unwrap();
        let all = vec![
            plugin("before", when(Some(("k", "1")), 1_000_000), Action::Export),
            plugin("sets", when(None, 1_000_000), Action::Set { key: "k".into(), value: "1".into() }),
            plugin("other", when(Some(("k", "2")), 1_000_000), Action::Export),
        ];
        let plugins = Plugins { all, time_out: Duration::ZERO };
        let expectation = || expect(Dialect::V2026, &event, TEAM, &[], 0);
        let of = |team| plugins.exports(expectation(), &event, team);
        assert_eq!(of(TEAM), [Some(true), Some(false)]);
        assert_eq!(of(TEAM + 1), [Some(false), Some(false)]);
        assert!(plugins.export(TEAM) && !plugins.export(TEAM + 1));
        // Events carry the names of those that ran over them before they were stored, and of no others.
        let row = plugins.expect(Dialect::V2026, expectation(), &event, TEAM).fulfilled().unwrap();
        assert!(row.properties.contains(r#""$plugins_succeeded":["sets"]"#), "{}", row.properties);
    }

    #[test]
    fn a_share_of_events_whose_uuids_are_minted_cannot_be_known() {
        let workload = odd(400);
        let minted = (0..400).map(|seq| workload.event(STREAM, seq).unwrap()).find(|event| event.oddities.no_uuid);
        let event = minted.unwrap();
        let all = vec![
            plugin("half", when(None, 500_000), Action::Export),
            plugin("all", when(None, 1_000_000), Action::Export),
        ];
        let plugins = Plugins { all, time_out: Duration::ZERO };
        let expectation = expect(Dialect::V2026, &event, TEAM, &[], 0);
        assert_eq!(plugins.exports(expectation, &event, TEAM), [None, Some(true)]);
    }
}
