//! What was wrong: by class, by partition, traffic and size, by column, with examples.

use checkers::{
    details::breakdown::Group,
    reconcile::evidence::{Class, Finding},
    record::RunRecord,
};

use super::{
    help, story,
    text::{Pieces, count, escape, percent, short},
};
use crate::runbooks::page_for_class;

/// So many rows of a breakdown are drawn.
const ROWS: usize = 24;
/// So many bytes of stories are told; what has no room any more is told in a line.
const STORIES: usize = 1_000_000;
/// So many columns are named.
const COLUMNS: usize = 40;

pub(super) fn section(record: &RunRecord) -> String {
    let mut counts = record.counts;
    let found: Vec<(Class, u64)> =
        Class::ALL.into_iter().map(|class| (class, *counts.of(class))).filter(|(_, count)| *count > 0).collect();
    if found.is_empty() {
        let judged = record.judged_columns.len();
        if counts.pending > 0 || record.counts.visible == 0 {
            return format!(
                "<p class=\"lead\">None was found among the {} events that were seen; {} are pending, so this says little.</p>",
                count(counts.visible),
                count(counts.pending)
            );
        }
        let columns = if judged > 0 { format!(", in {judged} columns and every sent property") } else { String::new() };
        return format!(
            "<p class=\"lead good\">None was found: every event was looked up by its identity{columns}.</p>"
        );
    }
    let most = found.iter().map(|(_, count)| *count).max().unwrap_or(1);
    let rows: String = found
        .iter()
        .map(|(class, number)| {
            format!(
                "<tr><th scope=\"row\"><a href=\"#class-{}\">{}</a></th><td>{}</td><td class=\"bars\">{}</td><td>{}</td></tr>",
                class.name(),
                word(*class),
                count(*number),
                bar(*number as f64 / most as f64),
                class_in_words(*class),
            )
        })
        .joined();
    let details = record.details.as_ref();
    let breakdowns = details.map_or_else(String::new, |details| {
        let defects = &details.defects;
        let sizes = sizes(&defects.sizes);
        format!(
            "<div class=\"columns\">{}{}{sizes}{}</div>",
            groups("By partition of the capture topic", &defects.partitions),
            groups("By traffic and its tenant", &defects.traffics),
            columns(record),
        )
    });
    let mut room = STORIES;
    let classes: Vec<Class> =
        Class::ALL.into_iter().filter(|class| record.findings.iter().any(|finding| finding.class == *class)).collect();
    let examples: String = classes.iter().map(|class| examples(*class, record, &mut room)).joined();
    format!(
        "<div class=\"wide\"><table class=\"figures defects\"><thead><tr><th scope=\"col\">class</th><th scope=\"col\">events</th><th scope=\"col\"></th>\
         <th scope=\"col\">what that is</th></tr></thead><tbody>{rows}</tbody></table></div>\
         <p class=\"lead\">Each event counts once, by the first class that fits.</p>{breakdowns}<h3>Examples</h3>{examples}"
    )
}

fn word(class: Class) -> String {
    class.name().replace('_', " ")
}

const fn class_in_words(class: Class) -> &'static str {
    match class {
        Class::Phantom => "a row that nobody has sent",
        Class::RejectedButVisible => "refused by capture, or never sent, and yet stored",
        Class::ShouldBeAbsent => "must not be stored (quota, drop list …), and is",
        Class::Misrouted => "stored under another tenant",
        Class::Vanished => "seen, and gone from every later read",
        Class::Lost => "answered with success, and in no read that should have seen it",
        Class::Duplicated => "more rows than merges will remove",
        Class::Corrupted => "a column or property does not hold what was sent",
        Class::WrongPerson => "given to a person that it cannot belong to",
        Class::WrongGroup => "given to a group that it does not belong to",
        Class::Flicker => "seen, then missing, then seen again",
        Class::NotExported => "a plugin had to deliver it to its webhook, and has not",
        Class::WronglyExported => "delivered to a webhook, and not as it is",
        Class::StrayExport => "delivered to a webhook that was to have no such event",
    }
}

/// A bar of that share of its place.
fn bar(share: f64) -> String {
    format!("<div class=\"bar1\"><i style=\"width:{:.1}%\"></i></div>", (share * 100.0).max(0.5))
}

fn defects_of(group: &Group) -> u64 {
    group.defects.values().sum()
}

