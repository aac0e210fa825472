//! The ledger: what was sent and what was answered, on disk before and after it happens.
//!
//! An intent is written (write(2) has returned) before the first byte of its request leaves; the outcome follows. So a
//! run that was killed can be judged from its directory: an intent without outcome is indeterminate, and what has no
//! intent was never sent. Which events a request holds is not written: it is a pure function of the request.

pub mod format;
pub mod reader;
pub mod writer;

use std::{ops::Range, time::Duration};

use crate::{
    clock::RunStart,
    identity::{RunId, StreamId},
    request::Request,
};

/// What the file says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The run that wrote it.
    pub run: RunId,
    /// The moment that all offsets count from.
    pub start: RunStart,
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A request is about to leave.
    Intent(Intent),
    /// A request was answered, or will not be.
    Outcome(Outcome),
    /// The sender ended in good order: nothing follows.
    End(End),
}

/// A request that is about to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Its stream.
    pub stream: StreamId,
    /// Its index in the stream.
    pub index: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The positions of the sending order that it holds.
    pub positions: Range<u64>,
    /// The positions among which those to be sent again are picked.
    pub resends: Range<u64>,
    /// When it was released, from the start.
    pub released: Duration,
}

impl Intent {
    /// The request as the workload makes it.
    pub fn request(&self) -> Request {
        Request {
            stream: self.stream,
            index: self.index,
            positions: self.positions.clone(),
            resends: self.resends.clone(),
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its stream.
    pub stream: StreamId,
    /// Its index in the stream.
    pub index: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// When its bytes were handed to a connection, from the start.
    pub sent: Duration,
    /// When the answer was complete, or given up, from the start.
    pub answered: Duration,
    /// The answer.
    pub answer: Answer,
}

/// How a request ended, as the client saw it; what that means for the events is for the judges to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A whole reply.
    Reply {
        /// HTTP status.
        status: u16,
        /// The beginning of the body, unless the status is 200.
        excerpt: String,
    },
    /// No whole reply within the client's time-out.
    TimedOut,
    /// The connection broke after bytes may have left.
    Broken {
        /// What the connection said.
        error: String,
    },
    /// No byte left: there was no connection.
    NeverLeft {
        /// What the connection said.
        error: String,
    },
}

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All planned requests were sent.
    Complete,
    /// It was told to stop before.
    Stopped,
}
