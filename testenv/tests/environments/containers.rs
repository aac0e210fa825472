//! What can go wrong with images and containers alone: each is one clear error, and nothing is left behind.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use libtest_mimic::Trial;
use testenv::containers::{
    container::Limits,
    docker::OWNER_LABEL,
    images::{Image, Images, Part},
    owner::Owner,
    substitute::{PATIENCE, Substitute, Substitutes},
    substrate::{SubstrateOptions, up},
};
use testenv::environment::{budget::Budget, pipeline::PipelineOptions};

use super::bench::{Bench, Kind, images, on_a_runtime, pipeline_up};

pub fn tests() -> Vec<Trial> {
    crate::trials![
        an_image_that_cannot_be_had_is_named,
        an_image_that_serves_something_else_is_named,
        an_image_that_ends_at_once_is_named,
        an_image_that_ends_is_named_at_once_with_its_port_and_what_it_said,
        an_image_that_listens_nowhere_is_named_with_its_port_and_what_it_said,
        what_dead_owners_left_goes_and_nothing_else,
        who_uses_more_memory_than_it_may_is_told,
        who_takes_more_than_its_share_of_the_budget_is_killed_and_told,
        an_image_by_another_name_is_used,
    ]
}

fn with(part: Part, image: &str) -> Images {
    let mut images = images();
    images.set(part, Image::try_from(image.to_owned()).unwrap());
    images
}

/// What is left of `run` on the daemon, as its own client says.
fn left(run: &str) -> String {
    let filter = format!("label=assay.run={run}");
    let lists = [&["container", "ls", "--all"][..], &["network", "ls"], &["volume", "ls"]];
    let lists = lists.map(|list| {
        let output = Command::new("docker").args(list).args(["--quiet", "--filter", &filter]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    });
    lists.concat()
}

/// The error that comes of `change`.
fn error(change: impl FnOnce(&mut SubstrateOptions)) -> String {
    let bench = Bench::new(Kind::Containers);
    let mut options = bench.containers();
    change(&mut options);
    let error = on_a_runtime(up(&options, &|_| ())).unwrap_err();
    assert_eq!(left(&options.run), "");
    assert!(!bench.data().exists());
    format!("{error}\n{}", error.help())
}

fn an_image_that_cannot_be_had_is_named() {
    let error = error(|options| options.images = with(Part::Kafka, "localhost:1/no/such-kafka:4"));
    assert!(error.contains("localhost:1/no/such-kafka:4 for kafka is not on this machine"), "{error}");
    assert!(error.contains("--image kafka="), "{error}");
}

fn an_image_that_serves_something_else_is_named() {
    let kafka = images().of(Part::Kafka).to_string();
    let error = error(|options| options.images = with(Part::Clickhouse, &kafka));
    assert!(
        error.contains(&format!("{kafka} cannot be clickhouse: it serves on 9092/tcp, not on 8123/tcp")),
        "{error}"
    );
    assert!(error.contains("same contract as clickhouse/clickhouse-server"), "{error}");
}

fn an_image_that_ends_at_once_is_named() {
    let plain = images().of(Part::Pipeline).to_string();
    let error = error(|options| options.images = with(Part::Clickhouse, &plain));
    assert!(error.contains("clickhouse"), "{error}");
    assert!(error.contains("cannot be started") || error.contains("ended by itself"), "{error}");
}

/// An image that runs a line of shell and listens nowhere; it goes with this.
struct Silent(String);

impl Silent {
    fn new(bench: &Bench, script: &str) -> Self {
        let name = format!("assay/{}:silent", bench.containers().run);
        let folder = bench.path().join("image");
        std::fs::create_dir(&folder).unwrap();
        let base = images().of(Part::Pipeline);
        let entry_point = format!("FROM {base}\nENTRYPOINT [\"/bin/sh\", \"-c\", \"{script}\"]\n");
        std::fs::write(folder.join("Dockerfile"), entry_point).unwrap();
        docker(&["build", "--quiet", "--tag", &name, &folder.display().to_string()]);
        Self(name)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "--no-prune", &self.0]).output();
    }
}

/// What Docker's own client answers.
fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn an_image_that_ends_is_named_at_once_with_its_port_and_what_it_said() {
    let image = Silent::new(&Bench::new(Kind::Containers), "echo nothing to be done; exit 3");
    let begun = Instant::now();
    let error = error(|options| {
        options.images = with(Part::Clickhouse, &image.0);
        // Much longer than it takes to see that it has ended.
        options.ready_within = Duration::from_mins(10);
    });
    assert!(begun.elapsed() < Duration::from_mins(2), "it was waited for");
    let expected = format!("clickhouse (image {}) must listen on port 8123 and ended by itself (exit code 3)", image.0);
    assert!(error.contains(&expected) && error.contains("nothing to be done"), "{error}");
    assert!(error.contains("`--image` and the scenario name another"), "{error}");
}

fn an_image_that_listens_nowhere_is_named_with_its_port_and_what_it_said() {
    let image = Silent::new(&Bench::new(Kind::Containers), "echo I listen nowhere; exec sleep 600");
    let error = error(|options| {
        // Both, so that neither is late because the machine is busy.
        options.images = with(Part::Clickhouse, &image.0);
        options.images.set(Part::Kafka, Image::try_from(image.0.clone()).unwrap());
        options.ready_within = Duration::from_secs(5);
    });
    // Which of them comes first is chance.
    let named =
        |part: &str, port: &str| error.contains(&format!("{part} (image {}) must listen on port {port}", image.0));
    assert!(named("clickhouse", "8123") || named("kafka", ""), "{error}");
    assert!(error.contains("and did not within 5 s") && error.contains("I listen nowhere"), "{error}");
}

