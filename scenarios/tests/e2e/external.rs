//! Against a pipeline that runs already: the reference pipeline, kept up as somebody else's, read by a user who may only read.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use tempfile::TempDir;

use super::harness::{Bench, Finished, UP_WITHIN, alone, assay, signal, wait_until};

/// What `--external` takes for the pipeline that all these tests share.
fn standing() -> &'static str {
    static STANDING: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, text) = STANDING.get_or_init(|| keep_up(&[]));
    text
}

/// Keeps a pipeline up, with these further arguments, until the tests end; the folder of its files, and what `--external`
/// takes.
pub fn keep_up(arguments: &'static [&'static str]) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("environment.json");
    let path = file.clone();
    // It goes down when the thread that has started it ends: this one, with the test binary.
    std::thread::spawn(move || {
        let mut up = assay(["env", "up", "--pipeline", "--with-parent"]);
        up.args(arguments).arg("--file").arg(&path).spawn().unwrap().wait().unwrap();
    });
    assert!(wait_until(UP_WITHIN, || file.exists()), "the pipeline did not come up");
    let status = assay(["env", "status", "--file"]).arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&status.stdout).contains("environment.external.toml"), "{status:?}");
    let text = fs::read_to_string(folder.path().join("environment.external.toml")).unwrap();
    // Their files go elsewhere, and the password stays where it is.
    let password = folder.path().join("environment.password").display().to_string();
    let text = text.replace("environment.password", &password);
    (folder, text)
}

/// A value of the standing file, such as ClickHouse's url.
fn value(section: &str, key: &str) -> String {
    value_of(standing(), section, key)
}

/// A value of an external file.
pub fn value_of(external: &str, section: &str, key: &str) -> String {
    let (_, rest) = external.split_once(&format!("[{section}]")).unwrap();
    let line = rest.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// The external file with some text changed.
fn changed(bench: &Bench, changes: &[(&str, &str)]) -> PathBuf {
    changed_of(standing(), bench, changes)
}

/// An external file of the bench's own: this one with some text changed.
pub fn changed_of(external: &str, bench: &Bench, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = external.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from} is not in {text}");
        text = text.replacen(from, to, 1);
    }
    let path = bench.tmp().join("external.toml");
    fs::write(&path, text).unwrap();
    path
}

pub fn run(bench: &Bench, external: &Path, more: &[&str]) -> Output {
    let mut command = bench.run_command();
    command.args(["--env", "external", "--external"]).arg(external).args(more);
    command.output().unwrap()
}

fn finished(bench: &Bench, external: &Path) -> Finished {
    standing();
    let _room = alone();
    Finished::new(run(bench, external, &["--yes"]), bench.latest())
}

/// Everything on stderr in one line.
pub fn told(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let words: Vec<&str> = text.split_whitespace().filter(|word| !matches!(*word, "│" | "×" | "╰─▶" | "├─▶")).collect();
    words.join(" ")
}

/// Lets ClickHouse's owner do something.
fn as_owner(statement: &str) {
    ask_as_owner(&value("clickhouse", "url"), statement);
}

/// What the ClickHouse at `url` answers its owner.
pub fn ask_as_owner(url: &str, statement: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async {
        let answer = reqwest::Client::new().post(url).body(statement.to_owned()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    });
    assert!(answer.0.is_success(), "{statement}: {answer:?}");
    answer.1.trim().to_owned()
}

#[test]
fn a_run_against_a_pipeline_that_is_up_passes_and_keeps_no_secret() {
    let bench = Bench::new("");
    let external = changed(&bench, &[]);
    let run = finished(&bench, &external);
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!((run.count("visible"), run.count("phantom")), (6_000, 0), "{}", run.told());
    assert_eq!(run.verdict["run"]["environment"], "external");
    assert!(run.stderr.contains("6 000 events in") && run.stderr.contains("phc_as…ng"), "{}", run.stderr);
    assert!(!run.stderr.contains("phc_assay_standing"), "{}", run.stderr);
    let directory = run.directory.unwrap();
    let manifest = fs::read_to_string(directory.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"rows_found_by\": \"new data parts\""), "{manifest}");
    for file in fs::read_dir(&directory).unwrap().flatten().filter(|file| file.path().is_file()) {
        let bytes = fs::read(file.path()).unwrap();
        assert!(!bytes.windows(10).any(|part| part == b"reads-only"), "the password is in {}", file.path().display());
    }
    let status = assay(["env", "status", "--external"]).arg(&external).output().unwrap();
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains("found by new data parts") && text.contains("phc_as…ng"), "{status:?}");
    let again = assay(["check"]).arg(&directory).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
}

