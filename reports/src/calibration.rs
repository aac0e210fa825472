//! The table of a calibration: what was planted, and what the judge made of it.

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::figures::count;

/// One planted defect, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub defect: String,
    /// Where it was planted.
    pub stage: String,
    /// In how many events or messages.
    pub planted: u64,
    /// How many findings of its class there were.
    pub found: u64,
    /// The class, or the check.
    pub finding: String,
    /// The column that a finding named, or the class.
    pub named: Option<String>,
    /// Findings of classes that do not belong to it.
    pub false_alarms: u64,
    /// What it comes to.
    pub outcome: Outcome,
}

/// Whether the judge said what it must.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did.
    AsItMust,
    /// It did not, in this way.
    Wrong(String),
    /// It could not be tried, for this reason.
    NotCalibrated(String),
}

/// The table, and below it what went wrong.
pub fn render(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["defect", "stage", "planted", "found", "as", "named", "false alarms", ""]);
    for row in rows {
        let word = match row.outcome {
            Outcome::AsItMust => "ok",
            Outcome::Wrong(_) => "WRONG",
            Outcome::NotCalibrated(_) => "not calibrated",
        };
        table.add_row([
            row.defect.as_str(),
            &row.stage,
            &count(row.planted),
            &count(row.found),
            &row.finding,
            row.named.as_deref().unwrap_or_default(),
            &count(row.false_alarms),
            word,
        ]);
    }
    for column in [2, 3, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| match &row.outcome {
            Outcome::AsItMust => None,
            Outcome::Wrong(why) | Outcome::NotCalibrated(why) => Some(format!("  • {}: {why}\n", row.defect)),
        })
        .collect();
    let good = rows.len() - wrong.len();
    let why = if wrong.is_empty() { String::new() } else { format!("\n{}", wrong.concat()) };
    format!("{}\n\n{good} of {} as they must be.\n{why}", table.trim_fmt(), rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_below() {
        let row = |defect: &str, outcome| Row {
            defect: defect.into(),
            stage: "capture".into(),
            planted: 4,
            found: 4,
            finding: "lost".into(),
            named: Some("lost".into()),
            false_alarms: 0,
            outcome,
        };
        let good = render(&[row("a", Outcome::AsItMust)]);
        assert!(good.contains("1 of 1 as they must be") && !good.contains('•'), "{good}");
        let bad = render(&[row("a", Outcome::AsItMust), row("b", Outcome::Wrong("it was missed".into()))]);
        assert!(bad.contains("1 of 2") && bad.contains("• b: it was missed") && bad.contains("WRONG"), "{bad}");
    }
}
