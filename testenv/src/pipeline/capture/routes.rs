//! Which paths there are, by generation and mode (rust/capture, `router.rs`; ingestion contract 1.1).

use std::{fmt, str::FromStr};

use crate::pipeline::dialect::Dialect;

/// What a capture is there for; PostHog runs one for each behind one front door (`CaptureMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Events, as they happen.
    Events,
    /// What recorders of sessions send.
    Recordings,
    /// Imports of old events and nothing else.
    Import,
}

/// The modes of a capture that plays several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modes(Vec<Mode>);

impl Default for Modes {
    fn default() -> Self {
        Self(vec![Mode::Events])
    }
}

impl Modes {
    fn has(&self, mode: Mode) -> bool {
        self.0.contains(&mode)
    }

    /// Whether what is no import of old events is dropped.
    pub fn imports_only(&self) -> bool {
        self.has(Mode::Import) && !self.has(Mode::Events)
    }
}

impl Modes {
    /// Events or imports, and recordings of sessions beside them or not.
    pub fn new(imports_only: bool, recordings: bool) -> Self {
        let mut modes = vec![if imports_only { Mode::Import } else { Mode::Events }];
        modes.extend(recordings.then_some(Mode::Recordings));
        Self(modes)
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |mode: &Mode| match mode {
            Mode::Events => "events",
            Mode::Recordings => "recordings",
            Mode::Import => "import",
        };
        f.write_str(&self.0.iter().map(word).collect::<Vec<_>>().join(","))
    }
}

/// Words with commas between them: `events,recordings`.
impl FromStr for Modes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mode = |word: &str| match word.trim() {
            "events" => Ok(Mode::Events),
            "recordings" => Ok(Mode::Recordings),
            "import" => Ok(Mode::Import),
            other => Err(format!("`{other}` is no mode: there are events, recordings and import")),
        };
        text.split(',').map(mode).collect::<Result<_, _>>().map(Self)
    }
}

/// What answers a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The v0 endpoints of events.
    Events {
        /// So many bytes are taken.
        limit: usize,
        /// Whether people's profiles come without a name.
        is_engage: bool,
    },
    /// v1.
    V1 {
        /// Whether it takes events of AI and no others.
        is_ai: bool,
    },
    /// One event of AI in a form of several parts.
    Ai,
    /// Recordings of sessions.
    Recordings,
    /// Takes everything and stores nothing: for load tests of what is before Kafka.
    BlackHole,
    /// Its counters.
    Metrics,
    /// A fixed text.
    Text(&'static str),
}

/// What `/batch/` takes, and v1.
pub const BATCH_LIMIT: usize = 20 << 20;
/// What the other endpoints of events take.
const OTHER_LIMIT: usize = 2 << 20;
/// What a request to v0 may grow to when it is unpacked, whatever its endpoint takes (rust/capture/src/setup.rs,
/// `event_payload_max_bytes`).
pub const UNPACKED_LIMIT: usize = 5 * BATCH_LIMIT;
/// The same for v1 (config.rs, `capture_v1_max_decompressed_body_bytes`).
pub const V1_UNPACKED_LIMIT: usize = 50 << 20;

/// Whether `path` is one of old clients (`rust/capture/src/v0_request.rs`, `path_is_legacy_endpoint`).
pub fn is_legacy(path: &str) -> bool {
    path == "/e" || ["/e/", "/capture", "/track", "/engage"].iter().any(|begin| path.starts_with(begin))
}

/// What answers at `path`; nothing does for `None`.
pub fn route(path: &str, dialect: Dialect, modes: &Modes) -> Option<Route> {
    let events = |limit, is_engage| Some(Route::Events { limit, is_engage });
    let path = path.trim_end_matches('/');
    match path {
        "" | "/_readiness" => return Some(Route::Text("capture")),
        "/metrics" => return Some(Route::Metrics),
        "/_liveness" => return Some(Route::Text("ok")),
        "/s" if modes.has(Mode::Recordings) && dialect == Dialect::V2026 => return Some(Route::Recordings),
        _ if !modes.has(Mode::Events) && !modes.has(Mode::Import) => return None,
        _ => (),
    }
    match (path, dialect) {
        ("/batch", _) => events(BATCH_LIMIT, false),
        // hog-rs had these two and no others.
        ("/e", _)
        | ("/i/v0/e", Dialect::V2024 | Dialect::V2026)
        | ("/capture" | "/track", Dialect::V2021 | Dialect::V2026) => events(OTHER_LIMIT, false),
        ("/engage", Dialect::V2021 | Dialect::V2026) => events(OTHER_LIMIT, true),
        ("/test/black_hole", Dialect::V2026) => Some(Route::BlackHole),
        ("/i/v1/analytics/events", Dialect::V2026) => Some(Route::V1 { is_ai: false }),
        // An import's capture does not know the endpoints of AI, lest it drops what comes there.
        ("/i/v1/ai/events", Dialect::V2026) if modes.has(Mode::Events) => Some(Route::V1 { is_ai: true }),
        ("/i/v0/ai", Dialect::V2026) if modes.has(Mode::Events) => Some(Route::Ai),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_and_mode_has_its_paths() {
        let modes = |text: &str| text.parse::<Modes>().unwrap();
        let there = |text: &str, dialect| {
            let all = [
                "/batch",
                "/e/",
                "/i/v0/e",
                "/capture",
                "/track/",
                "/engage",
                "/s/",
                "/i/v0/ai",
                "/i/v1/analytics/events",
                "/i/v1/ai/events/",
                "/test/black_hole",
            ];
            let modes = modes(text);
            all.map(|path| if route(path, dialect, &modes).is_some() { 'x' } else { '.' }).iter().collect::<String>()
        };
        for (mode, dialect, expected) in [
            ("events", Dialect::V2021, "xx.xxx....."),
            ("events", Dialect::V2024, "xxx........"),
            ("events", Dialect::V2026, "xxxxxx.xxxx"),
            ("events,recordings", Dialect::V2026, "xxxxxxxxxxx"),
            ("recordings", Dialect::V2026, "......x...."),
            ("import", Dialect::V2026, "xxxxxx..x.x"),
        ] {
            assert_eq!(there(mode, dialect), expected, "{mode} {dialect:?}");
        }
        for text in ["events", "events,recordings", "import"] {
            assert_eq!(modes(text).to_string(), text);
        }
        assert_eq!(Modes::new(true, true).to_string(), "import,recordings");
        assert!(modes("import").imports_only() && !modes("events, import").imports_only());
        assert!("replay".parse::<Modes>().unwrap_err().contains("no mode"));
        assert_eq!(route("/nowhere", Dialect::V2026, &Modes::default()), None);
        assert_eq!(route("/_readiness", Dialect::V2026, &modes("recordings")), Some(Route::Text("capture")));
    }
}
