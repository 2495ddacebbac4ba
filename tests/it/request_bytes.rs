//! The envelope that the guest receives equals that of the published host byte by byte. The
//! published host builds a JSON tree of the request and serializes that.

use cc_lb_fuzz::host::{Cause, Decoding, decode_envelope, encode_envelope};
use cc_lb_fuzz::wire::{Request, VERSION_KEY, Visitor, Vocabulary as _};
use cc_lb_plugin_wire::wire_function::WireFunction;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// Encodes a request as the published host does.
fn encode_via_tree<T: Serialize>(request: &T, version: u32) -> Option<String> {
    let Ok(Value::Object(mut tree)) = serde_json::to_value(request) else {
        return None;
    };
    tree.insert(VERSION_KEY.to_owned(), version.into());
    serde_json::to_string(&tree).ok()
}

/// A map that may have duplicate keys.
#[derive(Clone, Debug)]
struct Pairs(Vec<(String, Thing)>);

#[derive(Clone, Debug)]
enum Thing {
    Text(String),
    Small(f32),
    Large(i128),
    List(Vec<Thing>),
    Pairs(Pairs),
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Thing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Small(number) => number.serialize(serializer),
            Self::Large(number) => number.serialize(serializer),
            Self::List(things) => things.serialize(serializer),
            Self::Pairs(pairs) => pairs.serialize(serializer),
        }
    }
}

/// Maps with few possible keys, so that duplicates occur. Some contain characters that JSON
/// escapes: an escape sorts differently than its character.
fn pairs(value: impl Strategy<Value = Thing>) -> impl Strategy<Value = Pairs> {
    let key = proptest::sample::select(vec![
        "", "a", "ab", "A", "_v", "_", "\n", "\"", "\\", "\u{1}", "\u{7f}", "é", "~",
    ]);
    proptest::collection::vec((key.prop_map(str::to_owned), value), 0..6).prop_map(Pairs)
}

fn thing() -> impl Strategy<Value = Thing> {
    let leaf = prop_oneof![
        ".{0,4}".prop_map(Thing::Text),
        any::<f32>().prop_map(Thing::Small),
        any::<i64>().prop_map(|number| Thing::Large(number.into())),
        any::<u64>().prop_map(|number| Thing::Large(number.into())),
        Just(Thing::Large(i128::MAX)),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Thing::List),
            pairs(inner).prop_map(Thing::Pairs),
        ]
    })
}

/// Tests a property with the same values every time.
fn for_each<S: Strategy>(strategy: &S, cases: u32, holds: impl Fn(S::Value)) {
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(cases)
    };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let outcome = TestRunner::new_with_rng(config, rng).run(strategy, |value| {
        holds(value);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn an_object_is_encoded_as_its_tree_is_serialized() {
    for_each(
        &(pairs(thing()), any::<u32>()),
        2_000,
        |(pairs, version)| {
            let encoded = encode_envelope(&pairs, version);
            match encode_via_tree(&pairs, version) {
                Some(text) => assert_eq!(encoded, Ok(text)),
                None => assert!(matches!(encoded, Err(Cause::RequestUnserializable(_)))),
            }
        },
    );
}

#[test]
fn requests_of_every_function_are_encoded_as_their_trees_are_serialized() {
    struct BothWays;

    impl Visitor for BothWays {
        type Output = ();

        fn visit<F: WireFunction>(self, request: F::Request) {
            assert_eq!(
                encode_envelope(&request, 2).ok(),
                encode_via_tree(&request, 2)
            );
        }
    }

    for index in 0..Request::functions().len() {
        for_each(&Request::strategy_of(index), 200, |request| {
            request.visit(BothWays);
        });
    }
}

#[test]
fn a_request_that_is_not_an_object_is_not_encoded() {
    for encoded in [
        encode_envelope(&"text", 1),
        encode_envelope(&[1, 2], 1),
        encode_envelope(&[Pairs(Vec::new())], 1),
    ] {
        assert_eq!(encoded, Err(Cause::RequestNotObject));
    }
}

#[test]
fn of_two_versions_in_an_answer_the_last_one_counts() {
    let read = |answer: &str| decode_envelope::<Value>(answer.as_bytes(), 1);
    assert!(read(r#"{"_v":2,"_v":1}"#).is_ok());
    let other = Decoding::VersionMismatch {
        expected: 1,
        actual: 2,
    };
    assert_eq!(read(r#"{"_v":1,"_v":2}"#).unwrap_err(), other);
}
