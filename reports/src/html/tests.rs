//! The page holds what the record does, and nothing of what events hold becomes part of it.

use std::collections::BTreeMap;

use checkers::{
    details::{
        self, Details,
        breakdown::{Breakdowns, Group},
        distribution::{Distribution, Point, StageDistribution},
        example::{AttemptTold, Example, FoundTold, WrongRow},
        timeline::{BUCKETS, LagSeries, TimelineFacts},
    },
    disturbance::FaultFacts,
    reconcile::{evidence::Class, sent::EventOutcome},
    record::RunRecord,
};

use super::*;
use crate::terminal::tests::{failed, passed};

const HOSTILE: &str = "</pre></script><script>alert(1)</script>\"' onload=x\0\u{202e}\u{7}&{{style}}]]>";

fn timeline(buckets: usize, partitions: i32) -> TimelineFacts {
    let counts = || (0..buckets as u64).map(|bucket| 1_000_000 + bucket * 7_919 % 999_983).collect::<Vec<_>>();
    let times = |factor: f64| (0..buckets).map(|bucket| Some(factor * (1.0 + (bucket % 97) as f64))).collect();
    let lag = |partition| LagSeries {
        topic: "events".into(),
        partition: Some(partition),
        width: 1,
        messages: counts().into_iter().map(Some).collect(),
    };
    TimelineFacts {
        width: 256.0,
        intended: counts(),
        sent: counts(),
        acked: counts(),
        visible: counts(),
        unseen: vec![0; buckets],
        p50: times(0.01),
        p99: times(0.05),
        defects: Class::ALL.into_iter().map(|class| (class, counts())).collect(),
        lags: (0..partitions).map(lag).collect(),
    }
}

/// All that a run can leave at most, with `text` wherever an event's content stands.
fn full(text: &str, columns: usize) -> RunRecord {
    let mut record = failed();
    let point = |step: u32| Point {
        q: f64::from(step) / 100.0,
        lower: Some(f64::from(step)),
        value: Some(f64::from(step) + 0.5),
        upper: Some(f64::from(step) + 1.0),
    };
    let distribution = Distribution { n: 100_000_000, points: (0..=100).map(point).collect() };
    let group = |number: usize| Group {
        name: format!("{text}{number}"),
        events: 1_000_000,
        defects: Class::ALL.into_iter().map(|class| (class, 999)).collect(),
    };
    let groups = || (0..49).map(group).collect::<Vec<_>>();
    let columns = (0..columns).map(|_| (text.to_owned(), text.to_owned(), Some(text.to_owned()))).collect();
    let row = WrongRow { misrouted: true, columns };
    let attempt = AttemptTold {
        request: "0/1".into(),
        intended: 0.0,
        sent: 1.0,
        answered: Some(1.5),
        outcome: EventOutcome::Acked,
        answer: Some(text.into()),
        key: None,
    };
    let example = |class, number: usize| Example {
        class,
        classes: Class::ALL.to_vec(),
        event: format!("{text}{number}"),
        traffic: text.into(),
        name: text.into(),
        distinct_id: text.into(),
        properties: text.into(),
        outcome: EventOutcome::Acked,
        attempts: vec![attempt.clone()],
        expected_absent: Some(text.into()),
        most_rows: 1,
        captured: Some(1.1),
        captured_at: Some((3, 70)),
        ingested: Some(1.2),
        last_stage: Some(text.into()),
        missed: Some(2.0),
        first_seen: Some(2.5),
        final_reads: vec![FoundTold { start: 9.0, rows: 2, visible: true, wrong: vec![row.clone(); 2] }],
    };
    record.details = Some(Box::new(Details {
        schema: details::SCHEMA,
        visible_within: Some(5.0),
        timeline: timeline(BUCKETS, 512),
        time_to_visible: distribution.clone(),
        stages: vec![StageDistribution { stage: text.into(), times: distribution }],
        defects: Breakdowns { partitions: groups(), traffics: groups(), sizes: groups() },
        examples: Class::ALL
            .into_iter()
            .flat_map(|class| (0..5).map(move |number| (class, number)))
            .map(|(class, number)| example(class, number))
            .collect(),
        environment: vec![(text.into(), text.into())],
        reproduce: vec![(text.into(), text.into())],
    }));
    let finding = record.findings[0].clone();
    record.findings = (0..220)
        .map(|number| {
            let mut finding = finding.clone();
            finding.class = Class::ALL[number % Class::ALL.len()];
            (finding.event, finding.column) = (text.to_owned(), Some(text.to_owned()));
            (finding.expected, finding.found) = (Some(text.to_owned()), Some(text.to_owned()));
            finding
        })
        .collect();
    record.counts.lost = 5;
    record.differing_columns = [(text.to_owned(), 7)].into();
    record.reasons = vec![text.to_owned()];
    record.run.scenario = text.into();
    record.run.planted_defects = vec![text.into()];
    record.run.faults = vec![FaultFacts {
        fault: text.into(),
        target: text.into(),
        planned_at: 1.0,
        began: Some(1.0),
        healed: None,
        failed: Some(text.into()),
    }];
    for check in &mut record.checks {
        check.reason = text.into();
    }
    record
}

