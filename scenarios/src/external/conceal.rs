//! Commands as they may be shown: what they do, and no secret that somebody has written into them.
//!
//! What is known to be secret is taken out wherever it stands; beside that whatever follows a name that secrets have, in a flag, a
//! variable, a header, a URL or JSON, and the user and password of a URL. Rather too much is taken out than too little.

/// In the place of what is not shown.
const CONCEALED: &str = "…";
/// What secrets are called, or parts of it.
const NAMES: [&str; 10] =
    ["password", "passwd", "pwd", "secret", "token", "authorization", "credential", "api-key", "api_key", "apikey"];
/// Flags whose value is a user with a password.
const USERS: [&str; 2] = ["-u", "--user"];

/// `words` as a person reads them, without `secrets` and what looks like one.
pub fn shown(words: &[String], secrets: &[&str]) -> String {
    let mut is_value = false;
    let shown = words.iter().map(|word| {
        let concealed = if is_value { CONCEALED.to_owned() } else { concealed(word, secrets) };
        // `--password` tells what the next word is; `--password=x` tells it by itself, and `get secret` is no flag.
        let is_flag = word.starts_with('-') && !word.contains(['=', ':', ' ']);
        is_value = is_flag && (name_in(word).is_some() || USERS.contains(&word.as_str()));
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
        let behind = name_in(piece).and_then(|name| Some(name + piece[name..].find(['=', ':'])? + 1));
        if let Some(behind) = behind {
            shown += &without_user(&piece[..behind]);
            shown += CONCEALED;
            if behind == piece.len() {
                // A header's value is the rest of the word.
                break;
            }
        } else if piece.starts_with('-') && name_in(piece).is_some() {
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

/// Where the first name of a secret begins.
fn name_in(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    NAMES.iter().filter_map(|name| text.find(name)).min()
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
            (
                &["x", "--set=auth.password=pw", "--from-literal=password=pw"],
                "x --set=auth.password=… --from-literal=password=…",
            ),
            (&["x", "--env=API_TOKEN=pw", "--header=X-Api-Key:pw"], "x --env=API_TOKEN=… --header=X-Api-Key:…"),
            (&["curl", "https://me:pw@host/hook?token=pw"], "curl https://…@host/hook?token=…"),
            (&["curl", "-u", "me:pw", "host"], "curl -u … host"),
            (&["post", r#"{"user":"x","password":"pw"}"#], r#"post {"user":"x","password":…"#),
            (&["env", "MYSQL_PWD=pw"], "env MYSQL_PWD=…"),
            (&["sh", "-c", "SECRET=pw run --token pw now"], r#"sh -c "SECRET=… run --token …""#),
        ] {
            assert_eq!(shown_of(words), expected);
        }
    }
}
