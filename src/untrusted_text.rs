//! Untrusted text, such as that of a plugin, made safe to print in a line.
//!
//! A terminal interprets control characters, and a reader takes a line of its own for output of
//! this program: a plugin could fake a finding, or a command to run. Marks that change the
//! direction of a text hide what is next to them.
//!
//! Bugs in this module look like an output line that a plugin wrote.

use std::fmt;

/// Returns whether a character is visible in place. Characters that Rust escapes are not: controls,
/// line ends, marks that change the direction of a text, and characters without width.
pub fn is_printable(c: char) -> bool {
    matches!(c, '\'' | '"' | '\\') || c.escape_debug().len() == 1
}

/// The longest untrusted text that is kept whole, in bytes. A plugin may return a MiB of text in
/// each call, and all of it is printed, compared and sent between processes.
pub const WORDS_MAX_BYTES: usize = 4096;

/// The bytes that are kept of the start of a longer text, and of its end, where a parser says what
/// it expected. Together they are short enough that text around them does not shorten them again.
const FIRST_BYTES: usize = 2048;
const LAST_BYTES: usize = 1024;

/// The longest value that is printed whole, in characters.
pub const VALUE_MAX_CHARS: usize = 120;

/// Formats a text, an error or a path in one line, with unprintable characters escaped as Rust
/// does. The middle of a long text is replaced with its number of bytes.
pub fn one_line(words: impl fmt::Display) -> String {
    use fmt::Write as _;
    let mut line = Line::default();
    // Only the `Display` of the text may fail. Its output so far is kept.
    let _ = write!(line, "{words}");
    line.finish()
}

/// Replaces the middle of a long text with its number of bytes.
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

/// Returns the start of a long value, with its number of bytes.
pub fn excerpt(value: &str) -> String {
    first_chars(value, VALUE_MAX_CHARS)
}

/// Returns the first characters of a text, and its number of bytes if these are not all.
pub(crate) fn first_chars(value: &str, most: usize) -> String {
    match value.char_indices().nth(most) {
        Some((end, _)) => format!("{}… ({} bytes)", &value[..end], value.len()),
        None => value.to_owned(),
    }
}

fn left_out(first: &str, bytes: usize, last: &str) -> String {
    format!("{first}… ({bytes} bytes) …{last}")
}

/// A line under construction.
#[derive(Default)]
struct Line {
    first: String,
    /// The text after `first`, of which only the end is kept.
    behind: String,
    /// The number of bytes in the whole text.
    bytes: usize,
    /// Whether a part was left out.
    is_long: bool,
}

impl Line {
    fn finish(self) -> String {
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
        // Drops many characters at a time, not one by one.
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
            // The part that will be left out is not even escaped.
            self.add(&words[..words.floor_char_boundary(WORDS_MAX_BYTES)]);
            self.is_long = true;
            self.add(&words[words.ceil_char_boundary(words.len() - LAST_BYTES)..]);
        }
        Ok(())
    }
}

/// Replaces unprintable characters other than line ends.
pub fn harmless(text: &str) -> String {
    text.replace(|c| !is_printable(c) && c != '\n', "\u{fffd}")
}

/// Escapes unprintable characters in a JSON document, in which they only occur in strings.
pub fn in_json(text: &str) -> String {
    escape_in_json(text, |c| !is_printable(c) && c != '\n')
}

/// Escapes some characters in a JSON document, in which they must only occur in strings.
pub(crate) fn escape_in_json(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        if is_escaped(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                json += &format!("\\u{unit:04x}");
            }
        } else {
            json.push(c);
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
