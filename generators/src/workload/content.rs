//! What an event holds: a name and some twenty-five properties of every JSON type.
//!
//! There are two ways to the same JSON: a map of values, which is plain to read, and text from a [`Template`], which is
//! quick to make.

use serde_json::{Value, json};

use super::{
    person::{Numbers, Role},
    text,
};
use crate::{
    event::Properties,
    identity::{EventId, MARKER_PROPERTY},
    persona::Persona,
    random::Random,
    workload::EventText,
};

const LIBRARY: &str = "assay";
const REFERRER: &str = "https://search.example.com/";
const REFERRER_JSON: &str = "\"https://search.example.com/\"";

const NAMES: [&str; 6] = ["$pageview", "$pageleave", "$autocapture", "signed_up", "purchase", "file_uploaded"];
const PATHS: [&str; 5] = ["/", "/pricing", "/docs/getting-started", "/cart", "/søk/überblick"];
const BROWSERS: [&str; 4] = ["Chrome", "Firefox", "Safari", "Edge"];
const SYSTEMS: [&str; 4] = ["Windows", "Mac OS X", "Linux", "Android"];
const SCREEN_WIDTHS: [u32; 4] = [1280, 1440, 1920, 2560];
const PLANS: [&str; 3] = ["free", "scale", "enterprise"];
/// Text that has been broken before: quotes, escapes, scripts, an emoji of several code points.
const NOTES: [&str; 6] = [
    "plain",
    "a \"quoted\" \\ path",
    "tab\tand\nline",
    "日本語 и кириллица",
    "👩\u{200d}🚀 العربية",
    "a NUL \0 in the middle",
];

/// What is random in an event. Drawn in one order for all forms, which is part of the workload and must not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    browser: usize,
    path: usize,
    items: usize,
    browser_version: u64,
    is_referred: bool,
    screen_width: usize,
    session: u64,
    price: f64,
    ratio: f64,
    quantity: u64,
    balance: i64,
    is_trial: bool,
    note: usize,
    counts: [u64; 3],
    name: usize,
}

impl Values {
    pub fn draw(random: &mut Random) -> Self {
        let browser = random.below(BROWSERS.len() as u64) as usize;
        let path = random.below(PATHS.len() as u64) as usize;
        let items = random.below(4) as usize;
        let mut values = Self {
            browser,
            path,
            items,
            browser_version: 90 + random.below(60),
            is_referred: random.below(3) != 0,
            screen_width: random.below(4) as usize,
            session: random.bits(),
            price: (random.below(1_000_000) as f64) / 100.0,
            ratio: random.unit(),
            quantity: random.below(1 << 53),
            balance: -(random.below(100_000) as i64),
            is_trial: random.below(2) == 0,
            note: random.below(NOTES.len() as u64) as usize,
            counts: [0; 3],
            name: 0,
        };
        for count in &mut values.counts[..items] {
            *count = random.below(9);
        }
        values.name = random.below(NAMES.len() as u64) as usize;
        values
    }

    /// Which of the systems.
    const fn system(&self, person: u64) -> usize {
        (self.browser + person as usize) % SYSTEMS.len()
    }

    /// The event's name.
    pub const fn name(&self, identifies: bool) -> &'static str {
        if identifies { "$identify" } else { NAMES[self.name] }
    }
}

/// The event's properties, without the marker.
pub(super) fn properties(values: &Values, persona: &Persona, role: &Role) -> Properties {
    let path = PATHS[values.path];
    let cart: Vec<Value> = values.counts[..values.items]
        .iter()
        .enumerate()
        .map(|(item, count)| json!({"sku": format!("sku-{item}"), "count": count}))
        .collect();
    let mut properties = object(json!({
        "$lib": LIBRARY,
        "$lib_version": env!("CARGO_PKG_VERSION"),
        "$browser": BROWSERS[values.browser],
        "$browser_version": values.browser_version,
        "$os": SYSTEMS[values.system(role.person)],
        "$current_url": format!("https://{}{path}", persona.host),
        "$pathname": path,
        "$host": persona.host,
        "$referrer": if values.is_referred { json!(REFERRER) } else { Value::Null },
        "$screen_width": SCREEN_WIDTHS[values.screen_width],
        "$session_id": format!("{:016x}", values.session),
        "$timezone": persona.time_zone,
        "$raw_user_agent": persona.user_agent,
        "city": persona.city,
        "country": persona.country,
        "company": persona.company,
        "reported_address": persona.address,
        "ordinal": role.ordinal,
        "price": values.price,
        "ratio": values.ratio,
        "quantity": values.quantity,
        "balance": values.balance,
        "is_trial": values.is_trial,
        "note": NOTES[values.note],
        "motto": persona.motto,
        "cart": cart,
        "context": {"plan": PLANS[(role.person % 3) as usize], "flags": {}, "tags": []},
    }));
    if let Some(anonymous) = &role.identifies {
        properties.insert("$anon_distinct_id".into(), anonymous.as_str().into());
        properties.insert("$set".into(), json!({"name": persona.name, "email": persona.email}));
        properties.insert("$set_once".into(), json!({"initial_path": path}));
    }
    properties
}

