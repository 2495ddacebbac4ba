//! The dictionary of a plugin: tokens that random generation would not find, such as the name of a
//! header that the plugin looks for.
//!
//! They are read from the module: texts between other bytes in its data, texts that its code refers
//! to by address and length, and texts that its code compares as integers, as compilers do with
//! short ones. Tokens that look like names, and whose ends are known, come first.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeInclusive;

use wasmparser::{DataKind, Operator, Parser, Payload};

/// The length of a token, in bytes.
const LENGTHS: RangeInclusive<usize> = 2..=64;

/// The most tokens from a module.
const TOKENS_MAX: usize = 1024;

/// The most tokens from integers in the code: many integers are printable by accident.
const NUMBERS_MAX: usize = 256;

/// The most constants, data segments and functions that are read: a module may consist of nothing
/// else. The dictionary is made before anything checks that the module is a plugin.
const CONSTANTS_MAX: usize = 1 << 16;
const DATA_MAX: usize = 256;
const FUNCTIONS_MAX: usize = 16_000;

/// The most bytes of data, and of code, that are read.
const DATA_MAX_BYTES: usize = 8 << 20;
const CODE_MAX_BYTES: usize = 2 << 20;

/// The largest distance between the constants of an address and its length.
const NEAR: usize = 4;

/// The address of data without an address, one segment after the other: beyond all memory.
const NOWHERE: usize = usize::MAX / 2;

/// The length of a likely token, in bytes.
const LIKELY_LENGTHS: RangeInclusive<usize> = 3..=32;

/// The number of tokens at the front that count as likely.
pub(crate) const LIKELY_MAX: usize = 128;

/// Returns the tokens of a module, without duplicates, the likeliest first. Reading stops at the
/// first part of the module that does not parse.
pub fn dictionary(wasm: &[u8]) -> Vec<String> {
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(wasm) {
        // Opening the module reports the error.
        if payload.map_err(drop).and_then(|p| module.add(p)).is_err() {
            break;
        }
    }
    module.tokens()
}

#[derive(Default)]
struct Module {
    /// The data segments, each with its address in memory.
    data: Vec<(usize, Vec<u8>)>,
    /// The constants in the code of each function.
    functions: Vec<Vec<Constant>>,
    /// The total number of these constants.
    constants: usize,
    /// The total bytes of data and of code.
    data_bytes: usize,
    code_bytes: usize,
}

#[derive(Clone, Copy)]
enum Constant {
    Small(i32),
    Large(i64),
}

impl Module {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), ()> {
        match payload {
            Payload::DataSection(section) => {
                for data in section.into_iter().take(DATA_MAX) {
                    let data = data.map_err(drop)?;
                    self.data_bytes += data.data.len();
                    if self.data_bytes > DATA_MAX_BYTES {
                        return Err(());
                    }
                    let start = match data.kind {
                        DataKind::Passive => None,
                        DataKind::Active { offset_expr, .. } => {
                            match offset_expr.get_operators_reader().read() {
                                Ok(Operator::I32Const { value }) => Some(value as u32 as usize),
                                _ => None,
                            }
                        }
                    };
                    // Nothing refers to data without an address, so only texts between other bytes
                    // are found there.
                    let start = start.unwrap_or_else(|| {
                        let before = self.data.iter().map(|(_, data)| data.len() + 1);
                        NOWHERE + before.sum::<usize>()
                    });
                    self.data.push((start, data.data.to_vec()));
                }
            }
            Payload::CodeSectionEntry(body) => {
                self.code_bytes += body.range().len();
                if self.code_bytes > CODE_MAX_BYTES || self.functions.len() == FUNCTIONS_MAX {
                    return Err(());
                }
                let operators = body.get_operators_reader().map_err(drop)?;
                let constants = operators.into_iter().filter_map(|operator| match operator {
                    Ok(Operator::I32Const { value }) => Some(Constant::Small(value)),
                    Ok(Operator::I64Const { value }) => Some(Constant::Large(value)),
                    _ => None,
                });
                let room = CONSTANTS_MAX.saturating_sub(self.constants);
                let constants: Vec<_> = constants.take(room).collect();
                self.constants += constants.len();
                self.functions.push(constants);
            }
            _ => {}
        }
        Ok(())
    }

    fn tokens(&self) -> Vec<String> {
        let mut starts = BTreeSet::new();
        self.texts(&mut |address, _, exact| {
            if exact {
                starts.insert(address);
            }
        });
        // Texts lie back to back: a range that contains the start of another text is more than one.
        let runs_on = |address: usize, length: usize| {
            let end = address.saturating_add(length);
            starts.range(address..end).any(|start| *start != address)
        };
        let mut found = Found::default();
        self.texts(&mut |address, text, exact| {
            let exact = exact && !runs_on(address, text.len());
            found.add(TOKENS_MAX - NUMBERS_MAX, text, exact);
        });
        for constants in &self.functions {
            compared_as_numbers(constants, &mut |text| found.add(TOKENS_MAX, text, true));
        }
        found.likeliest_first()
    }

    /// Calls `emit` with each text in the data, its address, and whether its end is known. These
    /// are the texts that the code or the data refers to, and those between other bytes.
    fn texts(&self, emit: &mut impl FnMut(usize, &[u8], bool)) {
        for constants in &self.functions {
            self.taken_by_address(constants, emit);
        }
        for (start, data) in &self.data {
            for pair in data.windows(8).step_by(4) {
                let number = |bytes: &[u8]| {
                    let bytes = <[u8; 4]>::try_from(bytes).unwrap_or_default();
                    u32::from_le_bytes(bytes) as usize
                };
                let (address, length) = (number(&pair[..4]), number(&pair[4..]));
                if let Some(text) = self.text(address, length) {
                    emit(address, text, true);
                }
            }
            let mut at = *start;
            for text in data.split(|byte| !is_printable(byte)) {
                if LENGTHS.contains(&text.len()) {
                    emit(at, text, true);
                }
                at += text.len() + 1;
            }
        }
    }

    /// Calls `emit` with texts that the code refers to: two constants close to each other that are
    /// an address and a length. The end is known if they are adjacent.
    fn taken_by_address(&self, constants: &[Constant], emit: &mut impl FnMut(usize, &[u8], bool)) {
        let small = constants.iter().map(|constant| match constant {
            Constant::Small(value) => *value as u32 as usize,
            Constant::Large(_) => 0,
        });
        let small: Vec<usize> = small.collect();
        for (index, address) in small.iter().enumerate() {
            let near = index.saturating_sub(NEAR)..(index + NEAR + 1).min(small.len());
            for other in near {
                if let Some(text) = self.text(*address, small[other]) {
                    emit(*address, text, other.abs_diff(index) == 1);
                }
            }
        }
    }

    fn text(&self, address: usize, length: usize) -> Option<&[u8]> {
        if !LENGTHS.contains(&length) {
            return None;
        }
        let mut of_it = self.data.iter();
        of_it.find_map(|(start, data)| {
            let from = address.checked_sub(*start)?;
            data.get(from..from.checked_add(length)?)
        })
    }
}

