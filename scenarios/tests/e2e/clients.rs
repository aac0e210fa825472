//! Clients that try again, and clients that fail, through the whole pipeline.

use super::harness::Bench;

/// A twentieth of the requests of each kind fails in each of these ways; in one traffic a library sends again what broke off.
const CLIENTS: &str = r#"
[[traffic]]
name    = "retrying"
events  = 3_000
arrival = { shape = "constant", rate = "500/s" }
batch   = { size = "1..20" }
client  = "posthog-python"
client_faults = { disconnect = "5%" }

[[traffic]]
name    = "failing"
events  = 3_000
arrival = { shape = "constant", rate = "500/s" }
batch   = { size = "1..5" }
client_faults = { disconnect = "5%", truncated_gzip = "5%", empty_body = "5%", garbage_body = "5%", slow_body = "5%", slow_over = "300ms", duplicate_headers = "5%", wrong_content_type = "5%" }
"#;

#[test]
fn what_libraries_send_again_is_stored_once_and_failures_on_purpose_are_no_shortfall() {
    let run = Bench::new(CLIENTS).run_shared();
    assert_eq!(run.code, Some(0), "{}", run.told());
    let [planned, acked, visible] = ["planned", "acked", "visible"].map(|name| run.count(name));
    let [rejected, indeterminate] = ["rejected", "indeterminate"].map(|name| run.count(name));
    assert_eq!((planned, acked + rejected + indeterminate, visible), (12_000, 12_000, acked), "{}", run.told());
    assert!(rejected > 240 && indeterminate > 60, "more than is allowed by default\n{}", run.told());
    assert_eq!(run.count("rejected_on_purpose"), rejected);
    assert_eq!(run.count("indeterminate_on_purpose"), indeterminate);
    assert!(run.verdict["generator"]["retries"].as_u64().is_some_and(|retries| retries > 5), "{}", run.told());
    assert!(run.stdout.contains("Clients failed as they were meant to: "), "{}", run.told());
    assert_eq!(run.check("rejected_but_visible"), "pass");
}
