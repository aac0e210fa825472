//! Lists of tokens and distinct ids, as an operator writes them: the drop list, whose events capture acknowledges and drops
//! (rust/capture, `token_dropper.rs`; ingestion contract 1.4), which silences a client without telling it; and the keys that are
//! taken for hot ones whatever comes of them (limiters/overflow.rs, `ForcedOverflowKeys`; 1.5).

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    str::FromStr,
};

/// The settings `DROP_EVENTS_BY_TOKEN_DISTINCT_ID` and `INGESTION_FORCE_OVERFLOW_BY_TOKEN_DISTINCT_ID`: `token` or
/// `token:distinct_id`, separated by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed(HashMap<String, OfToken>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum OfToken {
    Everything,
    OfDistinctIds(HashSet<String>),
}

impl FromStr for Listed {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut list = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            // A distinct id may hold colons; a token holds none.
            let (token, distinct_id) = entry.split_once(':').map_or((entry, None), |(token, id)| (token, Some(id)));
            let of_token = list.0.entry(token.to_owned()).or_insert_with(|| OfToken::OfDistinctIds(HashSet::new()));
            match (distinct_id, of_token) {
                (None, of_token) => *of_token = OfToken::Everything,
                (Some(id), OfToken::OfDistinctIds(ids)) => {
                    ids.insert(id.to_owned());
                }
                (Some(_), OfToken::Everything) => (),
            }
        }
        Ok(list)
    }
}

impl Listed {
    /// Whether this token and distinct id are listed.
    pub fn holds(&self, token: &str, distinct_id: &str) -> bool {
        match self.0.get(token) {
            None => false,
            Some(OfToken::Everything) => true,
            Some(OfToken::OfDistinctIds(ids)) => ids.contains(distinct_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_single_ids_are_listed_and_nothing_else() {
        for (list, token, distinct_id, listed) in [
            ("", "t", "a", false),
            ("t", "t", "a", true),
            ("t", "u", "a", false),
            ("t:a", "t", "a", true),
            ("t:a", "t", "b", false),
            ("t:a", "a", "t", false),
            ("t:a,t:b", "t", "b", true),
            ("t:a,t", "t", "c", true),
            ("t,t:a", "t", "c", true),
            (" u , t:a ", "t", "a", true),
            ("t:a:b", "t", "a:b", true),
            ("t:a:b", "t", "a", false),
            ("t,", "", "a", false),
        ] {
            let Ok(read) = list.parse::<Listed>();
            assert_eq!(read.holds(token, distinct_id), listed, "{list:?}: {token}, {distinct_id}");
        }
    }
}
