//! What becomes of a request that was answered: the next attempt that its client's library would make, and those that wait.
//!
//! A retry is an attempt of the same request, or of a part of it, with an intent of its own. Nothing here reads a clock or
//! waits: the sender asks what is due. What waits holds no bytes, since they follow from the request; and when too many
//! wait, a further one is given up, as a library drops what its queue has no room for.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    ops::Range,
    time::Duration,
};

use jiff::{Timestamp, fmt::rfc2822};

use crate::{
    identity::StreamId,
    ledger::{Answer, EventResult, Outcome},
    random::{Purpose, Random},
    request::{Request, Retry},
    workload::{Facts, RetryAfter, SentAt, Workload},
};

/// So many retries may wait: some ten megabytes. Events of those beyond remain what their attempts made of them.
const WAITING: usize = 100_000;

/// A request that came back with its answer.
#[derive(Debug)]
pub(super) struct Back {
    pub request: Request,
    /// What is known of it since its first attempt; none after that.
    pub delivery: Option<Box<Delivery>>,
    /// What the reply's `Retry-After` said.
    pub retry_after: Option<String>,
}

/// A retry that is due.
#[derive(Debug)]
pub(super) struct Due {
    pub request: Request,
    pub delivery: Box<Delivery>,
    /// When its back-off ended.
    pub at: Duration,
}

/// The retries that wait.
#[derive(Debug)]
pub(super) struct Retries<'a> {
    workload: &'a Workload,
    /// When each is due, the earliest on top.
    heads: BinaryHeap<Reverse<(Duration, u64)>>,
    waiting: BTreeMap<u64, Box<Delivery>>,
    /// How many there have been.
    serial: u64,
    /// How many have left and did not come back.
    open: usize,
    /// How many may be open, so that the schedule has connections left.
    most_open: usize,
    /// How many events the batches of a stream's client hold at most, where one was too large.
    most_events: BTreeMap<(StreamId, u64), u64>,
}

impl<'a> Retries<'a> {
    /// None yet. They never take more than half of the `connections` at once, and no two of one request.
    pub fn new(workload: &'a Workload, connections: usize) -> Self {
        let most_open = (connections / 2).max(1);
        Self {
            workload,
            heads: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            serial: 0,
            open: 0,
            most_open,
            most_events: BTreeMap::new(),
        }
    }

    /// What of a request of the schedule leaves first: all of it, unless its client has learnt to make smaller batches. Then the
    /// rest follows when that was answered.
    pub fn first(&self, request: Request) -> (Request, Option<Box<Delivery>>) {
        let most = self.most_events.get(&(request.stream, request.client(self.workload)));
        match most {
            Some(most) if request.seqs(self.workload).count() as u64 > *most => {
                let delivery = Delivery::first_part(self.workload, request, *most);
                // It is due with the whole, and not when the last of its own events is.
                let retry = Some(Retry { attempt: 1, due: delivery.due, built: delivery.due });
                (Request { retry, ..delivery.request_of_part() }, Some(Box::new(delivery)))
            }
            _ => (request, None),
        }
    }

    /// An attempt ended; `again` tells whether another one may be made.
    pub fn ended(&mut self, outcome: &Outcome, back: Option<Box<Back>>, again: bool) {
        if outcome.attempt > 1 {
            self.open -= 1;
        }
        // Whoever has closed the page hears of no answer.
        let is_heard = |back: &Back| !self.workload.is_beacon(&back.request);
        let may_wait = again && self.waiting.len() < WAITING;
        let Some(back) = back.filter(|back| may_wait && is_heard(back)) else { return };
        let Some(traffic) = self.workload.traffic(outcome.stream) else { return };
        let mut delivery = match back.delivery {
            Some(delivery) => delivery,
            None => Box::new(Delivery::first(self.workload, back.request)),
        };
        let (facts, retry_for) = (traffic.client.profile.facts(), traffic.client.retry_for);
        let reply = Reply { answer: &outcome.answer, at: outcome.answered, retry_after: back.retry_after.as_deref() };
        let next = delivery.next(self.workload, facts, reply);
        if delivery.most < u64::MAX {
            let client = (outcome.stream, delivery.request.client(self.workload));
            self.most_events.insert(client, delivery.most);
        }
        // What has no other end ends with its client's process.
        let last = match (retry_for, facts.ends_after) {
            (Some(time), _) => delivery.due.saturating_add(time),
            (None, Some(after)) => {
                let last = self.workload.positions(outcome.stream).saturating_sub(1);
                self.workload.due(outcome.stream, last) + after
            }
            (None, None) => Duration::MAX,
        };
        if let Some(at) = next.filter(|at| *at <= last) {
            self.heads.push(Reverse((at, self.serial)));
            self.waiting.insert(self.serial, delivery);
            self.serial += 1;
        }
    }

