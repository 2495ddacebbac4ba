//! Sound hosts that differ from ours in what they may choose. Campaigns find nothing in them.
//!
//! `cargo test` runs a few hundred cases on each. This command runs 50,000:
//!
//! ```sh
//! cargo test --release sound_hosts -- --ignored --nocapture
//! ```

use std::time::Duration;

use cc_lb_fuzz::campaign;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use serde::Deserialize as _;
use serde_json::Value;

use super::plain::{CallResult, Fault, FaultFactory, Guest, PlainHost, Settings};

/// Returns the settings of a host that does not report its calls.
fn silent() -> Settings {
    Settings {
        reports_calls: false,
        ..Settings::default()
    }
}

/// Writes JSON with reversed fields and unusual white space, and scalars by the given function.
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

/// Parses an input without a limit of its depth, which may exceed the parser's default.
fn read(input: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_str(input);
    reader.disable_recursion_limit();
    Value::deserialize(&mut reader).expect("the input is JSON")
}

fn rewritten(input: &str, scalar: &dyn Fn(&Value) -> String) -> String {
    written(&read(input), scalar)
}

fn unchanged(value: &Value) -> String {
    value.to_string()
}

/// Escapes slashes and all characters outside of ASCII.
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

/// Writes floats with exponents.
fn with_exponent(value: &Value) -> String {
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
    WritesInAnotherOrder: unchanged, Settings::default();
    WritesInAnotherOrderAndTellsNothing: unchanged, silent();
    EscapesWhatIsNotAscii: escaped, Settings::default();
    EscapesWhatIsNotAsciiAndTellsNothing: escaped, silent();
    WritesFloatsWithExponents: with_exponent, Settings::default();
}

#[derive(Default)]
struct WritesOnManyLines;

impl Fault for WritesOnManyLines {
    fn settings(&self) -> Settings {
        silent()
    }

    fn input(&mut self, _: &str, input: String) -> String {
        serde_json::to_string_pretty(&read(&input)).expect("JSON serializes")
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        guest.discard_instance();
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        std::thread::sleep(Duration::from_millis(5));
        let result = guest.call(function, input);
        std::thread::sleep(Duration::from_millis(5));
        result
    }
}

fn sound<T: Fault + Default + 'static>() -> (String, FaultFactory) {
    (super::name_from_type::<T>(), || Box::new(T::default()))
}

fn quick() -> Vec<(String, FaultFactory)> {
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

fn assert_no_findings(hosts: Vec<(String, FaultFactory)>, seed: u64, cases: u64) {
    for (name, fault) in hosts {
        let host = PlainHost::new(fault);
        let plan = Plan::puppet::<Request>(seed, cases);
        let found = campaign::findings::<_, Request>(&host, Subject::Puppet, &plan);
        let found = found.expect("the host opens");
        assert!(found.is_empty(), "{name}: {found:#?}");
        eprintln!("{name}: no finding in {cases} cases");
    }
}

#[test]
fn sound_hosts_with_other_choices_have_no_finding() {
    assert_no_findings(quick(), 1, 300);
    assert_no_findings(vec![sound::<TakesItsTime>()], 1, 12);
}

#[test]
#[ignore = "takes half an hour in a release build; see the command above"]
fn sound_hosts_have_no_finding_in_many_cases() {
    assert_no_findings(quick(), 2, 50_000);
    assert_no_findings(vec![sound::<TakesItsTime>()], 2, 1_000);
}
