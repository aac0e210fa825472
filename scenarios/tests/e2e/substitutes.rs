//! Other people's images in the pipeline's places, played by stand-ins: images that hold `assay` for another purpose.

use std::fs;

use super::harness::{Bench, alone, in_containers};

/// A database that takes a while to set itself up, and a capture and an ingester that end unless they find it at the place that
/// their variables say.
const SUBSTITUTES: &str = r#"
[[component]]
name        = "first"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "sleep 1; echo the first one serves >&2; exec sleep 600"]
ready       = "first one serves"

[[component]]
name        = "second"
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "getent hosts $FIRST && echo serving && exec sleep 600"]
environment = { FIRST = "{first}" }
ready       = "serving"

[pipeline.capture]
image       = "assay/clickhouse:local"
entry_point = "/bin/sh"
command     = ["-c", "getent hosts ${URL#*@} && test -n \"$TOPIC\" && unset KAFKA_TOPIC && KAFKA_TOPIC=$TOPIC exec /usr/local/bin/assay serve capture"]
environment = { URL = "nobody@{second}", TOPIC = "{KAFKA_TOPIC}" }

[pipeline.ingester]
image       = "assay/clickhouse:local"
entry_point = "/usr/local/bin/assay"
command     = ["serve", "ingester"]
ready       = "ready 0"
"#;

#[test]
fn other_images_take_the_pipelines_places_in_order_and_are_judged_like_it() {
    if !in_containers() {
        let bench = Bench::new(SUBSTITUTES);
        let output = bench.run_command().output().unwrap();
        let told = unwrapped(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(
            told.contains("the image assay/clickhouse:local for first cannot be had where components are child"),
            "{told}"
        );
        return;
    }
    let _room = alone();
    let bench = Bench::new(SUBSTITUTES);
    let run = super::harness::Finished::new(bench.run_command().output().unwrap(), bench.latest());
    assert_eq!(run.code, Some(0), "{}", run.told());
    assert_eq!(run.count("visible"), 6_000);
    let log = |name: &str| fs::read_to_string(run.directory.as_ref().unwrap().join("logs").join(name)).unwrap();
    assert!(log("second.log").contains("-first"), "it found the first one: {}", log("second.log"));
    assert!(log("capture.log").contains("-second"), "{}", log("capture.log"));
    assert!(log("ingester.log").contains("partitions are this consumer's"), "{}", log("ingester.log"));
}

#[test]
fn an_image_that_cannot_be_had_and_one_that_ends_are_named_before_anything_is_sent() {
    if !in_containers() {
        return;
    }
    let _room = alone();
    for (change, parts) in [
        (
            "pipeline.capture.image=localhost:1/no/capture:1",
            &["localhost:1/no/capture:1 for capture is not on this machine", "the scenario names it"][..],
        ),
        (
            "pipeline.capture.command=[\"-c\", \"echo nothing to be done; exit 3\"]",
            &[
                "capture (image assay/clickhouse:local) must listen on port",
                "and ended by itself (exit code 3)",
                "nothing to be done",
            ],
        ),
        (
            "pipeline.ingester.environment={A=\"{NO_SUCH}\"}",
            &["ingester: `{NO_SUCH}` in its variables stands for nothing; known are", "KAFKA_HOSTS"],
        ),
    ] {
        let bench = Bench::new(SUBSTITUTES);
        let output = bench.run_command().args(["--set", change]).output().unwrap();
        let told = unwrapped(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(69), "{told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        assert!(!bench.latest().unwrap().join("ledger").exists(), "something was sent");
    }
}

/// What was told, without the frame and the line breaks of an error.
fn unwrapped(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || "│├╰─▶×".contains(c)).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
