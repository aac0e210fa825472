//! What plugins export, noted while the run goes on: the webhook sink is asked for what was delivered to it, each delivery is
//! held against what its event is, and goes into the run's journal.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

use checkers::{
    oracle::{dialect::Dialect, plugin::Plugins, row::Row},
    reconcile::{
        exports::{Delivery, End, ExportsWriter, judge_delivery},
        rows::{Identity, identify},
    },
};
use generators::{event::EventSource, journal::WriteError, workload::Workload};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{sync::watch, task::JoinHandle};
use uuid::Uuid;

/// How long after an answer the sink is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// An answer that takes longer is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// So often in a row the sink may leave the last questions unanswered.
const LAST_QUESTIONS: u32 = 3;

/// Notes deliveries until it is told to end.
#[derive(Debug)]
pub(super) struct Recorder {
    /// Whether to end, and whether the exporter had nothing left to do then.
    ends: watch::Sender<Option<bool>>,
    task: JoinHandle<Result<(), WriteError>>,
}

impl Recorder {
    /// Starts to ask the sink at `webhook`.
    pub(super) fn start(
        webhook: SocketAddr,
        workload: Arc<Workload>,
        (dialect, plugins): (Dialect, Plugins),
        journal: ExportsWriter,
    ) -> Self {
        let (ends, ending) = watch::channel(None);
        let judge = Judge { workload, dialect, plugins };
        Self { ends, task: tokio::spawn(record(webhook, judge, journal, ending)) }
    }

    /// Fetches what is left; `caught_up` tells whether the exporter had nothing left to do.
    ///
    /// # Errors
    /// When the journal could not be written.
    pub(super) async fn end(self, caught_up: bool) -> Result<(), WriteError> {
        let _ = self.ends.send(Some(caught_up));
        // A crash shows in the journal, which has no end then.
        self.task.await.unwrap_or(Ok(()))
    }
}

async fn record(
    webhook: SocketAddr,
    judge: Judge,
    mut journal: ExportsWriter,
    mut ending: watch::Receiver<Option<bool>>,
) -> Result<(), WriteError> {
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build().unwrap_or_default();
    let (mut from, mut failed) = (0, 0);
    loop {
        let ends = *ending.borrow_and_update();
        let answer = ask(&client, webhook, from).await;
        let told: Option<Told<'_>> = answer.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let Some(told) = told else {
            // While the run goes on, whoever watches the components says so if it is gone.
            failed += 1;
            if ends.is_some() && failed >= LAST_QUESTIONS {
                return journal.end(End { caught_up: false, requests: 0, refused: 0 });
            }
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        failed = 0;
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for delivery in &told.deliveries {
            match judge.delivery(delivery) {
                Ok(delivery) => known.push(delivery),
                Err(what) => unknown.push(what),
            }
        }
        journal.append(&known, &unknown)?;
        let more = told.next > from;
        from = from.max(told.next);
        match ends {
            _ if more => (),
            Some(caught_up) => {
                return journal.end(End { caught_up, requests: told.requests, refused: told.refused });
            }
            None => {
                let _ = tokio::time::timeout(PAUSE, ending.changed()).await;
            }
        }
    }
}

async fn ask(client: &reqwest::Client, webhook: SocketAddr, from: u64) -> Option<String> {
    let response = client.get(format!("http://{webhook}/deliveries?from={from}")).send().await.ok()?;
    response.error_for_status().ok()?.text().await.ok()
}

/// What the sink tells.
#[derive(Debug, Deserialize)]
struct Told<'t> {
    next: u64,
    requests: u64,
    refused: u64,
    #[serde(borrow)]
    deliveries: Vec<&'t RawValue>,
}

/// One delivery, as the sink tells it.
#[derive(Debug, Deserialize)]
struct Said<'t> {
    #[serde(borrow)]
    plugin: Cow<'t, str>,
    #[serde(borrow)]
    event: Event<'t>,
}

#[derive(Debug, Deserialize)]
struct Event<'t> {
    uuid: Uuid,
    #[serde(borrow, rename = "event")]
    name: Cow<'t, str>,
    #[serde(borrow)]
    distinct_id: Cow<'t, str>,
    team_id: i64,
    person_id: Uuid,
    #[serde(borrow)]
    properties: &'t RawValue,
}

/// Holds deliveries against what their events are.
#[derive(Debug)]
struct Judge {
    workload: Arc<Workload>,
    dialect: Dialect,
    plugins: Plugins,
}

