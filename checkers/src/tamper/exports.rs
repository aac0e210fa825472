//! The self-test of what is said of exports: deliveries that are dropped, changed or made up in a copy of the evidence.

use std::collections::BTreeMap;

use generators::event::EventSource;

use super::{CONTROLS, Place, SelfTest, VICTIMS, change, clean_events};
use crate::{
    oracle::row::{Expected, Row},
    reconcile::{
        classify::{Case, classify_one},
        evidence::Class,
        exports::{Delivery, judge_delivery},
        rows::FinalRead,
    },
};

/// Tampers with deliveries of clean events; `None` where no plugin exports, or too few events are clean.
pub(super) fn self_test(case: &Case<'_>) -> Option<SelfTest> {
    let (exports, last) = (case.exports?, case.final_reads.last()?);
    let (mut delivered, mut others) = (Vec::new(), Vec::new());
    // More than are needed: of a plugin that acts on few events, few are delivered.
    for (stream, seq) in clean_events(case, last, 20 * (VICTIMS + CONTROLS)) {
        let rules = case.export_rules(stream, seq);
        let is_right = exports.wrong(stream, seq).next().is_none()
            && rules.iter().enumerate().all(|(number, rule)| *rule == Some(exports.times(number, stream, seq) > 0));
        if is_right {
            if rules.contains(&Some(true)) { &mut delivered } else { &mut others }.push((stream, seq));
        }
    }
    let mut result = SelfTest { planted: 0, found: 0, false_alarms: 0, missed: BTreeMap::new() };
    let each = (delivered.len() / 3).min(VICTIMS);
    let victims = |class, from: &[Place]| from.iter().map(|place| (class, *place)).collect::<Vec<_>>();
    let planted = [
        victims(Class::NotExported, &delivered[..each]),
        victims(Class::WronglyExported, &delivered[each..2 * each]),
        victims(Class::StrayExport, &others[..others.len().min(VICTIMS)]),
    ];
    for (number, (class, place)) in planted.into_iter().flatten().enumerate() {
        let Some(found) = tampered(case, last, place, class, number) else { continue };
        result.planted += 1;
        if found.contains(&class) {
            result.found += 1;
        } else {
            *result.missed.entry(class).or_default() += 1;
        }
        result.false_alarms += found.iter().filter(|other| **other != class).count() as u64;
    }
    for (stream, seq) in delivered.iter().skip(2 * each).take(CONTROLS) {
        result.false_alarms += classify_one(case, *stream, *seq, &case.sent.event(*stream, *seq)).len() as u64;
    }
    (result.planted > 0).then_some(result)
}

/// The classes that an event comes to after `class` was planted in its deliveries; `variant` varies the way.
fn tampered(
    case: &Case<'_>,
    last: &FinalRead,
    (stream, seq): Place,
    class: Class,
    variant: usize,
) -> Option<Vec<Class>> {
    let exports = case.exports?;
    let rules = case.export_rules(stream, seq);
    let delivery = |plugin: usize| Delivery { plugin: plugin as u8, stream, seq, differences: Vec::new() };
    let numbers = |wanted: bool| (0..rules.len()).filter(move |number| (rules[*number] == Some(true)) == wanted);
    let deliveries: Vec<Delivery> = match class {
        Class::NotExported => Vec::new(),
        Class::StrayExport => numbers(false).take(1).map(delivery).collect(),
        _ => {
            let event = case.workload.event(stream, seq)?;
            let expectation = case.expect(&event, case.workload.traffic(stream)?.team, &[]);
            let timestamp_micros = last.plain_row(stream, seq)?.timestamp_micros;
            let mut row = Row { timestamp_micros, ..expectation.fulfilled()? };
            let property = expectation.columns.iter().find_map(|column| {
                matches!(column.expected, Expected::Json(_)).then(|| column.column.strip_prefix("properties."))?
            });
            match (variant % 3, property) {
                (0, Some(property)) => change(&mut row, property, None),
                (1, _) => row.distinct_id.push('!'),
                _ => row.team_id += 1,
            }
            let differences = judge_delivery(&row, &expectation);
            numbers(true).map(|number| Delivery { differences: differences.clone(), ..delivery(number) }).collect()
        }
    };
    let tampered = exports.with(stream, seq, &deliveries);
    let copy = Case { exports: Some(&tampered), ..*case };
    Some(classify_one(&copy, stream, seq, &case.sent.event(stream, seq)))
}
