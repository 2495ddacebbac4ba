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

/// So many bytes of foreign words are kept. A plugin may say a MiB in each call, and all of them are told, compared and sent
/// from process to process.
pub const WORDS_MAX_BYTES: usize = 4096;

/// Words, an error, a path in one line, with what is not printable as Rust writes it. The end of long ones is left out, and
/// how many bytes they have told instead.
pub fn one_line(words: impl fmt::Display) -> String {
    use fmt::Write as _;
    let mut line = Line::default();
    // Only who displays the words may fail: what came before is told then.
    let _ = write!(line, "{words}");
    line.told()
}

/// Words as they are, but for the end of long ones.
pub fn shortened(words: &str) -> String {
    match words.len() {
        0..=WORDS_MAX_BYTES => words.to_owned(),
        bytes => {
            let end = words.floor_char_boundary(WORDS_MAX_BYTES);
            left_out(&words[..end], bytes)
        }
    }
}

fn left_out(beginning: &str, bytes: usize) -> String {
    format!("{beginning}… ({bytes} bytes)")
}

/// Words that become a line.
#[derive(Default)]
struct Line {
    line: String,
    /// The bytes of all words.
    bytes: usize,
    /// Whether some are left out.
    is_full: bool,
}

impl Line {
    fn told(self) -> String {
        if self.is_full {
            left_out(&self.line, self.bytes)
        } else {
            self.line
        }
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        self.bytes += words.len();
        for c in words.chars() {
            self.is_full |= self.line.len() + c.len_utf8() > WORDS_MAX_BYTES;
            if self.is_full {
                break;
            }
            if is_printable(c) {
                self.line.push(c);
            } else {
                self.line.extend(c.escape_debug());
            }
        }
        Ok(())
    }
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
    fn what_is_left_out_of_long_words_is_told() {
        let long = "é".repeat(WORDS_MAX_BYTES);
        let half = &long[..WORDS_MAX_BYTES];
        assert_eq!(one_line(half), half);
        assert_eq!(shortened(half), half);
        for told in [one_line(&long), shortened(&long)] {
            assert_eq!(told, format!("{half}… (8192 bytes)"));
        }
        let controls = one_line("\u{7f}".repeat(1 << 20));
        assert!(controls.len() < WORDS_MAX_BYTES + 100, "{}", controls.len());
        assert!(controls.ends_with("… (1048576 bytes)"), "{controls}");
    }

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