impl Judge {
    /// A delivery of an event of this run, or what is known of another one.
    fn delivery(&self, text: &RawValue) -> Result<Delivery, String> {
        let excerpt = || text.get().chars().take(200).collect::<String>();
        let Said { plugin, event } = serde_json::from_str(text.get()).map_err(|_| excerpt())?;
        let row = Row {
            uuid: event.uuid,
            event: event.name.into_owned(),
            distinct_id: event.distinct_id.into_owned(),
            team_id: event.team_id,
            timestamp_micros: 0,
            person_id: event.person_id,
            properties: event.properties.get().to_owned(),
            elements_chain: String::new(),
            version: 1,
            shard: 0,
        };
        let number = self.plugins.exporting().position(|other| other.name == plugin);
        let number = number.and_then(|number| u8::try_from(number).ok());
        let identity = identify(&row.view(), self.workload.plan().run, |stream| self.workload.planned(stream));
        let (Identity::Known(stream, seq), Some(plugin)) = (identity, number) else { return Err(excerpt()) };
        let traffic = self.workload.traffic(stream).ok_or_else(excerpt)?;
        let event = self.workload.event(stream, seq).ok_or_else(excerpt)?;
        let told_by = (self.dialect, &*self.workload);
        let expectation = self.plugins.expect_told(told_by, &event, traffic.team, &[], 0);
        Ok(Delivery { plugin, stream, seq, differences: judge_delivery(&row, &expectation) })
    }
}

#[cfg(test)]
mod tests {
    use checkers::oracle::{
        plugin::{Action, Condition, Plugin},
        row::expect,
    };
    use generators::{
        identity::{RunId, StreamId},
        persona::PersonaTable,
    };

    use super::*;
    use crate::{external::Projects, library, plan};

    const STREAM: StreamId = StreamId(0);

    fn judge() -> Judge {
        let (scenario, run) = (library::read("smoke", &[]).unwrap(), RunId::new(3));
        let today = generators::clock::RunStart::from_unix_micros(1_790_000_000_000_000);
        let plan = plan::workload(&scenario, &Projects::Own(run), run, 1, today);
        let when = Condition { events: Vec::new(), property: None, of_a_million: 1_000_000 };
        let plugin = Plugin { name: "crm".into(), teams: Vec::new(), when, action: Action::Export };
        Judge {
            workload: Arc::new(Workload::new(plan, PersonaTable::make(1, 2))),
            dialect: Dialect::V2026,
            plugins: Plugins { all: vec![plugin], time_out: Duration::ZERO },
        }
    }

    /// What is told of a right delivery of event `seq`, after `change`.
    fn told(judge: &Judge, plugin: &str, change: impl Fn(&mut Row)) -> Box<RawValue> {
        let event = judge.workload.event(STREAM, 5).unwrap();
        let mut row = expect(judge.dialect, &event, plan::TEAM, &[], 0).fulfilled().unwrap();
        change(&mut row);
        let Row { uuid, event, distinct_id, team_id, person_id, properties, .. } = row;
        let text = format!(
            "{{\"plugin\":\"{plugin}\",\"event\":{{\"uuid\":\"{uuid}\",\"event\":\"{event}\",\"distinct_id\":\"{distinct_id}\",\
             \"team_id\":{team_id},\"person_id\":\"{person_id}\",\"timestamp\":\"\",\"properties\":{properties}}}}}"
        );
        RawValue::from_string(text).unwrap()
    }

    #[test]
    fn a_delivery_is_held_against_its_event() {
        let judge = judge();
        let right = judge.delivery(&told(&judge, "crm", |_| ())).unwrap();
        assert_eq!(right, Delivery { plugin: 0, stream: STREAM, seq: 5, differences: Vec::new() });
        let columns = |change: fn(&mut Row)| {
            let delivery = judge.delivery(&told(&judge, "crm", change)).unwrap();
            delivery.differences.into_iter().map(|difference| difference.column).collect::<Vec<_>>()
        };
        assert_eq!(columns(|row| row.event.push('!')), ["event"]);
        assert_eq!(columns(|row| row.team_id += 1), ["team_id"]);
        assert_eq!(columns(|row| row.person_id = Uuid::nil()), ["person_id"]);
        assert_eq!(columns(|row| row.uuid = Uuid::nil()), ["uuid"], "it is known by its marker");
    }

    #[test]
    fn what_nobody_has_sent_or_no_plugin_exports_is_unknown() {
        let judge = judge();
        let strange = |row: &mut Row| {
            row.uuid = Uuid::nil();
            row.properties = "{}".into();
        };
        for text in [
            told(&judge, "other", |_| ()),
            told(&judge, "crm", strange),
            RawValue::from_string("{\"unreadable\":\"x\"}".into()).unwrap(),
        ] {
            let what = judge.delivery(&text).unwrap_err();
            assert!(text.get().starts_with(&what), "{what}");
        }
    }
}
