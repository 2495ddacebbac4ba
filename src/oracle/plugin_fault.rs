//! `plugin_fault`: what a plugin gets wrong. The host turned it into a fallback, as it must; the plugin's
//! author wants to know.

use std::collections::HashSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::plugin_limit::unusual;
use super::{Oracle, Violation, distinct_plugin_steps, plugin_probes};
use crate::case::tree;
use crate::host::{Call, Cause, Decoding, DispatchOutcome};
use crate::observation::{CaseRecord, Reaction, StepRecord};
use crate::wire::nesting;

/// Up to this size of input, in bytes, a plugin must not run out of fuel or time. Beyond it that is a limit
/// and no fault: reading a byte at a time, as the cc-lb guest runtime does, costs 50 to 120 fuel a byte, and what is made
/// of JSON with `serde_json` some hundreds more where it has many small parts.
pub const ORDINARY_INPUT_BYTES: usize = 16 * 1024;

/// Up to so many levels of nesting of the request that holds too. `serde_json` computes the line and column of an error
/// anew on every level that it is handed up, each time from the beginning of the input: where its own limit of 128
/// levels is exceeded, that costs as much as reading the input more than a hundred times.
pub const ORDINARY_DEPTH: usize = 64;

/// What a fault in base64 is called.
pub(super) const NOT_BASE64: &str = "undecodable: not base64";

/// So much of the name of a field is told, in characters.
const FIELD_MAX_CHARS: usize = 100;

/// What it is called where an ordinary request is not answered, on a host that does not tell why.
pub(super) const NO_ANSWER: &str = "no answer";

/// Holds when every call of a plugin is answered or refused: no trap, no exit code, no misuse of a host
/// function, no answer or error that does not decode, base64 in it included, and no end of fuel or time at an ordinary
/// size of request that hosts send: what none sends is [`PluginLimit`](super::PluginLimit)'s matter. A guest error is a
/// refusal.
///
/// Not every host tells why a call fell back. There a fault is told only of the dry-run request, which every plugin must
/// answer: where it fell back on a fresh session.
#[derive(Debug)]
pub struct PluginFault;

impl Oracle for PluginFault {
    fn name(&self) -> &'static str {
        "plugin_fault"
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let faults = distinct_plugin_steps(record)
            .filter_map(|(place, step)| self.judge(record, place, step));
        faults.chain(self.unanswered(record)).collect()
    }
}

impl PluginFault {
    /// The dry-run requests that are not answered, each function's once: on a fresh session, which was tried again and again.
    fn unanswered(&self, record: &CaseRecord) -> Vec<Violation> {
        let fell_back =
            |reaction: &Reaction| matches!(reaction.outcome(), Some(DispatchOutcome::Fallback(_)));
        let mut found: Vec<Violation> = Vec::new();
        for probe in plugin_probes(record) {
            let is_told = found.iter().any(|v| v.function == probe.function.name);
            // A host that tells the input tells the cause.
            let is_unexplained = probe.call.cause.is_none() && probe.call.input.is_none();
            if is_unexplained && fell_back(&probe.fresh) && !is_told {
                let here = if fell_back(&probe.reaction) {
                    ", nor on this one"
                } else {
                    "; it is behind other requests"
                };
                let detail = format!(
                    "the dry-run request is not answered on a fresh session{here}; this host does not tell why"
                );
                let violation = Violation::new(self, probe.function, detail);
                found.push(violation.with_class(NO_ANSWER));
            }
        }
        found
    }

    fn judge(&self, record: &CaseRecord, place: usize, step: &StepRecord) -> Option<Violation> {
        let Some(cause) = step.call.cause.as_ref() else {
            let field = not_base64(step)?;
            let detail = format!("the answer's {field} is no standard base64");
            let class = format!("{NOT_BASE64} in {}", of_any_item(&field));
            return Some(Violation::new(self, step.function, detail).with_class(class));
        };
        if matches!(cause, Cause::OutOfFuel | Cause::Timeout)
            && !(is_ordinary(step) && unusual(record, place).is_empty())
        {
            return None;
        }
        let class = class(&step.call)?;
        let violation = Violation::new(self, step.function, cause.to_string());
        Some(violation.with_class(class).with_site(step.call.site()))
    }
}

/// The path of a field where each item of a list is like the others.
fn of_any_item(field: &str) -> String {
    let is_item = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let names = field.split('/').skip(1);
    let names = names.map(|name| if is_item(name) { "*" } else { name });
    let path = names.collect::<Vec<_>>().join("/");
    path.chars().take(FIELD_MAX_CHARS).collect()
}

/// A field of the answer that is to be standard base64 and is not. What the plugin hands on as it came is no fault: nothing
/// is, where a field of the request is no base64 either, nor is a text that the request has, such as one of its state.
fn not_base64(step: &StepRecord) -> Option<String> {
    let Some(DispatchOutcome::Ok(answer)) = step.reaction.outcome() else {
        return None;
    };
    let none = HashSet::new();
    broken_base64(answer, &none)?;
    let request = serde_json::from_slice(step.input()?).ok()?;
    if broken_base64(&request, &none).is_some() {
        return None;
    }
    let mut said = HashSet::new();
    tree::visit(&request, &mut String::new(), &mut |_, value| {
        said.extend(value.as_str());
    });
    broken_base64(answer, &said)
}

/// The first field that is to be base64 and is not, nor one of these texts. What is in a state is the plugin's own.
fn broken_base64(json: &Value, but: &HashSet<&str>) -> Option<String> {
    let mut first = None;
    tree::visit(json, &mut String::new(), &mut |path, value| {
        let is_due = path.ends_with("_base64") && !path.contains("_state/");
        let Some(text) = value.as_str().filter(|_| is_due && first.is_none()) else {
            return;
        };
        if BASE64_STANDARD.decode(text).is_err() && !but.contains(text) {
            first = Some(path.to_owned());
        }
    });
    first
}

/// The kind of a plugin's fault; `None` where the call did not fail, or that was not the plugin's fault. Where it was is the
/// call's [site](Call::site).
pub(super) fn class(call: &Call) -> Option<String> {
    let cause = call.cause.as_ref()?;
    match cause {
        // The host's bound, not the protocol's.
        Cause::Undecodable(Decoding::TooManyValues) => None,
        Cause::Trap(_) | Cause::ExitCode(_) | Cause::HostFunction(_) => Some(cause.class()),
        Cause::OutOfFuel | Cause::Timeout => Some(cause.class()),
        Cause::ErrorNotUtf8 | Cause::Undecodable(_) => Some(cause.class()),
        _ => None,
    }
}

/// Whether the step of this place shows a fault that is like this one, wherever in the plugin it is.
pub(crate) fn is_shown_by(violation: &Violation, record: &CaseRecord, place: usize) -> bool {
    let fault = PluginFault.judge(record, place, &record.steps[place]);
    fault
        .is_some_and(|fault| fault.function == violation.function && fault.class == violation.class)
}

/// Whether the request is one that a plugin must not run out of fuel or time for.
pub(super) fn is_ordinary(step: &StepRecord) -> bool {
    let input = step.input().unwrap_or_default();
    input.len() <= ORDINARY_INPUT_BYTES && nesting(input) <= ORDINARY_DEPTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_texts_are_no_nesting() {
        for (json, levels) in [
            ("1", 0),
            ("[{},[[]]]", 3),
            (r#"["[[[", "\"[{", {"a": "\\"}]"#, 2),
        ] {
            assert_eq!(nesting(json.as_bytes()), levels, "{json}");
        }
    }
}
