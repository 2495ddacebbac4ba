//! Markdown: the text of an issue, with all that is needed to reproduce the findings.

use std::fmt::Write as _;

use super::json::{FindingReport, Report, Status};
use super::text::{findings, indent, unexamined};
use crate::untrusted_text::harmless;

/// The report as Markdown: each finding with its details, explanation, case, and the command that replays it.
///
/// Text from the plugin is in code blocks, so that it cannot become markup.
pub fn markdown(report: &Report) -> String {
    let (open, found): (Vec<_>, Vec<_>) =
        (report.findings.iter()).partition(|finding| finding.status.is_unexamined());
    let number = findings(found.len(), report.found_limits.len());
    // A backtick would end the code span.
    let subject = harmless(&report.subject).replace('`', "'");
    let mut text = format!("# {number} in `{subject}`\n\n");
    let (cases, dispatches) = (report.cases, report.dispatches);
    let (version, seed) = (report.version, report.seed);
    let _ = writeln!(
        text,
        "cc-lb-fuzz {version}, seed {seed}, {cases} cases, {dispatches} dispatches."
    );
    if let Some(reason) = &report.ended_early {
        text += &format!("\nThe campaign ended early:\n\n{}", block(reason));
    }
    for finding in found {
        text += &section(finding);
    }
    if !report.found_limits.is_empty() {
        text += "\n# Limits\n\nWhat the plugin cannot do, and no host requires.\n";
    }
    for limit in &report.found_limits {
        text += &section(limit);
    }
    if let Some(unexamined) = unexamined(report.unexamined) {
        let _ = write!(text, "\n# Unexamined\n\n{unexamined}.\n");
    }
    for finding in open {
        text += &section(finding);
    }
    text
}

/// A finding: its explanation, details, case, and the command that replays it.
fn section(finding: &FindingReport) -> String {
    let (check, function) = (&finding.check, &finding.function);
    let (explanation, advice) = (finding.explanation, finding.advice);
    let mut text = format!("\n## `{check}` in `{function}`\n\n{explanation} {advice}\n\n");
    let (title, detail) = (finding.title(), &finding.detail);
    let (case, command) = match finding.status {
        Status::Confirmed => (
            &finding.case_text[..],
            "To reproduce it with the attached case:",
        ),
        // All calls of a session are of no use to a reader.
        _ => ("", finding.caveat()),
    };
    text += &block(&format!("{title}\n{detail}\n{case}"));
    let _ = write!(text, "\n{command}\n\n{}", block(&finding.replay));
    text
}

/// An indented code block, which no content can end.
fn block(text: &str) -> String {
    indent(&harmless(text), 4)
}
