//! In tests: which keys the reader asks for, so that none can be missing in the [reference](super::super::reference).

use std::cell::RefCell;

/// A key that was asked for: the path of its table as problems name it, and its name.
pub type Asked = (String, &'static str);

thread_local! {
    static ASKED: RefCell<Option<Vec<Asked>>> = const { RefCell::new(None) };
}

/// Notes that a key is asked for, if somebody wants to know.
pub fn note(path: &str, key: &'static str) {
    ASKED.with_borrow_mut(|asked| {
        if let Some(asked) = asked {
            asked.push((path.to_owned(), key));
        }
    });
}

/// What `read` returns, and all keys that were asked for meanwhile.
pub fn during<T>(read: impl FnOnce() -> T) -> (T, Vec<Asked>) {
    ASKED.set(Some(Vec::new()));
    let made = read();
    (made, ASKED.take().unwrap_or_default())
}
