//! Evidence: counts, and a bounded number of examples for each class of defect.
//!
//! Memory never grows with the defects: every finding is counted, the first few of a class are kept.

use std::{collections::BTreeMap, ops::AddAssign};

use serde::{Deserialize, Serialize};

use super::{
    population::Population,
    sequence::InOrder,
    spans::{Spans, Split},
};
use crate::details::Gathered;

/// The classes of defects, in the order in which the first that fits becomes an event's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A row of this run that no ledger entry explains, or any row that nobody sent in a tenant of the run's own.
    Phantom,
    /// Outcome rejected or unsent, yet visible in some read.
    RejectedButVisible,
    /// Expected absent, yet visible in some read.
    ShouldBeAbsent,
    /// Visible under a tenant that is not its own.
    Misrouted,
    /// Seen in a read, missing from every read after it.
    Vanished,
    /// Acked, expected present, old enough, and seen in no read that should have seen it.
    Lost,
    /// More rows than may legally stay.
    Duplicated,
    /// A judged column differs.
    Corrupted,
    /// The person differs from every legal one.
    WrongPerson,
    /// The group differs from every legal one.
    WrongGroup,
    /// Seen, missing from a later read, and seen again.
    Flicker,
    /// A plugin of its team must have exported it, and has not.
    NotExported,
    /// It was exported, and not as it is.
    WronglyExported,
    /// Exported, though no plugin of its team should have, or though nobody has sent it.
    StrayExport,
}

impl Class {
    /// All of them, in their order.
    pub const ALL: [Self; 14] = [
        Self::Phantom,
        Self::RejectedButVisible,
        Self::ShouldBeAbsent,
        Self::Misrouted,
        Self::Vanished,
        Self::Lost,
        Self::Duplicated,
        Self::Corrupted,
        Self::WrongPerson,
        Self::WrongGroup,
        Self::Flicker,
        Self::NotExported,
        Self::WronglyExported,
        Self::StrayExport,
    ];

    /// Its name in files and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Phantom => "phantom",
            Self::RejectedButVisible => "rejected_but_visible",
            Self::ShouldBeAbsent => "should_be_absent",
            Self::Misrouted => "misrouted",
            Self::Vanished => "vanished",
            Self::Lost => "lost",
            Self::Duplicated => "duplicated",
            Self::Corrupted => "corrupted",
            Self::WrongPerson => "wrong_person",
            Self::WrongGroup => "wrong_group",
            Self::Flicker => "flicker",
            Self::NotExported => "not_exported",
            Self::WronglyExported => "wrongly_exported",
            Self::StrayExport => "stray_export",
        }
    }
}

/// One example of a defect. Times are seconds from the run's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What it is.
    pub class: Class,
    /// The event's UUID, or what is known of a phantom.
    pub event: String,
    /// The column that differs; a property is `properties.KEY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What must have been there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The last stage that had it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The request that carried it: stream/index, and which attempt if it is not the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The intended moment of its first sending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<f64>,
    /// When it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<f64>,
}

impl Finding {
    /// A finding of which nothing but the class and the event is known.
    pub const fn bare(class: Class, event: String) -> Self {
        Self {
            class,
            event,
            column: None,
            expected: None,
            found: None,
            stage: None,
            request: None,
            sent_at: None,
            first_seen: None,
        }
    }
}

/// So many examples are kept for each class.
pub const EXAMPLES: usize = 20;

