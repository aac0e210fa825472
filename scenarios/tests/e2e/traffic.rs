//! Traffic that is not plain, through the whole pipeline: odd content and times, every form, v1, and recordings.

use std::{fs, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use checkers::oracle::dialect::Dialect;
use generators::{
    clock::RunStart,
    identity::{RunId, StreamId},
    persona::PersonaTable,
    random::{Distribution, Share},
    request::Requests,
    schedule::{Arrival, Rate},
    wire::Encoder,
    workload::{Disorder, Endpoint, Plan, Traffic, Workload},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use testenv::pipeline::{
    capture::{
        request::{Received, events},
        room::Room,
    },
    dialect::Dialect as Played,
};

use super::harness::{Bench, Finished, alone, assay, shared_environment};

const ODD: &str = r#"
[[traffic]]
name     = "odd"
events   = 4_000
arrival  = { shape = "poisson", rate = "500/s" }
batch    = { size = "1..30" }
persons  = { count = 300, identify = "20%", hot = "10%", hot_count = 2 }
content  = { hostile = "30%", large = "1%", padding = "1000..200000" }
groups   = { share = "30%", types = 7, count = 20 }
disorder = { resend = "5%", altered = "30%", no_uuid = "3%", midnight = "3%", clock_drift = "normal(0s, 1m)", wrong_year = "20%", offset = "3%", offset_and_timestamp = "3%", no_timestamp = "3%", ignore_sent_at = "3%", no_sent_at = "5%", time_spelling = "20%" }

[[traffic]]
name     = "form"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "e"
form     = "form"
compression = "lz64"
disorder = { clock_skew = "normal(0s, 4000d)" }

[[traffic]]
name     = "query"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "track"
form     = "query"
"#;

const SPELT: &str = r#"
[[traffic]]
name     = "spelt"
events   = 1_000
arrival  = { shape = "constant", rate = "150/s" }
endpoint = "e"
batch    = { size = "1..5" }
spelling = "50%"
disorder = { empty_uuid = "2%", no_sent_at = "10%" }
client_faults = { bad_token = "5%", empty_batch = "5%" }
"#;

const V1: &str = r#"
[[traffic]]
name     = "v1"
events   = 1_500
arrival  = { shape = "constant", rate = "200/s" }
endpoint = "v1"
compression = "gzip"
batch    = { size = "1..30" }
groups   = { share = "50%", types = 3, count = 20 }
content  = { hostile = "20%", kinds = ["emoji", "long_name", "long_distinct_id", "wrong_types", "illegal_distinct_id"], fields = "20%" }
disorder = { resend = "2%", ignore_sent_at = "5%", clock_skew = "normal(0s, 3s)", time_spelling = "20%", time_forms = ["offset", "seconds", "micros"] }
"#;

const NOTHING_WRONG: [&str; 9] = [
    "lost",
    "duplicated",
    "corrupted",
    "wrong_person",
    "wrong_group",
    "misrouted",
    "phantom",
    "rejected_but_visible",
    "should_be_absent",
];

fn is_clean(run: &Finished, planned: u64) {
    assert_eq!(run.code, Some(0), "{}", run.told());
    let stored = run.count("acked") - run.count("dropped");
    assert_eq!((run.count("planned"), run.count("visible")), (planned, stored), "{}", run.told());
    for name in NOTHING_WRONG {
        assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
    }
}

#[test]
fn odd_events_in_every_form_are_stored_as_the_oracle_says() {
    let run = Bench::new(&[ODD, V1].concat()).run_shared();
    is_clean(&run, 12_500);
    // Names, ids and options that v1 refuses, and nothing else.
    let dropped = run.count("dropped");
    assert!((150..400).contains(&dropped), "{}", run.told());
    assert_eq!(
        (run.count("acked"), run.count("visible"), run.count("expected")),
        (12_500, 12_500 - dropped, 12_500 - dropped)
    );
}

/// What hurts in names and ids, what is said twice, and what browsers send as a page is closed.
const NAMED: &str = r#"
[[traffic]]
name     = "named"
events   = 2_000
arrival  = { shape = "constant", rate = "250/s" }
batch    = { size = "1..5" }
persons  = { count = 100, identify = "20%" }
content  = { hostile = "40%", kinds = ["hostile_name", "hostile_distinct_id"], twice = "10%" }

[[traffic]]
name     = "results"
events   = 800
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1"
batch    = { size = "1..5" }
content  = { hostile = "40%", kinds = ["hostile_name", "hostile_distinct_id"] }

[[traffic]]
name     = "closing"
events   = 800
arrival  = { shape = "constant", rate = "100/s" }
client   = "posthog-js"
beacon   = "50%"
"#;

#[test]
fn names_and_ids_that_hurt_are_stored_as_the_oracle_says_and_what_is_said_twice_is_refused_or_told_once() {
    let run = Bench::new(NAMED).run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    for name in NOTHING_WRONG {
        assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
    }
    let [acked, rejected, dropped] = ["acked", "rejected", "dropped"].map(|name| run.count(name));
    assert_eq!((acked + rejected, run.count("visible")), (9_600, acked - dropped), "{}", run.told());
    // Three of four ways to say something twice refuse the request, and what v1 does not cut it drops.
    assert!((100..1_500).contains(&rejected) && rejected == run.count("rejected_on_purpose"), "{}", run.told());
    assert!((10..300).contains(&dropped), "{}", run.told());
}

/// Every endpoint, spelling and way to be refused that is not in the others; together with them all of the capture's contract.
const WIRE: &str = r#"
[[traffic]]
name     = "spelt"
events   = 1_500
arrival  = { shape = "constant", rate = "200/s" }
endpoint = "e"
compression = "gzip-js"
batch    = { size = "1..5" }
persons  = { count = 200, identify = "20%", illegal_alias = "5%" }
spelling = "60%"
unknown_compression = "30%"
content  = { hostile = "10%", fields = "20%" }
disorder = { empty_uuid = "2%", resend = "2%" }
client_faults = { bad_token = "4%", no_token = "4%", empty_batch = "4%", wrong_types = "8%", preflight = "10%" }

[[traffic]]
name     = "spelt-batches"
events   = 1_000
arrival  = { shape = "constant", rate = "200/s" }
compression = "lz64"
batch    = { size = "1..20" }
spelling = "60%"
client_faults = { bad_token = "5%", no_token = "5%", empty_batch = "5%", wrong_types = "10%" }

[[traffic]]
name     = "profiles"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "engage"
spelling = "60%"
unknown_compression = "30%"

[[traffic]]
name     = "models"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "i/v0/ai"
compression = "gzip"
client_faults = { bad_token = "4%", no_token = "4%", empty_batch = "4%", wrong_types = "8%" }

[[traffic]]
name     = "models-v1"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1/ai"
batch    = { size = "1..10" }
content  = { refused = "10%" }
client_faults = { bad_token = "4%", no_token = "4%", empty_batch = "4%", wrong_types = "10%", bad_headers = "20%", refused_content_type = "6%", no_user_agent = "4%" }

[[traffic]]
name     = "packed"
events   = 500
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "track"
compression = "base64"
spelling = "60%"

[[traffic]]
name     = "results"
events   = 1_000
arrival  = { shape = "constant", rate = "200/s" }
endpoint = "v1"
batch    = { size = "1..20" }
persons  = { count = 200, identify = "20%" }
content  = { refused = "20%", fields = "20%", hostile = "10%", kinds = ["emoji", "long_name", "illegal_distinct_id"] }
disorder = { resend = "2%" }

[[traffic]]
name     = "nobodys"
events   = 300
arrival  = { shape = "constant", rate = "100/s" }
batch    = { size = "1..10" }
unknown_token = true

[[traffic]]
name     = "misrouted"
events   = 300
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1/ai"
names    = ["purchase"]

[[traffic]]
name     = "recordings"
events   = 300
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "s"
batch    = { size = "1..10" }

[[traffic]]
name     = "swallowed"
events   = 300
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "test/black_hole"
batch    = { size = "1..10" }
"#;

#[test]
fn every_endpoint_spelling_and_refusal_is_as_the_contract_says() {
    let run = Bench::new(WIRE).run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    for name in NOTHING_WRONG {
        assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
    }
    let (rejected, planned) = (run.count("rejected"), run.count("planned"));
    // Those that were sent to be refused as a whole, and those that are told so one by one: the misrouted ones, and what v1 refuses.
    assert!(rejected > 200 && rejected == run.count("rejected_on_purpose"), "{}", run.told());
    assert!(run.count("dropped") > 450, "{}", run.told());
    assert_eq!((run.count("acked"), run.count("indeterminate")), (planned - rejected, 0), "{}", run.told());
    assert_eq!(
        run.count("visible"),
        run.count("acked") - run.count("dropped") - 900,
        "recordings, nobody's and what was swallowed: {}",
        run.told()
    );
}

/// Events of AI whose properties stand within them, contents with parts of their own, and forms that must be refused.
const PARTS: &str = r#"
[[traffic]]
name     = "parts"
events   = 800
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "i/v0/ai"
compression = "gzip"
content  = { embedded = "30%", blobs = "40%", blob_size = "1..50000" }
client_faults = { wrong_types = "15%" }

[pipeline]
blob_store = true
"#;

#[test]
fn contents_with_parts_of_their_own_are_kept_where_there_is_a_store_and_refused_elsewhere() {
    let without = PARTS.replace("blob_store = true", "blob_store = false");
    for (scenario, least, most) in [(PARTS, 60, 200), (&without, 300, 500)] {
        let run = Bench::new(scenario).run_shared();
        assert_eq!(run.code, Some(0), "{}", run.told());
        for name in NOTHING_WRONG {
            assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
        }
        let rejected = run.count("rejected");
        assert!((least..most).contains(&rejected), "{}", run.told());
        assert_eq!(run.count("rejected_on_purpose"), rejected, "{}", run.told());
        assert_eq!((run.count("indeterminate"), run.count("visible")), (0, 6_800 - rejected), "{}", run.told());
    }
}

/// Requests over the limit of each endpoint, alone and together, as they are and unpacked.
const OVERSIZE: &str = r#"
[[traffic]]
name     = "over-2"
events   = 60
arrival  = { shape = "constant", rate = "10/s" }
endpoint = "e"
content  = { large = "20%", padding = "2200000..2600000" }

[[traffic]]
name     = "together"
events   = 120
arrival  = { shape = "constant", rate = "24/s" }
endpoint = "e"
batch    = { size = "12" }
content  = { large = "100%", padding = "200000..300000" }

[[traffic]]
name     = "over-20"
events   = 40
arrival  = { shape = "constant", rate = "6/s" }
content  = { large = "15%", padding = "21000000..22000000" }

[[traffic]]
name     = "over-20-v1"
events   = 20
arrival  = { shape = "constant", rate = "3/s" }
endpoint = "v1"
content  = { large = "20%", padding = "21000000..22000000" }

[[traffic]]
name     = "over-25"
events   = 20
arrival  = { shape = "constant", rate = "3/s" }
endpoint = "s"
content  = { large = "20%", padding = "26300000..27000000" }

[[traffic]]
name     = "bombs"
events   = 40
arrival  = { shape = "constant", rate = "6/s" }
endpoint = "v1"
compression = "gzip"
client_faults = { gzip_bomb = "15%" }

[[traffic]]
name     = "bombs-v0"
events   = 40
arrival  = { shape = "constant", rate = "6/s" }
endpoint = "e"
compression = "gzip"
client_faults = { gzip_bomb = "15%" }
"#;

#[test]
fn what_is_larger_than_an_endpoint_takes_is_refused_as_a_whole_and_meant_to_be() {
    let bench = Bench::new(OVERSIZE);
    // A body of 20 MB takes its time to be made, and others are late for it.
    bench.promise("late = \"100%\"");
    let run = bench.run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    let [rejected, on_purpose, acked, visible] =
        ["rejected", "rejected_on_purpose", "acked", "visible"].map(|name| run.count(name));
    // All 120 that are too large together, and a few of each other kind.
    assert!((140..200).contains(&rejected), "{}", run.told());
    assert_eq!((rejected, run.count("indeterminate")), (on_purpose, 0), "{}", run.told());
    assert_eq!(acked + rejected, 6_340, "{}", run.told());
    // What was acked at `s` are recordings, and no events.
    assert!((acked - 20..acked - 5).contains(&visible), "{}", run.told());
    for name in NOTHING_WRONG {
        assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
    }
}

/// Events that say what groups are, out of order and again; of seven types of the one team two are not kept.
const GROUPS: &str = r#"
[[traffic]]
name     = "groups"
events   = 4_000
arrival  = { shape = "poisson", rate = "500/s" }
batch    = { size = "1..30" }
groups   = { share = "20%", types = 7, count = 15, identify = "20%" }
disorder = { shuffle = "1s", resend = "3%", no_uuid = "2%", clock_skew = "normal(0s, 2s)" }

[[traffic]]
name     = "groups-v1"
team     = "other"
events   = 600
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1"
batch    = { size = "1..10" }
groups   = { types = 2, count = 5, identify = "40%" }
"#;

#[test]
fn what_groups_are_in_the_end_is_judged() {
    let bench = Bench::new(GROUPS);
    let run = bench.run_shared();
    is_clean(&run, 10_600);
    let judged = run.verdict["judged_columns"].as_array().unwrap();
    for column in ["groups.team_id", "groups.group_type_index", "groups.group_key", "groups.group_properties.*"] {
        assert!(judged.iter().any(|other| other == column), "{column}: {judged:?}");
    }
    let directory = run.directory.as_ref().unwrap();
    let again = assay(["check", "--json"]).arg(directory).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["judged_columns"], run.verdict["judged_columns"]);
    assert_eq!(again["self_test"], run.verdict["self_test"]);
    // Nine classes in events; and groups are tampered with as well.
    assert!(run.verdict["self_test"]["planted"].as_u64() > Some(54), "{}", run.told());
}

#[test]
fn groups_that_are_wrong_fail_and_are_named() {
    for (defect, column) in
        [("lose_group_properties", "groups.group_properties."), ("swap_group_index", "groups.group_type_index")]
    {
        let bench = Bench::new(&format!("{GROUPS}\n[[planted_defect]]\nname = \"{defect}\"\nevents = 60\n"));
        let run = bench.run_shared();
        assert_eq!(run.code, Some(1), "{defect}: {}", run.told());
        assert_eq!((run.check("loss"), run.check("correctness")), ("pass", "fail"), "{defect}: {}", run.told());
        // Several may be of one group, and some are of a type that is not kept.
        let wrong = run.count("wrong_group");
        assert!((15..=60).contains(&wrong), "{defect}: {}", run.told());
        for name in NOTHING_WRONG.into_iter().filter(|name| *name != "wrong_group") {
            assert_eq!(run.count(name), 0, "{defect}, {name}\n{}", run.told());
        }
        let findings = run.verdict["findings"].as_array().unwrap();
        let of_column = |finding: &&Value| finding["column"].as_str().is_some_and(|found| found.starts_with(column));
        let finding = findings.iter().find(of_column).unwrap_or_else(|| panic!("{defect}: {}", run.told()));
        let mut explain = assay(["explain", finding["event"].as_str().unwrap(), "--run"]);
        let story = explain.arg(run.directory.as_ref().unwrap()).output().unwrap();
        let story = String::from_utf8_lossy(&story.stdout).into_owned();
        assert!(story.contains("$groupidentify") && story.contains(column), "{story}");
    }
}

#[test]
fn a_capture_of_imports_drops_the_rest() {
    let scenario = r#"
[[traffic]]
name     = "import"
events   = 4_000
arrival  = { shape = "constant", rate = "500/s" }
historical = true
batch    = { size = "1..10" }

[[traffic]]
name     = "live-v1"
events   = 300
arrival  = { shape = "constant", rate = "100/s" }
endpoint = "v1"
batch    = { size = "1..10" }

[pipeline]
capture_mode = "import"
"#;
    let run = Bench::new(scenario).run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    // v0 says nothing of what it drops, v1 does.
    let counts = ["acked", "visible", "rejected", "dropped", "should_be_absent"].map(|name| run.count(name));
    assert_eq!(counts, [10_300, 4_000, 0, 300, 0], "{}", run.told());
}

#[test]
fn who_is_too_fast_comes_again_and_loses_nothing() {
    let bench = Bench::new("[pipeline]\nrate_limit = { per_second = 40, burst = 40 }");
    // Of the some 60 requests of a crowd, a dozen is refused. A second after it, where they come again, there is room for twice as
    // many, and no other crowd: nobody is refused as often as a client asks.
    let crowds =
        r#"traffic.app.arrival={ shape = "burst", rate = "100/s", burst = "6000/s", every = "2500ms", for = "200ms" }"#;
    let run = bench.run_shared_with(&["--set", "traffic.app.client=posthog-python", "--set", crowds]);
    assert_eq!(run.code, Some(0), "{}", run.told());
    is_clean(&run, 6_000);
    assert_eq!((run.count("acked"), run.count("rejected")), (6_000, 0), "{}", run.told());
    let attempts = run.verdict["generator"]["retries"].as_u64().unwrap_or_default();
    assert!(attempts > 5, "{}", run.told());
}

#[test]
fn earlier_generations_are_held_to_their_own_rules() {
    let planned = 12_000;
    for (dialect, changes) in
        [("2021", &[][..]), ("2024", &["traffic.form.compression=base64", "traffic.query.endpoint=i/v0/e"][..])]
    {
        let bench = Bench::new(&[ODD, SPELT].concat());
        let environment = shared_environment();
        let _room = alone();
        let mut command = bench.run_command();
        command.args(["--set", &format!("pipeline.dialect=\"{dialect}\"")]);
        // What they made of the other forms is not known.
        command.args(["--set", "traffic.odd.disorder.time_forms=[\"offset\", \"seconds\"]"]);
        for change in changes {
            command.args(["--set", change]);
        }
        let output = command.arg("--env").arg(environment).output().unwrap();
        let run = Finished::new(output, bench.latest());
        assert_eq!(run.code, Some(0), "{dialect}: {}", run.told());
        for name in NOTHING_WRONG {
            assert_eq!(run.count(name), 0, "{dialect} {name}\n{}", run.told());
        }
        assert_eq!(
            (run.count("visible"), run.count("either")),
            (run.count("expected"), 0),
            "{dialect}: {}",
            run.told()
        );
        let (rejected, unstored) = (run.count("rejected"), run.count("acked") - run.count("expected"));
        // The capture of 2024 refused the whole request that held half a surrogate pair; the plugin server of 2021 stored no NUL.
        assert_eq!((rejected > 200, unstored > 0), (dialect == "2024", dialect == "2021"), "{dialect}: {}", run.told());
        assert!(rejected > 30, "tokens and lists that no generation takes; {dialect}: {}", run.told());
        assert_eq!(run.count("acked") + rejected, planned, "{dialect}: {}", run.told());
        assert_eq!(rejected, run.count("rejected_on_purpose"), "{dialect}: {}", run.told());
    }
}

#[test]
fn a_recording_is_replayed_and_judged_and_its_odd_lines_are_told() {
    let bench = Bench::new(&[ODD, V1].concat());
    let scenario = bench.tmp().join("../e2e.toml");
    let recorded = assay(["generate", "--requests", "--seed", "5", "--set", "traffic.app.events=1000", "--scenario"])
        .arg(&scenario)
        .output()
        .unwrap();
    let recording = bench.tmp().join("recording.jsonl");
    let requests = String::from_utf8(recorded.stdout).unwrap();
    // What v1 makes properties of, wherever it stands, and what it refuses.
    let event = |fields: Value| {
        let mut event = json!({"event": "e", "distinct_id": "d", "timestamp": "2026-01-01T00:00:00Z"});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        event
    };
    let odd = json!({"created_at": "2026-01-01T00:00:00Z", "batch": [
        event(json!({"session_id": "s", "properties": {"$session_id": "t", "$lib": "x"}})),
        event(json!({"options": {"cookieless_mode": "1", "product_tour_id": 7, "disable_skew_correction": 0}})),
        event(json!({"options": [], "properties": {"a": 1}})),
    ]});
    let v1 = json!({"time": 0.5, "path": "/i/v1/analytics/events", "body": BASE64_STANDARD.encode(odd.to_string())});
    // What is stored elsewhere, what becomes an event of its own beside, and what is nothing without a person.
    let named = |name: &str, properties: Value| event(json!({"event": name, "properties": properties}));
    let elsewhere = json!({"api_key": "k", "batch": [
        named("$$heatmap", json!({"$heatmap_data": {"/": [1]}})),
        named("$$client_ingestion_warning", json!({"$$client_ingestion_warning_message": "m"})),
        named("$pageview", json!({"$heatmap_data": {"/": [{"x": 1.50}]}, "$current_url": "/", "a": 1.50})),
        named("$pageleave", json!({"$prev_pageview_pathname": "/", "$current_url": "/x"})),
        named("$identify", json!({"$process_person_profile": false, "$anon_distinct_id": "a"})),
        named("seen", json!({"$process_person_profile": false, "$set": {"a": 1}})),
    ]});
    let elsewhere = json!({"time": 0.6, "path": "/batch", "body": BASE64_STANDARD.encode(elsewhere.to_string())});
    fs::write(&recording, format!("no JSON\n{requests}{{\"event\":\"e\"}}\n{v1}\n{elsewhere}\n")).unwrap();
    let environment = shared_environment();
    let output = {
        let _room = alone();
        let mut replay = assay(["replay", "--speed", "1.25x", "--shuffle", "500ms"]);
        for change in ["expect.complete=99.9%", "expect.correct=99.9%", "expect.loss_after=5s"] {
            replay.args(["--set", change]);
        }
        replay.arg(&recording).arg("--env").arg(environment).arg("--out").arg(bench.out()).output().unwrap()
    };
    let directory = fs::canonicalize(bench.out().join("replay/latest")).unwrap();
    let left_out = fs::read_to_string(directory.join("not-understood.txt")).unwrap();
    let run = Finished::new(output, Some(directory));
    let events = run.verdict["run"]["recording"]["events"].as_u64().unwrap();
    assert_eq!((run.code, run.count("planned")), (Some(0), events), "{}", run.told());
    for name in NOTHING_WRONG {
        assert_eq!(run.count(name), 0, "{name}\n{}", run.told());
    }
    // Two names that are stored elsewhere, who identifies nobody, and who comes without cookies.
    assert_eq!(run.count("visible") + run.count("dropped") + 4, run.count("acked"), "{}", run.told());
    assert!(events > 7_000 && run.count("dropped") > 0, "{}", run.told());
    assert_eq!(run.count("rejected"), run.count("rejected_on_purpose"), "{}", run.told());
    assert_eq!(run.verdict["run"]["recording"]["not_understood"], 2);
    // What was sent twice when it was recorded is one event that is sent twice.
    assert!(run.verdict["run"]["recording"]["repeated"].as_u64().is_some_and(|times| times > 100), "{}", run.told());
    let lines: Vec<_> = left_out.lines().collect();
    assert!(lines[0].starts_with("line 1: ") && lines[1].contains("no `timestamp`") && lines.len() == 2, "{left_out}");
    assert!(run.stdout.contains("2 lines of the recording were not understood"), "{}", run.told());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What is read and what is expected share no code, so they are held to each other here: clocks of the years 2001 to 2096.
    #[test]
    fn the_reference_reads_every_form_of_a_time_as_the_oracle_expects(
        seed: u64,
        start_ms in 1_000_000_000_000i64..4_000_000_000_000,
        ahead in 0u64..500_000_000,
        way_ms in -60_000i64..60_000,
        is_batch: bool,
    ) {
        const STREAM: StreamId = StreamId(0);
        let share = |share| Share::new(share).unwrap_or_default();
        let arrival = Arrival::Constant { rate: Rate::new(7, Duration::from_secs(1)).unwrap() };
        let traffic = Traffic {
            batch: (40, 40),
            endpoint: if is_batch { Endpoint::Batch } else { Endpoint::E },
            disorder: Disorder {
                clock_skew: Distribution::Constant { value: Duration::from_secs(ahead) },
                offset_and_timestamp: share(0.1),
                no_timestamp: share(0.1),
                ignore_sent_at: share(0.2),
                no_sent_at: share(0.2),
                time_spelling: share(0.9),
                ..Disorder::default()
            },
            ..Traffic::orderly(40, arrival)
        };
        let workload =
            Workload::new(Plan::new(RunId::new(1), seed, vec![traffic]), PersonaTable::make(seed, 1));
        let start = RunStart::from_unix_micros(start_ms * 1_000 + 321);
        let request = Requests::new(&workload, STREAM).next().unwrap();
        let made = Encoder::default().encode(&workload, &request, start, Vec::new()).unwrap();
        let sent_at_ms = made.target.split_once("_=").and_then(|(_, ms)| ms.parse().ok());
        let now_ms = start_ms + way_ms;
        let now = jiff::Timestamp::from_millisecond(now_ms).unwrap();
        for (dialect, played) in
            [(Dialect::V2021, Played::V2021), (Dialect::V2024, Played::V2024), (Dialect::V2026, Played::V2026)]
        {
            let received = Received { now, ip: String::new(), sent_at_ms, dialect: played, is_engage: false };
            let mut room = Room::default();
            let read = events(str::from_utf8(&made.body).unwrap(), &received, &mut room).unwrap();
            prop_assert_eq!(read.len(), request.events(&workload).count());
            for (captured, event) in read.iter().zip(request.events(&workload)) {
                let said = request.clock(&workload, start).said(event.oddities, event.occurred_micros);
                let expected = dialect.stored_timestamp_micros(said, now_ms * 1_000);
                let found: jiff::Timestamp = captured.timestamp.parse().unwrap();
                prop_assert_eq!(found.as_microsecond(), expected, "{} {:?}", captured.data, said);
            }
        }
    }
}
