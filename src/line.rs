//! Words that are not ours, such as those of a plugin, made fit to stand in a line.
//!
//! A terminal takes control characters for commands, and a reader takes what stands in a line of its own for ours: a plugin
//! could tell a finding that there is not, or a command to run. Marks that turn the direction of a text hide what stands
//! beside them.
//!
//! A discrepancy here is a line that a plugin wrote.

use std::fmt;

/// Whether a character is seen where it stands. What Rust escapes is not: controls, ends of lines, marks that turn the direction
/// of a text, and what has no width.
pub fn is_printable(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

/// Words, an error, a path in one line, with what is not printable as Rust writes it.
pub fn one_line(words: impl fmt::Display) -> String {
    let text = words.to_string();
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) {
            line.push(c);
        } else {
            line.extend(c.escape_debug());
        }
    }
    line
}

/// The lines of a text, without what is not printable.
pub fn harmless(text: &str) -> String {
    text.replace(|c| !is_printable(c) && c != '\n', "\u{fffd}")
}

/// The text of a JSON document, with what is not printable as JSON escapes it. It has such characters in its strings only.
pub fn in_json(text: &str) -> String {
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) || c == '\n' {
            json.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                json += &format!("\\u{unit:04x}");
            }
        }
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_makes_a_line_of_its_own() {
        let words = "a\nfinding: b\r\u{1b}[31m\u{2028}\u{202e}c \u{85}é「'\"\\";
        assert_eq!(
            one_line(words),
            r#"a\nfinding: b\r\u{1b}[31m\u{2028}\u{202e}c \u{85}é「'"\"#
        );
        assert_eq!(harmless("a\n\u{202e}b\u{7}"), "a\n\u{fffd}b\u{fffd}");
        assert_eq!(
            in_json("\"\u{9b}\u{e0001}\"\n"),
            "\"\\u009b\\udb40\\udc01\"\n"
        );
    }
}