/// How many events, unless a name says rows or requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the words of the verdict's design, one for one")]
pub struct Counts {
    pub planned: u64,
    pub acked: u64,
    pub rejected: u64,
    pub indeterminate: u64,
    pub unsent: u64,
    pub expected: u64,
    pub visible: u64,
    pub raw_rows: u64,
    pub lost: u64,
    pub vanished: u64,
    pub misrouted: u64,
    pub duplicated: u64,
    pub corrupted: u64,
    pub wrong_person: u64,
    pub wrong_group: u64,
    pub flicker: u64,
    pub rejected_but_visible: u64,
    pub should_be_absent: u64,
    pub phantom: u64,
    pub recovered: u64,
    pub pending: u64,
    pub late: u64,
    pub either: u64,
    pub pending_merge_rows: u64,
    pub torn_requests: u64,
    /// Of those rejected, events in requests that were meant to fail.
    #[serde(default)]
    pub rejected_on_purpose: u64,
    /// Of those indeterminate, events in requests that were meant to fail.
    #[serde(default)]
    pub indeterminate_on_purpose: u64,
    /// Of those rejected, events that were tried while a planned fault went on.
    #[serde(default)]
    pub rejected_in_faults: u64,
    /// Of those indeterminate, events that were tried while a planned fault went on.
    #[serde(default)]
    pub indeterminate_in_faults: u64,
    /// Of those unsent, events that could not be sent while a planned fault went on.
    #[serde(default)]
    pub unsent_in_faults: u64,
    /// Of those acked, events that capture said it has dropped.
    #[serde(default)]
    pub dropped: u64,
    #[serde(default)]
    pub not_exported: u64,
    #[serde(default)]
    pub wrongly_exported: u64,
    #[serde(default)]
    pub stray_export: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        // Every field by name, so that a new one cannot be forgotten.
        let Self {
            planned,
            acked,
            rejected,
            indeterminate,
            unsent,
            expected,
            visible,
            raw_rows,
            lost,
            vanished,
            misrouted,
            duplicated,
            corrupted,
            wrong_person,
            wrong_group,
            flicker,
            rejected_but_visible,
            should_be_absent,
            phantom,
            recovered,
            pending,
            late,
            either,
            pending_merge_rows,
            torn_requests,
            rejected_on_purpose,
            indeterminate_on_purpose,
            rejected_in_faults,
            indeterminate_in_faults,
            unsent_in_faults,
            dropped,
            not_exported,
            wrongly_exported,
            stray_export,
        } = more;
        self.planned += planned;
        self.acked += acked;
        self.rejected += rejected;
        self.indeterminate += indeterminate;
        self.unsent += unsent;
        self.expected += expected;
        self.visible += visible;
        self.raw_rows += raw_rows;
        self.lost += lost;
        self.vanished += vanished;
        self.misrouted += misrouted;
        self.duplicated += duplicated;
        self.corrupted += corrupted;
        self.wrong_person += wrong_person;
        self.wrong_group += wrong_group;
        self.flicker += flicker;
        self.rejected_but_visible += rejected_but_visible;
        self.should_be_absent += should_be_absent;
        self.phantom += phantom;
        self.recovered += recovered;
        self.pending += pending;
        self.late += late;
        self.either += either;
        self.pending_merge_rows += pending_merge_rows;
        self.torn_requests += torn_requests;
        self.rejected_on_purpose += rejected_on_purpose;
        self.indeterminate_on_purpose += indeterminate_on_purpose;
        self.rejected_in_faults += rejected_in_faults;
        self.indeterminate_in_faults += indeterminate_in_faults;
        self.unsent_in_faults += unsent_in_faults;
        self.dropped += dropped;
        self.not_exported += not_exported;
        self.wrongly_exported += wrongly_exported;
        self.stray_export += stray_export;
    }
}

impl Counts {
    /// The count of events whose own class is `class`.
    pub const fn of(&mut self, class: Class) -> &mut u64 {
        match class {
            Class::Phantom => &mut self.phantom,
            Class::RejectedButVisible => &mut self.rejected_but_visible,
            Class::ShouldBeAbsent => &mut self.should_be_absent,
            Class::Misrouted => &mut self.misrouted,
            Class::Vanished => &mut self.vanished,
            Class::Lost => &mut self.lost,
            Class::Duplicated => &mut self.duplicated,
            Class::Corrupted => &mut self.corrupted,
            Class::WrongPerson => &mut self.wrong_person,
            Class::WrongGroup => &mut self.wrong_group,
            Class::Flicker => &mut self.flicker,
            Class::NotExported => &mut self.not_exported,
            Class::WronglyExported => &mut self.wrongly_exported,
            Class::StrayExport => &mut self.stray_export,
        }
    }
}

