//! The catalogue of planted defects: what each does, where, and what a judge must find.

use serde::{Deserialize, Serialize};

use crate::fault::{Action, Target};

/// The defects that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the catalogue below says what each does")]
pub enum DefectName {
    AckThenDrop,
    DropBatchTail,
    DropOversize,
    PartialReject,
    DoubleProduce,
    RemintUuid,
    TruncateDistinctId,
    SwapTenant,
    IgnoreSentAt,
    ApplySkewTwice,
    MangleUtf8,
    DropNul,
    RenameEvent,
    DropProperty,
    RoundIntegers,
    StringifyNumbers,
    NullForEmpty,
    TruncateBody,
    QuotaIgnored,
    CommitBeforeProcess,
    ReprocessOnRestart,
    SkipPoisonBlock,
    SilentDeadLetter,
    DropLate,
    DropFuture,
    KeepTooOld,
    RandomPersonId,
    SwapGroupIndex,
    LoseGroupProperties,
    PluginThrowDrops,
    PluginLeaksState,
    DropFailedExport,
    CommitBeforeExport,
    ExportUnmatched,
    ExportDropsProperty,
    FilterInView,
    TruncateMilliseconds,
    ShiftTimezone,
    SplitAcrossMidnight,
    WithholdBlock,
    DeleteAfterVisible,
    LoseBlock,
    StallPartition,
    StaleReads,
    CopyToOtherTenant,
    InventRows,
    SlowDrift,
}

/// Where a defect is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The HTTP capture.
    Capture,
    /// The ingester.
    Ingester,
    /// The exporter.
    Exporter,
    /// ClickHouse, and the way into it.
    Sink,
}

impl Stage {
    /// Its name in files and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Ingester => "ingester",
            Self::Exporter => "exporter",
            Self::Sink => "sink",
        }
    }
}

/// One defect of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// Which.
    pub name: DefectName,
    /// How scenarios call it.
    pub word: &'static str,
    /// Where it is planted.
    pub stage: Stage,
    /// What it does, in a few words.
    pub what: &'static str,
    /// The class of the finding that must come, or the check that must fail.
    pub finding: &'static str,
    /// The column that the finding must name.
    pub column: Option<&'static str>,
    /// Classes that may come along, since one fault breaks several promises.
    pub also: &'static [&'static str],
}

/// How much of a defect there is: from how many bytes on an event is large, how many characters are left of an id, how many
/// properties are lost, after how many seconds an event is late, by how many hours times are shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// How scenarios call it: its unit.
    pub key: &'static str,
    /// What it is if they do not say: such that ordinary traffic shows it.
    pub default: u64,
}

impl Defect {
    /// For a defect that loses events: the last stage that had them, which the finding must name.
    pub const fn last_stage(&self) -> Option<&'static str> {
        match self.name {
            DefectName::AckThenDrop | DefectName::DropBatchTail | DefectName::DropOversize => Some("acked"),
            DefectName::CommitBeforeProcess
            | DefectName::SkipPoisonBlock
            | DefectName::DropLate
            | DefectName::DropFuture
            | DefectName::PluginThrowDrops => Some("capture topic"),
            DefectName::SilentDeadLetter => Some("dead letters"),
            DefectName::FilterInView | DefectName::LoseBlock | DefectName::DeleteAfterVisible => {
                Some("ingester output")
            }
            _ => None,
        }
    }

    /// The number that says how much of it there is, where a scenario may choose it.
    pub const fn amount(&self) -> Option<Amount> {
        let (key, default) = match self.name {
            DefectName::DropOversize => ("bytes", 1_000),
            DefectName::TruncateDistinctId => ("characters", 8),
            DefectName::TruncateBody => ("properties", 3),
            DefectName::DropLate | DefectName::DropFuture => ("seconds", 5),
            DefectName::ShiftTimezone => ("hours", 2),
            _ => return None,
        };
        Some(Amount { key, default })
    }

    /// What must be done to the pipeline for it to show at all: without that it harms nothing.
    pub const fn shows_under(&self) -> Option<(Target, Action)> {
        match self.name {
            DefectName::CommitBeforeProcess => Some((Target::Ingester, Action::Kill)),
            DefectName::ReprocessOnRestart => Some((Target::Ingester, Action::Stop)),
            DefectName::SkipPoisonBlock => Some((Target::CaptureTopic, Action::BrokenMessage)),
            _ => None,
        }
    }

    /// Whether as many events are concerned as are planted, so that as many must be found. Others concern rows or requests, of
    /// which an event that was sent twice has two, or a stretch of time with whatever comes then; and of what was being
    /// produced when the process was killed, nobody knows before the end how much has arrived. Of a group that is wrong it is
    /// found once, however many events made it so.
    pub const fn counts_events(&self) -> bool {
        !matches!(
            self.name,
            DefectName::PartialReject
                | DefectName::CommitBeforeProcess
                | DefectName::SwapGroupIndex
                | DefectName::LoseGroupProperties
                | DefectName::LoseBlock
                | DefectName::WithholdBlock
                | DefectName::StallPartition
                | DefectName::SlowDrift
        )
    }

    /// Whether it must be told the uuids of its events beforehand: SQL cannot count as it goes.
    pub fn is_told_its_events(&self) -> bool {
        let is_of_offsets =
            matches!(self.name, DefectName::LoseBlock | DefectName::StallPartition | DefectName::SlowDrift);
        self.stage == Sink && !is_of_offsets
    }
}

