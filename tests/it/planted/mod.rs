//! `check_plugin` with hundreds of cases finds the planted bug of each plugin.

use cc_lb_fuzz::check_plugin;
use cc_lb_fuzz::check_plugin::CheckError;
use cc_lb_fuzz::finding::Finding;
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::limits::limits;
use cc_lb_fuzz::report::case_text;
use cc_lb_fuzz::wire::Request;

mod library;
mod limits;
mod plugins;
mod table;

pub use limits::slow_on_zeroes;
pub use plugins::two_bugs;

/// Checks a plugin with this many cases. Returns the findings.
fn findings(wasm: &[u8], cases: u64) -> Vec<Finding> {
    match check_plugin(wasm).cases(cases).run() {
        Ok(_) => Vec::new(),
        Err(CheckError::Found(found)) => found.0,
        Err(error) => panic!("{error}"),
    }
}

/// Returns the key of a finding: its check, its function, its label and the effects of operations,
/// which a plugin's case does not have.
fn finding_key(finding: &Finding) -> String {
    let violation = &finding.violation;
    let effects: Vec<_> = finding.effects().into_iter().collect();
    let (check, function) = (&violation.check, &violation.function);
    format!(
        "{check}-{function}-{}-{}",
        violation.label(),
        effects.join("-")
    )
}

/// Asserts that there is one finding, and that it has this key. Returns it.
fn only(wasm: &[u8], cases: u64, key: &str) -> Finding {
    let mut found = findings(wasm, cases);
    let keys: Vec<_> = found.iter().map(finding_key).collect();
    assert_eq!(keys, [key], "{found:#?}");
    found.remove(0)
}

/// Returns the shrunk case of a trap in `shape` as text.
fn trap_in_shape(wasm: &[u8], cases: u64) -> String {
    case_text(&only(wasm, cases, "plugin_fault-shape-trap: unreachable-").case)
}

#[test]
fn a_healthy_plugin_and_one_with_state_have_no_finding() {
    assert!(findings(&plugins::healthy_one(), 400).is_empty());
    assert!(findings(&plugins::round_robin(), 400).is_empty());
}

#[test]
fn a_bug_that_needs_many_headers_is_found() {
    insta::assert_snapshot!(trap_in_shape(&plugins::many_headers(), 400));
}

#[test]
fn a_bug_that_needs_one_exact_word_is_found() {
    let case = trap_in_shape(&plugins::exact_word(), 800);
    assert!(case.contains(plugins::WORD), "{case}");
}

#[test]
fn a_bug_that_needs_deep_nesting_is_found() {
    let case = trap_in_shape(&plugins::deep(), 600);
    assert!(case.contains("claims"), "{case}");
}

#[test]
fn a_bug_of_three_fields_together_is_found() {
    insta::assert_snapshot!(trap_in_shape(&plugins::fields_together(), 1_500));
}

#[test]
fn a_bug_that_needs_a_long_session_is_found() {
    let fault = only(
        &plugins::long_session(),
        200,
        "plugin_fault-shape-trap: unreachable-",
    );
    assert_eq!(fault.case.dispatches(), 90);
}