/// What reconciliation hands to the checks.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The counts; classes count events by their primary class.
    pub counts: Counts,
    /// How many findings of each class there are, of any rank.
    pub findings: BTreeMap<Class, u64>,
    /// The first few of each class.
    pub examples: BTreeMap<Class, Vec<Finding>>,
    /// Events that must be visible; lost and vanished ones are the defects.
    pub loss: Population,
    /// Events visible in the final read that may be there; those with a finding that makes them incorrect are the defects.
    pub correctness: Population,
    /// The events of `loss` in the order of their sending.
    pub loss_in_order: InOrder,
    /// The events of `correctness` in the order of their sending.
    pub correctness_in_order: InOrder,
    /// Events that plugins must have exported; those that were not, or not as they are, are the defects.
    pub exported: Population,
    /// What the webhook sink says as a whole; none where no plugin exports.
    pub exports: Option<ExportFacts>,
    /// Events with a time-to-visible; those later than the limit are the defects.
    pub late: Late,
    /// The times to visible.
    pub spans: Spans,
    /// The same, split by stage.
    pub split: Split,
    /// What reports draw, and nothing is judged by.
    pub gathered: Gathered,
    /// Which columns differed, and in how many events.
    pub columns: BTreeMap<String, u64>,
    /// Which columns were judged.
    pub judged_columns: Vec<String>,
    /// How many final reads there were that hold rows, and not ids only.
    pub final_reads: usize,
    /// Whether some read has listed everything there was, so that strangers are known.
    pub read_whole: bool,
    /// How many reads of any kind there were.
    pub reads: usize,
    /// How many events are expected absent.
    pub expected_absent: u64,
    /// Whether any event has a tenant of its own, so that being misrouted can be told.
    pub tenants: bool,
    /// The final read was whole and empty although events were acked.
    pub read_nothing: bool,
}

/// What was exported, as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExportFacts {
    /// How many events were delivered, each as often as it was.
    pub deliveries: u64,
    /// How many of these were so again: at least once is what is promised.
    pub again: u64,
    /// How many requests the webhook sink was sent.
    pub requests: u64,
    /// How many of these it refused, because the scenario wants that.
    pub refused: u64,
    /// How many events are not exported, and too young, or the exporter too far behind, to say that they never will be.
    pub pending: u64,
    /// Whether the exporter had done all that there was to do when the run ended.
    pub caught_up: bool,
}

impl AddAssign for ExportFacts {
    fn add_assign(&mut self, more: Self) {
        let Self { deliveries, again, requests, refused, pending, caught_up } = more;
        self.deliveries += deliveries;
        self.again += again;
        self.requests += requests;
        self.refused += refused;
        self.pending += pending;
        self.caught_up &= caught_up;
    }
}

/// Events later than the limit. Where a time is only known to lie in a span, the two ends count differently.
#[derive(Debug, Clone, Copy, Default)]
pub struct Late {
    /// By the right ends: every doubt counts against the subject.
    pub worst: Population,
    /// By the left ends: every doubt counts for the subject.
    pub best: Population,
}

impl Evidence {
    /// Counts a finding, and keeps it if there is room.
    pub fn find(&mut self, finding: impl FnOnce() -> Finding, class: Class) {
        *self.findings.entry(class).or_default() += 1;
        let examples = self.examples.entry(class).or_default();
        if examples.len() < EXAMPLES {
            examples.push(finding());
        }
    }

    /// How many findings of `class` there are.
    pub fn found(&self, class: Class) -> u64 {
        self.findings.get(&class).copied().unwrap_or_default()
    }
}