fn groups(title: &str, all: &[Group]) -> String {
    let rate = |group: &Group| if group.events == 0 { 0.0 } else { defects_of(group) as f64 / group.events as f64 };
    let greatest = all.iter().map(rate).fold(0.0, f64::max);
    if greatest <= 0.0 {
        return String::new();
    }
    let mut shown: Vec<&Group> = all.iter().collect();
    if shown.len() > ROWS {
        shown.sort_by_key(|group| std::cmp::Reverse(defects_of(group)));
        shown.truncate(ROWS);
    }
    let rows: String = shown
        .into_iter()
        .map(|group| {
            let classes: Vec<String> =
                group.defects.iter().map(|(class, number)| format!("{} {}", count(*number), word(*class))).collect();
            format!(
                "<tr title=\"{}\"><th scope=\"row\">{}</th><td class=\"bars\">{}</td><td>{} of {}</td><td>{}</td></tr>",
                classes.join(", "),
                short(&group.name, 60),
                bar(rate(group) / greatest),
                count(defects_of(group)),
                count(group.events),
                percent(rate(group)),
            )
        })
        .joined();
    format!("<div><h3>{title}</h3><table class=\"figures\"><tbody>{rows}</tbody></table></div>")
}

/// Sizes are known of some events only, so shares are compared.
fn sizes(all: &[Group]) -> String {
    let (events, defects) =
        (all.iter().map(|group| group.events).sum::<u64>(), all.iter().map(defects_of).sum::<u64>());
    if events == 0 || defects == 0 {
        return String::new();
    }
    let rows: String = all
        .iter()
        .filter(|group| group.events > 0 || !group.defects.is_empty())
        .map(|group| {
            let (of_all, of_defects) = (group.events as f64 / events as f64, defects_of(group) as f64 / defects as f64);
            format!(
                "<tr><th scope=\"row\">{}</th><td class=\"bars\">{}</td><td>{}</td><td>{}</td></tr>",
                escape(&group.name),
                bar(of_defects),
                percent(of_defects),
                percent(of_all),
            )
        })
        .joined();
    format!(
        "<div><h3>By size</h3><table class=\"figures\"><thead><tr><th scope=\"col\">content</th><th></th><th scope=\"col\">of the defects</th>\
         <th scope=\"col\">of all events</th></tr></thead><tbody>{rows}</tbody></table><p class=\"small\">Of {} defects and {} events that were measured.</p></div>",
        count(defects),
        count(events)
    )
}

fn columns(record: &RunRecord) -> String {
    let mut all: Vec<(&String, &u64)> = record.differing_columns.iter().collect();
    all.sort_by_key(|(name, number)| (std::cmp::Reverse(**number), *name));
    let Some(most) = all.first().map(|(_, number)| **number) else { return String::new() };
    let more = all.len().saturating_sub(COLUMNS);
    let rows: String = all
        .into_iter()
        .take(COLUMNS)
        .map(|(name, number)| {
            format!(
                "<tr><th scope=\"row\"><code>{}</code></th><td class=\"bars\">{}</td><td>{}</td></tr>",
                short(name, 80),
                bar(*number as f64 / most as f64),
                count(*number)
            )
        })
        .joined();
    let more = if more > 0 { format!("<p class=\"small\">and {} more</p>", count(more as u64)) } else { String::new() };
    format!("<div><h3>By column</h3><table class=\"figures\"><tbody>{rows}</tbody></table>{more}</div>")
}

fn examples(class: Class, record: &RunRecord, room: &mut usize) -> String {
    let findings = || record.findings.iter().filter(|finding| finding.class == class);
    let known = record.details.iter().flat_map(|details| &details.examples).filter(|example| example.class == class);
    let (mut stories, mut told) = (String::new(), Vec::new());
    for example in known {
        let story = story::render(example);
        if let Some(left) = room.checked_sub(story.len()) {
            *room = left;
            stories.push_str(&story);
            told.push(example.event.as_str());
        }
    }
    let others: String = findings().filter(|finding| !told.contains(&finding.event.as_str())).map(other).joined();
    let others = if others.is_empty() {
        String::new()
    } else {
        let title = if told.is_empty() { "All that is known of them" } else { "More of them, in short" };
        format!("<details class=\"quiet\"><summary>{title}</summary><ul class=\"findings\">{others}</ul></details>")
    };
    format!(
        "<h4 id=\"class-{}\">{} <small>{} · {}</small></h4>{stories}{others}",
        class.name(),
        word(class),
        class_in_words(class),
        page_for_class(class).map(help::link).unwrap_or_default(),
    )
}

fn other(finding: &Finding) -> String {
    let column =
        finding.column.as_deref().map(|column| format!(" · <code>{}</code>", short(column, 80))).unwrap_or_default();
    let differs = match (&finding.expected, &finding.found) {
        (Some(expected), Some(found)) => {
            format!(": expected <ins>{}</ins>, found <del>{}</del>", short(expected, 160), short(found, 160))
        }
        _ => String::new(),
    };
    let stage = finding.stage.as_deref().map(|stage| format!(" · last in: {}", escape(stage))).unwrap_or_default();
    format!("<li><code>{}</code>{column}{differs}{stage}</li>", short(&finding.event, 300))
}
