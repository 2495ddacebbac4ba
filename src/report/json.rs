//! The report of a campaign as a value: JSON for machines, and the source of the other formats.
//!
//! # The schema, version 2
//!
//! An object with [`Report`]'s fields. Later versions of this program may add fields. Removing a field or changing its
//! meaning raises `format`. In version 1 the seed was a number, and a finding's name did not contain its whole key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::text::{case_text, count, title};
use crate::campaign::{Histogram, Summary};
use crate::check::{CheckRef, Severity};
use crate::finding::{Finding, Origin};
use crate::generate::Plan;
use crate::limits::Limit;
use crate::untrusted_text::{in_json, one_line};
use crate::wire::Vocabulary;

/// The version of the schema.
pub const REPORT_FORMAT: u32 = 2;

/// A campaign and its results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of the schema: [`REPORT_FORMAT`].
    pub format: u32,
    /// The version of this program.
    pub version: &'static str,
    /// What was fuzzed, for people.
    pub subject: String,
    /// The file of the plugin, if one was fuzzed.
    #[serde(serialize_with = "path_as_text")]
    pub plugin: Option<PathBuf>,
    /// The seed; a string in JSON, because many readers round numbers above 2^53.
    #[serde(serialize_with = "as_text")]
    pub seed: u64,
    /// The first case to run: 0, except in a resumed campaign.
    pub from_case: u64,
    /// The number of cases that ran.
    pub cases: u64,
    /// The dispatches of these cases.
    pub dispatches: u64,
    /// The duration of the campaign, in milliseconds.
    pub elapsed_ms: u64,
    /// The duration of the longest call, in microseconds.
    pub slowest_us: u64,
    /// The most resident memory of a process, in bytes, if it was measured.
    pub memory_bytes: Option<u64>,
    /// Violations of measurements that did not reproduce.
    pub unconfirmed: u64,
    /// Violations that there was no time to examine.
    pub unexamined: u64,
    /// Why the campaign ended early; `None` if it did not.
    pub ended_early: Option<String>,
    /// The outcomes of each function's calls.
    pub functions: Vec<FunctionReport>,
    /// The findings, in the order in which they were found; last those that there was no time to examine.
    pub findings: Vec<FindingReport>,
    /// What the plugin cannot do and no host requires, in the same form. None of it is a failure. With `--deny limits` these
    /// are findings.
    pub found_limits: Vec<FindingReport>,
    /// How large the requests of a plugin may be, and what they cost up to there; empty if not measured.
    pub limits: Vec<LimitReport>,
}

/// The outcomes of a function's calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FunctionReport {
    /// The label of the function, which includes its version.
    pub function: &'static str,
    /// The number of calls.
    pub dispatches: u64,
    /// The number of answers.
    pub ok: u64,
    /// How often a call fell back, by the kind of cause.
    pub fallbacks: BTreeMap<String, u64>,
    /// The total time of the calls, in microseconds.
    pub time_us: u64,
    /// The histogram of fuel, if the host reports it.
    pub fuel: Vec<Bucket>,
    /// The histogram of time, in microseconds.
    pub latency_us: Vec<Bucket>,
}

/// How many calls took from `from` up to twice that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// The lower bound, a power of two.
    pub from: u64,
    /// The number of calls.
    pub count: u64,
}

/// The largest size of a field in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitReport {
    /// The label of the function, which includes its version.
    pub function: String,
    /// The field: names separated by dots.
    pub field: String,
    /// The unit of the size.
    pub unit: String,
    /// The largest size that is answered; `None` if the smallest is not.
    pub largest: Option<u64>,
    /// The outcome of the next size; `None` if nothing larger was tried.
    pub beyond: Option<String>,
    /// What no host sends in a request of that next size; `None` if a host may send it.
    pub unusual: Option<String>,
    /// The costs of the sizes up to there.
    pub curve: Vec<PointReport>,
}

/// The cost of a request of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PointReport {
    /// The size, in the unit of the limit.
    pub size: u64,
    /// The size of the guest's input, in bytes.
    pub input_bytes: Option<usize>,
    /// The fuel of the call.
    pub fuel: Option<u64>,
    /// The time of the call, in microseconds.
    pub time_us: u64,
}

/// How a finding was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its case reproduces it.
    Confirmed,
    /// It was seen, and did not reproduce.
    NotReproduced,
    /// It was seen, and there was no time to examine it.
    Unexamined,
    /// The same, but only a measurement showed it: the machine may be the cause.
    UnexaminedMeasurement,
}

impl Status {
    /// Whether it was not examined.
    pub fn is_unexamined(self) -> bool {
        matches!(self, Self::Unexamined | Self::UnexaminedMeasurement)
    }
}

/// A finding or a limit in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// A unique name, the same in every campaign: see [`Finding::name`].
    pub name: String,
    /// The check.
    pub check: CheckRef,
    /// The wire function.
    pub function: String,
    /// What distinguishes it from others of the check and function; empty if nothing.
    pub class: String,
    /// Where in the plugin it is, if that is known.
    pub site: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What was observed.
    pub detail: String,
    /// The meaning of a violation of this check.
    pub explanation: &'static str,
    /// The advice on what to do.
    pub advice: &'static str,
    /// How it was confirmed.
    pub status: Status,
    /// Whether shrinking finished.
    pub minimal: bool,
    /// The case, as in a case file; null if it was not examined: then its file has all calls of the session.
    pub case: Value,
    /// The case as text.
    pub case_text: String,
    /// The command that replays it.
    pub replay: String,
}

