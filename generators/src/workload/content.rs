//! What an event holds: a name and some twenty-five properties of every JSON type.
//!
//! There are two ways to the same JSON: a map of values, which is plain to read, and text from a [`Template`], which is
//! quick to make.

use serde_json::{Value, json};

use super::person::{Numbers, Role};
use crate::{
    event::Properties,
    identity::{EventId, MARKER_PROPERTY},
    persona::Persona,
    random::Random,
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

    const fn system(&self, person: u64) -> &'static str {
        SYSTEMS[(self.browser + person as usize) % SYSTEMS.len()]
    }

    /// The event's name.
    pub const fn name(&self, identifies: bool) -> &'static str {
        if identifies { "$identify" } else { NAMES[self.name] }
    }
}

const fn plan_of(person: u64) -> &'static str {
    PLANS[(person % 3) as usize]
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
        "$os": values.system(role.person),
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
        "context": {"plan": plan_of(role.person), "flags": {}, "tags": []},
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

/// What is the same in the JSON text of all events of one persona: the members around the holes, in the order of keys.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// `://HOST`, with the scheme, without the closing quote.
    url: String,
    /// From behind `$current_url` to before the value of `$os`.
    host: String,
    /// From behind `$pathname` to before the value of `$referrer`.
    user_agent: String,
    /// From behind `$session_id` and what identifies to before the value of the marker.
    time_zone: String,
    /// From behind `cart` to before the plan.
    city: String,
    /// From behind the plan to before the value of `is_trial`.
    country: String,
    /// From behind `is_trial` to before the value of `note`.
    motto: String,
    /// From behind `ratio` to the end.
    address: String,
    /// `$set`, whole.
    set: String,
    paths: [String; PATHS.len()],
    notes: [String; NOTES.len()],
}

impl Template {
    pub fn of(persona: &Persona) -> Self {
        // Serialising a string into memory cannot fail.
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let inner = |value: &str| within_quotes(&text(value)).to_owned();
        Self {
            url: format!("https://{}", inner(&persona.host)),
            host: format!(
                "\",\"$host\":{},\"$lib\":\"{LIBRARY}\",\"$lib_version\":\"{}\",\"$os\":\"",
                text(&persona.host),
                env!("CARGO_PKG_VERSION")
            ),
            user_agent: format!(",\"$raw_user_agent\":{},\"$referrer\":", text(&persona.user_agent)),
            time_zone: format!(",\"$timezone\":{},\"{MARKER_PROPERTY}\":\"", text(&persona.time_zone)),
            city: format!(
                "],\"city\":{},\"company\":{},\"context\":{{\"flags\":{{}},\"plan\":\"",
                text(&persona.city),
                text(&persona.company)
            ),
            country: format!("\",\"tags\":[]}},\"country\":{},\"is_trial\":", text(&persona.country)),
            motto: format!(",\"motto\":{},\"note\":", text(&persona.motto)),
            address: format!(",\"reported_address\":{}}}", text(&persona.address)),
            set: format!("{{\"email\":{},\"name\":{}}}", text(&persona.email), text(&persona.name)),
            paths: PATHS.map(text),
            notes: NOTES.map(text),
        }
    }

    /// Writes the JSON text of [`properties`] with the marker among them, byte for byte as `serde_json` does.
    pub fn write(&self, values: &Values, role: &Numbers, id: EventId, into: &mut Vec<u8>) {
        let path = &self.paths[values.path];
        into.push(b'{');
        if role.identifies {
            put(into, "\"$anon_distinct_id\":\"");
            role.write_anonymous(into);
            put(into, "\",");
        }
        put(into, "\"$browser\":\"");
        put(into, BROWSERS[values.browser]);
        put(into, "\",\"$browser_version\":");
        number(into, values.browser_version);
        put(into, ",\"$current_url\":\"");
        put(into, &self.url);
        put(into, within_quotes(path));
        put(into, &self.host);
        put(into, values.system(role.person));
        put(into, "\",\"$pathname\":");
        put(into, path);
        put(into, &self.user_agent);
        put(into, if values.is_referred { REFERRER_JSON } else { "null" });
        put(into, ",\"$screen_width\":");
        number(into, u64::from(SCREEN_WIDTHS[values.screen_width]));
        put(into, ",\"$session_id\":\"");
        hexadecimal(into, values.session);
        into.push(b'"');
        if role.identifies {
            put(into, ",\"$set\":");
            put(into, &self.set);
            put(into, ",\"$set_once\":{\"initial_path\":");
            put(into, path);
            into.push(b'}');
        }
        put(into, &self.time_zone);
        let mut uuid = [0; uuid::fmt::Hyphenated::LENGTH];
        put(into, id.to_uuid().hyphenated().encode_lower(&mut uuid));
        put(into, "\",\"balance\":");
        if values.balance < 0 {
            into.push(b'-');
        }
        number(into, values.balance.unsigned_abs());
        put(into, ",\"cart\":[");
        for (item, count) in values.counts[..values.items].iter().enumerate() {
            put(into, if item == 0 { "{\"count\":" } else { ",{\"count\":" });
            number(into, *count);
            put(into, ",\"sku\":\"sku-");
            number(into, item as u64);
            put(into, "\"}");
        }
        put(into, &self.city);
        put(into, plan_of(role.person));
        put(into, &self.country);
        put(into, if values.is_trial { "true" } else { "false" });
        put(into, &self.motto);
        put(into, &self.notes[values.note]);
        put(into, ",\"ordinal\":");
        number(into, role.ordinal);
        put(into, ",\"price\":");
        float(into, values.price);
        put(into, ",\"quantity\":");
        number(into, values.quantity);
        put(into, ",\"ratio\":");
        float(into, values.ratio);
        put(into, &self.address);
    }
}

/// The text of a JSON string without its quotes.
fn within_quotes(string: &str) -> &str {
    string.get(1..string.len().saturating_sub(1)).unwrap_or_default()
}

fn put(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(text.as_bytes());
}

fn number(into: &mut Vec<u8>, number: u64) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(into, &number);
}

fn float(into: &mut Vec<u8>, number: f64) {
    // Writing into memory cannot fail.
    let _ = serde_json::to_writer(into, &number);
}

/// Sixteen digits.
fn hexadecimal(into: &mut Vec<u8>, word: u64) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    into.extend((0..16).rev().map(|place| DIGITS[(word >> (4 * place)) as usize & 15]));
}
