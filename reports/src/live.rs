//! What is known while a run goes on, or an endless row of them: a plain snapshot that the runner fills in, and that the
//! metrics, the page and the terminal are made of.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use checkers::{reconcile::evidence::Class, record::RunRecord, verdict::Verdict};

/// The snapshot, shared by who fills it in and who shows it.
#[derive(Debug, Default)]
pub struct Board(Mutex<Live>);

impl Board {
    /// The snapshot; nobody may hold it for long.
    pub fn live(&self) -> MutexGuard<'_, Live> {
        // A plain snapshot is whole whatever became of who held it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Upper bounds of the time-to-visible, in seconds; the scenario's own limit comes among them.
pub const TIME_TO_VISIBLE_BOUNDS: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0];
/// Upper bounds of a request's lateness, in seconds; what the scenario calls late comes among them.
pub const LATENESS_BOUNDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a run does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// The environment comes up.
    #[default]
    Starting,
    /// Events are sent.
    Sending,
    /// The pipeline becomes quiet.
    Settling,
    /// What was found is judged.
    Judging,
    /// Nothing: the next round is yet to come.
    Waiting,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Starting, Self::Sending, Self::Settling, Self::Judging, Self::Waiting];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Sending => "sending",
            Self::Settling => "settling",
            Self::Judging => "judging",
            Self::Waiting => "waiting",
        }
    }
}

/// What a round of a watch came to: a verdict, or that it could not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoundEnd {
    /// Every promise holds.
    Pass,
    /// A promise is broken.
    Fail,
    /// Neither can be said.
    Inconclusive,
    /// It could not be run, so there is nothing to judge.
    Failed,
}

impl RoundEnd {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pass, Self::Fail, Self::Inconclusive, Self::Failed];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }
}

impl From<Verdict> for RoundEnd {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Fail => Self::Fail,
            Verdict::Inconclusive | Verdict::NotApplicable => Self::Inconclusive,
        }
    }
}

/// Everything that is known at a moment. Times are seconds; moments are Unix time.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// The scenario's name.
    pub scenario: String,
    /// The run's id.
    pub run: String,
    /// The kind of environment.
    pub environment: String,
    /// What is being done.
    pub phase: Phase,
    /// When sending starts or started.
    pub started_at: Option<f64>,
    /// The limit of the time-to-visible.
    pub limit: Option<f64>,
    /// The events that are planned.
    pub planned: u64,
    /// What this run has counted.
    pub now: Counters,
    /// What the runs before it in this process have counted.
    pub before: Counters,
    /// Events that were acked, must be visible, and are not yet.
    pub awaited: u64,
    /// Of these, events old enough to be called lost.
    pub overdue: u64,
    /// How late the latest request left.
    pub lateness: f64,
    /// How far each partition's consumer is behind; `None` while Kafka does not answer.
    pub lag: Option<Vec<LagNow>>,
    /// The planned faults.
    pub faults: Vec<FaultNow>,
    /// The defects that verdicts have found, by primary class.
    pub defects: BTreeMap<Class, u64>,
    /// The rounds that have ended, by what they came to.
    pub rounds: BTreeMap<RoundEnd, u64>,
    /// The last of them: when it ended, and with what.
    pub last_round: Option<(f64, RoundEnd)>,
}

/// How far a partition's consumer is behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LagNow {
    /// The consumer group.
    pub group: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// In messages.
    pub messages: u64,
}

/// A planned fault.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultNow {
    /// What is done, to what, for how long.
    pub fault: String,
    /// What it is done to.
    pub target: String,
    /// When it is planned, from the start of sending.
    pub planned_at: f64,
    /// Whether it goes on.
    pub active: bool,
}

