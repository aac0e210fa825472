//! In which order, and when, the requests of a recording are sent again.
//!
//! A recording is disordered by its requests: each stays whole, since its events belong to one body of one form. Within a
//! stretch of time the requests change places; their events keep the times that they had before.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{Recording, Style};
use crate::{permutation::Permutation, random::Source, schedule::Schedule, workload::Pace};

/// A recording on its way.
#[derive(Debug, Clone)]
pub(crate) struct Replaying {
    pub recording: Arc<Recording>,
    pace: Pace,
    /// Which request is sent at each place, where they are not in their own order; and where each is.
    shuffled: Option<Arc<Shuffled>>,
}

#[derive(Debug)]
struct Shuffled {
    order: Vec<u32>,
    place: Vec<u32>,
    /// How many events are sent before each place.
    before: Vec<u64>,
}

impl Replaying {
    /// `recording` at this pace, in the order that `source` chooses within each `shuffle` of time, if that is not zero.
    pub fn new(recording: Arc<Recording>, pace: Pace, shuffle: Duration, source: Source, schedule: &Schedule) -> Self {
        let mut replaying = Self { recording, pace, shuffled: None };
        if !shuffle.is_zero() {
            replaying.shuffled = Some(Arc::new(replaying.shuffle(shuffle.as_nanos(), source, schedule)));
        }
        replaying
    }

    fn shuffle(&self, nanos: u128, source: Source, schedule: &Schedule) -> Shuffled {
        let requests = self.recording.requests() as usize;
        let window = |request: usize| self.due_of(request, schedule).as_nanos() / nanos;
        let mut order = Vec::with_capacity(requests);
        while order.len() < requests {
            let first = order.len();
            let number = window(first);
            let size = (first..requests).take_while(|request| window(*request) == number).count();
            let permutation = Permutation::new(source.at(number as u64).bits(), size as u64);
            order.extend((0..size as u64).map(|at| (first as u64 + permutation.apply(at)) as u32));
        }
        let mut place = vec![0; requests];
        let (mut before, mut events) = (Vec::with_capacity(requests), 0);
        for (at, request) in order.iter().enumerate() {
            place[*request as usize] = at as u32;
            before.push(events);
            let range = self.recording.positions_of(*request as usize);
            events += range.end - range.start;
        }
        Shuffled { order, place, before }
    }

    /// When a request would be due in its own place.
    fn due_of(&self, request: usize, schedule: &Schedule) -> Duration {
        let positions = self.recording.positions_of(request);
        match self.pace {
            Pace::Recorded(speed) => self.recording.sent_at(request).div_f64(speed),
            Pace::Arrival => schedule.due(positions.end.saturating_sub(1)),
        }
    }

    /// When the request is due that holds a position.
    pub fn due(&self, position: u64, schedule: &Schedule) -> Duration {
        let request = self.recording.number_of(position);
        let Some(shuffled) = &self.shuffled else { return self.due_of(request, schedule) };
        let Some(place) = shuffled.place.get(request).map(|place| *place as usize) else { return Duration::ZERO };
        match self.pace {
            Pace::Recorded(speed) => self.recording.sent_at(place).div_f64(speed),
            Pace::Arrival => {
                let positions = self.recording.positions_of(request);
                let count = (positions.end - positions.start).max(1);
                schedule.due(shuffled.before[place] + count - 1)
            }
        }
    }

    /// When the request was due that holds a position, before it changed its place.
    pub fn due_before(&self, position: u64, schedule: &Schedule) -> Duration {
        self.due_of(self.recording.number_of(position), schedule)
    }

    /// The positions of the request that is sent at a place; `None` behind the last.
    pub fn request(&self, place: u64) -> Option<Range<u64>> {
        let place = usize::try_from(place).ok().filter(|place| (*place as u64) < self.recording.requests())?;
        let request = self.shuffled.as_ref().map_or(place, |shuffled| shuffled.order[place] as usize);
        Some(self.recording.positions_of(request))
    }

    /// How the request that holds a position is made.
    pub fn style(&self, position: u64) -> Option<Style> {
        self.recording.style(position)
    }
}
