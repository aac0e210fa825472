//! The file that `--external` names. Every key is listed here, once; all others are refused, each problem with line and key.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use checkers::observe::{columns::Columns, kafka::HAS_TLS, lag::Subscription, taps::TappedTopics, watch::INTERVAL};
use generators::schedule::Rate;
use testenv::{
    environment::pipeline::{MOST_INGESTERS, ingester_names},
    fault::{Action, Target},
};
use toml::de::DeValue;

use super::{Clickhouse, External, FaultCommand, Kafka, Limits, Place, Project, Sasl, Tls, Token, secret::Secret};
use crate::{
    failure::{Failure, Kind},
    scenario::{
        is_free,
        notation::Expectable,
        problem::Problems,
        reader::{self, Section, choice, flag, text, whole},
    },
};

/// New rows are looked for so often.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A fault's command takes no longer.
const WITHIN: Duration = Duration::from_secs(30);
/// A name that is no further from that of a part may be meant for it.
pub(super) const MISSPELT: usize = 2;

impl External {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, and every problem that is in it.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let source = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("the external file {} cannot be read", path.display());
            let help = "it says where the pipeline is; docs/your-own-pipeline.md shows one";
            Failure::caused(Kind::Usage, what, help, error)
        })?;
        let (mut external, tokens) = Self::parse(&path.display().to_string(), &source, path.parent())
            .map_err(|problems| Failure::new(Kind::Usage, problems))?;
        for (project, secret) in external.projects.iter_mut().zip(tokens) {
            if secret != Secret::None {
                project.token = Token::new(secret.read("a project's token")?);
            }
        }
        Ok(external)
    }

    /// The file's text, with where each project's token is if it is not in it; relative paths count from `folder`.
    fn parse(file: &str, source: &str, folder: Option<&Path>) -> Result<(Self, Vec<Secret>), Problems> {
        let folder = folder.unwrap_or(Path::new(""));
        reader::read(file, source, &[], |root| external(root, folder)).map_err(|problems| {
            problems.with_help("`assay env status --external FILE` checks it; docs/your-own-pipeline.md has every key")
        })
    }
}

fn external(mut root: Section<'_>, folder: &Path) -> (External, Vec<Secret>) {
    let mut capture = root.required_section("capture");
    let place = place(&mut capture, folder);
    capture.end();
    let sections = root.sections("project");
    if sections.is_empty() {
        root.problem("project", "is missing: add a [[project]] table with the token and the team that events go to");
    }
    let (projects, tokens): (Vec<Project>, Vec<Secret>) =
        sections.into_iter().map(|section| project(section, folder)).unzip();
    if projects.iter().filter(|project| project.traffic.is_empty()).count() > 1 {
        root.problem("project", "only one can be for all traffic: say which `traffic` the others are for");
    }
    let clickhouse = clickhouse(root.required_section("clickhouse"), folder);
    let kafka = root.mentions("kafka").then(|| kafka(root.section("kafka"), folder));
    let fault_commands = fault_commands(root.sections("fault_command"));
    let mut section = root.section("limits");
    let mut limits = Limits::DEFAULT;
    limits.events = section.optional("most_events", whole(1..=u64::MAX)).unwrap_or(limits.events);
    limits.rate = section.optional("most_rate", Rate::parse).unwrap_or(limits.rate);
    section.end();
    root.end();
    (External { capture: place, projects, clickhouse, kafka, fault_commands, limits }, tokens)
}

fn place(section: &mut Section<'_>, folder: &Path) -> Place {
    let url = section.required("url", |value| {
        let url = text(value)?;
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        match rest.map(|rest| rest.trim_end_matches('/')) {
            Some(host) if !host.is_empty() && !host.contains(['/', '@', '?', '#']) => Ok(url),
            _ => Err("must be http://HOST:PORT or https://HOST:PORT, without user, password and path".into()),
        }
    });
    let url = url.unwrap_or_default();
    let ca = section.optional("ca", file_in(folder));
    if ca.is_some() && url.starts_with("http://") {
        section.problem("ca", "is of use for https only");
    }
    Place { url, ca }
}

