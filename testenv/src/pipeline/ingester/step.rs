//! What becomes of one message.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rdkafka::{Message, message::Headers};
use serde::de::Error as _;

use super::{
    Error, MESSAGE_LIMIT,
    age::AgeLimits,
    aside::Message as Incoming,
    event::{EventRow, Normalised, NotStored, Properties, is_stored_as_import, normalise},
    group::{GROUP_IDENTIFY, Said},
    groups::{Groups, MOST_TYPES},
    outputs::{Output, Outputs, dead_letter, warning},
    person::Persons,
    planted::{Fate, Planted},
    store::Store,
    warning::Kind as Warned,
};
use crate::pipeline::{
    captured::{CapturedEvent, NO_PERSON_HEADER},
    json_text,
    plugin::Plugins,
    properties::EventProperties,
    settings::log,
    timestamp::{clickhouse_micros, clickhouse_seconds},
};

/// What is known of teams.
pub(super) struct Teams {
    /// Which token belongs to which.
    pub of_token: BTreeMap<String, i64>,
    /// How old an event may be when capture receives it, for those that drop older ones.
    pub age_limits: AgeLimits,
}

/// What processing a message may change.
pub(super) struct State<'a> {
    pub persons: &'a mut Persons,
    pub groups: &'a mut Groups,
    pub store: &'a mut Store,
    pub plugins: &'a Plugins,
    pub planted: &'a mut Planted,
    /// Room for the properties of an event, as text.
    pub properties: &'a mut String,
}

/// A message as it comes from Kafka.
pub(super) fn incoming(message: &impl Message) -> Incoming<'_> {
    // Whether capture forbids that a person comes of it.
    let forbids_person = message.headers().is_some_and(|headers| {
        headers.iter().any(|header| header.key == NO_PERSON_HEADER && header.value == Some(b"true"))
    });
    Incoming {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().unwrap_or_default(),
        payload: message.payload().unwrap_or_default(),
        forbids_person,
        has_waited: false,
    }
}

/// The same as [`process`] of up to `most` messages that were set aside and whose time has come.
pub(super) fn process_due<'o>(
    state: &mut State<'_>,
    teams: &Teams,
    outputs: &'o Outputs,
    most: usize,
    out: &mut Vec<Output<'o>>,
) -> Result<(), Error> {
    for message in state.store.take_due(Timestamp::now(), most)? {
        process(state, teams, outputs, &message.view(), out)?;
    }
    Ok(())
}

/// What a message becomes is put into `out`; a message that can never be processed becomes a dead letter.
pub(super) fn process<'o>(
    state: &mut State<'_>,
    Teams { of_token, age_limits }: &Teams,
    outputs: &'o Outputs,
    message: &Incoming<'_>,
    out: &mut Vec<Output<'o>>,
) -> Result<(), Error> {
    let bury = |out: &mut Vec<Output<'o>>, reason: &str| {
        log(&format!("dead letter ({}/{}): {reason}", message.partition, message.offset));
        out.push(dead_letter(outputs, message, reason));
        Ok(())
    };
    let text = std::str::from_utf8(message.payload).map_err(serde_json::Error::custom);
    let captured: CapturedEvent<'_> = match text.and_then(CapturedEvent::read) {
        Ok(captured) => captured,
        Err(error) => {
            state.planted.meets_poison();
            return bury(out, &format!("invalid message: {error}"));
        }
    };
    let Some(team) = of_token.get(captured.token.as_ref()).copied() else {
        log(&format!("dropped {}: no team has the token", captured.uuid));
        return Ok(());
    };
    let warn = |kind| warning(outputs, team, kind, &captured);
    let dialect = state.persons.dialect();
    let State { plugins, planted, .. } = state;
    let limit = age_limits.of(dialect, team);
    let before = |uuid, name: &str, age: Option<SignedDuration>, properties: &mut EventProperties<'_>| {
        let is_too_old = limit.zip(age).is_some_and(|(limit, age)| age > limit);
        if is_too_old && !planted.keeps_old(&captured.uuid) {
            return Err(NotStored::Dropped(Warned::TooOld));
        }
        let ran = plugins.run(team, uuid, name, properties);
        if !ran.took.is_zero() && !message.has_waited {
            return Err(NotStored::Waits(ran.took));
        }
        if ran.dropped {
            return Err(NotStored::Dropped(Warned::DroppedByTransformation));
        }
        if planted.drops_thrown(&captured.uuid, ran.failed) {
            return Err(NotStored::Lost);
        }
        planted.leak_into(&captured.uuid, || plugins.leak(properties));
        Ok(())
    };
    // Whatever is of one distinct id stays in its order.
    let own = (team, captured.distinct_id.as_ref());
    if plugins.may_take_time() && !message.has_waited && state.store.has_aside(own)? {
        state.store.set_aside(own, Timestamp::now(), message)?;
        return Ok(());
    }
    let data = json_text::replace_nul(&captured.data);
    let mut event = match normalise(dialect, &captured, &data, before) {
        Ok(event) => event,
        Err(NotStored::Invalid(reason)) => return bury(out, &reason),
        Err(NotStored::Dropped(kind)) => {
            log(&format!("dropped {}: {}", captured.uuid, kind.word()));
            out.extend(warn(kind)?);
            return Ok(());
        }
        Err(NotStored::Lost | NotStored::Elsewhere) => return Ok(()),
        Err(NotStored::Waits(time)) => {
            state.store.set_aside(own, Timestamp::now() + time, message)?;
            return Ok(());
        }
    };
    event.person_profile &= !message.forbids_person;
    let age = event.captured_at.as_millisecond() - event.timestamp.as_millisecond();
    let fate = state.planted.fate(&captured.uuid, age);
    match fate {
        Fate::Stored | Fate::WrongPerson(_) => (),
        Fate::Dropped => return Ok(()),
        Fate::DeadLetter => return bury(out, "planted"),
    }
    store(state, outputs, team, (message, &captured), (event, fate), out)
}

