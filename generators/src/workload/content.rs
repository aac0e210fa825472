//! What an event holds: a name and some twenty-five properties of every JSON type.
//!
//! There are two ways to the same JSON: a map of values, which is plain to read, and text, which is quick to make. Each persona
//! has a few variants; in their text only some values differ from event to event, and all but one of those have the same
//! width always, so the text is copied from a [`Template`] and its holes are patched.

use serde_json::{Value, json};

use super::person::{Numbers, Role};
use crate::{
    event::Properties,
    identity::{EventId, MARKER_PROPERTY, StreamId},
    persona::Persona,
    random::{Purpose, Random, mix},
    text::{UUID_LENGTH, decimal_length, put_decimal, put_digits, put_hexadecimal},
};

pub const LIBRARY: &str = "assay";
/// Not that of this program: the same workload version makes the same bytes.
pub const LIBRARY_VERSION: &str = "4.0.0";
const REFERRER: &str = "https://search.example.com/";
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

/// How many variants a persona has.
pub(super) const VARIANTS: u64 = 4;

/// What is the same in all events of one variant of a persona, beside what is the persona's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variant {
    browser: usize,
    system: usize,
    path: usize,
    is_referred: bool,
    screen_width: usize,
    plan: usize,
    precise: f64,
    is_trial: bool,
    note: usize,
    items: usize,
}

impl Variant {
    /// Variant number `variant` of persona number `persona`.
    pub fn draw(seed: u64, persona: u64, variant: u64) -> Self {
        let index = persona * VARIANTS + variant;
        let mut random = Random::new(seed, StreamId(0), index, Purpose::Variant);
        let mut below = |length: usize| random.below(length as u64) as usize;
        let (browser, system, path) = (below(BROWSERS.len()), below(SYSTEMS.len()), below(PATHS.len()));
        let (is_referred, screen_width) = (below(3) != 0, below(SCREEN_WIDTHS.len()));
        let (plan, is_trial, note, items) = (below(PLANS.len()), below(2) == 0, below(NOTES.len()), below(4));
        let precise = random.unit();
        Self { browser, system, path, is_referred, screen_width, plan, precise, is_trial, note, items }
    }
}

/// What differs from event to event. Drawn in one order for both ways, which is part of the workload and must not change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values {
    /// Which variant of its persona it is.
    pub variant: u64,
    name: usize,
    browser_version: u64,
    /// Which session it belongs to, and which device that is on.
    session: Session,
    /// In cents, the last of them never 0.
    price: u64,
    /// In millionths from 100 000 on, the last of them never 0.
    ratio: u64,
    quantity: u64,
    /// What is owed.
    balance: u64,
    counts: [u64; 3],
}

/// A session of a person, on one of its devices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Session {
    id: u64,
    device: u64,
}

/// A person's session ends after so many of its events.
const SESSION_EVENTS: u64 = 8;
/// A person has this many devices at most.
const DEVICES: u64 = 3;

impl Session {
    /// The session of a person's event number `ordinal`, with the person's own `random` values.
    pub fn of(mut random: Random, ordinal: u64) -> Self {
        let (first, devices) = (random.bits(), 1 + random.below(DEVICES));
        let id = mix(first.wrapping_add(ordinal / SESSION_EVENTS));
        // A division by what is known is no division, and all of them cost less than a branch that nobody can foresee.
        let device = [0, id % 2, id % DEVICES][(devices - 1) as usize];
        // A session is on one device.
        Self { id, device: mix(first ^ (1 + device)) }
    }
}

impl Values {
    pub fn draw(random: &mut Random, session: Session) -> Self {
        // All of one width, and no decimal ends with a zero, which JSON would leave out.
        let of_choices = random.bits();
        let choice = |at: u32, bound: u64| ((of_choices >> at & 0xff) * bound) >> 8;
        Self {
            variant: choice(0, VARIANTS),
            name: choice(8, NAMES.len() as u64) as usize,
            browser_version: 100 + choice(16, 60),
            counts: [choice(24, 9), choice(32, 9), choice(40, 9)],
            session,
            price: (10_000 + random.below(90_000)) * 10 + 1 + choice(48, 9),
            ratio: (10_000 + random.below(90_000)) * 10 + 1 + choice(56, 9),
            quantity: 1_000_000_000_000_000 + random.below(8_000_000_000_000_000),
            balance: 10_000 + random.below(90_000),
        }
    }

