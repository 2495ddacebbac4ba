//! The report of a campaign as a value: JSON for machines, and what the other formats are made of.
//!
//! # The schema, version 2
//!
//! An object of [`Report`]'s fields. Later versions of this program may add fields; what is removed or means something
//! else raises `format`. In version 1 the seed was a number, and a finding's name did not say all of its key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::text::{case_text, count, title};
use crate::campaign::{Distribution, Limit, Plan, Summary};
use crate::finding::{Finding, Origin};
use crate::line::{in_json, one_line};
use crate::oracle::Severity;
use crate::wire::Vocabulary;

/// The version of the schema.
pub const REPORT_FORMAT: u32 = 2;

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
    #[serde(serialize_with = "path_as_text")]
    pub plugin: Option<PathBuf>,
    /// The seed; a text in JSON, where many readers round a number above 2^53.
    #[serde(serialize_with = "as_text")]
    pub seed: u64,
    /// The first case of those that were to run: 0, but in a campaign that goes on with another.
    pub from_case: u64,
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
    /// Why the campaign ended before its cases or its time did; `None` where it did not.
    pub ended_early: Option<String>,
    /// What the calls of each function came to.
    pub functions: Vec<FunctionReport>,
    /// What was found, in the order in which it was; last what there was no time to look into.
    pub findings: Vec<FindingReport>,
    /// What the plugin cannot do and no host asks of it, in the same form: none of it is a failure. With `--deny limits` these
    /// are findings.
    pub found_limits: Vec<FindingReport>,
    /// How large the requests of a plugin may be, and what they cost on the way there; empty where nobody asked.
    pub limits: Vec<LimitReport>,
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
    /// How many calls took how much fuel, where the host tells it.
    pub fuel: Vec<Bucket>,
    /// How many calls took how long, in microseconds.
    pub latency_us: Vec<Bucket>,
}

/// How many calls took so much, up to twice that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// A power of two.
    pub from: u64,
    /// How many there were.
    pub count: u64,
}

/// How large a field of a request may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitReport {
    /// The function, with its version.
    pub function: String,
    /// The field: names with dots between them.
    pub field: String,
    /// What is counted.
    pub unit: String,
    /// The largest size that is answered; `None` where the smallest is not.
    pub largest: Option<u64>,
    /// What the next size comes to; `None` where nothing larger was tried.
    pub beyond: Option<String>,
    /// What of that next size no host sends; `None` where a host may send it.
    pub unusual: Option<String>,
    /// What the sizes on the way took.
    pub curve: Vec<PointReport>,
}

/// What a request of a size took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PointReport {
    /// The size, in the unit of the limit.
    pub size: u64,
    /// The guest's input, in bytes.
    pub input_bytes: Option<usize>,
    /// The fuel of the call.
    pub fuel: Option<u64>,
    /// The time of the call, in microseconds.
    pub time_us: u64,
}

/// What is known of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its case shows it.
    Confirmed,
    /// It was seen, and did not show again.
    NotReproduced,
    /// It was seen, and there was no time to look into it.
    Unexamined,
    /// The same, and only a measurement showed it: it may be the machine's.
    UnexaminedMeasurement,
}

impl Status {
    /// Whether nobody has looked into it.
    pub fn is_unexamined(self) -> bool {
        matches!(self, Self::Unexamined | Self::UnexaminedMeasurement)
    }
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FindingReport {
    /// A name that the same finding has in every campaign, and no other one: see [`Finding::name`].
    pub name: String,
    /// The check.
    pub check: String,
    /// The wire function.
    pub function: String,
    /// What sets it apart from others of the check and function; empty if nothing.
    pub class: String,
    /// Where in the plugin it is, in words, where that is known.
    pub site: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub detail: String,
    /// What it means.
    pub explanation: &'static str,
    /// What to do.
    pub advice: &'static str,
    /// Whether its case shows it.
    pub status: Status,
    /// Whether its case cannot be made smaller.
    pub minimal: bool,
    /// The case, as in a case file; null where nobody has looked into it, and its file holds all that the session saw.
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

    /// Adds a finding, or a limit.
    pub fn add(&mut self, finding: FindingReport) {
        match finding.severity {
            Severity::Limit => self.found_limits.push(finding),
            _ => self.findings.push(finding),
        }
    }

    /// Pretty JSON with a newline at its end.
    ///
    /// # Errors
    /// Those of `serde_json`.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(in_json(&serde_json::to_string_pretty(self)?) + "\n")
    }
}

impl FindingReport {
    /// The report of a finding with the command that replays it.
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
            check: violation.check.clone(),
            function: violation.function.clone(),
            class: violation.label(),
            site: violation.site.as_ref().map(ToString::to_string),
            severity: violation.severity(),
            detail: violation.detail.clone(),
            explanation: advice.explanation,
            advice: advice.advice,
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

    /// Its check, function, and class in brackets.
    pub fn title(&self) -> String {
        title(&self.check, &self.function, &self.class)
    }

    /// What a reader must know of how it was confirmed; empty where its case shows it.
    pub(super) fn caveat(&self) -> &'static str {
        match self.status {
            Status::Confirmed => "",
            Status::NotReproduced => {
                "It did not show again. The attached case is all that its session saw."
            }
            Status::Unexamined => {
                "There was no time to look into it. The attached case is all that its session saw."
            }
            Status::UnexaminedMeasurement => {
                "There was no time to measure it again, and it may be the machine's. The attached case is all that its \
                 session saw."
            }
        }
    }

    /// The title, and the number at the end of the name: findings that differ in their effects have the same title.
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
    /// The field and what is counted.
    pub fn name(&self) -> String {
        format!("{} ({})", self.field, self.unit)
    }
}

fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// A path that is no text is one in which what is none stands as a replacement character.
fn path_as_text<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = path.as_ref().map(|path| path.to_string_lossy());
    text.serialize(serializer)
}

fn buckets(of: &Distribution) -> Vec<Bucket> {
    of.buckets()
        .map(|(from, count)| Bucket { from, count })
        .collect()
}

fn whole(time: u128) -> u64 {
    u64::try_from(time).unwrap_or(u64::MAX)
}
