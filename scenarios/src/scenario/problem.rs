//! What is wrong with a scenario: every problem, each with its line and key.

use std::{fmt, ops::Range, sync::Arc};

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key's path, such as `traffic.app.arrival.rate`; empty where the file is no TOML.
    pub key: String,
    /// Where in the file, in bytes; `None` for what came from the command line.
    pub span: Option<Range<usize>>,
    /// What is wrong and what to do.
    pub what: String,
}

/// All problems of a scenario, with its text.
#[derive(Debug, Clone)]
pub struct Problems {
    file: String,
    source: Arc<NamedSource<String>>,
    all: Vec<Problem>,
    help: &'static str,
}

/// What helps with a scenario.
const OF_A_SCENARIO: &str =
    "`assay validate FILE` checks a scenario without running it; docs/scenario-reference.md has every key";

impl Problems {
    /// The problems in `source`, a file called `file`, in the order of their places.
    pub fn new(file: &str, source: &str, mut all: Vec<Problem>) -> Self {
        all.sort_by_key(|problem| problem.span.as_ref().map_or(0, |span| span.start));
        Self {
            file: file.to_owned(),
            source: Arc::new(NamedSource::new(file, source.to_owned()).with_language("toml")),
            all,
            help: OF_A_SCENARIO,
        }
    }

    /// The same, of a file that something else helps with.
    #[must_use]
    pub fn with_help(self, help: &'static str) -> Self {
        Self { help, ..self }
    }

    /// Each problem in a line: `FILE:LINE: KEY: WHAT`.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.all.iter().map(|problem| {
            let place = match &problem.span {
                Some(span) => format!("{}:{}", self.file, self.line(span.start)),
                None => "--set".to_owned(),
            };
            if problem.key.is_empty() {
                format!("{place}: {}", problem.what)
            } else {
                format!("{place}: {}: {}", problem.key, problem.what)
            }
        })
    }

    fn line(&self, offset: usize) -> usize {
        let text = self.source.inner();
        text.get(..offset.min(text.len())).unwrap_or(text).matches('\n').count() + 1
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.lines().collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Problems {}

impl Diagnostic for Problems {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.all.iter().filter_map(|problem| {
            let span = problem.span.clone()?;
            Some(LabeledSpan::new_with_span(Some(problem.key.clone()), span))
        })))
    }
}
