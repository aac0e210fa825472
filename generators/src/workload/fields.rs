//! Other fields of an event, beside those that each has: a person's properties, what nobody knows, and in v1 options, session and
//! window (ingestion contract 1.2; rust/capture/src/v1/analytics/types.rs).

use crate::{
    event::{Event, Member},
    random::Random,
    workload::TimeForm,
};

/// Options of v1, as JSON; of the last three it refuses each.
const OPTIONS: [&str; 8] = [
    "null",
    "{}",
    "{\"product_tour_id\":7}",
    "{\"cookieless_mode\":\"0\",\"unknown\":[1]}",
    "{\"process_person_profile\":true,\"product_tour_id\":\"tour\"}",
    "{\"cookieless_mode\":\"maybe\"}",
    "{\"product_tour_id\":1.5}",
    "[]",
];

/// Adds them to `event`.
pub(super) fn add(event: &mut Event, random: &mut Random, is_v1: bool) {
    let mut put = |key: &str, value: String| event.others.push(Member::new(key, value));
    put("$set", format!("{{\"plan\":\"{}\"}}", random.below(5)));
    put("$set_once", "{\"first\":true}".to_owned());
    // Both are dropped, and nobody is told.
    put("$unset", "[\"plan\"]".to_owned());
    put("nobody_knows", "{\"a\":[1,{}]}".to_owned());
    if is_v1 {
        put("session_id", format!("\"session-{}\"", random.below(9)));
        put("window_id", if random.below(2) == 0 { "null".to_owned() } else { "\"window\"".to_owned() });
        let options = random.pick(&OPTIONS).copied().unwrap_or_default();
        // Where an event asks for its time to be taken as it is, its options say that.
        if event.oddities.time != TimeForm::IgnoreSentAt {
            event.others.push(Member::new("options", options.to_owned()));
        }
    }
}
