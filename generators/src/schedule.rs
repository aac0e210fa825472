//! Arrival shapes → intended times, clock-free.
//!
//! An open-loop schedule: when an event is due depends on its position alone, never on how the subject answers.
//! Computed in whole numbers from the position, so it is exact over days and does not drift.

mod arrival;
mod pieces;
mod poisson;

use std::time::Duration;

use self::{pieces::Pieces, poisson::Poisson};
use crate::identity::StreamId;

pub use arrival::{Arrival, Rate, Step};

/// When the events of one stream are due.
#[derive(Debug, Clone)]
pub struct Schedule(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Constant(Rate),
    Poisson(Poisson),
    Pieces(Pieces),
}

impl Schedule {
    /// The schedule of `arrival`; `seed` and `stream` choose what of it is random.
    pub fn new(arrival: &Arrival, seed: u64, stream: StreamId) -> Self {
        Self(match arrival {
            Arrival::Constant { rate } => Kind::Constant(*rate),
            Arrival::Poisson { rate } => Kind::Poisson(Poisson::new(*rate, seed, stream)),
            Arrival::Ramp { from, to, over } => Kind::Pieces(Pieces::ramp(*from, *to, *over)),
            Arrival::Step { steps } => Kind::Pieces(Pieces::steps(steps)),
            Arrival::Burst { rate, burst, every, lasting } => {
                Kind::Pieces(Pieces::burst(*rate, *burst, *every, *lasting))
            }
            Arrival::Diurnal { low, high, period } => Kind::Pieces(Pieces::diurnal(*low, *high, *period)),
        })
    }

    /// When the event at `position` is due, from the start of the traffic. Later positions are never due earlier.
    pub fn due(&self, position: u64) -> Duration {
        match &self.0 {
            Kind::Constant(rate) => rate.due(position),
            Kind::Poisson(poisson) => poisson.due(position),
            Kind::Pieces(pieces) => Duration::from_micros(pieces.due_micros(position)),
        }
    }

    /// How many positions are due before `at`.
    pub fn before(&self, at: Duration) -> u64 {
        match &self.0 {
            Kind::Constant(rate) => rate.before(at),
            Kind::Poisson(poisson) => poisson.before(at),
            // What is due in whole microseconds is due before the next one.
            Kind::Pieces(pieces) => {
                pieces.before_micros(u64::try_from(at.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX))
            }
        }
    }
}

impl Rate {
    /// When the event at `position` is due if they are evenly spaced.
    fn due(self, position: u64) -> Duration {
        let per = self.per.as_nanos();
        // Sixty-four bits are enough for nearly all, and quicker.
        let quick = u64::try_from(per).ok().and_then(|per| position.checked_mul(per));
        Duration::from_nanos(quick.map_or_else(
            || u64::try_from(u128::from(position) * per / u128::from(self.events)).unwrap_or(u64::MAX),
            |nanos| nanos / self.events,
        ))
    }

