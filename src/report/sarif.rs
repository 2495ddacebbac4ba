//! SARIF 2.1.0, which code hosts show beside the code: a rule for each check, a result for each finding. The place of a
//! result is the plugin's file: nobody knows the line of its source.

use std::collections::BTreeSet;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use super::text::unexamined;
use super::{FindingReport, Report, Status};
use crate::line::in_json;
use crate::oracle::{Severity, all_checks};

/// What may not stand for itself in the path of a URI. A colon may, but not in the first part of a relative one.
const NOT_OF_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The report as SARIF.
///
/// # Errors
/// Those of `serde_json`.
pub fn sarif(report: &Report) -> Result<String, serde_json::Error> {
    let all = || report.findings.iter().chain(&report.found_limits);
    let found: BTreeSet<&str> = all().map(|f| f.check.as_str()).collect();
    let rules = all_checks().map(|check| check.name());
    let rules = rules.filter(|name| found.contains(name));
    let rules: Vec<Value> = rules.map(|name| json!({ "id": name })).collect();
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
                let place =
                    json!({ "physicalLocation": { "artifactLocation": { "uri": uri(plugin) } } });
                result["locations"] = json!([place]);
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

/// The URI of a file: relative as its path is, or one of the scheme `file`.
fn uri(path: &Path) -> String {
    let encoded = percent_encode(path.as_os_str().as_encoded_bytes(), NOT_OF_A_PATH);
    let scheme = if path.is_absolute() { "file://" } else { "" };
    format!("{scheme}{encoded}")
}
