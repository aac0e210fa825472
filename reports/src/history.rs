//! The last runs of a scenario, a line each, with their p99 drawn.

use std::fmt::Write;

use checkers::{checks::Quantile, record::RunRecord, verdict::Verdict};
use comfy_table::{CellAlignment, Table, presets};

use crate::{
    figures::{count, quantile},
    unseen::plain,
};

/// The longest bar has so many characters.
const BAR: f64 = 24.0;

/// So many of those that are left out are named.
const NAMED: usize = 10;

/// The runs, each with its name, the oldest first; and what was left out, each with its name and why.
pub fn render(runs: &[(String, RunRecord)], left_out: &[(String, String)]) -> String {
    let p99 = |record: &RunRecord| match record.time_to_visible.p99 {
        Some(Quantile::Seconds(seconds)) => Some(seconds),
        _ => None,
    };
    let greatest = runs.iter().filter_map(|(_, record)| p99(record)).fold(0.0, f64::max);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["run", "verdict", "events", "lost", "wrong", "p50", "p99", ""]);
    for (name, record) in runs {
        let check = |name: &str| {
            let check = record.checks.iter().find(|check| check.name == name);
            check.map_or_else(|| "–".to_owned(), |check| count(check.k))
        };
        let bar =
            p99(record).filter(|_| greatest > 0.0).map_or(0, |p99| (p99 / greatest * BAR).round().max(1.0) as usize);
        table.add_row([
            name.as_str(),
            record.verdict.word(),
            &count(record.generator.sent),
            &check("loss"),
            &check("correctness"),
            &quantile(record.time_to_visible.p50),
            &quantile(record.time_to_visible.p99),
            &"█".repeat(bar),
        ]);
    }
    for column in 2..=6 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let of = |verdict| runs.iter().filter(|(_, record)| record.verdict == verdict).count();
    let mut text = format!(
        "{}\n\n{} runs: {} pass, {} fail, {} inconclusive.\n",
        table.trim_fmt(),
        runs.len(),
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Inconclusive)
    );
    if !left_out.is_empty() {
        // Writing into a String does not fail.
        let _ = writeln!(text, "\n{} left out:", count(left_out.len() as u64));
        let unnamed = left_out.len().saturating_sub(NAMED);
        if unnamed > 0 {
            let _ = writeln!(text, "  • {} older ones", count(unnamed as u64));
        }
        for (name, why) in &left_out[unnamed..] {
            let _ = writeln!(text, "  • {name}: {why}");
        }
    }
    plain(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::tests::{failed, passed};

    #[test]
    fn every_run_is_a_line() {
        let mut slow = passed();
        slow.time_to_visible.p99 = Some(Quantile::Seconds(10.0));
        let runs = [("one".to_owned(), passed()), ("two".to_owned(), failed()), ("three".to_owned(), slow)];
        let text = render(&runs, &[]);
        assert!(text.contains("3 runs: 2 pass, 1 fail, 0 inconclusive."), "{text}");
        let line = |name: &str| text.lines().find(|line| line.starts_with(&format!(" {name}"))).unwrap().to_owned();
        assert!(line("three").contains(&"█".repeat(24)) && line("one").matches('█').count() < 4, "{text}");
        assert!(render(&[], &[]).contains("0 runs"));
    }

    #[test]
    fn what_is_left_out_is_told_and_the_newest_of_it_named() {
        let left_out: Vec<_> = (0..12).map(|number| (format!("run-{number}"), format!("why {number}"))).collect();
        let text = render(&[], &left_out);
        assert!(text.contains("12 left out:\n  • 2 older ones\n  • run-2: why 2\n"), "{text}");
        assert!(text.ends_with("  • run-11: why 11\n"), "{text}");
        assert!(!render(&[], &[]).contains("left out"));
        assert!(!render(&[], &[("x".into(), "\x1b[2J".into())]).contains('\x1b'));
    }
}