#[test]
fn a_view_with_other_names_is_read_and_what_it_lacks_is_not_judged() {
    let database = value("clickhouse", "database");
    as_owner(&format!(
        "CREATE VIEW IF NOT EXISTS `{database}`.their_rows AS SELECT toString(uuid) AS id, toLowCardinality(event) AS name, \
         distinct_id AS who, toInt32(team_id) AS tenant, timestamp AS happened, properties AS body, \
         toUInt64(toUnixTimestamp(_timestamp)) AS version, inserted_at AS stored FROM `{database}`.events"
    ));
    let columns = "[clickhouse.columns]\nuuid = \"id\"\nevent = \"name\"\ndistinct_id = \"who\"\nteam_id = \"tenant\"\n\
                   timestamp = \"happened\"\nproperties = \"body\"\nversion = \"version\"\ninserted_at = \"stored\"\n\
                   person_id = \"\"\nelements_chain = \"\"\n\n[limits]";
    let bench = Bench::new("");
    let external = changed(&bench, &[("table = \"events\"", "table = \"their_rows\""), ("[limits]", columns)]);
    let run = finished(&bench, &external);
    assert_eq!((run.code, run.count("visible")), (Some(0), 6_000), "{}", run.told());
    for part in ["`person_id` is mapped to nothing", "`elements_chain` is mapped to nothing", "a table of engine View"]
    {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    let judged = run.verdict.to_string();
    assert!(judged.contains("\"distinct_id\"") && !judged.contains("\"person_id\""), "{judged}");
    assert!(!judged.contains("\"elements_chain\""), "{judged}");
}

#[test]
fn a_strangers_row_is_a_phantom_only_in_a_team_of_ones_own() {
    for (of_ones_own, code, phantoms) in [("false", Some(0), 0), ("true", Some(1), 1)] {
        let bench = Bench::new("");
        // The other tests' runs go to the same team; what carries another run's identity is no stranger.
        let external = changed(&bench, &[("team = 1", &format!("team = 1\nalone = {of_ones_own}"))]);
        let _room = alone();
        let mut command = bench.run_command();
        command.args(["--env", "external", "--yes", "--external"]).arg(&external);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let sends = || {
            let ledger = bench.latest().and_then(|run| fs::metadata(run.join("ledger")).ok());
            ledger.is_some_and(|ledger| ledger.len() > 2_000)
        };
        assert!(wait_until(UP_WITHIN, sends), "nothing was sent");
        let database = value("clickhouse", "database");
        as_owner(&format!(
            "INSERT INTO `{database}`.events (uuid, event, team_id, distinct_id, timestamp, _timestamp) \
             SELECT generateUUIDv4(), 'theirs', 1, 'somebody', now(), now()"
        ));
        let run = Finished::new(child.wait_with_output().unwrap(), bench.latest());
        assert_eq!((run.code, run.count("phantom")), (code, phantoms), "alone = {of_ones_own}: {}", run.told());
    }
}

#[test]
fn faults_are_done_by_commands_of_ones_own() {
    let fault = "[[fault]]\nat = \"1s\"\nfor = \"1s\"\ntarget = \"ingester\"\naction = \"pause\"";
    let command = |begin: &str, heal: &str| {
        format!(
            "[[fault_command]]\ntarget = \"ingester\"\naction = \"pause\"\nbegin = [\"sh\", \"-c\", \"{begin}\"]\n\
             heal = [\"sh\", \"-c\", \"{heal}\"]\n\n[limits]"
        )
    };
    let bench = Bench::new(fault);
    let none = changed(&bench, &[]);
    let refused = run(&bench, &none, &["--yes"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(told(&refused).contains("pause ingester has no [[fault_command]]"), "{}", told(&refused));
    let mut validate = assay(["validate"]);
    validate.arg(none.with_file_name("../e2e.toml")).arg("--external").arg(&none);
    assert_eq!(validate.output().unwrap().status.code(), Some(64));

    let external = changed(&bench, &[("[limits]", &command("echo $ASSAY_FAULT_TARGET stands", "echo and goes on"))]);
    let good = finished(&bench, &external);
    assert_eq!(good.code, Some(0), "{}", good.told());
    let log = fs::read_to_string(good.directory.unwrap().join("logs/fault-commands.log")).unwrap();
    assert!(log.contains("\ningester stands\n") && log.contains("\nand goes on\n"), "{log}");
    for part in ["faults: 1, by these commands", "pause ingester: `sh -c", "healed by `sh -c \"echo and goes on\"`"] {
        assert!(good.stderr.contains(part), "{part}: {}", good.stderr);
    }

    let bench = Bench::new(fault);
    let external = changed(&bench, &[("[limits]", &command("exit 3", "true"))]);
    let failed = finished(&bench, &external);
    assert_eq!(failed.code, Some(2), "{}", failed.told());
    assert!(failed.told().contains("`sh` ended with exit status: 3"), "{}", failed.told());
}

#[test]
fn what_a_killed_run_has_broken_is_healed() {
    let fault = "[[fault]]\nat = \"1s\"\nfor = \"60s\"\ntarget = \"ingester\"\naction = \"pause\"";
    let bench = Bench::new(fault);
    let broken = bench.tmp().join("broken");
    let command = format!(
        "[[fault_command]]\ntarget = \"ingester\"\naction = \"pause\"\nbegin = [\"touch\", \"{0}\"]\n\
         heal = [\"sh\", \"-c\", \"rm {0} && echo $ASSAY_FAULT $ASSAY_FAULT_TARGET\"]\n\n[limits]",
        broken.display()
    );
    let external = changed(&bench, &[("[limits]", &command)]);
    let _room = alone();
    let mut command = bench.run_command();
    command.args(["--env", "external", "--yes", "--external"]).arg(&external);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    assert!(wait_until(UP_WITHIN, || broken.exists()), "nothing was broken");
    signal(run.id(), "KILL");
    assert_eq!(run.wait().unwrap().code(), None, "it was killed");
    assert!(wait_until(Duration::from_secs(10), || !broken.exists()), "it stays broken");
    let log = bench.latest().unwrap().join("logs/fault-commands.log");
    let told = || fs::read_to_string(&log).unwrap();
    assert!(wait_until(Duration::from_secs(5), || told().contains("\nheal ingester\n")), "{}", told());
    assert!(told().contains("assay is gone: heal pause ingester"), "{}", told());
}

#[test]
fn a_soak_that_is_too_much_as_a_whole_sends_nothing() {
    let bench = Bench::new("[soak]\nlasts = \"12s\"\n");
    let external = changed(&bench, &[("most_events = 1_000_000", "most_events = 10_000")]);
    let _room = alone();
    let output = run(&bench, &external, &["--yes"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(64), "{text}");
    for part in ["in 2 windows of a soak, 12 000 events", "the whole soak", "[limits] most_events = 12000"] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let windows = fs::read_dir(bench.latest().unwrap().join("e2e-window")).unwrap().flatten();
    let sent = windows.filter(|window| window.path().join("ledger").exists()).count();
    assert_eq!(sent, 0, "something was sent");
}

#[test]
fn what_is_wrong_with_it_is_one_error_before_anything_is_sent() {
    let bench = Bench::new("");
    let (capture, clickhouse) = (value("capture", "url"), value("clickhouse", "url"));
    let (secured, secured_store) = (capture.replace("http:", "https:"), clickhouse.replace("http:", "https:"));
    let wrong = bench.tmp().join("wrong");
    fs::write(&wrong, "wrong\n").unwrap();
    let wrong = format!("password_file = \"{}\"\nuser", wrong.display());
    let lines: Vec<&str> = standing().lines().collect();
    let line = |begin: &str| *lines.iter().find(|line| line.starts_with(begin)).unwrap();
    let (brokers, password, topic) = (line("brokers = "), line("password_file = "), line("events_topic = "));
    for (changes, code, part) in [
        (&[(capture.as_str(), "http://127.0.0.1:1")][..], 69, "the capture cannot be reached"),
        (&[(&capture, &secured)], 69, "the capture cannot be reached"),
        (&[(&clickhouse, "http://127.0.0.1:1")], 69, "ClickHouse cannot be reached"),
        (&[(&clickhouse, &secured_store)], 69, "ClickHouse cannot be reached"),
        (&[(password, ""), ("user", &wrong)], 64, "ClickHouse does not let the user reader in: wrong password"),
        (&[(password, "password_env = \"ASSAY_NO_SUCH\"")], 64, "environment variable ASSAY_NO_SUCH"),
        (&[("table = \"events\"", "table = \"evnts\"")], 64, "there is no table assay_standing.evnts"),
        (&[("[limits]", "[clickhouse.columns]\nuuid = \"id\"\n[limits]")], 64, "has no column id"),
        (&[(topic, "events_topic = \"nowhere\"")], 64, "Kafka has no topic `nowhere`"),
        (&[(brokers, "brokers = \"127.0.0.1:1\"")], 69, "no broker of Kafka answers at 127.0.0.1:1"),
        (&[("most_events = 1_000_000", "most_events = 5_000")], 64, "[limits] most_events = 6000"),
        (&[("10000/s", "500/s")], 64, "most_rate"),
    ] {
        let output = run(&bench, &changed(&bench, changes), &["--yes"]);
        let text = told(&output);
        assert_eq!(output.status.code(), Some(code), "{changes:?}: {text}");
        assert!(text.contains(part), "`{part}` is not in: {text}");
        assert!(!text.contains("reads-only"), "{text}");
    }
    let output = run(&bench, &changed(&bench, &[]), &[]);
    assert_eq!(output.status.code(), Some(64));
    assert!(told(&output).contains("6 000 events in") && told(&output).contains("say --yes"), "{}", told(&output));
    let output = bench.run_command().args(["--env", "external"]).output().unwrap();
    assert!(told(&output).contains("--external FILE"), "{}", told(&output));
    let ledgers =
        fs::read_dir(bench.out().join("e2e")).unwrap().flatten().filter(|run| run.path().join("ledger").exists());
    assert_eq!(ledgers.count(), 0, "something was sent");
}
