//! Projects: which token traffic is sent with, and which team its rows are found under.

use std::fmt;

use generators::{identity::RunId, workload::Absence};

use crate::{
    plan,
    scenario::{Scenario, Traffic},
};

/// A project's token. It goes to the capture and into the manifest, from which the traffic is made again; it is shown masked.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token that is written `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What is sent.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin: String = self.0.chars().take(6).collect();
        let end: String = self.0.chars().skip(self.0.chars().count().saturating_sub(2).max(6)).collect();
        write!(f, "{begin}…{end}")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its token.
    pub token: Token,
    /// Its team.
    pub team: i64,
    /// The names of the traffic that goes there; none for all that no other project takes.
    pub traffic: Vec<String>,
    /// Whether nobody else sends there, so that every row that nobody sent is a phantom.
    pub alone: bool,
}

/// Where the traffic of a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projects {
    /// To the run's own, which the reference pipeline makes for it.
    Own(RunId),
    /// To those of a pipeline that runs already.
    Named(Vec<Project>),
}

impl Projects {
    /// The token and team for the traffic of a scenario; `None` if there is no project for it.
    pub fn of(&self, scenario: &Scenario, traffic: &Traffic) -> Option<(String, i64)> {
        match self {
            Self::Own(run) => Some(plan::own_project(scenario, traffic, *run)),
            Self::Named(projects) => of(projects, &traffic.name, traffic.absent),
        }
    }
}

/// The token and team of the project for the traffic `name`.
fn of(projects: &[Project], name: &str, absent: Option<Absence>) -> Option<(String, i64)> {
    let named = projects.iter().find(|project| project.traffic.iter().any(|taken| taken == name));
    // A quota that is used up is nobody's but that project's.
    let any =
        || projects.iter().find(|project| project.traffic.is_empty() && !absent.is_some_and(Absence::is_of_project));
    named.or_else(any).map(|project| (project.token.text().to_owned(), project.team))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(token: &str, team: i64, traffic: &[&str]) -> Project {
        let traffic = traffic.iter().map(|name| (*name).to_owned()).collect();
        Project { token: Token::new(token), team, traffic, alone: false }
    }

    #[test]
    fn traffic_goes_where_it_is_named_or_to_the_project_for_the_rest() {
        let projects = [project("a", 1, &["quota"]), project("b", 2, &[])];
        assert_eq!(of(&projects, "quota", Some(Absence::OverQuota)), Some(("a".into(), 1)));
        assert_eq!(of(&projects, "app", None), Some(("b".into(), 2)));
        assert_eq!(of(&projects, "other", Some(Absence::OverQuota)), None, "not over the quota there");
        assert_eq!(of(&[project("a", 1, &["quota"])], "app", None), None);
    }

    #[test]
    fn a_token_is_shown_masked() {
        assert_eq!(format!("{:?}", Token::new("phc_0123456789")), "phc_01…89");
        assert_eq!(Token::new("abc").to_string(), "abc…");
    }
}
