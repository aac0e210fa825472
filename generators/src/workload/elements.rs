//! What was clicked: the elements from the clicked one outwards, as posthog-js sends them with an `$autocapture`, and as newer
//! versions send them, in one text (ingestion contract 2.2).
//!
//! What the store must make of them is for the oracle to say. Among them is everything that the text of a chain treats in a way
//! of its own: classes in any order, with blanks and quotes, as a list; texts and links that are too long; quotes, backslashes,
//! semicolons and ends of lines; places that are not said; keys that are not kept.

use crate::{event::Member, random::Random};

/// What an event is called that holds them.
pub(super) const NAME: &str = "$autocapture";

/// One in so many events holds the text already.
const TEXTS: u64 = 5;
/// An element with this many others around it is the most.
const AROUND: u64 = 4;

const TAGS: [&str; 6] = ["a", "button", "div", "span", "svg", "my-widget"];
const CLASSES: [&str; 7] =
    ["btn", "zeta alpha  Beta", "sm:w-1/2 hover:bg-[#fff]", "say\"hi\" b;c", "größe 按钮", " lead", ""];
const LINKS: [&str; 3] = ["/pricing?plan=b&from=a#top", "https://shop.example/\"q\"; x", ""];
const LABELS: [&str; 6] = ["Buy now", "say \"hi\"; then=\"x\"", "back\\slash \\\"", "two\nlines", "🦔 hedgehog", ""];
/// Attributes that mean nothing of their own, and what they may hold.
const OTHERS: [(&str, &str); 4] = [
    ("attr__data-attr", "menu;item"),
    ("attr__aria-label", "=\"\""),
    ("attr__type", "submit"),
    ("dropped", "no attribute, so it is not kept"),
];
/// A text as newer clients send it.
const CHAIN: &str = "button.btn.btn-primary:attr__class=\"btn btn-primary\"nth-child=\"2\"nth-of-type=\"1\"text=\"Buy \\\"now\\\"\";\
                     div:nth-child=\"1\"nth-of-type=\"1\"";
/// Texts are cut to 400 UTF-16 units, links to 2 048.
const TOO_LONG: usize = 2_100;

/// The property that holds them.
pub(super) fn member(random: &mut Random) -> Member {
    if random.below(TEXTS) == 0 {
        return Member::new("$elements_chain", quoted(CHAIN));
    }
    let elements: Vec<String> = (0..=random.below(AROUND)).map(|_| element(random)).collect();
    Member::new("$elements", format!("[{}]", elements.join(",")))
}

fn element(random: &mut Random) -> String {
    let mut members = vec![member_of("tag_name", &quoted(pick(random, &TAGS)))];
    match random.below(4) {
        0 => (),
        1 => members.push(member_of("attr__class", r#"["two","one"]"#)),
        _ => members.push(member_of("attr__class", &quoted(pick(random, &CLASSES)))),
    }
    for (key, texts) in [("$el_text", &LABELS[..]), ("attr__href", &LINKS)] {
        match random.below(8) {
            0..3 => (),
            3 => members.push(member_of(key, &quoted(&"lång ".repeat(TOO_LONG / 5)))),
            _ => members.push(member_of(key, &quoted(pick(random, texts)))),
        }
    }
    if random.below(3) == 0 {
        members.push(member_of("attr__id", &quoted("the \"one\"")));
    }
    for key in ["nth_child", "nth_of_type"] {
        if random.below(5) > 0 {
            members.push(member_of(key, &(1 + random.below(30)).to_string()));
        }
    }
    let others = random.bits();
    let chosen = OTHERS.iter().enumerate().filter(|(place, _)| others >> place & 1 == 1);
    members.extend(chosen.map(|(_, (key, text))| member_of(key, &quoted(text))));
    format!("{{{}}}", members.join(","))
}

fn pick<'t>(random: &mut Random, texts: &[&'t str]) -> &'t str {
    random.pick(texts).copied().unwrap_or_default()
}

fn member_of(key: &str, value: &str) -> String {
    format!("\"{key}\":{value}")
}

/// The text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
