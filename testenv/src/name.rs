//! Names of components: host names, kept for as long as the process lives.
//!
//! The names of a run's own roles stand in the program; those of a scenario's components do not, and stand for as long: a
//! scenario has a handful, and all its runs share them.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// `name`, for as long as the process lives; the same name is kept once.
pub fn kept(name: &str) -> &'static str {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = kept.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.into());
    kept.insert(name);
    name
}

/// Whether `name` can be a host's: small letters, digits and `-`, and nothing else.
pub fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let one = kept(&String::from("a-name-of-a-test"));
        assert_eq!(one, "a-name-of-a-test");
        assert!(std::ptr::eq(one, kept("a-name-of-a-test")));
    }

    #[test]
    fn hosts_have_small_names() {
        for (name, is) in [("redis", true), ("db-2", true), ("", false), ("My_Redis", false), ("a.b", false)] {
            assert_eq!(is_host(name), is, "{name}");
        }
    }
}
