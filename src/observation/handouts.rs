//! What a plugin hands out: it gets that again, or something like it, and so the generators say it to it.

use serde_json::Value;

use super::Outcome;
use crate::case::tree;
use crate::host::DispatchOutcome;

/// The most objects that are taken from a plugin's answers, and the longest, in bytes: it may answer with anything.
const OBJECTS_MAX: usize = 16;
const OBJECT_BYTES_MAX: usize = 4096;

/// The objects inside of these answers, each once, as texts. States come first, which come again for sure.
pub(super) fn objects<'o>(outcomes: impl Iterator<Item = &'o Outcome>) -> Vec<String> {
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
            // What surrounds a long one is long, too: none of it is written to its end.
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
