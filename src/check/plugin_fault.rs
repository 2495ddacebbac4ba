//! `plugin_fault`: what a plugin gets wrong. The host turned it into a fallback, as it must, but
//! the plugin's author wants to know.

use std::collections::HashSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::plugin_steps::{
    NO_ANSWER, NOT_BASE64, class, distinct_plugin_steps, is_ordinary, plugin_probes, unusual,
};
use super::{Advice, Check, Nature, Violation};
use crate::case::{Depth, tree};
use crate::host::cause::{
    ERROR_NOT_UTF8, EXIT_CODE, HOST_FUNCTION, NOT_RESPONSE, OUT_OF_FUEL, TIMEOUT, TRAP,
    UNDECODABLE, WRONG_VERSION,
};
use crate::host::{Cause, DispatchOutcome};
use crate::record::{CaseRecord, StepRecord, StepResult};

/// The number of characters of a field's name that are reported.
const FIELD_MAX_CHARS: usize = 100;

/// The advice on faults, by the start of their class. The first match counts.
const FAULTS: [(&str, Advice); 14] = [
    (
        "trap: unreachable",
        Advice {
            meaning: "The plugin panicked, aborted or failed an assertion.",
            action: "Answer the request, or refuse it with an error: the replay says in which functions it was.",
        },
    ),
    (
        "trap: stack overflow",
        Advice {
            meaning: "The plugin called itself too deep.",
            action: "Bound the recursion: JSON may be nested as deep as its sender likes.",
        },
    ),
    (
        "trap: memory out of bounds",
        Advice {
            meaning: "The plugin read or wrote outside of its memory.",
            action: "Check lengths and offsets that come from the request; the memory is bounded to 64 MiB here.",
        },
    ),
    (
        TRAP,
        Advice {
            meaning: "The plugin executed an instruction that trapped, such as a division by zero or a call through an invalid pointer.",
            action: "Check the values of the request before calculating with them.",
        },
    ),
    (
        EXIT_CODE,
        Advice {
            meaning: "The plugin's function returned an exit code other than 0, so its answer is lost.",
            action: "Return 0 with an answer, or set an error.",
        },
    ),
    (
        HOST_FUNCTION,
        Advice {
            meaning: "The plugin called a function of Extism with invalid arguments.",
            action: "Pass handles and offsets only as Extism gave them.",
        },
    ),
    (
        OUT_OF_FUEL,
        Advice {
            meaning: "The plugin needed more than 10,000,000 fuel for a request of up to 16 KiB.",
            action: "Do less for each byte: read the input at once, copy less, build with optimizations.",
        },
    ),
    (
        TIMEOUT,
        Advice {
            meaning: "The plugin took longer than 200 ms for a request of up to 16 KiB.",
            action: "Fill and copy less memory: that costs time, but no fuel.",
        },
    ),
    (
        WRONG_VERSION,
        Advice {
            meaning: "The answer's _v is not the version that the handshake agreed on.",
            action: "Answer in the version that was chosen in the handshake.",
        },
    ),
    (
        NOT_RESPONSE,
        Advice {
            meaning: "The answer is a JSON object, but not the function's response: a field is missing, of another type, or unknown.",
            action: "Answer with exactly the fields of the response.",
        },
    ),
    (
        NOT_BASE64,
        Advice {
            meaning: "A field of the answer must be base64 but is not, so it cannot be decoded.",
            action: "Encode with the standard alphabet, with + and /, and with padding.",
        },
    ),
    (
        UNDECODABLE,
        Advice {
            meaning: "The answer is not a JSON object whose _v is an unsigned integer.",
            action: "Set one JSON object as the output, with nothing after it.",
        },
    ),
    (
        ERROR_NOT_UTF8,
        Advice {
            meaning: "The plugin set an error that is not UTF-8 text.",
            action: "Set errors that are UTF-8.",
        },
    ),
    (
        NO_ANSWER,
        Advice {
            meaning: "The plugin does not answer the dry-run request, the first that a host makes to see whether it works.",
            action: "Run it without --host reference to see the reason: a trap, an undecodable answer or a refusal.",
        },
    ),
];

/// The advice on all other faults.
const OTHER_FAULT: Advice = Advice {
    meaning: "The plugin neither answered nor refused.",
    action: "Answer the request, or refuse it with an error.",
};

/// The advice on a plugin's fault that no single call shows.
pub(crate) const AFTER_OTHER_CALLS: Advice = Advice {
    meaning: "The plugin fails only after other calls: they leave state behind that breaks this one.",
    action: "Look for state that calls leave behind: locks, counters, half-filled tables.",
};

/// Holds when every call of a plugin is answered or refused: no trap, no exit code, no misuse of a
/// host function, no undecodable answer, error or base64, and no running out of fuel or time on
/// requests of ordinary size that hosts send. Running out on what no host sends is left to
/// [`PluginLimit`](crate::check::plugin_limit::PluginLimit). A guest error is a refusal.
///
/// Not every host reports why a call fell back. On such a host, a fault is only reported for the
/// dry-run request, which every plugin must answer, if it fell back on a fresh session.
#[derive(Debug)]
pub struct PluginFault;

