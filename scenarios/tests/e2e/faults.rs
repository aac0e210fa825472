//! What is done to the pipeline on purpose: carried out, healed, told, and nothing lost by it.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use super::harness::{Bench, Finished, alone, docker, in_containers, shared_environment, wait_until};

fn fault(at: &str, target: &str, action: &str, more: &str) -> String {
    format!("\n[[fault]]\nat = \"{at}\"\ntarget = \"{target}\"\naction = \"{action}\"\n{more}\n")
}

fn log(run: &Finished, name: &str) -> String {
    fs::read_to_string(run.directory.as_ref().unwrap().join("logs").join(name)).unwrap()
}

#[test]
fn components_die_links_break_and_nothing_is_lost() {
    let lasts = |time: &str| format!("for = \"{time}\"");
    let faults = [
        fault("1s", "ingester", "kill", ""),
        fault("2s", "capture-topic", "broken_message", ""),
        fault("2s", "events-topic", "broken_message", ""),
        fault("3s", "capture", "kill", &lasts("300ms")),
        fault("5s", "capture-kafka", "cut", &lasts("1s")),
        fault("6s", "clickhouse-kafka", "delay", "for = \"1s\"\ndelay = \"50ms\"\njitter = \"20ms\""),
        fault("7s", "ingester-kafka", "reset", &lasts("500ms")),
        fault("8s", "ingester", "rebalance", &lasts("2s")),
        fault("8s", "checker-clickhouse", "cut", &lasts("1s")),
        fault("10s", "client-capture", "narrow", "for = \"1s\"\nbandwidth = \"200kB/s\""),
        fault("11s", "clickhouse", "pause", &lasts("1s")),
        fault("13s", "clickhouse", "kill", ""),
        fault("15s", "kafka", "kill", ""),
        fault("17s", "capture", "restart", ""),
    ];
    let bench = Bench::new(&faults.concat());
    let _room = alone();
    let changes = [
        "traffic.app.events=12_000",
        "traffic.app.arrival.rate=600/s",
        "traffic.app.client=posthog-python",
        "expect.settle_limit=90s",
        "expect.time_to_visible.p99=60s",
    ];
    let mut command = bench.run_command();
    for change in changes {
        command.args(["--set", change]);
    }
    let run = Finished::new(command.output().unwrap(), bench.latest());
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!((run.count("lost"), run.count("pending"), run.count("duplicated")), (0, 0, 0), "{}", run.told());
    let told = run.verdict["run"]["faults"].as_array().unwrap();
    assert_eq!(told.len(), faults.len(), "{}", run.told());
    for fault in told {
        let (began, healed) = (fault["began"].as_f64().unwrap(), fault["healed"].as_f64().unwrap());
        assert!(began >= fault["planned_at"].as_f64().unwrap() && healed > began, "{fault}");
        assert!(fault.get("failed").is_none(), "{fault}");
    }
    assert!(run.stdout.contains("\nFaults: kill ingester at 1.0"), "{}", run.told());
    assert!(run.stderr.contains("healed at "), "{}", run.told());
    // That each was real shows in what its victims say.
    assert_eq!(log(&run, "ingester.log").matches("dead letter (").count(), 1, "{}", log(&run, "ingester.log"));
    assert!(log(&run, "second-ingester.log").contains("partitions are this consumer's"));
    assert!(run.verdict["generator"]["retries"].as_u64().is_some_and(|retries| retries > 0), "{}", run.told());
}

