//! The loop of a campaign.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{
    Budget, CASES_PER_SESSION, CampaignError, Event, FunctionStats, Plan, Summary, THOROUGH_ONE_IN,
    confirm, nth_case,
};
use crate::case::Case;
use crate::host::{DispatchOutcome, Host};
use crate::observation::{CaseRecord, Depth, Runner, StepRecord, Subject};
use crate::oracle::{CHECKS, Violation, check_all};
use crate::wire::Vocabulary;

/// Runs a campaign on a host and tells what happens.
///
/// The plan's functions that the plugin did not negotiate are left out.
///
/// # Errors
/// [`CampaignError`] where the host opens no session, or no function is left.
pub fn run<H: Host, R: Vocabulary>(
    host: &H,
    subject: Subject,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    let mut runner = Runner::<H, R>::new(host, subject)?;
    let negotiated = runner.negotiated();
    let mut plan = plan.clone();
    plan.menu
        .functions
        .retain(|place| negotiated.contains(place));
    if plan.menu.functions.is_empty() {
        let label = |place: &usize| R::functions()[*place].label;
        return Err(CampaignError::NoFunctions {
            negotiated: negotiated.iter().map(label).collect(),
        });
    }
    let mut engine = Engine {
        start: Instant::now(),
        summary: Summary {
            cases: 0,
            elapsed: Duration::ZERO,
            functions: plan
                .menu
                .functions
                .iter()
                .map(|&f| stats_of::<R>(f))
                .collect(),
            slowest: Duration::ZERO,
            findings: 0,
            unconfirmed: 0,
        },
        plan,
        known: HashSet::new(),
        emit,
    };
    while engine.has_budget() {
        engine.session(&mut runner)?;
    }
    Ok(engine.summary)
}

fn stats_of<R: Vocabulary>(place: usize) -> FunctionStats {
    FunctionStats {
        function: &R::functions()[place],
        dispatches: 0,
        ok: 0,
        fallbacks: Default::default(),
        time: Duration::ZERO,
    }
}

struct Engine<'e, R> {
    plan: Plan,
    start: Instant,
    summary: Summary,
    /// The keys of what was found: each is told once.
    known: HashSet<(String, String, String)>,
    emit: &'e mut dyn FnMut(Event<'_, R>),
}

impl<R: Vocabulary> Engine<'_, R> {
    fn has_budget(&self) -> bool {
        match self.plan.budget {
            Budget::Cases(cases) => self.summary.cases < cases,
            Budget::Time(time) => self.start.elapsed() < time,
        }
    }

    /// Runs the cases that share a session: those of one multiple of [`CASES_PER_SESSION`], so that what a
    /// case meets does not depend on where the campaign began. A violation ends the session before its time.
    fn session<H: Host>(&mut self, runner: &mut Runner<'_, H, R>) -> Result<(), CampaignError> {
        let mut history = Vec::new();
        runner.renew()?;
        for _ in 0..CASES_PER_SESSION {
            if !self.has_budget() {
                break;
            }
            let index = self.summary.cases;
            let depth = match index % THOROUGH_ONE_IN {
                0 => Depth::Thorough,
                _ => Depth::Light,
            };
            history.push(nth_case(&self.plan, index));
            let record = runner.run(&history[history.len() - 1], depth)?;
            self.summary.cases += 1;
            self.count(&record);
            let violations = check_all(&CHECKS, &record);
            if !violations.is_empty() {
                self.look_into(runner, violations, &record, &history)?;
                runner.renew()?;
                history.clear();
            }
        }
        self.summary.elapsed = self.start.elapsed();
        (self.emit)(Event::Progress(&self.summary));
        Ok(())
    }

    fn count(&mut self, record: &CaseRecord) {
        for step in &record.steps {
            self.summary.slowest = self.summary.slowest.max(step.elapsed);
            let stats = self
                .summary
                .functions
                .iter_mut()
                .find(|s| s.function == step.function);
            if let Some(stats) = stats {
                count_step(stats, step);
            }
        }
    }

    /// Makes findings of the violations that are new.
    fn look_into<H: Host>(
        &mut self,
        runner: &mut Runner<'_, H, R>,
        violations: Vec<Violation>,
        record: &CaseRecord,
        history: &[Case<R>],
    ) -> Result<(), CampaignError> {
        for violation in violations {
            let (check, function, class) = violation.key();
            let key = (check.to_owned(), function.to_owned(), class.to_owned());
            if self.known.contains(&key) {
                continue;
            }
            match confirm(runner, &violation, record, history)? {
                Some(finding) => {
                    self.known.insert(key);
                    self.summary.findings += 1;
                    (self.emit)(Event::Finding(&finding));
                }
                None => self.summary.unconfirmed += 1,
            }
        }
        Ok(())
    }
}

fn count_step(stats: &mut FunctionStats, step: &StepRecord) {
    stats.dispatches += 1;
    stats.time += step.elapsed;
    match step.reaction.outcome() {
        Some(DispatchOutcome::Ok(_)) => stats.ok += 1,
        Some(DispatchOutcome::Fallback(_)) => {
            let kind = step
                .call
                .cause
                .as_ref()
                .map_or("unknown", |cause| cause.kind());
            *stats.fallbacks.entry(kind).or_default() += 1;
        }
        None => *stats.fallbacks.entry("panic").or_default() += 1,
    }
}
