//! Preflight: whether everything of somebody else's pipeline is as the file says, before any load; one clear error if not.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use checkers::observe::{
    ObserveError,
    clickhouse::Store,
    columns::Reading,
    foreign::{Alone, Foreign, Table},
    groups::COLUMNS,
    kafka::{KafkaAccess, KafkaProblem},
};
use generators::{
    client::target::{Target, TargetError},
    error_chain::told,
    identity::RunId,
};

use super::{Clickhouse, External, ExternalFacts, Kafka, Place, connector};
use crate::failure::{Failure, Kind};

/// So often ClickHouse's clock is read; the quickest answer says most.
const CLOCK_READINGS: usize = 5;

/// A pipeline that was found to be there.
#[derive(Debug)]
pub struct Reached {
    /// Where events are sent to.
    pub capture: Target,
    /// Where rows are read.
    pub store: Store,
    /// How Kafka is read.
    pub kafka: Option<KafkaAccess>,
    /// ClickHouse's version.
    pub clickhouse: String,
    /// What is kept of it.
    pub facts: ExternalFacts,
    /// What it does not allow to be known or judged, a line each.
    pub weaker: Vec<String>,
}

/// Reaches every part of `external` for `run`.
///
/// # Errors
/// What is not as it should be.
pub async fn reach(external: &External, run: RunId) -> Result<Reached, Failure> {
    let capture = open(&external.capture, "the capture").await?;
    let mut weaker = Vec::new();
    let Clickhouse { database, table, user, .. } = &external.clickhouse;
    let target = open(&external.clickhouse.place, "ClickHouse").await?;
    let mut client = connector::client(target).with_user(user);
    let password = external.clickhouse.password.read("ClickHouse's password")?;
    if !password.is_empty() {
        client = client.with_password(password);
    }
    let store = Store::with_client(client, database, table);
    let refused = |error| refused(&external.clickhouse, error);
    let version = store.version().await.map_err(refused)?;
    match store.cutting_settings().await {
        Ok(settings) if settings.is_empty() => (),
        Ok(settings) => {
            return Err(Failure::told(
                Kind::Usage,
                format!("reads of the user {user} may end early without a word: {}", settings.join(", ")),
                "give the user settings with which a read that does not end is an error",
            ));
        }
        Err(_) => weaker.push("ClickHouse does not say whether its reads may be cut off (system.settings)".into()),
    }
    let is_there = store.table().await.map_err(refused)?;
    check_columns(&external.clickhouse, &is_there)?;
    if is_there.skips_shards() {
        return Err(Failure::told(
            Kind::Usage,
            format!(
                "reads of {database}.{table} leave out shards that do not answer, without a word; nothing was sent"
            ),
            "name a Distributed table that was made without skip_unavailable_shards = 1",
        ));
    }
    let reading = Reading::new(external.clickhouse.columns.clone(), &is_there.types);
    let (offset, uncertainty) = clock(&store).await.map_err(refused)?;
    let parts = parts(&store, &is_there, &mut weaker).await;
    let rows_found_by = match (&parts, reading.knows_insertion()) {
        (Some(_), _) => "new data parts",
        (None, true) => "the time of their insertion, among those since the last look and of the minute before",
        (None, false) => "reading all of the run's each time",
    };
    let alone = external.projects.iter().filter(|project| project.alone).map(|project| project.team);
    let alone = Alone::Teams(alone.collect());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64;
    let tells_shards = is_there.tells_shards();
    let foreign =
        Foreign { reading, run, alone, before_micros: now + offset, parts, tells_shards, has_own_groups: false };
    let store = store.among_others(foreign).with_groups(external.clickhouse.groups_table.as_deref());
    check_groups(&external.clickhouse, &store, run).await?;
    // The very question of the final reads, while there is nothing to find.
    store.read_all(|| Ok::<_, ObserveError>(()), |(), _| Ok(())).await.map_err(refused)?;
    let not_judged = external.clickhouse.columns.not_judged();
    weaker.extend(not_judged.iter().map(|column| format!("`{column}` is mapped to nothing, so it is not judged")));
    let kafka = external.kafka.as_ref().map(kafka).transpose()?;
    if let (Some(access), Some(kafka)) = (&kafka, &external.kafka) {
        check_kafka(access.clone(), kafka.clone()).await?;
    }
    let facts = ExternalFacts {
        clickhouse: external.clickhouse.place.url.clone(),
        user: user.clone(),
        table: format!("{database}.{table}"),
        rows_found_by: rows_found_by.into(),
        not_judged: not_judged.into_iter().map(str::to_owned).collect(),
        brokers: external.kafka.as_ref().map(|kafka| kafka.brokers.clone()),
        clock_offset_micros: offset,
        clock_uncertainty_micros: uncertainty,
    };
    Ok(Reached { capture, store, kafka, clickhouse: version, facts, weaker })
}

