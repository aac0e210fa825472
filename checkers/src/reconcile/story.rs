//! One event's story, and the classes that it comes to: the rules, apart from where a story comes from.
//!
//! A live run, a stored one and two files all become stories; what follows from one is decided here and nowhere else.

use super::{evidence::Class, sent::EventOutcome};

/// A moment or a length of time, in microseconds. Moments count from the run's start, or from 1970; all of one story
/// count from the same.
pub type Micros = i64;

/// Whether the event must be in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It must, in at most so many rows.
    Present {
        /// How many rows may legally stay.
        most_rows: usize,
    },
    /// It must not, though it may have been acked: quota, drop list, too old …
    Absent,
    /// Both are fine.
    Either {
        /// So many rows may stay, if any does.
        most_rows: usize,
    },
}

/// One completed read of the store, as far as it concerns one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When it began.
    pub start: Micros,
    /// When it ended.
    pub end: Micros,
    /// Whether it saw the event.
    pub seen: bool,
}

/// What all reads say about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which a rule asks for by its name")]
pub struct Sight {
    /// Some read saw it.
    pub ever: bool,
    /// The final read saw it.
    pub at_last: bool,
    /// It was seen in a read and is missing from every one after that, of which there is at least one.
    pub vanished: bool,
    /// It was seen, missing from a later read, and seen again after that.
    pub flickered: bool,
    /// Some read began at or after its answer.
    pub covered: bool,
}

impl Sight {
    /// What `looks` say; the final read is the last of them. A read can miss an event only if it began at or after the
    /// event's answer; without one, every read can. A read is *after* another only if it began after that had ended.
    pub fn of(looks: &[Look], answered_at: Option<Micros>) -> Self {
        let can_miss = |look: &Look| answered_at.is_none_or(|answered| look.start >= answered);
        let mut sight = Self {
            ever: looks.iter().any(|look| look.seen),
            at_last: looks.last().is_some_and(|look| look.seen),
            covered: looks.iter().any(can_miss),
            ..Self::default()
        };
        let seen = || looks.iter().filter(|look| look.seen);
        let misses = || looks.iter().filter(|look| !look.seen && can_miss(look));
        let Some(last_seen_start) = seen().map(|look| look.start).max() else { return sight };
        let Some(first_seen_end) = seen().map(|look| look.end).min() else { return sight };
        // A sight that no other sight is after; the one that ended first leaves the most room for a miss after it.
        let unsurpassed = seen().map(|look| look.end).filter(|end| *end >= last_seen_start).min();
        sight.vanished = unsurpassed.is_some_and(|end| misses().any(|miss| miss.start > end));
        sight.flickered = misses().any(|miss| miss.start > first_seen_end && miss.end < last_seen_start);
        sight
    }
}

/// What the final read's rows say, after removing what merges will remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which a rule asks for by its name")]
pub struct RowFacts {
    /// How many are left.
    pub left: usize,
    /// One is under another tenant than the event's own.
    pub misrouted: bool,
    /// A judged column differs in one.
    pub corrupted: bool,
    /// The person of one is no legal one.
    pub wrong_person: bool,
    /// The group of one is no legal one.
    pub wrong_group: bool,
}

/// What the webhook sink says of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which a rule asks for by its name")]
pub struct Exported {
    /// Some plugin of its team exports such events.
    pub wanted: bool,
    /// One of those has not delivered it.
    pub missing: bool,
    /// One has.
    pub delivered: bool,
    /// A delivery does not hold what the event is.
    pub wrong: bool,
    /// One that does not export such events has delivered it.
    pub unmatched: bool,
    /// The exporter had nothing left to do.
    pub caught_up: bool,
}

/// Everything about one event that its classes follow from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// What the client knows.
    pub outcome: EventOutcome,
    /// What the oracle expects.
    pub presence: Presence,
    /// Whether capture said that it has dropped the event, and no attempt may have stored it.
    pub dropped: bool,
    /// What the reads say.
    pub sight: Sight,
    /// Whether the final read began so long after the answer that a missing event is lost.
    pub old_enough: bool,
    /// What the rows say.
    pub rows: RowFacts,
    /// What the webhook sink says.
    pub exported: Exported,
}

