//! `run`: runs a campaign.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cc_lb_fuzz::campaign::{CampaignError, Event, Interrupt, Summary};
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::finding::{Finding, Origin};
use cc_lb_fuzz::generate::{Budget, Phase, Plan, dictionary};
use cc_lb_fuzz::host::Cause;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::report::{self, FindingReport, LimitReport, Report};
use cc_lb_fuzz::untrusted_text::one_line;
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use cc_lb_fuzz::worker::{HostKind, Setup, Workers};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::cases::{self, CaseFile};
use super::error::CliError;
use super::output::{self, finish, print, report_finding};
use super::plugin::{Deny, PluginArgs, refused};
use super::progress::Progress;
use super::report_file::ReportFile;
use super::resume::{self, CampaignIdentity, Checkpointer, State};

#[derive(Args)]
pub struct RunArgs {
    /// The plugin to fuzz, .wasm or .wat; without one, the host is fuzzed with the built-in puppet
    plugin: Option<PathBuf>,
    #[command(flatten)]
    options: PluginArgs,
    /// Number of worker processes; auto is one per processor
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = workers)]
    workers: NonZeroUsize,
    /// Stop after this many cases
    #[arg(long, conflicts_with = "time")]
    cases: Option<u64>,
    /// Stop after this time, such as 10s or 5m [default: 10s]
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// The seed that determines all cases [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Fuzz only this function, such as shape, or one version of it, such as shape_v2; repeatable
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<String>,
    /// Run only this phase; repeatable [default: all but answers and extremes for a plugin; seeds, answers, random and extremes for the host]
    #[arg(long = "phase", value_name = "PHASE", value_enum)]
    phases: Vec<Phase>,
    /// Run the cases in this folder first, in addition to those in the artifacts folder; repeatable
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
    /// Resume the last campaign with the same flags that was interrupted or killed
    #[arg(long, conflicts_with = "seed")]
    resume: bool,
    /// Write a report, such as html=report.html; repeatable. Formats: html, json, junit, markdown, sarif
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = OsStringValueParser::new().try_map(ReportFile::parse))]
    reports: Vec<ReportFile>,
    /// Where to write the cases of findings
    #[arg(long, value_name = "DIR", default_value = "artifacts")]
    artifacts: PathBuf,
    /// Print findings and nothing else
    #[arg(long, short)]
    quiet: bool,
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    match text {
        "auto" => Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        number => number
            .parse()
            .map_err(|_| "expected auto or a number from 1".to_owned()),
    }
}

/// A random seed below 2^53, which every JSON reader represents exactly.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 11
}

