//! Scenario files and what is said about wrong ones.

use generators::{
    identity::RunId,
    random::{Distribution, Share},
    workload::{Compression, Profile},
};
use testenv::fault::{Action, Target};

use super::*;

const GOOD: &str = include_str!("../../library/smoke.toml");

fn problems(source: &str) -> Vec<String> {
    problems_with(source, &[])
}

fn problems_with(source: &str, overrides: &[(&str, &str)]) -> Vec<String> {
    let overrides: Vec<Override> =
        overrides.iter().map(|(key, value)| Override { key: (*key).to_owned(), value: (*value).to_owned() }).collect();
    match Scenario::read("x.toml", source, &overrides) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.lines().collect(),
    }
}

#[test]
fn smoke_says_what_it_says() {
    let smoke = Scenario::read("smoke.toml", GOOD, &[]).unwrap();
    assert_eq!(smoke.name, "smoke");
    assert_eq!(smoke.traffic[0].events, 60_000);
    assert_eq!(smoke.traffic[0].batch, (1, 100));
    assert_eq!(smoke.traffic[0].persons.count, 5_000);
    assert!((smoke.expect.targets.loss - 1e-4).abs() < 1e-12);
    assert_eq!(smoke.expect.loss_after, Duration::from_secs(10));
    assert_eq!(smoke.expect.settle_limit, Duration::from_secs(16), "loss_after and three quiet times");
    assert_eq!(smoke.expect.targets.p99_time_to_visible, Some(Duration::from_secs(5)));
    assert_eq!(smoke.seed, None);
}

#[test]
fn faults_are_read_and_what_makes_no_sense_is_refused() {
    let with = |lines: &str| format!("{GOOD}\n[[fault]]\n{lines}\n");
    let read = |lines: &str| Scenario::read("x.toml", &with(lines), &[]).unwrap().faults.remove(0);
    let seconds = |seconds| Distribution::Constant { value: Duration::from_secs(seconds) };
    let kill = read("at = \"5s\"\ntarget = \"ingester\"\naction = \"kill\"");
    let expected = Fault {
        at: seconds(5),
        lasts: seconds(0),
        every: Duration::ZERO,
        times: 1,
        targets: vec![Target::Ingester],
        actions: vec![Action::Kill],
    };
    assert_eq!(kill, expected);
    let restart = read("at = \"5s\"\ntarget = \"ingester\"\naction = \"restart\"");
    assert_eq!(restart, Fault { actions: vec![Action::Stop], ..expected });
    let narrow = read(
        "at = \"uniform(1s, 9s)\"\nevery = \"20s\"\ntimes = 3\nfor = \"5s\"\n\
         target = [\"capture-kafka\", \"ingester-kafka\"]\naction = \"narrow\"\nbandwidth = \"1.5MB/s\"",
    );
    let taken = |action: &str, target: &str, more: &str| {
        let lines = format!("at = \"1s\"\nfor = \"2s\"\ntarget = \"{target}\"\naction = \"{action}\"\n{more}");
        Scenario::read("x.toml", &with(&lines), &[]).unwrap()
    };
    for (scenario, action) in [
        (taken("fill_disk", "kafka", ""), Action::FillDisk),
        (taken("throttle", "capture", "processors = 0.05"), Action::Throttle { thousandths: 50 }),
        (taken("squeeze", "ingester", "memory = \"64MiB\""), Action::Squeeze { memory: 64 << 20 }),
    ] {
        assert_eq!(scenario.faults[0].actions, [action]);
        assert!(scenario.needs_containers(|_| Ok(())).is_some_and(|what| what.contains(action.word())), "{action:?}");
    }
    assert_eq!(Scenario::read("x.toml", GOOD, &[]).unwrap().needs_containers(|_| Ok(())), None);
    assert_eq!(narrow.actions, [Action::Narrow { bytes_per_second: 1_500_000 }]);
    assert_eq!((narrow.times, narrow.targets.len(), narrow.lasts), (3, 2, seconds(5)));
    let kill = "at = \"5s\"\ntarget = \"ingester\"\naction = \"kill\"";
    for (lines, expected) in [
        (kill.replace("ingester", "injester"), "fault.0.target: must be \"capture\" or \"ingester\" or"),
        (kill.replace("kill", "cut"), "fault.0.for: is missing: how long it lasts, such as \"10s\""),
        (
            kill.replace("kill", "cut") + "\nfor = \"1s\"",
            "fault.0.target: `cut` cannot be done to ingester, which is a component; it can be done to: client-capture",
        ),
        (kill.replace("kill", "squeeze"), "fault.0.memory: is missing"),
        (
            kill.replace("kill", "squeeze") + "\nfor = \"1s\"\nmemory = \"1KB\"",
            "fault.0.memory: `1KB` is no amount of memory: write \"512MiB\" or \"1GiB\"",
        ),
        (kill.replace("kill", "throttle") + "\nfor = \"1s\"\nprocessors = 0", "fault.0.processors: must be a number"),
        (
            kill.replace("kill", "fill_disk") + "\nfor = \"1s\"",
            "fault.0.target: `fill_disk` cannot be done to ingester, which is a component; it can be done to: kafka, clickhouse",
        ),
        (kill.replace("kill", "restart") + "\nfor = \"1s\"", "fault.0.for: has no meaning here: it is done at once"),
        (kill.replace("kill", "pause"), "fault.0.for: is missing"),
        (kill.to_owned() + "\ntimes = 2", "fault.0.every: is missing"),
        (kill.replace("\"5s\"", "5"), "fault.0.at: `a number alone` is no distribution"),
        (kill.to_owned() + "\ndelay = \"1s\"", "fault.0.delay: there is no such key"),
        (
            "at = \"5s\"\nfor = \"1s\"\ntarget = \"client-capture\"\naction = \"narrow\"\nbandwidth = \"5\"".to_owned(),
            "fault.0.bandwidth: `5` is no bandwidth",
        ),
    ] {
        let problems = problems(&with(&lines));
        let found =
            problems.iter().any(|line| line.split_once(": ").is_some_and(|(_, what)| what.starts_with(expected)));
        assert!(found, "{expected}\n{problems:#?}");
    }
}

