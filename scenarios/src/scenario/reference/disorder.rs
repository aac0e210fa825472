//! What of `[[traffic]]` is out of the ordinary: order and clocks, content that hurts, clients that fail.

use generators::workload::{Alteration, Hostile, TimeSpelling};

use super::{
    Key, Occurs,
    Presence::{Default, Otherwise, RequiredIf},
    Section, key,
    kind::{DISTRIBUTION, DURATION, Kind, SHARE},
};
use crate::scenario::reader::words_of;

pub(super) const SECTIONS: [Section; 4] = [
    Section {
        path: "traffic.disorder",
        occurs: Occurs::Once,
        presence: Otherwise("events come in order, once, by clocks that are right"),
        doc: "How order and clocks are disturbed, and what clients leave out. Whatever comes of it, Assay knows what must be stored in the end.",
        example: "[traffic.disorder]\nbackdated    = \"5%\"\nbackdated_by = \"exponential(30s)\"\nshuffle      = \"2s\"\nresend       = \
                  \"0.5%\"\nclock_skew   = \"normal(0s, 2s)\"\n",
        keys: &DISORDER,
        more: None,
    },
    Section {
        path: "traffic.content",
        occurs: Occurs::Once,
        presence: Otherwise("ordinary content"),
        doc: "What events hold beside the ordinary: content that has broken pipelines before, and much of it.",
        example: "[traffic.content]\nhostile = \"30%\"\nkinds   = [\"nul\", \"emoji\", \"deep\"]\nlarge   = \"0.2%\"\npadding = \
                  \"2000..700000\"\n",
        keys: &CONTENT,
        more: None,
    },
    Section {
        path: "traffic.restricted",
        occurs: Occurs::Once,
        presence: Otherwise("nobody is restricted"),
        doc: "Shares of persons whose distinct ids, all of them, are on one of the operator's lists (PostHog's event restrictions, and its forced \
              keys of overflow); a person is on one at most, so together they are 100% at most. For at most 1 000 persons, and for distinct ids \
              as they are: not with `persons.illegal_alias`, `content.hostile`, `content.cookieless`, `groups.identify`, `historical`, \
              exceptions, AI or `pipeline.historical_from_days` (dialect 2026, reference pipeline).",
        example: "[traffic.restricted]\nforce_overflow         = \"5%\"\nskip_person_processing = \"5%\"\n",
        keys: &RESTRICTED,
        more: None,
    },
    Section {
        path: "traffic.client_faults",
        occurs: Occurs::Once,
        presence: Otherwise("clients do not fail"),
        doc: "Shares of requests that fail on their first attempt; a request fails in one way, so together they are 100% at most. \
              Events lost this way do not count against `expect.rejected` and `expect.indeterminate`. For plain bodies (no `form`).",
        example: "[traffic.client_faults]\ndisconnect   = \"1%\"\nslow_body    = \"2%\"\nslow_over    = \"5s\"\ngarbage_body = \"0.5%\"\n",
        keys: &CLIENT_FAULTS,
        more: None,
    },
];

const fn share(name: &'static str, example: &'static str, doc: &'static str) -> Key {
    key(name, Kind::In(&SHARE), Default("0%"), example, doc)
}

