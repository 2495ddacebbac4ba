//! Plugins that are slow on what no host sends, and those that are slow on what one does.

use cc_lb_fuzz::check_plugin;
use cc_lb_fuzz::check_plugin::CheckError;
use cc_lb_fuzz::report::case_text;
use cc_lb_plugin_wire::v1::build_signer::BuildSignerFn;
use cc_lb_plugin_wire::wire_function::WireFunction as _;

use super::library::{plugin, plugin_with_state};
use super::{findings, only, words};

/// What `sign` spends on each byte of a text outside of ASCII.
fn spends_on_foreign() -> &'static str {
    "(call $spend (i32.mul (call $bytes (i32.const 0x80) (i32.const 0xff)) (i32.const 1000)))"
}

/// Reads a state expensively where it is not ASCII.
pub fn slow_on_foreign_states() -> Vec<u8> {
    plugin(&[], "", spends_on_foreign())
}

/// The state that [`slow_on_its_own_state`] returns.
pub fn long_state() -> serde_json::Value {
    serde_json::json!({ "key": "é".repeat(1_500) })
}

/// The same, and its own states are not ASCII.
pub fn slow_on_its_own_state() -> Vec<u8> {
    let mut answer =
        serde_json::to_value(BuildSignerFn::dry_run_response()).expect("it serializes");
    answer["_v"] = 1.into();
    answer["signer_state"] = long_state();
    plugin_with_state(&[], "", spends_on_foreign(), &answer.to_string())
}

/// Escapes a body expensively where it has zeroes, which are this letter in base64.
pub fn slow_on_zeroes() -> Vec<u8> {
    let a = "(call $bytes (i32.const 0x41) (i32.const 0x41))";
    let slow = format!("(call $spend (i32.mul {a} (i32.const 400)))");
    plugin(&[], &slow, "")
}

/// Escapes every body expensively.
pub fn slow_on_bodies() -> Vec<u8> {
    plugin(
        &[],
        "(call $spend (i32.mul (global.get $length) (i32.const 400)))",
        "",
    )
}

/// Out of fuel at some 25 KiB of zeroes.
pub fn squares_zeroes() -> Vec<u8> {
    let a = "(call $bytes (i32.const 0x41) (i32.const 0x41))";
    let squared = format!("(call $spend (i32.div_u (i32.mul {a} {a}) (i32.const 372)))");
    plugin(&[], &squared, "")
}

/// The keys of what a check finds where limits are denied.
fn denied(wasm: &[u8], cases: u64) -> Vec<String> {
    match check_plugin(wasm).cases(cases).deny_limits().run() {
        Ok(_) => Vec::new(),
        Err(CheckError::Found(found)) => found.0.iter().map(words).collect(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn out_of_fuel_on_what_no_host_sends_is_a_limit_and_on_what_one_sends_a_fault() {
    for (wasm, key) in [
        (slow_on_foreign_states(), "no_limit-sign-out of fuel-"),
        (slow_on_zeroes(), "no_limit-shape-out of fuel-"),
    ] {
        let passed = check_plugin(&wasm).cases(500).run();
        assert_eq!(passed.expect("a limit fails no test").limits, 1, "{key}");
        assert_eq!(denied(&wasm, 500), [key]);
    }
    // What boundaries are tried first are zeroes: it is not the zeroes.
    only(
        &slow_on_bodies(),
        400,
        "plugin_fault-shape-out of fuel in spend-",
    );
}

#[test]
fn out_of_fuel_on_a_state_that_the_plugin_returned_is_a_fault() {
    let found = findings(&slow_on_its_own_state(), 500);
    let keys: Vec<_> = found.iter().map(words).collect();
    assert_eq!(
        keys,
        ["plugin_fault-sign-out of fuel in spend-"],
        "{found:#?}"
    );
    let case = case_text(&found[0].case);
    assert!(case.contains("signer_state"), "{case}");
}

#[test]
fn a_cost_that_grows_with_what_no_host_sends_is_a_limit() {
    // The square of the zeroes.
    let key = "no_limit-shape-linear cost-";
    assert_eq!(denied(&squares_zeroes(), 600), [key]);
    let passed = check_plugin(squares_zeroes()).cases(600).run();
    assert_eq!(passed.expect("a limit fails no test").limits, 1);
}
