//! Where it is written what a finding means and what to do: a page for each class of defects and for each check.

use checkers::reconcile::evidence::Class;

/// The page of a class.
pub fn of_class(class: Class) -> String {
    format!("reports/runbooks/{}.md", class.name())
}

/// The page of a check that is not simply about one class: of the class that it is mostly about.
pub fn of_check(check: &str) -> String {
    let page = match check {
        "loss" => "lost",
        "correctness" => "corrupted",
        "verdict" => "inconclusive",
        other => other,
    };
    format!("reports/runbooks/{page}.md")
}
