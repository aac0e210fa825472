//! What capture sends through topics of their own, for the name of an event or its age, is followed and stored like the rest.

use std::fs;

use super::harness::Bench;

const ROUTED: &str = r#"
[[traffic]]
name     = "named"
events   = 1_500
arrival  = { shape = "constant", rate = "200/s" }
batch    = { size = "1..10" }
persons  = { count = 200, identify = "20%" }
names    = ["$exception:2", "$ai_generation:2", "$ai_camera", "purchase:2"]
content  = { fields = "10%" }
disorder = { resend = "2%" }

[[traffic]]
name     = "named-v1"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1"
batch    = { size = "1..10" }
names    = ["$exception", "$ai_span"]

[[traffic]]
name     = "named-ai"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1/ai"
batch    = { size = "1..10" }
names    = ["$ai_trace", "$ai_feedback"]

[[traffic]]
name     = "old"
events   = 1_000
arrival  = { shape = "constant", rate = "200/s" }
batch    = { size = "1..10" }
disorder = { backdated = "50%", backdated_by = "uniform(30h, 60h)" }

[pipeline]
historical_from_days = 1
"#;

#[test]
fn what_takes_another_way_for_its_name_or_its_age_is_followed_and_stored() {
    let bench = Bench::new(ROUTED);
    let run = bench.run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    let [acked, visible] = ["acked", "visible"].map(|name| run.count(name));
    assert_eq!((acked, visible), (9_500, 9_500), "{}", run.told());
    let log = fs::read_to_string(run.directory.as_ref().unwrap().join("logs/capture.log")).unwrap();
    for (topic, why) in
        [("exceptions_ingestion", "name"), ("ingestion_ai", "name"), ("events_plugin_ingestion_historical", "age")]
    {
        assert!(log.contains(&format!("{topic}, for its {why}")), "{topic}: {log}");
    }
    // Each of them was seen in a topic that capture writes, and in the one that the ingester writes.
    let stages = &run.verdict["stages"];
    assert_eq!(stages["complete"], true, "{}", run.told());
    let times = stages["times"].as_array().unwrap();
    assert!(times.len() >= 2 && times.iter().all(|time| time["n"] == 9_500), "{stages:#}");
}

#[test]
fn what_comes_without_cookies_is_dropped_and_what_is_ones_own_has_no_address() {
    let scenario = r#"
[[traffic]]
name     = "visitors"
events   = 2_000
arrival  = { shape = "constant", rate = "300/s" }
endpoint = "e"
batch    = { size = "1..10" }
persons  = { count = 200, identify = "20%" }
content  = { cookieless = "20%", internal = "10%", hostile = "10%" }
disorder = { resend = "2%" }
"#;
    let run = Bench::new(scenario).run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    let dropped = run.count("acked") - run.count("visible");
    assert!((250..450).contains(&dropped) && run.count("acked") == 8_000, "{}", run.told());
    assert_eq!((run.count("lost"), run.count("should_be_absent")), (0, 0), "{}", run.told());
    // Each sending of one is dropped, and told.
    let warned = run.verdict["run"]["warnings"]["cookieless_team_disabled"].as_u64().unwrap();
    assert!((dropped..dropped + 50).contains(&warned), "{warned} warnings of {dropped}\n{}", run.told());
}
