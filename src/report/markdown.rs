//! Markdown: the text of an issue, with what is needed to see the findings again.

use std::fmt::Write as _;

use super::text::{findings, harmless, indent};
use super::{FindingReport, Report};

/// The report as Markdown: for each finding what was seen, what it means, its case, and the command that replays it.
///
/// What a plugin says stands in blocks of code, so that it is text whatever it looks like.
pub fn markdown(report: &Report) -> String {
    let findings = findings(report.findings.len(), report.found_limits.len());
    // A span of code ends at the first of these.
    let subject = harmless(&report.subject).replace('`', "'");
    let mut text = format!("# {findings} in `{subject}`\n\n");
    let (cases, dispatches) = (report.cases, report.dispatches);
    let (version, seed) = (report.version, report.seed);
    let _ = writeln!(
        text,
        "cc-lb-fuzz {version}, seed {seed}, {cases} cases, {dispatches} dispatches."
    );
    for finding in &report.findings {
        text += &section(finding);
    }
    if !report.found_limits.is_empty() {
        text += "\n# Limits\n\nWhat the plugin cannot do, and no host asks of it.\n";
    }
    for limit in &report.found_limits {
        text += &section(limit);
    }
    text
}

/// What was seen, what it means, its case, and the command that replays it.
fn section(finding: &FindingReport) -> String {
    let (check, function) = (&finding.check, &finding.function);
    let (explanation, advice) = (finding.explanation, finding.advice);
    let (title, detail) = (finding.title(), &finding.detail);
    let (case, shows_again) = match finding.reproduced {
        true => (
            &finding.case_text[..],
            "It shows again, with the attached case, by",
        ),
        // All that the session saw says nothing to a reader.
        false => (
            "",
            "It did not show again. The attached case is all that its session saw:",
        ),
    };
    let seen = block(&format!("{title}\n{detail}\n{case}"));
    format!(
        "\n## `{check}` in `{function}`\n\n{explanation} {advice}\n\n{seen}\n{shows_again}\n\n{}",
        block(&finding.replay)
    )
}

/// A block of code by its indentation, which nothing in it can end.
fn block(text: &str) -> String {
    indent(&harmless(text), 4)
}
