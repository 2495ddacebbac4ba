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

/// Longer foreign words lose their middle, in bytes. A plugin may say a MiB in each call, and all of them are told, compared and
/// sent from process to process.
pub const WORDS_MAX_BYTES: usize = 4096;

/// So much is kept of their beginning, and of their end, where a parser says what it expected. Other words beside them leave
/// them as they are.
const FIRST_BYTES: usize = 2048;
const LAST_BYTES: usize = 1024;

/// So much of a value is printed, in characters.
pub const VALUE_MAX_CHARS: usize = 120;

/// Words, an error, a path in one line, with what is not printable as Rust writes it. The middle of long ones is left out, and
/// how many bytes they have told instead.
pub fn one_line(words: impl fmt::Display) -> String {
    use fmt::Write as _;
    let mut line = Line::default();
    // Only who displays the words may fail: what came before is told then.
    let _ = write!(line, "{words}");
    line.told()
}

/// Words as they are, but for the middle of long ones.
pub fn shortened(words: &str) -> String {
    match words.len() {
        0..=WORDS_MAX_BYTES => words.to_owned(),
        bytes => {
            let first = words.floor_char_boundary(FIRST_BYTES);
            let last = words.ceil_char_boundary(bytes - LAST_BYTES);
            left_out(&words[..first], bytes, &words[last..])
        }
    }
}

/// The beginning of a long value, and how many bytes it has.
pub fn excerpt(value: &str) -> String {
    match value.char_indices().nth(VALUE_MAX_CHARS) {
        Some((end, _)) => format!("{}… ({} bytes)", &value[..end], value.len()),
        None => value.to_owned(),
    }
}

fn left_out(first: &str, bytes: usize, last: &str) -> String {
    format!("{first}… ({bytes} bytes) …{last}")
}

/// Words that become a line.
#[derive(Default)]
struct Line {
    first: String,
    /// What comes behind, of which the end is kept.
    behind: String,
    /// The bytes of all words.
    bytes: usize,
    /// Whether some are left out.
    is_long: bool,
}

impl Line {
    fn told(self) -> String {
        if self.is_long || self.first.len() + self.behind.len() > WORDS_MAX_BYTES {
            let last = self.behind.len().saturating_sub(LAST_BYTES);
            let last = self.behind.ceil_char_boundary(last);
            left_out(&self.first, self.bytes, &self.behind[last..])
        } else {
            self.first + &self.behind
        }
    }

    fn push(&mut self, c: char) {
        if self.behind.is_empty() && self.first.len() + c.len_utf8() <= FIRST_BYTES {
            self.first.push(c);
            return;
        }
        self.behind.push(c);
        // Some at a time, not each by itself.
        if self.behind.len() > WORDS_MAX_BYTES {
            let last = self
                .behind
                .ceil_char_boundary(self.behind.len() - LAST_BYTES);
            self.behind.drain(..last);
            self.is_long = true;
        }
    }

    fn add(&mut self, words: &str) {
        for c in words.chars() {
            if is_printable(c) {
                self.push(c);
            } else {
                c.escape_debug().for_each(|c| self.push(c));
            }
        }
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        self.bytes += words.len();
        if words.len() <= 2 * WORDS_MAX_BYTES {
            self.add(words);
        } else {
            // What would be left out is not even looked at.
            self.add(&words[..words.floor_char_boundary(WORDS_MAX_BYTES)]);
            self.is_long = true;
            self.add(&words[words.ceil_char_boundary(words.len() - LAST_BYTES)..]);
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
        let most = "é".repeat(WORDS_MAX_BYTES / 2);
        assert_eq!(one_line(&most), most);
        assert_eq!(shortened(&most), most);
        let long = "é".repeat(1 << 16) + ", expected a number";
        for told in [one_line(&long), shortened(&long)] {
            assert!(told.len() < WORDS_MAX_BYTES + 100, "{}", told.len());
            assert!(told.starts_with("éé"), "{told}");
            assert!(told.contains("é… (131091 bytes) …é"), "{told}");
            assert!(told.ends_with("é, expected a number"), "{told}");
            let beside = format!("a reason: {told}");
            assert_eq!(one_line(&beside), beside);
        }
        let controls = one_line("\u{7f}".repeat(1 << 20));
        assert!(controls.len() < WORDS_MAX_BYTES + 100, "{}", controls.len());
        assert!(controls.contains("… (1048576 bytes) …"), "{controls}");
        assert_eq!(excerpt(&most), format!("{}… (4096 bytes)", &most[..240]));
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
