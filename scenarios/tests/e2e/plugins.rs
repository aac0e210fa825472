//! Plugins: events are as their own plugins leave them, nobody else's are touched, and webhooks get what they must.

use std::{collections::HashSet, fs};

use crate::harness::{Bench, Finished, alone, assay, shared_environment};

/// Every plugin that can act, over the traffic of the bench.
const PLUGINS: &str = r#"
[[plugin]]
name   = "drops"
events = "$pageleave"
action = "drop"

[[plugin]]
name   = "sets"
share  = "50%"
action = "set"
key    = "campaign"
value  = "spring"

[[plugin]]
name   = "renames"
share  = "50%"
action = "rename"
key    = "city"
to     = "town"

[[plugin]]
name   = "throws"
share  = "20%"
action = "throw"
key    = "half"
value  = true

[[plugin]]
name   = "slow"
share  = "5%"
action = "slow"
delay  = "200ms"
"#;

#[test]
fn events_are_as_their_plugins_leave_them() {
    let run = Bench::new(PLUGINS).run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    let dropped = run.count("acked") - run.count("visible");
    assert!((800..=1_200).contains(&dropped), "a sixth of 6 000 is dropped, and not lost\n{}", run.told());
    // Each sending of one is dropped, and told.
    let warned = run.verdict["run"]["warnings"]["event_dropped_by_transformation"].as_u64().unwrap();
    assert!((dropped..dropped + 200).contains(&warned), "{warned} warnings of {dropped}\n{}", run.told());
    assert!(run.stdout.contains("Ingestion warnings: event_dropped_by_transformation"), "{}", run.told());
    for check in ["loss", "correctness", "should_be_absent", "time_to_visible"] {
        assert_eq!(run.check(check), "pass", "{check}\n{}", run.told());
    }
}

#[test]
fn what_plugins_must_not_do_is_found() {
    for (defect, class) in [("plugin_throw_drops", "lost"), ("plugin_leaks_state", "corrupted")] {
        let planted = format!("{PLUGINS}\n[[planted_defect]]\nname = \"{defect}\"\nevents = 40");
        let bench = Bench::new(&planted);
        let run = bench.run_shared();
        assert_eq!(run.code, Some(1), "{defect}\n{}", run.told());
        let log = fs::read_to_string(run.directory.as_ref().unwrap().join("logs/ingester.log")).unwrap();
        let beginning = format!("planted {defect} in ");
        let planted: HashSet<&str> = log.lines().filter_map(|line| line.strip_prefix(beginning.as_str())).collect();
        // It waits for events in which it can be, of which there are few enough that the last ones may not come.
        assert!((30..=40).contains(&planted.len()), "{defect}: {}", planted.len());
        assert_eq!(run.count(class), planted.len() as u64, "{defect}\n{}", run.told());
        let differing = run.verdict["differing_columns"].as_object().unwrap();
        let leaked = differing.keys().all(|column| column == "properties.campaign");
        assert!(leaked && differing.is_empty() == (class == "lost"), "{}", run.told());
    }
}

/// Two that export: half of what one has changed, and all of one name.
const EXPORTS: &str = r#"
[[plugin]]
name   = "sets"
share  = "50%"
action = "set"
key    = "campaign"
value  = "spring"

[[plugin]]
name   = "crm"
where  = { property = "campaign", equals = "spring" }
action = "export"

[[plugin]]
name   = "mail"
events = "$pageview"
action = "export"

[exports]
fail     = "10%"
back_off = "200ms"
"#;

/// Its exports must be so good that 6 000 events can tell.
fn exporting(more: &str) -> Bench {
    let bench = Bench::new(&format!("{EXPORTS}\n{more}"));
    bench.promise("exported = \"99.5%\"");
    bench
}

#[test]
fn what_plugins_export_arrives_although_the_webhook_fails_at_times() {
    let kill = "[[fault]]\nat = \"3s\"\ntarget = \"exporter\"\naction = \"kill\"\nfor = \"500ms\"";
    let bench = exporting(kill);
    let environment = shared_environment();
    // It is judged by its schedule, and a webhook and an exporter more are at work.
    let _room = alone();
    let output = bench.run_command().arg("--env").arg(environment).output().unwrap();
    let run = Finished::new(output, bench.latest());
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!(run.check("exports"), "pass", "{}", run.told());
    let exports = |name: &str| run.verdict["exports"][name].as_u64().unwrap_or_else(|| panic!("{}", run.told()));
    assert!(exports("deliveries") > 3_000 && exports("refused") > 0, "{}", run.told());
    assert_eq!(run.verdict["exports"]["caught_up"], true, "{}", run.told());
    assert!(run.verdict["self_test"]["planted"].as_u64() > Some(54), "deliveries are tampered with\n{}", run.told());
    assert!(run.stdout.contains("which the webhook refused as the scenario wants"), "{}", run.told());
    // It can be judged again from its directory.
    let directory = run.directory.as_ref().unwrap();
    let again = assay(["check", "--json"]).arg(directory).output().unwrap();
    let again: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again["exports"], &again["checks"]), (&run.verdict["exports"], &run.verdict["checks"]));
}

#[test]
fn what_exporting_must_not_do_is_found() {
    // What is committed before it is delivered is lost in one block, which says little of the rate.
    for (defect, class, events, verdict) in [
        ("drop_failed_export", "not_exported", 600, "fail"),
        ("commit_before_export", "not_exported", 60, "inconclusive"),
        ("export_drops_property", "wrongly_exported", 90, "fail"),
        ("export_unmatched", "stray_export", 4, "fail"),
    ] {
        let bench = exporting(&format!("[[planted_defect]]\nname = \"{defect}\"\nevents = {events}"));
        let run = bench.run_shared();
        let found = run.check("exports");
        assert!(found == verdict || found == "fail", "{defect}\n{}", run.told());
        assert!(matches!(run.code, Some(1 | 2)), "{defect}\n{}", run.told());
        assert_eq!((run.check("loss"), run.check("correctness")), ("pass", "pass"), "{defect}\n{}", run.told());
        let log = fs::read_to_string(run.directory.as_ref().unwrap().join("logs/exporter.log")).unwrap();
        let beginning = format!("planted {defect} in ");
        let planted: HashSet<&str> = log.lines().filter_map(|line| line.strip_prefix(beginning.as_str())).collect();
        assert!(!planted.is_empty(), "{defect}\n{}", run.told());
        assert_eq!(run.count(class), planted.len() as u64, "{defect}\n{}", run.told());
        let named = run
            .findings(class)
            .iter()
            .all(|finding| finding["column"].as_str().is_some_and(|column| column.starts_with("properties.")));
        assert_eq!(named, class == "wrongly_exported", "{defect}\n{}", run.told());
    }
}
