//! What a request was recorded with, in the place of what a client of ours would say.

use std::borrow::Cow;

use super::Header;
use crate::{
    replay::Style,
    request::{Request, Sending},
    workload::{ClientFault, Workload},
};

/// Puts the headers with which `request` was recorded into `headers`, where each takes the place of one of its name; returns what the
/// recording says of the body's type. Who the token is of, and when it is sent, the run says.
pub(super) fn headers(
    (workload, request): (&Workload, &Request),
    style: Style,
    token: &str,
    headers: &mut Vec<Header>,
) -> Option<String> {
    let mut content_type = None;
    let is_again = request.sending() == Sending::Again;
    let is_asked_first = request.fault(workload) == Some(ClientFault::Preflight);
    let mut recorded = workload.recorded_headers(request);
    recorded.retain(|(name, _)| match name.as_str() {
        "authorization" => !style.endpoint.has_bearer(),
        // It is a request of its own.
        "posthog-request-id" => !is_again,
        // It says its own.
        "origin" => !is_asked_first,
        _ => true,
    });
    headers.retain(|(name, _)| !recorded.iter().any(|(other, _)| other == name));
    for (name, value) in recorded {
        let value = match name.as_str() {
            "content-type" => {
                content_type = Some(value);
                continue;
            }
            "authorization" => format!("Bearer {token}"),
            // The library counts on from there.
            "posthog-attempt" => match value.parse::<u32>() {
                Ok(attempt) => attempt.saturating_add(request.told_attempt() - 1).to_string(),
                Err(_) => value,
            },
            _ => value,
        };
        headers.push((Cow::Owned(name), value));
    }
    content_type
}