impl Report {
    /// A report without findings.
    pub fn new(subject: impl Into<String>, plan: &Plan, summary: &Summary) -> Self {
        let functions = summary.functions.iter();
        Self {
            format: REPORT_FORMAT,
            version: env!("CARGO_PKG_VERSION"),
            subject: one_line(subject.into()),
            plugin: None,
            seed: plan.seed,
            from_case: summary.from,
            cases: summary.cases,
            dispatches: summary.dispatches(),
            elapsed_ms: whole(summary.elapsed.as_millis()),
            slowest_us: whole(summary.slowest.as_micros()),
            memory_bytes: summary.memory,
            unconfirmed: summary.unconfirmed,
            unexamined: summary.unexamined,
            ended_early: summary.interrupted.then(|| "interrupted".to_owned()),
            functions: functions
                .map(|stats| FunctionReport {
                    function: stats.function.label,
                    dispatches: stats.counts.dispatches,
                    ok: stats.counts.ok,
                    fallbacks: stats.counts.fallbacks.clone(),
                    time_us: whole(stats.counts.time.as_micros()),
                    fuel: buckets(&stats.counts.fuel),
                    latency_us: buckets(&stats.counts.latency_us),
                })
                .collect(),
            findings: Vec::new(),
            found_limits: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Adds a finding or a limit.
    pub fn add(&mut self, finding: FindingReport) {
        match finding.severity {
            Severity::Limit => self.found_limits.push(finding),
            _ => self.findings.push(finding),
        }
    }

    /// Pretty JSON with a final newline.
    ///
    /// # Errors
    /// Returns the errors of `serde_json`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(in_json(&serde_json::to_string_pretty(self)?) + "\n")
    }
}

impl FindingReport {
    /// A finding with the command that replays it.
    pub fn new<R: Vocabulary>(finding: &Finding<R>, replay: impl Into<String>) -> Self {
        let violation = &finding.violation;
        let advice = finding.advice();
        let status = match finding.origin {
            Origin::Unreproduced => Status::NotReproduced,
            Origin::Unexamined { certain: true } => Status::Unexamined,
            Origin::Unexamined { certain: false } => Status::UnexaminedMeasurement,
            Origin::Case | Origin::History | Origin::Stored => Status::Confirmed,
        };
        let case = if status.is_unexamined() {
            None
        } else {
            finding.case.to_json().ok()
        };
        Self {
            name: finding.name(),
            check: violation.check,
            function: violation.function.clone(),
            class: violation.label(),
            site: violation.site.as_ref().map(ToString::to_string),
            severity: violation.severity(),
            detail: violation.detail.clone(),
            explanation: advice.meaning,
            advice: advice.action,
            status,
            minimal: finding.minimal,
            case: case
                .and_then(|json| serde_json::from_str(&json).ok())
                .unwrap_or(Value::Null),
            case_text: if status.is_unexamined() {
                count(finding.case.steps.len() as u64, "step") + "\n"
            } else {
                case_text(&finding.case)
            },
            replay: replay.into(),
        }
    }

    /// Returns the title: the check, the function, and the class in brackets.
    pub fn title(&self) -> String {
        title(self.check, &self.function, &self.class)
    }

    /// A caveat about how it was confirmed; empty if its case reproduces it.
    pub(super) fn caveat(&self) -> &'static str {
        match self.status {
            Status::Confirmed => "",
            Status::NotReproduced => {
                "It did not reproduce. The attached case has all calls of its session."
            }
            Status::Unexamined => {
                "There was no time to examine it. The attached case has all calls of its session."
            }
            Status::UnexaminedMeasurement => {
                "There was no time to measure it again, and the machine may be the cause. The attached case has all \
                 calls of its session."
            }
        }
    }

    /// The title with the number at the end of the name: findings that differ only in their effects share a title.
    pub fn unique_title(&self) -> String {
        let number = self.name.rsplit('-').next().unwrap_or_default();
        format!("{} #{number}", self.title())
    }
}

impl From<&Limit> for LimitReport {
    fn from(limit: &Limit) -> Self {
        Self {
            function: limit.function.clone(),
            field: limit.field.clone(),
            unit: limit.unit.clone(),
            largest: limit.largest,
            beyond: limit.beyond.clone(),
            unusual: limit.unusual.clone(),
            curve: limit
                .curve
                .iter()
                .map(|point| PointReport {
                    size: point.size,
                    input_bytes: point.input_bytes,
                    fuel: point.fuel,
                    time_us: whole(point.time.as_micros()),
                })
                .collect(),
        }
    }
}

impl LimitReport {
    /// The field and its unit.
    pub fn name(&self) -> String {
        format!("{} ({})", self.field, self.unit)
    }
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// Serializes a path; what is not UTF-8 becomes replacement characters.
fn path_as_text<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = path.as_ref().map(|path| path.to_string_lossy());
    text.serialize(serializer)
}

fn buckets(of: &Histogram) -> Vec<Bucket> {
    of.buckets()
        .map(|(from, count)| Bucket { from, count })
        .collect()
}

fn whole(time: u128) -> u64 {
    u64::try_from(time).unwrap_or(u64::MAX)
}