    /// When the next one is due; `None` if none waits, or if it has to wait for another one.
    pub fn due(&self) -> Option<Duration> {
        self.heads.peek().map(|Reverse((at, _))| *at).filter(|_| self.open < self.most_open)
    }

    /// Takes one that is due by `now`, which is when it is released.
    pub fn take(&mut self, now: Duration) -> Option<Due> {
        self.due().filter(|at| *at <= now)?;
        let Reverse((at, serial)) = self.heads.pop()?;
        let mut delivery = self.waiting.remove(&serial)?;
        self.open += 1;
        let request = delivery.release(now);
        Some(Due { request, delivery, at })
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives up all that wait.
    pub fn clear(&mut self) {
        self.heads.clear();
        self.waiting.clear();
    }
}

/// An answer, as far as retries depend on it.
#[derive(Debug, Clone, Copy)]
struct Reply<'a> {
    answer: &'a Answer,
    at: Duration,
    retry_after: Option<&'a str>,
}

/// Some events of a request: its own, and those that it sends again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    positions: Range<u64>,
    resends: Range<u64>,
    /// The only ones of them, where single events were asked for again.
    only: Option<Box<[u64]>>,
}

impl Part {
    fn is_empty(&self) -> bool {
        self.positions.is_empty() && self.resends.is_empty()
    }

    /// The first `events` of them, and the rest.
    fn split(&self, workload: &Workload, request: &Request, events: u64) -> (Self, Self) {
        let own = self.positions.end - self.positions.start;
        let at = self.positions.start + events.min(own);
        // Of the positions among which those to be sent again are picked, as many as it takes.
        let mut left = events.saturating_sub(own);
        let mut until = self.resends.start;
        while until < self.resends.end {
            let seq = workload.seq_at(request.stream, until);
            let is_one = workload.resends(request.stream) && workload.is_resent(request.stream, seq);
            if is_one && left == 0 {
                break;
            }
            left -= u64::from(is_one);
            until += 1;
        }
        let until = if events < own { self.resends.start } else { until };
        (
            Self { positions: self.positions.start..at, resends: self.resends.start..until, only: None },
            Self { positions: at..self.positions.end, resends: until..self.resends.end, only: None },
        )
    }
}

/// Longer than this no client waits in v1, whatever is asked for (posthog-python's `posthog/capture_send.py`, `_backoff`, which
/// says that posthog-go and posthog-rs do the same).
const V1_LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a client has still to deliver of a request.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Its stream and index; the rest of it changes.
    request: Request,
    /// When the first attempt was due.
    due: Duration,
    /// How many attempts were made.
    attempts: u32,
    /// What the last of them held.
    part: Part,
    /// What comes after that.
    rest: Part,
    /// How many events an attempt holds at most.
    most: u64,
    /// How often `part` was tried again.
    retries: u32,
    /// When the bytes of `part` were built; none if they have to be.
    built: Option<Duration>,
}

impl Delivery {
    fn first(workload: &Workload, request: Request) -> Self {
        let due = request.due(workload);
        let part = Part { positions: request.positions.clone(), resends: request.resends.clone(), only: None };
        let (positions, resends) = (part.positions.end..part.positions.end, part.resends.end..part.resends.end);
        let rest = Part { positions, resends, only: None };
        Self { request, due, attempts: 1, part, rest, most: u64::MAX, retries: 0, built: Some(due) }
    }

    /// The same of one of which no more than `most` events leave at once.
    fn first_part(workload: &Workload, request: Request, most: u64) -> Self {
        let whole = Self::first(workload, request);
        let (part, rest) = whole.part.split(workload, &whole.request, most);
        Self { part, rest, most, ..whole }
    }