pub fn run(args: &RunArgs) -> Result<u8, CliError> {
    let plugin = args.plugin.as_deref();
    let workers = args.options.workers(plugin)?;
    let mut plan = args.plan(workers.setup())?;
    args.check_places()?;
    let found_on = workers.setup().fingerprint();
    let identity = CampaignIdentity::new(&args.what(), plugin, &args.flags(), workers.setup());
    let mut state = State::new(&identity, plan.seed);
    if args.resume {
        state = resume::read(&args.artifacts, &identity)?;
        plan.seed = state.seed;
    }
    let earlier = args.earlier(&plan)?;
    let workers = workers
        .with_corpus(args.corpus()?)
        .with_earlier(earlier.iter().map(|(_, case)| case.clone()).collect())
        .from_case(state.done);
    let print_unless_quiet = |text: &str| if args.quiet { Ok(()) } else { print(text) };
    let from = match state.done {
        0 => String::new(),
        done => format!(", from case {done} on"),
    };
    let (what, seed) = (args.what(), plan.seed);
    print_unless_quiet(&format!("fuzzing {what}; seed {seed}{from}\n\n"))?;
    let mut checkpointer = Checkpointer::new(&args.artifacts, &identity, state);
    let mut progress = Progress::new(plan.budget, args.quiet);
    let found = Arc::new(AtomicBool::new(false));
    listen_for_signals(workers.interrupt(), Arc::clone(&found))?;
    let (mut failures, mut findings) = (Vec::new(), Vec::new());
    let ended = workers.run(&plan, args.workers, &mut |event| match event {
        Event::Progress(summary) => {
            progress.update(summary);
            checkpointer.update(summary);
        }
        Event::Finding(finding) => {
            let is_sure = finding.origin != Origin::Unexamined { certain: false };
            found.fetch_or(is_sure && !finding.violation.is_limit(), Ordering::Relaxed);
            let stored = stored_at(finding, &earlier);
            let report_finding = || {
                report_finding(
                    finding,
                    stored,
                    &args.artifacts,
                    plugin,
                    &args.options,
                    &found_on,
                )
            };
            let (replay, told) = progress.suspend(report_finding);
            findings.push(FindingReport::new(finding, replay));
            failures.extend(told.err());
        }
    });
    drop(progress);
    let (summary, ended_early) = match ended {
        Ok(summary) => (summary, None),
        Err(CampaignError::Ended { summary, source }) => (*summary, Some(refused(*source, plugin))),
        Err(error) => return Err(refused(error, plugin)),
    };
    found.fetch_or(summary.unexamined_certain > 0, Ordering::Relaxed);
    checkpointer.end(&summary);
    let ends = report::summary_text(&summary) + &args.hint(&summary);
    failures.extend(print_unless_quiet(&ends).err());
    let mut report = Report::new(args.what(), &plan, &summary);
    report.plugin = plugin.map(Path::to_owned);
    findings.into_iter().for_each(|finding| report.add(finding));
    if let Some(error) = &ended_early {
        report.ended_early = Some(one_line(error));
    }
    failures.extend(args.write_reports(&mut report, &workers));
    failures.extend(ended_early);
    let may_end_early = summary.interrupted || matches!(plan.budget, Budget::Time(_));
    if summary.cases == 0 && may_end_early && failures.is_empty() {
        failures.push(CliError::NothingRan);
    }
    finish(found.load(Ordering::Relaxed), failures)
}

/// How long the process lives on after the second signal, if a write blocks.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// Ctrl-C, SIGTERM and SIGHUP end the campaign: the first signal soon, the second at once. Findings are reported either
/// way. SIGHUP stays ignored if it is already, as under `nohup`.
fn listen_for_signals(interrupt: Interrupt, found: Arc<AtomicBool>) -> Result<(), CliError> {
    let mut asked = vec![SIGINT, SIGTERM];
    if ignored_signals() & (1 << (SIGHUP - 1)) == 0 {
        asked.push(SIGHUP);
    }
    let mut signals = Signals::new(asked).map_err(CliError::Signal)?;
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if interrupt.is_requested() {
                end_at_last(Arc::clone(&found));
            }
            interrupt.request();
        }
    });
    Ok(())
}

/// The mask of the signals that this process inherited as ignored; 0 if the system does not report it.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

fn end_at_last(found: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        std::thread::sleep(LAST_WRITES);
        let code = if found.load(Ordering::Relaxed) {
            exit_code::FINDINGS
        } else {
            exit_code::COULD_NOT_RUN
        };
        std::process::exit(code.into());
    });
}

/// The file that already contains the case of a finding.
fn stored_at<'e>(finding: &Finding, earlier: &'e [CaseFile]) -> Option<&'e Path> {
    let mut earlier = earlier.iter();
    let stored = earlier.find(|(_, case)| *case == finding.case);
    stored
        .map(|(path, _)| path.as_path())
        .filter(|_| finding.origin == Origin::Stored)
}

impl RunArgs {
    fn plan(&self, setup: &Setup) -> Result<Plan, CliError> {
        let mut plan = match setup.subject {
            Subject::Puppet => Plan::puppet::<Request>(0, 0),
            Subject::Plugin => Plan::plugin::<Request>(0, 0),
        };
        plan.generator.functions = Request::function_indices(&self.functions)?;
        if setup.subject == Subject::Plugin {
            plan.generator.dictionary = dictionary(&setup.wasm);
        }
        if !self.phases.is_empty() {
            plan.phases = self.phases.clone();
        }
        let is_for_the_puppet = |phase: &Phase| *phase == Phase::Answers;
        if setup.subject == Subject::Plugin && plan.phases.iter().all(is_for_the_puppet) {
            return Err(CliError::OnlyAnswers);
        }
        Ok(Plan {
            seed: self.seed.unwrap_or_else(random_seed),
            budget: match (self.cases, self.time) {
                (Some(cases), _) => Budget::Cases(cases),
                (None, time) => Budget::Time(time.unwrap_or(Duration::from_secs(10))),
            },
            ..plan
        })
    }