#[test]
fn a_bug_that_needs_thousands_of_calls_is_found_and_its_case_is_compact() {
    let wasm = plugins::three_thousandth_call();
    let shape = check_plugin(&wasm).function("shape_v1").cases(700).run();
    let Err(CheckError::Found(found)) = shape else {
        panic!("{shape:?}");
    };
    let [fault] = &found.0[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(finding_key(fault), "plugin_fault-shape-trap: unreachable-");
    assert_eq!(
        case_text(&fault.case),
        "steps 1 to 3000: shape_v1\n  the dry-run sample\n"
    );
    let json = fault.case.to_json().expect("a case serializes");
    assert!(json.len() < 2_000, "{json}");
}

#[test]
fn a_quadratic_cost_in_the_number_of_headers_is_found_and_limits_measures_it() {
    let wasm = plugins::headers_squared();
    let fault = only(&wasm, 400, "plugin_fault-shape-out of fuel in spend-");
    assert_eq!(fault.case.dispatches(), 1);
    let host = PluginHost::new(&wasm).expect("the plugin opens");
    let limits = limits::<_, Request>(&host, &[0], &|_| {}).expect("the plugin opens");
    let mut of_headers = limits
        .iter()
        .filter(|limit| limit.field.ends_with("headers"));
    let headers = of_headers.next().expect("headers are a list");
    assert!(
        headers.largest.is_some_and(|largest| largest < 175),
        "{headers:?}"
    );
}

#[test]
fn a_plugin_that_keeps_bodies_and_reads_all_of_them_on_each_call_drifts() {
    let drift = only(&plugins::keeps_bodies(), 600, "no_drift-shape-fuel-");
    let text = case_text(&drift.case);
    assert!(text.starts_with("steps 1 to 64: shape_v1"), "{text}");
    assert!(text.contains("body_base64 = "), "{text}");
}

#[test]
fn a_bug_of_a_sequence_of_functions_is_found() {
    // The bug also breaks later calls, which is no second finding.
    let fault = only(
        &plugins::sequence(),
        800,
        "plugin_fault-sign-trap: unreachable-",
    );
    insta::assert_snapshot!(case_text(&fault.case));
}

#[test]
fn each_kind_of_fault_has_its_own_key() {
    for planted in plugins::faults() {
        let key = planted.finds.expect("the plugin has a fault");
        assert_eq!(only(&planted.wasm, 40, key).case.steps.len(), 1, "{key}");
    }
}

#[test]
fn two_functions_that_fail_in_the_same_way_are_two_findings() {
    let found = findings(&plugins::two_bugs(), 800);
    let keys: Vec<_> = found.iter().map(finding_key).collect();
    let expected = [
        "plugin_fault-shape-exit code 7-",
        "plugin_fault-sign-exit code 7-",
    ];
    assert_eq!(keys, expected, "{found:#?}");
}

#[test]
fn a_plugin_that_breaks_itself_is_found() {
    let fault = only(
        &plugins::breaks_itself(),
        500,
        "plugin_fault-sign-exit code 9-",
    );
    insta::assert_snapshot!(case_text(&fault.case));
}

#[test]
fn a_plugin_that_does_more_on_each_call_drifts_and_one_whose_cache_fills_up_does_not() {
    let drift = only(&plugins::does_more(), 400, "no_drift-sign-fuel-");
    let case = case_text(&drift.case);
    assert_eq!(case, "steps 1 to 64: sign_v1\n  the dry-run sample\n");
    assert!(findings(&plugins::cache(), 400).is_empty());
}

#[test]
fn a_plugin_that_answers_with_data_of_another_request_is_found() {
    let carryover = only(
        &plugins::returns_data_of_others(),
        800,
        "no_carryover-sign--",
    );
    assert_eq!(carryover.case.steps.len(), 2, "{carryover:#?}");
}

#[test]
fn a_plugin_whose_memory_grows_drifts_and_one_whose_memory_stops_growing_does_not() {
    let drift = only(&plugins::takes_memory(), 400, "no_drift-sign-memory-");
    let case = case_text(&drift.case);
    assert_eq!(case, "steps 1 to 64: sign_v1\n  the dry-run sample\n");
    assert!(findings(&plugins::takes_memory_at_first(), 400).is_empty());
}

#[test]
fn a_plugin_whose_memory_grows_on_some_requests_only_drifts() {
    let drift = only(
        &plugins::takes_memory_for_a_query(),
        600,
        "no_drift-shape-memory-",
    );
    insta::assert_snapshot!(case_text(&drift.case), @r#"
    steps 1 to 64: shape_v1
      request.query = ""
    "#);
    assert!(drift.minimal);
}

#[test]
fn a_plugin_with_quadratic_cost_is_found_and_one_with_a_high_linear_cost_is_not() {
    let cost = only(&plugins::squared(), 400, "linear_cost-shape--");
    assert_eq!(cost.case.steps.len(), 5, "{}", case_text(&cost.case));
    assert!(findings(&plugins::slow(), 400).is_empty());
}
