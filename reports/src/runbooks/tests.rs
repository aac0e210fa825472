//! Whether each finding, check and reason has a page, and every page and link is where it says.

use std::{collections::BTreeSet, fs, path::Path};

use checkers::{
    checks::{self, Independence, Targets},
    reconcile::evidence::Evidence,
};

use super::*;

/// Every page has these parts, in this order.
const PARTS: [&str; 4] = ["## What it means", "## What usually causes it", "## How to look", "## What to do"];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks")
}

fn checks_of_nothing() -> Vec<CheckResult> {
    let targets = Targets {
        loss: 1e-4,
        correctness: 1e-4,
        exported: 1e-4,
        confidence: 0.95,
        independence: Independence::Event,
        p99_time_to_visible: None,
        may_stop_early: false,
    };
    checks::all(&Evidence::default(), &targets)
}

#[test]
fn every_class_check_and_reason_has_its_page() {
    for class in Class::ALL {
        assert!(page_for_class(class).is_some(), "{}", class.name());
    }
    for check in checks_of_nothing() {
        assert!(page_for(&check.name).is_some(), "{}", check.name);
    }
    for reason in Reason::ALL {
        assert!(page_for(reason.name()).is_some(), "{}", reason.name());
    }
    assert_eq!(page_for("no_such_thing"), None);
}

#[test]
fn every_file_is_a_page_and_is_in_the_index() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if let Some(name) = file.strip_suffix(".md").filter(|name| *name != "README") {
            assert!(page_for(name).is_some(), "{name} is not in the list of pages");
            assert!(index.contains(&format!("({name}.md)")), "{name} is not in the index");
            names.insert(name.to_owned());
        }
    }
    assert_eq!(names.len(), PAGES.len());
}

#[test]
fn every_page_has_its_parts_in_order() {
    for page in PAGES {
        assert!(page.text.starts_with("# ") && !page.title().is_empty(), "{}", page.name);
        let places: Vec<Option<usize>> = PARTS.iter().map(|part| page.text.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}: {places:?}", page.name);
        for (part, from) in PARTS.iter().zip(&places) {
            let body = &page.text[from.unwrap_or_default() + part.len()..];
            let body = body.split("\n## ").next().unwrap_or_default();
            assert!(body.trim().len() > 60, "{}: `{part}` says too little", page.name);
        }
    }
}

#[test]
fn every_link_resolves() {
    let mut links = 0;
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, text) in PAGES.iter().map(|page| (page.name, page.text)).chain([("README", index.as_str())]) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            links += 1;
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { format!("{name}.md") } else { file.to_owned() };
            let path = folder().join(&target);
            let linked = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}.md: {link}: {error}"));
            let is_there = anchor.is_empty() || anchors(&linked).any(|there| there == anchor);
            assert!(is_there, "{name}.md: {link}: no such heading");
        }
    }
    assert!(links > PAGES.len());
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[test]
fn a_doubt_leads_to_its_reason_and_a_fail_to_its_check() {
    let mut check = checks_of_nothing().remove(0);
    let page = |check: &CheckResult| page_for_check(check).map(|page| page.name);
    assert_eq!((check.name.as_str(), page(&check)), ("loss", Some("no_read")));
    check.reason = "3 of 9 events that must be visible are lost: more than the target allows".into();
    check.verdict = Verdict::Fail;
    assert_eq!(page(&check), Some("loss"));
    check.verdict = Verdict::Pass;
    assert_eq!(page(&check), None);
}

#[test]
fn what_a_verdict_tells_leads_to_a_page() {
    for (told, name) in [
        ("loss: 3 of 9 events that must be visible are lost: more than the target allows", Some("loss")),
        ("loss: 7 events are pending: missing, but too young to be called lost", Some("pending")),
        ("the environment failed: kafka ended", Some("environment_failed")),
        ("the pipeline used more memory than it may: capture ended by itself", Some("out_of_memory")),
        ("something that nobody has told before", None),
    ] {
        assert_eq!(page_for_told(told).map(|page| page.name), name, "{told}");
    }
}
