//! Words that a plugin knows: what a generator would not hit upon, such as a header's name that the plugin looks for.
//!
//! They are read from the module: texts between other bytes in its data, texts that its code takes from its data by
//! address and length, and texts that its code compares as numbers, as compilers do with short ones. Those that look like
//! names, and whose ends are known, come first.

use std::collections::{BTreeSet, HashSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeInclusive;

use wasmparser::{DataKind, Operator, Parser, Payload};

/// The lengths of a word, in bytes.
const LENGTHS: RangeInclusive<usize> = 2..=64;

/// The most words that are taken from a module.
const WORDS_MAX: usize = 1024;

/// The most words that are numbers in the code: many numbers are printable by chance.
const NUMBERS_MAX: usize = 256;

/// The most constants and pieces of data that are looked at, and functions: a module may be made of nothing else. Words are
/// found before anybody has looked whether it is a plugin.
const CONSTANTS_MAX: usize = 1 << 16;
const DATA_MAX: usize = 256;
const FUNCTIONS_MAX: usize = 16_000;

/// The most bytes of data, and of code.
const DATA_MAX_BYTES: usize = 8 << 20;
const CODE_MAX_BYTES: usize = 2 << 20;

/// An address and its length are this close to each other, in constants.
const NEAR: usize = 4;

/// Where data is put that has no address, one piece behind the other: beyond all memory.
const NOWHERE: usize = usize::MAX / 2;

/// The lengths of a word that is likely to be meant, in bytes.
const LIKELY_LENGTHS: RangeInclusive<usize> = 3..=32;

/// So many of the first words are likely to be meant.
pub(super) const LIKELY_MAX: usize = 128;

/// The words of a module, each once, the likeliest first. None where it cannot be read.
pub fn words(wasm: &[u8]) -> Vec<String> {
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(wasm) {
        // What cannot be read cannot be opened either, and that is told elsewhere.
        if payload.map_err(drop).and_then(|p| module.add(p)).is_err() {
            break;
        }
    }
    module.words()
}

#[derive(Default)]
struct Module {
    /// Where in the memory data begins, and the data.
    data: Vec<(usize, Vec<u8>)>,
    /// The constants of each function.
    functions: Vec<Vec<Constant>>,
    /// How many these are.
    constants: usize,
    /// The bytes of data and of code.
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
                    // Without an address, which nothing refers to, only what stands between other bytes is found.
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

    fn words(&self) -> Vec<String> {
        let mut starts = BTreeSet::new();
        self.texts(&mut |address, _, exact| {
            if exact {
                starts.insert(address);
            }
        });
        // Texts lie one behind the other: what another begins in is two of them, or more.
        let runs_on = |address: usize, length: usize| {
            let end = address.saturating_add(length);
            starts.range(address..end).any(|start| *start != address)
        };
        let mut found = Found::default();
        self.texts(&mut |address, text, exact| {
            let exact = exact && !runs_on(address, text.len());
            found.add(WORDS_MAX - NUMBERS_MAX, text, exact);
        });
        for constants in &self.functions {
            compared_as_numbers(constants, &mut |text| found.add(WORDS_MAX, text, true));
        }
        found.likeliest_first()
    }

    /// The texts in the data, with their addresses, and whether their ends are known: those that the code or the data
    /// refers to, and what stands between other bytes.
    fn texts(&self, tell: &mut impl FnMut(usize, &[u8], bool)) {
        for constants in &self.functions {
            self.taken_by_address(constants, tell);
        }
        for (start, data) in &self.data {
            for words in data.windows(8).step_by(4) {
                let number = |bytes: &[u8]| {
                    let bytes = <[u8; 4]>::try_from(bytes).unwrap_or_default();
                    u32::from_le_bytes(bytes) as usize
                };
                let (address, length) = (number(&words[..4]), number(&words[4..]));
                if let Some(text) = self.text(address, length) {
                    tell(address, text, true);
                }
            }
            let mut at = *start;
            for text in data.split(|byte| !is_printable(byte)) {
                if LENGTHS.contains(&text.len()) {
                    tell(at, text, true);
                }
                at += text.len() + 1;
            }
        }
    }

    /// What the code takes from the data: two constants near each other that are an address and a length, most surely
    /// next to each other.
    fn taken_by_address(&self, constants: &[Constant], tell: &mut impl FnMut(usize, &[u8], bool)) {
        let small = constants.iter().map(|constant| match constant {
            Constant::Small(value) => *value as u32 as usize,
            Constant::Large(_) => 0,
        });
        let small: Vec<usize> = small.collect();
        for (place, address) in small.iter().enumerate() {
            let near = place.saturating_sub(NEAR)..(place + NEAR + 1).min(small.len());
            for other in near {
                if let Some(text) = self.text(*address, small[other]) {
                    tell(*address, text, other.abs_diff(place) == 1);
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

/// Words, each once.
#[derive(Default)]
struct Found {
    words: Vec<String>,
    seen: HashSet<String>,
    likely: BTreeSet<String>,
}

impl Found {
    /// Adds a text, if it is a word and there are fewer than so many.
    fn add(&mut self, most: usize, text: &[u8], exact: bool) {
        if !LENGTHS.contains(&text.len()) || !text.iter().all(is_printable) {
            return;
        }
        let word = String::from_utf8_lossy(text).into_owned();
        if self.words.len() < most && self.seen.insert(word.clone()) {
            self.words.push(word.clone());
        }
        if exact && is_name(&word) && self.seen.contains(&word) {
            self.likely.insert(word);
        }
    }

    /// Names whose ends are known come first, but of names that begin with each other all but the longest. Otherwise they
    /// stay in the order in which they were found.
    fn likeliest_first(self) -> Vec<String> {
        let Self {
            mut words, likely, ..
        } = self;
        let begins_another = |word: &String| {
            // Those that begin with it are the next ones behind it.
            let mut behind = likely.range::<str, _>((Excluded(&word[..]), Unbounded));
            behind.next().is_some_and(|other| other.starts_with(word))
        };
        words.sort_by_cached_key(|word| (!likely.contains(word), begins_another(word)));
        words
    }
}

/// Numbers whose bytes are printable, alone and joined with those behind them.
fn compared_as_numbers(constants: &[Constant], add: &mut impl FnMut(&[u8])) {
    let texts = constants.iter().map(|constant| match constant {
        Constant::Small(value) => text_of(&value.to_le_bytes()),
        Constant::Large(value) => text_of(&value.to_le_bytes()),
    });
    let texts: Vec<Option<Vec<u8>>> = texts.collect();
    for (place, text) in texts.iter().enumerate() {
        // A single letter is most often a number by chance; at the end of a text it may be the rest.
        let mut joined = Vec::new();
        for text in std::iter::once(text).chain(&texts[place + 1..]).take(NEAR) {
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

/// The bytes of a number without zeroes at its end, where all of them are printable.
fn text_of(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let text = &bytes[..end];
    text.iter().all(is_printable).then(|| text.to_vec())
}

/// Whether it may be what a header, a field or a value is called, and no message.
fn is_name(word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    LIKELY_LENGTHS.contains(&word.len())
        && word.chars().all(inside)
        && word.contains(|c: char| c.is_ascii_alphabetic())
        && !word.contains("::")
        && !word.ends_with(".rs")
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
        let words = words(&wat::parse_str(module).expect("it is valid"));
        assert_eq!(words[..3], ["access_token", "refresh_token", "expires_at"]);
    }
}
