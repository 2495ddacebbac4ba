//! `run`: a campaign.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cc_lb_fuzz::campaign::{
    Budget, CampaignError, Event, Interrupt, Phase, Plan, Setup, Summary, Workers,
};
use cc_lb_fuzz::case::{Case, words};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::finding::{Finding, Origin};
use cc_lb_fuzz::line::one_line;
use cc_lb_fuzz::observation::Subject;
use cc_lb_fuzz::report::{self, FindingReport, LimitReport, Report};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::cases::{self, CaseFile};
use super::error::CliError;
use super::output::{self, finish, print, tell};
use super::plugin::{Deny, HostArg, PluginArgs, refused};
use super::progress::Progress;
use super::report::ReportFile;
use super::resume::{self, Identity, Keeper, State};

#[derive(Args)]
pub struct RunArgs {
    /// The plugin to fuzz, .wasm or .wat; without one, the host is fuzzed with the built-in puppet
    plugin: Option<PathBuf>,
    #[command(flatten)]
    options: PluginArgs,
    /// How many processes run cases; auto is one for each processor
    #[arg(long, value_name = "N|auto", default_value = "auto", value_parser = workers)]
    workers: NonZeroUsize,
    /// Stop after this many cases
    #[arg(long, conflicts_with = "time")]
    cases: Option<u64>,
    /// Stop after this time, such as 10s or 5m [default: 10s]
    #[arg(long, value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// The seed that decides all cases [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,
    /// Only this function: its name, such as shape, or with its version, such as shape_v2; repeatable
    #[arg(long = "function", value_name = "FUNCTION")]
    functions: Vec<String>,
    /// Only this phase; repeatable [default: all for a plugin, seeds and random for the host]
    #[arg(long = "phase", value_name = "PHASE", value_enum)]
    phases: Vec<Phase>,
    /// Run the cases that lie in this folder itself first, those in the folder of artifacts too; repeatable
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
    /// Go on with the campaign that was interrupted or killed last, with the same flags
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
            .map_err(|_| "it is auto, or a number from 1".to_owned()),
    }
}

/// A seed that any reader of a report takes for the number that it is: below 2^53.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish() >> 11
}

pub fn run(args: &RunArgs) -> Result<u8, CliError> {
    let plugin = args.plugin.as_deref();
    let workers = args.options.workers(plugin)?;
    let mut plan = args.plan(workers.setup())?;
    args.check_places()?;
    let found_on = workers.setup().fingerprint();
    let identity = Identity::new(&args.what(), plugin, &args.flags(), workers.setup());
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
    let mut keeper = Keeper::new(&args.artifacts, &identity, state);
    let mut progress = Progress::new(plan.budget, args.quiet);
    let found = Arc::new(AtomicBool::new(false));
    listen_for_signals(workers.interrupt(), Arc::clone(&found))?;
    let (mut failures, mut findings) = (Vec::new(), Vec::new());
    let ended = workers.run(&plan, args.workers, &mut |event| match event {
        Event::Progress(summary) => {
            progress.tell(summary);
            keeper.tell(summary);
        }
        Event::Finding(finding) => {
            let is_sure = finding.origin != Origin::Unexamined { certain: false };
            found.fetch_or(is_sure && !finding.violation.is_limit(), Ordering::Relaxed);
            let stored = stored_at(finding, &earlier);
            let tell = || {
                tell(
                    finding,
                    stored,
                    &args.artifacts,
                    plugin,
                    &args.options,
                    &found_on,
                )
            };
            let (replay, told) = progress.suspend(tell);
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
    found.fetch_or(summary.unexamined_for_sure > 0, Ordering::Relaxed);
    keeper.end(&summary);
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

/// How long after an end was asked for twice the process lives on, should something that is written to not take it.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// Ctrl-C, SIGTERM and the end of the terminal end the campaign: the first soon, the second at once. Whatever was found is told
/// either way. The end of the terminal stays ignored where it is already, as by `nohup`.
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

/// The signals that this process was started to ignore, a bit each from the first on; none where the system does not tell.
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

/// The file that has the case of a finding already.
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
        plan.menu.functions = Request::places(&self.functions)?;
        if setup.subject == Subject::Plugin {
            plan.menu.words = words(&setup.wasm);
        }
        if !self.phases.is_empty() {
            plan.phases = self.phases.clone();
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

    /// What cannot be written is told before an hour of work, not behind it.
    fn check_places(&self) -> Result<(), CliError> {
        output::check_folder(&self.artifacts)?;
        for (place, report) in self.reports.iter().enumerate() {
            report.prepare()?;
            let mut before = self.reports[..place].iter();
            if before.any(|other| report.overwrites(other)) {
                return Err(report.failed(&"another one is written to it"));
            }
        }
        Ok(())
    }

    /// The cases of corpora.
    fn corpus(&self) -> Result<Vec<Case>, CliError> {
        let mut cases = Vec::new();
        for folder in &self.corpus {
            let of_it = cases::of_folder(folder)?.into_iter();
            cases.extend(of_it.map(|(_, case)| case));
        }
        Ok(cases)
    }

    /// The cases of what was found before, which run first, but where other phases are asked for.
    fn earlier(&self, plan: &Plan) -> Result<Vec<CaseFile>, CliError> {
        if !plan.phases.contains(&Phase::Seeds) && !self.resume {
            return Ok(Vec::new());
        }
        cases::of_folder_if_any(&self.artifacts)
    }

    /// What decides, beside the plugin, which cases a seed has, and on what they run.
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

    /// Writes the reports, and those that tell the limits of requests once more when these are measured: that takes long,
    /// and may be ended. Whatever could not be written, the others are.
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

    /// How large requests may be, for reports that tell it. A signal ends it: then none is known.
    fn limits(&self, workers: &Workers) -> Result<Vec<LimitReport>, CliError> {
        let asked = self.reports.iter().any(ReportFile::tells_limits);
        let guarded = self.options.host == HostArg::Guarded;
        let is_over = workers.interrupt().is_requested();
        if self.plugin.is_none() || !asked || !guarded || is_over {
            return Ok(Vec::new());
        }
        match workers.worker().limits(&Request::places(&self.functions)?) {
            Ok(limits) => Ok(limits.iter().map(LimitReport::from).collect()),
            Err(CampaignError::Interrupted) => Ok(Vec::new()),
            Err(error) => Err(refused(error, self.plugin.as_deref())),
        }
    }

    /// What a plugin's author may want to ask next.
    fn hint(&self, summary: &Summary) -> String {
        let functions = summary.functions.iter();
        let refusals = functions.filter_map(|stats| stats.counts.fallbacks.get("guest error"));
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

    /// What is fuzzed, in words.
    fn what(&self) -> String {
        match (&self.plugin, self.options.host) {
            (Some(path), _) => one_line(path.display()),
            (None, HostArg::Guarded) => "the host, with the puppet".to_owned(),
            (None, HostArg::Reference) => "the published host, with the puppet".to_owned(),
        }
    }
}