/// Does to a group what the event says of it, if it says something; what its team is to be warned of.
fn identify_group(state: &mut State<'_>, team: i64, event: &Normalised, uuid: &str) -> Result<Option<Warned>, Error> {
    let said = (event.name == GROUP_IDENTIFY && event.person_profile).then(|| Said::of(&event.properties)).flatten();
    let set = said.as_ref().map(Said::properties).transpose();
    // Whatever the event is, the planted defects count it.
    let swapped = state.planted.swaps_group_index(uuid, || set.as_ref().is_ok_and(Option::is_some));
    let forgets = state.planted.forgets_group(uuid, || set.as_ref().is_ok_and(Option::is_some));
    let (said, set) = match (said, set) {
        (Some(said), Ok(Some(set))) => (said, set),
        (_, Err(kind)) => return Ok(Some(kind)),
        _ => return Ok(None),
    };
    let Some(index) = state.groups.index(state.store, team, said.kind)? else { return Ok(None) };
    let index = if swapped { (index + 1) % MOST_TYPES } else { index };
    let group = (team, index, said.key);
    let set = if state.planted.has_forgotten(&group, forgets) { Properties::new() } else { set };
    state.groups.states.set(state.store, &group, set, event.timestamp)?;
    Ok(None)
}

/// An event that is to be stored, with its person and its groups.
fn store<'o>(
    state: &mut State<'_>,
    outputs: &'o Outputs,
    team: i64,
    (message, captured): (&Incoming<'_>, &CapturedEvent<'_>),
    (mut event, fate): (Normalised<'_>, Fate),
    out: &mut Vec<Output<'o>>,
) -> Result<(), Error> {
    let warn = |kind| warning(outputs, team, kind, captured);
    let dialect = state.persons.dialect();
    if event.odd_person_profile {
        out.extend(warn(Warned::InvalidPersonProfile)?);
    }
    let mut belongs = state.persons.process(state.store, team, &event)?;
    if let Fate::WrongPerson(person) = fate {
        belongs.person = person;
    }
    if event.person_profile {
        state.groups.apply(state.store, team, &mut event.properties)?;
    }
    if let Some(kind) = identify_group(state, team, &event, &captured.uuid)? {
        out.extend(warn(kind)?);
    }
    event.uuid = state.planted.identity(message, &captured.uuid, event.uuid);
    let key = event.uuid.to_string();
    let row = EventRow {
        uuid: &key,
        event: &event.name,
        properties: &event.properties,
        timestamp: clickhouse_micros(event.timestamp),
        team_id: team,
        project_id: team,
        distinct_id: &event.distinct_id,
        elements_chain: &event.elements_chain,
        created_at: clickhouse_micros(Timestamp::now()),
        captured_at: clickhouse_micros(event.captured_at),
        person_id: belongs.person,
        person_properties: belongs.properties.text(),
        person_created_at: clickhouse_seconds(belongs.created_at),
        person_mode: if event.person_profile { "full" } else { "propertyless" },
        historical_migration: is_stored_as_import(dialect, captured),
    };
    let payload = row.text(message.payload.len(), state.properties);
    if let Some(kind) = belongs.refused {
        out.extend(warn(kind)?);
    }
    // Few need one, and it would cost something for each.
    let is_large = payload.len() >= MESSAGE_LIMIT as usize / 2;
    let otherwise = if is_large { warn(Warned::MessageSizeTooLarge)?.map(Box::new) } else { None };
    out.push(Output { topic: &outputs.events, key, payload, headers: None, otherwise });
    Ok(())
}
