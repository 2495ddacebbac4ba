//! The report of a campaign as a value: JSON for machines, and what the other formats are made of.
//!
//! # The schema, version 1
//!
//! An object of [`Report`]'s fields. Later versions of this program may add fields; what is removed or means something
//! else raises `format`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::text::{case_text, title};
use crate::campaign::{Plan, Summary};
use crate::finding::{Finding, Origin};
use crate::oracle::Severity;
use crate::wire::Vocabulary;

/// The version of the schema.
pub const REPORT_FORMAT: u32 = 1;

/// A campaign and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of the schema: [`REPORT_FORMAT`].
    pub format: u32,
    /// The version of this program.
    pub version: &'static str,
    /// What was fuzzed, in words.
    pub subject: String,
    /// The file of the plugin, where it was one that was fuzzed.
    pub plugin: Option<String>,
    /// The seed.
    pub seed: u64,
    /// The cases that ran.
    pub cases: u64,
    /// The calls that these cases' steps were.
    pub dispatches: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
    /// The longest call, in microseconds.
    pub slowest_us: u64,
    /// The most memory that a process had resident, in bytes, where it was measured.
    pub memory_bytes: Option<u64>,
    /// Violations of measurements that did not show again.
    pub unconfirmed: u64,
    /// Violations that there was no time to look into.
    pub unexamined: u64,
    /// What the calls of each function came to.
    pub functions: Vec<FunctionReport>,
    /// What was found, in the order in which it was.
    pub findings: Vec<FindingReport>,
}

/// What the calls of a function came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionReport {
    /// The function, with its version.
    pub function: &'static str,
    /// How often it was called.
    pub dispatches: u64,
    /// How often it answered.
    pub ok: u64,
    /// How often a call was a fallback, by the kind of cause.
    pub fallbacks: BTreeMap<String, u64>,
    /// The time in these calls, in microseconds.
    pub time_us: u64,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// A name that the same finding has in every campaign.
    pub name: String,
    /// The check.
    pub check: String,
    /// The wire function.
    pub function: String,
    /// What sets it apart from others of the check and function; empty if nothing.
    pub class: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub detail: String,
    /// What it means.
    pub explanation: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// Whether its case shows it again.
    pub reproduced: bool,
    /// Whether its case cannot be made smaller.
    pub minimal: bool,
    /// The case, as in a case file.
    pub case: Value,
    /// The case in words.
    pub case_text: String,
    /// The command that replays it.
    pub replay: String,
}

impl Report {
    /// The beginning of a report, without findings.
    pub fn new(subject: impl Into<String>, plan: &Plan, summary: &Summary) -> Self {
        let functions = summary.functions.iter();
        Self {
            format: REPORT_FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            subject: subject.into(),
            plugin: None,
            seed: plan.seed,
            cases: summary.cases,
            dispatches: summary.dispatches(),
            elapsed_ms: whole(summary.elapsed.as_millis()),
            slowest_us: whole(summary.slowest.as_micros()),
            memory_bytes: summary.memory,
            unconfirmed: summary.unconfirmed,
            unexamined: summary.unexamined,
            functions: functions
                .map(|stats| FunctionReport {
                    function: stats.function.label,
                    dispatches: stats.counts.dispatches,
                    ok: stats.counts.ok,
                    fallbacks: stats.counts.fallbacks.clone(),
                    time_us: whole(stats.counts.time.as_micros()),
                })
                .collect(),
            findings: Vec::new(),
        }
    }

    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// Those of `serde_json`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

impl FindingReport {
    /// The report of a finding with the command that replays it.
    pub fn new<R: Vocabulary>(finding: &Finding<R>, replay: impl Into<String>) -> Self {
        let violation = &finding.violation;
        let advice = violation.advice();
        let case = finding.case.to_json().ok();
        Self {
            name: finding.file_stem(),
            check: violation.check.clone(),
            function: violation.function.clone(),
            class: violation.class.clone(),
            severity: violation.severity(),
            detail: violation.detail.clone(),
            explanation: advice.explanation,
            advice: advice.advice,
            reproduced: finding.origin != Origin::Unreproduced,
            minimal: finding.minimal,
            case: case
                .and_then(|json| serde_json::from_str(&json).ok())
                .unwrap_or(Value::Null),
            case_text: case_text(&finding.case),
            replay: replay.into(),
        }
    }

    /// Its check, function, and class in brackets.
    pub fn title(&self) -> String {
        title(&self.check, &self.function, &self.class)
    }
}

fn whole(time: u128) -> u64 {
    u64::try_from(time).unwrap_or(u64::MAX)
}
