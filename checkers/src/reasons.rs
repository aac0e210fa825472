//! Why a run, or a check of it, can say neither pass nor fail: each reason with the words that tell it.
//!
//! The words stand here once. Whoever gives a reason writes them, and so it is known again in a stored verdict, whatever
//! stands around it: that is how a reason finds its runbook.

/// A reason for an inconclusive verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No event left.
    NothingSent,
    /// No request was answered with success.
    NothingAcked,
    /// The store did not answer even once.
    NoRead,
    /// Too many requests left late.
    MissedSchedule,
    /// Too many events of which nobody knows whether the pipeline has them.
    TooManyIndeterminate,
    /// Too many events that the pipeline refused.
    TooManyRejected,
    /// Too many events that never left.
    TooManyUnsent,
    /// Too many events that may be stored or not.
    TooManyEither,
    /// The judge did not find what was planted in a copy of its evidence.
    SelfTestFailed,
    /// A component ended, or was not to be reached, without a planned fault.
    EnvironmentFailed,
    /// The pipeline used more memory than it may, and was killed for it.
    OutOfMemory,
    /// Somebody stopped the run.
    Stopped,
    /// The run's process ended before its time.
    Killed,
    /// A planned fault could not be carried out or healed.
    FaultNotCarriedOut,
    /// The pipeline went on changing until the settle limit.
    NotQuiet,
    /// The final reads failed.
    StoreUnreadable,
    /// The ledger of a share of the traffic is missing.
    MissingShare,
    /// Missing events that are too young to be called lost.
    Pending,
    /// The target lies between the bounds.
    TooFewEvents,
    /// A check's population is empty.
    NothingToLookAt,
    /// Whether events were late depends on when between two reads they came.
    ReadsTooFarApart,
    /// The sequential test is still open.
    SequentialTestOpen,
    /// The sequential test ended without a pass.
    SequentialTestEnded,
    /// Only ids were read, and no rows.
    NoFinalRead,
    /// A check crashed.
    CheckCrashed,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 25] = [
        Self::NothingSent,
        Self::NothingAcked,
        Self::NoRead,
        Self::MissedSchedule,
        Self::TooManyIndeterminate,
        Self::TooManyRejected,
        Self::TooManyUnsent,
        Self::TooManyEither,
        Self::SelfTestFailed,
        Self::EnvironmentFailed,
        Self::OutOfMemory,
        Self::Stopped,
        Self::Killed,
        Self::FaultNotCarriedOut,
        Self::NotQuiet,
        Self::StoreUnreadable,
        Self::MissingShare,
        Self::Pending,
        Self::TooFewEvents,
        Self::NothingToLookAt,
        Self::ReadsTooFarApart,
        Self::SequentialTestOpen,
        Self::SequentialTestEnded,
        Self::NoFinalRead,
        Self::CheckCrashed,
    ];

    /// Its name, which is that of its runbook.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingSent => "nothing_sent",
            Self::NothingAcked => "nothing_acked",
            Self::NoRead => "no_read",
            Self::MissedSchedule => "missed_schedule",
            Self::TooManyIndeterminate => "too_many_indeterminate",
            Self::TooManyRejected => "too_many_rejected",
            Self::TooManyUnsent => "too_many_unsent",
            Self::TooManyEither => "too_many_either",
            Self::SelfTestFailed => "self_test_failed",
            Self::EnvironmentFailed => "environment_failed",
            Self::OutOfMemory => "out_of_memory",
            Self::Stopped => "stopped",
            Self::Killed => "killed",
            Self::FaultNotCarriedOut => "fault_not_carried_out",
            Self::NotQuiet => "not_quiet",
            Self::StoreUnreadable => "store_unreadable",
            Self::MissingShare => "missing_share",
            Self::Pending => "pending",
            Self::TooFewEvents => "too_few_events",
            Self::NothingToLookAt => "nothing_to_look_at",
            Self::ReadsTooFarApart => "reads_too_far_apart",
            Self::SequentialTestOpen => "sequential_test_open",
            Self::SequentialTestEnded => "sequential_test_ended",
            Self::NoFinalRead => "no_final_read",
            Self::CheckCrashed => "check_crashed",
        }
    }

    /// The words by which it is told, and known.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NothingSent => "nothing was sent",
            Self::NothingAcked => "nothing was acked",
            Self::NoRead => "no read of the store completed",
            Self::MissedSchedule => "the generator missed its schedule",
            Self::TooManyIndeterminate => "of the events are indeterminate",
            Self::TooManyRejected => "of the events are rejected",
            Self::TooManyUnsent => "of the events are unsent",
            Self::TooManyEither => "of the events are free to be stored or not",
            Self::SelfTestFailed => "nothing that was found can be believed",
            Self::EnvironmentFailed => "the environment failed",
            Self::OutOfMemory => "the pipeline used more memory than it may",
            Self::Stopped => "the run was stopped before",
            Self::Killed => "the run was killed before it had settled",
            Self::FaultNotCarriedOut => "the fault `",
            Self::NotQuiet => "the pipeline did not become quiet",
            Self::StoreUnreadable => "the store could not be read",
            Self::MissingShare => "no ledger tells of it",
            Self::Pending => "events are pending",
            Self::TooFewEvents => "too few events to tell",
            Self::NothingToLookAt => "to look at",
            Self::ReadsTooFarApart => "the reads are too far apart to tell",
            Self::SequentialTestOpen => "the sequential test has not ended",
            Self::SequentialTestEnded => "the sequential test ended after",
            Self::NoFinalRead => "there was no final read",
            Self::CheckCrashed => "the check crashed",
        }
    }

    /// The reason that `text` gives, such as one of a verdict's `reasons`. Of several the one that is told last counts: a
    /// check's reason says at its end why the figures before it do not decide.
    pub fn of(text: &str) -> Option<Self> {
        let told = Self::ALL.into_iter().filter_map(|reason| Some((text.rfind(reason.words())?, reason)));
        told.max().map(|(_, reason)| reason)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_reason_is_known_by_its_words_and_no_other_is() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(&format!("loss: 3 of 4, {} 17", reason.words())), Some(reason));
        }
        assert_eq!(Reason::of("3 of 60 000 events that must be visible are lost: more than the target allows"), None);
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn of_two_reasons_the_last_counts() {
        let both =
            "0 of 9 are lost: too few events to tell on which side; the sequential test has not ended: 7 are needed";
        assert_eq!(Reason::of(both), Some(Reason::SequentialTestOpen));
    }
}
