//! What is wrong is said, with what to do, and with the right exit code.

use std::{fs, net::TcpListener, path::Path, process::Output};

use super::harness::{Bench, alone, assay, in_containers};

/// The exit code, and everything on stderr in one line.
fn told(output: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&output.stderr);
    // Lines are broken and framed for people.
    let words: Vec<&str> = text.split_whitespace().filter(|word| !matches!(*word, "│" | "×" | "╰─▶" | "├─▶")).collect();
    (output.status.code(), words.join(" "))
}

fn says(output: &Output, code: i32, parts: &[&str]) {
    let (found, text) = told(output);
    assert_eq!(found, Some(code), "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

/// A folder with links to some programs, to be the whole PATH.
fn path_with(folder: &Path, programs: &[&str]) -> String {
    for program in programs {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|path| path.join(program))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(found.unwrap(), folder.join(program)).unwrap();
    }
    folder.display().to_string()
}

#[test]
fn a_wrong_command_line_is_64_and_not_2() {
    says(&assay(["rnu", "smoke"]).output().unwrap(), 64, &["unrecognized subcommand 'rnu'"]);
    says(&assay(["run"]).output().unwrap(), 64, &["required"]);
    assert_eq!(assay(["--help"]).output().unwrap().status.code(), Some(0));
    assert_eq!(assay(["--version"]).output().unwrap().status.code(), Some(0));
}

#[test]
fn a_scenario_with_a_typo_is_told_with_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("typo.toml");
    let text = include_str!("../../library/smoke.toml").replace("events   =", "evnts    =").replace("99.99%", "99.99");
    fs::write(&file, text).unwrap();
    for command in ["run", "validate"] {
        let parts =
            ["typo.toml:11: traffic.app.evnts: there is no such key; did you mean `events`?", "expect.complete"];
        says(&assay([command]).arg(&file).output().unwrap(), 64, &parts);
    }
    says(&assay(["run", "smok"]).output().unwrap(), 64, &["the scenario smok cannot be read", "smoke"]);
    assert_eq!(assay(["validate", "smoke"]).output().unwrap().status.code(), Some(0));
}

#[test]
fn the_library_is_listed() {
    let output = assay(["list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let listed = String::from_utf8_lossy(&output.stdout);
    assert!(listed.lines().nth(1).is_some_and(|line| line.starts_with("smoke ")), "{listed}");
}

#[test]
fn an_unwritable_output_folder_is_64() {
    let bench = Bench::new("");
    fs::write(bench.out(), "a file, not a folder").unwrap();
    says(&bench.run_command().output().unwrap(), 64, &["cannot be made", "--out DIR"]);
}

#[test]
fn missing_tools_are_69() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let run = |programs: &[&str], name: &str| {
        let bin = folder.path().join(name);
        fs::create_dir(&bin).unwrap();
        let bench = Bench::new("");
        let path = path_with(&bin, programs);
        bench
            .run_command()
            .args(["--env", "embedded"])
            .env("PATH", path)
            .env_remove("JAVA_HOME")
            .env("ASSAY_CACHE", &cache)
            .output()
            .unwrap()
    };
    says(&run(&[], "none"), 69, &["`java` is not there", "install Java 17"]);
    says(&run(&["java"], "java"), 69, &["`mvn` is not there", "install Maven"]);
}

#[test]
fn where_neither_environment_can_be_had_auto_tells_what_was_tried_for_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_with(folder.path(), &[]);
    let run = |docker: Option<&str>, image: &str| {
        let bench = Bench::new("");
        let mut command = bench.run_command();
        command.args(["--env", "auto", "--image", image]);
        command.env("PATH", &path).env_remove("JAVA_HOME").env("ASSAY_CACHE", folder.path().join("cache"));
        if let Some(docker) = docker {
            command.env("DOCKER_HOST", docker);
        }
        let output = command.output().unwrap();
        assert!(bench.latest().is_none_or(|run| !run.join("ledger").exists()), "something was sent");
        output
    };
    let embedded = ["neither environment can be had. Tried for embedded: `java` is not there", "install Java 17"];
    let nowhere = run(Some("unix:///nowhere/docker.sock"), "kafka=apache/kafka:4.1.0");
    says(&nowhere, 69, &embedded);
    says(&nowhere, 69, &["Tried for containers: no Docker daemon answers at unix:///nowhere/docker.sock"]);
    if in_containers() {
        // A daemon alone is not enough.
        let missing = run(None, "kafka=localhost:1/no/such-kafka:4");
        says(&missing, 69, &embedded);
        says(&missing, 69, &["Tried for containers: the image localhost:1/no/such-kafka:4 for kafka is not on"]);
    }
}

