//! Commands as they may be shown: what they do, and no secret that somebody has written into them.
//!
//! What is known to be secret is taken out wherever it stands; beside that the value of whatever is called like a secret, and
//! the user and password of a URL. Rather too much is taken out than too little.

/// In the place of what is not shown.
const CONCEALED: &str = "…";
/// What secrets are called, or parts of it.
const NAMES: [&str; 9] =
    ["password", "passwd", "secret", "token", "authorization", "credential", "api-key", "api_key", "apikey"];

/// `words` as a person reads them, without `secrets` and what looks like one.
pub fn shown(words: &[String], secrets: &[&str]) -> String {
    let mut is_value = false;
    let shown = words.iter().map(|word| {
        let concealed = if is_value { CONCEALED.to_owned() } else { concealed(word, secrets) };
        // `--password` tells what the next word is; `--password=x` tells it by itself, and `get secret` is no flag.
        is_value = word.starts_with('-') && !word.contains(['=', ':', ' ']) && is_name(word);
        let is_plain = !concealed.is_empty() && !concealed.contains(|c: char| c.is_whitespace() || c.is_control());
        if is_plain { concealed } else { format!("{concealed:?}") }
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn concealed(word: &str, secrets: &[&str]) -> String {
    let known = secrets.iter().filter(|secret| !secret.is_empty());
    let word = known.fold(word.to_owned(), |word, secret| word.replace(secret, CONCEALED));
    let mut shown = String::new();
    // A word may be a whole script.
    for (number, piece) in word.split(' ').enumerate() {
        if number > 0 {
            shown.push(' ');
        }
        if let Some((name, value)) = piece.split_once(['=', ':'])
            && is_name(name)
        {
            shown += &piece[..=name.len()];
            shown += CONCEALED;
            if value.is_empty() {
                // A header's value is the rest of the word.
                break;
            }
        } else if piece.starts_with('-') && is_name(piece) {
            shown += piece;
            if piece.len() < word.len() {
                shown += " ";
                shown += CONCEALED;
                break;
            }
        } else {
            shown += &without_user(piece);
        }
    }
    shown
}

/// Whether what is called so is a secret.
fn is_name(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    NAMES.iter().any(|name| text.contains(name))
}

/// A URL without its user and password.
fn without_user(piece: &str) -> String {
    let split = piece.split_once("://").and_then(|(scheme, rest)| {
        let host = rest.split('/').next().unwrap_or_default();
        host.rfind('@').map(|at| format!("{scheme}://{CONCEALED}{}", &rest[at..]))
    });
    split.unwrap_or_else(|| piece.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        shown(&words, &["phc_abc", ""])
    }

    #[test]
    fn commands_are_shown_as_they_are() {
        for words in [
            &["kubectl", "-n", "posthog", "delete", "pod", "-l", "app=ingester", "--grace-period=0"][..],
            &["kubectl", "get", "secret", "x"],
            &["curl", "http://host:8080/break"],
        ] {
            assert_eq!(shown_of(words), words.join(" "));
        }
        assert_eq!(shown_of(&["sh", "-c", "echo a; echo b", ""]), r#"sh -c "echo a; echo b" """#);
    }

    #[test]
    fn no_secret_is_shown() {
        for (words, expected) in [
            (&["post", "x/phc_abc/y"][..], "post x/…/y"),
            (&["x", "--password", "pw", "end"], "x --password … end"),
            (&["x", "--password=pw"], "x --password=…"),
            (&["env", "API_TOKEN=pw", "x"], "env API_TOKEN=… x"),
            (&["curl", "-H", "Authorization: Bearer pw"], "curl -H Authorization:…"),
            (&["curl", "-HX-Api-Key:pw"], "curl -HX-Api-Key:…"),
            (&["curl", "https://me:pw@host/path"], "curl https://…@host/path"),
            (&["sh", "-c", "SECRET=pw run --token pw now"], r#"sh -c "SECRET=… run --token …""#),
        ] {
            assert_eq!(shown_of(words), expected);
        }
    }
}
