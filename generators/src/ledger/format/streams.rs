//! The streams that have released something, and what each is expected to release next.

use std::ops::Range;

use crate::{identity::StreamId, request::Request};

/// More are not held: the one that released something longest ago is forgotten, and begins anew.
const MOST: usize = 64;

/// Those streams, the one of the last intent in front.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Place>);

/// What was released last of a stream, and how far that was from what was released before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    stream: u16,
    pub index: u64,
    stride: u64,
    /// Where its positions end.
    pub end: u64,
    skip: u64,
    pub count: u64,
    /// How far before its own positions those begin that may be sent again.
    resend_back: u64,
    resend_count: u64,
    /// In microseconds.
    moment: u64,
    /// How long before that something was released, in microseconds.
    gap: u64,
}

impl Streams {
    /// The stream of the last intent.
    pub(super) fn latest(&self) -> Option<u16> {
        self.0.first().map(|place| place.stream)
    }

    /// What is known of a stream; of one that released nothing, when others did last.
    pub(super) fn place(&self, stream: u16, last_moment: u64) -> Place {
        self.0.iter().find(|place| place.stream == stream).copied().unwrap_or_else(|| Place::new(stream, last_moment))
    }

    /// The stream with so many in front of it.
    pub(super) fn at(&self, rank: u64) -> Option<&Place> {
        self.0.get(usize::try_from(rank).ok()?)
    }

    /// How many streams are in front of that of `request`, if that is what its stream is expected to release next.
    pub(super) fn rank_of_expected(&self, request: &Request) -> Option<u64> {
        let rank = self.0.iter().position(|place| place.stream == request.stream.0)?;
        (self.0[rank].next_request().as_ref() == Some(request)).then_some(rank as u64)
    }

    /// `request` was released at `moment`, and something else at `last_moment`.
    pub(super) fn go_on(&mut self, request: &Request, moment: u64, last_moment: u64) {
        let stream = request.stream.0;
        let rank = self.0.iter().position(|place| place.stream == stream).unwrap_or_else(|| {
            self.0.truncate(MOST - 1);
            self.0.push(Place::new(stream, last_moment));
            self.0.len() - 1
        });
        self.0[..=rank].rotate_right(1);
        self.0[0].go_on(request, moment);
    }
}

impl Place {
    /// A stream is expected to begin with its first position, alone.
    const fn new(stream: u16, moment: u64) -> Self {
        Self {
            stream,
            index: u64::MAX,
            stride: 1,
            end: 0,
            skip: 0,
            count: 1,
            resend_back: 0,
            resend_count: 0,
            moment,
            gap: 0,
        }
    }

    /// The index that is expected next.
    pub(super) const fn next_index(&self) -> u64 {
        self.index.wrapping_add(self.stride)
    }

    /// Where the next positions are expected to begin.
    pub(super) const fn next_start(&self) -> u64 {
        self.end.wrapping_add(self.skip)
    }

    /// When something is expected to be released next, in microseconds.
    pub(super) const fn next_moment(&self) -> u64 {
        self.moment.wrapping_add(self.gap)
    }

    /// What a request whose own positions begin there is expected to send again; `None` if that cannot be.
    pub(super) fn next_resends(&self, start: u64) -> Option<Range<u64>> {
        if self.resend_count == 0 {
            return Some(0..0);
        }
        let first = start.wrapping_sub(self.resend_back);
        Some(first..first.checked_add(self.resend_count)?)
    }

    /// The request that is expected next; `None` if there can be none.
    pub(super) fn next_request(&self) -> Option<Request> {
        let start = self.next_start();
        Some(Request {
            stream: StreamId(self.stream),
            index: self.next_index(),
            positions: start..start.checked_add(self.count)?,
            resends: self.next_resends(start)?,
            only: None,
            retry: None,
        })
    }

    fn go_on(&mut self, request: &Request, moment: u64) {
        let stride = request.index.wrapping_sub(self.index);
        if stride as i64 <= 0 {
            // What is sent again says nothing of what comes next.
            return;
        }
        let Range { start, end } = request.positions;
        self.stride = stride;
        self.index = request.index;
        self.skip = start.wrapping_sub(self.end);
        self.end = end;
        self.count = end.wrapping_sub(start);
        self.resend_back = start.wrapping_sub(request.resends.start);
        self.resend_count = request.resends.end.wrapping_sub(request.resends.start);
        if moment != self.moment {
            self.gap = moment.wrapping_sub(self.moment);
            self.moment = moment;
        }
    }
}
