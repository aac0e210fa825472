//! A Poisson process by position: blocks of events that last as long as the rate says, and in a block every moment alike.
//!
//! Given how many events of a Poisson process fall into a stretch of time, they lie there independently and evenly (Cox and
//! Lewis, "The statistical analysis of series of events", 1966). So a block needs no memory of those before it. What is lost
//! are swings of more than a block.

use std::time::Duration;

use super::Rate;
use crate::{
    identity::StreamId,
    random::{Purpose, Random},
};

/// Events in a block.
const BLOCK: u64 = 64;

#[derive(Debug, Clone, Copy)]
pub(super) struct Poisson {
    pub rate: Rate,
    pub seed: u64,
    pub stream: StreamId,
}

impl Poisson {
    pub fn due(&self, position: u64) -> Duration {
        let (block, place) = (position / BLOCK, (position % BLOCK) as usize);
        let mut moments = self.moments(block);
        let (_, moment, _) = moments.select_nth_unstable(place);
        self.moment(block, *moment)
    }

    pub fn before(&self, at: Duration) -> u64 {
        // The block in which it lies, or that begins then.
        let block = self.rate.before(at).saturating_sub(1) / BLOCK;
        let here = self.moments(block).iter().filter(|moment| self.moment(block, **moment) < at).count() as u64;
        block * BLOCK + here
    }

    /// Where in a block its events lie, in 2⁻⁶⁴ of its length, in no order.
    fn moments(&self, block: u64) -> [u64; BLOCK as usize] {
        let mut random = Random::new(self.seed, self.stream, block, Purpose::Arrival);
        std::array::from_fn(|_| random.bits())
    }

    fn moment(&self, block: u64, moment: u64) -> Duration {
        let begin = |block: u64| self.rate.due(block.saturating_mul(BLOCK));
        let (from, to) = (begin(block), begin(block + 1));
        let length = u128::from(to.saturating_sub(from).as_nanos() as u64);
        from + Duration::from_nanos(((length * u128::from(moment)) >> 64) as u64)
    }
}
