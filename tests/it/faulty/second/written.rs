//! Hosts that misread the text of an answer.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::json::{depth, each, lenient, outside_of_strings, read_inside, sound};
use crate::faulty::plain::{Fault, Object};
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<CutsHalfACharacterAtTheEnd>("sound_ok"),
        dispatch::<LosesAnswersOver256Kib>("sound_ok"),
        dispatch::<TrimsAnswers>("sound_ok"),
        dispatch::<RefusesAnswersThatBeginWithSpace>("sound_ok"),
        dispatch::<RefusesAnswersThatEndWithSpace>("sound_ok"),
        dispatch::<SkipsWhatStandsBeforeTheAnswer>("sound_ok"),
        dispatch::<ReadsTheLastLine>("sound_ok"),
        dispatch::<AcceptsTrailingCommas>("sound_ok"),
        dispatch::<AcceptsSingleQuotes>("sound_ok"),
        dispatch::<AcceptsComments>("sound_ok"),
        dispatch::<AcceptsNumbersThatAreNone>("sound_ok"),
        dispatch::<AcceptsLiteralsInCapitals>("sound_ok"),
        dispatch::<AcceptsLineBreaksInTexts>("sound_ok"),
        dispatch::<AcceptsEscapedApostrophes>("sound_ok"),
        dispatch::<AcceptsHalvesOfCharacters>("sound_ok"),
        dispatch::<ReadsAnswersInAText>("sound_ok"),
        dispatch::<RefusesExponents>("sound_ok"),
        dispatch::<RefusesEscapedSlashes>("sound_ok"),
        dispatch::<RefusesEscapedNuls>("sound_ok"),
        dispatch::<RefusesNumbersBeyond64Bits>("sound_ok"),
        dispatch::<RefusesAnswersOver64Levels>("sound_ok"),
        dispatch::<RefusesTheDeepestAnswers>("sound_ok"),
        dispatch::<TakesTheFirstOfEqualFields>("sound_ok"),
        dispatch::<RefusesFieldsThatAreThereTwice>("sound_ok"),
    ]
}

#[derive(Default)]
pub struct CutsHalfACharacterAtTheEnd;

impl Fault for CutsHalfACharacterAtTheEnd {
    fn text(&mut self, output: &[u8]) -> Option<String> {
        match str::from_utf8(output) {
            Ok(text) => Some(text.to_owned()),
            Err(error) if error.error_len().is_some() => None,
            Err(error) => String::from_utf8(output[..error.valid_up_to()].to_vec()).ok(),
        }
    }
}

#[derive(Default)]
pub struct LosesAnswersOver256Kib;

impl Fault for LosesAnswersOver256Kib {
    fn text(&mut self, output: &[u8]) -> Option<String> {
        let output = Some(output).filter(|output| output.len() <= 256 << 10);
        String::from_utf8(output?.to_vec()).ok()
    }
}

// The text.

/// Trims all white space of Unicode.
#[derive(Default)]
pub struct TrimsAnswers;

impl Fault for TrimsAnswers {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text.trim())
    }
}

#[derive(Default)]
pub struct RefusesAnswersThatBeginWithSpace;

impl Fault for RefusesAnswersThatBeginWithSpace {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text).filter(|_| text.starts_with('{'))
    }
}

#[derive(Default)]
pub struct RefusesAnswersThatEndWithSpace;

impl Fault for RefusesAnswersThatEndWithSpace {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text).filter(|_| text.ends_with('}'))
    }
}

#[derive(Default)]
pub struct SkipsWhatStandsBeforeTheAnswer;

impl Fault for SkipsWhatStandsBeforeTheAnswer {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(&text[text.find('{')?..])
    }
}

#[derive(Default)]
pub struct ReadsTheLastLine;

impl Fault for ReadsTheLastLine {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text.lines().rfind(|line| !line.trim().is_empty())?)
    }
}

#[derive(Default)]
pub struct AcceptsTrailingCommas;

impl Fault for AcceptsTrailingCommas {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| text.replace(",}", "}").replace(",]", "]"))
    }
}

#[derive(Default)]
pub struct AcceptsSingleQuotes;

impl Fault for AcceptsSingleQuotes {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| text.replace('\'', "\""))
    }
}

#[derive(Default)]
pub struct AcceptsComments;

impl Fault for AcceptsComments {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| {
            let mut parts = text.split("/*");
            let mut kept = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                kept += part.split_once("*/").map_or("", |(_, behind)| behind);
            }
            let lines = kept
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            lines.collect()
        })
    }
}

#[derive(Default)]
pub struct AcceptsNumbersThatAreNone;