fn what_dead_owners_left_goes_and_nothing_else() {
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let dead = Owner::of(child.id()).unwrap();
    let elsewhere = Owner { machine: "elsewhere".into(), ..dead.clone() };
    let bench = Bench::new(Kind::Containers);
    let run = format!("{}left", bench.containers().run);
    let image = images().of(Part::Pipeline).to_string();
    let label = format!("assay.run={run}");
    // Each owner's container runs, on a network of its own.
    let leave = |who: &str, owner: Option<&Owner>| {
        let name = format!("{run}-{who}");
        let owner = owner.map_or_else(|| "other=label".into(), |owner| format!("{OWNER_LABEL}={owner}"));
        let labels = ["--label", &label, "--label", &owner];
        docker(&[&["network", "create"][..], &labels, &[&name]].concat());
        docker(&[&["volume", "create"][..], &labels, &[&name]].concat());
        let mounted = format!("{name}:/mnt");
        let container = ["--name", &name, "--network", &name, "--volume", &mounted, &image, "sleep", "600"];
        docker(&[&["run", "--detach"][..], &labels, &container].concat());
    };
    leave("dead", Some(&dead));
    leave("here", Some(&Owner::this().unwrap()));
    leave("elsewhere", Some(&elsewhere));
    leave("nobody", None);
    // Only now: whoever opens Docker beside this test removes what it has left as well.
    child.kill().unwrap();
    child.wait().unwrap();
    // The environment is opened, and cannot be had: no more is needed.
    error(|options| options.images = with(Part::Kafka, "localhost:1/no/such-kafka:4"));
    let names = |list: &[&str], format: &str| {
        let filter = format!("label={label}");
        let names = docker(&[list, &["--filter", &filter, "--format", format]].concat());
        let mut names: Vec<String> = names.lines().map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let left = [
        names(&["container", "ls", "--all"], "{{.Names}}"),
        names(&["network", "ls"], "{{.Name}}"),
        names(&["volume", "ls"], "{{.Name}}"),
    ];
    let expected = ["elsewhere", "here", "nobody"].map(|who| format!("{run}-{who}"));
    for name in &expected {
        docker(&["container", "rm", "--force", name]);
        docker(&["network", "rm", name]);
        docker(&["volume", "rm", name]);
    }
    for left in left {
        assert_eq!(left, expected);
    }
}

fn who_uses_more_memory_than_it_may_is_told() {
    let error = error(|options| options.limits = Limits { processors: None, memory: Some(24 << 20) });
    assert!(error.contains("ended by itself") && error.contains("killed for using more memory than it may"), "{error}");
}

/// Of one processor and 128 MiB together. The ingester takes all the memory that it can get a moment after it has begun.
fn who_takes_more_than_its_share_of_the_budget_is_killed_and_told() {
    on_a_runtime(async {
        let bench = Bench::new(Kind::Containers);
        let substrate = bench.substrate().await;
        let takes_all = Substitute {
            image: images().of(Part::Pipeline),
            entry_point: Some("/bin/sh".into()),
            command: vec!["-c".into(), "echo begun; sleep 5; exec tail /dev/zero".into()],
            environment: BTreeMap::new(),
            port: None,
            ready: Some("begun".into()),
            within: PATIENCE,
            mounts: Vec::new(),
        };
        let options = PipelineOptions {
            budget: Budget { processors: Some(1), memory: Some(128 << 20) },
            substitutes: Substitutes { ingester: Some(takes_all), ..Substitutes::default() },
            ..bench.pipeline("share")
        };
        let pipeline = pipeline_up(&substrate, &options).await.unwrap();
        let held =
            |name: &str| pipeline.components().iter().find(|component| component.name() == name).unwrap().in_force();
        let (capture, ingester) = (held("capture"), held("ingester"));
        assert_eq!((capture.memory, ingester.memory), (Some(64 << 20), Some(64 << 20)));
        assert!(capture.only_on.is_some_and(|processors| processors.parse::<usize>().is_ok()));
        for component in substrate.components() {
            assert_eq!(component.in_force().to_string(), "no limit", "{}", component.name());
        }
        let ended = tokio::time::timeout(Duration::from_mins(1), pipeline.failed()).await.unwrap();
        assert_eq!((ended.name.as_str(), ended.out_of_memory), ("ingester", true), "{ended}");
        let told = ended.to_string();
        assert!(told.contains("signal 9, killed for using more memory than it may (64 MiB)"), "{told}");
        pipeline.down().await.unwrap();
        substrate.down().await;
    });
}

fn an_image_by_another_name_is_used() {
    on_a_runtime(async {
        let bench = Bench::new(Kind::Containers);
        let mut options = bench.containers();
        let name = format!("assay/{}:mine", options.run);
        let tagged = |arguments: &[&str]| Command::new("docker").args(arguments).status().unwrap().success();
        assert!(tagged(&["tag", &images().of(Part::Clickhouse).to_string(), &name]));
        options.images = with(Part::Clickhouse, &name);
        let up = up(&options, &|_| ()).await;
        let output = Command::new("docker")
            .args([
                "container",
                "ls",
                "--format",
                "{{.Image}}",
                "--filter",
                &format!("label=assay.run={}", options.run),
            ])
            .output()
            .unwrap();
        let used = String::from_utf8(output.stdout).unwrap();
        up.unwrap().down().await;
        assert!(tagged(&["rmi", "--no-prune", &name]));
        let mut used: Vec<&str> = used.lines().collect();
        used.sort_unstable();
        let kafka = images().of(Part::Kafka).to_string();
        let mut expected = [kafka.as_str(), name.as_str()];
        expected.sort_unstable();
        assert_eq!(used, expected);
        assert_eq!(left(&options.run), "");
    });
}
