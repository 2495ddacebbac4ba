//! Findings, cases and replays as plain text.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::{Case, Step, tree};
use crate::check::{CheckRef, Violation};
use crate::finding::{Finding, KnownFindings, Origin, is_healthy_call};
use crate::record::StepSummary;
use crate::untrusted_text::{excerpt, one_line};
use crate::wire::{self, Vocabulary};

pub(super) fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// The number of violations that were not examined, as text; `None` if there are none.
pub(super) fn unexamined(violations: u64) -> Option<String> {
    let number = count(violations, "violation");
    (violations > 0).then(|| format!("{number} not examined for lack of time"))
}

/// A finding: its check, function and class, its details, its case, and the command that replays it.
pub fn finding_text<R: Vocabulary>(finding: &Finding<R>, replay: &str) -> String {
    let detail = &finding.violation.detail;
    let origin = match finding.origin {
        Origin::Case if finding.minimal => "the smallest case that shows it",
        Origin::Case => "a case that shows it; shrinking stopped at its limit",
        Origin::History if finding.minimal => "the smallest sequence of cases that shows it",
        Origin::History => "a sequence of cases that shows it; shrinking stopped at its limit",
        Origin::Unreproduced => "the session's cases; it did not reproduce",
        Origin::Stored => "the stored case that shows it",
        Origin::Unexamined { certain: true } => {
            "the session's cases; there was no time to examine it"
        }
        Origin::Unexamined { certain: false } => {
            "the session's cases; there was no time to measure it again, and the machine may be the cause"
        }
    };
    let case = match finding.origin {
        // All calls of a session are of no use to a reader.
        Origin::Unreproduced | Origin::Unexamined { .. } => {
            indent(&count(finding.case.dispatches() as u64, "step"), 4)
        }
        _ => indent(&case_text(&finding.case), 4),
    };
    let (word, name) = match finding.origin {
        Origin::Unexamined { .. } => ("unexamined", name(&finding.violation)),
        _ => (word(&finding.violation), name(&finding.violation)),
    };
    format!("{word}: {name}\n  {detail}\n  {origin}:\n{case}  replay: {replay}\n")
}

/// Returns the text of a case: each step with its function, the fields that differ from the dry-run
/// sample, and its program.
pub fn case_text<R: Vocabulary>(case: &Case<R>) -> String {
    let mut text = String::new();
    let mut number = 0;
    for same in case.steps.chunk_by(Step::is_same_call) {
        let times = same.iter().map(|step| step.times.get() as usize).sum();
        let _ = write!(text, "{}: {}", steps(number, times), step_text(&same[0]));
        number += times;
    }
    text
}

/// The numbers of `times` steps after `before` others.
fn steps(before: usize, times: usize) -> String {
    match times {
        1 => format!("step {}", before + 1),
        _ => format!("steps {} to {}", before + 1, before + times),
    }
}

fn step_text<R: Vocabulary>(step: &Step<R>) -> String {
    let function = step.request.function();
    let mut text = format!("{}\n", function.label);
    let changes = tree::unlike_the_sample(&step.request);
    if changes.is_empty() {
        text += "  the dry-run sample\n";
    }
    for (field, value) in changes {
        let field = match &field[..] {
            "" => "the request".to_owned(),
            field => field.replace('/', "."),
        };
        let value = wire::in_short(&value);
        let (field, value) = (one_line(field), one_line(value));
        let _ = writeln!(text, "  {field} = {}", excerpt(&value));
    }
    if let Some(program) = &step.program {
        let program = serde_json::to_string(program).unwrap_or_default();
        let _ = writeln!(text, "  program {}", excerpt(&program));
    }
    text
}