/// The place, once somebody there has taken a connection.
async fn open(place: &Place, what: &str) -> Result<Target, Failure> {
    let unusable = |error: TargetError| {
        let kind = match error {
            TargetError::NoTarget(_) | TargetError::NeedlessCa | TargetError::Ca { .. } => Kind::Usage,
            TargetError::Unresolved { .. } | TargetError::NoRoots | TargetError::Unavailable { .. } => {
                Kind::Unavailable
            }
        };
        Failure::caused(
            kind,
            format!("{what} cannot be reached; nothing was sent"),
            "is the address in the external file right?",
            error,
        )
    };
    let target = tokio::task::block_in_place(|| Target::resolve(&place.url, place.ca.as_deref())).map_err(unusable)?;
    target.connect().await.map_err(unusable)?;
    Ok(target)
}

/// Asks for each project whether its token is known. PostHog's capture takes events of any token, and its flags know which there
/// are; where nobody answers that, nothing is known. Asking is a POST, so it waits until somebody has agreed to what is sent.
///
/// # Errors
/// When a token is not known.
pub async fn check_tokens(external: &External, capture: &Target) -> Result<(), Failure> {
    for project in &external.projects {
        let body = serde_json::json!({ "token": project.token.text(), "distinct_id": "assay-preflight" });
        if connector::post(capture.clone(), "/flags/?v=2", body.to_string()).await == Some(401) {
            return Err(Failure::told(
                Kind::Usage,
                format!(
                    "{} knows no project with the token {}; no event was sent",
                    external.capture.url, project.token
                ),
                "the token is under \"Project ID & API key\" in the project's settings",
            ));
        }
    }
    Ok(())
}

/// What a refusal of ClickHouse's means.
fn refused(clickhouse: &Clickhouse, error: ObserveError) -> Failure {
    let text = told(&error);
    let Clickhouse { user, database, table, .. } = clickhouse;
    let (kind, what, help) =
        if ["AUTHENTICATION_FAILED", "WRONG_PASSWORD", "UNKNOWN_USER"].iter().any(|word| text.contains(word)) {
            let help = "are `user` and what `password_env` or `password_file` name right?";
            (
                Kind::Usage,
                format!("ClickHouse does not let the user {user} in: wrong password, or no such user"),
                help.to_owned(),
            )
        } else if text.contains("ACCESS_DENIED") || text.contains("Not enough privileges") {
            (
                Kind::Usage,
                format!("the user {user} may not read {database}.{table}"),
                format!("GRANT SELECT ON {database}.{table} TO {user}"),
            )
        } else if text.contains("READONLY") {
            let help = "this is a defect of Assay's: it should ask nothing that readonly = 1 forbids";
            (Kind::Internal, format!("the user {user} may not ask what was asked"), help.to_owned())
        } else {
            (Kind::Unavailable, "ClickHouse's events table cannot be read; nothing was sent".to_owned(), String::new())
        };
    Failure::caused(kind, what, help, error)
}

