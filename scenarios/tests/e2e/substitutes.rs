//! Other people's images in the pipeline's places, played by stand-ins: images that hold `assay` for another purpose.

use std::fs;

use super::harness::{Bench, alone, in_containers};

/// A database that takes a while to set itself up, and a capture and an ingester that end unless they find it at the place that
/// their variables say.
const SUBSTITUTES: &str = r#"
[[component]]
name        = "first"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "sleep 1; echo the first one serves >&2; exec sleep 600"]
ready       = "first one serves"

[[component]]
name        = "second"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "getent hosts $FIRST && echo serving && exec sleep 600"]
environment = { FIRST = "{first}" }
ready       = "serving"

[pipeline.capture]
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "getent hosts ${URL#*@} && test -n \"$TOPIC\" && unset KAFKA_TOPIC && KAFKA_TOPIC=$TOPIC exec /usr/local/bin/assay serve capture"]
environment = { URL = "nobody@{second}", TOPIC = "{KAFKA_TOPIC}" }

[pipeline.ingester]
image       = "assay/clickhouse:local"
entry_point = "/usr/local/bin/assay"
command     = ["serve", "ingester"]
ready       = "ready 0"
"#;

#[test]
fn other_images_take_the_pipelines_places_in_order_and_are_judged_like_it() {
    if !in_containers() {
        let bench = Bench::new(SUBSTITUTES);
        let output = bench.run_command().output().unwrap();
        let told = unwrapped(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(
            told.contains("the image assay/clickhouse:local for first cannot be had where components are child"),
            "{told}"
        );
        return;
    }
    let _room = alone();
    let bench = Bench::new(SUBSTITUTES);
    let run = super::harness::Finished::new(bench.run_command().output().unwrap(), bench.latest());
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!(run.count("visible"), 6_000);
    let log = |name: &str| fs::read_to_string(run.directory.as_ref().unwrap().join("logs").join(name)).unwrap();
    assert!(log("second.log").contains("-first"), "it found the first one: {}", log("second.log"));
    assert!(log("capture.log").contains("-second"), "{}", log("capture.log"));
    assert!(log("ingester.log").contains("partitions are this consumer's"), "{}", log("ingester.log"));
}

#[test]
fn an_image_that_cannot_be_had_and_one_that_ends_are_named_before_anything_is_sent() {
    if !in_containers() {
        return;
    }
    let _room = alone();
    for (change, parts) in [
        (
            "pipeline.capture.image=localhost:1/no/capture:1",
            &["localhost:1/no/capture:1 for capture is not on this machine", "the scenario names it"][..],
        ),
        (
            "pipeline.capture.command=[\"-c\", \"echo nothing to be done; exit 3\"]",
            &[
                "capture (image assay/clickhouse:local) must listen on port",
                "and ended by itself (exit code 3)",
                "nothing to be done",
            ],
        ),
        (
            "pipeline.ingester.environment={A=\"{NO_SUCH}\"}",
            &["ingester: `{NO_SUCH}` in its variables stands for nothing; known are", "KAFKA_HOSTS"],
        ),
    ] {
        let bench = Bench::new(SUBSTITUTES);
        let output = bench.run_command().args(["--set", change]).output().unwrap();
        let told = unwrapped(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(69), "{told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert!(!bench.latest().unwrap().join("ledger").exists(), "something was sent");
    }
}

/// A component that lasts, one that runs once and reads a file beside the scenario, and one behind it. Each says when.
const SEEDED: &str = r#"
[pipeline]
topics = ["further"]

[[component]]
name        = "store"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "echo the store serves; exec sleep 600"]
ready       = "store serves"

[[component]]
name        = "migrate"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "getent hosts $STORE && cat /seed/teams.sql && { test -w /seed/teams.sql || echo read only; } && echo $RUN $ASSAY_TOKEN $ASSAY_TEAM_ID $ASSAY_TOPICS $KAFKA_HOSTS $CLICKHOUSE_URL && sleep 1 && date +%s%N"]
environment = { STORE = "{store}", RUN = "{ASSAY_RUN}" }
mounts      = { "/seed" = "seed" }
once        = true
within      = "20s"

[[component]]
name        = "after"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "date +%s%N; exec sleep 600"]

[[fault]]
at     = "2s"
target = "store"
action = "kill"
for    = "500ms"
"#;

fn seeded() -> Bench {
    let bench = Bench::new(SEEDED);
    let seed = bench.out().with_file_name("seed");
    fs::create_dir(&seed).unwrap();
    fs::write(seed.join("teams.sql"), "insert the teams\n").unwrap();
    bench
}

#[test]
fn what_runs_once_ends_before_the_next_starts_and_knows_the_run() {
    if !in_containers() {
        return;
    }
    let _room = alone();
    let bench = seeded();
    let run = super::harness::Finished::new(bench.run_command().output().unwrap(), bench.latest());
    assert_eq!(run.code, Some(0), "{}", run.told());
    let log = |name: &str| fs::read_to_string(run.directory.as_ref().unwrap().join("logs").join(name)).unwrap();
    let migrated = log("migrate.log");
    let lines: Vec<&str> = migrated.lines().collect();
    let [host, seed, access, told, ended] = lines[..] else { panic!("{migrated}") };
    assert!(host.contains("-store") && (seed, access) == ("insert the teams", "read only"), "{migrated}");
    let [name, token, team, topics, kafka, clickhouse] = told.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{migrated}")
    };
    assert_eq!((team, topics), ("1", format!("{name}_further").as_str()), "{migrated}");
    assert_eq!(token.strip_prefix("phc_assay_"), name.strip_prefix('r'), "{migrated}");
    assert!(kafka.contains("-kafka:") && clickhouse.contains("-clickhouse:"), "{migrated}");
    let nanoseconds = |text: &str| text.trim().parse::<u64>().unwrap();
    assert!(nanoseconds(ended) < nanoseconds(&log("after.log")), "{migrated}");
    assert_eq!(log("store.log").matches("the store serves").count(), 2, "it was killed and started again");
    assert!(run.verdict["run"]["faults"][0]["healed"].is_number(), "{}", run.told());
}

#[test]
fn what_runs_once_and_fails_is_told_before_anything_is_sent() {
    if !in_containers() {
        return;
    }
    let _room = alone();
    for (changes, parts) in [
        (
            &["component.migrate.command=[\"-c\", \"echo no such table; exit 3\"]"][..],
            ["migrate, which runs once, ended with exit code 3;", "no such table"],
        ),
        (
            &[
                "component.migrate.command=[\"-c\", \"echo takes its time; exec sleep 60\"]",
                "component.migrate.within=2s",
            ][..],
            ["migrate, which runs once, had not ended after 2s;", "takes its time"],
        ),
    ] {
        let bench = seeded();
        let mut command = bench.run_command();
        for change in changes {
            command.args(["--set", change]);
        }
        let output = command.output().unwrap();
        let told = unwrapped(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(69), "{told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert!(!bench.latest().unwrap().join("ledger").exists(), "something was sent");
    }
}

/// What was told, without the frame and the line breaks of an error.
fn unwrapped(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || "│├╰─▶×".contains(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
