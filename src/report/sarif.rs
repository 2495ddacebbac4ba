//! SARIF 2.1.0, which code hosts show beside the code: a rule for each check, a result for each finding. The location of a
//! result is the plugin's file, because the source line is unknown.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use super::json::{FindingReport, Report, Status};
use super::text::unexamined;
use crate::check::{CheckRef, Severity, all_checks};
use crate::untrusted_text::in_json;

/// The characters to percent-encode in a URI path. A colon is allowed there, but not in the first segment of a relative one.
const NOT_OF_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Returns the report as SARIF.
///
/// # Errors
/// Returns the errors of `serde_json`.
pub fn sarif(report: &Report) -> Result<String, serde_json::Error> {
    let all = || report.findings.iter().chain(&report.found_limits);
    let rules: Vec<Value> = all_checks()
        .map(CheckRef::new)
        .filter(|check| all().any(|finding| finding.check == *check))
        .map(|check| json!({ "id": check }))
        .collect();
    let results: Vec<Value> = all()
        .map(|finding| {
            let mut result = json!({
                "ruleId": finding.check,
                "level": match (finding.status, finding.severity) {
                    (Status::UnexaminedMeasurement, _) | (_, Severity::Limit) => "note",
                    (_, Severity::Warning) => "warning",
                    (_, Severity::Error | Severity::Critical) => "error",
                },
                "message": { "text": message(finding) },
                "partialFingerprints": { "finding/v1": finding.name },
            });
            if let Some(plugin) = &report.plugin {
                let location =
                    json!({ "physicalLocation": { "artifactLocation": { "uri": uri(plugin) } } });
                result["locations"] = json!([location]);
            }
            result
        })
        .collect();
    let notification =
        |level: &str, text: String| json!({ "level": level, "message": { "text": text } });
    let ended_early = report.ended_early.iter().map(|reason| {
        let cases = report.cases;
        let text = format!("the campaign ended early, after {cases} cases: {reason}");
        notification("error", text)
    });
    let unexamined = unexamined(report.unexamined).map(|text| notification("warning", text));
    let notifications: Vec<Value> = ended_early.chain(unexamined).collect();
    let sarif = json!({
        "version": "2.1.0",
        "runs": [{
            "invocations": [{
                "executionSuccessful": report.ended_early.is_none(),
                "toolExecutionNotifications": notifications,
            }],
            "tool": { "driver": {
                "name": "cc-lb-fuzz",
                "version": report.version,
                "rules": rules,
            } },
            "results": results,
        }],
    });
    Ok(in_json(&serde_json::to_string_pretty(&sarif)?) + "\n")
}

fn message(finding: &FindingReport) -> String {
    let title = format!("{}: {}", finding.title(), finding.detail);
    let replay = format!("replay: {}", finding.replay);
    let lines = [
        &title[..],
        finding.explanation,
        finding.advice,
        finding.caveat(),
        &finding.case_text,
        &replay,
    ];
    let lines = lines.into_iter().filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

/// The URI of a file: relative if the path is, else with the scheme `file`.
fn uri(path: &Path) -> String {
    let encoded = percent_encode(path.as_os_str().as_encoded_bytes(), NOT_OF_A_PATH);
    let scheme = if path.is_absolute() { "file://" } else { "" };
    format!("{scheme}{encoded}")
}