/// The tokens found so far, without duplicates.
#[derive(Default)]
struct Found {
    tokens: Vec<String>,
    seen: HashSet<String>,
    likely: BTreeSet<String>,
}

impl Found {
    /// Adds a text if it is a token and fewer than `most` were found.
    fn add(&mut self, most: usize, text: &[u8], exact: bool) {
        if !LENGTHS.contains(&text.len()) || !text.iter().all(is_printable) {
            return;
        }
        let token = String::from_utf8_lossy(text).into_owned();
        if self.tokens.len() < most && self.seen.insert(token.clone()) {
            self.tokens.push(token.clone());
        }
        if exact && is_name(&token) && self.seen.contains(&token) {
            self.likely.insert(token);
        }
    }

    /// Sorts the tokens: names with known ends first, except those that are a prefix of another
    /// name. Otherwise the order of discovery stays.
    fn likeliest_first(self) -> Vec<String> {
        let Self {
            mut tokens, likely, ..
        } = self;
        let begins_another = |token: &String| {
            // Names with this prefix follow it directly.
            let mut behind = likely.range::<str, _>((Excluded(&token[..]), Unbounded));
            behind.next().is_some_and(|other| other.starts_with(token))
        };
        tokens.sort_by_cached_key(|token| (!likely.contains(token), begins_another(token)));
        tokens
    }
}

/// Calls `add` with constants whose bytes are printable, alone and joined with the constants that
/// follow.
fn compared_as_numbers(constants: &[Constant], add: &mut impl FnMut(&[u8])) {
    let texts = constants.iter().map(|constant| match constant {
        Constant::Small(value) => text_of(&value.to_le_bytes()),
        Constant::Large(value) => text_of(&value.to_le_bytes()),
    });
    let texts: Vec<Option<Vec<u8>>> = texts.collect();
    for (index, text) in texts.iter().enumerate() {
        // A single letter is usually an integer by accident, but at the end of a text it may be the
        // rest.
        let mut joined = Vec::new();
        for text in std::iter::once(text).chain(&texts[index + 1..]).take(NEAR) {
            let Some(text) = text else { break };
            if joined.is_empty() && text.len() < *LENGTHS.start() {
                break;
            }
            joined.extend(text);
            add(&joined);
            if text.len() < *LENGTHS.start() {
                break;
            }
        }
    }
}

/// Returns the bytes of an integer without trailing zeroes, if all of them are printable.
fn text_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let text = &bytes[..end];
    text.iter().all(is_printable).then(|| text.to_vec())
}

/// Returns whether the token may be the name of a header, a field or a value rather than a message.
fn is_name(token: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    LIKELY_LENGTHS.contains(&token.len())
        && token.chars().all(inside)
        && token.contains(|c: char| c.is_ascii_alphabetic())
        && !token.contains("::")
        && !token.ends_with(".rs")
}

fn is_printable(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_lie_one_behind_the_other_are_told_apart() {
        let module = r#"(module (memory 1)
            (data (i32.const 64) "access_tokenrefresh_tokenexpires_at")
            (func $take (param i32 i32))
            (func (call $take (i32.const 64) (i32.const 12)) (call $take (i32.const 76) (i32.const 13)))
            (func (call $take (i32.const 89) (i32.const 10))))"#;
        let tokens = dictionary(&wat::parse_str(module).expect("it is valid"));
        assert_eq!(tokens[..3], ["access_token", "refresh_token", "expires_at"]);
    }
}
