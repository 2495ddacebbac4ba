//! Findings, cases and replays as plain text.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::{Case, Step, tree};
use crate::finding::{Finding, Origin, Told, is_healthy_call};
use crate::line::{excerpt, one_line};
use crate::observation::StepSeen;
use crate::oracle::Violation;
use crate::wire::{self, Vocabulary};

pub(super) fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// So many violations that nobody looked into, in words; `None` where there are none.
pub(super) fn unexamined(violations: u64) -> Option<String> {
    let number = count(violations, "violation");
    (violations > 0).then(|| format!("{number} that there was no time to look into"))
}

/// A finding: its check, function and class, what was seen, its case, and the command that replays it.
pub fn finding_text<R: Vocabulary>(finding: &Finding<R>, replay: &str) -> String {
    let detail = &finding.violation.detail;
    let origin = match finding.origin {
        Origin::Case if finding.minimal => "the smallest case that shows it",
        Origin::Case => "a case that shows it; shrinking ran into its limit",
        Origin::History if finding.minimal => "the smallest sequence of cases that shows it",
        Origin::History => "a sequence of cases that shows it; shrinking ran into its limit",
        Origin::Unreproduced => "the session's cases; they did not show it again",
        Origin::Stored => "the stored case that shows it",
        Origin::Unexamined { certain: true } => {
            "the session's cases; there was no time to look into it"
        }
        Origin::Unexamined { certain: false } => {
            "the session's cases; there was no time to measure it again, and it may be the machine's"
        }
    };
    let case = match finding.origin {
        // All that the session saw says nothing to a reader.
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

/// A case: each step as its function, the fields that differ from the dry-run sample, and its program.
pub fn case_text<R: Vocabulary>(case: &Case<R>) -> String {
    let mut text = String::new();
    let mut place = 0;
    for same in case.steps.chunk_by(Step::is_same_call) {
        let times = same.iter().map(|step| step.times.get() as usize).sum();
        let _ = write!(text, "{}: {}", steps(place, times), step_text(&same[0]));
        place += times;
    }
    text
}

/// So many steps behind so many others, by their numbers.
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

/// A replay: each step of the case with what it came to, and what the checks say.
pub fn replay_text<R: Vocabulary>(
    case: &Case<R>,
    seen: &[StepSeen],
    violations: &[Violation],
) -> String {
    let mut text = String::new();
    // A process that died tells nothing.
    let told = !seen.is_empty();
    let mut seen = seen;
    let mut before = 0;
    for (place, step) in case.steps.iter().enumerate() {
        let times = step.times.get() as usize;
        let here = seen.iter().take_while(|seen| seen.place == place).count();
        let (of_step, rest) = seen.split_at(here);
        seen = rest;
        let mut number = before;
        // Calls in a row that came to the same are told once, with the numbers of the first.
        for same in of_step.chunk_by(came_to_the_same) {
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
                text += passed_over(here);
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

fn came_to_the_same(one: &StepSeen, other: &StepSeen) -> bool {
    one.came_to == other.came_to && one.cause == other.cause && one.frames == other.frames
}

/// Why a step, or the rest of its times, left no record.
fn passed_over(dispatched: usize) -> &'static str {
    match dispatched {
        0 => "  passed over: its input is too large, or the answers before it are\n",
        _ => "  passed over: calls before it say enough\n",
    }
}

/// How many findings there are, and how many limits where there are any.
pub(super) fn findings(findings: usize, limits: usize) -> String {
    let findings = count(findings as u64, "finding");
    match limits {
        0 => findings,
        limits => format!("{findings}, {}", count(limits as u64, "limit")),
    }
}

/// What a violation is called.
fn word(violation: &Violation) -> &'static str {
    if violation.is_limit() {
        "limit"
    } else {
        "finding"
    }
}

/// A replay in a line: the file, whether its case holds, and what the checks find.
pub fn replay_line<R: Vocabulary>(
    (file, case): (&Path, &Case<R>),
    seen: &[StepSeen],
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

/// The first of those that are the same finding: a session that is poisoned shows it at each healthy call behind it. A fault
/// behind other calls says more than the healthy call that it breaks.
fn distinct<R: Vocabulary>(case: &Case<R>, violations: &[Violation]) -> Vec<Violation> {
    let mut keys = HashSet::new();
    let of_each_key = violations.iter().filter(|found| keys.insert(found.key()));
    let (healthy, others): (Vec<_>, Vec<_>) = of_each_key.partition(|found| is_healthy_call(found));
    // Whether it has one dispatch or more is all that matters of the case.
    let steps = (0..case.dispatches().min(2)).map(|_| Step::healthy(0));
    let case = Case::<R> {
        steps: steps.collect(),
    };
    let mut told = Told::default();
    let mut is_new = |violation: &Violation| {
        let finding = Finding {
            violation: violation.clone(),
            case: case.clone(),
            origin: Origin::Case,
            minimal: false,
        };
        told.tell(finding).is_some()
    };
    let in_order = others.into_iter().chain(healthy);
    in_order.filter(|v| is_new(v)).cloned().collect()
}

fn name(violation: &Violation) -> String {
    let Violation {
        check, function, ..
    } = violation;
    title(check, function, &violation.label())
}

/// The check of a violation, its function, and its class in brackets.
pub(super) fn title(check: &str, function: &str, class: &str) -> String {
    match class {
        "" => format!("{check} in {function}"),
        class => format!("{check} in {function} ({class})"),
    }
}

fn seen_text(seen: &StepSeen) -> String {
    let mut text = format!("came to {}\n", one_line(&seen.came_to));
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