    fn before(self, at: Duration) -> u64 {
        let (at, per) = (at.as_nanos(), self.per.as_nanos());
        let quick = u64::try_from(at).ok().and_then(|at| at.checked_mul(self.events)).zip(u64::try_from(per).ok());
        quick.map_or_else(
            || u64::try_from(at.saturating_mul(u128::from(self.events)).div_ceil(per)).unwrap_or(u64::MAX),
            |(events, per)| events.div_ceil(per),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: u64 = 86_400;

    fn per_second(events: u64) -> Rate {
        Rate::new(events, SECOND).unwrap()
    }

    fn schedule(arrival: &Arrival) -> Schedule {
        Schedule::new(arrival, 1, StreamId(0))
    }

    fn arrivals() -> impl Strategy<Value = Arrival> {
        let rate = || {
            (1u64..20_000, prop::sample::select(vec![1u64, 60, 3_600]))
                .prop_map(|(events, per)| Rate::new(events, Duration::from_secs(per)).unwrap())
        };
        let length = || (1u64..100_000).prop_map(Duration::from_millis);
        let steps = prop::collection::vec((rate(), length()).prop_map(|(rate, lasting)| Step { rate, lasting }), 1..5);
        prop_oneof![
            rate().prop_map(|rate| Arrival::Constant { rate }),
            rate().prop_map(|rate| Arrival::Poisson { rate }),
            (rate(), rate(), length()).prop_map(|(from, to, over)| Arrival::Ramp { from, to, over }),
            steps.prop_map(|steps| Arrival::Step { steps }),
            (rate(), rate(), length(), length()).prop_map(|(rate, burst, lasting, rest)| Arrival::Burst {
                rate,
                burst,
                every: lasting + rest,
                lasting
            }),
            (rate(), rate(), length()).prop_map(|(low, high, period)| Arrival::Diurnal { low, high, period }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_due_before_what_stands_before_it(
            arrival in arrivals(),
            positions in prop::collection::vec(0u64..1 << 30, 2..40),
        ) {
            let schedule = schedule(&arrival);
            let mut positions = positions;
            positions.extend(0..200);
            positions.sort_unstable();
            for pair in positions.windows(2) {
                prop_assert!(schedule.due(pair[0]) <= schedule.due(pair[1]), "{pair:?}");
            }
        }

        #[test]
        fn what_is_due_before_a_moment_is_what_is_counted_before_it(
            arrival in arrivals(),
            position in 0u64..1 << 24,
            micros in 0u64..1 << 34,
        ) {
            let schedule = schedule(&arrival);
            for at in [schedule.due(position), Duration::from_micros(micros), Duration::ZERO] {
                let before = schedule.before(at);
                prop_assert!(before == 0 || schedule.due(before - 1) < at, "{before}");
                prop_assert!(schedule.due(before) >= at, "{before}");
            }
        }
    }

    #[test]
    fn constant_is_exact_over_days() {
        // 3 a second does not divide a second: an accumulated gap would drift by 86 µs a day.
        let constant = schedule(&Arrival::Constant { rate: per_second(3) });
        assert_eq!(constant.due(3 * DAY * 30), Duration::from_secs(DAY * 30));
        assert_eq!(constant.due(1), Duration::from_nanos(333_333_333));
        assert_eq!(constant.due(2), Duration::from_nanos(666_666_666));
        assert_eq!(constant.before(Duration::from_secs(2)), 6);
        assert_eq!(constant.before(Duration::ZERO), 0);
    }

    #[test]
    fn all_shapes_are_exact_over_days() {
        let (rate, day) = (Rate::new(7, Duration::from_mins(1)).unwrap(), Duration::from_secs(DAY));
        // Seven a minute for 50 seconds, and then 100 a second for 10.
        let burst = Arrival::Burst {
            rate,
            burst: per_second(100),
            every: Duration::from_mins(1),
            lasting: Duration::from_secs(10),
        };
        let of_a_minute = |minutes: u64| minutes * 1_000 + (minutes * 7 * 50).div_ceil(60);
        for days in [1, 30, 365] {
            assert_eq!(schedule(&burst).before(day * days), of_a_minute(u64::from(days) * DAY / 60), "{days}");
        }
        // By chance, and no further off than chance allows: five standard deviations.
        let poisson = schedule(&Arrival::Poisson { rate: per_second(64) });
        let expected = (64 * DAY * 300) as f64;
        let found = poisson.before(day * 300) as f64;
        assert!((found - expected).abs() < 5.0 * 2f64.powi(12), "{found} for {expected}");
        let steps = schedule(&Arrival::Step { steps: vec![Step { rate, lasting: day }, Step { rate, lasting: day }] });
        assert_eq!(steps.before(day * 100), 7 * 60 * 24 * 100);
    }

    #[test]
    fn a_ramp_has_the_area_of_its_trapezium() {
        let ramp =
            schedule(&Arrival::Ramp { from: per_second(100), to: per_second(300), over: Duration::from_secs(10) });
        assert_eq!(ramp.before(Duration::from_secs(10)), 2_000);
        // 100 t + 10 t² at five seconds; from ten on, 300 a second.
        assert_eq!(ramp.before(Duration::from_secs(5)), 750);
        assert_eq!(ramp.due(750), Duration::from_secs(5));
        assert_eq!(ramp.due(2_300), Duration::from_secs(11));
        let down =
            schedule(&Arrival::Ramp { from: per_second(300), to: per_second(100), over: Duration::from_secs(10) });
        assert_eq!(down.due(1_250), Duration::from_secs(5));
    }

    #[test]
    fn a_day_has_its_low_and_its_high() {
        let period = Duration::from_secs(DAY);
        let day = schedule(&Arrival::Diurnal { low: per_second(10), high: per_second(110), period });
        let in_hour = |hour: u64| {
            day.before(Duration::from_secs((hour + 1) * 3_600)) - day.before(Duration::from_secs(hour * 3_600))
        };
        assert_eq!(day.before(period * 7), 60 * DAY * 7, "the mean lies in the middle");
        // The integral of 60 − 50 cos over the hour.
        let angle = |hour: u64| std::f64::consts::TAU * hour as f64 / 24.0;
        for hour in 0..24 {
            let sine = (angle(hour + 1).sin() - angle(hour).sin()) / angle(1);
            let (expected, found) = (3_600.0 * (60.0 - 50.0 * sine), in_hour(hour) as f64);
            assert!((found / expected - 1.0).abs() < 0.003, "hour {hour}: {found} for {expected}");
        }
        assert_eq!(in_hour(3), in_hour(27));
    }

    #[test]
    fn poisson_gaps_are_exponential() {
        let schedule = schedule(&Arrival::Poisson { rate: per_second(1_000) });
        let dues: Vec<f64> = (0..50_000).map(|position| schedule.due(position).as_secs_f64()).collect();
        let gaps: Vec<f64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let longer = |than: f64| gaps.iter().filter(|gap| **gap > than * mean).count() as f64 / gaps.len() as f64;
        assert!((mean - 0.001).abs() < 2e-5, "{mean}");
        // P(gap > x) = e^−x.
        for (than, share) in [(0.1, 0.905), (1.0, 0.368), (2.0, 0.135), (4.0, 0.018)] {
            assert!((longer(than) - share).abs() < 0.01, "{than}: {}", longer(than));
        }
    }
}