/// What a story comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each of which a rule asks for by its name")]
pub struct Judged {
    /// All classes that fit.
    pub classes: Classes,
    /// Acked, and expected present.
    pub expected: bool,
    /// Expected, seen in no read, and too young to be called lost, or covered by no read.
    pub pending: bool,
    /// Belongs to those that `correctness` is counted among, where the final read holds rows: it is visible there and
    /// may be.
    pub may_be_judged: bool,
    /// Must have been exported: acked or visible, expected present, and a plugin of its team exports it.
    pub to_be_exported: bool,
    /// That, and it is not yet, which may still come.
    pub export_pending: bool,
}

impl Judged {
    /// Belongs to those that `loss` is counted among.
    pub const fn must_be_visible(&self) -> bool {
        self.expected && !self.pending
    }

    /// Counts as a defect of `loss`.
    pub const fn missing(&self) -> bool {
        self.must_be_visible() && (self.classes.has(Class::Lost) || self.classes.has(Class::Vanished))
    }

    /// Counts as a defect of `correctness`.
    pub const fn incorrect(&self) -> bool {
        self.may_be_judged
            && (self.classes.has(Class::Misrouted)
                || self.classes.has(Class::Duplicated)
                || self.classes.has(Class::Corrupted)
                || self.classes.has(Class::WrongPerson)
                || self.classes.has(Class::WrongGroup))
    }

    /// Belongs to those that `exports` is counted among.
    pub const fn must_be_exported(&self) -> bool {
        self.to_be_exported && !self.export_pending
    }

    /// Counts as a defect of `exports`.
    pub const fn misexported(&self) -> bool {
        self.must_be_exported() && (self.classes.has(Class::NotExported) || self.classes.has(Class::WronglyExported))
    }
}

impl Story {
    /// What it comes to.
    pub fn judge(&self) -> Judged {
        let Self { outcome, presence, dropped, sight, rows, exported, .. } = self;
        let expected = *outcome == EventOutcome::Acked && matches!(presence, Presence::Present { .. });
        // What was dropped will never come, so that nobody foresaw it is a loss at once.
        let is_settled = *dropped || self.old_enough && sight.covered;
        let pending = expected && !sight.ever && !is_settled;
        let too_many = match presence {
            Presence::Present { most_rows } | Presence::Either { most_rows } => rows.left > (*most_rows).max(1),
            Presence::Absent => rows.left > 1,
        };
        let may_be_visible = *outcome == EventOutcome::Indeterminate && matches!(presence, Presence::Present { .. });
        let to_be_exported = exported.wanted && (expected && !dropped || may_be_visible && sight.at_last);
        // An exporter that has nothing left to do was told of everything that the store has seen.
        let final_of = sight.ever || self.old_enough;
        let export_pending = to_be_exported && exported.missing && !(final_of && exported.caught_up);
        let is_absent = *presence == Presence::Absent || *dropped;
        let must_not_be_there = is_absent || *outcome <= EventOutcome::Rejected;
        let mut classes = Classes::default();
        for (class, fits) in [
            (Class::RejectedButVisible, *outcome <= EventOutcome::Rejected && sight.ever),
            (Class::ShouldBeAbsent, is_absent && sight.ever),
            (Class::Misrouted, rows.misrouted),
            (Class::Vanished, sight.vanished),
            (Class::Lost, expected && !sight.ever && !pending),
            (Class::Duplicated, too_many),
            (Class::Corrupted, rows.corrupted),
            (Class::WrongPerson, rows.wrong_person),
            (Class::WrongGroup, rows.wrong_group),
            (Class::Flicker, sight.flickered),
            (Class::NotExported, to_be_exported && exported.missing && !export_pending),
            (Class::WronglyExported, exported.wrong),
            (Class::StrayExport, exported.unmatched || exported.delivered && must_not_be_there),
        ] {
            if fits {
                classes.add(class);
            }
        }
        let may_be_judged = *outcome >= EventOutcome::Indeterminate && !is_absent && sight.at_last;
        Judged { classes, expected, pending, may_be_judged, to_be_exported, export_pending }
    }
}

/// A set of classes, in the order in which the first is an event's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Classes(u16);

impl Classes {
    /// Adds a class.
    pub const fn add(&mut self, class: Class) {
        self.0 |= 1 << class as u16;
    }

