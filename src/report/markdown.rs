//! Markdown: the text of an issue, with what is needed to see the findings again.

use std::fmt::Write as _;

use super::text::{findings, indent, unexamined};
use super::{FindingReport, Report, Status};
use crate::line::harmless;

/// The report as Markdown: for each finding what was seen, what it means, its case, and the command that replays it.
///
/// What a plugin says stands in blocks of code, so that it is text whatever it looks like.
pub fn markdown(report: &Report) -> String {
    let (open, found): (Vec<_>, Vec<_>) =
        (report.findings.iter()).partition(|finding| finding.status.is_unexamined());
    let number = findings(found.len(), report.found_limits.len());
    // A span of code ends at the first of these.
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
        text += "\n# Limits\n\nWhat the plugin cannot do, and no host asks of it.\n";
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

/// What was seen, what it means, its case, and the command that replays it.
fn section(finding: &FindingReport) -> String {
    let (check, function) = (&finding.check, &finding.function);
    let (explanation, advice) = (finding.explanation, finding.advice);
    let mut text = format!("\n## `{check}` in `{function}`\n\n{explanation} {advice}\n\n");
    let (title, detail) = (finding.title(), &finding.detail);
    let (case, command) = match finding.status {
        Status::Confirmed => (
            &finding.case_text[..],
            "It shows again, with the attached case, by",
        ),
        // All that the session saw says nothing to a reader.
        _ => ("", finding.caveat()),
    };
    text += &block(&format!("{title}\n{detail}\n{case}"));
    let _ = write!(text, "\n{command}\n\n{}", block(&finding.replay));
    text
}

/// A block of code by its indentation, which nothing in it can end.
fn block(text: &str) -> String {
    indent(&harmless(text), 4)
}
