//! A person who sends too much overflows, and loses no more than its order.

use std::fs;

use crate::harness::Bench;

#[test]
fn what_comes_too_often_of_one_person_takes_another_way() {
    for (dialect, hot, overflows) in [("2026", "50%", true), ("2024", "50%", true), ("2026", "0%", false)] {
        let settings = [
            format!("traffic.app.persons.hot={hot}"),
            format!("pipeline.dialect=\"{dialect}\""),
            "pipeline.overflow.per_second=50".to_owned(),
            "pipeline.overflow.burst=100".to_owned(),
        ];
        let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        let run = Bench::new("").run_shared_with(&arguments);
        assert_eq!(run.code, Some(0), "{dialect} {hot}\n{}", run.told());
        assert_eq!(run.count("visible"), 6_000, "{dialect} {hot}\n{}", run.told());
        // Who has nothing to say has no log.
        let log = fs::read_to_string(run.directory.as_ref().unwrap().join("logs/capture.log")).unwrap_or_default();
        assert_eq!(log.contains("comes too often"), overflows, "{dialect} {hot}\n{log}");
    }
}