const fn defect(
    name: DefectName,
    word: &'static str,
    stage: Stage,
    what: &'static str,
    finding: &'static str,
    column: Option<&'static str>,
    also: &'static [&'static str],
) -> Defect {
    Defect { name, word, stage, what, finding, column, also }
}

use DefectName as N;
use Stage::{Capture, Exporter, Ingester, Sink};

/// Every defect, in the order of the pipeline.
///
/// Not among them are `lose_key` and `parallel_same_person`: they change the order of a person's events only.
#[rustfmt::skip]
pub const CATALOGUE: [Defect; 47] = [
    defect(N::AckThenDrop, "ack_then_drop", Capture, "answers 200 and produces nothing", "lost", None, &[]),
    defect(N::DropBatchTail, "drop_batch_tail", Capture, "forgets the last event of a batch", "lost", None, &[]),
    defect(N::DropOversize, "drop_oversize", Capture, "answers 200 to a large event and produces nothing", "lost", None, &[]),
    defect(N::PartialReject, "partial_reject", Capture, "answers as to an unreadable body, but produces the events", "rejected_but_visible", None, &[]),
    defect(N::DoubleProduce, "double_produce", Capture, "produces twice, the copy on the next UTC day", "duplicated", None, &["corrupted"]),
    defect(N::RemintUuid, "remint_uuid", Capture, "gives the event a uuid of its own, another one in each attempt", "corrupted", Some("uuid"), &["duplicated"]),
    defect(N::TruncateDistinctId, "truncate_distinct_id", Capture, "cuts the distinct id", "corrupted", Some("distinct_id"), &["wrong_person"]),
    defect(N::SwapTenant, "swap_tenant", Capture, "produces under another project's token", "misrouted", None, &[]),
    defect(N::IgnoreSentAt, "ignore_sent_at", Capture, "takes the client's clock for right", "corrupted", Some("timestamp"), &[]),
    defect(N::ApplySkewTwice, "apply_skew_twice", Capture, "corrects the client's clock twice", "corrupted", Some("timestamp"), &[]),
    defect(N::MangleUtf8, "mangle_utf8", Capture, "reads UTF-8 as Latin-1", "corrupted", Some("properties."), &[]),
    defect(N::DropNul, "drop_nul", Capture, "removes NUL characters", "corrupted", Some("properties."), &[]),
    defect(N::RenameEvent, "rename_event", Capture, "changes the event's name", "corrupted", Some("event"), &[]),
    defect(N::DropProperty, "drop_property", Capture, "removes a property", "corrupted", Some("properties."), &[]),
    defect(N::RoundIntegers, "round_integers", Capture, "puts integers through 32-bit floats", "corrupted", Some("properties.quantity"), &[]),
    defect(N::StringifyNumbers, "stringify_numbers", Capture, "writes numbers as strings", "corrupted", Some("properties."), &[]),
    defect(N::NullForEmpty, "null_for_empty", Capture, "writes null for what is empty", "corrupted", Some("properties."), &[]),
    defect(N::TruncateBody, "truncate_body", Capture, "loses the last properties", "corrupted", Some("properties."), &[]),
    defect(N::QuotaIgnored, "quota_ignored", Capture, "produces although the quota is used up", "should_be_absent", None, &[]),
    defect(N::CommitBeforeProcess, "commit_before_process", Ingester, "commits what it has polled before it processes it, and loses that when it is killed", "lost", None, &[]),
    defect(N::ReprocessOnRestart, "reprocess_on_restart", Ingester, "after a restart or a rebalance processes the last messages again, as new events", "duplicated", None, &["corrupted", "wrong_person"]),
    defect(N::SkipPoisonBlock, "skip_poison_block", Ingester, "skips a block with a message in it that it cannot read", "lost", None, &[]),
    defect(N::SilentDeadLetter, "silent_dead_letter", Ingester, "puts good events into the dead-letter topic", "lost", None, &[]),
    defect(N::DropLate, "drop_late", Ingester, "drops events that happened a while ago", "lost", None, &[]),
    defect(N::DropFuture, "drop_future", Ingester, "drops events that are yet to happen", "lost", None, &[]),
    defect(N::KeepTooOld, "keep_too_old", Ingester, "keeps events that are older than their team takes", "should_be_absent", None, &[]),
    defect(N::RandomPersonId, "random_person_id", Ingester, "gives events to a person that nobody knows", "wrong_person", Some("person_id"), &[]),
    defect(N::SwapGroupIndex, "swap_group_index", Ingester, "sets what an event says of a group at a group of another type", "wrong_group", Some("groups."), &[]),
    defect(N::LoseGroupProperties, "lose_group_properties", Ingester, "from an event on sets nothing of its group any more", "wrong_group", Some("groups.group_properties"), &[]),
    defect(N::PluginThrowDrops, "plugin_throw_drops", Ingester, "loses events over which a plugin throws", "lost", None, &[]),
    defect(N::PluginLeaksState, "plugin_leaks_state", Ingester, "what a plugin sets in one event shows in another", "corrupted", Some("properties."), &[]),
    defect(N::DropFailedExport, "drop_failed_export", Exporter, "gives up what a webhook answers 503 to", "not_exported", None, &[]),
    defect(N::CommitBeforeExport, "commit_before_export", Exporter, "dies between committing a block and delivering it", "not_exported", None, &[]),
    defect(N::ExportUnmatched, "export_unmatched", Exporter, "delivers what no plugin exports", "stray_export", None, &[]),
    defect(N::ExportDropsProperty, "export_drops_property", Exporter, "loses a property on the way to the webhook", "wrongly_exported", Some("properties."), &[]),
    defect(N::FilterInView, "filter_in_view", Sink, "the materialized view leaves rows out", "lost", None, &[]),
    defect(N::TruncateMilliseconds, "truncate_milliseconds", Sink, "the view keeps whole seconds", "corrupted", Some("timestamp"), &[]),
    defect(N::ShiftTimezone, "shift_timezone", Sink, "the view shifts times by two hours", "corrupted", Some("timestamp"), &[]),
    defect(N::SplitAcrossMidnight, "split_across_midnight", Sink, "the view writes a second row on the next day", "duplicated", None, &["corrupted"]),
    defect(N::WithholdBlock, "withhold_block", Sink, "rows become visible much later", "time_to_visible", None, &[]),
    defect(N::DeleteAfterVisible, "delete_after_visible", Sink, "rows are deleted after they were visible", "vanished", None, &[]),
    defect(N::LoseBlock, "lose_block", Sink, "the view leaves out a block of offsets", "lost", None, &[]),
    defect(N::StallPartition, "stall_partition", Sink, "one partition's rows become visible much later", "time_to_visible", None, &[]),
    defect(N::StaleReads, "stale_reads", Sink, "rows are hidden for a while", "flicker", None, &["vanished"]),
    defect(N::CopyToOtherTenant, "copy_to_other_tenant", Sink, "the view writes a second row under another team", "misrouted", None, &["duplicated"]),
    defect(N::InventRows, "invent_rows", Sink, "the view writes rows that nobody sent", "phantom", None, &[]),
    defect(N::SlowDrift, "slow_drift", Sink, "rows become visible later and later", "time_to_visible", None, &[]),
];

impl DefectName {
    /// Its entry in the catalogue.
    pub fn defect(self) -> &'static Defect {
        // Every name is in it, once: a test holds it to that.
        CATALOGUE.iter().find(|defect| defect.name == self).unwrap_or(&CATALOGUE[0])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_defect_is_in_the_catalogue_once_under_the_word_that_serde_gives_it() {
        let names: HashSet<DefectName> = CATALOGUE.iter().map(|defect| defect.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        for defect in &CATALOGUE {
            let word = serde_json::to_string(&defect.name).unwrap();
            assert_eq!(word, format!("\"{}\"", defect.word));
            assert_eq!(defect.name.defect().word, defect.word);
        }
        // SlowDrift is the last of the enumeration: there is none beyond the catalogue.
        assert_eq!(N::SlowDrift as usize + 1, CATALOGUE.len());
    }
}
