//! `no_refusal`: the plugin refuses nothing. Only where that is asked for: to refuse is a plugin's right, and a violation
//! says which requests it makes use of it for.

use std::collections::HashSet;

use super::{Oracle, Violation, distinct_plugin_steps};
use crate::host::Cause;
use crate::host::names::without_numbers;
use crate::observation::CaseRecord;

/// So much of an error tells it from others, in characters: behind that many errors quote the request.
const CLASS_MAX_CHARS: usize = 120;

/// Holds when no call of a plugin came to an error that the plugin set. Each error is told once, whatever numbers are in it.
#[derive(Debug)]
pub struct NoRefusal;

impl Oracle for NoRefusal {
    fn name(&self) -> &'static str {
        "no_refusal"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let refused =
            distinct_plugin_steps(record).filter_map(|(_, step)| match &step.call.cause {
                Some(cause @ Cause::GuestError(error)) => {
                    let violation = Violation::new(self, step.function, cause.to_string());
                    Some(violation.with_class(without_numbers(error, CLASS_MAX_CHARS)))
                }
                _ => None,
            });
        let mut told = HashSet::new();
        refused
            .filter(|violation| told.insert(violation.key()))
            .collect()
    }
}