    /// What its client does about an answer: when it makes the next attempt, if it does.
    fn next(&mut self, workload: &Workload, facts: &Facts, reply: Reply<'_>) -> Option<Duration> {
        let Reply { answer, at, retry_after } = reply;
        let wait = retry_after.and_then(|text| asked(facts.retry_after, text, Timestamp::now()));
        let is_network = !matches!(answer, Answer::Reply { .. } | Answer::Results { .. });
        let is_v1 = workload.style(&self.request).is_some_and(|style| style.endpoint.is_v1());
        match answer {
            Answer::Reply { status: 413, .. } if facts.halves && !is_v1 => {
                let events = self.request_of_part().seqs(workload).count() as u64;
                if events > 1 {
                    self.most = events / 2;
                    self.rest = Part {
                        positions: self.part.positions.start..self.rest.positions.end,
                        resends: self.part.resends.start..self.rest.resends.end,
                        only: None,
                    };
                }
                return self.next_part(workload, at);
            }
            Answer::Results { exceptions, .. } => {
                // What cannot be told apart by its answer is taken for stored, as by the libraries.
                let asked = exceptions.iter().filter(|(_, result)| *result == EventResult::Retry);
                let mut only: Vec<u64> = asked.map(|(seq, _)| *seq).collect();
                if only.is_empty() || self.retries >= facts.retries {
                    return self.next_part(workload, at);
                }
                only.sort_unstable();
                self.part.only = Some(only.into());
            }
            Answer::Reply { status, .. } if !facts.retries_reply(is_v1, *status, wait.is_some()) => {
                return self.next_part(workload, at);
            }
            _ => (),
        }
        let most = if is_network { facts.network_retries } else { facts.retries };
        if self.retries < most {
            let mut random = Random::new(
                workload.plan().seed,
                self.request.stream,
                self.request.index.wrapping_shl(8) | u64::from(self.attempts & 0xff),
                Purpose::BackOff,
            );
            let back_off = facts.back_off.before(self.retries, random.unit());
            let wait = match wait {
                // In v1 what is asked for is a minimum, and both have one limit.
                Some(asked) if is_v1 => back_off.max(asked.min(V1_LONGEST_WAIT)),
                Some(asked) => asked,
                None => back_off,
            };
            self.retries += 1;
            // In v1 the time stands in a header, which each attempt writes anew.
            if is_v1 || facts.sent_at == SentAt::PerAttempt {
                self.built = None;
            }
            return Some(at.saturating_add(wait));
        }
        if let Some(wait) = facts.keeps.filter(|_| is_network && most > 0) {
            (self.retries, self.built) = (0, None);
            return Some(at.saturating_add(wait));
        }
        self.next_part(workload, at)
    }

    /// Goes on to what comes after the part, at once; `None` if nothing does.
    fn next_part(&mut self, workload: &Workload, at: Duration) -> Option<Duration> {
        if self.rest.is_empty() {
            return None;
        }
        (self.part, self.rest) = self.rest.split(workload, &self.request, self.most);
        (self.retries, self.built) = (0, None);
        Some(at)
    }

    fn request_of_part(&self) -> Request {
        let Part { positions, resends, only } = self.part.clone();
        Request { positions, resends, only, ..self.request.clone() }
    }

    /// The next attempt, which leaves `now`.
    fn release(&mut self, now: Duration) -> Request {
        self.attempts += 1;
        let built = *self.built.get_or_insert(now);
        let retry = Some(Retry { attempt: self.attempts, due: self.due, built });
        Request { retry, ..self.request_of_part() }
    }
}

/// How long a library waits because of a `Retry-After`; `None` if it takes no notice of it.
fn asked(notice: RetryAfter, text: &str, now: Timestamp) -> Option<Duration> {
    let seconds = || {
        let seconds: f64 = text.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    match notice {
        RetryAfter::Ignored => None,
        RetryAfter::Seconds => text.parse().ok().map(Duration::from_secs),
        RetryAfter::SecondsOrDate => seconds()
            .or_else(|| {
                rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?.duration_since(now).try_into().ok()
            })
            .filter(|wait| !wait.is_zero()),
    }
}

#[cfg(test)]
mod tests;