fn file_in(folder: &Path) -> impl Fn(&DeValue<'_>) -> Result<PathBuf, String> {
    move |value| text(value).map(|path| folder.join(path))
}

/// A secret called `what`: by `WHAT_env` or `WHAT_file`, never in the file itself.
fn secret(section: &mut Section<'_>, keys: [&'static str; 3], folder: &Path) -> Secret {
    let [itself, variable, file] = keys;
    if section.mentions(itself) {
        // It is known, and not wanted here.
        let _: Option<()> = section.optional(itself, |_| {
            Err(format!(
                "is not written here, where others may read it: name where it is with `{variable}` or `{file}`"
            ))
        });
    }
    let by_variable = section.optional(variable, text).map(Secret::Variable);
    let by_file = section.optional(file, file_in(folder)).map(Secret::File);
    if by_variable.is_some() && by_file.is_some() {
        section.problem(file, &format!("and `{variable}` say the same: leave one of them out"));
    }
    by_variable.or(by_file).unwrap_or(Secret::None)
}

const PASSWORD: [&str; 3] = ["password", "password_env", "password_file"];

fn project(mut section: Section<'_>, folder: &Path) -> (Project, Secret) {
    let token = section.optional("token", |value| {
        let token = text(value)?;
        if token.is_empty() { Err("is empty".into()) } else { Ok(token) }
    });
    let by_variable = section.optional("token_env", text).map(Secret::Variable);
    let by_file = section.optional("token_file", file_in(folder)).map(Secret::File);
    let given = [token.is_some(), by_variable.is_some(), by_file.is_some()];
    if given.into_iter().filter(|given| *given).count() != 1 && !section.has_problem() {
        section.problem("token", "must be said once: `token`, `token_env` or `token_file`");
    }
    let team = section.required("team", whole(0..=i64::MAX as u64)).unwrap_or_default() as i64;
    let traffic = section.optional("traffic", texts).unwrap_or_default();
    let alone = section.optional("alone", flag).unwrap_or_default();
    section.end();
    (
        Project { token: Token::new(token.unwrap_or_default()), team, traffic, alone },
        by_variable.or(by_file).unwrap_or(Secret::None),
    )
}

fn texts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let list = value.as_array().ok_or("must be a list of strings")?;
    list.iter().map(|item| text(item.get_ref())).collect()
}

fn clickhouse(mut section: Section<'_>, folder: &Path) -> Clickhouse {
    let clickhouse = Clickhouse {
        place: place(&mut section, folder),
        user: section.optional("user", text).unwrap_or_else(|| "default".into()),
        password: secret(&mut section, PASSWORD, folder),
        database: section.optional("database", text).unwrap_or_else(|| "default".into()),
        table: section.optional("table", text).unwrap_or_else(|| "events".into()),
        groups_table: section.optional("groups_table", text),
        look_every: section.optional("look_every", Duration::parse).unwrap_or(LOOK_EVERY),
        columns: columns(section.section("columns")),
    };
    if clickhouse.look_every < INTERVAL {
        section.problem("look_every", &format!("must be at least {INTERVAL:?}"));
    }
    section.end();
    clickhouse
}

fn columns(mut section: Section<'_>) -> Columns {
    let mut columns = Columns::default();
    let needed = ["uuid", "team_id", "timestamp"];
    for (key, column) in [
        ("uuid", &mut columns.uuid),
        ("event", &mut columns.event),
        ("distinct_id", &mut columns.distinct_id),
        ("team_id", &mut columns.team_id),
        ("timestamp", &mut columns.timestamp),
        ("person_id", &mut columns.person_id),
        ("properties", &mut columns.properties),
        ("elements_chain", &mut columns.elements_chain),
        ("version", &mut columns.version),
        ("inserted_at", &mut columns.inserted_at),
    ] {
        if let Some(name) = section.optional(key, text) {
            if name.is_empty() && needed.contains(&key) {
                section.problem(key, "is needed: without it no row can be judged");
            }
            *column = name;
        }
    }
    section.end();
    columns
}

