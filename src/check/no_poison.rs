//! `no_poison`: whatever a call did, the next one behaves as on a fresh session. A violation lets
//! one request make others fail.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::plugin_steps::class;
use super::within_memory::excess;
use super::{Advice, Check, Nature, Violation, WALL_SLACK, quote};
use crate::case::Depth;
use crate::host::DispatchOutcome;
use crate::puppet::Ending;
use crate::record::{CaseRecord, ProbeRecord, StepRecord, StepResult, Subject};

/// Holds when every healthy call in between returns what it returns on a fresh session, and, if the
/// case also ran on fresh sessions, its steps have the same results there.
///
/// A healthy call that took the whole wall-clock limit, or timed out, counts only if it does so
/// repeatedly.
///
/// A plugin other than the puppet may keep state, so only its healthy calls are compared, and only
/// by whether they are answered.
///
/// If a fresh session no longer returns what one returned when the host was opened, sessions are
/// not isolated from each other. Other violations may then be consequences, and are not reported.
#[derive(Debug)]
pub struct NoPoison;

impl Check for NoPoison {
    fn name(&self) -> &'static str {
        "no_poison"
    }

    fn nature(&self) -> Nature {
        Nature::HealthyCall
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        if excess(record).is_some() {
            return Vec::new();
        }
        if let Some(probe) = changed_elsewhere(record) {
            let detail = format!(
                "on a fresh session the healthy call returned {}, but {} when the host was opened: sessions are not \
                 isolated",
                quote(&probe.result),
                quote(&probe.fresh_session)
            );
            let violation = Violation::new(&NoPoison, probe.function, detail);
            return vec![violation.with_class(OTHER_SESSIONS)];
        }
        let probes = differing_from_fresh(record).filter(|probe| {
            // On a busy machine the cause of a timeout is unknown.
            !probe.hit_time_limit() || probe.busy < WALL_SLACK
        });
        let probes = probes.map(|probe| {
            // The cause says little if the puppet misbehaves.
            let class = match record.subject {
                Subject::Puppet => None,
                Subject::Plugin => class(&probe.call),
            };
            let violation = Violation::new(
                &NoPoison,
                probe.function,
                format!(
                    "after step {} the healthy call returned {}, on a fresh session {}",
                    probe.after,
                    quote(&probe.result),
                    quote(&probe.fresh_session)
                ),
            );
            let site = probe.call.site().filter(|_| class.is_some());
            let violation = violation
                .with_class(class.unwrap_or_default())
                .with_site(site);
            Violation {
                // On a busy machine any call may time out. On a poisoned host it does so every
                // time.
                measured: probe.hit_time_limit(),
                ..violation
            }
        });
        let found: Vec<_> = probes.chain(compare_sessions(record)).collect();
        if found.is_empty() {
            compare_steps(record).into_iter().collect()
        } else {
            found
        }
    }

    fn depth(&self) -> Depth {
        Depth::Thorough
    }

    fn advice(&self, _: &Violation) -> Advice {
        Advice {
            meaning: "After these calls, a healthy request no longer returns what it returns on a fresh session.",
            action: "Look for state that a failing call leaves behind: locks, counters, half-filled tables.",
        }
    }
}

/// The class of violations in which one session affects others.
pub(crate) const OTHER_SESSIONS: &str = "other sessions";

/// Returns a healthy call on a fresh session whose result certainly differs from that when the host
/// was opened.
pub(crate) fn changed_elsewhere(record: &CaseRecord) -> Option<&ProbeRecord> {
    let mut probes = differing_probes(&record.on_other_sessions, record.subject);
    probes.find(|probe| !probe.hit_time_limit())
}

/// Returns the healthy calls whose results certainly differ from those on a fresh session, not
/// because of a timeout.
pub(crate) fn poisoned(record: &CaseRecord) -> impl Iterator<Item = &ProbeRecord> {
    differing_from_fresh(record).filter(|probe| !probe.hit_time_limit())
}

fn differing_from_fresh(record: &CaseRecord) -> impl Iterator<Item = &ProbeRecord> {
    differing_probes(&record.probes, record.subject)
}

fn differing_probes(
    probes: &[ProbeRecord],
    subject: Subject,
) -> impl Iterator<Item = &ProbeRecord> {
    probes.iter().filter(move |probe| match subject {
        Subject::Puppet => probe.result != probe.fresh_session,
        Subject::Plugin => answers(&probe.fresh_session) && !answers(&probe.result),
    })
}

fn compare_sessions(record: &CaseRecord) -> Option<Violation> {
    // If two fresh sessions differ too, earlier calls are not the cause.
    let [fresh, again] = &record.fresh_session[..] else {
        return None;
    };
    if record.subject == Subject::Plugin || fresh != again || record.hit_time_limit() {
        return None;
    }
    // On fresh sessions there are no healthy calls between the steps, and each step pays for what
    // the one before it allocated.
    let before = std::iter::once(None).chain(record.steps.iter().map(Some));
    let mut steps = record.steps.iter().zip(before).zip(fresh);
    let ((step, _), fresh) = steps.find(|((step, before), fresh)| {
        step.result != **fresh && is_comparable(step) && holds_after(step, *before)
    })?;
    Some(differing(step, fresh))
}

fn compare_steps(record: &CaseRecord) -> Option<Violation> {
    if record.subject == Subject::Plugin || record.hit_time_limit() {
        return None;
    }
    let mut steps = record.steps.iter().rev().zip(&record.isolated);
    let (step, apart) =
        steps.find(|(step, apart)| step.result != **apart && is_comparable(step))?;
    Some(differing(step, apart))
}

fn differing(step: &StepRecord, fresh: &StepResult) -> Violation {
    let (here, there) = (quote(&step.result), quote(fresh));
    let detail = format!("returned {here}, on a fresh session {there}");
    Violation::new(&NoPoison, step.function, detail)
}

/// Returns whether a step must have the same result on any session. Extism zeroes what a call
/// allocated, with the next call's fuel, so a step that may run out of fuel need not.
fn is_comparable(step: &StepRecord) -> bool {
    let Some(prediction) = &step.prediction else {
        return true;
    };
    let far_from_the_end = step.call.fuel.is_some_and(|fuel| fuel < HANDSHAKE_FUEL / 2);
    prediction.ending != Ending::Unknown || (prediction.forgetful && far_from_the_end)
}

/// Returns whether a step must have the same result directly after the one before it.
fn holds_after(step: &StepRecord, before: Option<&StepRecord>) -> bool {
    let prediction = before.and_then(|before| before.prediction.as_ref());
    let carried = prediction.map_or(0, |prediction| prediction.allocates);
    step.prediction
        .as_ref()
        .is_none_or(|prediction| prediction.holds_after(carried))
}

fn answers(result: &StepResult) -> bool {
    matches!(result.outcome(), Some(DispatchOutcome::Ok(_)))
}
