//! Names of functions, made fit to be displayed and compared.
//!
//! Bugs in this module look like two names that are taken for one, or one for many.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use wasmparser::{BinaryReaderError, Name};

use crate::host::guard::limits::FUNCTIONS_MAX;
use crate::untrusted_text::one_line;

/// The most entries of a name section that are read: one for each function, and some more.
const NAMINGS_MAX: usize = 2 * FUNCTIONS_MAX as usize;

/// The longest name that is demangled, in bytes.
const NAME_MAX_BYTES: usize = 1024;

/// The most times as long as before that a demangled name may become.
const DEMANGLED_TIMES: usize = 4;

/// The most letters in a name that may be back references of Rust's v0 mangling.
const BACK_REFERENCES_MAX: usize = 12;

/// The longest displayed name, in characters.
const PRINTED_MAX_CHARS: usize = 100;

/// Returns the name as it is displayed: in one line and not too long. A module may have any name.
pub(crate) fn printable(name: &str) -> String {
    let chars: String = name.chars().take(PRINTED_MAX_CHARS).collect();
    one_line(chars)
}

/// A text of at most `most` bytes.
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

/// Demangles a name, unless the result is too long: a few bytes may expand to a megabyte.
fn demangled(name: &str) -> Option<String> {
    let mut bounded = Bounded {
        text: String::new(),
        most: DEMANGLED_TIMES * name.len(),
    };
    write!(bounded, "{:#}", rustc_demangle::demangle(name)).ok()?;
    Some(bounded.text)
}

/// Returns the name of a function as its author wrote it: demangled, and without the hash that
/// distinguishes it from others. A name that would take long is not demangled: each back reference
/// may double the work.
pub(crate) fn readable(name: &str) -> String {
    let takes_long = name.len() > NAME_MAX_BYTES || {
        let refers_back = name.bytes().filter(|byte| *byte == b'B').count();
        // Any number of underscores, which depends on the platform.
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

/// Returns whether a function belongs to a language's runtime and not to the plugin's author, by
/// its name.
pub(crate) fn is_of_a_language(name: &str) -> bool {
    // This runs for each frame of a trap, and a name may be as long as the module.
    let name = &name[..name.floor_char_boundary(DEMANGLED_TIMES * NAME_MAX_BYTES)];
    // Rust, then AssemblyScript, TinyGo, Zig, C++ and C.
    const BEGINNINGS: [&str; 22] = [
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
        "~lib/",
        "runtime.",
        "debug.",
        "builtin.",
        "__cxa_",
        "_ZNSt",
        "_ZNKSt",
        "_ZSt",
        "__assert_fail",
    ];
    const NAMES: [&str; 10] = [
        "abort", "memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "malloc", "free",
        "realloc",
    ];
    let begins = |name: &str| BEGINNINGS.iter().any(|begin| name.starts_with(begin));
    // A trait implementation by the author for a type of the language is the author's.
    let is_own = trait_of(name).is_some_and(|of| !begins(of));
    (begins(name) || is_of_a_primitive(name)) && !is_own || NAMES.contains(&name)
}

/// Returns whether a Rust function belongs to a type without a path, such as
/// `<[u8]>::copy_from_slice`.
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

/// Returns the trait in a Rust function's name and the text after it, or `None` if it implements no
/// trait.
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

/// Returns the names of functions in a name section.
pub(crate) fn of_functions<'a>(
    section: wasmparser::NameSectionReader<'a>,
) -> Result<BTreeMap<u32, &'a str>, BinaryReaderError> {
    let mut names = BTreeMap::new();
    for part in section {
        if let Name::Function(map) = part? {
            for naming in map.into_iter().take(NAMINGS_MAX) {
                let naming = naming?;
                // A section may name millions of functions that do not exist.
                if naming.index < FUNCTIONS_MAX {
                    names.entry(naming.index).or_insert(naming.name);
                }
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::error_reason::reason;

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
