//! The reasons why answers are invalid, normalized so that they can be compared.

use serde_path_to_error::Segment;

use crate::host::site::names::printable;
use crate::untrusted_text::is_printable;

/// The longest reason that is kept, in characters.
const REASON_MAX_CHARS: usize = 120;

/// The path of a whole answer in `serde_path_to_error`.
const WHOLE: &str = ".";

/// Normalizes an error message of `serde_json`: removes positions, numbers and values that come
/// from the answer. Answers that are invalid for the same reason have equal reasons.
pub(super) fn reason(words: &str) -> String {
    let words = match words.rfind(" at line ") {
        Some(end) => &words[..end],
        None => words,
    };
    // The part before comes from the answer, the part after from the protocol.
    let (wrong, expected) = match words.rsplit_once(", expected ") {
        Some((wrong, expected)) => (wrong, Some(expected)),
        None => (words, None),
    };
    let of_the_protocol = ["missing field", "duplicate field"];
    let wrong = if of_the_protocol.iter().any(|words| wrong.starts_with(words)) {
        wrong.to_owned()
    } else {
        wrong
            .split(['`', '"'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let mut reason = wrong.trim_end().to_owned();
    // The known fields after an unknown one are always the same.
    if let Some(expected) = expected.filter(|_| !wrong.starts_with("unknown")) {
        reason = format!("{reason}, expected {expected}");
    }
    without_numbers(&reason, REASON_MAX_CHARS)
}

/// Returns the path of the invalid value. The name of an unknown field comes from the answer, so it
/// is not part of the path.
pub(super) fn field(path: &serde_path_to_error::Path, why: &str) -> String {
    let text = path.to_string();
    let own = match path.iter().next_back() {
        Some(Segment::Map { key }) if why.starts_with("unknown field") => &key[..],
        _ => "",
    };
    let known = text.strip_suffix(own).unwrap_or(&text);
    let known = known.strip_suffix('.').unwrap_or(known);
    printable(if known.is_empty() { WHOLE } else { known })
}

/// Prepends the path of the invalid value to the reason, unless it is the whole answer.
pub(super) fn at_field(path: &str, why: &str) -> String {
    if path == WHOLE {
        why.to_owned()
    } else {
        format!("{path}: {why}")
    }
}

/// Removes the list indices from a path.
pub(super) fn any_item(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| {
        path + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// Returns the first `most` characters of a text, with each number replaced with 0 and unprintable
/// characters with spaces.
pub(crate) fn without_numbers(text: &str, most: usize) -> String {
    let mut plain = String::new();
    for c in text.chars().take(most) {
        match c {
            '0'..='9' if plain.ends_with('0') => {}
            '0'..='9' => plain.push('0'),
            c if !is_printable(c) => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}
