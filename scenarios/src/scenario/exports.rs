//! `[exports]`: how the webhook behind plugins that export behaves, and how patient the exporter is with it.

use std::time::Duration;

use generators::random::Share;

use super::{Plugin, notation::Expectable, plugin::Action, reader::Section};

/// How events are exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExportSettings {
    /// The share of requests that the webhook sink answers with 503.
    pub fail: Share,
    /// From what the exporter's waits are counted: before retry n, from 0, it waits this times 2ⁿ⁺¹.
    pub back_off: Duration,
}

/// PostHog's own (ingestion contract, section 4).
const BACK_OFF: Duration = Duration::from_secs(3);
/// With more, a batch in a million would be given up after its last retry.
const MOST_FAILING: f64 = 0.4;

/// Reads `[exports]`, where some of `plugins` export.
pub(super) fn exports(mut section: Section<'_>, is_there: bool, plugins: &[Plugin]) -> Option<ExportSettings> {
    let settings = ExportSettings {
        fail: section.optional("fail", Share::parse).unwrap_or_default(),
        back_off: section.optional("back_off", Duration::parse).unwrap_or(BACK_OFF),
    };
    if settings.fail.get() > MOST_FAILING {
        section.problem(
            "fail",
            "must be at most 40%: with more, events are given up after fifteen retries, and rightly so",
        );
    }
    if settings.back_off.as_millis() == 0 {
        section.problem("back_off", "must be at least a millisecond");
    }
    let exports = plugins.iter().any(|plugin| plugin.action == Action::Export);
    if is_there && !exports {
        section.problem(
            "fail",
            "is about plugins that export, and there is none: add a [[plugin]] with `action = \"export\"`",
        );
    }
    section.end();
    exports.then_some(settings)
}
