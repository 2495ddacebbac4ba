//! Plugins with one planted bug each, and what a check of a few thousand cases must make of them.

use cc_lb_fuzz::check::CheckError;
use cc_lb_fuzz::check_plugin;
use cc_lb_fuzz::finding::Finding;
use cc_lb_fuzz::report::case_text;
use cc_lb_plugin_wire::v1::build_signer::BuildSignerFn;
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::v1::sign::SignFn;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{Guest, accept, set_output};

/// The healthy answer of a function.
fn healthy<F: WireFunction>() -> String {
    let mut answer = serde_json::to_value(F::dry_run_response()).expect("it serializes");
    answer["_v"] = 1.into();
    answer.to_string()
}

/// What the bugs are made of: the input in memory from 64 KiB on, and looks at it.
const LIBRARY: &str = r#"
    (memory 32)
    (global $length (mut i32) (i32.const 0))
    (global $calls (mut i32) (i32.const 0))
    (global $built (mut i32) (i32.const 0))
    (func $read
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (global.set $length (i32.const 0))
        (block $end (loop $more
            (br_if $end (i64.ge_u (i64.extend_i32_u (global.get $length)) (call $input_length)))
            (i32.store8 (i32.add (global.get $length) (i32.const 0x10000))
                (call $input_load_u8 (i64.extend_i32_u (global.get $length))))
            (global.set $length (i32.add (global.get $length) (i32.const 1)))
            (br $more))))
    ;; How often the text at $text of $n bytes is in the input.
    (func $count (param $text i32) (param $n i32) (result i32)
        (local $at i32) (local $same i32) (local $found i32)
        (block $end (loop $more
            (br_if $end (i32.gt_s (i32.add (local.get $at) (local.get $n)) (global.get $length)))
            (local.set $same (i32.const 0))
            (block $differs (loop $next
                (br_if $differs (i32.ge_u (local.get $same) (local.get $n)))
                (br_if $differs (i32.ne
                    (i32.load8_u (i32.add (local.get $text) (local.get $same)))
                    (i32.load8_u offset=0x10000 (i32.add (local.get $at) (local.get $same)))))
                (local.set $same (i32.add (local.get $same) (i32.const 1)))
                (br $next)))
            (local.set $found (i32.add (local.get $found) (i32.eq (local.get $same) (local.get $n))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more)))
        (local.get $found))
    ;; How deep the input's brackets are nested.
    (func $depth (result i32)
        (local $at i32) (local $open i32) (local $most i32) (local $byte i32)
        (block $end (loop $more
            (br_if $end (i32.ge_u (local.get $at) (global.get $length)))
            (local.set $byte (i32.load8_u offset=0x10000 (local.get $at)))
            (if (i32.or (i32.eq (local.get $byte) (i32.const 0x5b)) (i32.eq (local.get $byte) (i32.const 0x7b)))
                (then (local.set $open (i32.add (local.get $open) (i32.const 1)))))
            (if (i32.or (i32.eq (local.get $byte) (i32.const 0x5d)) (i32.eq (local.get $byte) (i32.const 0x7d)))
                (then (local.set $open (i32.sub (local.get $open) (i32.const 1)))))
            (if (i32.gt_s (local.get $open) (local.get $most))
                (then (local.set $most (local.get $open))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more)))
        (local.get $most))
    (func $spin (loop $more (br $more)))
    (func $spend (param $times i32)
        (loop $more
            (local.set $times (i32.sub (local.get $times) (i32.const 1)))
            (br_if $more (i32.gt_s (local.get $times) (i32.const 0)))))
    ;; Keeps the first marker, if nothing is kept. What markers begin with is no word of this module, so that no request
    ;; has it but in a marker.
    (func $keep (local $at i32)
        (if (i32.load (i32.const 0x8000)) (then (return)))
        (block $end (loop $more
            (br_if $end (i32.ge_u (local.get $at) (global.get $length)))
            (if (i64.eq (i64.load offset=0x10000 (local.get $at))
                    (i64.xor (i64.const -1) (i64.const -7742357831833903972)))
                (then
                    (memory.copy (i32.const 0x8000)
                        (i32.add (local.get $at) (i32.const 0x10000)) (i32.const 16))
                    (return)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $more))))
    ;; Answers with the text at $text of $n bytes, in which what is kept is written from $from on.
    (func $tell (param $text i32) (param $n i32) (param $from i32) (local $output i64) (local $at i32)
        (if (i32.load (i32.const 0x8000)) (then
            (memory.copy (i32.add (local.get $text) (local.get $from)) (i32.const 0x8000) (i32.const 16))))
        (local.set $output (call $alloc (i64.extend_i32_u (local.get $n))))
        (loop $more
            (call $store_u8 (i64.add (local.get $output) (i64.extend_i32_u (local.get $at)))
                (i32.load8_u (i32.add (local.get $text) (local.get $at))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $at) (local.get $n))))
        (call $output_set (local.get $output) (i64.extend_i32_u (local.get $n))))
"#;

/// A plugin that has `shape`, `build_signer` and `sign`, and these texts in its data. In `shape` and `sign` runs what is
/// given before the healthy answer.
fn plugin(texts: &[&str], shape: &str, sign: &str) -> Vec<u8> {
    let mut guest = Guest::shape("");
    let functions = ["shape", "build_signer", "sign"];
    let of_each = |form: fn(&str) -> String| functions.map(form).join(",");
    guest.handshake = accept(
        &of_each(|name| format!(r#""{name}":1"#)),
        &of_each(|name| format!(r#""{name}":[1]"#)),
        &of_each(|name| format!(r#""{name}""#)),
        "",
    );
    let mut data = String::new();
    for (place, text) in texts.iter().enumerate() {
        let text: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        data += &format!("(data (i32.const {}) \"{text}\")\n", address(place));
    }
    let function = |name: &str, before: &str, answer: String| {
        format!(
            r#"(func (export "{name}") (result i32) (call $read) {before} {} (i32.const 0))"#,
            set_output(&answer)
        )
    };
    let built = "(global.set $built (i32.add (global.get $built) (i32.const 1)))";
    guest.functions = [
        LIBRARY.to_owned(),
        data,
        function("shape", shape, healthy::<ShapeFn>()),
        function("build_signer", built, healthy::<BuildSignerFn>()),
        function("sign", sign, healthy::<SignFn>()),
    ]
    .concat();
    guest.wasm()
}

fn address(place: usize) -> usize {
    16 + 128 * place
}

/// Whether the text of this place and length is in the input, as often as that.
fn has(place: usize, text: &str, times: u32) -> String {
    let (address, length) = (address(place), text.len());
    format!(
        "(i32.ge_u (call $count (i32.const {address}) (i32.const {length})) (i32.const {times}))"
    )
}

fn traps_if(condition: &str) -> String {
    format!("(if {condition} (then (unreachable)))")
}

/// What a check of so many cases finds.
fn findings(wasm: &[u8], cases: u64) -> Vec<Finding> {
    match check_plugin(wasm).cases(cases).run() {
        Ok(_) => Vec::new(),
        Err(CheckError::Found(found)) => found.0,
        Err(error) => panic!("{error}"),
    }
}

/// Asserts that one thing is found, a fault of this class in this function, and returns its shrunk case as text.
fn only(wasm: &[u8], cases: u64, function: &str, class: &str) -> String {
    let found = findings(wasm, cases);
    let told: Vec<_> = found
        .iter()
        .map(|finding| {
            let violation = &finding.violation;
            format!(
                "{} {} {}",
                violation.check, violation.function, violation.class
            )
        })
        .collect();
    assert_eq!(told, [format!("plugin_fault {function} {class}")]);
    case_text(&found[0].case)
}

#[test]
fn a_healthy_plugin_and_one_with_state_have_no_finding() {
    assert!(findings(&plugin(&[], "", ""), 3_000).is_empty());
    // Every other call is answered by another of two: a round robin, on purpose.
    let other = r#"{"_v":1,"body_base64":"","headers":[],"method":"GET","url":"other"}"#;
    let round_robin = format!(
        "(if (i32.and (global.get $calls) (i32.const 1)) (then {} (return (i32.const 0))))",
        set_output(other)
    );
    assert!(findings(&plugin(&[], &round_robin, ""), 3_000).is_empty());
}

#[test]
fn a_bug_that_needs_many_headers_is_found() {
    let text = r#""value_base64":"#;
    let wasm = plugin(&[text], &traps_if(&has(0, text, 5)), "");
    let case = only(&wasm, 3_000, "shape", "trap: unreachable");
    insta::assert_snapshot!(case);
}

#[test]
fn a_bug_behind_one_exact_word_is_found() {
    let text = "x-canary-7f3a";
    let wasm = plugin(&[text], &traps_if(&has(0, text, 1)), "");
    let case = only(&wasm, 3_000, "shape", "trap: unreachable");
    assert!(case.contains(text), "{case}");
}

#[test]
fn a_bug_of_deep_nesting_is_found() {
    let deep = "(i32.ge_u (call $depth) (i32.const 60))";
    let wasm = plugin(&[], &traps_if(deep), "");
    let case = only(&wasm, 3_000, "shape", "trap: unreachable");
    assert!(case.contains("claims"), "{case}");
}

#[test]
fn a_bug_of_two_fields_together_is_found() {
    let texts = [
        r#""method":"DELETE""#,
        r#""query":null"#,
        r#""path":"/v1/models""#,
    ];
    let both = format!(
        "(i32.and {} (i32.and (i32.eqz {}) {}))",
        has(0, texts[0], 1),
        has(1, texts[1], 1),
        has(2, texts[2], 1)
    );
    let wasm = plugin(&texts, &traps_if(&both), "");
    let case = only(&wasm, 6_000, "shape", "trap: unreachable");
    insta::assert_snapshot!(case);
}

#[test]
fn a_bug_of_a_long_session_is_found() {
    let long = "(i32.ge_u (global.get $calls) (i32.const 90))";
    let wasm = plugin(&[], &traps_if(long), "");
    let found = findings(&wasm, 3_000);
    let faults = found.iter().filter(|f| f.violation.check == "plugin_fault");
    let steps: Vec<usize> = faults.map(|finding| finding.case.steps.len()).collect();
    assert!(steps.contains(&90), "{steps:?}: {found:#?}");
}

#[test]
fn a_bug_of_a_sequence_of_functions_is_found() {
    let wasm = plugin(
        &[],
        "",
        &traps_if("(i32.eq (global.get $built) (i32.const 2))"),
    );
    // That it breaks itself for later calls is told too.
    let found = findings(&wasm, 3_000);
    let mut faults = found.iter().filter(|f| f.violation.check == "plugin_fault");
    let fault = faults.next().expect("it is found");
    assert_eq!(fault.violation.function, "sign");
    insta::assert_snapshot!(case_text(&fault.case));
}

#[test]
fn every_kind_of_fault_is_told_by_its_name() {
    let text = r#""query":""#;
    let wrongly = |what: &str| {
        let wrongly = format!(
            "(if {} (then {what} (return (i32.const 0))))",
            has(0, text, 1)
        );
        plugin(&[text], &wrongly, "")
    };
    let answer = |answer: &str| wrongly(&set_output(answer));
    let other = healthy::<ShapeFn>().replace("\"_v\":1", "\"_v\":2");
    let unsound = healthy::<ShapeFn>().replace("\"method\":", "\"methods\":");
    for (wasm, class) in [
        (
            wrongly("(i32.div_u (i32.const 1) (i32.const 0)) drop"),
            "trap: division by zero",
        ),
        (wrongly("(return (i32.const 7))"), "exit code"),
        (wrongly("(call $spin)"), "out of fuel"),
        (answer(""), "undecodable: not JSON"),
        (answer("[]"), "undecodable: not a JSON object"),
        (answer("{}"), "undecodable: no _v"),
        (answer(&other), "undecodable: wrong _v"),
        (answer(&unsound), "undecodable: not the response"),
    ] {
        only(&wasm, 600, "shape", class);
    }
}

#[test]
fn a_plugin_that_breaks_itself_is_found() {
    // Once it has seen a query, `sign` has an exit code for ever.
    let text = r#""query":""#;
    let breaks = format!(
        "(if {} (then (global.set $built (i32.const 1000))))",
        has(0, text, 1)
    );
    let broken =
        "(if (i32.ge_u (global.get $built) (i32.const 1000)) (then (return (i32.const 9))))";
    let found = findings(&plugin(&[text], &breaks, broken), 3_000);
    let checks: Vec<_> = found.iter().map(|f| f.violation.check.as_str()).collect();
    assert!(checks.contains(&"no_poison"), "{checks:?}");
}

#[test]
fn a_plugin_that_does_more_with_every_call_drifts_and_one_whose_cache_fills_up_does_not() {
    let spends = |times: &str| format!("(call $spend {times})");
    let found = findings(&plugin(&[], "", &spends("(global.get $calls)")), 400);
    let keys: Vec<_> = found.iter().map(Finding::key).collect();
    assert_eq!(keys, ["no_drift-sign-fuel-"]);
    let case = case_text(&found[0].case);
    assert_eq!(case, "steps 1 to 64: sign_v1\n  the dry-run sample\n");
    let most = "(select (global.get $calls) (i32.const 100)
        (i32.lt_u (global.get $calls) (i32.const 100)))";
    assert!(findings(&plugin(&[], "", &spends(most)), 400).is_empty());
}

#[test]
fn a_plugin_that_answers_with_what_another_request_said_is_found() {
    let before = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""#;
    let answer = format!("{before}0123456789abcdef\"}}");
    let (length, from) = (answer.len(), before.len());
    let tell = format!(
        "(call $tell (i32.const {}) (i32.const {length}) (i32.const {from})) (return (i32.const 0))",
        address(0)
    );
    let found = findings(&plugin(&[&answer], "(call $keep)", &tell), 2_000);
    let keys: Vec<_> = found.iter().map(Finding::key).collect();
    assert_eq!(keys, ["no_carryover-sign--"]);
    assert_eq!(found[0].case.steps.len(), 2, "{:#?}", found[0]);
}
