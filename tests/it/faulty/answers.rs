//! Hosts that misread answers.

use std::time::Duration;

use cc_lb_fuzz::wire::Function;
use serde_json::Value;

use super::plain::{Fault, Object};

#[derive(Default)]
pub struct LeavesTheVersionUnchecked;

impl Fault for LeavesTheVersionUnchecked {
    fn accepts_version(&mut self, version: Option<Value>, _: u32) -> bool {
        version.is_some()
    }
}

#[derive(Default)]
pub struct AcceptsAMissingVersion;

impl Fault for AcceptsAMissingVersion {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        version.is_none_or(|version| version == negotiated)
    }
}

#[derive(Default)]
pub struct AcceptsALaterVersion;

impl Fault for AcceptsALaterVersion {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        let version = version.and_then(|version| version.as_u64());
        version.is_some_and(|version| version >= negotiated.into())
    }
}

#[derive(Default)]
pub struct ComparesTheVersionAsAFloat;

impl Fault for ComparesTheVersionAsAFloat {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        version.and_then(|version| version.as_f64()) == Some(negotiated.into())
    }
}

#[derive(Default)]
pub struct ComparesTheVersionAsText;

impl Fault for ComparesTheVersionAsText {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        let text = match version {
            Some(Value::String(text)) => text,
            other => other.unwrap_or_default().to_string(),
        };
        text == negotiated.to_string()
    }
}

#[derive(Default)]
pub struct TakesTrueForVersion1;

impl Fault for TakesTrueForVersion1 {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        version == Some(negotiated.into()) || (negotiated == 1 && version == Some(true.into()))
    }
}

#[derive(Default)]
pub struct TruncatesTheVersionTo16Bits;

impl Fault for TruncatesTheVersionTo16Bits {
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        let version = version.and_then(|version| version.as_u64());
        version.is_some_and(|version| version as u16 == negotiated as u16)
    }
}

#[derive(Default)]
pub struct TakesTheFirstOfTwoVersions {
    first: Option<Value>,
}

impl Fault for TakesTheFirstOfTwoVersions {
    fn json(&mut self, text: &str) -> Option<Value> {
        self.first = text.split_once("\"_v\":").and_then(|(_, rest)| {
            let mut values = serde_json::Deserializer::from_str(rest).into_iter();
            values.next()?.ok()
        });
        serde_json::from_str(text).ok()
    }

    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        self.first.take().or(version) == Some(negotiated.into())
    }
}

/// Ignores a field that the response does not have.
#[derive(Default)]
pub struct AcceptsUnknownFields;

impl Fault for AcceptsUnknownFields {
    fn response(&mut self, _: &Function, answer: &mut Object) {
        answer.remove("extra");
    }
}

#[derive(Default)]
pub struct FillsInMissingFields;

impl Fault for FillsInMissingFields {
    fn response(&mut self, function: &Function, answer: &mut Object) {
        let sample = function.dry_run_response().expect("it serializes");
        for (name, value) in sample.as_object().expect("it is an object") {
            answer.entry(name).or_insert_with(|| value.clone());
        }
    }
}

#[derive(Default)]
pub struct UnwrapsListsOfOneObject;

impl Fault for UnwrapsListsOfOneObject {
    fn object(&mut self, answer: Value) -> Option<Object> {
        match answer {
            Value::Array(mut items) if items.len() == 1 => self.object(items.remove(0)),
            Value::Object(object) => Some(object),
            _ => None,
        }
    }
}

#[derive(Default)]
pub struct AcceptsWhatStandsBehindTheAnswer;

impl Fault for AcceptsWhatStandsBehindTheAnswer {
    fn json(&mut self, text: &str) -> Option<Value> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter();
        values.next()?.ok()
    }
}

#[derive(Default)]
pub struct CutsAnswersAtNul;

impl Fault for CutsAnswersAtNul {
    fn text(&mut self, output: &[u8]) -> Option<String> {
        let end = output.iter().position(|byte| *byte == 0);
        let text = &output[..end.unwrap_or(output.len())];
        String::from_utf8(text.to_vec()).ok()
    }
}

#[derive(Default)]
pub struct ReplacesWhatIsNotUtf8;

impl Fault for ReplacesWhatIsNotUtf8 {
    fn text(&mut self, output: &[u8]) -> Option<String> {
        Some(String::from_utf8_lossy(output).into_owned())
    }
}

#[derive(Default)]
pub struct SkipsAByteOrderMark;

impl Fault for SkipsAByteOrderMark {
    fn json(&mut self, text: &str) -> Option<Value> {
        serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()
    }
}

/// Parses twice the depth that the parser allows, but not so deep that the stack overflows.
#[derive(Default)]
pub struct FollowsTwiceTheDepth;

impl Fault for FollowsTwiceTheDepth {
    fn json(&mut self, text: &str) -> Option<Value> {
        if text.matches(['[', '{']).count() > 256 {
            return serde_json::from_str(text).ok();
        }
        let mut json = serde_json::Deserializer::from_str(text);
        json.disable_recursion_limit();
        let value = serde::Deserialize::deserialize(&mut json).ok()?;
        json.end().ok()?;
        Some(value)
    }
}

/// Treats an empty output as the previous one.
#[derive(Default)]
pub struct AnswersAgainWhenThereIsNoAnswer {
    last: Vec<u8>,
}

impl Fault for AnswersAgainWhenThereIsNoAnswer {
    fn text(&mut self, output: &[u8]) -> Option<String> {
        if !output.is_empty() {
            self.last = output.to_vec();
        }
        String::from_utf8(self.last.clone()).ok()
    }
}

#[derive(Default)]
pub struct LosesAnswersOf64Kib;

impl Fault for LosesAnswersOf64Kib {
    fn text(&mut self, output: &[u8]) -> Option<String> {
        let fits = output.len() < 64 << 10;
        String::from_utf8(output.to_vec()).ok().filter(|_| fits)
    }
}

#[derive(Default)]
pub struct TrimsStringsOfAnswers;

impl Fault for TrimsStringsOfAnswers {
    fn response(&mut self, _: &Function, answer: &mut Object) {
        for value in answer.values_mut() {
            if let Value::String(text) = value {
                *text = text
                    .trim_matches(|c: char| c.is_whitespace() || c == '\0')
                    .to_owned();
            }
        }
    }
}

/// Skips leading white space in quadratic time. To take the same time on every machine, it sleeps:
/// 430 ms for 64 KiB.
#[derive(Default)]
pub struct LooksForTheAnswerFromTheStart;

impl Fault for LooksForTheAnswerFromTheStart {
    fn json(&mut self, text: &str) -> Option<Value> {
        let answer = text.trim_start_matches([' ', '\t', '\r', '\n']);
        let passed = (text.len() - answer.len()) as u64;
        std::thread::sleep(Duration::from_nanos(passed * passed / 10));
        serde_json::from_str(answer).ok()
    }
}
