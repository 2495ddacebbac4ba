//! Words of a plugin and of parsers, made fit to be told and to be compared: names of functions, reasons.
//!
//! A discrepancy here is two reasons told as one, or one told as many.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_path_to_error::Segment;
use wasmparser::{BinaryReaderError, Name};

use super::bounds::FUNCTIONS_MAX;
use crate::line::{is_printable, one_line};

/// So many names of functions are read: one for each, and some more.
const NAMINGS_MAX: usize = 2 * FUNCTIONS_MAX as usize;

/// The longest name that is demangled, in bytes.
const NAME_MAX_BYTES: usize = 1024;

/// How many times as long a name may become.
const DEMANGLED_TIMES: usize = 4;

/// The most letters of a name that may be references back, in Rust's second mangling.
const BACK_REFERENCES_MAX: usize = 12;

/// So much of a name is printed.
const PRINTED_MAX_CHARS: usize = 100;

/// So much of a reason is kept.
const REASON_MAX_CHARS: usize = 120;

/// The path of a whole answer, as `serde_path_to_error` has it.
const WHOLE: &str = ".";

/// A name that is fit to be printed: a module may have any.
pub(super) fn printable(name: &str) -> String {
    let chars: String = name.chars().take(PRINTED_MAX_CHARS).collect();
    one_line(chars)
}

/// A text that takes no more than so many bytes.
struct Bounded {
    text: String,
    most: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.text.len() + more.len() > self.most {
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        Ok(())
    }
}

/// The name, unless it becomes too long: a few bytes may stand for a megabyte.
fn demangled(name: &str) -> Option<String> {
    let mut bounded = Bounded {
        text: String::new(),
        most: DEMANGLED_TIMES * name.len(),
    };
    write!(bounded, "{:#}", rustc_demangle::demangle(name)).ok()?;
    Some(bounded.text)
}

/// The name of a function as its author wrote it: demangled, and without the hash that tells it from others of its name.
/// One that would take long stays as it is: each part that refers back to another may double what there is to follow.
pub(super) fn readable(name: &str) -> String {
    let takes_long = name.len() > NAME_MAX_BYTES || {
        let refers_back = name.bytes().filter(|byte| *byte == b'B').count();
        // With the underscores of any system.
        name.trim_start_matches('_').starts_with('R') && refers_back > BACK_REFERENCES_MAX
    };
    let short = (!takes_long).then(|| demangled(name)).flatten();
    let name = short.as_deref().unwrap_or(name);
    const HASH_DIGITS: usize = 16;
    let is_hash = |part: &str| {
        let digits = part.strip_prefix('h').unwrap_or_default();
        digits.len() == HASH_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    match name.rsplit_once("::") {
        Some((path, part)) if is_hash(part) => path.to_owned(),
        _ => name.to_owned(),
    }
}

/// Whether a function belongs to the runtime of a language and not to the plugin's author, by its name.
pub(super) fn is_of_a_language(name: &str) -> bool {
    // It is asked of each frame of a trap, and a name may be as long as the module.
    let name = &name[..name.floor_char_boundary(DEMANGLED_TIMES * NAME_MAX_BYTES)];
    const BEGINNINGS: [&str; 22] = [
        // Rust.
        "core::",
        "alloc::",
        "std::",
        "<core::",
        "<alloc::",
        "<std::",
        "rust_",
        "__rust",
        "__rg_",
        "compiler_builtins::",
        "dlmalloc::",
        "hashbrown::",
        "<hashbrown::",
        // AssemblyScript.
        "~lib/",    // TinyGo.
        "runtime.", // Zig.
        "debug.",
        "builtin.", // C++.
        "__cxa_",
        "_ZNSt",
        "_ZNKSt",
        "_ZSt", // C.
        "__assert_fail",
    ];
    const NAMES: [&str; 10] = [
        "abort", "memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "malloc", "free",
        "realloc",
    ];
    let begins = |name: &str| BEGINNINGS.iter().any(|begin| name.starts_with(begin));
    // What an author's trait does for a type of the language is the author's.
    let is_own = trait_of(name).is_some_and(|of| !begins(of));
    (begins(name) || is_of_a_primitive(name)) && !is_own || NAMES.contains(&name)
}

/// Whether a function of Rust belongs to a type that has no path, such as `<[u8]>::copy_from_slice`.
fn is_of_a_primitive(name: &str) -> bool {
    const PRIMITIVES: [&str; 17] = [
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8",
        "u16", "u32", "u64", "u128", "usize",
    ];
    let Some(of) = name.strip_prefix('<') else {
        return false;
    };
    let is_named = |primitive: &&str| {
        let rest = of.strip_prefix(*primitive);
        rest.is_some_and(|rest| rest.starts_with(['>', ' ']))
    };
    of.starts_with(['[', '&', '*']) || PRIMITIVES.iter().any(is_named)
}

/// The trait that a function of Rust implements, with what follows; `None` where it implements none.
fn trait_of(name: &str) -> Option<&str> {
    let mut depth = 0;
    for (at, c) in name.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            ' ' if depth == 1 => {
                if let Some(of) = name[at..].strip_prefix(" as ") {
                    return Some(of);
                }
            }
            _ => {}
        }
        if depth == 0 {
            return None;
        }
    }
    None
}

