//! What ends a command without a verdict: an error for people, and the exit code that goes with it.

use std::process::ExitCode;

use miette::{Diagnostic, Report};

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the user wrote is wrong: the command, the scenario, an input, `--out`.
    Usage,
    /// Something could not be had: a tool, a port, a component, disk, network.
    Unavailable,
    /// The user stopped it before there was anything to judge.
    Stopped,
    /// Assay itself is at fault.
    Internal,
}

/// An error with its kind.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    report: Report,
}

impl Failure {
    /// A failure that `error` explains.
    pub fn new(kind: Kind, error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind, report: Report::new(error) }
    }

    /// A failure in words: what happened, and what to do.
    pub fn told(kind: Kind, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(kind, Told { what: what.into(), help: help.into(), source: None })
    }

    /// A failure in words, with the error behind it.
    pub fn caused(
        kind: Kind,
        what: impl Into<String>,
        help: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self::new(kind, Told { what: what.into(), help: help.into(), source: Some(Box::new(source)) })
    }

    /// Whether the user stopped it, and nothing is wrong.
    pub fn is_stop(&self) -> bool {
        self.kind == Kind::Stopped
    }

    /// What has failed, and why, in a line.
    pub fn line(&self) -> String {
        self.report.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Writes it to stderr; returns the exit code: 64, 69, 70, or 2 for a run that was stopped before it could be judged.
    pub fn report(&self) -> ExitCode {
        use std::io::Write;
        // Nobody reads it if stderr is closed; the exit code still tells.
        let _ = writeln!(std::io::stderr().lock(), "{:?}", self.report);
        ExitCode::from(match self.kind {
            Kind::Usage => 64,
            Kind::Unavailable => 69,
            Kind::Stopped => 2,
            Kind::Internal => 70,
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct Told {
    what: String,
    help: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Diagnostic for Told {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn std::fmt::Display>)
    }
}