fn object(value: Value) -> Properties {
    match value {
        Value::Object(properties) => properties,
        _ => Properties::new(),
    }
}

/// What is the same in the JSON text of all events of one persona, in one piece: runs of members in the order of keys, the
/// last of them perhaps without the end of its value.
#[derive(Debug, Clone)]
pub(super) struct Template {
    text: Box<str>,
    runs: [Run; 9],
}

/// Where a run of members ends in its template, and where in the run members begin behind the first; 0 for none.
#[derive(Debug, Clone, Copy)]
struct Run {
    end: u32,
    members: [u32; 3],
}

/// Places in a [`Template`].
#[derive(Clone, Copy)]
enum Same {
    /// `$current_url` up to the path.
    Url,
    /// `$host` to `$os`.
    Host,
    /// `$raw_user_agent` and `$referrer`.
    UserAgent,
    /// `$set` and `$set_once`.
    Set,
    /// `$timezone` and the marker.
    TimeZone,
    /// `city` to `context`.
    City,
    /// `country` and `is_trial`.
    Country,
    /// `motto` and `note`.
    Motto,
    /// `reported_address`.
    Address,
}

/// The texts of all personas' events that hold a choice of few, as JSON.
#[derive(Debug, Clone)]
pub(super) struct Choices {
    paths: [String; PATHS.len()],
    notes: [String; NOTES.len()],
    systems: [String; SYSTEMS.len()],
    contexts: [String; PLANS.len()],
}