impl Fault for AcceptsNumbersThatAreNone {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| {
            let words = ["-Infinity", "Infinity", "NaN", "undefined"];
            let mut text = text.to_owned();
            for word in words {
                text = text.replace(word, "null");
            }
            text
        })
    }
}

/// Accepts literals of Python.
#[derive(Default)]
pub struct AcceptsLiteralsInCapitals;

impl Fault for AcceptsLiteralsInCapitals {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| {
            let text = text.replace("True", "true").replace("False", "false");
            text.replace("None", "null").replace("NULL", "null")
        })
    }
}

#[derive(Default)]
pub struct AcceptsLineBreaksInTexts;

impl Fault for AcceptsLineBreaksInTexts {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| text.replace('\n', "\\n").replace('\t', "\\t"))
    }
}

#[derive(Default)]
pub struct AcceptsEscapedApostrophes;

impl Fault for AcceptsEscapedApostrophes {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| text.replace("\\'", "'"))
    }
}

#[derive(Default)]
pub struct AcceptsHalvesOfCharacters;

impl Fault for AcceptsHalvesOfCharacters {
    fn json(&mut self, text: &str) -> Option<Value> {
        lenient(text, |text| {
            let mut parts = text.split("\\u");
            let mut mended = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                match part.get(..4).map(|hex| u16::from_str_radix(hex, 16)) {
                    Some(Ok(0xd800..=0xdfff)) => mended.extend(["\\ufffd", &part[4..]]),
                    _ => mended.extend(["\\u", part]),
                }
            }
            mended
        })
    }
}

#[derive(Default)]
pub struct ReadsAnswersInAText;

impl Fault for ReadsAnswersInAText {
    fn json(&mut self, text: &str) -> Option<Value> {
        let mut answer = sound(text)?;
        read_inside(&mut answer);
        Some(answer)
    }
}

#[derive(Default)]
pub struct RefusesExponents;

impl Fault for RefusesExponents {
    fn json(&mut self, text: &str) -> Option<Value> {
        let outside = outside_of_strings(text);
        let mut pairs = outside.as_bytes().windows(2);
        let has = pairs.any(|pair| pair[0].is_ascii_digit() && pair[1].eq_ignore_ascii_case(&b'e'));
        sound(text).filter(|_| !has)
    }
}

#[derive(Default)]
pub struct RefusesEscapedSlashes;

impl Fault for RefusesEscapedSlashes {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text).filter(|_| !text.contains("\\/"))
    }
}

/// Refuses what a C string cannot contain.
#[derive(Default)]
pub struct RefusesEscapedNuls;

impl Fault for RefusesEscapedNuls {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text).filter(|_| !text.contains("\\u0000"))
    }
}

#[derive(Default)]
pub struct RefusesNumbersBeyond64Bits;

impl Fault for RefusesNumbersBeyond64Bits {
    fn json(&mut self, text: &str) -> Option<Value> {
        let mut answer = sound(text)?;
        let mut is_beyond = false;
        each(&mut answer, &mut |value| {
            is_beyond |= value
                .as_f64()
                .is_some_and(|n| value.is_f64() && n.abs() >= 2f64.powi(64));
        });
        Some(answer).filter(|_| !is_beyond)
    }
}

#[derive(Default)]
pub struct RefusesAnswersOver64Levels;

impl Fault for RefusesAnswersOver64Levels {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text).filter(|answer| depth(answer) <= 64)
    }
}

/// The limit is one level too low.
#[derive(Default)]
pub struct RefusesTheDeepestAnswers;

impl Fault for RefusesTheDeepestAnswers {
    fn json(&mut self, text: &str) -> Option<Value> {
        sound(text).filter(|answer| depth(answer) < 127)
    }
}

/// The members of an object in their order, with duplicates.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[derive(Default)]
pub struct TakesTheFirstOfEqualFields;

impl Fault for TakesTheFirstOfEqualFields {
    fn json(&mut self, text: &str) -> Option<Value> {
        let Members(members) = serde_json::from_str(text).ok()?;
        let mut answer = Object::new();
        for (key, value) in members {
            if key == "_v" {
                answer.insert(key, value);
            } else {
                answer.entry(key).or_insert(value);
            }
        }
        Some(answer.into())
    }
}

#[derive(Default)]
pub struct RefusesFieldsThatAreThereTwice;

impl Fault for RefusesFieldsThatAreThereTwice {
    fn json(&mut self, text: &str) -> Option<Value> {
        let Members(members) = serde_json::from_str(text).ok()?;
        let count = members.len();
        let answer: Object = members.into_iter().collect();
        (answer.len() == count).then(|| answer.into())
    }
}
