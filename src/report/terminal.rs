//! Plain text for a terminal.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use crate::campaign::{FunctionStats, Summary};
use crate::case::{Case, Step};
use crate::finding::{Finding, Origin};
use crate::observation::StepSeen;
use crate::oracle::Violation;
use crate::wire::Vocabulary;

/// The longest value that is shown of a request, in characters.
const VALUE_MAX_CHARS: usize = 120;

/// The table of a campaign: a row for each function with its outcomes, fallbacks by cause, and rate; then a
/// line with the totals.
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
    let mut text = table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect::<String>();
    let memory = summary.memory.map_or_else(String::new, |bytes| {
        format!(", at most {} MiB", bytes >> 20)
    });
    let _ = write!(
        text,
        "\n{} in {} cases, {} dispatches, {:.1} s ({rate} dispatches/s, slowest {} ms{memory})\n",
        count(summary.findings as u64, "finding"),
        summary.cases,
        summary.dispatches(),
        summary.elapsed.as_secs_f64(),
        summary.slowest.as_millis(),
    );
    if summary.unconfirmed > 0 {
        let _ = writeln!(
            text,
            "{} of the clock or of memory did not show again: the machine was busy",
            count(summary.unconfirmed, "violation")
        );
    }
    if summary.unexamined > 0 {
        let _ = writeln!(
            text,
            "{} more, which there was no time to look into",
            count(summary.unexamined, "violation")
        );
    }
    text
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

fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// A finding: its check, function and class, what was seen, its case, and the command that replays it.
pub fn finding_text<R: Vocabulary>(finding: &Finding<R>, replay: &str) -> String {
    let Violation {
        check,
        function,
        class,
        detail,
        measured: _,
    } = &finding.violation;
    let class = match &class[..] {
        "" => String::new(),
        class => format!(" ({class})"),
    };
    let origin = match finding.origin {
        Origin::Case if finding.minimal => "the smallest case that shows it",
        Origin::Case => "a case that shows it; shrinking ran into its limit",
        Origin::History => "the smallest sequence of cases that shows it",
        Origin::Unreproduced => "the session's cases; they did not show it again",
    };
    format!(
        "finding: {check} in {function}{class}\n  {detail}\n  {origin}:\n{}  replay: {replay}\n",
        indent(&case_text(&finding.case), 4)
    )
}

/// A case: each step as its function, the fields that differ from the dry-run sample, and its program.
pub fn case_text<R: Vocabulary>(case: &Case<R>) -> String {
    let steps = case.steps.iter().enumerate();
    steps
        .map(|(place, step)| format!("step {}: {}", place + 1, step_text(step)))
        .collect()
}

fn step_text<R: Vocabulary>(step: &Step<R>) -> String {
    let function = step.request.function();
    let mut text = format!("{}\n", function.label);
    let sample = serde_json::to_value(R::dry_run(step.request.place())).ok();
    let request = serde_json::to_value(&step.request).unwrap_or(Value::Null);
    let mut changes = Vec::new();
    changed(&request, sample.as_ref(), String::new(), &mut changes);
    if changes.is_empty() {
        text += "  the dry-run sample\n";
    }
    for (path, value) in changes {
        // The first part is the function's label once more.
        let path = path.splitn(3, '.').nth(2).unwrap_or("the request");
        let _ = writeln!(text, "  {path} = {}", shorten(&value.to_string()));
    }
    if let Some(program) = &step.program {
        let program = serde_json::to_string(program).unwrap_or_default();
        let _ = writeln!(text, "  program {}", shorten(&program));
    }
    text
}

/// The outermost places in which a value differs from the sample.
fn changed<'v>(
    value: &'v Value,
    sample: Option<&Value>,
    path: String,
    changes: &mut Vec<(String, &'v Value)>,
) {
    match (value, sample) {
        (value, Some(sample)) if value == sample => {}
        (Value::Object(fields), Some(Value::Object(of_sample)))
            if fields.keys().eq(of_sample.keys()) =>
        {
            for (key, field) in fields {
                changed(field, of_sample.get(key), format!("{path}.{key}"), changes);
            }
        }
        _ => changes.push((path, value)),
    }
}

/// A replay: each step of the case with what it came to, and what the checks say.
pub fn replay_text<R: Vocabulary>(
    case: &Case<R>,
    seen: &[StepSeen],
    violations: &[Violation],
) -> String {
    let mut text = String::new();
    // A process that died tells nothing.
    let told = !seen.is_empty();
    let mut seen = seen.iter().peekable();
    for (place, step) in case.steps.iter().enumerate() {
        let _ = write!(text, "step {}: {}", place + 1, step_text(step));
        match seen.next_if(|seen| seen.place == place) {
            Some(seen) => text += &indent(&seen_text(seen), 2),
            None if told => text += "  passed over: the input is too large\n",
            None => {}
        }
    }
    for violation in violations {
        let class = match &violation.class[..] {
            "" => String::new(),
            class => format!(" ({class})"),
        };
        let _ = writeln!(
            text,
            "finding: {} in {}{class}\n  {}",
            violation.check, violation.function, violation.detail
        );
    }
    let _ = writeln!(text, "{}", count(violations.len() as u64, "finding"));
    text
}

fn seen_text(seen: &StepSeen) -> String {
    let mut text = format!("came to {}\n", shorten(&seen.came_to));
    if let Some(cause) = &seen.cause {
        let _ = writeln!(text, "cause: {cause}");
    }
    let fuel = seen.fuel.map(|fuel| format!("{fuel} fuel, "));
    let _ = writeln!(
        text,
        "{}{} µs, {} bytes in, {} bytes out",
        fuel.unwrap_or_default(),
        seen.elapsed.as_micros(),
        seen.input_bytes.unwrap_or(0),
        seen.output_bytes.unwrap_or(0),
    );
    text
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

fn indent(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| format!("{:by$}{line}\n", ""))
        .collect()
}