const MECHANISMS: [(&str, &str); 3] =
    [("PLAIN", "PLAIN"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512")];

fn kafka(mut section: Section<'_>, folder: &Path) -> Kafka {
    let brokers = section.required("brokers", text).unwrap_or_default();
    let mut groups = Vec::new();
    for mut of in section.sections("group") {
        let group = of.required("name", text).unwrap_or_default();
        let topic = of.required("topic", text).unwrap_or_default();
        of.end();
        groups.push(Subscription { group, topic });
    }
    let capture = section.optional("capture_topics", texts).unwrap_or_default();
    let events = section.optional("events_topic", text).unwrap_or_default();
    let dead_letters = section.optional("dead_letter_topic", text).unwrap_or_default();
    if capture.is_empty() != events.is_empty() {
        section.problem(
            "events_topic",
            "and `capture_topics` are tapped together, to tell where an event got lost: say both",
        );
    }
    let topics = (!capture.is_empty()).then_some(TappedTopics { capture, dead_letters, events });
    let tls = section.optional("tls", flag).unwrap_or_default();
    let ca = section.optional("ca", file_in(folder));
    if ca.is_some() && !tls {
        section.problem("ca", "is of use with `tls = true` only");
    }
    let sasl = section.mentions("sasl").then(|| {
        let mut section = section.section("sasl");
        let sasl = Sasl {
            mechanism: section.required("mechanism", choice(&MECHANISMS)).unwrap_or("PLAIN").to_owned(),
            user: section.required("user", text).unwrap_or_default(),
            password: secret(&mut section, PASSWORD, folder),
        };
        if sasl.password == Secret::None && !section.has_problem() {
            section.problem("password_env", "is missing: name where the password is, here or with `password_file`");
        }
        section.end();
        sasl
    });
    let needs_tls = tls || sasl.as_ref().is_some_and(|sasl| sasl.mechanism != "PLAIN");
    if needs_tls && !HAS_TLS {
        let key = if tls { "tls" } else { "sasl" };
        section.problem(key, "needs a build with TLS to Kafka: cargo build --release --features kafka-tls");
    }
    section.end();
    Kafka { brokers, groups, topics, tls: tls.then_some(Tls { ca }), sasl }
}

/// The actions of `[[fault]]`, whatever their measure.
const ACTIONS: [(&str, Action); 13] = [
    ("kill", Action::Kill),
    ("stop", Action::Stop),
    // The same as a stop for no time.
    ("restart", Action::Stop),
    ("pause", Action::Pause),
    ("rebalance", Action::Rebalance),
    ("cut", Action::Cut),
    ("reset", Action::Reset),
    ("delay", Action::Delay { by: Duration::ZERO, jitter: Duration::ZERO }),
    ("narrow", Action::Narrow { bytes_per_second: 0 }),
    ("broken_message", Action::BrokenMessage),
    ("fill_disk", Action::FillDisk),
    ("throttle", Action::Throttle { thousandths: 0 }),
    ("squeeze", Action::Squeeze { memory: 0 }),
];

/// Reads all commands; no two are for the same fault.
fn fault_commands(sections: Vec<Section<'_>>) -> Vec<FaultCommand> {
    let mut commands: Vec<FaultCommand> = Vec::new();
    for mut section in sections {
        let Some(command) = fault_command(&mut section) else {
            section.end();
            continue;
        };
        let same = |other: &FaultCommand| (other.target, &other.action) == (command.target, &command.action);
        if commands.iter().any(same) {
            let what = format!("{} {} has a [[fault_command]] already", command.action, command.target);
            section.problem("target", &what);
        }
        section.end();
        commands.push(command);
    }
    commands
}

/// Reads what a scenario's fault can be done to: a part that every pipeline has, an ingester, or a component by its name.
fn target(value: &DeValue<'_>) -> Result<Target, String> {
    let known = reader::words_of(&Target::ALL);
    let word = text(value).map_err(|what| format!("{what}: one of {}, or a component's name", known.join(", ")))?;
    if known.contains(&word.as_str()) {
        return choice(&Target::ALL)(value);
    }
    if let Some(ingester) = ingester_names(MOST_INGESTERS).find(|name| *name == word) {
        return Ok(Target::component(ingester));
    }
    if is_free(&word) {
        return Ok(Target::component(&word));
    }
    Err(format!(
        "`{word}` is no part of a pipeline: there are {}, further ingesters from ingester-2 to ingester-{MOST_INGESTERS}, and what a \
         scenario's [[component]] is called (small letters, digits and `-`)",
        known.join(", ")
    ))
}

/// What `action` can be done to, where that is not `target`: a part that is misspelt is taken for a component of that name.
fn instead(action: Action, target: Target) -> String {
    let fits: Vec<&str> = Target::ALL.iter().filter(|(_, part)| action.fits(*part)).map(|(word, _)| *word).collect();
    let near = reader::nearest(target.word(), fits.iter().copied(), MISSPELT);
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!(", but to {}{near}", fits.join(", "))
}

fn fault_command(section: &mut Section<'_>) -> Option<FaultCommand> {
    let command = |value: &DeValue<'_>| {
        let words = texts(value)?;
        if words.is_empty() {
            Err("is a program and its arguments, such as [\"kubectl\", \"…\"]".into())
        } else {
            Ok(words)
        }
    };
    let target = section.required("target", target);
    let action = section.required("action", choice(&ACTIONS));
    let begin = section.required("begin", command);
    let heal = section.optional("heal", command).unwrap_or_default();
    let within = section.optional("within", Duration::parse).unwrap_or(WITHIN);
    if let Some((target, action)) = target.zip(action)
        && !action.fits(target)
    {
        let what =
            format!("`{}` is nothing that a scenario can do to {target}{}", action.word(), instead(action, target));
        section.problem("action", &what);
    }
    if heal.is_empty() && action.is_some_and(|action| action != Action::BrokenMessage) && !section.has_problem() {
        section.problem("heal", "is missing: the command that ends the fault, so that it does not outlast the run");
    }
    Some(FaultCommand { target: target?, action: action?.word().to_owned(), begin: begin?, heal, within })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const WHOLE: &str = r#"
[capture]
url = "https://ingest.example:8443"
ca = "ca.pem"

[[project]]
token = "phc_abc"
team = 7
alone = true

[clickhouse]
url = "http://clickhouse.example:8123"
user = "reader"
password_env = "READER"
database = "posthog"
table = "events"
groups_table = "groups"

[clickhouse.columns]
uuid = "id"
person_id = ""

[kafka]
brokers = "k1:9092,k2:9092"
capture_topics = ["in"]
events_topic = "out"

[[kafka.group]]
name = "ingester"
topic = "in"

[kafka.sasl]
mechanism = "PLAIN"
user = "me"
password_file = "secret"

[[fault_command]]
target = "ingester"
action = "kill"
begin = ["kubectl", "delete", "pod"]
heal = ["true"]

[limits]
most_rate = "5000/s"
"#;

    /// What the whole file says.
    pub fn whole() -> External {
        External::parse("x.toml", WHOLE, None).unwrap().0
    }

    fn lines(source: &str) -> Vec<String> {
        let problems = External::parse("x.toml", source, Some(Path::new("/etc/assay"))).unwrap_err();
        problems.lines().collect()
    }

    #[test]
    fn a_whole_file_is_read() {
        let (external, _) = External::parse("x.toml", WHOLE, Some(Path::new("/etc/assay"))).unwrap();
        assert_eq!(external.capture.ca, Some("/etc/assay/ca.pem".into()));
        assert_eq!((external.limits.events, external.limits.rate.events), (100_000, 5_000));
        assert_eq!(external.clickhouse.password, Secret::Variable("READER".into()));
        assert_eq!(
            (external.clickhouse.columns.uuid.as_str(), external.clickhouse.columns.not_judged()),
            ("id", vec!["person_id"])
        );
        assert_eq!(external.clickhouse.groups_table.as_deref(), Some("groups"));
        let kafka = external.kafka.unwrap();
        assert_eq!(kafka.sasl.unwrap().password, Secret::File("/etc/assay/secret".into()));
        assert_eq!(kafka.groups, [Subscription { group: "ingester".into(), topic: "in".into() }]);
        assert_eq!(external.fault_commands[0].begin, ["kubectl", "delete", "pod"]);
    }

    #[test]
    fn commands_reach_further_ingesters_and_components() {
        let of = |target: &str, action: &str| {
            let lines = format!(
                "[[fault_command]]\ntarget = {target}\naction = \"{action}\"\nbegin = [\"a\"]\nheal = [\"b\"]\n"
            );
            External::parse("x.toml", &format!("{WHOLE}\n{lines}"), None).map(|(external, _)| external.fault_commands)
        };
        for (target, expected) in [
            ("ingester-2", Target::Named("ingester-2")),
            ("ingester-8", Target::Named("ingester-8")),
            ("redis", Target::Named("redis")),
            ("kafka", Target::Kafka),
        ] {
            let commands = of(&format!("\"{target}\""), "kill").unwrap_or_else(|told| panic!("{target}: {told}"));
            assert_eq!((commands.len(), commands[1].target), (2, expected), "{target}");
        }
        for (target, action, expected) in [
            ("\"ingester-9\"", "kill", "target: `ingester-9` is no part of a pipeline: there are capture, ingester, "),
            ("\"My Redis\"", "kill", "from ingester-2 to ingester-8, and what a scenario's [[component]] is called"),
            ("\"webhook\"", "kill", "target: `webhook` is no part of a pipeline"),
            ("[\"redis\"]", "kill", "target: must be a string, not array: one of capture, ingester, "),
            (
                "\"redis\"",
                "cut",
                "fault_command.1.action: `cut` is nothing that a scenario can do to redis, but to client-",
            ),
            (
                "\"capture-kafak\"",
                "cut",
                "do to capture-kafak, but to client-capture, capture-kafka, ingester-kafka, clickhouse-kafka, \
                 checker-clickhouse; did you mean `capture-kafka`?",
            ),
            ("\"capture\"", "broken_message", "do to capture, but to capture-topic, events-topic"),
            ("\"ingester-2\"", "rebalance", "action: `rebalance` is nothing that a scenario can do to ingester-2"),
            ("\"ingester\"", "kill", "fault_command.1.target: kill ingester has a [[fault_command]] already"),
        ] {
            let told: Vec<String> = of(target, action).unwrap_err().lines().collect();
            assert!(told.len() == 1 && told[0].contains(expected), "{target} {action}: {told:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_line_and_key() {
        for (from, to, expected) in [
            (
                "password_env = \"READER\"",
                "password = \"secret\"",
                "x.toml:14: clickhouse.password: is not written here",
            ),
            ("https://ingest.example:8443", "https://me:pw@ingest.example", "capture.url: must be http://HOST:PORT"),
            ("token = \"phc_abc\"", "", "project.0.token: must be said once"),
            ("uuid = \"id\"", "uuid = \"\"", "clickhouse.columns.uuid: is needed"),
            ("uuid = \"id\"", "uid = \"id\"", "clickhouse.columns.uid: there is no such key; did you mean `uuid`?"),
            ("heal = [\"true\"]", "", "fault_command.0.heal: is missing"),
            ("events_topic = \"out\"", "", "kafka.events_topic: and `capture_topics` are tapped together"),
            ("password_file = \"secret\"", "", "kafka.sasl.password_env: is missing"),
            ("most_rate = \"5000/s\"", "most_rate = \"5000\"", "limits.most_rate"),
        ] {
            let told = lines(&WHOLE.replacen(from, to, 1));
            assert!(told.iter().any(|line| line.contains(expected)), "{expected}: {told:?}");
            assert!(!told.iter().any(|line| line.contains("secret\"")), "{told:?}");
        }
        if !HAS_TLS {
            for (from, to) in [("events_topic", "tls = true\nevents_topic"), ("\"PLAIN\"", "\"SCRAM-SHA-256\"")] {
                let told = lines(&WHOLE.replacen(from, to, 1));
                assert!(told.iter().any(|line| line.contains("--features kafka-tls")), "{told:?}");
            }
        }
        let all = lines("");
        for key in ["capture: is missing", "project: is missing", "clickhouse: is missing"] {
            assert!(all.iter().any(|line| line.contains(key)), "{key}: {all:?}");
        }
    }
}
