//! A person who sends too much overflows, and loses no more than its order; what an operator does to single persons.

use std::fs;

use crate::harness::Bench;

#[test]
fn what_comes_too_often_of_one_person_takes_another_way() {
    for (dialect, hot, local, overflows) in [
        ("2026", "50%", false, true),
        ("2026", "50%", true, true),
        ("2024", "50%", false, true),
        ("2026", "0%", false, false),
    ] {
        let settings = [
            format!("traffic.app.persons.hot={hot}"),
            format!("pipeline.dialect=\"{dialect}\""),
            "pipeline.overflow.per_second=50".to_owned(),
            "pipeline.overflow.burst=100".to_owned(),
            format!("pipeline.overflow.preserve_locality={local}"),
        ];
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let bench = Bench::new("");
        let run = bench.run_shared_with(&arguments);
        assert_eq!(run.code, Some(0), "{dialect} {hot} {local}\n{}", run.told());
        assert_eq!(run.count("visible"), 6_000, "{dialect} {hot} {local}\n{}", run.told());
        // Who has nothing to say has no log.
        let log = fs::read_to_string(run.directory.as_ref().unwrap().join("logs/capture.log")).unwrap_or_default();
        assert_eq!(log.contains("comes too often"), overflows, "{dialect} {hot} {local}\n{log}");
    }
}

/// Persons on every list of an operator, at v0 and v1. Those who identify would join two ids, if a person came of them.
const RESTRICTED: &str = r#"
[[traffic]]
name       = "listed"
events     = 2_000
arrival    = { shape = "constant", rate = "300/s" }
batch      = { size = "1..10" }
persons    = { count = 200, identify = "50%" }
groups     = { share = "20%", types = 2, count = 20 }
restricted = { drop_event = "10%", force_overflow = "20%", forced_key = "20%", skip_person_processing = "20%", redirect_to_dlq = "10%" }

[[traffic]]
name       = "listed-v1"
events     = 1_000
arrival    = { shape = "constant", rate = "150/s" }
endpoint   = "v1"
batch      = { size = "1..10" }
persons    = { count = 100, identify = "50%" }
restricted = { drop_event = "20%", forced_key = "20%", skip_person_processing = "20%", redirect_to_dlq = "10%" }

[[traffic]]
name       = "recordings"
events     = 200
arrival    = { shape = "constant", rate = "50/s" }
endpoint   = "s"
persons    = { count = 50 }
restricted = { drop_event = "20%", force_overflow = "20%", redirect_to_dlq = "20%" }

[[traffic]]
name       = "unpaid"
events     = 100
arrival    = { shape = "constant", rate = "50/s" }
endpoint   = "s"
over_quota = true
"#;

#[test]
fn who_is_restricted_is_dropped_put_aside_or_stored_without_a_person() {
    let bench = Bench::new(RESTRICTED);
    let run = bench.run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    let [acked, dropped, visible] = ["acked", "dropped", "visible"].map(|name| run.count(name));
    // v1 says what it drops.
    assert!((60..400).contains(&dropped) && acked == 9_300, "{}", run.told());
    // Of 2 000 events 400, of 1 000 another 300 are dropped or put aside, give or take; recordings are nobody's events.
    let absent = acked - visible - 300;
    assert!((400..1_000).contains(&absent), "{}", run.told());
    for name in ["lost", "wrong_person", "corrupted", "should_be_absent"] {
        assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
    }
    let log = fs::read_to_string(run.directory.as_ref().unwrap().join("logs/capture.log")).unwrap();
    assert!(log.contains("events_plugin_ingestion_dlq, for its restriction"), "{log}");
    assert!(log.contains("events_plugin_ingestion_overflow, for its "), "{log}");
}