#[test]
fn nothing_that_an_event_holds_becomes_part_of_the_page() {
    let (plain, hostile) = (render(&full("plain", 4)), render(&full(HOSTILE, 4)));
    // The tags of a page do not depend on what events hold, but for the signs that stand for what cannot be seen.
    let signs = hostile.matches("<span class=\"code\">U+202E</span>").count();
    assert!(signs > 100);
    // Long texts are cut, which is a tag as well.
    let cuts = hostile.matches("<span class=\"cut\">").count();
    assert_eq!(plain.matches('<').count() + 2 * (signs + cuts), hostile.matches('<').count());
    assert_eq!(plain.matches("<script").count(), 1);
    assert_eq!(hostile.matches("<script").count(), 1);
    assert!(!hostile.contains(['\0', '\u{202e}', '\u{7}']));
    assert_eq!(plain.matches(":root {").count(), hostile.matches(":root {").count(), "templates are filled once");
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = render(&full("plain", 4));
    for outside in ["http:", "https:", "src=", "url(", "@import", "<link rel=\"stylesheet\""] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(!page.contains("{{"), "every place is filled");
}

#[test]
fn the_greatest_page_stays_small_whatever_values_are_long() {
    // A value in details.json is cut already, at so many characters; others come as they are.
    let mut record = full(&"é<".repeat(300), 16);
    record.findings[0].expected = Some("<".repeat(1 << 20));
    record.reasons = vec!["&".repeat(1 << 20); 3];
    let page = render(&record);
    assert!(page.len() < 3_000_000, "{}", page.len());
    let usual = render(&full("a value of a usual length", 16));
    assert!(usual.len() < 1_500_000, "{}", usual.len());
}

#[test]
fn a_pass_says_so_first_and_finds_no_defect() {
    let page = render(&passed());
    let heading = page.find("<span>PASS</span> smoke").unwrap();
    assert!(heading < page.find("<section").unwrap());
    for part in
        ["<b>0</b> of 60\u{202f}000", "None was found", "% confidence · allowed", "planted in a copy of the evidence"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("Why pass"));
}

#[test]
fn a_fail_says_why_and_tells_every_finding() {
    let record = failed();
    let page = render(&record);
    assert!(
        page.contains("Why fail") && page.contains("href=\"#runbook-lost\"") && page.contains("id=\"runbook-lost\"")
    );
    for finding in &record.findings {
        assert!(page.contains(&finding.event), "{}", finding.event);
    }
}

#[test]
fn every_fault_is_shaded_in_every_chart_over_time() {
    let mut record = full("plain", 4);
    let page = render(&record);
    let charts = page.matches("<figure").count() - 1;
    assert_eq!(charts, 4, "rates, times, lags, defects; the percentile plot has no time");
    assert_eq!(page.matches("<rect class=\"shade\"").count(), charts);
    record.run.faults.clear();
    assert!(!render(&record).contains("<rect class=\"shade\""));
}

#[test]
fn several_classes_are_told_apart_over_time() {
    let mut record = full("plain", 4);
    let details = record.details.as_mut().unwrap();
    let counts = vec![1; details.timeline.intended.len()];
    details.timeline.defects = BTreeMap::from([(Class::WrongPerson, counts.clone())]);
    assert!(!render(&record).contains("wrong person</li>"), "one is all of them");
    let details = record.details.as_mut().unwrap();
    details.timeline.defects.insert(Class::Lost, counts);
    let page = render(&record);
    assert!(page.contains("wrong person</li>") && page.contains("lost</li>"), "{page}");
}

#[test]
fn tags_are_closed() {
    let page = render(&full("plain", 4));
    for tag in [
        "div", "section", "table", "tr", "td", "details", "summary", "span", "p", "ul", "ol", "li", "svg", "figure",
        "dl",
    ] {
        let opened = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_course_says_how_long_its_stretches_are_and_where_events_were_never_seen() {
    let mut record = full("x", 1);
    let shown = |record: &RunRecord| render(record);
    assert!(shown(&record).contains("Time to visible, by the 256 s in which events were due"));
    assert!(!shown(&record).contains("were never seen"));
    let details = record.details.as_mut().unwrap();
    details.timeline = TimelineFacts { width: 1.0, ..timeline(10, 1) };
    details.timeline.unseen[3] = 7;
    details.timeline.unseen[4] = 2;
    details.timeline.unseen[8] = 1;
    let html = shown(&record);
    assert!(html.contains("Time to visible, by the second in which events were due"));
    assert!(html.contains("10 events due here were never seen") && html.contains("10 events due in 3 stretches"));
    // From 3 to 5 s and from 8 to 9 s of ten.
    let path = html.split("<path class=\"missing\" d=\"").nth(2).and_then(|rest| rest.split('"').next());
    assert_eq!(path, Some("M300.0 200.0L300.0 0.0H500.0V0.0V200ZM800.0 200.0L800.0 0.0H900.0V0.0V200Z"));
    // Also where nothing was seen at all.
    let details = record.details.as_mut().unwrap();
    (details.timeline.p50, details.timeline.p99) = (vec![None; 10], vec![None; 10]);
    assert!(shown(&record).contains("10 events due here were never seen"));
}

#[test]
fn the_lag_of_a_soak_is_that_of_the_worst_partition() {
    let mut record = full("x", 1);
    let details = record.details.as_mut().unwrap();
    details.timeline = timeline(10, 1);
    assert!(render(&record).contains("events, each of 1 partitions"));
    let details = record.details.as_mut().unwrap();
    details.timeline.lags[0].partition = None;
    let html = render(&record);
    assert!(html.contains("Greatest lag of any partition") && html.contains("events, the greatest of all partitions"));
}

#[test]
fn very_many_faults_are_folded_and_have_no_numbers_in_the_charts() {
    let mut record = full("x", 1);
    assert!(render(&record).contains("<span class=\"mark\""));
    record.run.faults = vec![record.run.faults[0].clone(); 200];
    let html = render(&record);
    assert!(html.contains("<summary>200 faults</summary>") && !html.contains("<span class=\"mark\""));
}
