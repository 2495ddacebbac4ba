//! Plugins that are slow on values that no host sends, and plugins that are slow on usual values.

use cc_lb_fuzz::check_plugin;
use cc_lb_fuzz::check_plugin::CheckError;
use cc_lb_fuzz::report::case_text;
use cc_lb_plugin_wire::v1::build_signer::BuildSignerFn;
use cc_lb_plugin_wire::wire_function::WireFunction as _;

use super::library::{plugin, plugin_with_state};
use super::{finding_key, findings, only};

/// Returns code that spends fuel on each byte outside of ASCII.
fn spend_on_non_ascii() -> &'static str {
    "(call $spend (i32.mul (call $bytes (i32.const 0x80) (i32.const 0xff)) (i32.const 1000)))"
}

/// Spends much fuel on states that are not ASCII.
pub fn slow_on_non_ascii_states() -> Vec<u8> {
    plugin(&[], "", spend_on_non_ascii())
}

/// The state that [`slow_on_its_own_state`] returns.
pub fn long_state() -> serde_json::Value {
    serde_json::json!({ "key": "é".repeat(1_500) })
}

/// Spends much fuel on states that are not ASCII, and returns such a state itself.
pub fn slow_on_its_own_state() -> Vec<u8> {
    let mut answer =
        serde_json::to_value(BuildSignerFn::dry_run_response()).expect("a response serializes");
    answer["_v"] = 1.into();
    answer["signer_state"] = long_state();
    plugin_with_state(&[], "", spend_on_non_ascii(), &answer.to_string())
}

/// Spends much fuel on zeroes in a body, which are the letter A in base64.
pub fn slow_on_zeroes() -> Vec<u8> {
    let a = "(call $bytes (i32.const 0x41) (i32.const 0x41))";
    let slow = format!("(call $spend (i32.mul {a} (i32.const 400)))");
    plugin(&[], &slow, "")
}

/// Spends much fuel on every body.
pub fn slow_on_bodies() -> Vec<u8> {
    plugin(
        &[],
        "(call $spend (i32.mul (global.get $length) (i32.const 400)))",
        "",
    )
}

/// Spends quadratic fuel on zeroes. Runs out of fuel at about 25 KiB.
pub fn squares_zeroes() -> Vec<u8> {
    let a = "(call $bytes (i32.const 0x41) (i32.const 0x41))";
    let squared = format!("(call $spend (i32.div_u (i32.mul {a} {a}) (i32.const 372)))");
    plugin(&[], &squared, "")
}

/// Checks a plugin with limits denied. Returns the keys of the findings.
fn keys_with_limits_denied(wasm: &[u8], cases: u64) -> Vec<String> {
    match check_plugin(wasm).cases(cases).deny_limits().run() {
        Ok(_) => Vec::new(),
        Err(CheckError::Found(found)) => found.0.iter().map(finding_key).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn out_of_fuel_is_a_limit_on_values_that_no_host_sends_and_a_fault_on_usual_ones() {
    for (wasm, key) in [
        (slow_on_non_ascii_states(), "no_limit-sign-out of fuel-"),
        (slow_on_zeroes(), "no_limit-shape-out of fuel-"),
    ] {
        let passed = check_plugin(&wasm).cases(500).run();
        assert_eq!(
            passed.expect("a limit does not fail the check").limits,
            1,
            "{key}"
        );
        assert_eq!(keys_with_limits_denied(&wasm, 500), [key]);
    }
    // The first large bodies consist of zeroes, but the bug does not need them.
    only(
        &slow_on_bodies(),
        400,
        "plugin_fault-shape-out of fuel in spend-",
    );
}

#[test]
fn out_of_fuel_on_a_state_that_the_plugin_returned_is_a_fault() {
    let found = findings(&slow_on_its_own_state(), 500);
    let keys: Vec<_> = found.iter().map(finding_key).collect();
    assert_eq!(
        keys,
        ["plugin_fault-sign-out of fuel in spend-"],
        "{found:#?}"
    );
    let case = case_text(&found[0].case);
    assert!(case.contains("signer_state"), "{case}");
}

#[test]
fn a_quadratic_cost_on_values_that_no_host_sends_is_a_limit() {
    let key = "no_limit-shape-linear cost-";
    assert_eq!(keys_with_limits_denied(&squares_zeroes(), 600), [key]);
    let passed = check_plugin(squares_zeroes()).cases(600).run();
    assert_eq!(passed.expect("a limit does not fail the check").limits, 1);
}