impl Check for PluginFault {
    fn name(&self) -> &'static str {
        "plugin_fault"
    }

    fn nature(&self) -> Nature {
        Nature::PluginCall
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let faults =
            distinct_plugin_steps(record).filter_map(|(index, step)| judge(record, index, step));
        faults.chain(unanswered(record)).collect()
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn advice(&self, violation: &Violation) -> Advice {
        fault_of(&violation.class).map_or(OTHER_FAULT, |(_, advice)| advice)
    }
}

/// Returns the advice on the faults of a class, with the prefix of the class.
fn fault_of(class: &str) -> Option<(&'static str, Advice)> {
    let mut faults = FAULTS.into_iter();
    faults.find(|(beginning, _)| class.starts_with(beginning))
}

/// Returns a violation for each function whose dry-run request is not answered on a fresh session.
/// That request was retried.
fn unanswered(record: &CaseRecord) -> Vec<Violation> {
    let fell_back =
        |result: &StepResult| matches!(result.outcome(), Some(DispatchOutcome::Fallback(_)));
    let mut found: Vec<Violation> = Vec::new();
    for probe in plugin_probes(record) {
        let is_told = found.iter().any(|v| v.function == probe.function.name);
        // A host that reports the input also reports the cause.
        let is_unexplained = probe.call.cause.is_none() && probe.call.input.is_none();
        if is_unexplained && fell_back(&probe.fresh_session) && !is_told {
            let here = if fell_back(&probe.result) {
                ", nor on this one"
            } else {
                "; it is behind other requests"
            };
            let detail = format!(
                "the dry-run request is not answered on a fresh session{here}; this host does not report why"
            );
            let violation = Violation::new(&PluginFault, probe.function, detail);
            found.push(violation.with_class(NO_ANSWER));
        }
    }
    found
}

fn judge(record: &CaseRecord, index: usize, step: &StepRecord) -> Option<Violation> {
    let Some(cause) = step.call.cause.as_ref() else {
        let field = not_base64(step)?;
        let detail = format!("the answer's {field} is not standard base64");
        let class = format!("{NOT_BASE64} in {}", of_any_item(&field));
        return Some(Violation::new(&PluginFault, step.function, detail).with_class(class));
    };
    if matches!(cause, Cause::OutOfFuel | Cause::Timeout)
        && !(is_ordinary(step) && unusual(record, index).is_empty())
    {
        return None;
    }
    let class = class(&step.call)?;
    let violation = Violation::new(&PluginFault, step.function, cause.to_string());
    Some(violation.with_class(class).with_site(step.call.site()))
}

/// Returns the path of a field with the indices of list items replaced.
fn of_any_item(field: &str) -> String {
    let is_item = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let names = field.split('/').skip(1);
    let names = names.map(|name| if is_item(name) { "*" } else { name });
    let path = names.collect::<Vec<_>>().join("/");
    path.chars().take(FIELD_MAX_CHARS).collect()
}

/// Returns a field of the answer that must be standard base64 but is not. Text that the plugin
/// passes on unchanged is not a fault: nothing is if a field of the request is not base64 either,
/// nor is a text that the request contains, for example in a state.
fn not_base64(step: &StepRecord) -> Option<String> {
    let Some(DispatchOutcome::Ok(answer)) = step.result.outcome() else {
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

/// Returns the first field that must be base64 and is neither that nor one of the given texts. The
/// content of a state is the plugin's own.
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

/// Returns whether the step at this index shows a fault of the same function and class, wherever in
/// the plugin it is.
pub(crate) fn is_shown_by(violation: &Violation, record: &CaseRecord, index: usize) -> bool {
    let fault = judge(record, index, &record.steps[index]);
    fault
        .is_some_and(|fault| fault.function == violation.function && fault.class == violation.class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Decoding, TrapKind};
    use crate::wire::nesting;

    #[test]
    fn all_that_is_said_of_faults_is_said_of_the_class_of_some_cause() {
        let causes = [
            Cause::Trap(TrapKind::Unreachable),
            Cause::Trap(TrapKind::StackOverflow),
            Cause::Trap(TrapKind::MemoryOutOfBounds),
            Cause::Trap(TrapKind::BadSignature),
            Cause::ExitCode(1),
            Cause::HostFunction("no such block".to_owned()),
            Cause::OutOfFuel,
            Cause::Timeout,
            Cause::Undecodable(Decoding::VersionMismatch {
                expected: 1,
                actual: 2,
            }),
            Cause::Undecodable(Decoding::NotResponse {
                field: "url".to_owned(),
                why: "missing field `url`".to_owned(),
            }),
            Cause::Undecodable(Decoding::NotObject),
            Cause::ErrorNotUtf8,
        ];
        let classes = causes.iter().map(Cause::class);
        let said = classes.filter_map(|class| fault_of(&class).map(|(beginning, _)| beginning));
        // Those of no cause: the call was answered, or the host does not tell why it was not.
        let all = FAULTS.into_iter().map(|(beginning, _)| beginning);
        let of_causes = all.filter(|beginning| ![NOT_BASE64, NO_ANSWER].contains(beginning));
        assert_eq!(said.collect::<Vec<_>>(), of_causes.collect::<Vec<_>>());
    }

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