fn check_columns(clickhouse: &Clickhouse, table: &Table) -> Result<(), Failure> {
    let Clickhouse { database, table: name, user, columns, .. } = clickhouse;
    if table.types.is_empty() {
        return Err(Failure::told(
            Kind::Usage,
            format!("there is no table {database}.{name} that the user {user} may read; nothing was sent"),
            "are `database` and `table` right, and may the user read it (GRANT SELECT)?",
        ));
    }
    let missing = columns.missing(&table.types);
    if missing.is_empty() {
        return Ok(());
    }
    let there: Vec<&str> = table.types.keys().map(String::as_str).collect();
    Err(Failure::told(
        Kind::Usage,
        format!("the table {database}.{name} has no column {}; nothing was sent", missing.join(", ")),
        format!(
            "say in [clickhouse.columns] what it is called there, or \"\" if there is none; the table has: {}",
            there.join(", ")
        ),
    ))
}

/// Makes sure that the table of groups, if one is named, is there and can be read.
async fn check_groups(clickhouse: &Clickhouse, store: &Store, run: RunId) -> Result<(), Failure> {
    let Some(groups) = store.groups() else { return Ok(()) };
    let Clickhouse { database, user, groups_table, .. } = clickhouse;
    let name = groups_table.as_deref().unwrap_or_default();
    let refused = |error| refused(&Clickhouse { table: name.to_owned(), ..clickhouse.clone() }, error);
    let types = groups.table().await.map_err(refused)?.types;
    let missing: Vec<&str> = COLUMNS.into_iter().filter(|column| !types.contains_key(*column)).collect();
    if !missing.is_empty() {
        return Err(Failure::told(
            Kind::Usage,
            format!(
                "the table of groups {database}.{name} has no column {} that the user {user} may read; nothing was sent",
                missing.join(", ")
            ),
            "is `groups_table` in [clickhouse] right? Its columns must be called as in PostHog; leave it out, and groups are \
             not judged",
        ));
    }
    // The very question of the final reads, while there is nothing to find.
    store.read_groups(run).await.map(|_| ()).map_err(refused)
}

/// The data parts, where new rows can be found by them.
async fn parts(store: &Store, table: &Table, weaker: &mut Vec<String>) -> Option<Vec<checkers::observe::parts::Part>> {
    let why = if table.has_parts() {
        match (store.parts().await, store.is_empty().await) {
            (Ok(parts), Ok(empty)) if empty || !parts.is_empty() => return Some(parts),
            (Err(error), _) => format!("its data parts may not be read ({})", told(&error)),
            _ => "its data parts may not be read".into(),
        }
    } else if table.engine.is_empty() {
        "its engine may not be known".into()
    } else {
        format!("it is a table of engine {}, which has no data parts of its own", table.engine)
    };
    let how = if table.engine == "Distributed" { ", and one replica of each shard answers at a time" } else { "" };
    weaker.push(format!("when rows became visible is seen by the time of their insertion: {why}{how}"));
    None
}

/// By how much ClickHouse's clock is ahead of ours, and how far that may be from the truth, in microseconds: half the time
/// that the quickest answer took.
async fn clock(store: &Store) -> Result<(i64, i64), ObserveError> {
    let mut best = (0, i64::MAX);
    for _ in 0..CLOCK_READINGS {
        let (began, wall) = (Instant::now(), SystemTime::now());
        let theirs = store.clock_micros().await?;
        let half = (began.elapsed() / 2).as_micros() as i64;
        let ours = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as i64 + half;
        if half < best.1 {
            best = (theirs - ours, half);
        }
    }
    Ok(best)
}

