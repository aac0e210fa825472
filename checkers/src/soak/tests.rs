//! Windows are made by hand here: what a soak says of them is computed apart, from their figures.

use super::*;
use crate::{
    checks::Quantile,
    details::{
        breakdown::Group,
        distribution::{Distribution, Point},
        timeline::TimelineFacts,
    },
    disturbance::FaultFacts,
    reconcile::evidence::Class,
    statistics::binomial,
};

const RULES: Rules = Rules { windows: 4, window: 60.0, confidence: 0.95, may_stop_early: false };

/// A window of `n` events, `lost` of them lost, judged by itself as a run is.
fn window(lost: u64, n: u64) -> RunRecord {
    let (lower, upper) = (binomial::lower(lost as f64, n as f64, 0.95), binomial::upper(lost as f64, n as f64, 0.95));
    let verdict = if lower > 1e-4 {
        Verdict::Fail
    } else if upper <= 1e-4 {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    };
    let judged = CheckResult {
        verdict,
        measured: Some(lost as f64 / n as f64),
        lower: Some(lower),
        upper: Some(upper),
        target: Some(1e-4),
        k: lost,
        n,
        n_effective: Some(n as f64),
        deff: Some(1.0),
        reason: format!("{lost} of {n}"),
        ..CheckResult::without_rate("loss")
    };
    let phantom = CheckResult {
        verdict: Verdict::Pass,
        target: Some(0.0),
        measured: Some(0.0),
        n,
        ..CheckResult::without_rate("phantom")
    };
    let time = Some(Quantile::Seconds(1.0));
    let mut record = Soak::new(RULES).record("window", None);
    record.reasons = if verdict == Verdict::Pass { Vec::new() } else { vec![format!("loss: {}", judged.reason)] };
    record.verdict = verdict;
    record.checks = vec![judged, phantom];
    record.counts = Counts { planned: n, acked: n, visible: n - lost, lost, ..Counts::default() };
    record.generator = GeneratorFacts {
        planned: n,
        sent: n,
        requests: n / 10,
        retries: 1,
        schedule: Some(ScheduleFacts {
            on_schedule_share: 1.0,
            tolerance: 0.1,
            lateness_p99: 0.01,
            lateness_max: 0.02,
        }),
    };
    record.run.duration = 70.0;
    record.self_test = Some(SelfTest { planted: 54, found: 54, false_alarms: 0, missed: BTreeMap::new() });
    record.time_to_visible.p99 = time;
    record.findings = (0..lost.min(9)).map(|event| Finding::bare(Class::Lost, event.to_string())).collect();
    let points = vec![Point { q: 1.0, lower: None, value: Some(1.0), upper: None }];
    if let Some(details) = &mut record.details {
        details.time_to_visible = Distribution { n: n - lost, points };
        details.timeline = TimelineFacts::default();
    }
    record
}

fn soaked(windows: &[RunRecord]) -> Soak {
    let mut soak = Soak::new(RULES);
    for window in windows {
        soak.add(window, "w");
    }
    soak
}

fn check<'a>(record: &'a RunRecord, name: &str) -> &'a CheckResult {
    record.checks.iter().find(|check| check.name == name).unwrap()
}

#[test]
fn many_windows_prove_what_none_of_them_does() {
    let short = window(0, 10_000);
    assert_eq!(short.verdict, Verdict::Inconclusive);
    let soak = soaked(&[short.clone(), short.clone(), short.clone(), short]);
    let record = soak.record("night", None);
    assert_eq!((record.verdict, record.reasons.len()), (Verdict::Pass, 0));
    let loss = check(&record, "loss");
    assert_eq!((loss.k, loss.n, loss.upper), (0, 40_000, Some(binomial::upper(0.0, 40_000.0, 0.95))));
    assert_eq!((record.counts.acked, record.generator.requests, record.generator.retries), (40_000, 4_000, 4));
    assert_eq!(record.self_test.as_ref().unwrap().planted, 216);
    assert!((record.run.duration - 280.0).abs() < 1e-9);
    assert_eq!(record.details.as_ref().unwrap().timeline.intended, [10_000; 4]);
    assert!((record.details.as_ref().unwrap().timeline.width - 60.0).abs() < 1e-9);
    assert!(soak.is_over());
}

#[test]
fn a_bad_window_is_not_drowned_by_good_ones() {
    // 0.002 % of all are lost, far less than what is allowed; but all of it in one window.
    let mut windows = vec![window(0, 1_000_000); 3];
    windows.insert(1, window(60, 60_000));
    let record = soaked(&windows).record("night", None);
    let loss = check(&record, "loss");
    assert!(loss.upper.unwrap() <= 1e-4, "by all windows it would pass");
    assert_eq!(record.verdict, Verdict::Fail);
    assert!(loss.reason.contains("but more than the target allows in window 2 (60 of 60000)"), "{}", loss.reason);
    assert!(record.reasons.iter().any(|reason| reason == "windows that failed by themselves: 2 (w)"));
    assert_eq!(record.findings.len(), FINDINGS);
}

