//! Plugins: events are as their own plugins leave them, and nobody else's are touched.

use std::{collections::HashSet, fs};

use crate::harness::Bench;

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
        let run = Bench::new(&planted).run_shared();
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
