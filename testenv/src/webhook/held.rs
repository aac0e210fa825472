//! What the webhook sink holds: deliveries that nobody has fetched yet, and which requests it refuses.

use std::{collections::VecDeque, fmt::Write};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::draw::drawn;

/// So many bytes of deliveries are told at once, at about the most.
const TOLD: usize = 4 << 20;
/// More bytes of deliveries are not held: who sends them has to wait until they are fetched.
const MOST: usize = 256 << 20;

/// Which requests are refused: a share of them, drawn from a seed.
#[derive(Debug, Clone)]
pub(super) struct Refusals {
    seed: u64,
    of_a_million: u64,
    asked: u64,
}

impl Refusals {
    /// So many of a million requests.
    pub(super) const fn new(seed: u64, of_a_million: u64) -> Self {
        Self { seed, of_a_million, asked: 0 }
    }

    /// Whether the next request is refused.
    const fn next(&mut self) -> bool {
        self.asked += 1;
        drawn(self.seed, self.asked) % 1_000_000 < self.of_a_million
    }
}

/// Deliveries that nobody has fetched yet.
#[derive(Debug)]
pub(super) struct Held {
    refusals: Refusals,
    /// The number of the first that is held.
    first: u64,
    deliveries: VecDeque<String>,
    bytes: usize,
    requests: u64,
    refused: u64,
}

#[derive(Deserialize)]
struct Body {
    plugin: String,
    batch: Vec<Box<RawValue>>,
}

impl Held {
    /// Nothing was delivered yet.
    pub(super) const fn new(refusals: Refusals) -> Self {
        Self { refusals, first: 0, deliveries: VecDeque::new(), bytes: 0, requests: 0, refused: 0 }
    }

    /// Takes a request, or refuses it. What cannot be read is taken, and told as it is.
    pub(super) fn take(&mut self, body: &[u8]) -> bool {
        self.requests += 1;
        if self.refusals.next() || self.bytes > MOST {
            self.refused += 1;
            return false;
        }
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { plugin, batch }) => {
                let plugin = serde_json::Value::from(plugin);
                for event in batch {
                    self.hold(format!("{{\"plugin\":{plugin},\"event\":{}}}", event.get()));
                }
            }
            Err(_) => {
                let text = serde_json::Value::from(String::from_utf8_lossy(body).chars().take(200).collect::<String>());
                self.hold(format!("{{\"unreadable\":{text}}}"));
            }
        }
        true
    }

    fn hold(&mut self, delivery: String) {
        self.bytes += delivery.len();
        self.deliveries.push_back(delivery);
    }

    /// Tells of deliveries from number `from` on, in JSON, and forgets those before.
    pub(super) fn tell(&mut self, from: u64) -> String {
        while self.first < from {
            let Some(delivery) = self.deliveries.pop_front() else { break };
            self.bytes -= delivery.len();
            self.first += 1;
        }
        let (mut text, mut told) = (String::new(), 0);
        for delivery in &self.deliveries {
            if text.len() > TOLD {
                break;
            }
            text.push_str(if told == 0 { "" } else { "," });
            text.push_str(delivery);
            told += 1;
        }
        let Self { first, requests, refused, .. } = self;
        let mut reply = String::with_capacity(text.len() + 100);
        // Writing into a String does not fail.
        let _ = write!(
            reply,
            "{{\"next\":{},\"requests\":{requests},\"refused\":{refused},\"deliveries\":[{text}]}}",
            *first + told
        );
        reply
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(held: &mut Held, from: u64) -> Value {
        serde_json::from_str(&held.tell(from)).unwrap()
    }

    #[test]
    fn deliveries_are_told_until_the_next_ones_are_asked_for() {
        let mut held = Held::new(Refusals::new(1, 0));
        assert!(held.take(br#"{"plugin":"a\"b","batch":[{"n":1.50},{"n":2}]}"#));
        assert!(held.take(b"none"));
        let expected = json!([{"plugin": "a\"b", "event": {"n": 1.5}}, {"plugin": "a\"b", "event": {"n": 2}}, {"unreadable": "none"}]);
        let all = json!({"next": 3, "requests": 2, "refused": 0, "deliveries": expected});
        assert_eq!(told(&mut held, 0), all);
        assert_eq!(told(&mut held, 0), all, "nobody has said that it has them");
        assert!(held.tell(0).contains("1.50"), "numbers are told as they came");
        assert_eq!(told(&mut held, 2)["deliveries"], json!([{"unreadable": "none"}]));
        assert_eq!(told(&mut held, 3), json!({"next": 3, "requests": 2, "refused": 0, "deliveries": []}));
        assert_eq!(held.bytes, 0);
    }

    #[test]
    fn a_share_of_the_requests_is_refused_and_the_seed_says_which() {
        let refused = |seed| {
            let mut held = Held::new(Refusals::new(seed, 50_000));
            let all: Vec<bool> = (0..4_000).map(|_| held.take(br#"{"plugin":"a","batch":[{}]}"#)).collect();
            assert_eq!(held.refused, all.iter().filter(|taken| !**taken).count() as u64);
            assert_eq!(held.deliveries.len() as u64, 4_000 - held.refused, "what is refused is not delivered");
            (held.refused, all)
        };
        let (first, second) = (refused(1), refused(2));
        assert!((140..=260).contains(&first.0) && (140..=260).contains(&second.0), "{} {}", first.0, second.0);
        assert_eq!(first, refused(1));
        assert_ne!(first.1, second.1);
    }
}
