//! Hosts that change strings and numbers of requests.

use serde_json::{Number, Value};

use super::json::{each_member, each_number, each_text, list, text, whole};
use crate::faulty::plain::Fault;
use crate::faulty::{FaultyHost, dispatch};

pub fn faults() -> Vec<FaultyHost> {
    vec![
        dispatch::<WritesCrLfAsLf>("request_fidelity"),
        dispatch::<ComposesAccents>("request_fidelity"),
        dispatch::<DropsInvisibleCharacters>("request_fidelity"),
        dispatch::<DropsControlCharacters>("request_fidelity"),
        dispatch::<LosesCharactersOfFourBytes>("request_fidelity"),
        dispatch::<EscapesBackslashesTwice>("request_fidelity"),
        dispatch::<ReadsEscapesInTexts>("request_fidelity"),
        dispatch::<CutsErrorMessagesAt256>("request_fidelity"),
        dispatch::<WritesWholeFloatsAsIntegers>("request_fidelity"),
        dispatch::<WritesFloatsInSinglePrecision>("request_fidelity"),
        dispatch::<WritesFloatsWithSixDecimals>("request_fidelity"),
        dispatch::<CutsTimesTo32Bits>("request_fidelity"),
        dispatch::<GuessesTheUnitOfTimes>("request_fidelity"),
        dispatch::<TakesTokensForSigned32Bits>("request_fidelity"),
        dispatch::<TakesStrangeStatusesFor500>("request_fidelity"),
        dispatch::<ClampsUtilization>("request_fidelity"),
        dispatch::<TakesNoneRemainingForUnknown>("request_fidelity"),
        dispatch::<TakesFalseForUnknown>("request_fidelity"),
    ]
}

#[derive(Default)]
pub struct WritesCrLfAsLf;

impl Fault for WritesCrLfAsLf {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_text(request, &mut |text| *text = text.replace("\r\n", "\n"));
    }
}

/// Implements a part of Unicode's normalization form C.
#[derive(Default)]
pub struct ComposesAccents;

impl Fault for ComposesAccents {
    fn request(&mut self, _function: &str, request: &mut Value) {
        const COMPOSED: [(&str, &str); 6] = [
            ("e\u{301}", "\u{e9}"),
            ("a\u{300}", "\u{e0}"),
            ("o\u{308}", "\u{f6}"),
            ("n\u{303}", "\u{f1}"),
            ("A\u{30a}", "\u{c5}"),
            ("\u{212b}", "\u{c5}"),
        ];
        each_text(request, &mut |text| {
            for (apart, composed) in COMPOSED {
                *text = text.replace(apart, composed);
            }
        });
    }
}

#[derive(Default)]
pub struct DropsInvisibleCharacters;

impl Fault for DropsInvisibleCharacters {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let is_invisible = |c| {
            matches!(
                c,
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
            )
        };
        each_text(request, &mut |text| text.retain(|c| !is_invisible(c)));
    }
}

#[derive(Default)]
pub struct DropsControlCharacters;

impl Fault for DropsControlCharacters {
    fn request(&mut self, _function: &str, request: &mut Value) {
        let is_kept = |c: char| !c.is_control() || "\t\r\n".contains(c);
        each_text(request, &mut |text| text.retain(is_kept));
    }
}

/// Replaces them, like a database with at most three bytes per character.
#[derive(Default)]
pub struct LosesCharactersOfFourBytes;

impl Fault for LosesCharactersOfFourBytes {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_text(request, &mut |text| {
            *text = text.replace(|c: char| c.len_utf8() == 4, "\u{fffd}");
        });
    }
}

#[derive(Default)]
pub struct EscapesBackslashesTwice;

impl Fault for EscapesBackslashesTwice {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_text(request, &mut |text| *text = text.replace('\\', "\\\\"));
    }
}

#[derive(Default)]
pub struct ReadsEscapesInTexts;

impl Fault for ReadsEscapesInTexts {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_text(request, &mut |text| {
            *text = text.replace("\\n", "\n").replace("\\\"", "\"");
        });
    }
}

#[derive(Default)]
pub struct CutsErrorMessagesAt256;

impl Fault for CutsErrorMessagesAt256 {
    fn request(&mut self, _function: &str, request: &mut Value) {
        for event in list(request, "events").into_iter().flatten() {
            if let Some(message) = text(event, "message") {
                message.truncate(message.floor_char_boundary(256));
            }
        }
    }
}

// Numbers.

#[derive(Default)]
pub struct WritesWholeFloatsAsIntegers;

impl Fault for WritesWholeFloatsAsIntegers {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_number(request, whole);
    }
}

#[derive(Default)]
pub struct WritesFloatsInSinglePrecision;

impl Fault for WritesFloatsInSinglePrecision {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_number(request, |number| {
            let float = number.as_f64().filter(|_| number.is_f64())?;
            Number::from_f64(float as f32 as f64)
        });
    }
}

#[derive(Default)]
pub struct WritesFloatsWithSixDecimals;

impl Fault for WritesFloatsWithSixDecimals {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_number(request, |number| {
            let float = number.as_f64().filter(|_| number.is_f64())?;
            Number::from_f64(format!("{float:.6}").parse().ok()?)
        });
    }
}

#[derive(Default)]
pub struct CutsTimesTo32Bits;

impl Fault for CutsTimesTo32Bits {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            if key.contains("_unix_")
                && let Some(time) = value.as_u64()
            {
                *value = (time as u32).into();
            }
        });
    }
}

/// Interprets large numbers of seconds as milliseconds.
#[derive(Default)]
pub struct GuessesTheUnitOfTimes;

impl Fault for GuessesTheUnitOfTimes {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            if key.ends_with("_unix_secs")
                && let Some(time) = value.as_u64().filter(|time| *time > 100_000_000_000)
            {
                *value = (time / 1000).into();
            }
        });
    }
}

#[derive(Default)]
pub struct TakesTokensForSigned32Bits;

impl Fault for TakesTokensForSigned32Bits {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            if key.contains("_tokens")
                && let Some(tokens) = value.as_u64()
            {
                *value = (tokens as i32).into();
            }
        });
    }
}

#[derive(Default)]
pub struct TakesStrangeStatusesFor500;

impl Fault for TakesStrangeStatusesFor500 {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            let status = value.as_u64();
            if key == "status" && status.is_some_and(|status| !(100..600).contains(&status)) {
                *value = 500.into();
            }
        });
    }
}

#[derive(Default)]
pub struct ClampsUtilization;

impl Fault for ClampsUtilization {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            let float = value.as_f64();
            if key == "utilization"
                && let Some(float) = float.filter(|float| !(0.0..=1.0).contains(float))
            {
                *value = float.clamp(0.0, 1.0).into();
            }
        });
    }
}

/// Treats 0 as missing, like `remaining || null`.
#[derive(Default)]
pub struct TakesNoneRemainingForUnknown;

impl Fault for TakesNoneRemainingForUnknown {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            if ["limit", "remaining", "age_secs"].contains(&key) && *value == 0 {
                *value = Value::Null;
            }
        });
    }
}

#[derive(Default)]
pub struct TakesFalseForUnknown;

impl Fault for TakesFalseForUnknown {
    fn request(&mut self, _function: &str, request: &mut Value) {
        each_member(request, &mut |key, value| {
            if key == "surpassed_threshold" && *value == false {
                *value = Value::Null;
            }
        });
    }
}