fn kafka(kafka: &Kafka) -> Result<KafkaAccess, Failure> {
    let mut access = KafkaAccess::plain(&kafka.brokers);
    let protocol = match (&kafka.tls, &kafka.sasl) {
        (None, None) => return Ok(access),
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    access = access.with("security.protocol", protocol);
    if let Some(ca) = kafka.tls.as_ref().and_then(|tls| tls.ca.as_ref()) {
        // The client library would not say which file.
        std::fs::File::open(ca).map_err(|error| {
            let what = format!("the CA of Kafka, {}, cannot be read; nothing was sent", ca.display());
            Failure::caused(Kind::Usage, what, "see `ca` in [kafka] of the external file", error)
        })?;
        access = access.with("ssl.ca.location", ca.display().to_string());
    }
    if let Some(sasl) = &kafka.sasl {
        access = access
            .with("sasl.mechanism", &sasl.mechanism)
            .with("sasl.username", &sasl.user)
            .with("sasl.password", sasl.password.read("Kafka's password")?);
    }
    Ok(access)
}

async fn check_kafka(access: KafkaAccess, kafka: Kafka) -> Result<(), Failure> {
    let access = Arc::new(access);
    let user = kafka.sasl.as_ref().map(|sasl| sasl.user.clone()).unwrap_or_default();
    let checked = tokio::task::spawn_blocking(move || {
        let topics = kafka.topics.iter().flat_map(|topics| {
            topics.capture.iter().chain([&topics.dead_letters, &topics.events]).filter(|topic| !topic.is_empty())
        });
        access.check(&topics.cloned().collect::<Vec<_>>(), &kafka.groups)
    });
    let checked =
        checked.await.map_err(|error| Failure::caused(Kind::Internal, "Kafka could not be asked", "", error))?;
    checked.map_err(|problem| {
        let (kind, help) = match &problem {
            KafkaProblem::Unreachable { .. } => {
                (Kind::Unavailable, "are `brokers`, TLS and SASL in the external file right?")
            }
            KafkaProblem::Refused(_) => {
                let what = format!(
                    "Kafka does not let the user {user} in: wrong password, no such user, or another mechanism; nothing was sent"
                );
                let help = "are `user`, `mechanism` and what `password_env` or `password_file` name right?";
                return Failure::caused(Kind::Usage, what, help, problem);
            }
            KafkaProblem::Tls(_) => {
                (Kind::Unavailable, "is `tls` right, and is `ca` in the external file the CA that signed Kafka's certificate?")
            }
            KafkaProblem::Forbidden(_) => {
                (Kind::Usage, "the user needs to describe the topics and groups, and to read the topics that are tapped")
            }
            KafkaProblem::Settings(_) => (Kind::Usage, "see [kafka] in the external file"),
            KafkaProblem::NoTopic(_) => {
                (Kind::Usage, "is its name in the external file right, and may the user describe it?")
            }
            KafkaProblem::NoOffsets(_) => {
                (Kind::Usage, "is the group's name in the external file right, and is its consumer running?")
            }
        };
        Failure::caused(kind, "Kafka cannot be read; nothing was sent", help, problem)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::TcpListener,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::external::file::tests::whole;

    #[tokio::test(flavor = "multi_thread")]
    async fn reaching_a_capture_sends_it_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut external = whole();
        external.capture = Place { url: format!("http://{}", listener.local_addr().unwrap()), ca: None };
        external.clickhouse.place = Place { url: "http://127.0.0.1:1".into(), ca: None };
        let (taken, sent) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counts, bytes) = (Arc::clone(&taken), Arc::clone(&sent));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                bytes.fetch_add(stream.read(&mut [0; 64]).unwrap_or_default(), Ordering::SeqCst);
                counts.fetch_add(1, Ordering::SeqCst);
            }
        });
        let failure = reach(&external, RunId::new(0)).await.unwrap_err();
        assert!(failure.line().starts_with("ClickHouse cannot be reached"), "{}", failure.line());
        while taken.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sent.load(Ordering::SeqCst), 0);
    }
}
