//! `no_carryover`: an answer contains nothing from another request. A violation reveals one
//! caller's request to another.

use std::collections::BTreeSet;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::plugin_steps::distinct_plugin_steps;
use super::{Advice, Check, Nature, Violation};
use crate::case::{Depth, MARKER};
use crate::record::{CaseRecord, StepRecord};

/// The number of digits after a marker's prefix.
const DIGITS: usize = 8;

/// Holds when every marker in a plugin's answer, plain or in base64, is in the request that was
/// answered. Generators put markers into requests, a different one into each. State that contains
/// nothing from other requests is allowed.
#[derive(Debug)]
pub struct NoCarryover;

impl Check for NoCarryover {
    fn name(&self) -> &'static str {
        "no_carryover"
    }

    fn nature(&self) -> Nature {
        Nature::Plugin
    }

    fn check(&self, record: &CaseRecord) -> Vec<Violation> {
        let mut found = distinct_plugin_steps(record).filter_map(|(_, step)| judge(step));
        found.next().into_iter().collect()
    }

    fn depth(&self) -> Depth {
        Depth::Light
    }

    fn advice(&self, _: &Violation) -> Advice {
        Advice {
            meaning: "The answer contains data from another request, which may belong to another caller.",
            action: "Look for what is kept from call to call: a cached header, a buffer that is not cleared.",
        }
    }
}

fn judge(step: &StepRecord) -> Option<Violation> {
    let answer = markers(step.call.output.as_deref()?);
    if answer.is_empty() {
        return None;
    }
    let request = markers(step.input()?);
    let other = answer.difference(&request).next()?;
    let detail = format!("the answer contains {other}, which is from an earlier request");
    Some(Violation::new(&NoCarryover, step.function, detail))
}

/// Returns the markers in a JSON text. The text is not parsed, because it may be nested too deep;
/// base64 is found between quotes.
fn markers(json: &[u8]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    add_markers(json, &mut found);
    for text in json.split(|byte| *byte == b'"') {
        if text.len() >= MARKER.len()
            && let Ok(bytes) = BASE64_STANDARD.decode(text)
        {
            add_markers(&bytes, &mut found);
        }
    }
    found
}

fn add_markers(bytes: &[u8], found: &mut BTreeSet<String>) {
    let length = MARKER.len() + DIGITS;
    for window in bytes.windows(length) {
        let is_marker = window.starts_with(MARKER.as_bytes())
            && window[MARKER.len()..].iter().all(u8::is_ascii_hexdigit);
        if is_marker {
            found.insert(String::from_utf8_lossy(window).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_as_they_are_and_in_base64() {
        let marker = format!("{MARKER}0123abcd");
        let coded = BASE64_STANDARD.encode(format!("x-{marker}"));
        let only = BTreeSet::from([marker.clone()]);
        assert_eq!(markers(format!(r#"["a{marker}b"]"#).as_bytes()), only);
        assert_eq!(markers(format!(r#"{{"a":["{coded}"]}}"#).as_bytes()), only);
        assert!(markers(format!(r#"["{MARKER}0123abc"]"#).as_bytes()).is_empty());
        let deep = "[".repeat(1_000) + &format!("\"{coded}\"");
        assert_eq!(markers(deep.as_bytes()), only);
    }
}