#[test]
fn a_window_that_fails_by_chance_does_not_fail_the_soak() {
    // From 11 of 60 000 on, one window is a fail at 95 %; of four windows one must have 13 for that.
    assert_eq!((window(11, 60_000).verdict, window(10, 60_000).verdict), (Verdict::Fail, Verdict::Inconclusive));
    let mut windows = vec![window(0, 1_000_000); 3];
    windows.push(window(12, 60_000));
    let record = soaked(&windows).record("night", None);
    assert_eq!(check(&record, "loss").verdict, Verdict::Pass, "{}", check(&record, "loss").reason);
    assert_eq!(record.verdict, Verdict::Pass);
    assert_eq!(record.reasons, ["windows that failed by themselves: 4 (w)"], "it is named all the same");
    windows[3] = window(13, 60_000);
    assert_eq!(soaked(&windows).record("night", None).verdict, Verdict::Fail);
}

#[test]
fn one_phantom_in_one_window_is_a_fail() {
    let mut bad = window(0, 60_000);
    bad.checks[1] = CheckResult {
        verdict: Verdict::Fail,
        measured: Some(1.0),
        k: 1,
        reason: "1 rows that nobody sent".into(),
        ..bad.checks[1].clone()
    };
    bad.verdict = Verdict::Fail;
    bad.reasons = vec!["phantom: 1 rows that nobody sent".into()];
    let record = soaked(&[window(0, 60_000), bad, window(0, 60_000)]).record("night", None);
    let phantom = check(&record, "phantom");
    assert_eq!((record.verdict, phantom.k, phantom.n), (Verdict::Fail, 1, 180_000));
    assert_eq!(phantom.reason, "1 rows that nobody sent");
}

#[test]
fn what_was_broken_off_is_left_out_unless_it_failed() {
    let broken_off = |lost, why: Reason| {
        let mut window = window(lost, 60_000);
        window.reasons.insert(0, why.words().to_owned());
        if window.verdict != Verdict::Fail {
            window.verdict = Verdict::Inconclusive;
        }
        window
    };
    let mut soak = Soak::new(RULES);
    for reason in [Reason::Killed, Reason::Stopped] {
        assert_eq!(soak.add(&broken_off(0, reason), "w"), Standing::BrokenOff);
    }
    assert_eq!((soak.judged, soak.broken_off, soak.void), (0, 2, 0));
    assert_eq!(soak.record("night", None).verdict, Verdict::Inconclusive, "nothing is no pass");
    soak.add(&window(0, 60_000), "w");
    assert_eq!(soak.record("night", None).verdict, Verdict::Pass);
    soak.add(&broken_off(60, Reason::Killed), "w");
    assert_eq!(soak.record("night", None).verdict, Verdict::Fail);
}

#[test]
fn a_window_that_proves_nothing_forbids_a_pass_and_its_figures_do_not_count() {
    let mut failed = window(60_000, 60_000);
    (failed.verdict, failed.reasons) =
        (Verdict::Inconclusive, vec![format!("{}: ClickHouse ended", Reason::EnvironmentFailed.words())]);
    let mut soak = soaked(&[window(0, 60_000)]);
    assert_eq!(soak.add(&failed, "bad"), Standing::Void);
    let record = soak.record("night", None);
    assert_eq!((record.verdict, record.counts.lost), (Verdict::Inconclusive, 0));
    assert_eq!(
        record.reasons,
        ["1 window proves nothing or too little: window 2: the environment failed: ClickHouse ended"]
    );
    soak.add_failure("no port");
    assert_eq!((soak.void, soak.record("night", None).verdict), (2, Verdict::Inconclusive));
    soak.add(&window(600, 60_000), "w");
    assert_eq!(soak.record("night", None).verdict, Verdict::Fail, "it hides no fail");
    assert!(soak.is_over(), "four windows were made, whatever became of them");
}

#[test]
fn a_soak_that_is_not_over_does_not_pass() {
    let soak = soaked(&[window(0, 60_000)]);
    assert!(!soak.is_over());
    let record = soak.record("night", Some("1 of 4 windows".into()));
    assert_eq!(
        (record.verdict, record.reasons.as_slice()),
        (Verdict::Inconclusive, &["1 of 4 windows".to_owned()][..])
    );
}

