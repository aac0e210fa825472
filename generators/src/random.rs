//! (seed, stream, index, purpose) → random values, the same on every machine and for ever.
//!
//! The algorithm is pinned: `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
//! OOPSLA 2014), keyed by chaining its finaliser over the four words. Logarithms and cosines come from `libm`, whose
//! results do not depend on the machine. Library generators may change between versions and are not used here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::StreamId;

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64`'s finaliser: a bijection of 64-bit words whose output bits all depend on all input bits.
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// What a value is drawn for. Values for different purposes are independent of each other.
///
/// The numbers are part of the workload: never renumber, only add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Which person an event belongs to.
    Person = 1,
    /// Whether and when a person identifies.
    Identify = 2,
    /// What an event is and holds.
    Content = 3,
    /// Whether and by how much an event is backdated.
    Backdated = 4,
    /// The order within a shuffle window.
    Shuffle = 5,
    /// Which events are sent again.
    Resend = 6,
    /// A client's clock skew.
    ClockSkew = 7,
    /// How many events a request holds.
    BatchSize = 8,
    /// Whether and by how much an event is said to happen later than it is sent.
    Ahead = 9,
    /// What the variants of a persona have in common.
    Variant = 10,
    /// Where in its block an event arrives.
    Arrival = 11,
    /// Whether and how an event holds content that hurts.
    Hostile = 12,
    /// Whether an event is large, and how large.
    Size = 13,
    /// Whether and to which groups an event belongs.
    Groups = 14,
    /// How an event says when it happened.
    TimeForm = 15,
    /// Whether a request says when it is sent.
    SentAt = 16,
    /// Whether and by how many years a client's clock is wrong.
    WrongYear = 17,
    /// How fast a client's clock drifts.
    ClockDrift = 18,
    /// Whether an event happened around midnight.
    Midnight = 19,
    /// Whether an event is sent without a uuid.
    Uuidless = 20,
    /// Whether an event's second sending holds something else.
    Altered = 21,
    /// Whether an event is of a hot person, and of which.
    Hot = 22,
    /// The session of an event.
    Session = 23,
    /// The device of an event.
    Device = 24,
    /// The name of an event where names are mixed on purpose.
    Mix = 25,
    /// Whether an event holds what was clicked, and what that was.
    Elements = 26,
    /// Whether and how an event or a request is spelt in another way.
    Spelling = 27,
    /// Whether an event's uuid is empty.
    EmptyUuid = 28,
    /// Whether an event asks for a merge that must be refused, and with which id.
    IllegalAlias = 29,
    /// How a client's request fails.
    ClientFault = 30,
    /// By how much a client's back-off is moved.
    BackOff = 31,
    /// The noise in the place of a body.
    Garbage = 32,
    /// When a fault happens, and to what.
    Fault = 33,
    /// What an event of a special kind is called.
    Subject = 34,
    /// Whether an event has other fields, and which.
    Fields = 35,
    /// Whether a request names a compression that nobody knows, and which.
    UnknownCompression = 36,
    /// Whether an event is one that v1 refuses, and why.
    Refused = 37,
    /// Whether and how an event's timestamp is written in another form.
    TimeSpelling = 38,
    /// Whether an event says what a group is, of which, and what.
    GroupIdentify = 39,
    /// Whether an event comes without cookies.
    Cookieless = 40,
    /// Whether an event is of the pipeline's own people.
    Internal = 41,
    /// Whether an event of AI holds its properties within its own part.
    Embedded = 42,
    /// Whether an event of AI has contents in parts of their own, and which.
    Blobs = 43,
    /// Whether an operator restricts a person's events, and how.
    Restriction = 44,
    /// How long after a request what was picked of it is sent again.
    ResendAfter = 45,
    /// Whether a request comes twice, and how long after the first time.
    Duplicate = 46,
    /// What differs in an altered event's second sending.
    Alteration = 47,
    /// Whether an event says something twice, and what.
    Twice = 50,
    /// Whether a request is sent as its page is closed.
    Beacon = 51,
    /// Which action a fault is, where there are several.
    FaultAction = 54,
    /// By how much a link's delay varies.
    Jitter = 55,
}

/// The random values for one purpose in one stream, by their index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    keyed: u64,
}

impl Source {
    /// The source for a purpose in a stream.
    pub const fn new(seed: u64, stream: StreamId, purpose: Purpose) -> Self {
        let keyed = mix(seed.wrapping_add(GAMMA));
        Self { keyed: mix(keyed ^ (((stream.0 as u64) << 32) | purpose as u64)) }
    }

    /// The values for one index.
    pub const fn at(self, index: u64) -> Random {
        Random { state: mix(self.keyed.wrapping_add(index.wrapping_mul(GAMMA))) }
    }
}

/// A stream of random values.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The values for one index of one stream and one purpose.
    pub const fn new(seed: u64, stream: StreamId, index: u64, purpose: Purpose) -> Self {
        Source::new(seed, stream, purpose).at(index)
    }

    /// The next 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A whole number below `bound`, which must not be 0 (0 gives 0). The bias is below `bound` / 2^64.
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.bits() as u128 * bound as u128) >> 64) as u64
    }

    /// A number in [0, 1), with 53 random bits.
    pub const fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with probability `share`.
    pub const fn chance(&mut self, share: Share) -> bool {
        self.unit() < share.0
    }

    /// One of `items`; `None` when there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// A value of the standard normal distribution (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.unit()));
        radius * libm::cos(std::f64::consts::TAU * self.unit())
    }

    /// A value of `distribution`, in microseconds, negative where the distribution allows it.
    pub fn offset_micros(&mut self, distribution: Distribution) -> i64 {
        let micros = |duration: Duration| duration.as_micros() as f64;
        let value = match distribution {
            Distribution::Constant { value } => micros(value),
            Distribution::Uniform { from, to } => micros(from) + self.unit() * (micros(to) - micros(from)),
            Distribution::Exponential { mean } => -micros(mean) * libm::log(1.0 - self.unit()),
            Distribution::Normal { mean, deviation } => micros(mean) + micros(deviation) * self.normal(),
        };
        libm::round(value) as i64
    }
}

impl Random {
    /// A value of `distribution` as a delay: nothing comes before its time, so what is negative is none.
    pub fn delay(&mut self, distribution: Distribution) -> Duration {
        Duration::from_micros(u64::try_from(self.offset_micros(distribution)).unwrap_or_default())
    }
}

/// A share of something, between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, Serialize, Deserialize)]
pub struct Share(f64);

impl Share {
    /// `None` unless `fraction` lies between 0 and 1.
    pub fn new(fraction: f64) -> Option<Self> {
        (0.0..=1.0).contains(&fraction).then_some(Self(fraction))
    }

    /// The fraction, between 0 and 1.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// How a duration is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// Always the same.
    Constant {
        /// The value.
        value: Duration,
    },
    /// Every value of a range alike.
    Uniform {
        /// The least.
        from: Duration,
        /// The greatest.
        to: Duration,
    },
    /// Exponential: mostly short, sometimes long.
    Exponential {
        /// The mean.
        mean: Duration,
    },
    /// Normal: on both sides of the mean.
    Normal {
        /// The mean.
        mean: Duration,
        /// The standard deviation.
        deviation: Duration,
    },
}

impl Default for Distribution {
    /// Nothing at all.
    fn default() -> Self {
        Self::Constant { value: Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(0);

    /// First outputs of `SplitMix64` from state 0, as published with Vigna's reference implementation.
    #[test]
    fn the_algorithm_is_splitmix64() {
        let mut random = Random { state: 0 };
        assert_eq!(random.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.bits(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(random.bits(), 0x06c4_5d18_8009_454f);
    }

    #[test]
    fn values_are_pinned_and_purposes_differ() {
        let first = |index, purpose| Random::new(42, STREAM, index, purpose).bits();
        assert_eq!(first(0, Purpose::Person), first(0, Purpose::Person));
        assert_ne!(first(0, Purpose::Person), first(0, Purpose::Content));
        assert_ne!(first(0, Purpose::Person), first(1, Purpose::Person));
        insta::assert_snapshot!(format!("{:016x} {:016x}", first(0, Purpose::Person), first(7, Purpose::Shuffle)));
    }

    #[test]
    fn a_delay_is_never_negative() {
        let around_nothing = Distribution::Normal { mean: Duration::ZERO, deviation: Duration::from_secs(1) };
        let delays: Vec<_> =
            (0..1_000).map(|index| Random::new(1, STREAM, index, Purpose::Duplicate).delay(around_nothing)).collect();
        let none = delays.iter().filter(|delay| delay.is_zero()).count();
        assert!((400..600).contains(&none), "{none}");
        assert!(delays.iter().any(|delay| *delay > Duration::from_secs(1)));
    }

    #[test]
    fn means_are_as_asked() {
        let mean_of = |distribution| {
            let sum: i64 = (0..20_000)
                .map(|index| Random::new(1, STREAM, index, Purpose::Backdated).offset_micros(distribution))
                .sum();
            sum as f64 / 20_000.0
        };
        let second = Duration::from_secs(1);
        assert!((mean_of(Distribution::Constant { value: second }) - 1e6).abs() < 1e-6);
        assert!((mean_of(Distribution::Exponential { mean: second }) - 1e6).abs() < 3e4);
        assert!((mean_of(Distribution::Uniform { from: Duration::ZERO, to: second }) - 5e5).abs() < 1e4);
        assert!(mean_of(Distribution::Normal { mean: Duration::ZERO, deviation: second }).abs() < 3e4);
    }
}
