//! A campaign in this process: one executor does the coordinator's jobs one after the other.

use super::block::BlockExecutor;
use super::coordinator::Coordinator;
use super::error::CampaignError;
use super::event::Event;
use super::interrupt::Interrupt;
use super::statistics::Summary;
use crate::execute::{Executor as _, InProcessExecutor};
use crate::finding::Finding;
use crate::generate::Plan;
use crate::host::Host;
use crate::record::Subject;
use crate::wire::Vocabulary;

/// Runs a campaign on a host in this process, and emits events.
///
/// Functions of the plan that the plugin did not negotiate are left out.
///
/// # Errors
/// Returns a [`CampaignError`] if the host cannot open a session, or no function is left;
/// [`CampaignError::Ended`] if this happens during the campaign. Everything seen before was
/// emitted.
pub fn run<H: Host, R: Vocabulary>(
    host: &H,
    subject: Subject,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    run_on(&mut InProcessExecutor::new(host, subject)?, plan, emit)
}

/// Runs a campaign like [`run`], and returns the findings, for tests. Limits of the plugin are not
/// included.
///
/// # Errors
/// Returns the errors of [`run`].
pub fn findings<H: Host, R: Vocabulary>(
    host: &H,
    subject: Subject,
    plan: &Plan,
) -> Result<Vec<Finding<R>>, CampaignError> {
    let mut found = Vec::new();
    run(host, subject, plan, &mut |event| {
        if let Event::Finding(finding) = event
            && !finding.violation.is_limit()
        {
            found.push(finding.clone());
        }
    })?;
    Ok(found)
}

/// Runs a campaign like [`run`] on an executor, which may have checks of your own.
///
/// # Errors
/// Returns the errors of [`run`].
pub fn run_on<H: Host, R: Vocabulary>(
    executor: &mut InProcessExecutor<'_, H, R>,
    plan: &Plan,
    emit: &mut dyn FnMut(Event<'_, R>),
) -> Result<Summary, CampaignError> {
    let runner = executor.runner();
    let plan = plan.of_opened::<R>(&runner.negotiated(), runner.response_dictionary())?;
    // Generating them takes as long as many a short campaign.
    let cases = executor.cases.get(&plan);
    let subject = executor.subject();
    let mut coordinator = Coordinator::new(cases, subject, &Interrupt::new(), emit);
    run_jobs(executor, &mut coordinator);
    coordinator.close()
}

/// Does the jobs of a campaign on one executor until there are no more.
pub(crate) fn run_jobs<R: Vocabulary, E: FnMut(Event<'_, R>)>(
    executor: &mut impl BlockExecutor<R>,
    coordinator: &mut Coordinator<R, E>,
) {
    while let Some(job) = coordinator.next_job() {
        let outcome = job.perform(executor);
        coordinator.receive(outcome);
    }
}