#[test]
fn a_used_port_is_69_and_named() {
    let _room = alone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    for option in ["--kafka-port", "--clickhouse-port"] {
        let bench = Bench::new("");
        let output = bench.run_command().args(["--env", "embedded", option, &port]).output().unwrap();
        says(&output, 69, &[&format!("port {port} is used by another program"), "leave the port out"]);
        assert_eq!(fs::read_dir(bench.tmp()).unwrap().count(), 0, "no data is left behind");
    }
}

#[test]
fn without_a_docker_daemon_containers_are_69_and_an_image_is_named_as_a_part_has_it() {
    let run = |arguments: &[&str], docker: &str| {
        let bench = Bench::new("");
        bench.run_command().args(arguments).env("DOCKER_HOST", docker).output().unwrap()
    };
    let nowhere = "unix:///nowhere/docker.sock";
    let parts = ["no Docker daemon answers at unix:///nowhere/docker.sock", "`--env embedded` needs none"];
    says(&run(&["--env", "containers"], nowhere), 69, &parts);
    says(&run(&["--set", "pipeline.memory=256MiB", "--env", "auto"], nowhere), 69, &parts);
    let parts = ["a limit on memory (`pipeline.memory`) cannot be had where components are child processes"];
    says(&run(&["--set", "pipeline.memory=256MiB", "--env", "embedded"], nowhere), 64, &parts);
    says(&run(&["--env", "containers", "--image", "kafak=apache/kafka"], nowhere), 64, &["there is no part `kafak`"]);
    says(&run(&["--env", "containers", "--image", "kafka=a b"], nowhere), 64, &["`a b` names no image"]);
    says(&run(&["--env", "containers", "--kafka-port", "9092"], nowhere), 64, &["for the embedded environment"]);
    says(&run(&["--set", "images.kafka=-x", "--env", "embedded"], nowhere), 64, &["`-x` names no image"]);
}

#[test]
fn what_is_no_run_directory_is_64() {
    let folder = tempfile::tempdir().unwrap();
    says(&assay(["check"]).arg(folder.path()).output().unwrap(), 64, &["holds no manifest.json"]);
    fs::write(folder.path().join("manifest.json"), "{\"schema\": 99}").unwrap();
    says(&assay(["check"]).arg(folder.path()).output().unwrap(), 64, &["is not what this version of Assay writes"]);
}

#[test]
fn a_missing_environment_file_is_64() {
    says(
        &assay(["run", "smoke", "--env", "/nowhere/environment.json"]).output().unwrap(),
        64,
        &["there is no environment file"],
    );
    says(&assay(["env", "status", "--file", "/nowhere/environment.json"]).output().unwrap(), 64, &["assay env up"]);
}

#[test]
fn a_target_is_on_this_machine_and_answers() {
    for (arguments, code, part) in [
        (&["--target", "http://192.0.2.1:1"][..], 64, "is another machine"),
        (&["--target", "127.0.0.1:1"], 69, "no connection to http://127.0.0.1:1"),
        (&["--target", "https://127.0.0.1:1/capture"], 64, "is no target"),
        (&["--target", "https://127.0.0.1:1", "--ca", "/nothing.pem"], 64, "/nothing.pem holds no certificate"),
    ] {
        let output = assay(["bench", "send", "--events", "1"]).args(arguments).output().unwrap();
        says(&output, code, &[part]);
    }
}
