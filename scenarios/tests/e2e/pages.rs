//! report.html in a real browser: without a complaint on its console, and not wider than a telephone.

use std::{fs, path::Path, process::Command};

use super::harness::{Bench, alone};

/// The page in a frame as wide as a telephone, all of it unfolded, and what is measured there.
const FRAME: &str = r#"<!doctype html><body><iframe id="page" width="380" height="4000" src="report.html"></iframe>
<script>addEventListener("load", () => {
  const inner = page.contentDocument;
  for (const details of inner.querySelectorAll("details")) details.open = true;
  const places = (what) => [...inner.querySelectorAll(what)].map((element) => element.getBoundingClientRect());
  const tall = places("tbody th").filter((head) => head.width > 0 && head.height > 6 * head.width);
  document.body.dataset.told = `width ${inner.documentElement.scrollWidth}, sections ${places("section").length}, tall ${tall.length}`;
});</script>"#;

/// A browser that draws a page, runs its scripts and tells what becomes of it: its document, and its log.
///
/// It has the machine for itself: for seconds it takes both processors, and a run beside it would miss its schedule.
fn browse(page: &Path) -> Option<(String, String)> {
    let _room = alone();
    let must = std::env::var_os("ASSAY_CHROMIUM").is_some_and(|value| value == "require");
    let output = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
        ])
        .args(["--virtual-time-budget=5000", "--window-size=1000,900", "--dump-dom"])
        .arg(format!("file://{}", page.display()))
        .output();
    assert!(output.is_ok() || !must, "chromium is not there, and ASSAY_CHROMIUM=require");
    let output = output.ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((text(&output.stdout), text(&output.stderr)))
}

/// What a page wrote to the console.
fn complaints(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("CONSOLE")).collect()
}

#[test]
fn a_report_is_read_in_a_browser_and_on_a_telephone() {
    let defects = "\n[[fault]]\nat = \"3s\"\ntarget = \"ingester\"\naction = \"kill\"\n\
                   \n[[planted_defect]]\nname = \"ack_then_drop\"\nevents = 60\n\
                   \n[[planted_defect]]\nname = \"drop_property\"\nproperty = \"price\"\nevents = 40\n";
    let bench = Bench::new(defects);
    let run = bench.run_shared();
    assert_eq!(run.code, Some(1), "{}", run.told());
    let directory = run.directory.as_ref().unwrap();
    let Some((page, log)) = browse(&directory.join("report.html")) else { return };
    assert_eq!(complaints(&log), [""; 0]);
    // Its script has run, and what is needed stands in it.
    assert!(page.contains("class=\"scripted\"") && page.contains("id=\"runbook-lost\""), "{page}\n{log}");
    let frame = directory.join("frame.html");
    fs::write(&frame, FRAME).unwrap();
    let (framed, log) = browse(&frame).unwrap();
    assert_eq!(complaints(&log), [""; 0]);
    let told =
        framed.split_once("data-told=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(told, _)| told).unwrap();
    let width: u32 = told.strip_prefix("width ").and_then(|rest| rest.split_once(',')?.0.parse().ok()).unwrap();
    assert!(width <= 380, "{told}");
    assert!(told.ends_with("sections 7, tall 0"), "{told}");
    // A page that complains is heard, and one that is too wide is seen.
    let bad = page.replace("</body>", "<p style=\"width:900px\">.</p><script>console.error(\"bad\")</script></body>");
    fs::write(directory.join("report.html"), bad.replace("Content-Security-Policy", "x")).unwrap();
    let (framed, log) = browse(&frame).unwrap();
    assert!(complaints(&log).iter().any(|line| line.contains("bad")), "{log}");
    assert!(!framed.contains("data-told=\"width 380,") && framed.contains("data-told=\"width 9"), "{framed}");
}
