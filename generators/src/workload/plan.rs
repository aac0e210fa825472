//! The plan of a workload: everything that decides what is sent, and is kept in a run's manifest.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    alteration::Alteration, client::Client, hostile::Hostile, restriction::Restrictions, time_spelling::TimeSpelling,
};
use crate::{
    identity::RunId,
    random::{Distribution, Share},
    schedule::Arrival,
};

/// The generation of the rules in this folder; a stored run names the one that it was made with.
pub const WORKLOAD_VERSION: u32 = 6;
/// The generation before: only arrivals at random came at other moments (all swings of more than 64 events were lost).
const BEFORE: u32 = 5;

/// Everything that decides what is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The version of the rules.
    pub workload_version: u32,
    /// The run.
    pub run: RunId,
    /// Chooses all random values.
    pub seed: u64,
    /// How long before the start the last midnight (UTC) was.
    #[serde(default)]
    pub since_midnight: Duration,
    /// The streams, by their number.
    pub traffic: Vec<Traffic>,
}

impl Plan {
    /// A plan by the rules of this version, for a run that starts at noon.
    pub const fn new(run: RunId, seed: u64, traffic: Vec<Traffic>) -> Self {
        let since_midnight = Duration::from_hours(12);
        Self { workload_version: WORKLOAD_VERSION, run, seed, traffic, since_midnight }
    }

    /// Whether these rules make what the plan's own version made of it.
    pub fn can_be_made(&self) -> bool {
        let is_random = |traffic: &Traffic| matches!(traffic.arrival, Arrival::Poisson { .. });
        match self.workload_version {
            WORKLOAD_VERSION => true,
            BEFORE => !self.traffic.iter().any(is_random),
            _ => false,
        }
    }
}

/// One stream of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Its name in the scenario.
    pub name: String,
    /// How many events.
    pub events: u64,
    /// When they are due.
    pub arrival: Arrival,
    /// The least and the greatest number of events in a request.
    pub batch: (u64, u64),
    /// Where requests go and in what form.
    pub endpoint: Endpoint,
    /// Whether bodies are compressed.
    pub compression: Compression,
    /// Where a request's data stands.
    #[serde(default)]
    pub form: Form,
    /// Whether batches say that they are an import of old events.
    #[serde(default)]
    pub historical: bool,
    /// Which share of events, and of requests, says the same in another way.
    #[serde(default, skip_serializing_if = "is_none")]
    pub spelling: Share,
    /// Which share of requests says that it is compressed in a way that nobody knows.
    #[serde(default, skip_serializing_if = "is_none")]
    pub unknown_compression: Share,
    /// The project's token.
    pub token: String,
    /// The team that the token belongs to, in which rows must appear.
    pub team: i64,
    /// Whom the events are about.
    pub persons: Persons,
    /// Which share of them an operator restricts, and how.
    #[serde(default, skip_serializing_if = "Restrictions::is_none")]
    pub restricted: Restrictions,
    /// What events are called, each with its weight; none means the usual names.
    #[serde(default)]
    pub names: Vec<(String, u64)>,
    /// How the order and the clocks are disturbed.
    pub disorder: Disorder,
    /// What events hold beside the ordinary.
    #[serde(default)]
    pub extras: Extras,
    /// How many SDK instances share the requests, in turn; each has a clock of its own.
    pub clients: u64,
    /// Why every event is acked and none may appear, where that is so.
    #[serde(default)]
    pub absent: Option<Absence>,
    /// Its team drops events that happened longer than this before capture received them, if it drops any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_events_older_than: Option<Duration>,
    /// Its events and requests are those of a recording, with this pace.
    #[serde(default)]
    pub replay: Option<Pace>,
    /// How its clients deliver.
    #[serde(default)]
    pub client: Client,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
pub(super) fn is_none(share: &Share) -> bool {
    *share == Share::default()
}

fn is_empty(size: &(u64, u64)) -> bool {
    *size == (0, 0)
}

fn is_nothing(distribution: &Distribution) -> bool {
    *distribution == Distribution::default()
}

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// So many times as fast as it was recorded.
    Recorded(f64),
    /// As the plan's arrival says, whatever its gaps were.
    Arrival,
}

impl Traffic {
    /// Whether some of its events say no uuid, so that capture mints them.
    pub fn may_lack_uuid(&self) -> bool {
        self.disorder.no_uuid > Share::default() || self.disorder.empty_uuid > Share::default()
    }

    /// So many events of one person, each in a request of its own, as they are due and with nothing else to be said of them.
    pub fn orderly(events: u64, arrival: Arrival) -> Self {
        Self {
            name: "traffic".into(),
            events,
            arrival,
            batch: (1, 1),
            endpoint: Endpoint::Batch,
            compression: Compression::default(),
            form: Form::default(),
            historical: false,
            spelling: Share::default(),
            unknown_compression: Share::default(),
            token: "phc_assay".into(),
            team: 1,
            persons: Persons { count: 1, ..Persons::default() },
            restricted: Restrictions::default(),
            names: Vec::new(),
            disorder: Disorder::default(),
            extras: Extras::default(),
            clients: 1,
            absent: None,
            drop_events_older_than: None,
            replay: None,
            client: Client::default(),
        }
    }
}

