//! `[soak]`: the scenario's traffic again and again, for hours or days, judged together.

use std::time::Duration;

use super::{
    Traffic,
    notation::Expectable,
    reader::{Section, whole},
};

/// How long it goes on, and what is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soak {
    /// How many windows are sent.
    pub windows: u64,
    /// How long one sends: as long as the traffic lasts.
    pub window: Duration,
    /// So many of the newest windows' directories are kept, and as many of those that did not pass.
    pub keep: usize,
}

/// Reads `[soak]`, if the scenario has it.
pub(super) fn soak(root: &mut Section<'_>, traffic: &[Traffic]) -> Option<Soak> {
    let is_soak = root.mentions("soak");
    let mut section = root.section("soak");
    if !is_soak {
        return None;
    }
    let lasts = section.required("lasts", Duration::parse).unwrap_or_default();
    let keep = section.optional("keep", whole(1..=100_000)).unwrap_or(12);
    let window = traffic.iter().map(|traffic| traffic.arrival.lasts(traffic.events)).max().unwrap_or_default();
    let windows = (lasts.as_secs_f64() / window.as_secs_f64().max(1e-3)).ceil() as u64;
    if windows < 2 && !section.has_problem() {
        section.problem(
            "lasts",
            "must be longer than the traffic, which is one window of the soak: let that be some minutes",
        );
    }
    section.end();
    Some(Soak { windows: windows.max(1), window, keep: usize::try_from(keep).unwrap_or(usize::MAX) })
}
