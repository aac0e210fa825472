//! `client = "posthog-python"` and `client_faults = { disconnect = "1%" }`: how a traffic's clients deliver, and fail to.

use std::time::Duration;

use generators::{
    random::Share,
    workload::{Client, ClientFaults, Endpoint, Profile},
};

use super::{
    notation::Expectable,
    reader::{Section, choice},
};

/// Longer than any soak.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Reads what the section of a traffic says of its clients.
pub(super) fn client(section: &mut Section<'_>) -> Client {
    let profile = section.optional("client", choice(&profiles())).unwrap_or_default();
    let retry_for = section.optional("retry_for", |value| {
        let time = Duration::parse(value)?;
        if time <= LONGEST { Ok(time) } else { Err("must be a year at most".into()) }
    });
    if profile == Profile::Assay && section.mentions("retry_for") {
        section.problem("retry_for", "needs a `client` that tries again, such as \"posthog-python\"");
    }
    let beacon = section.optional("beacon", Share::parse).unwrap_or_default();
    if profile != Profile::PosthogJs && beacon > Share::default() {
        section.problem("beacon", "is what a browser sends as a page is closed: say `client = \"posthog-js\"`");
    }
    let faults = faults(section.section("client_faults"));
    // Shares are written in decimal, and their sum is not exact.
    if faults.shares().iter().map(|(share, _)| share.get()).sum::<f64>() > 1.0 + 1e-9 {
        section.problem(
            "client_faults",
            "fail more requests than there are: a request fails in one way, so the shares may come to 100% at most",
        );
    }
    Client { profile, retry_for, beacon, faults }
}

/// The words for clients.
pub(super) fn profiles() -> [(&'static str, Profile); Profile::ALL.len()] {
    Profile::ALL.map(|profile| (profile.facts().name, profile))
}

fn faults(mut section: Section<'_>) -> ClientFaults {
    let usual = ClientFaults::default();
    let mut share = |key| section.optional(key, Share::parse).unwrap_or_default();
    let faults = ClientFaults {
        disconnect: share("disconnect"),
        slow_body: share("slow_body"),
        duplicate_headers: share("duplicate_headers"),
        wrong_content_type: share("wrong_content_type"),
        truncated_gzip: share("truncated_gzip"),
        empty_body: share("empty_body"),
        garbage_body: share("garbage_body"),
        bad_token: share("bad_token"),
        empty_batch: share("empty_batch"),
        wrong_types: share("wrong_types"),
        preflight: share("preflight"),
        bad_headers: share("bad_headers"),
        no_token: share("no_token"),
        refused_content_type: share("refused_content_type"),
        no_user_agent: share("no_user_agent"),
        gzip_bomb: share("gzip_bomb"),
        slow_over: usual.slow_over,
    };
    let slow_over = section.optional("slow_over", Duration::parse).unwrap_or(usual.slow_over);
    if section.mentions("slow_over") && faults.slow_body == Share::default() {
        section.problem("slow_over", "needs a share of requests: say `slow_body` as well");
    }
    section.end();
    ClientFaults { slow_over, ..faults }
}

/// Where a library sends, unless a scenario says otherwise.
pub(super) const fn usual_endpoint(profile: Profile) -> Endpoint {
    match profile {
        Profile::PosthogJs => Endpoint::E,
        Profile::Assay | Profile::PosthogPython | Profile::PosthogNode | Profile::PosthogRs => Endpoint::Batch,
    }
}

/// Notes that a library never sends there: its `sent_at` would stand where it writes none (ingestion contract 6).
pub(super) fn check_endpoint(section: &mut Section<'_>, profile: Profile, endpoint: Endpoint) {
    let name = profile.facts().name;
    match profile {
        // `capture_mode` of posthog-python chooses between the two.
        Profile::PosthogPython if !matches!(endpoint, Endpoint::Batch | Endpoint::V1) => {
            section
                .problem("endpoint", &format!("`{name}` never sends there: leave it out, or say \"batch\" or \"v1\""));
        }
        Profile::PosthogNode if endpoint != Endpoint::Batch => {
            section.problem("endpoint", &format!("`{name}` sends batches only: leave it out, or say \"batch\""));
        }
        Profile::PosthogJs if !matches!(endpoint, Endpoint::E | Endpoint::IV0E | Endpoint::Recordings) => {
            section.problem(
                "endpoint",
                &format!("`{name}` never sends there: leave it out, or say \"e\", \"i/v0/e\" or \"s\""),
            );
        }
        Profile::PosthogRs if !matches!(endpoint, Endpoint::Batch | Endpoint::E | Endpoint::IV0E | Endpoint::V1) => {
            section.problem(
                "endpoint",
                &format!("`{name}` never sends there: leave it out, or say \"batch\", \"i/v0/e\" or \"v1\""),
            );
        }
        _ => (),
    }
}