/// What only grows. Events, unless a name says otherwise.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    /// Handed to a connection, later attempts included.
    pub sent: u64,
    /// In requests answered with success.
    pub acked: u64,
    /// In requests that ended otherwise.
    pub failed: u64,
    /// Seen in the store.
    pub visible: u64,
    /// Requests that left, later attempts not counted.
    pub requests: u64,
    /// Of these, requests that left later than the scenario allows.
    pub late_requests: u64,
    /// Reads of the store that completed.
    pub reads: u64,
    /// Reads that failed.
    pub failed_reads: u64,
    /// From the intended moment of sending to the end of the read that saw the event.
    pub time_to_visible: Histogram,
    /// How late requests left.
    pub lateness: Histogram,
}

impl Counters {
    /// What both have counted.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            acked: self.acked + other.acked,
            failed: self.failed + other.failed,
            visible: self.visible + other.visible,
            requests: self.requests + other.requests,
            late_requests: self.late_requests + other.late_requests,
            reads: self.reads + other.reads,
            failed_reads: self.failed_reads + other.failed_reads,
            time_to_visible: self.time_to_visible.and(&other.time_to_visible),
            lateness: self.lateness.and(&other.lateness),
        }
    }
}

/// A histogram with fixed bounds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// The upper bound of each bucket but the last, ascending.
    bounds: Vec<f64>,
    /// What is in each bucket alone; one more than there are bounds.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Buckets up to `bounds`, and up to `also`, so that what people ask about is no guess between two bounds.
    pub fn with_bounds(bounds: &[f64], also: Option<f64>) -> Self {
        let mut bounds: Vec<f64> = bounds.iter().copied().chain(also).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        Self { counts: vec![0; bounds.len() + 1], bounds, sum: 0.0 }
    }

    /// Counts `value`.
    pub fn add(&mut self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += value;
        }
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they come to together.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Each upper bound, and how many are not above it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut all = 0;
        self.bounds.iter().zip(&self.counts).map(move |(bound, count)| {
            all += count;
            (*bound, all)
        })
    }

    /// What both have counted. Of different bounds the other's are kept out: they cannot be told apart any more.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self.counts.is_empty(), other.counts.is_empty()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ if self.bounds != other.bounds => self.clone(),
            _ => Self {
                bounds: self.bounds.clone(),
                counts: self.counts.iter().zip(&other.counts).map(|(one, two)| one + two).collect(),
                sum: self.sum + other.sum,
            },
        }
    }
}

impl Live {
    /// All that was counted since the process began.
    pub fn counted(&self) -> Counters {
        self.before.and(&self.now)
    }

    /// A run begins: what the one before has counted is kept, and what was true of it alone is not.
    pub fn begin(&mut self, now: Counters) {
        self.before = self.counted();
        self.now = now;
        (self.awaited, self.overdue, self.lateness) = (0, 0, 0.0);
        self.lag = None;
        self.faults.clear();
    }

    /// A run was judged.
    pub fn judged(&mut self, record: &RunRecord) {
        let mut counts = record.counts;
        for class in Class::ALL {
            *self.defects.entry(class).or_default() += *counts.of(class);
        }
    }

    /// A round of a watch has ended.
    pub fn round_ended(&mut self, at: f64, end: RoundEnd) {
        *self.rounds.entry(end).or_default() += 1;
        self.last_round = Some((at, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_at_a_bound_is_within_it() {
        let mut histogram = Histogram::with_bounds(&[1.0, 5.0], Some(2.0));
        for value in [0.5, 1.0, 2.0, 2.1, 7.0] {
            histogram.add(value);
        }
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(1.0, 2), (2.0, 3), (5.0, 4)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 12.6));
        let twice = histogram.and(&histogram);
        assert_eq!((twice.count(), twice.sum()), (10, 25.2));
        assert_eq!(histogram.and(&Histogram::default()), histogram);
        assert_eq!(Histogram::default().and(&histogram), histogram);
    }

    #[test]
    fn what_was_counted_outlives_its_run() {
        let mut live = Live { overdue: 3, ..Live::default() };
        for sent in [5, 7] {
            live.begin(Counters::default());
            live.now.sent = sent;
        }
        assert_eq!((live.counted().sent, live.now.sent, live.overdue), (12, 7, 0));
    }
}
