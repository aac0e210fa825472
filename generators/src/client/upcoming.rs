//! What leaves next: the schedule's requests, made ahead of their time so that they can leave at once when they are due, what the
//! plan has sent once more, and beside them the retries that are due.

use std::{sync::Arc, time::Duration};

use super::{
    SenderOptions, SenderProgress,
    buffers::Buffers,
    faulty::spoil,
    repeats::Repeats,
    retry::{Back, Delivery, Due, Retries},
    worker::Job,
};
use crate::{
    clock::RunStart,
    ledger::{End, Outcome},
    random::{Purpose, Random},
    request::{Request, Sending},
    timetable::Timetable,
    wire::{EncodeError, Encoder},
    workload::Workload,
};

/// What leaves next.
pub(super) struct Upcoming<'a> {
    workload: &'a Workload,
    start: RunStart,
    timetable: Timetable<'a>,
    /// The schedule's next request; none if all of them have left.
    next: Option<Box<Job>>,
    repeats: Repeats<'a>,
    retries: Retries<'a>,
    encoder: Encoder,
    buffers: Buffers,
    /// For clients whose library does not say.
    time_out: Duration,
}

impl<'a> Upcoming<'a> {
    /// What is to be sent of `workload`, which starts at `start`.
    pub fn new(
        workload: &'a Workload,
        start: RunStart,
        options: &SenderOptions,
        (buffers, progress): (Buffers, Arc<SenderProgress>),
    ) -> Result<Self, EncodeError> {
        let mut upcoming = Self {
            workload,
            start,
            timetable: Timetable::new(workload, options.shard),
            next: None,
            repeats: Repeats::new(workload, progress),
            retries: Retries::new(workload, options.connections),
            encoder: Encoder::default(),
            buffers,
            time_out: options.time_out,
        };
        upcoming.advance()?;
        Ok(upcoming)
    }

    /// Takes what is due by `now` and leaves then. What the schedule has left of the room is for retries.
    pub fn take(&mut self, now: Duration) -> Result<Option<Box<Job>>, EncodeError> {
        if let Some(job) = self.next.take_if(|job| job.intended <= now) {
            self.advance()?;
            return Ok(Some(job));
        }
        if let Some((at, request)) = self.repeats.take(now) {
            return self.job(request, at, None).map(Some);
        }
        let Some(Due { request, delivery, at }) = self.retries.take(now) else { return Ok(None) };
        self.job(request, at, Some(delivery)).map(Some)
    }

    /// When something is due next, unless it has to wait for an answer.
    pub fn due(&self) -> Option<Duration> {
        let next = self.next.as_ref().map(|job| job.intended);
        [next, self.repeats.due(), self.retries.due()].into_iter().flatten().min()
    }

    /// Whether everything that was planned has left.
    pub fn is_over(&self) -> bool {
        self.next.is_none() && self.repeats.is_empty()
    }

    /// The same, and nothing waits to be sent again.
    pub fn is_empty(&self) -> bool {
        self.is_over() && self.retries.is_empty()
    }

    /// How much the plan has sent once more that was given up before, since too much waited.
    pub const fn given_up(&self) -> u64 {
        self.repeats.given_up()
    }

    /// Gives up everything that has not left.
    pub fn stop(&mut self) -> End {
        self.next = None;
        self.repeats.clear();
        self.retries.clear();
        End::Stopped
    }

    /// An attempt ended; it may be made again unless all is to be `stopped`. What the plan has sent once more is not.
    pub fn ended(&mut self, outcome: &Outcome, back: Option<Box<Back>>, stopped: bool) {
        if let Some(Back { request, .. }) = back.as_deref() {
            self.repeats.ended(outcome, request);
        }
        if !matches!(Sending::of(outcome.attempt), Sending::Again | Sending::Duplicate) {
            self.retries.ended(outcome, back, !stopped);
        }
    }

    fn advance(&mut self) -> Result<(), EncodeError> {
        self.next = match self.timetable.next() {
            Some((intended, request)) => {
                let planned = request.clone();
                let (request, delivery) = self.retries.first(request);
                self.repeats.expect(&planned, &request);
                Some(self.job(request, intended, delivery)?)
            }
            None => None,
        };
        Ok(())
    }

    fn job(
        &mut self,
        request: Request,
        intended: Duration,
        delivery: Option<Box<Delivery>>,
    ) -> Result<Box<Job>, EncodeError> {
        let mut encoded = self.encoder.encode(self.workload, &request, self.start, self.buffers.take())?;
        let fault = request.fault(self.workload);
        if let Some(fault) = fault {
            let seed = self.workload.plan().seed;
            spoil(&mut encoded, fault, Random::new(seed, request.stream, request.index, Purpose::Garbage))?;
        }
        let traffic = self.workload.traffic(request.stream);
        let time_out = traffic.and_then(|traffic| traffic.client.profile.facts().time_out).unwrap_or(self.time_out);
        let is_beacon = self.workload.is_beacon(&request);
        Ok(Box::new(Job { request, intended, encoded, time_out, delivery, fault, is_beacon }))
    }
}
