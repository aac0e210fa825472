//! Errors with their causes, in one line: what goes into ledgers, logs and reports.

use std::error::Error;

/// `error`, and what caused it, and what caused that.
pub fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn causes_follow_what_they_caused() {
        assert_eq!(told(&Outer(io::Error::other("the inner"))), "the outer: the inner");
        assert_eq!(told(&io::Error::other("alone")), "alone");
    }
}