const DISORDER: [Key; 24] = [
    share("backdated", "5%", "Which share of events happened earlier than it is sent."),
    key("backdated_by", Kind::In(&DISTRIBUTION), RequiredIf("with `backdated`"), "exponential(30s)", "By how much."),
    share("ahead", "2%", "Which share of events is said to happen later than it is sent."),
    key(
        "ahead_by",
        Kind::In(&DISTRIBUTION),
        RequiredIf("with `ahead`"),
        "uniform(1m, 1h)",
        "By how much; beyond 23 hours the pipeline takes the server's clock.",
    ),
    key("shuffle", Kind::In(&DURATION), Default("0s"), "2s", "Within which window the order of sending is random."),
    share(
        "resend",
        "0.5%",
        "Which share of events is sent a second time, in the next request of the same client, with the same bytes; only an \
           `offset` counts from the request that it is in.",
    ),
    key(
        "resend_after",
        Kind::In(&DISTRIBUTION),
        Otherwise("with the client's next request"),
        "exponential(30s)",
        "How long after its first request was due it is sent a second time, as a retry is: with its uuid and content (its `offset`, too) \
         and another `sent_at`. What was picked of one request leaves together, in a request that holds nothing else, and nothing is \
         picked of those that fail on purpose. The run lasts until the last of them has left. With `resend`.",
    ),
    share(
        "duplicate_requests",
        "1%",
        "Which share of requests comes twice, byte for byte, `sent_at` and all, because something on the way sends it again; none \
         that fails on purpose.",
    ),
    key(
        "duplicate_after",
        Kind::In(&DISTRIBUTION),
        Default("0s"),
        "exponential(2s)",
        "How long after the first time; what the pipeline takes for a wrong clock moves the time of its events by as much. With \
         `duplicate_requests`.",
    ),
    share("altered", "20%", "Which share of those holds something else then. With `resend`."),
    key(
        "altered_in",
        Kind::Choices(|| words_of(&Alteration::ALL)),
        Otherwise("`content`"),
        "[\"content\", \"name\", \"day\"]",
        "In what, in turn: `content` (a property; one row stays, either), `name` (the event's, unless that means something to the \
         pipeline; a row for each may stay), `time` (a minute earlier; one row stays, but around midnight) or `day` (a day earlier, \
         across UTC midnight; a row for each may stay). With `altered`.",
    ),
    key(
        "clock_skew",
        Kind::In(&DISTRIBUTION),
        Default("0s"),
        "normal(0s, 2s)",
        "How far clients' clocks are off, each by its own time.",
    ),
    key(
        "clock_drift",
        Kind::In(&DISTRIBUTION),
        Default("0s"),
        "normal(0s, 2m)",
        "How much further off they are after each hour.",
    ),
    share("wrong_year", "10%", "Which share of clients has a clock that is off by years."),
    share(
        "midnight",
        "3%",
        "Which share of events happened within 2 s of the last midnight (UTC), where a second sending may leave a second row.",
    ),
    share(
        "offset",
        "5%",
        "Which share of events says how long ago it happened, and not when. All of them with `client = \"posthog-js\"`, which does so, \
         unless this or one of the next three is said.",
    ),
    share("offset_and_timestamp", "2%", "Which share says both, and a minute apart."),
    share("no_timestamp", "2%", "Which share says neither."),
    share("ignore_sent_at", "2%", "Which share asks for its time to be taken as it is (`$ignore_sent_at`)."),
    share(
        "time_spelling",
        "10%",
        "Which share of events writes its `timestamp` in another form than `2026-01-01T12:00:00.000Z`.",
    ),
    key(
        "time_forms",
        Kind::Choices(|| words_of(&TimeSpelling::ALL)),
        Otherwise("all of them"),
        "[\"offset\", \"seconds\"]",
        "In which: `offset` (`14:00:00.000+02:00`), `hours` (`14:00:00.000+02`), `seconds` (no fraction, so that the time is cut), \
         `micros` (six digits of it), `civil` (no zone), `digits` (milliseconds since 1970, as text), `unreadable` (`yesterday`, for which \
         the pipeline takes the server's clock). For `v1` and AI `offset`, `seconds` and `micros`, before 2026 `offset` and `seconds`. \
         With `time_spelling`.",
    ),
    share("no_sent_at", "5%", "Which share of requests does not say when it is sent."),
    share("no_uuid", "1%", "Which share of events is sent without a uuid."),
    share(
        "empty_uuid",
        "1%",
        "Which share is sent with an empty one, which is none (and broken to the capture of 2024).",
    ),
];

