//! The response dictionary: JSON objects from a plugin's answers. A host sends them back to the
//! plugin, or something similar, so the generators use them in requests.

use serde_json::Value;

use crate::case::tree;
use crate::host::DispatchOutcome;
use crate::record::Outcome;

/// The most objects that are taken from a plugin's answers, and the longest, in bytes. A plugin may
/// answer anything.
const OBJECTS_MAX: usize = 16;
const OBJECT_BYTES_MAX: usize = 4096;

/// Returns the objects inside these answers as texts, without duplicates. States come first,
/// because a host certainly sends them back.
pub(crate) fn response_dictionary<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Vec<String> {
    let (mut states, mut others) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        let DispatchOutcome::Ok(answer) = outcome else {
            continue;
        };
        let is_some = |value: &Value| value.as_object().is_some_and(|fields| !fields.is_empty());
        tree::visit(answer, &mut String::new(), &mut |path, object| {
            let is_state = path.contains("_state");
            let of_its_kind = if is_state { &states } else { &others };
            if path.is_empty() || !is_some(object) || of_its_kind.len() == OBJECTS_MAX {
                return;
            }
            // Serializing into a bounded buffer stops early at objects that are too long.
            let mut room = [0; OBJECT_BYTES_MAX];
            if serde_json::to_writer(&mut room[..], object).is_err() {
                return;
            }
            let text = tree::text(object);
            if !states.contains(&text) && !others.contains(&text) {
                if is_state { &mut states } else { &mut others }.push(text);
            }
        });
    }
    states.into_iter().chain(others).take(OBJECTS_MAX).collect()
}
