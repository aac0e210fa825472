//! `client = "posthog-python"`: how a traffic's clients deliver.

use std::time::Duration;

use generators::workload::{Client, Endpoint, Profile};

use super::{
    notation::Expectable,
    reader::{Section, choice},
};

/// Longer than any soak.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Reads what the section of a traffic says of its clients.
pub(super) fn client(section: &mut Section<'_>) -> Client {
    let usual = Client::default();
    let names = Profile::ALL.map(|profile| (profile.facts().name, profile));
    let profile = section.optional("client", choice(&names)).unwrap_or_default();
    let retry_for = section.optional("retry_for", |value| {
        let time = Duration::parse(value)?;
        if time <= LONGEST { Ok(time) } else { Err("must be a year at most".into()) }
    });
    if profile == Profile::Assay && section.mentions("retry_for") {
        section.problem("retry_for", "needs a `client` that tries again, such as \"posthog-python\"");
    }
    Client { profile, retry_for: retry_for.unwrap_or(usual.retry_for), ..usual }
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
        Profile::PosthogJs if endpoint == Endpoint::Batch => {
            section
                .problem("endpoint", &format!("`{name}` never sends there: leave it out, or say \"e\" or \"i/v0/e\""));
        }
        Profile::PosthogPython | Profile::PosthogNode if endpoint != Endpoint::Batch => {
            section.problem("endpoint", &format!("`{name}` sends batches only: leave it out, or say \"batch\""));
        }
        _ => (),
    }
}
