//! `check_plugin`, the campaign for a plugin's own tests.

use cc_lb_fuzz::check_plugin;
use cc_lb_fuzz::check_plugin::CheckError;
use cc_lb_fuzz::wire::{Query, Request};

use crate::cli::traps_on_a_query;
use crate::common::{Guest, accept, case, healthy};

const HEALTHY: &str = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;

#[test]
fn a_failed_check_has_the_shrunk_case_in_its_message() {
    let failed = check_plugin(traps_on_a_query()).cases(300).run();
    let message = format!("{:?}", failed.expect_err("it has a bug"));
    insta::assert_snapshot!(message.trim());
}

#[test]
fn a_check_of_a_healthy_plugin_passes_and_returns_a_summary() {
    let check = check_plugin(Guest::shape(HEALTHY).wasm()).cases(50);
    let summary = check.function("shape_v1").run().expect("it is healthy");
    assert_eq!(summary.cases, 50);
    let labels = summary.functions.iter().map(|stats| stats.function.label);
    assert_eq!(labels.collect::<Vec<_>>(), ["shape_v1"]);
}

#[test]
fn stored_cases_run_first_and_are_shrunk() {
    let mut queried = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut queried.request {
        shape.request.query = Some(Query("beta=true".to_owned()));
    }
    let stored = case([healthy("shape_v2"), queried]);
    let folder = tempfile::tempdir().expect("the folder can be created");
    let file = folder.path().join("stored.json");
    stored.write(&file).expect("it can be written");
    for check in [
        check_plugin(traps_on_a_query()).case(stored),
        check_plugin(traps_on_a_query()).corpus(folder.path()),
    ] {
        match check.cases(0).run() {
            Err(CheckError::Found(found)) => {
                assert_eq!(found.0.len(), 1);
                assert_eq!(found.0[0].case.steps.len(), 1, "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_check_that_cannot_run_reports_why() {
    let mut demanding = Guest::shape(HEALTHY);
    demanding.handshake = accept(
        r#""shape":1"#,
        r#""shape":[1]"#,
        r#""shape""#,
        r#""kv:read""#,
    );
    let demanding = demanding.wasm();
    let offered = check_plugin(&demanding).capability("kv:read").cases(10);
    assert!(offered.run().is_ok());
    let errors = [
        check_plugin("no module").run(),
        check_plugin(&demanding).run(),
        check_plugin(Guest::shape(HEALTHY).wasm())
            .function("shap")
            .run(),
        check_plugin(Guest::shape(HEALTHY).wasm())
            .function("filter")
            .run(),
        check_plugin(Guest::shape(HEALTHY).wasm())
            .corpus("no/such/folder")
            .run(),
    ];
    let errors = errors.map(|error| error.expect_err("it cannot run").to_string());
    insta::assert_snapshot!(errors.join("\n"));
}
