//! What can go wrong with images and containers alone: each is one clear error, and nothing is left behind.

use std::{collections::BTreeMap, process::Command, time::Duration};

use libtest_mimic::Trial;
use testenv::containers::{
    container::Limits,
    images::{Image, Images, Part},
    substitute::{Substitute, Substitutes},
    substrate::{SubstrateOptions, up},
};
use testenv::environment::{budget::Budget, pipeline::PipelineOptions};

use super::bench::{Bench, Kind, images, on_a_runtime, pipeline_up};

pub fn tests() -> Vec<Trial> {
    crate::trials![
        an_image_that_cannot_be_had_is_named,
        an_image_that_serves_something_else_is_named,
        an_image_that_ends_at_once_is_named,
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