    /// The event's name, where no other is wanted.
    pub const fn name(&self) -> &'static str {
        NAMES[self.name]
    }
}

/// The event's properties, with the marker.
pub(super) fn properties(
    values: &Values,
    persona: &Persona,
    variant: &Variant,
    role: &Role,
    id: EventId,
) -> Properties {
    let path = PATHS[variant.path];
    let cart: Vec<Value> = values.counts[..variant.items]
        .iter()
        .enumerate()
        .map(|(item, count)| json!({"sku": format!("sku-{item}"), "count": count}))
        .collect();
    let mut properties = object(json!({
        "$lib": LIBRARY,
        "$lib_version": LIBRARY_VERSION,
        "$browser": BROWSERS[variant.browser],
        "$browser_version": values.browser_version,
        "$os": SYSTEMS[variant.system],
        "$current_url": format!("https://{}{path}", persona.host),
        "$pathname": path,
        "$host": persona.host,
        "$referrer": if variant.is_referred { json!(REFERRER) } else { Value::Null },
        "$screen_width": SCREEN_WIDTHS[variant.screen_width],
        "$session_id": format!("{:016x}", values.session.id),
        "$device_id": format!("{:016x}", values.session.device),
        "$timezone": persona.time_zone,
        "$raw_user_agent": persona.user_agent,
        "city": persona.city,
        "country": persona.country,
        "company": persona.company,
        "reported_address": persona.address,
        "ordinal": role.ordinal,
        "precise": variant.precise,
        "price": values.price as f64 / 100.0,
        "ratio": values.ratio as f64 / 1e6,
        "quantity": values.quantity,
        "balance": -(values.balance as i64),
        "is_trial": variant.is_trial,
        "note": NOTES[variant.note],
        "motto": persona.motto,
        "cart": cart,
        "context": {"plan": PLANS[variant.plan], "flags": {}, "tags": []},
    }));
    properties.insert(MARKER_PROPERTY.to_owned(), id.to_string().into());
    if let Some(anonymous) = &role.identifies {
        properties.insert(ANONYMOUS.into(), anonymous.as_str().into());
        properties.insert("$set".into(), json!({"name": persona.name, "email": persona.email}));
        properties.insert("$set_once".into(), json!({"initial_path": path}));
    }
    properties
}

/// Comes before all other keys.
const ANONYMOUS: &str = "$anon_distinct_id";
const ANONYMOUS_BEGIN: &[u8] = b"{\"$anon_distinct_id\":\"";
const ANONYMOUS_END: &[u8] = b"\",";

fn object(value: Value) -> Properties {
    match value {
        Value::Object(properties) => properties,
        _ => Properties::new(),
    }
}

/// The JSON text of one variant's events, with holes; in two forms, of which the second is for the event that identifies, all
/// but its anonymous id.
#[derive(Debug, Clone)]
pub(super) struct Template([Form; 2]);

#[derive(Debug, Clone)]
struct Form {
    text: Box<[u8]>,
    /// Where each member begins, with the quote of its key.
    members: Box<[u32]>,
    /// Where the value of `ordinal` stands, one digit here, which alone has no width of its own.
    ordinal: usize,
    holes: Holes,
}

/// Where the values are that differ, in the template's text.
#[derive(Debug, Clone, Copy, Default)]
struct Holes {
    browser_version: usize,
    session: usize,
    device: usize,
    marker: usize,
    balance: usize,
    counts: [usize; 3],
    price: usize,
    quantity: usize,
    ratio: usize,
}

impl Template {
    /// The template of events like `properties`, which are those of an event that identifies, with `ordinal` 0.
    pub fn of(mut properties: Properties) -> Self {
        properties.remove(ANONYMOUS);
        let identifying = Form::of(&properties);
        for key in ["$set", "$set_once"] {
            properties.remove(key);
        }
        Self([Form::of(&properties), identifying])
    }

