//! Findings, cases and replays as plain text.

use std::fmt::Write as _;
use std::path::Path;

use crate::case::{Case, Step, tree};
use crate::finding::{Finding, Origin};
use crate::observation::StepSeen;
use crate::oracle::Violation;
use crate::wire::Vocabulary;

/// The longest value that is shown of a request, in characters.
const VALUE_MAX_CHARS: usize = 120;

pub(super) fn count(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
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
    };
    let case = match finding.origin {
        // All that the session saw says nothing to a reader.
        Origin::Unreproduced => indent(&count(finding.case.steps.len() as u64, "step"), 4),
        _ => indent(&case_text(&finding.case), 4),
    };
    let name = name(&finding.violation);
    format!("finding: {name}\n  {detail}\n  {origin}:\n{case}  replay: {replay}\n")
}

/// A case: each step as its function, the fields that differ from the dry-run sample, and its program.
pub fn case_text<R: Vocabulary>(case: &Case<R>) -> String {
    let mut text = String::new();
    let mut place = 0;
    for same in case.steps.chunk_by(|one, next| one == next) {
        let steps = match same.len() {
            1 => format!("step {}", place + 1),
            times => format!("steps {} to {}", place + 1, place + times),
        };
        place += same.len();
        let _ = write!(text, "{steps}: {}", step_text(&same[0]));
    }
    text
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
        let _ = writeln!(text, "  {field} = {}", shorten(&value.to_string()));
    }
    if let Some(program) = &step.program {
        let program = serde_json::to_string(program).unwrap_or_default();
        let _ = writeln!(text, "  program {}", shorten(&program));
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
        let _ = writeln!(text, "finding: {}\n  {}", name(violation), violation.detail);
    }
    let _ = writeln!(text, "{}", count(violations.len() as u64, "finding"));
    text
}

/// A replay in a line: the file, whether its case holds, and what the checks find.
pub fn replay_line(file: &Path, seen: &[StepSeen], violations: &[Violation]) -> String {
    let mut names: Vec<_> = violations.iter().map(name).collect();
    names.dedup();
    match names.is_empty() {
        true => {
            let steps = count(seen.len() as u64, "step");
            format!("ok       {}: {steps}\n", file.display())
        }
        false => format!("finding  {}: {}\n", file.display(), names.join("; ")),
    }
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
    let mut text = format!("came to {}\n", shorten(&seen.came_to));
    if let Some(cause) = &seen.cause {
        let _ = writeln!(text, "cause: {cause}");
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

fn shorten(text: &str) -> String {
    match text.char_indices().nth(VALUE_MAX_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text.to_owned(),
    }
}

/// The text without what is no text: a terminal takes some characters for commands, Markdown a carriage return for the end
/// of a line, and a plugin may have them in any of its words. Line feeds stay.
pub fn harmless(text: &str) -> String {
    let is_command = |c: char| c.is_control() && c != '\n';
    text.replace(is_command, "\u{fffd}")
}

pub(super) fn indent(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| format!("{:by$}{line}\n", ""))
        .collect()
}
