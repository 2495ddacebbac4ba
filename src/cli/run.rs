//! `run`: a campaign.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cc_lb_fuzz::campaign::{self, Budget, Event, Phase, Plan, Setup, Summary, Workers};
use cc_lb_fuzz::case::{self, Case, words};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::observation::Subject;
use cc_lb_fuzz::report::{self, FindingReport, LimitReport, Report};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use clap::Args;

use super::error::CliError;
use super::output::{self, print, tell};
use super::plugin::{Deny, HostArg, PluginArgs, refused};
use super::progress::Progress;
use super::report::ReportFile;
use super::resume::{self, Keeper, State};

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
    /// Run the cases of this folder first, those in the folder of artifacts too; repeatable
    #[arg(long, value_name = "DIR")]
    corpus: Vec<PathBuf>,
    /// Go on with the campaign that was interrupted or killed, with the same flags
    #[arg(long, conflicts_with = "seed")]
    resume: bool,
    /// Write a report, such as html=report.html; repeatable. Formats: html, json, junit, markdown, sarif
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = ReportFile::parse)]
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

pub fn run(args: &RunArgs) -> Result<u8, CliError> {
    let plugin = args.plugin.as_deref();
    let workers = args.options.workers(plugin)?;
    let mut plan = args.plan(workers.setup())?;
    args.check_places()?;
    let mut state = State {
        what: args.what_exactly(),
        module: resume::number(&workers.setup().wasm),
        seed: plan.seed,
        done: 0,
    };
    if args.resume {
        state = resume::read(&args.artifacts, &state)?;
        plan.seed = state.seed;
    }
    let workers = workers.with_first(args.first(&plan)?).from_case(state.done);
    let print_unless_quiet = |text: &str| match args.quiet {
        true => Ok(()),
        false => print(text),
    };
    let from = match state.done {
        0 => String::new(),
        done => format!(", from case {done} on"),
    };
    let (what, seed) = (args.what(), plan.seed);
    print_unless_quiet(&format!("fuzzing {what}; seed {seed}{from}\n\n"))?;
    let mut keeper = Keeper::new(&args.artifacts, state);
    let mut progress = Progress::new(plan.budget, args.quiet);
    let stop = workers.stop();
    // The second one ends it at once.
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(exit_code::COULD_NOT_RUN.into());
        }
    })
    .map_err(CliError::Signal)?;
    let (mut failed, mut findings) = (None, Vec::new());
    let summary = workers
        .run(&plan, args.workers, &mut |event| match event {
            Event::Progress(summary) => {
                progress.tell(summary);
                keeper.tell(summary);
            }
            Event::Finding(finding) => {
                let tell = || tell(finding, &args.artifacts, plugin, &args.options);
                let (replay, told) = progress.suspend(tell);
                findings.push(FindingReport::new(finding, replay));
                failed = failed.take().or(told.err());
            }
        })
        .map_err(|error| refused(error, plugin))?;
    drop(progress);
    keeper.end(&summary);
    let ends = report::summary_text(&summary) + &args.hint(&summary);
    let mut failures: Vec<_> = failed.into_iter().collect();
    failures.extend(print_unless_quiet(&ends).err());
    let mut report = Report::new(args.what(), &plan, &summary);
    report.plugin = plugin.map(|path| path.display().to_string());
    findings.into_iter().for_each(|finding| report.add(finding));
    report.limits = args.limits(&workers, &summary);
    // Whatever could not be written, the others are.
    failures.extend(args.reports.iter().filter_map(|f| f.write(&report).err()));
    if let Some(error) = failures.into_iter().next() {
        return Err(error);
    }
    // What showed for sure is wrong, though there was no time to say what it comes from.
    Ok(match (summary.findings, summary.unexamined_for_sure) {
        (0, 0) => exit_code::CLEAN,
        _ => exit_code::FINDINGS,
    })
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
            seed: self
                .seed
                .unwrap_or_else(|| RandomState::new().build_hasher().finish()),
            budget: match (self.cases, self.time) {
                (Some(cases), _) => Budget::Cases(cases),
                (None, time) => Budget::Time(time.unwrap_or(Duration::from_secs(10))),
            },
            ..plan
        })
    }

    /// What cannot be written is told before an hour of work, not behind it.
    fn check_places(&self) -> Result<(), CliError> {
        if self.artifacts.exists() {
            output::make_folder(&self.artifacts)?;
        }
        self.reports.iter().try_for_each(ReportFile::prepare)
    }

    /// The cases that run first: corpora, and what was found before, but where other phases are asked for.
    fn first(&self, plan: &Plan) -> Result<Vec<Case>, CliError> {
        let mut cases = Vec::new();
        for folder in &self.corpus {
            cases.extend(Case::read_folder(folder)?);
        }
        if !plan.phases.contains(&Phase::Seeds) && !self.resume {
            return Ok(cases);
        }
        // A folder that is not there yet has none, and there may be reports in it.
        let earlier = case::files(&self.artifacts).unwrap_or_default();
        cases.extend(earlier.iter().filter_map(|file| Case::read(file).ok()));
        Ok(cases)
    }

    /// What decides which cases a seed has, and on what they run.
    fn what_exactly(&self) -> String {
        let mut what = self.what() + &self.options.as_flags();
        for function in &self.functions {
            what += &format!(" --function {function}");
        }
        for phase in &self.phases {
            what += &format!(" --phase {}", phase.name());
        }
        what
    }

    /// How large requests may be, for reports that tell it. They are measured behind the guard, in this process: a plugin
    /// that it refuses, or that is too hostile to open, has none.
    fn limits(&self, workers: &Workers, summary: &Summary) -> Vec<LimitReport> {
        let asked = self.reports.iter().any(ReportFile::tells_limits);
        let guarded = self.options.host == HostArg::Guarded;
        if self.plugin.is_none() || !asked || !guarded || summary.interrupted {
            return Vec::new();
        }
        let setup = workers.setup();
        let functions = Request::places(&self.functions).unwrap_or_default();
        let limits = PluginHost::new_with_caps(&setup.wasm, &setup.capabilities)
            .map_err(Into::into)
            .and_then(|host| campaign::limits::<_, Request>(&host, &functions));
        let limits = limits.unwrap_or_default();
        limits.iter().map(LimitReport::from).collect()
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
            (Some(path), _) => path.display().to_string(),
            (None, HostArg::Guarded) => "the host, with the puppet".to_owned(),
            (None, HostArg::Reference) => "the published host, with the puppet".to_owned(),
        }
    }
}
