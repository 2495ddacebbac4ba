//! `no_poison`: whatever a call did, the next one is as on a fresh session. A violation lets one request
//! take others down.

use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use super::plugin_fault::class;
use super::within_memory::excess;
use super::within_wall::WALL_SLACK;
use super::{Oracle, Violation, quote};
use crate::host::DispatchOutcome;
use crate::observation::{CaseRecord, ProbeRecord, Reaction, StepRecord, Subject};
use crate::puppet::Ending;

/// Holds when every healthy call in between gets what a fresh session gives, and, where the case ran on
/// fresh sessions too, its steps came to the same there.
///
/// A healthy call that took the whole of the wall-clock limit, or was ended by the clock, counts if it does so again and
/// again.
///
/// A plugin other than the puppet may keep state, so of it only the healthy calls are compared, and only
/// whether they are answered.
#[derive(Debug)]
pub struct NoPoison;

impl Oracle for NoPoison {
    fn name(&self) -> &'static str {
        "no_poison"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        if excess(record).is_some() {
            return Vec::new();
        }
        let probes = unlike_fresh(record).filter(|probe| {
            // There nobody can tell.
            !probe.met_the_wall() || probe.busy < WALL_SLACK
        });
        let probes = probes.map(|probe| {
            // What the puppet does then says little.
            let class = match record.subject {
                Subject::Puppet => None,
                Subject::Plugin => class(&probe.call),
            };
            let violation = Violation::new(
                self,
                probe.function,
                format!(
                    "after step {} the healthy call came to {}, on a fresh session to {}",
                    probe.after,
                    quote(&probe.reaction),
                    quote(&probe.fresh)
                ),
            );
            let site = probe.call.site().filter(|_| class.is_some());
            let violation = violation
                .with_class(class.unwrap_or_default())
                .with_site(site);
            Violation {
                // On a busy machine any call may run into the clock. A host that is poisoned does so every time.
                measured: probe.met_the_wall(),
                ..violation
            }
        });
        let found: Vec<_> = probes.chain(self.compare_sessions(record)).collect();
        if found.is_empty() {
            self.compare_steps(record).into_iter().collect()
        } else {
            found
        }
    }
}

/// The healthy calls that did not get what a fresh session gives, and not for the clock, for sure.
pub(super) fn poisoned(record: &CaseRecord) -> impl Iterator<Item = &ProbeRecord> {
    unlike_fresh(record).filter(|probe| !probe.met_the_wall())
}

fn unlike_fresh(record: &CaseRecord) -> impl Iterator<Item = &ProbeRecord> {
    record.probes.iter().filter(|probe| match record.subject {
        Subject::Puppet => probe.reaction != probe.fresh,
        Subject::Plugin => answers(&probe.fresh) && !answers(&probe.reaction),
    })
}

impl NoPoison {
    fn compare_sessions(&self, record: &CaseRecord) -> Option<Violation> {
        // Where two fresh sessions differ too, it is no matter of what came before.
        let [fresh, again] = &record.fresh[..] else {
            return None;
        };
        if record.subject == Subject::Plugin || fresh != again || record.met_the_wall() {
            return None;
        }
        // There no healthy call stands between the steps, and each pays for what the one before it allocated.
        let before = std::iter::once(None).chain(record.steps.iter().map(Some));
        let mut steps = record.steps.iter().zip(before).zip(fresh);
        let ((step, _), fresh) = steps.find(|((step, before), fresh)| {
            step.reaction != **fresh && is_comparable(step) && holds_behind(step, *before)
        })?;
        Some(self.differing(step, fresh))
    }

    fn compare_steps(&self, record: &CaseRecord) -> Option<Violation> {
        if record.subject == Subject::Plugin || record.met_the_wall() {
            return None;
        }
        let mut steps = record.steps.iter().rev().zip(&record.apart);
        let (step, apart) =
            steps.find(|(step, apart)| step.reaction != **apart && is_comparable(step))?;
        Some(self.differing(step, apart))
    }

    fn differing(&self, step: &StepRecord, fresh: &Reaction) -> Violation {
        let (here, there) = (quote(&step.reaction), quote(fresh));
        let detail = format!("came to {here}, on a fresh session to {there}");
        Violation::new(self, step.function, detail)
    }
}

/// Whether a step must come to the same on any session. Extism zeroes what a call allocated at the expense of the
/// next one's fuel, so where fuel may decide it need not.
fn is_comparable(step: &StepRecord) -> bool {
    let Some(prediction) = &step.prediction else {
        return true;
    };
    let far_from_the_end = step.call.fuel.is_some_and(|fuel| fuel < HANDSHAKE_FUEL / 2);
    prediction.ending != Ending::Unknown || (prediction.forgetful && far_from_the_end)
}

/// Whether a step must come to the same right behind the one before it.
fn holds_behind(step: &StepRecord, before: Option<&StepRecord>) -> bool {
    let prediction = before.and_then(|before| before.prediction.as_ref());
    let carried = prediction.map_or(0, |prediction| prediction.allocates);
    step.prediction
        .as_ref()
        .is_none_or(|prediction| prediction.holds_behind(carried))
}

fn answers(reaction: &Reaction) -> bool {
    matches!(reaction.outcome(), Some(DispatchOutcome::Ok(_)))
}
