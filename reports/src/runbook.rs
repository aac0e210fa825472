//! Where it is written what a finding means and what to do, as a path in the repository.

use checkers::{checks::CheckResult, reconcile::evidence::Class};

use crate::runbooks::{Page, page_for_check, page_for_class, page_for_told};

/// The list of all pages.
const INDEX: &str = "reports/runbooks/README.md";

/// The page of a class.
pub fn of_class(class: Class) -> String {
    page_for_class(class).map_or_else(|| INDEX.to_owned(), Page::path)
}

/// The page of a check that did not pass.
pub fn of_check(check: &CheckResult) -> String {
    page_for_check(check).map_or_else(|| INDEX.to_owned(), Page::path)
}

/// The page of one of a verdict's reasons.
pub fn of_reason(reason: &str) -> String {
    page_for_told(reason).map_or_else(|| INDEX.to_owned(), Page::path)
}