    /// Checks before the work that everything can be written.
    fn check_places(&self) -> Result<(), CliError> {
        output::check_folder(&self.artifacts)?;
        for (index, report) in self.reports.iter().enumerate() {
            report.prepare()?;
            let mut before = self.reports[..index].iter();
            if before.any(|other| report.overwrites(other)) {
                return Err(report.failed(&"another report has the same file"));
            }
        }
        Ok(())
    }

    /// The cases of all corpora.
    fn corpus(&self) -> Result<Vec<Case>, CliError> {
        let mut cases = Vec::new();
        for folder in &self.corpus {
            let of_it = cases::of_folder(folder)?.into_iter();
            cases.extend(of_it.map(|(_, case)| case));
        }
        Ok(cases)
    }

    /// The cases of earlier findings. They run first, unless only other phases were requested.
    fn earlier(&self, plan: &Plan) -> Result<Vec<CaseFile>, CliError> {
        if !plan.phases.contains(&Phase::Seeds) && !self.resume {
            return Ok(Vec::new());
        }
        cases::of_folder_if_any(&self.artifacts)
    }

    /// The flags that determine, with the plugin, the cases of a seed and the host that runs them.
    fn flags(&self) -> String {
        let mut flags = self.options.as_flags();
        for function in &self.functions {
            flags += &format!(" --function {function}");
        }
        for phase in &self.phases {
            flags += &format!(" --phase {}", phase.name());
        }
        flags
    }

    /// Writes the reports, and those that contain the limits of requests once more when these are measured: that takes long
    /// and may be interrupted. A report that cannot be written does not stop the others.
    fn write_reports(&self, report: &mut Report, workers: &Workers) -> Vec<CliError> {
        let written = self
            .reports
            .iter()
            .filter_map(|file| file.write(report).err());
        let mut failures: Vec<_> = written.collect();
        if failures.is_empty() && report.ended_early.is_none() {
            match self.limits(workers) {
                Ok(limits) => report.limits = limits,
                Err(error) => failures.push(error),
            }
        }
        if !report.limits.is_empty() {
            let telling = self.reports.iter().filter(|file| file.tells_limits());
            failures.extend(telling.filter_map(|file| file.write(report).err()));
        }
        failures
    }

    /// The limits of requests, for reports that contain them. Empty if a signal interrupted it.
    fn limits(&self, workers: &Workers) -> Result<Vec<LimitReport>, CliError> {
        let asked = self.reports.iter().any(ReportFile::tells_limits);
        let guarded = self.options.host == HostKind::Guarded;
        let is_over = workers.interrupt().is_requested();
        if self.plugin.is_none() || !asked || !guarded || is_over {
            return Ok(Vec::new());
        }
        match workers
            .worker()
            .limits(&Request::function_indices(&self.functions)?)
        {
            Ok(limits) => Ok(limits.iter().map(LimitReport::from).collect()),
            Err(CampaignError::Interrupted) => Ok(Vec::new()),
            Err(error) => Err(refused(error, self.plugin.as_deref())),
        }
    }

    /// A hint for the plugin's author.
    fn hint(&self, summary: &Summary) -> String {
        let kind = Cause::GuestError(String::new()).kind();
        let functions = summary.functions.iter();
        let refusals = functions.filter_map(|stats| stats.counts.fallbacks.get(kind));
        match refusals.sum::<u64>() {
            refused @ 1..
                if self.plugin.is_some() && !self.options.deny.contains(&Deny::Refused) =>
            {
                format!(
                    "the plugin refused {refused} requests; with --deny refused that is a finding\n"
                )
            }
            _ => String::new(),
        }
    }

    /// What is fuzzed, for people.
    fn what(&self) -> String {
        match (&self.plugin, self.options.host) {
            (Some(path), _) => one_line(path.display()),
            (None, HostKind::Guarded) => "the host, with the puppet".to_owned(),
            (None, HostKind::Reference) => "the published host, with the puppet".to_owned(),
        }
    }
}
