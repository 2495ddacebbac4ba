//! Hosts that are sound and do things otherwise: nothing is said of them.
//!
//! ```sh
//! cargo test --release sound_hosts -- --ignored --nocapture
//! ```
//!
//! tries each with 50,000 cases; `cargo test` tries some hundreds.

use std::time::Duration;

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use serde::Deserialize as _;
use serde_json::Value;

use super::plain::{Called, Fault, Guest, MakesFault, Plain, Settings};

/// Says nothing of its calls.
fn silent() -> Settings {
    Settings {
        tells: false,
        ..Settings::default()
    }
}

/// Writes JSON in some way of one's own.
fn written(value: &Value, scalar: &dyn Fn(&Value) -> String) -> String {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev();
            let fields: Vec<String> = fields
                .map(|(key, value)| {
                    let key = scalar(&Value::from(key.as_str()));
                    format!("{key} : {}", written(value, scalar))
                })
                .collect();
            format!("{{ {} }}", fields.join(" , "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item, scalar)).collect();
            format!("[\n{}]", items.join(",\t"))
        }
        scalar_value => scalar(scalar_value),
    }
}

/// Requests may be deeper than a parser follows.
fn read(input: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_str(input);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).expect("it was sealed")
}

fn rewritten(input: &str, scalar: &dyn Fn(&Value) -> String) -> String {
    written(&read(input), scalar)
}

fn plainly(value: &Value) -> String {
    value.to_string()
}

/// Every character but ASCII is escaped, and slashes.
fn escaped(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '/' => text += "\\/",
            c if c.is_ascii() => text.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    text += &format!("\\u{unit:04X}");
                }
            }
        }
    }
    text
}

/// Floats have exponents.
fn exponent(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            format!("{:e}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

macro_rules! writes {
    ($($name:ident: $scalar:expr, $settings:expr;)+) => {$(
        #[derive(Default)]
        struct $name;

        impl Fault for $name {
            fn settings(&self) -> Settings {
                $settings
            }

            fn input(&mut self, _: &str, input: String) -> String {
                rewritten(&input, &$scalar)
            }
        }
    )+};
}

writes! {
    WritesInAnotherOrder: plainly, Settings::default();
    WritesInAnotherOrderAndTellsNothing: plainly, silent();
    EscapesWhatIsNotAscii: escaped, Settings::default();
    EscapesWhatIsNotAsciiAndTellsNothing: escaped, silent();
    WritesFloatsWithExponents: exponent, Settings::default();
}

#[derive(Default)]
struct WritesOnManyLines;

impl Fault for WritesOnManyLines {
    fn settings(&self) -> Settings {
        silent()
    }

    fn input(&mut self, _: &str, input: String) -> String {
        serde_json::to_string_pretty(&read(&input)).expect("it is JSON")
    }
}

#[derive(Default)]
struct TellsNothing;

impl Fault for TellsNothing {
    fn settings(&self) -> Settings {
        silent()
    }
}

#[derive(Default)]
struct RenewsItsInstanceForEveryCall;

impl Fault for RenewsItsInstanceForEveryCall {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        guest.renew();
        guest.call(function, input)
    }
}

#[derive(Default)]
struct HasVersionsOfItsOwn;

impl Fault for HasVersionsOfItsOwn {
    fn settings(&self) -> Settings {
        Settings {
            versioned: true,
            ..Settings::default()
        }
    }
}

#[derive(Default)]
struct TakesItsTime;

impl Fault for TakesItsTime {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        std::thread::sleep(Duration::from_millis(5));
        let called = guest.call(function, input);
        std::thread::sleep(Duration::from_millis(5));
        called
    }
}

fn sound<T: Fault + Default + 'static>() -> (String, MakesFault) {
    (super::words::<T>(), || Box::new(T::default()))
}

fn quick() -> Vec<(String, MakesFault)> {
    vec![
        sound::<WritesInAnotherOrder>(),
        sound::<WritesInAnotherOrderAndTellsNothing>(),
        sound::<EscapesWhatIsNotAscii>(),
        sound::<EscapesWhatIsNotAsciiAndTellsNothing>(),
        sound::<WritesFloatsWithExponents>(),
        sound::<WritesOnManyLines>(),
        sound::<TellsNothing>(),
        sound::<RenewsItsInstanceForEveryCall>(),
        sound::<HasVersionsOfItsOwn>(),
    ]
}

fn accuse(hosts: Vec<(String, MakesFault)>, seed: u64, cases: u64) {
    for (name, fault) in hosts {
        let host = Plain::new(fault);
        let plan = Plan::puppet::<Request>(seed, cases);
        let found = campaign::findings::<_, Request>(&host, Subject::Puppet, &plan);
        let found = found.expect("it opens");
        assert!(found.is_empty(), "{name}: {found:#?}");
        eprintln!("{name}: nothing in {cases} cases");
    }
}

#[test]
fn sound_hosts_that_do_things_otherwise_are_accused_of_nothing() {
    accuse(quick(), 1, 300);
    accuse(vec![sound::<TakesItsTime>()], 1, 12);
}

#[test]
#[ignore = "takes half an hour in a release build; it is one command, above"]
fn sound_hosts_are_accused_of_nothing_in_many_cases() {
    accuse(quick(), 2, 50_000);
    accuse(vec![sound::<TakesItsTime>()], 2, 1_000);
}