    /// Whether a class is among them.
    pub const fn has(self, class: Class) -> bool {
        self.0 & 1 << class as u16 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The event's own class.
    pub fn primary(self) -> Option<Class> {
        self.iter().next()
    }

    /// All of them, in their order.
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL.into_iter().filter(move |class| self.has(*class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn look(start: Micros, end: Micros, seen: bool) -> Look {
        Look { start, end, seen }
    }

    #[test]
    fn after_means_begun_after_the_other_had_ended() {
        let of = |looks: &[Look]| {
            let sight = Sight::of(looks, Some(0));
            (sight.vanished, sight.flickered)
        };
        assert_eq!(of(&[]), (false, false));
        assert_eq!(of(&[look(1, 2, true)]), (false, false));
        assert_eq!(of(&[look(1, 2, true), look(3, 4, false)]), (true, false));
        assert_eq!(of(&[look(1, 2, true), look(2, 4, false)]), (false, false), "begun when the other ended");
        assert_eq!(of(&[look(1, 3, true), look(2, 4, false)]), (false, false), "beside each other");
        assert_eq!(of(&[look(3, 4, false), look(5, 6, true)]), (false, false), "first missing, then there");
        assert_eq!(of(&[look(1, 2, true), look(3, 4, false), look(5, 6, true)]), (false, true));
        assert_eq!(of(&[look(1, 2, true), look(3, 6, false), look(5, 7, true)]), (false, false), "overlapping");
        assert_eq!(of(&[look(1, 2, true), look(3, 4, false), look(5, 6, true), look(7, 8, false)]), (true, true));
        // A long read that saw it ended after the miss, but a short one before it had ended long ago.
        assert_eq!(of(&[look(1, 2, true), look(1, 9, true), look(4, 5, false)]), (true, false));
    }

    #[test]
    fn a_read_before_the_answer_cannot_miss() {
        let looks = [look(1, 2, true), look(3, 4, false)];
        assert!(Sight::of(&looks, Some(3)).vanished);
        assert!(!Sight::of(&looks, Some(4)).vanished);
        assert!(Sight::of(&looks, None).vanished);
        assert!(Sight::of(&[look(3, 4, false)], Some(3)).covered);
        assert!(!Sight::of(&[look(3, 4, false)], Some(4)).covered);
        assert!(!Sight::of(&[], None).covered);
    }

    #[test]
    fn the_first_class_in_their_order_is_the_events_own() {
        let mut classes = Classes::default();
        assert_eq!(classes.primary(), None);
        classes.add(Class::Flicker);
        classes.add(Class::Lost);
        assert_eq!(classes.primary(), Some(Class::Lost));
        assert_eq!(classes.iter().collect::<Vec<_>>(), [Class::Lost, Class::Flicker]);
        assert!(!classes.is_empty() && Classes::default().is_empty());
    }

    #[test]
    fn what_follows_from_outcome_presence_and_sight() {
        use EventOutcome::{Acked, Indeterminate, Rejected, Unsent};
        let present = Presence::Present { most_rows: 1 };
        let seen = Sight { ever: true, at_last: true, covered: true, ..Sight::default() };
        let unseen = Sight { covered: true, ..Sight::default() };
        let uncovered = Sight::default();
        let of = |outcome, presence, sight, old_enough| {
            let rows = RowFacts { left: usize::from(seen == sight), ..RowFacts::default() };
            let exported = Exported::default();
            let judged = Story { outcome, presence, dropped: false, sight, old_enough, rows, exported }.judge();
            (judged.classes.primary(), judged.must_be_visible(), judged.pending, judged.may_be_judged)
        };
        for (outcome, presence, sight, old_enough, expected) in [
            (Acked, present, seen, true, (None, true, false, true)),
            (Acked, present, seen, false, (None, true, false, true)),
            (Acked, present, unseen, true, (Some(Class::Lost), true, false, false)),
            (Acked, present, unseen, false, (None, false, true, false)),
            (Acked, present, uncovered, true, (None, false, true, false)),
            (Acked, Presence::Absent, seen, true, (Some(Class::ShouldBeAbsent), false, false, false)),
            (Acked, Presence::Absent, unseen, true, (None, false, false, false)),
            (Acked, Presence::Either { most_rows: 1 }, seen, true, (None, false, false, true)),
            (Acked, Presence::Either { most_rows: 1 }, unseen, true, (None, false, false, false)),
            (Indeterminate, present, seen, true, (None, false, false, true)),
            (Indeterminate, present, unseen, true, (None, false, false, false)),
            (Rejected, present, seen, true, (Some(Class::RejectedButVisible), false, false, false)),
            (Rejected, present, unseen, true, (None, false, false, false)),
            (Unsent, present, seen, true, (Some(Class::RejectedButVisible), false, false, false)),
            (Rejected, Presence::Absent, seen, true, (Some(Class::RejectedButVisible), false, false, false)),
        ] {
            assert_eq!(of(outcome, presence, sight, old_enough), expected, "{outcome:?} {presence:?} {sight:?}");
        }
    }

    #[test]
    fn what_was_dropped_is_lost_where_nothing_foresees_it_and_must_not_be_there() {
        let of = |presence, ever| {
            let sight = Sight { ever, at_last: ever, ..Sight::default() };
            let rows = RowFacts { left: usize::from(ever), ..RowFacts::default() };
            let exported = Exported { wanted: true, missing: true, caught_up: true, ..Exported::default() };
            let outcome = EventOutcome::Acked;
            let judged = Story { outcome, presence, dropped: true, sight, old_enough: false, rows, exported }.judge();
            assert!(!judged.pending && !judged.may_be_judged && !judged.to_be_exported);
            (judged.classes.primary(), judged.must_be_visible(), judged.missing())
        };
        let present = Presence::Present { most_rows: 1 };
        for (presence, ever, expected) in [
            (present, false, (Some(Class::Lost), true, true)),
            (present, true, (Some(Class::ShouldBeAbsent), true, false)),
            (Presence::Absent, false, (None, false, false)),
            (Presence::Absent, true, (Some(Class::ShouldBeAbsent), false, false)),
            (Presence::Either { most_rows: 1 }, false, (None, false, false)),
            (Presence::Either { most_rows: 1 }, true, (Some(Class::ShouldBeAbsent), false, false)),
        ] {
            assert_eq!(of(presence, ever), expected, "{presence:?} {ever}");
        }
    }

    #[test]
    fn what_was_not_exported_is_missing_when_nothing_more_can_come() {
        let pending = |is_seen, old_enough, caught_up| {
            let story = Story {
                outcome: EventOutcome::Acked,
                presence: Presence::Present { most_rows: 1 },
                dropped: false,
                sight: Sight { ever: is_seen, at_last: is_seen, covered: true, ..Sight::default() },
                old_enough,
                rows: RowFacts { left: usize::from(is_seen), ..RowFacts::default() },
                exported: Exported { wanted: true, missing: true, caught_up, ..Exported::default() },
            };
            let judged = story.judge();
            assert_eq!(judged.classes.has(Class::NotExported), !judged.export_pending);
            judged.export_pending
        };
        assert!(!pending(true, false, true), "it is stored, so an exporter that is at the end had it");
        assert!(!pending(true, true, true) && !pending(false, true, true));
        assert!(pending(false, false, true), "it may still be on its way");
        assert!(pending(true, true, false), "the exporter is still at work");
    }

    #[test]
    fn rows_are_counted_against_what_may_stay() {
        let duplicated = |presence, left| {
            let sight = Sight { ever: true, at_last: true, covered: true, ..Sight::default() };
            let rows = RowFacts { left, ..RowFacts::default() };
            let story = Story {
                outcome: EventOutcome::Acked,
                presence,
                dropped: false,
                sight,
                old_enough: true,
                rows,
                exported: Exported::default(),
            };
            story.judge().classes.has(Class::Duplicated)
        };
        assert!(
            !duplicated(Presence::Present { most_rows: 1 }, 1) && duplicated(Presence::Present { most_rows: 1 }, 2)
        );
        assert!(
            !duplicated(Presence::Present { most_rows: 2 }, 2) && duplicated(Presence::Present { most_rows: 2 }, 3)
        );
        assert!(!duplicated(Presence::Either { most_rows: 1 }, 1) && duplicated(Presence::Either { most_rows: 1 }, 2));
        assert!(!duplicated(Presence::Present { most_rows: 0 }, 1), "one row may always stay");
    }
}
