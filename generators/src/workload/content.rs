//! What an event holds: a name and some twenty-five properties of every JSON type.

use serde_json::{Value, json};

use super::person::Role;
use crate::{event::Properties, persona::Persona, random::Random};

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

/// The event's name and properties, without the marker.
pub(super) fn of(random: &mut Random, persona: &Persona, role: &Role) -> (String, Properties) {
    let browser = random.below(BROWSERS.len() as u64) as usize;
    let path = PATHS[random.below(PATHS.len() as u64) as usize];
    let items = random.below(4);
    let mut properties = object(json!({
        "$lib": "assay",
        "$lib_version": env!("CARGO_PKG_VERSION"),
        "$browser": BROWSERS[browser],
        "$browser_version": 90 + random.below(60),
        "$os": SYSTEMS[(browser + role.person as usize) % SYSTEMS.len()],
        "$current_url": format!("https://{}{path}", persona.host),
        "$pathname": path,
        "$host": persona.host,
        "$referrer": if random.below(3) == 0 { Value::Null } else { json!("https://search.example.com/") },
        "$screen_width": SCREEN_WIDTHS[random.below(4) as usize],
        "$session_id": format!("{:016x}", random.bits()),
        "$timezone": persona.time_zone,
        "$raw_user_agent": persona.user_agent,
        "city": persona.city,
        "country": persona.country,
        "company": persona.company,
        "reported_address": persona.address,
        "ordinal": role.ordinal,
        "price": (random.below(1_000_000) as f64) / 100.0,
        "ratio": random.unit(),
        "quantity": random.below(1 << 53),
        "balance": -(random.below(100_000) as i64),
        "is_trial": random.below(2) == 0,
        "note": NOTES[random.below(NOTES.len() as u64) as usize],
        "motto": persona.motto,
        "cart": (0..items).map(|item| json!({"sku": format!("sku-{item}"), "count": random.below(9)})).collect::<Vec<_>>(),
        "context": {"plan": PLANS[(role.person % 3) as usize], "flags": {}, "tags": []},
    }));
    let name = if let Some(anonymous) = &role.identifies {
        properties.insert("$anon_distinct_id".into(), anonymous.as_str().into());
        properties.insert("$set".into(), json!({"name": persona.name, "email": persona.email}));
        properties.insert("$set_once".into(), json!({"initial_path": path}));
        "$identify"
    } else {
        NAMES[random.below(NAMES.len() as u64) as usize]
    };
    (name.to_owned(), properties)
}

fn object(value: Value) -> Properties {
    match value {
        Value::Object(properties) => properties,
        _ => Properties::new(),
    }
}
