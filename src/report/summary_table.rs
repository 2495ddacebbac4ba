//! The summary of a campaign as a table.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::text::{count, findings, unexamined};
use crate::campaign::{FunctionStats, Summary};

/// The summary of a campaign: a row for each function with its outcomes, fallbacks by cause, and rate; then a line with
/// the totals.
pub fn summary_text(summary: &Summary) -> String {
    let causes: BTreeSet<&str> = summary
        .functions
        .iter()
        .flat_map(|stats| stats.counts.fallbacks.keys().map(String::as_str))
        .collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let fixed = ["function", "dispatches", "ok"].into_iter();
    table.set_header(fixed.chain(causes.iter().copied()).chain(["per second"]));
    for stats in &summary.functions {
        table.add_row(row(stats, &causes));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let rate = per_second(summary.dispatches(), summary.elapsed);
    let mut text = plain(&table);
    let memory = summary.memory.map_or_else(String::new, |bytes| {
        format!(", at most {} MiB", bytes >> 20)
    });
    let _ = write!(
        text,
        "\n{} in {} cases, {} dispatches, {:.1} s ({rate} dispatches/s, slowest {} ms{memory})\n",
        findings(summary.findings, summary.limits),
        summary.cases,
        summary.dispatches(),
        summary.elapsed.as_secs_f64(),
        summary.slowest.as_millis(),
    );
    if summary.from > 0 {
        let _ = writeln!(text, "{} ran before", count(summary.from, "case"));
    }
    if summary.interrupted {
        text += "interrupted: these are the results until then\n";
    }
    if summary.unconfirmed > 0 {
        let _ = writeln!(
            text,
            "{} of the clock or of memory did not reproduce: the machine was busy",
            count(summary.unconfirmed, "violation")
        );
    }
    if let Some(unexamined) = unexamined(summary.unexamined) {
        let _ = writeln!(text, "{unexamined}");
    }
    text
}

/// The lines of a table, without trailing spaces.
pub(super) fn plain(table: &Table) -> String {
    let lines = table.lines();
    lines
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn row(stats: &FunctionStats, causes: &BTreeSet<&str>) -> Vec<String> {
    let counts = &stats.counts;
    let mut row = vec![
        stats.function.label.to_owned(),
        counts.dispatches.to_string(),
        counts.ok.to_string(),
    ];
    let fallbacks = causes
        .iter()
        .map(|cause| counts.fallbacks.get(*cause).copied());
    row.extend(fallbacks.map(|fallbacks| fallbacks.unwrap_or(0).to_string()));
    row.push(per_second(counts.dispatches, counts.time).to_string());
    row
}

fn per_second(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(1e-9)) as u64
}
