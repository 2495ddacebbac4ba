//! Checks a plugin in its own tests: a campaign in a few lines, whose failure message contains the
//! shrunk case.
//!
//! Bugs in this module look like a test that misses a fault of the plugin, or whose message does
//! not show it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::campaign::{CampaignError, Event, Summary, run_on};
use crate::case::{Case, CaseError, Depth, ShrinkLimits};
use crate::check::checks;
use crate::execute::InProcessExecutor;
use crate::finding::{Finding, KnownFindings, confirm_all};
use crate::generate::{Budget, Plan, dictionary};
use crate::host::{HandshakeError, PluginHost};
use crate::record::Subject;
use crate::report;
use crate::untrusted_text::{harmless, in_json};
use crate::wire::{Request, UnknownFunction, Vocabulary};

/// The default number of cases.
const CASES: u64 = 1_000;

/// Checks a plugin, given as the bytes of its module: `.wasm` or `.wat`.
///
/// ```
/// // This one has a bug.
/// let wasm = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/guests/traps_on_a_query.wat"));
/// let found = cc_lb_fuzz::check_plugin(wasm).cases(200).function("shape").run();
/// assert!(found.unwrap_err().to_string().contains("plugin_fault in shape"));
/// ```
pub fn check_plugin(wasm: impl AsRef<[u8]>) -> PluginCheck {
    let wasm = wasm.as_ref();
    PluginCheck {
        // Bytes that are neither are refused when the plugin is opened.
        wasm: wat::parse_bytes(wasm).map_or_else(|_| wasm.to_vec(), |wasm| wasm.into_owned()),
        capabilities: BTreeSet::new(),
        plan: Plan::plugin::<Request>(1, CASES),
        functions: Vec::new(),
        first: Vec::new(),
        deny_limits: false,
    }
}

/// The settings of a plugin's check. By default it runs 1,000 arbitrary cases of seed 1 for every
/// function that the plugin has. The cases are the same every time, so the test neither fails nor
/// passes by chance.
///
/// Running out of fuel or time on what no host sends is a limit, which does not fail the test:
/// [`Summary::limits`] counts limits, and [`PluginCheck::deny_limits`] turns them into failures.
#[derive(Clone, Debug)]
#[must_use = "a check does nothing until it is run"]
pub struct PluginCheck {
    wasm: Vec<u8>,
    capabilities: BTreeSet<String>,
    plan: Plan,
    functions: Vec<String>,
    first: Vec<First>,
    deny_limits: bool,
}

/// The cases that run before arbitrary ones.
#[derive(Clone, Debug)]
enum First {
    Case(Box<Case>),
    Corpus(PathBuf),
}

impl PluginCheck {
    /// Sets the number of arbitrary cases; 0 for none.
    pub fn cases(mut self, cases: u64) -> Self {
        self.plan.budget = Budget::Cases(cases);
        self
    }

    /// Sets the seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        self
    }

    /// Restricts the check to a function: its name, such as `shape`, or with its version, such as
    /// `shape_v2`. May be repeated.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.functions.push(name.into());
        self
    }

    /// Offers the plugin a capability in the handshake. May be repeated.
    pub fn capability(mut self, name: impl Into<String>) -> Self {
        self.capabilities.insert(name.into());
        self
    }

    /// Makes limits fail too: see [`PluginLimit`](crate::check::PluginLimit), and
    /// [`Role`](crate::wire::Role) for what no host sends.
    pub fn deny_limits(mut self) -> Self {
        self.deny_limits = true;
        self
    }

    /// Runs this case first. May be repeated.
    pub fn case(mut self, case: Case) -> Self {
        self.first.push(First::Case(Box::new(case)));
        self
    }

    /// Runs the case files of this folder first, in the order of their names, for example those of
    /// earlier findings.
    pub fn corpus(mut self, folder: impl Into<PathBuf>) -> Self {
        self.first.push(First::Corpus(folder.into()));
        self
    }

    /// Runs the check in this process, with the plugin behind the [`guard`](crate::host::guard).
    ///
    /// # Errors
    /// Returns [`CheckError::Found`] with the findings, or another error if the check cannot run.
    pub fn run(mut self) -> Result<Summary, CheckError> {
        self.plan.generator.functions = Request::function_indices(&self.functions)?;
        self.plan.generator.dictionary = dictionary(&self.wasm);
        let host = PluginHost::new_with_caps(&self.wasm, &self.capabilities)?;
        let checks = checks(self.deny_limits, false);
        let mut executor = InProcessExecutor::new(&host, Subject::Plugin)?.with_checks(&checks);
        let mut findings = Vec::new();
        for case in self.first()? {
            judge(&mut executor, case, &mut findings)?;
        }
        if let Budget::Cases(0) = self.plan.budget {
            return Found(findings).or(Summary::default());
        }

        let summary = run_on(&mut executor, &self.plan, &mut |event| {
            if let Event::Finding(finding) = event {
                findings.push(finding.clone());
            }
        })?;
        Found(findings).or(summary)
    }

    /// Returns the cases that run first.
    fn first(&self) -> Result<Vec<Case>, CaseError> {
        let mut cases = Vec::new();
        for first in &self.first {
            match first {
                First::Case(case) => cases.push((**case).clone()),
                First::Corpus(folder) => cases.extend(Case::read_folder(folder)?.all()?),
            }
        }
        Ok(cases)
    }
}

/// Confirms and shrinks the violations of a stored case.
fn judge(
    executor: &mut InProcessExecutor<'_, PluginHost>,
    case: Case,
    findings: &mut Vec<Finding>,
) -> Result<(), CampaignError> {
    let (record, violations) = executor.judge_alone(&case, Depth::Thorough)?;
    for finding in confirm_all(
        executor,
        violations,
        &[case],
        record.hit_time_limit(),
        ShrinkLimits::default(),
    ) {
        findings.push(finding?);
    }
    Ok(())
}

/// Findings in a plugin. As text, for people, each has the smallest case that shows it, also as
/// JSON.
#[derive(Clone, Debug)]
pub struct Found(pub Vec<Finding>);

impl Found {
    /// Returns the summary if there are only limits, each counted once.
    fn or(mut self, mut summary: Summary) -> Result<Summary, CheckError> {
        let mut reported = KnownFindings::default();
        let found = std::mem::take(&mut self.0).into_iter();
        let found = found.filter_map(|finding| reported.insert(finding));
        let (limits, found) = found.partition(|finding: &Finding| finding.violation.is_limit());
        self.0 = found;
        summary.limits = Vec::len(&limits);
        if self.0.is_empty() {
            Ok(summary)
        } else {
            Err(CheckError::Found(self))
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let stem = finding.name();
            let replay =
                format!("cc-lb-fuzz replay {stem}.json --plugin PLUGIN, with this as {stem}.json:");
            writeln!(f, "\n{}", harmless(&report::finding_text(finding, &replay)))?;
            let json = finding.case.to_json();
            f.write_str(&in_json(&json.unwrap_or_else(|error| error.to_string())))?;
        }
        Ok(())
    }
}

/// The reason why a check failed. A test that unwraps or returns it prints its
/// [`Display`](fmt::Display) text.
#[derive(Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The plugin has findings.
    #[error("{0}")]
    Found(Found),
    /// The plugin cannot be opened.
    #[error("the plugin cannot be opened: {0}")]
    Open(#[from] HandshakeError),
    /// There is no such function.
    #[error(transparent)]
    Function(#[from] UnknownFunction),
    /// A case that is to run first cannot be read.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The campaign could not go on.
    #[error(transparent)]
    Campaign(#[from] CampaignError),
}

impl fmt::Debug for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