const CONTENT: [Key; 13] = [
    share("hostile", "30%", "Which share of events holds content that hurts."),
    key(
        "kinds",
        Kind::Choices(|| words_of(&Hostile::ALL)),
        Otherwise("all but the last two"),
        "[\"nul\", \"emoji\"]",
        "Of which kinds: `nul` (NUL characters), `lone_surrogate` (halves of emoji), `emoji`, `right_to_left`, `long_name`, \
         `long_distinct_id` (more than 200 characters), `big_numbers` (beyond 64 bits), `odd_numbers` (−0, 1e308, many digits), `deep` \
         (a hundred levels), `wide` (two thousand members), `odd_keys` (dots, quotes, blanks, none), `empty` (objects, lists and \
         strings), `nulls`, `illegal_distinct_id` (one that no person may have), `odd_distinct_id` (a number, a list, an object), \
         `wrong_types` (of the library's own properties), `hostile_name` and `hostile_distinct_id` (NUL characters, halves of emoji, emoji \
         and right-to-left text in the name or the distinct id, up to several hundred characters). The last two have to be named: traffic \
         that names no kinds holds what it always did.",
    ),
    share("large", "0.2%", "Which share of events is large."),
    key(
        "padding",
        Kind::Size,
        RequiredIf("with `large`"),
        "2000..700000",
        "By how many bytes; every order of magnitude is as likely. From 1 000 000 on the event spoils its request, so that it needs \
         traffic without `batch`; at most 32 000 000. A request that is larger than its endpoint takes (20 MiB for `batch` and v1, 25 MiB \
         for `s`, 2 MiB for the others; unpacked 50 MiB in v1 and 100 MiB in v0) is refused as a whole, as it is meant to be.",
    ),
    share(
        "elements",
        "10%",
        "Which share of events is an `$autocapture` with the elements that were clicked, which become the column `elements_chain`.",
    ),
    share(
        "fields",
        "10%",
        "Which share of events has other fields beside the usual ones: `$set` and `$set_once`, what nobody knows, and for `v1` options \
         (some of which it refuses), session and window.",
    ),
    share(
        "twice",
        "0.5%",
        "Which share of events says something twice, the last time what is meant: the name, the distinct id, all properties or the token, \
         which refuses their whole request (not before 2024), one property, of which the last is kept, and in a `batch` another token than \
         that of the batch, which wins. For the endpoints of v0.",
    ),
    share(
        "refused",
        "2%",
        "Which share of events v1 refuses, and the others of their request not: an empty name, a blank distinct id, a timestamp that is not \
         RFC 3339, properties that are no object. With `v1` and `v1/ai`.",
    ),
    share(
        "cookieless",
        "2%",
        "Which share of events comes without cookies (`$cookieless_mode`), to a project that does not take such: they are acked, and none may \
         appear. Not for `v1` and AI (dialect 2026).",
    ),
    share(
        "internal",
        "2%",
        "Which share of events is of the pipeline's own people (`capture_internal`), whose address capture replaces with its own. Not for `v1` \
         and AI (dialect 2026).",
    ),
    share(
        "embedded",
        "30%",
        "Which share of events holds its properties within its own part of the form, and not in one beside it. With `i/v0/ai`.",
    ),
    share(
        "blobs",
        "20%",
        "Which share of events has one to three contents in parts of their own: JSON, text or bytes, some of the JSON packed with gzip. \
         Captures from December 2025 to August 2026 with a store for them keep them (`pipeline.blob_store`), and stored is an address; \
         others refuse the request. With `i/v0/ai`. With these two, `client_faults.wrong_types` spoils the form itself: parts in the \
         wrong order, twice, empty, of no known type, too long.",
    ),
    key(
        "blob_size",
        Kind::Size,
        RequiredIf("with `blobs`"),
        "100..100000",
        "Of how many bytes each, before it is packed; every order of magnitude is as likely. At most 8 000 000.",
    ),
];

const RESTRICTED: [Key; 5] = [
    share("drop_event", "2%", "Events are acked (v1 says that it drops them), and none may appear."),
    share(
        "force_overflow",
        "5%",
        "Events go onto the topic of what comes too often, with their key: they keep their order and their person.",
    ),
    share(
        "forced_key",
        "5%",
        "The same without a key, as for what an operator takes for a hot key: no person may come of them, and each distinct id stays \
         alone.",
    ),
    share("skip_person_processing", "5%", "No person may come of the events, and each distinct id stays alone."),
    share("redirect_to_dlq", "2%", "Events are acked and go to the dead letters, and none may appear."),
];

const CLIENT_FAULTS: [Key; 17] = [
    share("disconnect", "1%", "The connection breaks in the middle of the body."),
    share("slow_body", "2%", "The body comes in pieces."),
    key("slow_over", Kind::In(&DURATION), Default("2s"), "5s", "How long a slow body takes. With `slow_body`."),
    share("duplicate_headers", "1%", "Headers stand there twice."),
    share("wrong_content_type", "1%", "The content type is not that of the body."),
    share("truncated_gzip", "1%", "Compressed, and cut off."),
    share(
        "gzip_bomb",
        "1%",
        "The events, and behind them so many blanks that what is some kilobytes of gzip becomes 104 MiB, more than any endpoint unpacks. With \
         `compression = \"gzip\"`, and where it is not v1 or AI without it.",
    ),
    share("empty_body", "1%", "There is no body."),
    share("garbage_body", "1%", "The body is nothing that can be read."),
    share("bad_token", "1%", "The token is empty, too long, no ASCII, a personal one, or in one list with another."),
    share("empty_batch", "1%", "The list of events is empty."),
    share(
        "wrong_types",
        "1%",
        "Behind the events stands one whose own fields are of wrong types or missing, or in v1 whose uuid another one has, which refuses \
         them all.",
    ),
    share("bad_headers", "1%", "A header that v1 wants is missing, or cannot be read. With `v1` and `v1/ai`."),
    share("no_token", "1%", "There is no token at all, in the body or a header."),
    share(
        "refused_content_type",
        "1%",
        "The content type is missing, or none of JSON, which v1 refuses. With `v1` and `v1/ai`.",
    ),
    share("no_user_agent", "1%", "The header `user-agent` is missing, which v1 refuses. With `v1` and `v1/ai`."),
    share(
        "preflight",
        "5%",
        "No failure: a browser asks first, with OPTIONS, and sends nothing if its origin is not allowed.",
    ),
];