/// The names of functions that a name section has.
pub(super) fn of_functions<'a>(
    section: wasmparser::NameSectionReader<'a>,
) -> Result<BTreeMap<u32, &'a str>, BinaryReaderError> {
    let mut names = BTreeMap::new();
    for part in section {
        if let Name::Function(map) = part? {
            for naming in map.into_iter().take(NAMINGS_MAX) {
                let naming = naming?;
                // A section may name millions of functions that there are not.
                if naming.index < FUNCTIONS_MAX {
                    names.entry(naming.index).or_insert(naming.name);
                }
            }
        }
    }
    Ok(names)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_differ_by_what_is_wrong_and_not_by_the_values_of_an_answer() {
        for (words, expected) in [
            ("expected value at line 1 column 1", "expected value"),
            (
                "EOF while parsing a string at line 7 column 30",
                "EOF while parsing a string",
            ),
            ("missing field `url`", "missing field `url`"),
            (
                "unknown field `mine`, expected one of `a`, `b`",
                "unknown field",
            ),
            (
                "invalid type: string \"a, b\", expected u16",
                "invalid type: string, expected u0",
            ),
            (
                "invalid type: map, expected a string",
                "invalid type: map, expected a string",
            ),
            (
                "invalid value: integer `300`, expected u8",
                "invalid value: integer, expected u0",
            ),
            (
                "Invalid symbol 33, offset 412.",
                "Invalid symbol 0, offset 0.",
            ),
        ] {
            assert_eq!(reason(words), expected);
        }
    }

    #[test]
    fn a_rust_function_is_named_without_its_hash() {
        for (name, expected) in [
            ("my_plugin::shape::h0123456789abcdef", "my_plugin::shape"),
            ("my_plugin::shape::hash", "my_plugin::shape::hash"),
            ("h0123456789abcdef", "h0123456789abcdef"),
            (
                "_ZN9my_plugin5shape17h0123456789abcdefE",
                "my_plugin::shape",
            ),
            ("_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example"),
        ] {
            assert_eq!(readable(name), expected);
        }
    }

    #[test]
    fn a_name_that_refers_back_and_back_again_is_left_as_it_is() {
        let name = format!("_RIC1a{}E", "TB2_B2_E".repeat(20));
        assert_eq!(readable(&name), name);
        assert_eq!(readable(&name[1..]), name[1..], "as on Windows");
        let name = "a".repeat(NAME_MAX_BYTES + 1);
        assert_eq!(readable(&name), name);
    }

    #[test]
    fn a_short_name_that_stands_for_a_megabyte_is_left_as_it_is() {
        assert_eq!(readable("_RIC1aFGzzz0_EuE"), "_RIC1aFGzzz0_EuE");
    }

    #[test]
    fn what_an_authors_trait_does_for_a_type_of_the_language_is_the_authors() {
        for (name, expected) in [
            ("<alloc::vec::Vec<mine::Rule> as mine::Rules>::apply", false),
            ("<mine::Rule as core::fmt::Display>::fmt", false),
            (
                "<alloc::vec::Vec<T> as core::ops::index::Index<usize>>::index",
                true,
            ),
            (
                "<core::option::Option<<T as mine::Of>::Item>>::unwrap",
                true,
            ),
            ("core::option::unwrap_failed", true),
            ("<[u8]>::copy_from_slice", true),
            ("<str>::split_at", true),
            ("<&mine::Rule as core::fmt::Debug>::fmt", true),
            ("<[u8] as mine::Bytes>::sum", false),
            ("<strange::Rule>::apply", false),
        ] {
            assert_eq!(is_of_a_language(name), expected, "{name}");
        }
    }
}