/// A string's JSON text.
fn quoted(value: &str) -> String {
    // Serialising a string into memory cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

impl Choices {
    pub fn new() -> Self {
        let context = |plan| format!("{{\"flags\":{{}},\"plan\":{},\"tags\":[]}}", quoted(plan));
        Self {
            paths: PATHS.map(quoted),
            notes: NOTES.map(quoted),
            systems: SYSTEMS.map(quoted),
            contexts: PLANS.map(context),
        }
    }
}

impl Template {
    pub fn of(persona: &Persona) -> Self {
        let member = |key: &str, value: &str| format!("\"{key}\":{}", quoted(value));
        let open = |key: &str| format!("\"{key}\":");
        let runs = [
            vec![format!("\"$current_url\":\"https://{}", within_quotes(&quoted(&persona.host)))],
            vec![
                member("$host", &persona.host),
                member("$lib", LIBRARY),
                member("$lib_version", env!("CARGO_PKG_VERSION")),
                open("$os"),
            ],
            vec![member("$raw_user_agent", &persona.user_agent), open("$referrer")],
            vec![
                format!("\"$set\":{{\"email\":{},\"name\":{}}}", quoted(&persona.email), quoted(&persona.name)),
                open("$set_once"),
            ],
            vec![member("$timezone", &persona.time_zone), open(MARKER_PROPERTY)],
            vec![member("city", &persona.city), member("company", &persona.company), open("context")],
            vec![member("country", &persona.country), open("is_trial")],
            vec![member("motto", &persona.motto), open("note")],
            vec![member("reported_address", &persona.address)],
        ];
        let mut text = String::new();
        let runs = runs.map(|members| {
            let start = text.len();
            let mut begins = [0; 3];
            for (number, member) in members.iter().enumerate() {
                if let Some(begin) = number.checked_sub(1).and_then(|place| begins.get_mut(place)) {
                    text.push(',');
                    *begin = (text.len() - start) as u32;
                }
                text += member;
            }
            Run { end: text.len() as u32, members: begins }
        });
        Self { text: text.into(), runs }
    }

    /// Writes a run of members.
    fn run<'a, 'b>(&self, json: &'b mut Members<'a>, place: Same) -> &'b mut Members<'a> {
        let place = place as usize;
        let begin = place.checked_sub(1).map_or(0, |before| self.runs[before].end);
        let Run { end, members } = self.runs[place];
        json.member(self.text.get(begin as usize..end as usize).unwrap_or_default());
        let first = json.members.last().copied().unwrap_or_default();
        json.members.extend(members.iter().take_while(|member| **member > 0).map(|member| first + member));
        json
    }

    /// Writes the JSON text of [`properties`] with the marker among them, byte for byte as `serde_json` does.
    pub fn write(&self, choices: &Choices, values: &Values, role: &Numbers, id: EventId, into: &mut EventText) {
        let EventText { properties, members, ids_of_person: [_, anonymous], .. } = into;
        let mut json = Members { text: properties, members };
        let path = &choices.paths[values.path];
        if role.identifies {
            json.member("\"$anon_distinct_id\":\"").bytes(anonymous).put("\"");
        }
        json.member("\"$browser\":\"").put(BROWSERS[values.browser]).put("\"");
        json.member("\"$browser_version\":").number(values.browser_version);
        self.run(&mut json, Same::Url).put(within_quotes(path)).put("\"");
        self.run(&mut json, Same::Host).put(&choices.systems[values.system(role.person)]);
        json.member("\"$pathname\":").put(path);
        self.run(&mut json, Same::UserAgent).put(if values.is_referred { REFERRER_JSON } else { "null" });
        json.member("\"$screen_width\":").number(u64::from(SCREEN_WIDTHS[values.screen_width]));
        json.member("\"$session_id\":\"").hexadecimal(values.session).put("\"");
        if role.identifies {
            self.run(&mut json, Same::Set).put("{\"initial_path\":").put(path).put("}");
        }
        let mut uuid = [b'"'; uuid::fmt::Hyphenated::LENGTH + 2];
        id.to_uuid().hyphenated().encode_lower(&mut uuid[1..]);
        self.run(&mut json, Same::TimeZone).bytes(&uuid);
        json.member(if values.balance < 0 { "\"balance\":-" } else { "\"balance\":" });
        json.number(values.balance.unsigned_abs());
        json.member("\"cart\":[");
        for (item, count) in values.counts[..values.items].iter().enumerate() {
            json.put(if item == 0 { "{\"count\":" } else { ",{\"count\":" }).number(*count);
            json.put(",\"sku\":\"sku-").number(item as u64).put("\"}");
        }
        json.put("]");
        self.run(&mut json, Same::City).put(&choices.contexts[(role.person % 3) as usize]);
        self.run(&mut json, Same::Country).put(if values.is_trial { "true" } else { "false" });
        self.run(&mut json, Same::Motto).put(&choices.notes[values.note]);
        json.member("\"ordinal\":").number(role.ordinal);
        json.member("\"price\":").float(values.price);
        json.member("\"quantity\":").number(values.quantity);
        json.member("\"ratio\":").float(values.ratio);
        self.run(&mut json, Same::Address).put("}");
    }
}

/// A JSON object's text while it is written, member by member.
struct Members<'a> {
    text: &'a mut Vec<u8>,
    members: &'a mut Vec<u32>,
}

impl Members<'_> {
    /// Begins a member with its key, quotes and colon included, and perhaps the beginning of its value.
    fn member(&mut self, begin: &str) -> &mut Self {
        self.text.push(if self.members.is_empty() { b'{' } else { b',' });
        self.members.push(self.text.len() as u32);
        self.put(begin)
    }

    fn put(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.text.extend_from_slice(bytes);
        self
    }

    fn number(&mut self, number: u64) -> &mut Self {
        text::decimal(self.text, number);
        self
    }

    fn float(&mut self, number: f64) -> &mut Self {
        text::float(self.text, number);
        self
    }

    /// Sixteen digits.
    fn hexadecimal(&mut self, word: u64) -> &mut Self {
        text::hexadecimal::<16>(self.text, word);
        self
    }
}

/// The text of a JSON string without its quotes.
fn within_quotes(string: &str) -> &str {
    string.get(1..string.len().saturating_sub(1)).unwrap_or_default()
}
