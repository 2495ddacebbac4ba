//! Answers that are costly to decode, to store or to print: a plugin may return 1 MiB in each call.

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::check::WALL_SLACK;
use cc_lb_fuzz::dispatch::ANSWER_VALUES_MAX;
use cc_lb_fuzz::host::{Cause, Decoding, DispatchOutcome, PluginSession, decode_envelope};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::worker::{HostKind, Setup, Workers};
use cc_lb_plugin_wire::v1::build_signer::BuildSignerFn;
use cc_lb_plugin_wire::v1::shape::ShapeResponse;
use cc_lb_plugin_wire::wire_function::WireFunction as _;

use crate::common::{Guest, accept, assert_in_time, case, escape, healthy, repeated};
use crate::workers::setup;

/// The size of the largest answer of a call, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Returns a plugin whose `build_signer` and `on_unauthorized` store the text in `$block`, and then
/// run these instructions.
fn plugin_with_text(text: &str, instructions: &str) -> Vec<u8> {
    let length = text.len().next_multiple_of(8);
    assert!(length <= MOST_BYTES);
    let escaped = escape(text);
    let functions = ["build_signer", "on_unauthorized"];
    let each = |one: &dyn Fn(&str) -> String, between: &str| functions.map(one).join(between);
    let mut guest = Guest::shape("");
    guest.handshake = accept(
        &each(&|name| format!(r#""{name}":1"#), ","),
        &each(&|name| format!(r#""{name}":[1]"#), ","),
        &each(&|name| format!(r#""{name}""#), ","),
        "",
    );
    let spaces = " ".repeat(length - text.len());
    let exports = each(&|name| format!(r#"(export "{name}" (func $run))"#), "\n");
    guest.functions = format!(
        r#"(memory 17) (data (i32.const 0) "{escaped}{spaces}") {exports}
        (func $run (result i32) (local $at i32)
            (global.set $block (call $alloc (i64.const {length})))
            (loop $more
                (call $store_u64
                    (i64.add (global.get $block) (i64.extend_i32_u (local.get $at)))
                    (i64.load (local.get $at)))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (i32.const {length}))))
            {instructions})"#
    );
    guest.wasm()
}

/// Returns a plugin that answers with this text.
fn answering(text: &str) -> Vec<u8> {
    let length = text.len();
    let answer =
        format!("(call $output_set (global.get $block) (i64.const {length})) (i32.const 0)");
    plugin_with_text(text, &answer)
}

/// Returns a plugin that sets this text as its error and fails.
fn failing(text: &str) -> Vec<u8> {
    plugin_with_text(text, "(call $error_set (global.get $block)) (i32.const 1)")
}

/// Returns an answer of `build_signer` whose state is a list with this many deeply nested objects.
fn nested_states(times: usize) -> String {
    const DEPTH: usize = 120;
    let state = r#"{"":"#.repeat(DEPTH) + "0" + &"}".repeat(DEPTH);
    let states = vec![state; times].join(",");
    format!(r#"{{"_v":1,"signer_state":[{states}]}}"#)
}

/// The largest number of such objects in an answer that is still decoded.
const STATES_MAX: usize = ANSWER_VALUES_MAX / 121 - 1;

/// Replays the case in a worker process, asserts that the outcomes are abbreviated, and returns the
/// names of the violated checks.
fn replay(wasm: Vec<u8>, case: &Case) -> Vec<String> {
    let program = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let setup = Setup {
        wasm,
        subject: Subject::Plugin,
        ..setup(HostKind::Guarded.name())
    };
    let workers = Workers::new(program, ["worker"], setup).expect("the workers can be set up");
    let replay = workers.worker().replay(case).expect("it runs");
    let bytes: usize = replay.steps.iter().map(|step| step.outcome.len()).sum();
    assert!(bytes < replay.steps.len() * 5_000, "{bytes} bytes");
    let found = replay.violations.into_iter();
    found.map(|violation| violation.check.to_string()).collect()
}

#[test]
fn the_costliest_answer_is_decoded_within_the_slack_of_a_dispatch() {
    let wasm = answering(&nested_states(STATES_MAX));
    let mut session = PluginSession::new(&wasm).expect("it opens");
    // On a busy machine any call may time out.
    let in_time = (0..50).any(|_| {
        let observed = session.observe::<BuildSignerFn>(BuildSignerFn::dry_run_request());
        let answered = matches!(observed.outcome, DispatchOutcome::Ok(_));
        assert!(answered || observed.call.cause == Some(Cause::Timeout));
        answered && observed.call.time <= WALL_SLACK
    });
    assert!(in_time);
}

#[test]
fn an_answer_with_too_many_values_falls_back_in_time() {
    let empty = "{},".repeat(340_000);
    let empty = format!(r#"{{"_v":1,"signer_state":[{empty}{{}}]}}"#);
    for answer in [nested_states(STATES_MAX + 2), empty] {
        let mut session = PluginSession::new(&answering(&answer)).expect("it opens");
        assert_in_time(WALL_SLACK, || {
            let call = session
                .observe::<BuildSignerFn>(BuildSignerFn::dry_run_request())
                .call;
            if call.cause != Some(Cause::Timeout) {
                let expected = Cause::Undecodable(Decoding::TooManyValues);
                assert_eq!(call.cause, Some(expected));
            }
        });
    }
}

#[test]
fn an_error_about_a_long_text_contains_only_a_part_of_it() {
    // Escaping characters that are not printable takes long.
    let text = "\u{1fffd}".repeat(250_000);
    let answer = format!(r#"{{"_v":1,"url":"","method":"","headers":"{text}","body_base64":""}}"#);
    let refused = decode_envelope::<ShapeResponse>(answer.as_bytes(), 1);
    let Err(Decoding::NotResponse { why, .. }) = refused else {
        panic!("{refused:?}");
    };
    let (_, left_out) = why.split_once("… (").expect("it is abbreviated");
    let (bytes, _) = left_out.split_once(" bytes)").expect("it has the length");
    let bytes: usize = bytes.parse().expect("it is a number");
    assert!(bytes < 10_000, "{bytes}");
}

#[test]
fn a_plugin_that_returns_the_largest_answers_does_not_harm_a_worker() {
    let (most, more) = (nested_states(STATES_MAX), nested_states(STATES_MAX + 2));
    let long = format!(
        r#"{{"_v":1,"signer_state":"{}"}}"#,
        "a".repeat(MOST_BYTES - 64)
    );
    let controls = "\u{7f}".repeat(MOST_BYTES);
    let wrong = format!(r#"{{"_v":1,"{}":0}}"#, "\u{7f}".repeat(MOST_BYTES - 64));
    // The plugin, the number of calls, and the check that they violate.
    let plugins = [
        (answering(&most), 60, ""),
        (answering(&more), 3, "plugin_limit"),
        (answering(&long), 150, ""),
        (answering(&wrong), 180, "plugin_fault"),
        (failing(&controls), 200, ""),
    ];
    for (wasm, times, expected) in plugins {
        let mut found = replay(wasm, &case([repeated(healthy("build_signer_v1"), times)]));
        found.retain(|check| check != "within_wall");
        found.sort();
        found.dedup();
        let expected: Vec<_> = [expected]
            .into_iter()
            .filter(|check| !check.is_empty())
            .collect();
        assert_eq!(found, expected, "{times} times");
    }
}
