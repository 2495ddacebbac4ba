//! The tests of a plugin of your own: a campaign in a few lines, whose failure message is the shrunk case.
//!
//! A discrepancy here is a test that passes over a fault of the plugin, or whose message does not show it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::campaign::{Bench, Budget, CampaignError, Event, Plan, Summary, confirm_all, run_bench};
use crate::case::{Case, CaseError, ShrinkLimits, words};
use crate::finding::{Finding, Told};
use crate::host::{HandshakeError, PluginHost};
use crate::line::{harmless, in_json};
use crate::observation::{Depth, Subject};
use crate::oracle::checks;
use crate::report;
use crate::wire::{Request, UnknownFunction, Vocabulary};

/// The cases that a check runs when it is not told how many.
const CASES: u64 = 1_000;

/// Checks a plugin, given as its module: `.wasm`, or `.wat`.
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
        // What is neither is refused when it is opened.
        wasm: wat::parse_bytes(wasm).map_or_else(|_| wasm.to_vec(), |wasm| wasm.into_owned()),
        capabilities: BTreeSet::new(),
        plan: Plan::plugin::<Request>(1, CASES),
        functions: Vec::new(),
        first: Vec::new(),
        deny_limits: false,
    }
}

/// What a check is to do: by default 1,000 arbitrary cases of seed 1 for every function that the plugin has. The same
/// every time, so a test neither fails nor passes by chance.
///
/// Where the plugin runs out of fuel or time on what no host sends, that is a limit, which fails no test:
/// [`Summary::limits`] counts them, and [`PluginCheck::deny_limits`] makes failures of them.
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

/// What runs before arbitrary cases.
#[derive(Clone, Debug)]
enum First {
    Case(Box<Case>),
    Corpus(PathBuf),
}

impl PluginCheck {
    /// So many arbitrary cases; none with 0.
    pub fn cases(mut self, cases: u64) -> Self {
        self.plan.budget = Budget::Cases(cases);
        self
    }

    /// The cases of another seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.plan.seed = seed;
        self
    }

    /// Only this function: its name, such as `shape`, or with its version, such as `shape_v2`. May be repeated.
    pub fn function(mut self, name: impl Into<String>) -> Self {
        self.functions.push(name.into());
        self
    }

    /// Offers the plugin a capability in the handshake. May be repeated.
    pub fn capability(mut self, name: impl Into<String>) -> Self {
        self.capabilities.insert(name.into());
        self
    }

    /// Fails at limits too: see [`PluginLimit`](crate::oracle::PluginLimit) and [`Role`](crate::wire::Role) for what no host
    /// sends.
    pub fn deny_limits(mut self) -> Self {
        self.deny_limits = true;
        self
    }

    /// Runs this case first. May be repeated.
    pub fn case(mut self, case: Case) -> Self {
        self.first.push(First::Case(Box::new(case)));
        self
    }

    /// Runs the case files of this folder first, in the order of their names: what campaigns found, say.
    pub fn corpus(mut self, folder: impl Into<PathBuf>) -> Self {
        self.first.push(First::Corpus(folder.into()));
        self
    }

    /// Runs the check, in this process: the plugin is behind the [`guard`](crate::host::guard).
    ///
    /// # Errors
    /// [`CheckError::Found`] with what is wrong with the plugin; the others where it cannot be run.
    pub fn run(mut self) -> Result<Summary, CheckError> {
        self.plan.menu.functions = Request::places(&self.functions)?;
        self.plan.menu.words = words(&self.wasm);
        let host = PluginHost::new_with_caps(&self.wasm, &self.capabilities)?;
        let checks = checks(self.deny_limits, false);
        let mut bench = Bench::new(&host, Subject::Plugin)?.with_checks(&checks);
        let mut findings = Vec::new();
        for case in self.first()? {
            judge(&mut bench, case, &mut findings)?;
        }
        if let Budget::Cases(0) = self.plan.budget {
            return Found(findings).or(Summary::default());
        }

        let summary = run_bench(&mut bench, &self.plan, &mut |event| {
            if let Event::Finding(finding) = event {
                findings.push(finding.clone());
            }
        })?;
        Found(findings).or(summary)
    }

    /// The cases that run first.
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

/// What a stored case shows, shrunk.
fn judge(
    bench: &mut Bench<'_, PluginHost>,
    case: Case,
    findings: &mut Vec<Finding>,
) -> Result<(), CampaignError> {
    let (record, violations) = bench.judge_alone(&case, Depth::Thorough)?;
    for finding in confirm_all(
        bench,
        violations,
        &[case],
        record.met_the_wall(),
        ShrinkLimits::default(),
    ) {
        findings.push(finding?);
    }
    Ok(())
}

/// What is wrong with a plugin. Its text is for people: each finding with the smallest case that shows it, and
/// that as JSON.
#[derive(Clone, Debug)]
pub struct Found(pub Vec<Finding>);

impl Found {
    /// The summary, where nothing is wrong: with the limits, each once.
    fn or(mut self, mut summary: Summary) -> Result<Summary, CheckError> {
        let mut told = Told::default();
        let found = std::mem::take(&mut self.0).into_iter();
        let found = found.filter_map(|finding| told.tell(finding));
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

/// Why a check failed. A test that unwraps or returns it shows what [`Display`](fmt::Display) says.
#[derive(Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Something is wrong with the plugin.
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
