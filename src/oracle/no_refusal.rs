//! `no_refusal`: the plugin refuses nothing. Only where that is asked for: to refuse is a plugin's right, and a violation
//! says which requests it makes use of it for.

use std::collections::HashSet;

use super::{Oracle, Violation, distinct_plugin_steps};
use crate::fingerprint::Fingerprint;
use crate::host::Cause;
use crate::host::names::without_numbers;
use crate::observation::CaseRecord;

/// So much of an error is told, in characters; the rest tells it from others by a number.
const CLASS_MAX_CHARS: usize = 60;

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
                    Some(violation.with_class(class(error)))
                }
                _ => None,
            });
        let mut told = HashSet::new();
        refused
            .filter(|violation| told.insert(violation.key()))
            .collect()
    }
}

fn class(error: &str) -> String {
    let beginning = without_numbers(error, CLASS_MAX_CHARS);
    match error.char_indices().nth(CLASS_MAX_CHARS) {
        None => beginning,
        Some((end, _)) => {
            let rest = &error[end..];
            let rest = Fingerprint::of_text(&without_numbers(rest, rest.len()));
            format!("{beginning}… {}", rest.short())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_differ_by_all_of_their_text_but_for_numbers() {
        let long = |end: &str| format!("{} {end}", "a word ".repeat(20));
        assert_eq!(class("status 401"), class("status 503"));
        assert_ne!(class("no key"), class("no user"));
        assert_eq!(class(&long("at 1")), class(&long("at 22")));
        assert_ne!(class(&long("no key")), class(&long("no user")));
    }
}
