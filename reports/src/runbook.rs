//! Where it is written what a finding means and what to do, as a path in the repository.

use checkers::reconcile::evidence::Class;

use crate::runbooks::{Page, page_for, page_for_class};

/// The list of all pages.
const INDEX: &str = "reports/runbooks/README.md";

/// The page of a class.
pub fn of_class(class: Class) -> String {
    page_for_class(class).map_or_else(|| INDEX.to_owned(), Page::path)
}

/// The page of a check, by its name.
pub fn of_check(check: &str) -> String {
    page_for(check).map_or_else(|| INDEX.to_owned(), Page::path)
}
