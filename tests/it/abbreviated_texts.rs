//! Long texts are written in a short form, and shrink in few tries.

use cc_lb_fuzz::case::{Case, CaseError, ShrinkLimits, Step};
use cc_lb_fuzz::wire::{Json, Request, Vocabulary};
use proptest::prelude::*;

use crate::common::{case, healthy};

/// JSON with long texts, and with the keys that have a special meaning in a case file.
fn with_long_texts() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![
        ("[a€\0\"]{1,3}", 0usize..3_000).prop_map(|(unit, times)| unit.repeat(times)),
        ".{0,6}",
    ];
    let key = prop_oneof![
        Just("$repeat".to_owned()),
        Just("$json".to_owned()),
        "[a-c]{1,2}"
    ];
    let leaf = prop_oneof![
        3 => text.prop_map(serde_json::Value::from),
        1 => Just(serde_json::json!(["a", 9])),
        1 => Just(serde_json::Value::Null),
    ];
    leaf.prop_recursive(4, 12, 3, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..3)
                .prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn the_short_form_of_json_reads_back_as_what_was_written(state in with_long_texts()) {
        let mut signer = healthy("build_signer_v1");
        if let Request::BuildSignerV1(request) = &mut signer.request {
            request.factory_state = Json(state);
        }
        let case = case([signer]);
        let json = case.to_json().expect("it serializes");
        prop_assert_eq!(Case::decode(json.as_bytes()).expect("it parses"), case);
    }
}

/// Reads a case file with this text as its state, and returns the state.
fn with_state(state: &str) -> Result<serde_json::Value, CaseError> {
    let json = case([healthy("build_signer_v1")]).to_json()?;
    let field = r#""factory_state": "#;
    let json = json.replace(&format!("{field}null"), &format!("{field}{state}"));
    assert!(json.contains(state), "{json}");
    match Case::decode(json.as_bytes())?.steps.remove(0).request {
        Request::BuildSignerV1(request) => Ok(request.factory_state.0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn long_texts_in_json_have_a_short_form_and_older_files_keep_their_meaning() {
    let euros = serde_json::json!({ "key": ["€".repeat(1_700), 1] });
    let mut signer = healthy("build_signer_v1");
    if let Request::BuildSignerV1(request) = &mut signer.request {
        request.factory_state = Json(euros.clone());
    }
    let json = case([signer]).to_json().expect("it serializes");
    assert!(json.len() < 600, "{json}");
    let short = r#"{"$json": {"key": [{"$repeat": ["€", 1700]}, 1]}}"#;
    assert_eq!(with_state(short).expect("it parses"), euros);
    // Earlier versions wrote these literally; they are written differently now.
    for literal in [
        r#"{"key": {"$repeat": ["a", 3]}}"#,
        r#"{"$repeat": ["a", 3]}"#,
        r#"{"$json": {"a": 1}}"#,
        r#"{"$json": {"$repeat": ["a", 3]}, "b": 1}"#,
    ] {
        let value: serde_json::Value = serde_json::from_str(literal).expect("it is JSON");
        assert_eq!(with_state(literal).expect("it parses"), value, "{literal}");
    }
    let much = r#"{"$json": {"$repeat": ["a", 9999999]}}"#;
    let error = with_state(much)
        .expect_err("the string is too long")
        .to_string();
    assert!(error.contains("$repeat stands for more than"), "{error}");
    let each = r#"{"$repeat": ["a", 1048576]}"#;
    let many = format!(r#"{{"$json": [{}]}}"#, vec![each; 70].join(","));
    let error = with_state(&many)
        .expect_err("the strings are too long")
        .to_string();
    assert!(error.contains("strings expand to more than"), "{error}");
}

#[test]
fn long_texts_in_any_field_shrink_in_a_bounded_number_of_tries() {
    fn euros(value: &serde_json::Value) -> usize {
        value.to_string().matches('€').count()
    }
    let text = "€".repeat(1_700);
    let long = |place: &str| -> Case {
        let mut root =
            serde_json::to_value(Request::dry_run(crate::common::function_index("shape_v2")));
        let root = root.as_mut().expect("it serializes");
        let request = &mut root["shape_v2"];
        match place {
            "claims" => request["principal"]["claims"] = serde_json::json!({"a": [1, text]}),
            "header" => {
                request["request"]["headers"] =
                    serde_json::json!([{"name": text, "value_base64": text}]);
            }
            _ => request["request"]["query"] = text.clone().into(),
        }
        case([Step::without_program(
            serde_json::from_value(root.clone()).expect("it parses"),
        )])
    };
    for place in ["claims", "header", "query"] {
        let shows = |case: &Case| {
            let json = case.steps[0].request.to_json().expect("it serializes");
            euros(&json) >= 1_234
        };
        let shrunk = long(place).shrink(ShrinkLimits::default(), shows);
        assert!(
            shrunk.minimal && shrunk.candidates < 300,
            "{place}: {}",
            shrunk.candidates
        );
        let text = cc_lb_fuzz::report::case_text(&shrunk.case);
        assert!(text.contains(r#"{"$repeat":["€",1234]}"#), "{text}");
        assert!(!text.contains("$json"), "{text}");
    }
}