/// Why events are acked and not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The token's quota is used up.
    OverQuota,
    /// The token is on the operator's drop list.
    DropListed,
    /// No project has the token.
    UnknownToken,
    /// They are sent to where everything is swallowed.
    BlackHole,
    /// They are recordings of sessions.
    Recording,
    /// They happen now, and the capture takes imports of old events.
    Live,
    /// They are not of AI, and go where nothing else is taken.
    Misrouted,
}

impl Absence {
    /// The reason in words.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::OverQuota => "the token's quota is used up",
            Self::DropListed => "the token is on the drop list",
            Self::UnknownToken => "no project has the token",
            Self::BlackHole => "the black hole swallows everything",
            Self::Recording => "recordings of sessions go to a topic of their own",
            Self::Live => "the capture takes imports and nothing else",
            Self::Misrouted => "the endpoint takes events of AI and no others",
        }
    }

    /// Whether the reason lies in the project, which then is one of its own, or none.
    pub const fn is_of_project(self) -> bool {
        matches!(self, Self::OverQuota | Self::DropListed | Self::UnknownToken)
    }
}

/// An endpoint of the capture API (ingestion contract 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/batch/`: an object with the token, `sent_at` and a list.
    Batch,
    /// `/e/`: a list of events, or one alone.
    E,
    /// `/capture/`: one event.
    Capture,
    /// `/i/v0/e/`: a list of events, or one alone.
    IV0E,
    /// `/track/`: a list of events, or one alone.
    Track,
    /// `/engage/`: a list of events, or one alone.
    Engage,
    /// `/i/v1/analytics/events`: a list of events, with a result for each; project and clock are in headers.
    V1,
    /// `/i/v1/ai/events`: the same for events of AI.
    AiV1,
    /// `/i/v0/ai`: one event of AI, in a form of several parts.
    Ai,
    /// `/s/`: a list of recordings of sessions, or one alone.
    Recordings,
    /// `/test/black_hole`: a list of events, or one alone, all of which are swallowed.
    BlackHole,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Batch,
        Self::E,
        Self::Capture,
        Self::IV0E,
        Self::Track,
        Self::Engage,
        Self::V1,
        Self::AiV1,
        Self::Ai,
        Self::Recordings,
        Self::BlackHole,
    ];

    /// Its path.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Batch => "/batch/",
            Self::E => "/e/",
            Self::Capture => "/capture/",
            Self::IV0E => "/i/v0/e/",
            Self::Track => "/track/",
            Self::Engage => "/engage/",
            Self::V1 => "/i/v1/analytics/events",
            Self::AiV1 => "/i/v1/ai/events",
            Self::Ai => "/i/v0/ai",
            Self::Recordings => "/s/",
            Self::BlackHole => "/test/black_hole",
        }
    }

    /// Whether it is of v1, with a result for each event.
    pub const fn is_v1(self) -> bool {
        matches!(self, Self::V1 | Self::AiV1)
    }

    /// Whether the project's token is in a header.
    pub const fn has_bearer(self) -> bool {
        self.is_v1() || matches!(self, Self::Ai)
    }

    /// Whether it takes one event a request.
    pub const fn takes_one(self) -> bool {
        matches!(self, Self::Capture | Self::Ai)
    }

    /// Whether its requests say in the query when they are sent: a batch says it in its body, as the form of parts does, and v1
    /// in a header.
    pub const fn has_sent_at_in_query(self) -> bool {
        !self.is_v1() && !matches!(self, Self::Batch | Self::Ai)
    }

    /// Whether its events are of AI.
    pub const fn is_of_ai(self) -> bool {
        matches!(self, Self::Ai | Self::AiV1)
    }
}

/// How a request's data is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, told by its magic bytes.
    Gzip,
    /// gzip, told by the query as well, as posthog-js does.
    GzipJs,
    /// Base64, told by the query.
    Base64,
    /// `LZString` in base64, told by the query, as old versions of posthog-js did.
    Lz64,
}

/// Where a request's data stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// It is the body.
    #[default]
    Plain,
    /// In the field `data` of a form.
    Urlencoded,
    /// In the query parameter `data` of a GET.
    Query,
}

/// The people of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Persons {
    /// How many, at least 1.
    pub count: u64,
    /// Which share starts anonymous and identifies on the way.
    pub identify: Share,
    /// Which share of all events is of a few hot persons, beside these.
    #[serde(default)]
    pub hot: Share,
    /// How many hot persons there are.
    #[serde(default)]
    pub hot_count: u64,
    /// Which share of events asks for a merge with an id that no person may have.
    #[serde(default, skip_serializing_if = "is_none")]
    pub illegal_alias: Share,
}