/// A replay: each step of the case with its outcome, and the violations.
pub fn replay_text<R: Vocabulary>(
    case: &Case<R>,
    seen: &[StepSummary],
    violations: &[Violation],
) -> String {
    let mut text = String::new();
    // A process that died has no records.
    let told = !seen.is_empty();
    let mut seen = seen;
    let mut before = 0;
    for (index, step) in case.steps.iter().enumerate() {
        let times = step.times.get() as usize;
        let here = seen
            .iter()
            .take_while(|seen| seen.step_index == index)
            .count();
        let (of_step, rest) = seen.split_at(here);
        seen = rest;
        let mut number = before;
        // Consecutive calls with the same outcome are printed once, with the numbers of the first.
        for same in of_step.chunk_by(has_same_outcome) {
            let told = indent(&seen_text(&same[0]), 2);
            let _ = write!(
                text,
                "{}: {}{told}",
                steps(number, same.len()),
                step_text(step)
            );
            number += same.len();
        }
        before += times;
        if number < before {
            let numbers = steps(number, before - number);
            let _ = write!(text, "{numbers}: {}", step_text(step));
            if told {
                text += skipped(here);
            }
        }
    }
    let violations = distinct(case, violations);
    for violation in &violations {
        let (word, name) = (word(violation), name(violation));
        let _ = writeln!(text, "{word}: {name}\n  {}", violation.detail);
    }
    let limits = violations.iter().filter(|violation| violation.is_limit());
    let limits = limits.count();
    let _ = writeln!(text, "{}", findings(violations.len() - limits, limits));
    text
}

fn has_same_outcome(one: &StepSummary, other: &StepSummary) -> bool {
    one.outcome == other.outcome && one.cause == other.cause && one.frames == other.frames
}

/// Why a step, or the rest of its repetitions, has no record.
fn skipped(dispatched: usize) -> &'static str {
    match dispatched {
        0 => "  skipped: its input or the answers before it are too large\n",
        _ => "  skipped: the calls before it were enough\n",
    }
}

/// The number of findings, and of limits if there are any.
pub(super) fn findings(findings: usize, limits: usize) -> String {
    let findings = count(findings as u64, "finding");
    match limits {
        0 => findings,
        limits => format!("{findings}, {}", count(limits as u64, "limit")),
    }
}

/// The word for a violation.
fn word(violation: &Violation) -> &'static str {
    if violation.is_limit() {
        "limit"
    } else {
        "finding"
    }
}

/// A replay in one line: the file, and its violations if there are any.
pub fn replay_line<R: Vocabulary>(
    (file, case): (&Path, &Case<R>),
    seen: &[StepSummary],
    violations: &[Violation],
) -> String {
    let names: Vec<_> = distinct(case, violations).iter().map(name).collect();
    let file = one_line(file.display());
    if names.is_empty() {
        let steps = count(seen.len() as u64, "step");
        format!("ok       {file}: {steps}\n")
    } else {
        let word = if violations.iter().all(Violation::is_limit) {
            "limit  "
        } else {
            "finding"
        };
        format!("{word}  {file}: {}\n", names.join("; "))
    }
}

/// The first violation of each finding: a poisoned session shows it again at each later healthy call. Violations of other
/// calls come before those of healthy calls, because they say more.
fn distinct<R: Vocabulary>(case: &Case<R>, violations: &[Violation]) -> Vec<Violation> {
    let mut keys = HashSet::new();
    let of_each_key = violations.iter().filter(|found| keys.insert(found.key()));
    let (healthy, others): (Vec<_>, Vec<_>) = of_each_key.partition(|found| is_healthy_call(found));
    // Of the case, it only matters whether it has more than one dispatch.
    let steps = (0..case.dispatches().min(2)).map(|_| Step::healthy(0));
    let case = Case::<R> {
        steps: steps.collect(),
    };
    let mut told = KnownFindings::default();
    let mut is_new = |violation: &Violation| {
        let finding = Finding {
            violation: violation.clone(),
            case: case.clone(),
            origin: Origin::Case,
            minimal: false,
        };
        told.insert(finding).is_some()
    };
    let in_order = others.into_iter().chain(healthy);
    in_order.filter(|v| is_new(v)).cloned().collect()
}

fn name(violation: &Violation) -> String {
    let Violation {
        check, function, ..
    } = violation;
    title(*check, function, &violation.label())
}

/// The check of a violation, its function, and its class in brackets.
pub(super) fn title(check: CheckRef, function: &str, class: &str) -> String {
    match class {
        "" => format!("{check} in {function}"),
        class => format!("{check} in {function} ({class})"),
    }
}

fn seen_text(seen: &StepSummary) -> String {
    let mut text = format!("outcome: {}\n", one_line(&seen.outcome));
    if let Some(cause) = &seen.cause {
        let _ = writeln!(text, "cause: {}", one_line(cause));
    }
    if !seen.frames.is_empty() {
        const MOST: usize = 20;
        let frames = &seen.frames[..seen.frames.len().min(MOST)];
        let _ = writeln!(text, "in: {}", frames.join(" < "));
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

pub(super) fn indent(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| format!("{:by$}{line}\n", ""))
        .collect()
}
