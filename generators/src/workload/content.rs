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
    workload::text::Members,
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
    /// With their keys.
    browsers: [String; BROWSERS.len()],
    screen_widths: [String; SCREEN_WIDTHS.len()],
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
            browsers: BROWSERS.map(|browser| format!("\"$browser\":{}", quoted(browser))),
            screen_widths: SCREEN_WIDTHS.map(|width| format!("\"$screen_width\":{width}")),
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

    /// A run of members, and where those behind the first begin.
    fn run(&self, place: Same) -> (&str, &[u32]) {
        let place = place as usize;
        let begin = place.checked_sub(1).map_or(0, |before| self.runs[before].end);
        let Run { end, members } = &self.runs[place];
        let behind = members.iter().take_while(|member| **member > 0).count();
        (self.text.get(begin as usize..*end as usize).unwrap_or_default(), &members[..behind])
    }

    /// Tells the members of [`properties`] and the marker among them, in the order of their keys, as the text that
    /// `serde_json` makes of them.
    pub fn tell<'a>(
        &'a self,
        choices: &'a Choices,
        values: &Values,
        role: &Numbers,
        id: EventId,
        anonymous: &[u8],
        to: &mut impl Members<'a>,
    ) {
        let path = &choices.paths[values.path];
        if role.identifies {
            to.members("\"$anon_distinct_id\":\"", &[]);
            to.value(anonymous);
            to.value(b"\"");
        }
        to.members(&choices.browsers[values.browser], &[]);
        to.members("\"$browser_version\":", &[]);
        number(to, values.browser_version);
        self.members(to, Same::Url);
        to.value(within_quotes(path).as_bytes());
        to.value(b"\"");
        self.members(to, Same::Host);
        to.value(choices.systems[values.system(role.person)].as_bytes());
        to.members("\"$pathname\":", &[]);
        to.value(path.as_bytes());
        self.members(to, Same::UserAgent);
        to.value(if values.is_referred { REFERRER_JSON } else { "null" }.as_bytes());
        to.members(&choices.screen_widths[values.screen_width], &[]);
        to.members("\"$session_id\":", &[]);
        to.value(&text::quoted_hexadecimal(values.session));
        if role.identifies {
            self.members(to, Same::Set);
            to.value(b"{\"initial_path\":");
            to.value(path.as_bytes());
            to.value(b"}");
        }
        let mut uuid = [b'"'; uuid::fmt::Hyphenated::LENGTH + 2];
        id.to_uuid().hyphenated().encode_lower(&mut uuid[1..]);
        self.members(to, Same::TimeZone);
        to.value(&uuid);
        to.members(if values.balance < 0 { "\"balance\":-" } else { "\"balance\":" }, &[]);
        number(to, values.balance.unsigned_abs());
        to.members("\"cart\":[", &[]);
        for (item, count) in values.counts[..values.items].iter().enumerate() {
            to.value(if item == 0 { b"{\"count\":" } else { b",{\"count\":" });
            number(to, *count);
            to.value(ITEMS[item]);
        }
        to.value(b"]");
        self.members(to, Same::City);
        to.value(choices.contexts[(role.person % 3) as usize].as_bytes());
        self.members(to, Same::Country);
        to.value(if values.is_trial { b"true" } else { b"false" });
        self.members(to, Same::Motto);
        to.value(choices.notes[values.note].as_bytes());
        to.members("\"ordinal\":", &[]);
        number(to, role.ordinal);
        to.members("\"price\":", &[]);
        float(to, values.price);
        to.members("\"quantity\":", &[]);
        number(to, values.quantity);
        to.members("\"ratio\":", &[]);
        float(to, values.ratio);
        self.members(to, Same::Address);
    }

    fn members<'a>(&'a self, to: &mut impl Members<'a>, place: Same) {
        let (text, behind) = self.run(place);
        to.members(text, behind);
    }
}

/// The ends of the cart's items.
const ITEMS: [&[u8]; 3] = [b",\"sku\":\"sku-0\"}", b",\"sku\":\"sku-1\"}", b",\"sku\":\"sku-2\"}"];

fn number<'a>(to: &mut impl Members<'a>, number: u64) {
    let (digits, length) = text::decimal(number);
    to.value(&digits[..length]);
}

fn float<'a>(to: &mut impl Members<'a>, number: f64) {
    let (digits, length) = text::float(number);
    to.value(&digits[..length]);
}

/// The text of a JSON string without its quotes.
fn within_quotes(string: &str) -> &str {
    string.get(1..string.len().saturating_sub(1)).unwrap_or_default()
}