/// How a stream differs from an orderly one, which is the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Disorder {
    /// Which share of events happened earlier than their place says.
    pub backdated: Share,
    /// By how much.
    pub backdated_by: Distribution,
    /// Which share of events is said to happen later than it is sent.
    #[serde(default)]
    pub ahead: Share,
    /// By how much.
    #[serde(default)]
    pub ahead_by: Distribution,
    /// Within which window the order of sending is random; zero keeps it.
    pub shuffle: Duration,
    /// Which share of events is sent a second time, unchanged, in a later request of the same client: its next one, unless it is
    /// said after how long.
    pub resend: Share,
    /// How long after the first request was due the second one leaves, which then holds nothing else; all that is sent again of
    /// one request is sent together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resend_after: Option<Distribution>,
    /// Which share of requests comes twice, byte for byte, because something on the way sends it again; no request that fails on
    /// purpose does.
    #[serde(default, skip_serializing_if = "is_none")]
    pub duplicate_requests: Share,
    /// How long after the first time.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub duplicate_after: Distribution,
    /// How far clients' clocks are off.
    pub clock_skew: Distribution,
    /// How much further off they are after each hour.
    #[serde(default)]
    pub clock_drift: Distribution,
    /// Which share of clients has a clock that is off by years.
    #[serde(default)]
    pub wrong_year: Share,
    /// Which share of requests does not say when it is sent.
    #[serde(default)]
    pub no_sent_at: Share,
    /// Which share of events says how long ago it happened, and not when.
    #[serde(default)]
    pub offset: Share,
    /// Which share says both, and a minute apart.
    #[serde(default)]
    pub offset_and_timestamp: Share,
    /// Which share says neither.
    #[serde(default)]
    pub no_timestamp: Share,
    /// Which share asks for its time to be taken as it is.
    #[serde(default)]
    pub ignore_sent_at: Share,
    /// Which share happened within seconds of the last midnight (UTC) before the start.
    #[serde(default)]
    pub midnight: Share,
    /// Which share is sent without a uuid.
    #[serde(default)]
    pub no_uuid: Share,
    /// Which share is sent with an empty one, which is none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub empty_uuid: Share,
    /// Which share of those that are sent a second time holds something else then.
    #[serde(default)]
    pub altered: Share,
    /// In what, in turn; none means a property alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub altered_in: Vec<Alteration>,
    /// Which share writes its timestamp in another form.
    #[serde(default, skip_serializing_if = "is_none")]
    pub time_spelling: Share,
    /// In which forms, in turn; none means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub time_forms: Vec<TimeSpelling>,
}

/// What events hold beside the ordinary; nothing is the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Extras {
    /// Which share of events holds content that hurts.
    pub hostile: Share,
    /// Of which kinds, in turn; none means all.
    pub kinds: Vec<Hostile>,
    /// Which share of events is large.
    pub large: Share,
    /// By how many bytes, at least and at most; every order of magnitude between is as likely.
    pub padding: (u64, u64),
    /// Which share of events belongs to groups.
    pub grouped: Share,
    /// To how many types of groups.
    pub group_types: u64,
    /// How many groups there are of each type.
    pub groups: u64,
    /// Which share of events says what one of them is.
    #[serde(default, skip_serializing_if = "is_none")]
    pub group_identify: Share,
    /// Which share of events holds the elements that were clicked.
    #[serde(default)]
    pub elements: Share,
    /// Which share of events has other fields beside the usual ones: a person's properties, options, what nobody knows.
    #[serde(default, skip_serializing_if = "is_none")]
    pub fields: Share,
    /// Which share of events says something twice.
    #[serde(default, skip_serializing_if = "is_none")]
    pub twice: Share,
    /// Which share of events is refused by v1, and by itself.
    #[serde(default, skip_serializing_if = "is_none")]
    pub refused: Share,
    /// Which share of events comes without cookies, to a project that does not take such.
    #[serde(default, skip_serializing_if = "is_none")]
    pub cookieless: Share,
    /// Which share of events is of the pipeline's own people.
    #[serde(default, skip_serializing_if = "is_none")]
    pub internal: Share,
    /// Which share of events holds its properties within its own part, where it has parts.
    #[serde(default, skip_serializing_if = "is_none")]
    pub embedded: Share,
    /// Which share of events has contents in parts of their own, where it has parts.
    #[serde(default, skip_serializing_if = "is_none")]
    pub blobs: Share,
    /// Of how many bytes each, at least and at most; every order of magnitude between is as likely.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub blob_size: (u64, u64),
    /// Whether the capture has a store for them; one that has none refuses them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blob_store: bool,
}