#[test]
fn a_fault_of_several_actions_is_read_and_what_cannot_be_drawn_is_refused() {
    let with = |target: &str, action: &str, more: &str| {
        format!("{GOOD}\n[[fault]]\nat = \"1s\"\ntarget = {target}\naction = {action}\n{more}\n")
    };
    let read = |target: &str, action: &str, more: &str| {
        Scenario::read("x.toml", &with(target, action, more), &[]).unwrap_or_else(|told| panic!("{action}: {told}"))
    };
    let both = read(
        r#"["ingester", "kafka", "capture-kafka"]"#,
        r#"["pause", "fill_disk", "delay"]"#,
        "for = \"2s\"\ndelay = \"9ms\"\njitter = \"1ms\"",
    );
    let delay = Action::Delay { by: Duration::from_millis(9), jitter: Duration::from_millis(1) };
    assert_eq!(both.faults[0].actions, [Action::Pause, Action::FillDisk, delay]);
    assert_eq!(
        both.faults[0].draws().collect::<Vec<_>>(),
        [
            (Action::Pause, Target::Ingester),
            (Action::Pause, Target::Kafka),
            (Action::FillDisk, Target::Kafka),
            (delay, Target::CaptureKafka)
        ]
    );
    assert!(both.needs_containers(|_| Ok(())).unwrap().contains("fill_disk"), "it may be drawn");
    let at_once = read("\"ingester\"", r#"["kill", "restart"]"#, "");
    assert_eq!(at_once.faults[0].actions, [Action::Kill, Action::Stop]);
    for (target, action, more, expected) in [
        ("\"ingester\"", "[]", "", "fault.0.action: must be \"kill\" or \"stop\""),
        ("\"ingester\"", r#"["kill", "burn"]"#, "", "fault.0.action: must be \"kill\" or \"stop\""),
        ("\"ingester\"", r#"["kill", "pause"]"#, "", "fault.0.for: is missing"),
        ("\"ingester\"", r#"["kill", "stop"]"#, "", "fault.0.for: is missing"),
        ("\"ingester\"", r#"["kill", "restart"]"#, "for = \"1s\"", "fault.0.for: has no meaning for `restart`"),
        ("\"ingester\"", r#"["kill", "kill"]"#, "", "fault.0.action: names `kill` twice"),
        (
            "\"ingester\"",
            r#"["kill", "cut"]"#,
            "for = \"1s\"",
            "fault.0.action: `cut` can be done to none of the targets; it can be done to: client-capture",
        ),
        (
            r#"["ingester", "capture-topic"]"#,
            r#"["kill", "pause"]"#,
            "for = \"1s\"",
            "fault.0.target: `kill` or `pause` cannot be done to capture-topic, which is a topic; it can be done to: capture",
        ),
        ("\"capture-kafka\"", r#"["cut", "delay"]"#, "for = \"1s\"", "fault.0.delay: is missing"),
    ] {
        let told = problems(&with(target, action, more));
        assert!(told.iter().any(|line| line.contains(expected)), "{expected}\n{told:#?}");
    }
}

#[test]
fn each_problem_has_its_line_and_key() {
    for (from, to, expected) in [
        (
            "events   = 60_000",
            "evnts = 60_000",
            "x.toml:11: traffic.app.evnts: there is no such key; did you mean `events`?",
        ),
        ("events   = 60_000", "events = 0", "x.toml:11: traffic.app.events: must be a whole number from 1 to"),
        ("\"5000/s\"", "\"5000\"", "x.toml:12: traffic.app.arrival.rate: `5000` is no rate"),
        ("\"constant\"", "\"square\"", "x.toml:12: traffic.app.arrival.shape: must be \"constant\" or \"poisson\""),
        ("\"20%\"", "0.2", "x.toml:15: traffic.app.persons.identify: `a number alone` is no share"),
        ("backdated_by = \"exponential(30s)\", ", "", "x.toml:16: traffic.app.disorder.backdated_by: is missing"),
        ("\"batch\"", "\"bach\"", "x.toml:14: traffic.app.endpoint: must be \"batch\" or \"e\""),
        ("[[traffic]]", "[traffic]", "x.toml:9: traffic: is a list: write [[traffic]]"),
        ("\"10s\"", "10", "x.toml:25: expect.loss_after: a number alone has no unit"),
        ("\"2s\"           #", "\"1s\"           #", "x.toml:26: expect.quiet: must be at least four times"),
        ("name = \"smoke\"", "name = \"../smoke\"", "x.toml:6: scenario.name: a name is made of"),
        ("name = \"smoke\"", "", "x.toml:5: scenario.name: is missing"),
        ("p99 = \"5s\"", "p98 = \"5s\"", "x.toml:27: expect.time_to_visible.p98: there is no such key"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let problems = problems(&GOOD.replacen(from, to, 1));
        assert!(problems.iter().any(|line| line.starts_with(expected)), "{expected}\n{problems:#?}");
    }
}

#[test]
fn arrivals_of_every_shape() {
    let rate = "arrival  = { shape = \"constant\", rate = \"5000/s\" }";
    assert!(GOOD.contains(rate));
    let with = |shape: &str, tail: &str| GOOD.replace(rate, &format!("arrival = {{ shape = {shape} }}\n{tail}"));
    for (shape, events) in [
        (r#""poisson", rate = "10/s""#, 600),
        (r#""ramp", from = "10/s", to = "30/s", over = "1m""#, 1_200),
        (r#""step", steps = [{ rate = "10/s", for = "30s" }, { rate = "60/m", for = "1s" }]"#, 330),
        (r#""burst", rate = "1/s", burst = "100/s", every = "10s", for = "1s""#, 654),
        (r#""diurnal", low = "10/s", high = "30/s", period = "1m""#, 1_200),
    ] {
        let source = with(shape, "").replace("events   = 60_000", "duration = \"1m\"");
        let scenario = Scenario::read("x.toml", &source, &[]).unwrap_or_else(|problems| panic!("{shape}: {problems}"));
        assert_eq!(scenario.traffic[0].events, events, "{shape}");
    }
    for (shape, expected) in [
        (r#""ramp", from = "10/s", over = "1m""#, "traffic.app.arrival.to: is missing"),
        (r#""step""#, "traffic.app.arrival.steps: is missing: say"),
        (r#""step", steps = [{ rate = "10/s" }]"#, "traffic.app.arrival.steps.0.for: is missing"),
        (
            r#""step", steps = [{ rate = "10/s", for = "1s", at = 1 }]"#,
            "traffic.app.arrival.steps.0.at: there is no such",
        ),
        (
            r#""burst", rate = "1/s", burst = "9/s", every = "1s", for = "1s""#,
            "traffic.app.arrival.for: must be shorter",
        ),
        (r#""poisson", rate = "10000001/s""#, "traffic.app.arrival.rate: is more than 10 million"),
        (r#""diurnal", low = "1/s", high = "2/s", period = "0s""#, "traffic.app.arrival.period: must lie between"),
        (r#""constant", rate = "1/s", to = "2/s""#, "traffic.app.arrival.to: there is no such key"),
    ] {
        let problems = problems(&with(shape, ""));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}\n{problems:#?}");
    }
}

#[test]
fn clients_deliver_as_their_library_does() {
    let with = |lines: &str| GOOD.replace("endpoint = \"batch\"\n", &format!("{lines}\n"));
    assert_ne!(with(""), GOOD);
    let client = |lines: &str| {
        let scenario =
            Scenario::read("x.toml", &with(lines), &[]).unwrap_or_else(|problems| panic!("{lines}: {problems}"));
        let traffic = &scenario.traffic[0];
        (traffic.client.profile, traffic.endpoint, traffic.client.retry_for)
    };
    assert_eq!(client(""), (Profile::Assay, Endpoint::Batch, None));
    assert_eq!(client("client = \"posthog-python\""), (Profile::PosthogPython, Endpoint::Batch, None));
    let results = "client = \"posthog-python\"\nendpoint = \"v1\"";
    assert_eq!(client(results), (Profile::PosthogPython, Endpoint::V1, None));
    let browser = "client = \"posthog-js\"\nretry_for = \"2m\"";
    assert_eq!(client(browser), (Profile::PosthogJs, Endpoint::E, Some(Duration::from_mins(2))));
    let elsewhere = "client = \"posthog-rs\"\nendpoint = \"i/v0/e\"";
    assert_eq!(client(elsewhere), (Profile::PosthogRs, Endpoint::IV0E, None));
    for (lines, expected) in [
        ("client = \"posthog\"", "traffic.app.client: must be \"assay\" or \"posthog-python\" or"),
        ("client = \"posthog-js\"\nendpoint = \"batch\"", "traffic.app.endpoint: `posthog-js` never sends there"),
        ("client = \"posthog-python\"\nendpoint = \"e\"", "traffic.app.endpoint: `posthog-python` never sends there"),
        ("client = \"posthog-node\"\nendpoint = \"e\"", "traffic.app.endpoint: `posthog-node` sends batches only"),
        ("retry_for = \"2m\"", "traffic.app.retry_for: needs a `client` that tries again"),
        ("beacon = \"5%\"", "traffic.app.beacon: is what a browser sends"),
        ("client = \"posthog-rs\"\nretry_for = \"9000h\"", "traffic.app.retry_for: must be a year at most"),
    ] {
        let problems = problems(&with(lines));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}\n{problems:#?}");
    }
}

#[test]
fn events_of_a_browser_say_how_long_ago_they_happened_unless_they_are_told_otherwise() {
    let offset = |lines: &str, disorder: &str| {
        let with = GOOD.replace("endpoint = \"batch\"\n", &format!("{lines}\n"));
        let overrides = disorder
            .split_once('=')
            .map(|(key, value)| Override { key: format!("traffic.app.disorder.{key}"), value: value.to_owned() });
        let scenario = Scenario::read("x.toml", &with, overrides.as_slice()).unwrap();
        scenario.traffic[0].disorder.offset.get()
    };
    let browser = "client = \"posthog-js\"";
    for (lines, disorder, expected) in [
        ("", "", 0.0),
        ("client = \"posthog-node\"", "", 0.0),
        (browser, "", 1.0),
        (browser, "clock_drift=1m", 1.0),
        (browser, "offset=20%", 0.2),
        (browser, "offset=0%", 0.0),
        (browser, "no_timestamp=5%", 0.0),
    ] {
        assert!((offset(lines, disorder) - expected).abs() < 1e-9, "{lines} {disorder}");
    }
}

#[test]
fn clients_may_fail() {
    let with = |line: &str| GOOD.replace("endpoint = \"batch\"\n", &format!("client_faults = {{ {line} }}\n"));
    let read = |line| Scenario::read("x.toml", &with(line), &[]).unwrap().traffic[0].client.faults;
    let faults = read("disconnect = \"1%\", garbage_body = \"0.5%\", slow_body = \"98.5%\", slow_over = \"5s\"");
    let share = |fraction| Share::new(fraction).unwrap();
    assert_eq!((faults.disconnect, faults.slow_body, faults.empty_body), (share(0.01), share(0.985), share(0.0)));
    assert_eq!(faults.slow_over, Duration::from_secs(5));
    assert_eq!(read(""), generators::workload::ClientFaults::default());
    for (line, expected) in [
        ("hang_up = \"1%\"", "traffic.app.client_faults.hang_up: there is no such key"),
        ("disconnect = \"60%\", empty_body = \"41%\"", "traffic.app.client_faults: fail more requests than"),
        ("slow_over = \"1s\"", "traffic.app.client_faults.slow_over: needs a share"),
    ] {
        let problems = problems(&with(line));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{expected}\n{problems:#?}");
    }
}

#[test]
fn no_problem_hides_another() {
    let source = GOOD.replace("5000/s", "5000").replace("99.99%", "yes").replace("[pipeline]", "[pipelin]");
    assert_eq!(problems(&source).len(), 4, "{:#?}", problems(&source));
}

#[test]
fn a_file_that_is_no_toml_is_told_where() {
    let problems = problems("[scenario\nname = 1");
    assert!(problems[0].starts_with("x.toml:1: "), "{problems:?}");
}

#[test]
fn planted_defects() {
    let plant = |table: &str| problems(&format!("{GOOD}\n[[planted_defect]]\n{table}"));
    assert_eq!(plant("name = \"ack_then_drop\"\nevents = 60"), Vec::<String>::new());
    assert_eq!(plant("name = \"drop_property\"\nevents = 60\nproperty = \"price\""), Vec::<String>::new());
    for wrong in ["name = \"drop_property\"\nevents = 60", "name = \"ack_then_drop\"\nevents = 60\nproperty = \"x\""] {
        assert!(plant(wrong)[0].contains("names the property to drop"), "{:?}", plant(wrong));
    }
    assert!(plant("name = \"x\"\nevents = 60")[0].contains("ack_then_drop"));
    assert!(plant("name = \"ack_then_drop\"\nevents = 60001")[0].contains("from 1 to 60000"));
    assert_eq!(plant("name = \"shift_timezone\"\nevents = 60\nhours = 5"), Vec::<String>::new());
    assert!(plant("name = \"shift_timezone\"\nevents = 60\nhours = 0")[0].contains("hours: must be a whole number"));
    assert!(plant("name = \"truncate_body\"\nevents = 60\nhours = 5")[0].contains("there is no such key"));
    assert!(plant("name = \"filter_in_view\"\nevents = 5001")[0].contains("at most 5000"));
    assert_eq!(plant("name = \"lose_block\"\nevents = 10000"), Vec::<String>::new());
    let with = |second: &str| {
        format!("name = \"lose_block\"\nevents = 9\n[[planted_defect]]\nname = \"{second}\"\nevents = 9")
    };
    assert_eq!(plant(&with("ack_then_drop")), Vec::<String>::new());
    assert!(plant(&with("invent_rows"))[0].contains("only one defect of the sink"));
}

#[test]
fn the_command_line_may_change_a_value_and_is_named_when_wrong() {
    let change = |key: &str, value: &str| Override { key: key.into(), value: value.into() };
    let read = |changes: &[Override]| Scenario::read("x.toml", GOOD, changes).unwrap();
    assert_eq!(read(&[change("traffic.app.events", "1000")]).traffic[0].events, 1_000);
    assert_eq!(
        read(&[change("traffic.0.arrival.rate", "100/s")]).traffic[0].arrival.lasts(100),
        Duration::from_secs(1)
    );
    assert_eq!(read(&[change("expect.loss_after", "\"20s\"")]).expect.loss_after, Duration::from_secs(20));
    assert_eq!(read(&[change("scenario.seed", "7")]).seed, Some(7));
    for (key, value, expected) in [
        ("traffic.web.events", "1", "--set: traffic.web.events: has no `web`"),
        ("expect.loss_afer", "1s", "--set: expect.loss_afer: there is no such key; did you mean `loss_after`?"),
        ("expect.loss_after", "soon", "--set: expect.loss_after: `soon` is no duration"),
        ("", "1", "--set: is no key"),
    ] {
        let problems = problems_with(GOOD, &[(key, value)]);
        assert!(problems.iter().any(|line| line.starts_with(expected)), "{expected}\n{problems:#?}");
    }
}

#[test]
fn what_does_not_go_together_is_said() {
    let traffic = |change: (&str, &str)| problems_with(GOOD, &[(&format!("traffic.app.{}", change.0), change.1)]);
    assert_eq!(traffic(("content.hostile", "5%")), Vec::<String>::new());
    for (key, value, told) in [
        ("endpoint", "i/v2/e", "must be"),
        ("historical", "5", "true or false"),
        ("form", "query", "a URL has room for few events"),
        ("content.kinds", "[\"nonsense\"]", "must be \"nul\""),
        ("content.large", "1%", "say by how many bytes"),
        ("content.padding", "1..99000000", "at most 32000000"),
        ("content.padding", "1..1000000", "traffic of their own"),
        ("groups.types", "9", "from 1 to 8"),
        ("groups.identify", "some", "some"),
        ("names", "[\"$identify\"]", "means something of its own"),
        ("names", "[\"a:0\"]", "a weight if it likes"),
        ("names", "[]", "leave it out for the usual ones"),
        ("batch.size", "10001", "must be at most 10000"),
        ("batch.size", "1..1099511627776", "must be at most 10000"),
        ("disorder.offset", "101%", "outside"),
        ("disorder.altered", "1%", ""),
        ("disorder.altered_in", "[\"name\"]", "say which with `altered`"),
        ("disorder.altered_in", "[\"uuid\"]", "must be \"content\""),
        ("disorder.duplicate_after", "1s", "say which with `duplicate_requests`"),
        ("disorder.resend_after", "sometimes", "sometimes"),
        ("disorder.time_forms", "[\"civil\"]", "say which with `time_spelling`"),
        ("disorder.time_forms", "[\"noon\"]", "must be \"offset\""),
        ("replay", "recording.jsonl", "is what the recording says"),
        ("speed", "2x", "name one with `replay`"),
        ("replay_longest", "30d", "name one with `replay`"),
        ("persons.hot", "half", "half"),
        ("content.refused", "1%", "elsewhere the whole request would be"),
        ("content.embedded", "1%", "is for a form of several parts"),
        ("content.blobs", "1%", "blob_size: is missing"),
        ("content.blob_size", "1..9000000", "at most 8000000"),
        ("client_faults.no_user_agent", "1%", "is of v1"),
        ("restricted.forced_key", "101%", "outside"),
        ("client_faults.refused_content_type", "1%", "is of v1"),
    ] {
        let problems = traffic((key, value));
        let fine = key == "disorder.altered";
        assert!(fine == problems.is_empty() && (fine || problems.concat().contains(told)), "{key}: {problems:?}");
    }
    let named = |key: &str, value: &str, names: &str| {
        let key = format!("traffic.app.{key}");
        problems_with(GOOD, &[(&key, value), ("traffic.app.names", names)]).concat()
    };
    assert_eq!(named("clients", "3", "[\"$exception\", \"$ai_span:2\"]"), "");
    let with_ai = |names| named("endpoint", "v1/ai", names);
    assert!(with_ai("[\"$ai_span\", \"purchase\"]").contains("all of AI there, or none"));
    let shares = [("traffic.app.content.cookieless", "5%"), ("traffic.app.content.internal", "5%")];
    assert_eq!(problems_with(GOOD, &shares), Vec::<String>::new());
    let with = |key, value| problems_with(GOOD, &[shares[0], shares[1], (key, value)]).concat();
    assert!(with("traffic.app.endpoint", "v1").contains("content.cookieless: is said otherwise there"));
    assert!(with("pipeline.dialect", "\"2024\"").contains("came in 2025"));
    for (client, endpoint, expected) in [
        ("posthog-js", "e", Compression::GzipJs),
        ("posthog-node", "batch", Compression::Gzip),
        ("posthog-python", "batch", Compression::None),
        ("posthog-rs", "batch", Compression::None),
    ] {
        let said =
            [("traffic.app.client", client), ("traffic.app.endpoint", endpoint), ("traffic.app.compression", "client")];
        let overrides: Vec<Override> =
            said.map(|(key, value)| Override { key: key.to_owned(), value: value.to_owned() }).into();
        let scenario = Scenario::read("x.toml", GOOD, &overrides).unwrap();
        assert_eq!(scenario.traffic[0].compression, expected, "{client}");
    }
    assert!(named("compression", "client", "[\"a\"]").contains("needs a `client`"));
    let earlier = [("pipeline.dialect", "\"2024\""), ("traffic.app.names", "[\"$exception\"]")];
    assert!(problems_with(GOOD, &earlier).concat().contains("exceptions and of AI is not known"));
    let v1 = |key, value| problems_with(GOOD, &[("traffic.app.endpoint", "v1"), (key, value)]).concat();
    assert_eq!(v1("traffic.app.compression", "gzip"), "");
    assert!(v1("traffic.app.compression", "lz64").contains("take plain bodies"));
    assert!(v1("traffic.app.disorder.no_uuid", "1%").contains("want a uuid"));
    assert!(
        v1("traffic.app.disorder.time_spelling", "1%")
            .contains("traffic.app.disorder.time_forms: v1 and AI want RFC 3339")
    );
    assert_eq!(v1("traffic.app.content.refused", "1%"), "");
    assert!(v1("traffic.app.content.twice", "1%").contains("content.twice: is for the endpoints of v0"));
    let twice = [("traffic.app.content.twice", "1%"), ("traffic.app.content.kinds", "[\"hostile_name\"]")];
    assert_eq!(problems_with(GOOD, &twice).concat(), "");
    let beacons = [("traffic.app.client", "posthog-js"), ("traffic.app.beacon", "1%"), ("traffic.app.form", "query")];
    assert!(problems_with(GOOD, &beacons).concat().contains("traffic.app.beacon: has a body always"));
    let unknown = |key: &str, value: &str| {
        problems_with(GOOD, &[("traffic.app.unknown_compression", "5%"), (key, value)]).concat()
    };
    assert_eq!(unknown("traffic.app.compression", "gzip-js"), "");
    for (key, value) in [("compression", "lz64"), ("form", "form"), ("endpoint", "v1")] {
        assert!(unknown(&format!("traffic.app.{key}"), value).contains("first bytes of a plain body"), "{key}");
    }
    assert!(unknown("pipeline.dialect", "\"2021\"").contains("of `unknown_compression` is not known"));
}

#[test]
fn traffic_goes_where_its_generation_listens() {
    let told = |dialect: &str, key, value| {
        problems_with(GOOD, &[("pipeline.dialect", &format!("\"{dialect}\"")), (key, value)]).concat()
    };
    for (dialect, endpoint, fine) in [
        ("2021", "track", true),
        ("2021", "i/v0/e", false),
        ("2024", "i/v0/e", true),
        ("2024", "engage", false),
        ("2024", "v1", false),
        ("2026", "v1", true),
    ] {
        let told = told(dialect, "traffic.app.endpoint", endpoint);
        assert_eq!(told.contains("has no such `endpoint` as `app` sends to"), !fine, "{dialect} {endpoint}: {told}");
    }
    assert!(told("2024", "traffic.app.compression", "lz64").contains("reads no lz64, which `app` sends"));
    assert_eq!(told("2021", "traffic.app.compression", "lz64"), "");
    for (dialect, forms, fine) in [
        ("2024", "[\"offset\", \"seconds\"]", true),
        ("2021", "[\"offset\", \"micros\"]", false),
        ("2024", "[]", false),
        ("2026", "[]", true),
    ] {
        let overrides = [
            ("pipeline.dialect", format!("\"{dialect}\"")),
            ("traffic.app.disorder.time_spelling", "1%".to_owned()),
            ("traffic.app.disorder.time_forms", forms.to_owned()),
        ];
        let told = problems_with(GOOD, &overrides.each_ref().map(|(key, value)| (*key, value.as_str()))).concat();
        let what = format!("`disorder.time_forms` of `app` it is known what the `dialect` {dialect} made of");
        assert_eq!(told.contains(&what), !fine, "{dialect} {forms}: {told}");
    }
}

#[test]
fn other_images_take_places_and_their_words_must_stand_for_something() {
    let with = |lines: &str| {
        GOOD.replace("[pipeline]", "[pipeline.capture]\nimage = \"posthog/capture:1\"\n\n[pipeline]") + lines
    };
    let read = Scenario::read(
        "x.toml",
        &with(
            "[[component]]\nname = \"redis\"\nimage = \"redis:7\"\nready = \"Ready to accept\"\n\
             [[component]]\nname = \"postgres\"\nimage = \"postgres:15\"\nenvironment = { PGUSER = \"a\", R = \"{redis}\" }\n\
             [pipeline.ingester]\nimage = \"posthog/posthog-node\"\ncommand = [\"node\", \"x\"]\n\
             environment = { DATABASE_URL = \"postgres://a@{postgres}/b\", TOPIC = \"{KAFKA_TOPIC}\" }\n",
        ),
        &[],
    )
    .unwrap();
    let names: Vec<_> =
        read.substitutes.all().map(|(name, substitute)| format!("{name} {}", substitute.image)).collect();
    let expected =
        ["redis redis:7", "postgres postgres:15", "capture posthog/capture:1", "ingester posthog/posthog-node:latest"];
    assert_eq!(names, expected);
    assert_eq!(read.substitutes.ingester.unwrap().command, ["node", "x"]);
    let component = "\n[[component]]\nname = \"redis\"\nimage = \"redis:7\"\n";
    for (lines, problem) in [
        ("[[component]]\nimage = \"redis:7\"".to_owned(), "component.0.name: is missing"),
        (component.replace("redis:7", "a b"), "component.redis.image: `a b` names no image"),
        (
            component.replace("\"redis\"", "\"kafka\""),
            "component.kafka.name: `kafka` is what a part of every run is called",
        ),
        (component.replace("\"redis\"", "\"My_Redis\""), "is a host name"),
        (component.repeat(2), "component.redis.name: is the name of another component"),
        (component.to_owned() + "port = 1", "component.redis.port: there is no such key"),
        (component.to_owned() + "environment = { A = 1 }", "component.redis.environment: A: must be a string"),
        (
            component.to_owned() + "environment = { A = \"{postgres}\" }",
            "A: `{postgres}` is no component before this one: none comes before it",
        ),
        (
            component.to_owned() + "[pipeline.ingester]\nimage = \"a\"\nport = 7\nenvironment = { A = \"{redi}\" }",
            "pipeline.ingester.environment: A: `{redi}` is no component before this one: there are redis",
        ),
        ("[pipeline.ingester]\nimage = \"a\"\nport = 7".to_owned(), "pipeline.ingester.port: has no meaning here"),
    ] {
        let told = problems(&with(&lines));
        assert!(told.iter().any(|line| line.contains(problem)), "{problem}\n{told:#?}");
    }
}

const SEEDED: &str = r#"
[[component]]
name        = "postgres"
image       = "postgres:15"
environment = { TEAMS = "{ASSAY_TEAMS} of {ASSAY_RUN}" }

[[component]]
name        = "migrate"
image       = "postgres:15"
once        = true
within      = "20s"
environment = { PGHOST = "{postgres}" }
mounts      = { "/seed" = "seed" }
"#;

#[test]
fn components_run_once_are_told_of_the_run_and_read_files() {
    let read = Scenario::read("x.toml", &format!("{GOOD}{SEEDED}"), &[]).unwrap();
    let [postgres, migrate] = &read.substitutes.further[..] else { panic!("{:?}", read.substitutes) };
    assert_eq!((postgres.once, postgres.substitute.within), (false, Duration::from_mins(3)));
    assert_eq!((migrate.once, migrate.substitute.within), (true, Duration::from_secs(20)));
    let mount = &migrate.substitute.mounts[0];
    assert_eq!((mount.path.as_str(), mount.inside.as_str()), ("seed", "/seed"));
    let topics = Override { key: "pipeline.topics".into(), value: "[\"b\", \"a\"]".into() };
    assert_eq!(Scenario::read("x.toml", GOOD, &[topics]).unwrap().substitutes.topics, ["a", "b"]);
    for (change, problem) in [
        (("component.migrate.ready", "done"), "component.migrate.ready: has no meaning with `once`"),
        (("component.migrate.within", "0s"), "component.migrate.within: must be longer than nothing"),
        (("component.migrate.mounts", "{ \"/x\" = \"../x\" }"), "component.migrate.mounts: `../x` must be a path from"),
        (("component.migrate.mounts", "{ \"/x\" = \"/etc\" }"), "component.migrate.mounts: `/etc` must be a path from"),
        (("component.migrate.mounts", "{ x = \"seed\" }"), "component.migrate.mounts: `x` must be a whole path"),
        (
            ("component.migrate.environment", "{ A = \"{KAFKA_HOST}\" }"),
            "nor is it a variable that every image is told",
        ),
        (("component.postgres.name", "exporter"), "`exporter` is what a part of every run is called"),
        (
            ("pipeline.topics", "[\"clickhouse_events_json\"]"),
            "pipeline.topics: `clickhouse_events_json` is a topic that",
        ),
        (("pipeline.topics", "[\"a\", \"a\"]"), "pipeline.topics: names a topic twice"),
        (("pipeline.topics", "[\"a b\"]"), "pipeline.topics: `a b` names no topic"),
        (("pipeline.topics", "a"), "pipeline.topics: must be a list of names"),
    ] {
        let told = problems_with(&format!("{GOOD}{SEEDED}"), &[change]);
        assert!(told.iter().any(|line| line.contains(problem)), "{problem}\n{told:#?}");
    }
    let late =
        SEEDED.to_owned() + "[[component]]\nname = \"late\"\nimage = \"a\"\nenvironment = { A = \"{migrate}\" }\n";
    let told = problems(&format!("{GOOD}{late}"));
    assert!(told.iter().any(|line| line.contains("`{migrate}` is no component before this one")), "{told:#?}");
}

#[test]
fn faults_reach_every_ingester_and_every_component_that_lasts() {
    let fault = |target: &str| {
        let lines = format!("[[fault]]\nat = \"1s\"\naction = \"kill\"\ntarget = {target}\n");
        format!("{GOOD}{SEEDED}{lines}")
    };
    let three = [("pipeline.ingesters", "3")];
    let changes = three.map(|(key, value)| Override { key: key.into(), value: value.into() });
    let listed = "[\"ingester\", \"ingester-3\", \"postgres\"]";
    let read = Scenario::read("x.toml", &fault(listed), &changes).unwrap();
    let expected = [Target::Ingester, Target::Named("ingester-3"), Target::Named("postgres")];
    assert_eq!(read.faults[0].targets, expected);
    let drawn =
        crate::faults::timeline(&[Fault { times: 50, every: Duration::from_secs(9), ..read.faults[0].clone() }], 1);
    assert!(expected.iter().all(|target| drawn.iter().any(|fault| fault.target == *target)), "each is drawn");
    assert!(drawn.iter().all(|fault| expected.contains(&fault.target)), "and nothing else");

    let there = "or \"events-topic\" or \"ingester-2\" or \"ingester-3\" or \"postgres\"";
    for target in ["\"ingester-4\"", "\"redis\"", "\"migrate\""] {
        let told = problems_with(&fault(target), &three);
        let is_it = |line: &String| line.contains("fault.0.target: must be \"capture\"") && line.ends_with(there);
        assert!(told.iter().any(is_it), "{target}: {told:#?}");
    }
    assert!(!problems(&fault("\"ingester-2\"")).is_empty(), "there is one ingester");
    let filled = fault("\"postgres\"").replace("\"kill\"", "\"fill_disk\"\nfor = \"1s\"");
    let told = problems(&filled);
    let refused = "`fill_disk` cannot be done to postgres, which is a component; it can be done to: kafka, clickhouse";
    assert!(told.iter().any(|line| line.ends_with(refused)), "{told:#?}");
}

#[test]
fn plugins_are_read_and_what_makes_no_sense_is_refused() {
    use plugin::Action;
    let with = |lines: &str| format!("{GOOD}\n[[plugin]]\nname = \"p\"\n{lines}\n");
    let read = |lines: &str| {
        let scenario = Scenario::read("x.toml", &with(lines), &[]);
        scenario.unwrap_or_else(|problems| panic!("{lines}: {problems}")).plugins.remove(0)
    };
    let drop = read("action = \"drop\"");
    let all = Plugin {
        name: "p".into(),
        teams: Vec::new(),
        events: Vec::new(),
        property: None,
        of_a_million: 1_000_000,
        action: Action::Drop,
    };
    assert_eq!(drop, all);
    let some = read("teams = \"main\"\nevents = [\"a\", \"b\"]\nshare = \"2.5%\"\naction = \"slow\"\ndelay = \"1s\"");
    assert_eq!((some.teams, some.events.len(), some.of_a_million), (vec!["main".to_owned()], 2, 25_000));
    assert_eq!(some.action, Action::Slow(Duration::from_secs(1)));
    let set = read("where = { property = \"k\", equals = 5 }\naction = \"set\"\nkey = \"n\"\nvalue = { a = [1.50] }");
    assert_eq!(set.property, Some(("k".into(), 5.into())));
    assert_eq!(set.action, Action::Set("n".into(), serde_json::json!({"a": [1.5]})));
    let throw = read("action = \"throw\"\nkey = \"n\"\nvalue = \"x\"");
    assert_eq!(throw.action, Action::Throw(Some(("n".into(), "x".into()))));
    for (lines, expected) in [
        ("action = \"explode\"", "plugin.p.action: must be \"drop\" or \"set\""),
        ("", "plugin.p.action: is missing"),
        ("teams = \"shop\"\naction = \"drop\"", "plugin.p.teams: no traffic is of the team `shop`; there are: main"),
        ("teams = []\naction = \"drop\"", "plugin.p.teams: is empty"),
        ("share = \"0%\"\naction = \"drop\"", "plugin.p.share: must be at least"),
        ("action = \"set\"\nkey = \"a\"", "plugin.p.value: is missing"),
        ("action = \"set\"\nkey = \"assay_id\"\nvalue = 1", "plugin.p.key: `assay_id` says whose event"),
        ("action = \"set\"\nkey = \"$plugins_failed\"\nvalue = 1", "plugin.p.key: `$plugins_failed` is written by"),
        ("action = \"rename\"\nkey = \"a\"\nto = \"a\"", "plugin.p.to: is the key that"),
        ("action = \"throw\"\nkey = \"a\"", "plugin.p.key: what it has set before it throws"),
        ("action = \"slow\"\ndelay = \"0s\"", "plugin.p.delay: must be at least a millisecond"),
        ("action = \"drop\"\nkey = \"a\"", "plugin.p.key: there is no such key"),
        ("where = { property = \"a\" }\naction = \"drop\"", "plugin.p.where.equals: is missing"),
        ("where = { property = \"a\", equals = 1.5 }\naction = \"drop\"", "plugin.p.where.equals: must be a whole"),
        ("action = \"drop\"\n[[plugin]]\nname = \"p\"\naction = \"drop\"", "plugin.p.name: is another plugin's"),
    ] {
        let problems = problems(&with(lines));
        let found =
            problems.iter().any(|line| line.split_once(": ").is_some_and(|(_, what)| what.starts_with(expected)));
        assert!(found && problems.len() == 1, "{expected}\n{problems:#?}");
    }
    let plant = |name: &str, action: &str| {
        let defect = format!("[[planted_defect]]\nname = \"{name}\"\nevents = 4");
        problems(&format!("{}\n{defect}", with(action)))
    };
    assert_eq!(plant("plugin_throw_drops", "action = \"throw\""), Vec::<String>::new());
    assert!(
        plant("plugin_leaks_state", "action = \"throw\"")[0].contains("needs a [[plugin]] whose action is \"set\"")
    );
}

#[test]
fn a_team_may_drop_what_is_old() {
    let with = |line: &str| GOOD.replace("[[traffic]]", &format!("[[traffic]]\n{line}"));
    let read = |line: &str| Scenario::read("x.toml", &with(line), &[]).unwrap();
    let limited = read("drop_events_older_than = \"1h\"");
    assert_eq!(limited.traffic[0].drop_events_older_than, Some(Duration::from_hours(1)));
    assert_eq!(crate::plan::age_limits(&limited), [(1, 3_600)].into());
    assert_eq!(crate::plan::age_limits(&read("")), [].into());
    let nobodys = read("unknown_token = true");
    let (token, _) = crate::plan::own_project(&nobodys, &nobodys.traffic[0], RunId::new(7));
    assert!(!crate::plan::teams(&nobodys, RunId::new(7)).contains_key(&token), "{token}");
    let other = |lines: &str| {
        let more = "arrival = { shape = \"constant\", rate = \"1/s\" }\nevents = 1\nname = \"other\"";
        format!("{}\n[[traffic]]\n{more}\n{lines}", with("drop_events_older_than = \"1h\""))
    };
    for fine in ["team = \"shop\"", "drop_events_older_than = \"1h\"", "over_quota = true"] {
        assert_eq!(problems(&other(fine)), [""; 0], "{fine}");
    }
    let old = "drop_events_older_than = \"1h\"\n[[planted_defect]]\nname = \"keep_too_old\"\nevents = 1";
    assert_eq!(problems(&other(old)), [""; 0]);
    for (source, told) in [
        (with("drop_events_older_than = \"1500ms\""), "must be whole seconds, one at least"),
        (with("drop_events_older_than = \"0s\""), "must be whole seconds, one at least"),
        (with("drop_events_older_than = \"1h\"\nover_quota = true"), "comes so far that its age is looked at"),
        (with("drop_events_older_than = \"1h\"\nunknown_token = true"), "comes so far that its age is looked at"),
        (with("unknown_token = true\nover_quota = true"), "there is no project that could be"),
        (with("unknown_token = true\nteam = \"shop\""), "has no other team"),
        (other(""), "is a setting of the team `main`: `app` and `other` must say the same"),
        (other("drop_events_older_than = \"2h\""), "`app` and `other` must say the same"),
        (
            with("drop_events_older_than = \"1h\"").replace("[pipeline]", "[pipeline]\ndialect = \"2024\""),
            "came in 2025",
        ),
        (with("") + "\n[[planted_defect]]\nname = \"keep_too_old\"\nevents = 1", "needs traffic whose team has"),
    ] {
        let problems = problems(&source);
        assert!(problems.len() == 1 && problems[0].contains(told), "{told}\n{problems:#?}");
    }
}

#[test]
fn overflow_has_limits_and_came_in_2024() {
    let with = |line: &str| GOOD.replace("[pipeline]", &format!("[pipeline]\n{line}"));
    let read = |line: &str| Scenario::read("x.toml", &with(line), &[]).unwrap().pipeline.overflow;
    assert_eq!(read(""), None);
    let limits = "overflow = { per_second = 100, burst = 1000 }";
    assert_eq!(read(limits), Some((100, 1_000)));
    assert!(problems(&with("overflow = { per_second = 100 }"))[0].contains("pipeline.overflow.burst: is missing"));
    assert!(problems(&with(&format!("{limits}\ndialect = \"2021\"")))[0].contains("pipeline.overflow: came with"));
}

#[test]
fn what_overflows_may_keep_its_key_since_2026() {
    let with = |line: &str| GOOD.replace("[pipeline]", &format!("[pipeline]\n{line}"));
    let read = |line: &str| Scenario::read("x.toml", &with(line), &[]).unwrap().pipeline.preserves_locality;
    let limits = "overflow = { per_second = 100, burst = 1000, preserve_locality = true }";
    assert!(read(limits) && !read(&limits.replace("true", "false")) && !read(""));
    let problems = problems(&with(&format!("{limits}\ndialect = \"2024\"")));
    assert!(problems.len() == 1 && problems[0].contains("`preserve_locality` came later"), "{problems:#?}");
}

#[test]
fn restrictions_are_for_few_persons_with_ids_as_they_are() {
    const ALL: [(&str, &str); 3] = [
        ("traffic.app.restricted.drop_event", "10%"),
        ("traffic.app.restricted.forced_key", "20%"),
        ("traffic.app.persons.count", "900"),
    ];
    let with = |key: &str, value: &str| problems_with(GOOD, &[ALL[0], ALL[1], ALL[2], (key, value)]).concat();
    assert_eq!(problems_with(GOOD, &ALL), Vec::<String>::new());
    for (key, value, told) in [
        ("traffic.app.restricted.redirect_to_dlq", "71%", "100% at most"),
        ("traffic.app.persons.count", "1001", "leave it at 1000 of them"),
        ("traffic.app.content.hostile", "5%", "distinct ids as they are"),
        ("traffic.app.groups.identify", "5%", "distinct ids as they are"),
        ("traffic.app.names", "[\"$exception\"]", "distinct ids as they are"),
        ("pipeline.dialect", "\"2024\"", "`restricted` came in 2025"),
        ("pipeline.historical_from_days", "2", "known to capture alone"),
    ] {
        assert!(with(key, value).contains(told), "{key}: {}", with(key, value));
    }
}

#[test]
fn bombs_are_for_those_who_unpack_gzip() {
    let bombs = |endpoint: &str, compression: &str| {
        let said = [
            ("traffic.app.client_faults.gzip_bomb", "5%"),
            ("traffic.app.endpoint", endpoint),
            ("traffic.app.compression", compression),
        ];
        problems_with(GOOD, &said).concat().contains("gzip_bomb")
    };
    for (endpoint, compression, refused) in [
        ("batch", "none", false),
        ("e", "gzip-js", false),
        ("e", "base64", true),
        ("v1", "gzip", false),
        ("v1", "none", true),
        ("test/black_hole", "gzip", true),
    ] {
        assert_eq!(bombs(endpoint, compression), refused, "{endpoint} {compression}");
    }
}

#[test]
fn what_overflows_says_nothing_of_groups() {
    let with = |pipeline: &str, groups: &str| {
        let source = GOOD.replace("[pipeline]", &format!("[pipeline]\n{pipeline}"));
        source.replace("endpoint = \"batch\"\n", &format!("endpoint = \"batch\"\ngroups = {{ {groups} }}\n"))
    };
    let (limits, identify) = ("overflow = { per_second = 100, burst = 1000 }", "identify = \"1%\"");
    let extras = Scenario::read("x.toml", &with("", identify), &[]).unwrap().traffic[0].extras.clone();
    assert_eq!((extras.group_identify, extras.group_types, extras.groups), (Share::new(0.01).unwrap(), 2, 100));
    assert!(Scenario::read("x.toml", &with(limits, "share = \"1%\""), &[]).is_ok());
    let problems = problems(&with(limits, identify));
    assert!(problems.len() == 1 && problems[0].contains("leave `groups.identify` out of `app`"), "{problems:#?}");
}

#[test]
fn a_search_says_its_rates_and_its_steps() {
    const SEARCH: &str = "\n[capacity]\nfrom = \"3000/s\"\nto = \"8000/s\"\n";
    let with = |lines: &str| format!("{GOOD}\n{SEARCH}{lines}\n");
    let read = |lines: &str| Scenario::read("x.toml", &with(lines), &[]).unwrap();
    let one = read("").capacity.unwrap();
    assert_eq!((one.from, one.to, one.idle, one.steps.len()), (3_000, 8_000, None, 1));
    let steps = read(
        "[[step]]\ningesters = 2\npartitions = 8\n[[step]]\npartitions = 16\n[[step]]\nsize = 3\nname = \"x\"\n\
         [[step]]\nprocessors = 0.5\npartitions = 2\n",
    );
    let told: Vec<_> = steps
        .capacity
        .as_ref()
        .unwrap()
        .steps
        .iter()
        .map(|step| (step.name.as_str(), step.size, step.pipeline.ingesters, step.pipeline.partitions))
        .collect();
    let expected =
        [("ingesters 2", 2.0, 2, 8), ("partitions 16", 16.0, 1, 16), ("x", 3.0, 1, 4), ("processors 0.5", 0.5, 1, 2)];
    assert_eq!(told, expected);
    let told = steps.needs_containers(|_| Err("no group can be made".into())).unwrap();
    assert!(told.contains("`pipeline.processors`; no group can be made"), "a step may need them alone: {told}");
    assert_eq!(steps.needs_containers(|_| Ok(())), None, "child processes may have quotas");
    let told = read("[[step]]\nprocessors = 0.5\n[[step]]\nprocessors = 2\n[[step]]\nprocessors = 0.25\n");
    let told = told.needs_containers(|most| Err(format!("{most} were asked for"))).unwrap();
    assert!(told.contains("; 2 were asked for"), "the most that any step has: {told}");
    assert_eq!(read("").needs_containers(|_| Err("nobody asks".into())), None);
    let fault = "[[fault]]\nat = \"1s\"\ntarget = \"ingester\"\naction = \"kill\"\n";
    for (source, problem) in [
        (with("[[step]]\nmemory = \"1GiB\""), "step.0.size: is missing"),
        (with("[[step]]\ningesters = 9"), "step.0.ingesters: "),
        (with(fault), "capacity: is that of a sound pipeline"),
        (with("").replace("3000/s\"\nto", "300/s\"\nto"), "takes 29956"),
        (with("").replace("[capacity]", "[capacity]\nresolution = \"0.1%\""), "must lie from 1% to 100%"),
        (with("[[step]]\ningesters = 2").replace("[expect]", "[expect]\nlinear = \"80%\""), "two [[step]] tables"),
        (GOOD.replace("[expect]", "[expect]\ncapacity = \"80/s\""), "are for a scenario with a [capacity] section"),
        (GOOD.to_owned() + "\n[[step]]\ningesters = 2\n", "add a [capacity] section"),
    ] {
        let told = problems(&source);
        assert!(told.iter().any(|line| line.contains(problem)), "{problem}\n{told:#?}");
    }
}

#[test]
fn events_are_on_one_server_or_on_shards_where_nothing_is_planted_in_the_sink() {
    let with = |lines: &str, more: &str| GOOD.replace("[pipeline]", &format!("[pipeline]\n{lines}")) + more;
    let shards = |lines: &str| Scenario::read("x.toml", &with(lines, ""), &[]).unwrap().pipeline.shards;
    assert_eq!((shards(""), shards("shards = 1"), shards("shards = 2")), (1, 1, 2));
    let planted = |name: &str| format!("\n[[planted_defect]]\nname = \"{name}\"\nevents = 1\n");
    assert_eq!(problems(&with("shards = 2", &planted("ack_then_drop"))), [""; 0]);
    assert_eq!(problems(&with("shards = 1", &planted("filter_in_view"))), [""; 0]);
    for (source, told) in [
        (with("shards = 2", &planted("filter_in_view")), "leave out `pipeline.shards`"),
        (with("shards = 3", ""), "pipeline.shards: must be a whole number from 1 to 2"),
    ] {
        let problems = problems(&source);
        assert!(problems.len() == 1 && problems[0].contains(told), "{told}\n{problems:#?}");
    }
}

#[test]
fn a_budget_is_for_the_pipeline_alone_and_every_share_of_it_starts_a_container() {
    const SEARCH: &str = "\n[capacity]\nfrom = \"3000/s\"\nto = \"8000/s\"\n";
    const BUDGET: &str = "budget = { processors = 1, memory = \"60MiB\" }";
    let with = |lines: &str, more: &str| GOOD.replace("[pipeline]", &format!("[pipeline]\n{lines}")) + more;
    let read = |lines: &str, more: &str| Scenario::read("x.toml", &with(lines, more), &[]).unwrap();
    let needs = |lines: &str, more: &str| read(lines, more).needs_containers(|_| Ok(())).unwrap_or_default();
    assert_eq!(read(BUDGET, "").pipeline.memory_budget(), Some(60 << 20));
    assert_eq!(needs("budget = { processors = 1 }", ""), "", "child processes keep to processors");
    assert_eq!(needs(BUDGET, SEARCH), "", "a search judges their memory");
    assert!(needs(BUDGET, "").contains("`pipeline.budget.memory`"), "nobody else does");

    let substrate = read("substrate = { memory = \"2GiB\" }\nmemory = \"1GiB\"", "").pipeline;
    let told = substrate.substrate.map(|limits| (limits.processors, limits.memory));
    assert_eq!((told, substrate.memory), (Some((None, Some(2 << 30))), Some(1 << 30)));
    assert!(needs("substrate = { processors = 1 }", "").contains("`pipeline.substrate`"));

    let other = "\n[pipeline.capture]\nimage = \"posthog/capture:1\"\n";
    assert_eq!(problems(&with(BUDGET, other)), [""; 0], "the kernel holds any image to it");
    let rebalance = "\n[[fault]]\nat = \"1s\"\ntarget = \"ingester\"\naction = \"rebalance\"\nfor = \"1s\"\n";
    let small = BUDGET.replace("60MiB", "14MiB");
    for (source, told) in [
        (with(BUDGET, rebalance), "has no share for the ingester that joins"),
        (with(&format!("{small}\ningesters = 2"), ""), "leaves each of 3 components less than 6MiB"),
        (with(&small, &format!("{SEARCH}[[step]]\ningesters = 8\n")), "leaves each of 9 components less than 6MiB"),
    ] {
        let problems = problems(&source);
        assert!(problems.len() == 1 && problems[0].contains(told), "{told}\n{problems:#?}");
    }
    assert_eq!(problems(&with(&small, "")), [""; 0]);
}

#[test]
fn exports_are_read_and_refused_where_nothing_exports() {
    let with = |more: &str| format!("{GOOD}\n{more}");
    let plugin = "[[plugin]]\nname = \"crm\"\naction = \"export\"\n";
    let read = |more: &str| Scenario::read("x.toml", &with(more), &[]).unwrap();
    assert_eq!(read("").exports, None);
    let plain = read(plugin).exports.unwrap();
    assert_eq!((plain.fail.get(), plain.back_off), (0.0, Duration::from_secs(3)));
    let set = read(&format!("{plugin}[exports]\nfail = \"5%\"\nback_off = \"200ms\"\n")).exports.unwrap();
    assert_eq!((set.fail.get(), set.back_off), (0.05, Duration::from_millis(200)));
    let defect = |name: &str| format!("[[planted_defect]]\nname = \"{name}\"\nevents = 1\n");
    let kill = "[[fault]]\nat = \"1s\"\ntarget = \"exporter\"\naction = \"kill\"\n";
    read(&format!("{plugin}{kill}"));
    let promise = |more: &str| GOOD.replace("[expect]", &format!("[expect]\n{more}"));
    assert!(
        (Scenario::read("x.toml", &format!("{}\n{plugin}", promise("exported = \"99%\"")), &[])
            .unwrap()
            .expect
            .targets
            .exported
            - 0.01)
            .abs()
            < 1e-12
    );
    for (source, expected) in [
        (with("[exports]\nfail = \"5%\""), "exports.fail: is about plugins that export, and there is none"),
        (with(&format!("{plugin}[exports]\nfail = \"50%\"")), "exports.fail: must be at most 40%"),
        (with(&format!("{plugin}[exports]\nback_off = \"0s\"")), "exports.back_off: must be at least a millisecond"),
        (
            with(&format!("{plugin}[exports]\nlose = \"5%\"")),
            "exports.lose: there is no such key; known here: back_off, fail",
        ),
        (with(kill), "fault: there is no exporter unless a [[plugin]]"),
        (
            with(&defect("export_unmatched")),
            "planted_defect: `export_unmatched` needs a [[plugin]] whose action is \"export\"",
        ),
        (
            with(&format!("{plugin}{}", defect("drop_failed_export"))),
            "planted_defect: `drop_failed_export` needs a webhook that fails",
        ),
        (promise("exported = \"99%\""), "expect.exported: needs a [[plugin]]"),
        (
            format!("{}\n{plugin}", promise("may_stop_early = true")),
            "expect.may_stop_early: stops by what the store shows",
        ),
        (with(&plugin.replace("export", "exports")), "plugin.crm.action: must be \"drop\" or \"set\" or"),
    ] {
        let problems = problems(&source);
        let found =
            problems.iter().any(|line| line.split_once(": ").is_some_and(|(_, what)| what.starts_with(expected)));
        assert!(found, "{expected}\n{problems:#?}");
    }
}