/// The faults that defects show under, and in how many events each is planted, or as many each time.
fn matches() -> [(&'static str, String, u64); 3] {
    // What is started again on a busy machine needs its time before it dies again.
    let twice = "every = \"3s\"\ntimes = 2";
    [
        ("commit_before_process", fault("1500ms", "ingester", "kill", twice), 100),
        ("reprocess_on_restart", fault("3s", "ingester", "restart", ""), 200),
        ("skip_poison_block", fault("1500ms", "capture-topic", "broken_message", twice), 60),
    ]
}

fn planted(defect: &str, events: u64) -> String {
    format!("\n[[planted_defect]]\nname = \"{defect}\"\nevents = {events}\n")
}

/// In how many events the ingester says that it has planted a defect.
fn told_planted(run: &Finished, defect: &str) -> u64 {
    let text = log(run, "ingester.log");
    text.lines().filter_map(|line| line.strip_prefix(&format!("planted {defect} in "))).collect::<HashSet<_>>().len()
        as u64
}

#[test]
fn a_fault_that_finds_the_matching_defect_fails_the_run_under_its_name() {
    for (defect, fault, events) in matches() {
        let bench = Bench::new(&(fault + &planted(defect, events)));
        let run = bench.run_shared();
        assert_eq!(run.code, Some(1), "{defect}: {}", run.told());
        let (class, check) = match defect {
            "reprocess_on_restart" => ("duplicated", "correctness"),
            _ => ("lost", "loss"),
        };
        assert_eq!(run.check(check), "fail", "{defect}: {}", run.told());
        let (told, found) = (told_planted(&run, defect), run.count(class));
        match defect {
            // What was just being produced may have arrived; what was held for it cannot.
            "commit_before_process" => {
                assert!(found >= events * 3 / 2 && found <= told, "{found} of {told}: {}", run.told());
            }
            "reprocess_on_restart" => {
                assert!(found > events / 2 && found <= events, "{found}: {}", run.told());
                assert_eq!(found, told, "{}", run.told());
                assert_eq!(run.count("lost"), 0, "{}", run.told());
            }
            _ => assert_eq!((found, told), (2 * events, 2 * events), "{}", run.told()),
        }
        let findings = run.findings(class);
        assert!(!findings.is_empty(), "{defect}: {}", run.told());
        if class == "lost" {
            assert!(findings.iter().all(|finding| finding["stage"] == "capture topic"), "{defect}: {}", run.told());
            assert_eq!(run.count("duplicated"), 0, "{defect}: {}", run.told());
        }
        for fault in run.verdict["run"]["faults"].as_array().unwrap() {
            assert!(fault["healed"].is_number(), "{defect}: {}", run.told());
        }
    }
}

#[test]
fn the_faults_alone_and_the_defects_alone_harm_nothing() {
    let faults = matches().map(|(_, fault, _)| fault).concat();
    let defects = matches().map(|(defect, _, events)| planted(defect, events)).concat();
    for more in [faults, defects] {
        let bench = Bench::new(&more);
        let run = bench.run_shared();
        assert_eq!(run.code, Some(0), "{more}: {}", run.told());
        let harm =
            ["lost", "vanished", "duplicated", "corrupted", "wrong_person", "pending"].map(|class| run.count(class));
        assert_eq!(harm, [0; 6], "{more}: {}", run.told());
        assert_eq!(log(&run, "ingester.log").matches("planted ").count(), 0, "{more}: {}", run.told());
    }
}

#[test]
fn what_capture_loses_is_named_whatever_else_is_broken() {
    let cut = fault("2s", "client-capture", "cut", "for = \"500ms\"");
    let run = Bench::new(&(cut + &planted("drop_batch_tail", 60))).run_shared();
    assert_eq!(run.code, Some(1), "{}", run.told());
    assert_eq!((run.check("loss"), run.count("duplicated")), ("fail", 0), "{}", run.told());
    let lost = run.findings("lost");
    assert!(!lost.is_empty() && lost.iter().all(|finding| finding["stage"] == "acked"), "{}", run.told());
    assert!(run.verdict["run"]["faults"][0]["healed"].is_number(), "{}", run.told());
}

#[test]
fn who_shares_a_substrate_cannot_break_it() {
    let environment = shared_environment();
    let _room = alone();
    for target in ["kafka", "clickhouse"] {
        let bench = Bench::new(&fault("1s", target, "kill", ""));
        let output = bench.run_command().arg("--env").arg(environment).output().unwrap();
        let run = Finished::new(output, bench.latest());
        assert_eq!(run.code, Some(64), "{}", run.told());
        assert!(run.stderr.contains(&format!("a fault is planned for {target}")), "{}", run.told());
        assert!(run.stderr.contains("leave out --env"), "{}", run.told());
    }
}

#[test]
fn a_fault_that_does_not_heal_makes_the_run_inconclusive() {
    let environment = shared_environment();
    let _room = alone();
    let bench = Bench::new(&fault("2s", "ingester", "stop", "for = \"3s\""));
    let mut command = bench.run_command();
    command.arg("--env").arg(environment).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut told: Vec<String> = stderr.by_ref().take_while(|line| !line.starts_with("fault at ")).collect();
    if in_containers() {
        // A container that is not there any more cannot be started again.
        docker(&["rm", "--force"], &bench.containers("ingester"));
    } else {
        let store = store(&bench).expect("a person store");
        // Whoever ends in good order takes its write-ahead log away.
        let wal = store.with_file_name("persons.sqlite-wal");
        assert!(wait_until(Duration::from_secs(3), || !wal.exists()), "{told:?}");
        // Without its store it cannot start again.
        fs::remove_file(&store).unwrap();
        fs::create_dir(&store).unwrap();
    }
    told.extend(stderr);
    let mut run = Finished::new(child.wait_with_output().unwrap(), bench.latest());
    run.stderr = told.join("\n");
    assert_eq!(run.code, Some(2), "{}", run.told());
    assert!(
        run.stdout.contains("the fault `stop ingester for 3s`, planned at 2 s: it could not be healed"),
        "{}",
        run.told()
    );
    assert!(run.verdict["run"]["faults"][0].get("healed").is_none());
}

/// The person store of the bench's only run.
fn store(bench: &Bench) -> Option<PathBuf> {
    let folders = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut stores = folders(bench.tmp()).flat_map(folders).map(|run| run.join("persons.sqlite"));
    stores.find(|store| store.exists())
}

/// How many partitions an ingester says it was given, each time.
fn shares(run: &Finished, ingester: &str) -> Vec<u64> {
    let text = log(run, &format!("{ingester}.log"));
    let told = text.lines().filter_map(|line| line.split_once(" partitions are this consumer's"));
    told.filter_map(|(before, _)| before.rsplit(' ').next()?.parse().ok()).collect()
}

#[test]
fn one_of_two_ingesters_dies_and_nothing_is_lost() {
    // Longer than its session: the other one gets its partitions, and it gets some back when it is there again.
    let kill = fault("2s", "ingester-2", "kill", "for = \"12s\"");
    let bench = Bench::new(&format!("\n[pipeline]\ningesters  = 2\npartitions = 4\n{kill}"));
    let run = bench.run_shared_with(&["--set", "expect.settle_limit=90s", "--set", "expect.time_to_visible.p99=60s"]);
    assert_eq!(run.code, Some(0), "{}", run.told());
    let harm = ["lost", "vanished", "duplicated", "corrupted", "wrong_person", "pending"].map(|class| run.count(class));
    assert_eq!(harm, [0; 6], "{}", run.told());
    assert!(run.stdout.contains("\nFaults: kill ingester-2 for 12s at 2."), "{}", run.told());
    let fault = &run.verdict["run"]["faults"][0];
    assert!(fault["target"] == "ingester-2" && fault["healed"].is_number(), "{fault}");
    let (first, second) = (shares(&run, "ingester"), shares(&run, "ingester-2"));
    assert!(first.iter().chain(&second).all(|share| *share > 0), "{first:?} {second:?}");
    assert!(!first.is_empty() && second.len() > 1, "before its death and after it: {first:?} {second:?}");
    let all = first.iter().chain(&second).max();
    assert!(second.iter().any(|share| Some(share) < all), "they are shared: {first:?} {second:?}");
}
