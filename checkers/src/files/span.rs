//! The stretch of time that files tell of.

use crate::reconcile::story::Micros;

/// From the first sending or read to the last moment that is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    /// When the first sending or read began.
    pub first: Option<Micros>,
    /// The last moment of all.
    pub last: Option<Micros>,
}

impl Span {
    /// Something was sent, or a read began.
    pub fn send(&mut self, at: Option<Micros>) {
        self.first = [self.first, at].into_iter().flatten().min();
        self.end(at);
    }

    /// Something was answered, or a read ended.
    pub fn end(&mut self, at: Option<Micros>) {
        self.last = self.last.max(at);
    }

    /// Both stretches, and what lies between them.
    pub fn with(mut self, other: Self) -> Self {
        self.send(other.first);
        self.end(other.last);
        self
    }

    /// How long it is.
    pub fn length(self) -> Micros {
        let last = self.last.unwrap_or_default();
        last - self.first.unwrap_or(last)
    }
}
