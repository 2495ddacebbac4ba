//! `no_refusal`: the plugin refuses no request. It runs only on request, because a plugin may
//! refuse requests; a violation shows which ones it refuses.

use std::collections::HashSet;

use super::plugin_steps::distinct_plugin_steps;
use super::{Advice, Check, Nature, Severity, Violation};
use crate::case::Depth;
use crate::host::Cause;
use crate::host::error_reason::without_numbers;
use crate::record::CaseRecord;

/// The number of characters by which errors are distinguished. After that, many errors quote the
/// request.
const CLASS_MAX_CHARS: usize = 120;

/// Holds when no call of a plugin ended with an error that the plugin set. Errors that differ only
/// in numbers are reported once.
#[derive(Debug)]
pub struct NoRefusal;

impl Check for NoRefusal {
    fn name(&self) -> &'static str {
        "no_refusal"
    }

    fn nature(&self) -> Nature {
        Nature::Plugin
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let refused =
            distinct_plugin_steps(record).filter_map(|(_, step)| match &step.call.cause {
                Some(cause @ Cause::GuestError(error)) => {
                    let violation = Violation::new(&NoRefusal, step.function, cause.to_string());
                    Some(violation.with_class(without_numbers(error, CLASS_MAX_CHARS)))
                }
                _ => None,
            });
        let mut reported = HashSet::new();
        refused
            .filter(|violation| reported.insert(violation.key()))
            .collect()
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn severity(&self, _: &Violation) -> Severity {
        Severity::Warning
    }

    fn advice(&self, _: &Violation) -> Advice {
        Advice {
            meaning: "The plugin set an error: it refused the request.",
            action: "Answer it if it should be answered; otherwise leave out --deny refused.",
        }
    }

    /// An error may have any text.
    fn catch_all_class(&self, _: &str) -> Option<&'static str> {
        Some("others")
    }
}