    /// Appends where the members of what [`Template::write`] writes at `start` begin.
    pub fn members(&self, role: &Numbers, anonymous: &[u8], start: usize, members: &mut Vec<u32>) {
        let Form { members: begins, ordinal, .. } = &self.0[usize::from(role.identifies)];
        let mut base = start;
        if role.identifies {
            members.push(start as u32 + 1);
            base += ANONYMOUS_BEGIN.len() + anonymous.len() + ANONYMOUS_END.len() - 1;
        }
        let length = decimal_length(role.ordinal);
        members.extend(begins.iter().map(|begin| {
            let behind = if *begin as usize > *ordinal { length - 1 } else { 0 };
            *begin + (base + behind) as u32
        }));
    }

    /// Appends the JSON text of [`properties`], byte for byte as `serde_json` writes it; `marker` is the event's UUID.
    pub fn write(
        &self,
        values: &Values,
        role: &Numbers,
        marker: &[u8; UUID_LENGTH],
        anonymous: &[u8],
        into: &mut Vec<u8>,
    ) {
        let Form { text, ordinal, holes, .. } = &self.0[usize::from(role.identifies)];
        let mut text = &text[..];
        if role.identifies {
            into.extend_from_slice(ANONYMOUS_BEGIN);
            into.extend_from_slice(anonymous);
            into.extend_from_slice(ANONYMOUS_END);
            // Its own brace is not needed; what its places count from lies before it.
            text = &text[1..];
        }
        let base = into.len() - usize::from(role.identifies);
        let ordinal = *ordinal - usize::from(role.identifies);
        let shift = if role.ordinal < 10 {
            // It has the place that there is.
            let at = into.len() + ordinal;
            into.extend_from_slice(text);
            into[at] = b'0' + role.ordinal as u8;
            0
        } else {
            let (head, tail) = text.split_at(ordinal);
            into.extend_from_slice(head);
            let before = into.len();
            put_decimal(into, role.ordinal);
            into.extend_from_slice(&tail[1..]);
            into.len() - before - tail.len()
        };
        let text = &mut into[base..];
        put_digits(&mut text[holes.browser_version..][..3], values.browser_version);
        put_hexadecimal(&mut text[holes.session..][..16], values.session.id);
        put_hexadecimal(&mut text[holes.device..][..16], values.session.device);
        if let Some(place) = text[holes.marker..].first_chunk_mut() {
            *place = *marker;
        }
        // Where there is no such item, the balance is written over it.
        for (count, hole) in values.counts.iter().zip(holes.counts) {
            text[hole] = b'0' + *count as u8;
        }
        put_digits(&mut text[holes.balance..][..5], values.balance);
        let text = &mut text[shift..];
        put_digits(&mut text[holes.price..][..4], values.price / 100);
        put_digits(&mut text[holes.price + 5..][..2], values.price % 100);
        put_digits(&mut text[holes.quantity..][..16], values.quantity);
        put_digits(&mut text[holes.ratio + 2..][..6], values.ratio);
    }
}

impl Form {
    fn of(properties: &Properties) -> Self {
        let mut text = String::from("{");
        let (mut members, mut holes, mut ordinal) = (Vec::new(), Holes::default(), 0);
        for (key, value) in properties {
            if text.len() > 1 {
                text.push(',');
            }
            members.push(text.len() as u32);
            // Serialising into memory cannot fail.
            text += &serde_json::to_string(key).unwrap_or_default();
            text.push(':');
            let at = text.len();
            text += &value.to_string();
            match key.as_str() {
                "$browser_version" => holes.browser_version = at,
                // Behind the quote, or the sign.
                "$session_id" => holes.session = at + 1,
                "$device_id" => holes.device = at + 1,
                MARKER_PROPERTY => holes.marker = at + 1,
                "balance" => holes.balance = at + 1,
                "cart" => {
                    for (hole, (count, key)) in holes.counts.iter_mut().zip(text[at..].match_indices(COUNT)) {
                        *hole = at + count + key.len();
                    }
                }
                "ordinal" => ordinal = at,
                "price" => holes.price = at,
                "quantity" => holes.quantity = at,
                "ratio" => holes.ratio = at,
                _ => (),
            }
        }
        text.push('}');
        for hole in holes.counts.iter_mut().filter(|hole| **hole == 0) {
            *hole = holes.balance;
        }
        Self { text: text.into_bytes().into(), members: members.into(), ordinal, holes }
    }
}

const COUNT: &str = "\"count\":";
