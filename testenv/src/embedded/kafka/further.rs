//! What a Kafka is given beside what runs need, such as listeners that demand TLS or a password, as somebody else's may.
//! Only tests ask for it (`assay env up --kafka-settings FILE`); runs go on using the plain listener.
//!
//! The file holds Kafka's own settings, a line each. Those that list listeners are added to ours, all others are taken as
//! they are. `scram` is not Kafka's: it adds a user when the storage is formatted, in the form of `--add-scram`.

use std::{fs, io, path::Path};

/// Settings of which ours have a list already.
const LISTS: [&str; 3] = ["listeners", "advertised.listeners", "listener.security.protocol.map"];

/// Further settings.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Further {
    lists: Vec<(String, String)>,
    scram: Vec<String>,
    others: Vec<String>,
}

impl Further {
    /// Those in the file at `path`.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(path)?))
    }

    fn parse(text: &str) -> Self {
        let mut further = Self::default();
        for line in text.lines() {
            match line.split_once('=') {
                Some((key, value)) if LISTS.contains(&key) => further.lists.push((key.to_owned(), value.to_owned())),
                Some(("scram", value)) => further.scram.push(value.to_owned()),
                _ => further.others.push(line.to_owned()),
            }
        }
        further
    }

    /// What formatting is told of users; none if the storage is like everybody's.
    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.scram.iter().flat_map(|user| ["--add-scram", user])
    }

    /// `settings` with these.
    pub(super) fn added_to(&self, settings: &str) -> String {
        let mut lines: Vec<String> = settings.lines().map(str::to_owned).collect();
        for (key, value) in &self.lists {
            let list = lines.iter_mut().find(|line| line.split_once('=').is_some_and(|(name, _)| name == key));
            if let Some(list) = list {
                list.push(',');
                list.push_str(value);
            }
        }
        lines.extend_from_slice(&self.others);
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_added_to_and_users_are_for_formatting() {
        let further = Further::parse("listeners=B://h:2\nscram=S=[name=n,password=p]\na=b=c");
        assert_eq!(further.added_to("node.id=1\nlisteners=A://h:1\n"), "node.id=1\nlisteners=A://h:1,B://h:2\na=b=c\n");
        assert_eq!(further.users().collect::<Vec<_>>(), ["--add-scram", "S=[name=n,password=p]"]);
        assert_eq!(Further::default().added_to("a=b\n"), "a=b\n");
    }
}