#[test]
fn it_ends_early_by_the_sequential_test_alone() {
    let rules = Rules { may_stop_early: true, ..RULES };
    let mut soak = Soak::new(rules);
    soak.add(&window(0, 50_000), "w");
    assert!(!soak.has_its_answer());
    let record = soak.record("night", None);
    assert!(check(&record, "loss").upper.unwrap() <= 1e-4, "the fixed rule would pass it");
    assert_eq!(record.verdict, Verdict::Inconclusive);
    soak.add(&window(0, 10_000), "w");
    assert!(soak.has_its_answer());
    let record = soak.record("night", None);
    assert_eq!(record.verdict, Verdict::Pass);
    assert_eq!(check(&record, "loss").sequential.as_ref().unwrap().units as u64, 60_000);
    // Too many defects decide it as well, and never for a pass.
    let mut bad = Soak::new(rules);
    bad.add(&window(6, 20_000), "w");
    assert!(bad.has_its_answer());
    assert_ne!(bad.record("night", None).verdict, Verdict::Pass);
    assert!(!Soak::new(rules).has_its_answer());
}

#[test]
fn what_came_together_in_one_window_counts_together_in_all() {
    let mut clustered = window(40, 1_000_000);
    (clustered.checks[0].n_effective, clustered.checks[0].deff) = (Some(1_000_000.0 / 40.0), Some(39.0));
    let record = soaked(&[window(0, 1_000_000), clustered]).record("night", None);
    let loss = check(&record, "loss");
    assert_eq!(loss.upper, Some(binomial::upper(1.0, 50_000.0, 0.95)));
    assert_eq!(loss.lower, Some(binomial::lower(40.0 / 39.0, 2e6 / 39.0, 0.95)));
}

/// A window with a fault at 10 s, a stage that took `seconds`, and a defect in partition 1.
fn disturbed(seconds: f64) -> RunRecord {
    let mut window = window(1, 60_000);
    window.run.faults = vec![FaultFacts {
        fault: "kill ingester".into(),
        target: "ingester".into(),
        planned_at: 10.0,
        began: Some(10.5),
        healed: None,
        failed: None,
    }];
    window.stages = Some(StageFacts { complete: true, times: Vec::new(), greatest_lag: None });
    let details = window.details.as_mut().unwrap();
    let points = vec![Point { q: 1.0, lower: None, value: Some(seconds), upper: None }];
    details.stages =
        vec![StageDistribution { stage: "sent to captured".into(), times: Distribution { n: 100, points } }];
    let group = |name: &str| Group { name: name.into(), events: 60_000, defects: [(Class::Lost, 1)].into() };
    details.defects = Breakdowns { partitions: vec![group("partition 1")], ..Breakdowns::default() };
    window
}

#[test]
fn faults_stages_and_groups_of_all_windows_are_kept_together() {
    let soak = soaked(&[window(0, 60_000), disturbed(1.0), disturbed(3.0)]);
    let record = soak.record("night", None);
    let faults: Vec<_> =
        record.run.faults.iter().map(|fault| (fault.fault.as_str(), fault.planned_at, fault.began)).collect();
    // The second window begins after a minute.
    assert_eq!(
        faults,
        [("window 2: kill ingester", 70.0, Some(70.5)), ("window 3: kill ingester", 130.0, Some(130.5))]
    );
    let stages = &record.stages.as_ref().unwrap().times;
    assert_eq!((stages[0].stage.as_str(), stages[0].n), ("sent to captured", 200));
    let near = |found: Option<f64>, wanted: f64| found.is_some_and(|found| (found / wanted - 1.0).abs() < 0.011);
    assert!(near(stages[0].p50, 1.0) && near(stages[0].p99, 3.0), "{stages:?}");
    let details = record.details.unwrap();
    assert_eq!(details.stages[0].times.n, 200);
    assert_eq!(
        (details.defects.partitions[0].events, &details.defects.partitions[0].defects[&Class::Lost]),
        (120_000, &2)
    );
    assert!(details.environment.iter().all(|(name, _)| name != "Further faults"));
    let mut soak = Soak::new(Rules { windows: 300, ..RULES });
    for _ in 0..300 {
        soak.add(&disturbed(1.0), "w");
    }
    let record = soak.record("night", None);
    assert_eq!(record.run.faults.len(), faults::KEPT);
    let told = &record.details.unwrap().environment;
    assert!(told.iter().any(|(name, what)| name == "Further faults" && what.starts_with("100,")), "{told:?}");
}

#[test]
fn it_stays_as_small_as_it_is_and_comes_back_from_its_file() {
    let one = disturbed(1.0);
    let mut soak = Soak::new(Rules { windows: 100_000, ..RULES });
    let mut sizes = Vec::new();
    for number in 1..=5_000 {
        soak.add(&one, "w");
        if number % 1_250 == 0 {
            sizes.push(serde_json::to_string(&soak).unwrap().len());
        }
    }
    let (first, last) = (sizes[0] as f64, sizes[3] as f64);
    assert!(last < first * 1.1, "{sizes:?}");
    let facts = soak.record("night", None).details.unwrap().timeline;
    assert!(facts.intended.len() <= 600 && facts.intended.iter().sum::<u64>() == 5_000 * 60_000, "nothing is dropped");
    let text = serde_json::to_string(&soak).unwrap();
    let back: Soak = serde_json::from_str(&text).unwrap();
    assert_eq!(back.record("night", None), soak.record("night", None));
}
