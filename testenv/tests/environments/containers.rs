//! What can go wrong with images and containers alone: each is one clear error, and nothing is left behind.

use std::process::Command;

use libtest_mimic::Trial;
use testenv::containers::{
    container::Limits,
    images::{Image, Images, Part},
    substrate::{SubstrateOptions, up},
};

use super::bench::{Bench, Kind, images, on_a_runtime};

pub fn tests() -> Vec<Trial> {
    crate::trials![
        an_image_that_cannot_be_had_is_named,
        an_image_that_serves_something_else_is_named,
        an_image_that_ends_at_once_is_named,
        who_uses_more_memory_than_it_may_is_told,
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
