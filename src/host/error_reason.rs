//! Why an answer is not what it should be, in words that compare.

use serde_path_to_error::Segment;

use crate::host::site::names::printable;
use crate::untrusted_text::is_printable;

/// So much of a reason is kept.
const REASON_MAX_CHARS: usize = 120;

/// The path of a whole answer, as `serde_path_to_error` has it.
const WHOLE: &str = ".";

/// Why an answer is not what it should be, in the words of `serde_json`, without what is the answer's own: places, numbers,
/// and values. Answers that are wrong for one reason have one.
pub(super) fn reason(words: &str) -> String {
    let words = match words.rfind(" at line ") {
        Some(end) => &words[..end],
        None => words,
    };
    // What is wrong is the answer's, and what was expected the protocol's.
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
    // An unknown field is none of many, which need not be said again.
    if let Some(expected) = expected.filter(|_| !wrong.starts_with("unknown")) {
        reason = format!("{reason}, expected {expected}");
    }
    without_numbers(&reason, REASON_MAX_CHARS)
}

/// The path of the value that is wrong. The name of an unknown field is the answer's own, and part of what is wrong.
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

/// What is wrong, behind the path of the value that is; the whole answer has none.
pub(super) fn at_field(path: &str, why: &str) -> String {
    if path == WHOLE {
        why.to_owned()
    } else {
        format!("{path}: {why}")
    }
}

/// A path in which all items of a list are one.
pub(super) fn any_item(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| {
        path + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

/// The beginning of a text with each number as a 0, and nothing that is no text.
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
