//! SARIF 2.1.0, which code hosts show beside the code: a rule for each check, a result for each finding. The place of a
//! result is the plugin's file: nobody knows the line of its source.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Report;
use crate::oracle::{Severity, all_checks};

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
                "level": match finding.severity {
                    Severity::Limit => "note",
                    Severity::Warning => "warning",
                    Severity::Error | Severity::Critical => "error",
                },
                "message": { "text": format!(
                    "{}: {}\n{}\n{}\n{}\nreplay: {}",
                    finding.title(), finding.detail, finding.explanation, finding.advice,
                    finding.case_text, finding.replay,
                ) },
                "partialFingerprints": { "finding/v1": finding.name },
            });
            if let Some(plugin) = &report.plugin {
                // Of what a path may have, these have a meaning in a URI.
                let uri = plugin
                    .replace('%', "%25")
                    .replace(' ', "%20")
                    .replace('#', "%23");
                let place = json!({ "physicalLocation": { "artifactLocation": { "uri": uri } } });
                result["locations"] = json!([place]);
            }
            result
        })
        .collect();
    let sarif = json!({
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "cc-lb-fuzz",
                "version": report.version,
                "rules": rules,
            } },
            "results": results,
        }],
    });
    Ok(serde_json::to_string_pretty(&sarif)? + "\n")
}
