//! Two bugs of a plugin are two findings, and one bug is one finding, whatever calls reach it.

use std::collections::HashSet;

use cc_lb_fuzz::case::Step;
use cc_lb_fuzz::check_plugin;
use cc_lb_fuzz::check_plugin::{CheckError, PluginCheck};
use cc_lb_fuzz::finding::{Finding, Origin};
use cc_lb_fuzz::host::{Host, PluginHost, Session};
use cc_lb_fuzz::wire::{Method, Query, Request};
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::cli::{folder, text, tool};
use crate::common::{Guest, accept, case, healthy, set_output};

const HEALTHY: &str = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;

/// Conditions of a guest: the request has a query, or another method than the dry-run request.
const QUERY: &str = "(call $has (i32.const 0) (i32.const 9))";
const PUT: &str = "(call $has (i32.const 16) (i32.const 5))";

/// The memory and function with which guests search the request.
const HAS: &str = r#"
    (memory 1)
    (data (i32.const 0) "\"query\":\"")
    (data (i32.const 16) "\"PUT\"")
    (func $has (param $text i32) (param $length i32) (result i32)
        (local $at i64) (local $same i32)
        (block $none (loop $more
            (br_if $none (i64.gt_u
                (i64.add (local.get $at) (i64.extend_i32_u (local.get $length)))
                (call $input_length)))
            (local.set $same (i32.const 0))
            (block $differs (loop $next
                (if (i32.eq (local.get $same) (local.get $length)) (then (return (i32.const 1))))
                (br_if $differs (i32.ne
                    (call $input_load_u8 (i64.add (local.get $at) (i64.extend_i32_u (local.get $same))))
                    (i32.load8_u (i32.add (local.get $text) (local.get $same)))))
                (local.set $same (i32.add (local.get $same) (i32.const 1)))
                (br $next)))
            (local.set $at (i64.add (local.get $at) (i64.const 1)))
            (br $more)))
        (i32.const 0))"#;

/// Returns a plugin whose `shape` executes `before` and then answers, with additional functions.
fn shape(before: &str, functions: &str) -> Vec<u8> {
    let mut guest = Guest::shape(HEALTHY);
    let answers = std::mem::take(&mut guest.functions);
    let answers = answers.replacen("(result i32)", &format!("(result i32) {before}"), 1);
    guest.functions = format!("{HAS} {answers} {functions}");
    guest.wasm()
}

/// Returns a plugin that executes `first` if the request has a query, and `second` if it has
/// another method.
fn two_ways(first: &str, second: &str, functions: &str) -> Vec<u8> {
    let before = format!("(if {QUERY} (then {first})) (if {PUT} (then {second}))");
    shape(&before, functions)
}

/// Returns a request with a query, and one with another method.
fn queried_and_put() -> [Step; 2] {
    let mut queried = healthy("shape_v1");
    let mut put = queried.clone();
    if let (Request::ShapeV1(queried), Request::ShapeV1(put)) =
        (&mut queried.request, &mut put.request)
    {
        queried.request.query = Some(Query("beta=true".to_owned()));
        put.request.method = Method("PUT".to_owned());
    }
    [queried, put]
}

/// Returns the findings of three cases: a request with a query, one with another method, and a
/// healthy call of `sign`.
fn findings(wasm: &[u8]) -> Vec<Finding> {
    let [queried, put] = queried_and_put();
    let check = check_plugin(wasm)
        .case(case([queried]))
        .case(case([put]))
        .case(case([healthy("sign_v1")]));
    found(check.cases(0))
}

fn found(check: PluginCheck) -> Vec<Finding> {
    match check.run() {
        Ok(_) => Vec::new(),
        Err(CheckError::Found(found)) => found.0,
        Err(error) => panic!("{error}"),
    }
}

/// Returns the labels of the findings, and asserts that each has a unique key and file name.
fn labels(wasm: &[u8]) -> Vec<String> {
    labels_of(&findings(wasm))
}

fn labels_of(found: &[Finding]) -> Vec<String> {
    let is_shown = |finding: &Finding| finding.origin != Origin::Unreproduced;
    assert!(found.iter().all(is_shown), "{found:#?}");
    for of_finding in [Finding::key, Finding::name] {
        let all: HashSet<String> = found.iter().map(of_finding).collect();
        assert_eq!(all.len(), found.len(), "{found:#?}");
    }
    let mut labels: Vec<_> = found.iter().map(|f| f.violation.label()).collect();
    labels.sort_unstable();
    labels
}

/// Returns the module without its name section.
fn without_names(wasm: &[u8]) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let payload = payload.expect("valid WebAssembly");
        if let Some((id, range)) = payload.as_section()
            && !matches!(&payload, wasmparser::Payload::CustomSection(section) if section.name() == "name")
        {
            let data = &wasm[range];
            module.section(&wasm_encoder::RawSection { id, data });
        }
    }
    module.finish()
}

/// Returns a plugin with two bugs that end in one helper, through a chain of others.
fn with_an_abort_helper() -> Vec<u8> {
    two_ways(
        "(call $bug_one)",
        "(call $bug_two)",
        "(func $die unreachable)
         (func $report (call $die))
         (func $fail (call $report))
         (func $bug_one (call $fail))
         (func $bug_two (call $fail))",
    )
}

#[test]
fn two_bugs_that_share_a_helper_that_only_aborts_are_two_findings() {
    let expected = [
        "trap: unreachable in bug_one",
        "trap: unreachable in bug_two",
    ];
    assert_eq!(labels(&with_an_abort_helper()), expected);
}

#[test]
fn a_campaign_reports_two_bugs_once_each() {
    let expected = [
        "trap: unreachable in bug_one",
        "trap: unreachable in bug_two",
    ];
    let check = |wasm: &[u8]| check_plugin(wasm).function("shape_v1").cases(200);
    assert_eq!(labels_of(&found(check(&with_an_abort_helper()))), expected);
    let loops = two_ways(
        "(call $first)",
        "(call $second)",
        "(func $first (loop (br 0))) (func $second (loop (br 0)))",
    );
    let expected = ["out of fuel in first", "out of fuel in second"];
    assert_eq!(labels_of(&found(check(&loops))), expected);
}

#[test]
fn the_site_is_located_on_an_instance_in_the_same_state_as_the_failed_call() {
    // The first request is larger than usual, so running out of fuel there is not a fault. On the
    // metered copy, which has more fuel, it would complete.
    let wasm = two_ways(
        "(call $burn) (global.set $seen (i32.const 1))",
        "(if (global.get $seen) (then (call $second)) (else (call $first)))",
        "(global $seen (mut i32) (i32.const 0))
         (func $burn (local $n i32)
            (local.set $n (i32.const 2500000))
            (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
         (func $first (loop (br 0)))
         (func $second (loop (br 0)))",
    );
    let [mut queried, put] = queried_and_put();
    if let Request::ShapeV1(queried) = &mut queried.request {
        queried.request.query = Some(Query("a".repeat(20_000)));
    }
    let check = check_plugin(&wasm).case(case([queried, put])).cases(0);
    assert_eq!(labels_of(&found(check)), ["out of fuel in first"]);
}

#[test]
fn two_bugs_of_a_module_without_names_are_two_findings() {
    let labels = labels(&without_names(&with_an_abort_helper()));
    assert_eq!(labels.len(), 2, "{labels:?}");
    for label in labels {
        assert!(
            label.starts_with("trap: unreachable in function "),
            "{label}"
        );
    }
}

#[test]
fn two_calls_of_a_helper_in_one_function_are_two_findings_whose_details_say_where() {
    let wasm = two_ways("(call $die)", "(call $die)", "(func $die unreachable)");
    let found = findings(&wasm);
    let details: HashSet<_> = found.iter().map(|f| &f.violation.detail).collect();
    assert_eq!(details.len(), 2, "{found:#?}");
    for detail in details {
        let start = "the guest trapped: unreachable; in shape, at 0x";
        assert!(detail.starts_with(start), "{detail}");
    }
}

#[test]
fn two_functions_whose_names_begin_alike_are_two_findings() {
    let name = "a".repeat(150);
    let functions = format!("(func ${name}1 unreachable) (func ${name}2 unreachable)");
    let (first, second) = (format!("(call ${name}1)"), format!("(call ${name}2)"));
    let labels = labels(&two_ways(&first, &second, &functions));
    assert_eq!(labels.len(), 2, "{labels:?}");
    assert_eq!(labels[0], labels[1], "the printed labels are equal");
}

#[test]
fn one_bug_that_is_reached_by_two_callers_is_one_finding() {
    let wasm = two_ways(
        "(call $one)",
        "(call $other)",
        "(func $divide (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))
         (func $one (call $divide (i32.const 0)))
         (func $other (call $divide (i32.const 0)))",
    );
    assert_eq!(labels(&wasm), ["trap: division by zero in divide"]);
}

#[test]
fn one_bug_that_is_reached_by_two_wire_functions_is_one_finding() {
    let mut guest = Guest::shape(HEALTHY);
    guest.handshake = accept(
        r#""shape":1,"sign":1"#,
        r#""shape":[1],"sign":[1]"#,
        r#""shape","sign""#,
        "",
    );
    guest.functions = format!(
        r#"{HAS}
        (func $divide (param i32) (result i32) (i32.div_u (i32.const 0) (local.get 0)))
        (func (export "shape") (result i32) (drop (call $divide (i32.eqz {QUERY}))) {} (i32.const 0))
        (func (export "sign") (result i32) (call $divide (i32.const 0)))"#,
        set_output(HEALTHY)
    );
    assert_eq!(labels(&guest.wasm()), ["trap: division by zero in divide"]);
}

#[test]
fn two_exit_codes_are_two_findings() {
    let wasm = two_ways("(return (i32.const 1))", "(return (i32.const 2))", "");
    assert_eq!(labels(&wasm), ["exit code 1", "exit code 2"]);
}

#[test]
fn two_recursions_are_two_findings_and_one_is_one_wherever_it_begins() {
    let functions = "(func $a (call $b)) (func $b (call $a)) (func $c (call $c))";
    let two = labels(&two_ways("(call $a)", "(call $c)", functions));
    assert_eq!(
        two,
        ["trap: stack overflow in a, b", "trap: stack overflow in c"]
    );
    let one = labels(&two_ways("(call $a)", "(call $b)", functions));
    assert_eq!(one, ["trap: stack overflow in a, b"]);
}

#[test]
fn two_infinite_loops_are_two_findings_and_one_is_one() {
    let functions = "
        (func $first (loop (br 0)))
        (func $second (loop (br 0)))
        (func $by_one (call $first)) (func $by_other (call $first))
        (func $both (param i32)
            (if (local.get 0) (then (loop (br 0))) (else (loop (br 0)))))";
    let fuel = |first: &str, second: &str| labels(&two_ways(first, second, functions));
    let two = fuel("(call $first)", "(call $second)");
    assert_eq!(two, ["out of fuel in first", "out of fuel in second"]);
    let two = fuel("(call $both (i32.const 0))", "(call $both (i32.const 1))");
    assert_eq!(two, ["out of fuel in both", "out of fuel in both"]);
    let one = fuel("(call $by_one)", "(call $by_other)");
    assert_eq!(one, ["out of fuel in first"]);
}

#[test]
fn the_site_of_running_out_of_fuel_is_the_infinite_loop_and_not_what_it_calls() {
    let functions = "
        (func $copy (param i32) (loop
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br_if 0 (local.get 0))))
        (func $fill (param i32) (loop
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br_if 0 (local.get 0))))
        (func $grow (local $n i32) (loop $more
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (call $copy (local.get $n)) (call $fill (local.get $n)) (br $more)))
        ;; Each call makes three recursive calls.
        (func $deeper (param i32) (if (local.get 0) (then
            (call $deeper (i32.sub (local.get 0) (i32.const 1)))
            (call $deeper (i32.sub (local.get 0) (i32.const 1)))
            (call $deeper (i32.sub (local.get 0) (i32.const 1))))))";
    let found = labels(&two_ways(
        "(call $grow)",
        "(call $deeper (i32.const 40))",
        functions,
    ));
    assert_eq!(found, ["out of fuel in deeper", "out of fuel in grow"]);
}

/// Returns these functions, and one that sets the output to its arguments.
fn answering(functions: &str) -> String {
    format!(
        "(func $set (param $at i64) (param $length i64)
            (call $output_set (local.get $at) (local.get $length))) {functions}"
    )
}

#[test]
fn two_sites_that_set_an_invalid_answer_are_two_findings_and_one_is_one() {
    let functions = answering(
        "(func $zeros (param i64) (call $set (call $alloc (local.get 0)) (local.get 0)))
         (func $rubbish (call $zeros (i64.const 5)))",
    );
    let answer =
        |call: &str, length| format!("({call} (i64.const {length})) (return (i32.const 0))");
    let not_json = "undecodable: not JSON, expected value";
    let plugin = |first: &str, second: &str| {
        let mut guest = Guest::shape(HEALTHY);
        guest.functions = format!(
            r#"{HAS} {functions}
            (func (export "shape") (result i32)
                (if {QUERY} (then {first})) (if {PUT} (then {second}))
                {} (call $set (global.get $block) (i64.const {})) (i32.const 0))"#,
            set_output(HEALTHY),
            HEALTHY.len(),
        );
        labels(&guest.wasm())
    };
    let two = plugin(
        &answer("call $set (call $alloc (i64.const 3))", 3),
        &answer("call $set (call $alloc (i64.const 9))", 9),
    );
    assert_eq!(two, [not_json, not_json]);
    // The healthy answer is set in another function.
    let (first, second) = (answer("call $zeros", 3), answer("call $zeros", 9));
    let two = labels(&two_ways(&first, &second, &functions));
    assert_eq!(two, [not_json, not_json]);
    let rubbish = "(call $rubbish) (return (i32.const 0))";
    let one = plugin(rubbish, rubbish);
    assert_eq!(one, [format!("{not_json} in zeros")]);
}

#[test]
fn two_reasons_for_an_invalid_answer_are_two_findings() {
    let answer = |text: &str| format!("{} (return (i32.const 0))", set_output(text));
    let without = HEALTHY.replace(r#","method":"POST""#, "");
    let wrong = HEALTHY.replace(r#""POST""#, "7");
    let found = labels(&two_ways(&answer(&without), &answer(&wrong), ""));
    assert_eq!(found.len(), 2, "{found:?}");
    let missing = "undecodable: not the response, missing field `method`";
    let other = "undecodable: not the response, method: invalid type: integer, expected a string";
    assert_eq!(found, [other, missing]);
}

#[test]
fn two_invalid_fields_of_an_answer_are_two_findings_and_two_items_of_a_list_are_one() {
    let answer = |from: &str, to: &str| {
        let answer = HEALTHY.replace(from, to);
        assert_ne!(answer, HEALTHY);
        format!("{} (return (i32.const 0))", set_output(&answer))
    };
    let reason = |field: &str| {
        format!("undecodable: not the response, {field}: invalid type: null, expected a string")
    };
    let method = answer(r#""POST""#, "null");
    let body = answer(r#""body_base64":"""#, r#""body_base64":null"#);
    let two = labels(&two_ways(&method, &body, ""));
    assert_eq!(two, [reason("body_base64"), reason("method")]);

    let item = r#"{"name":null,"value_base64":""}"#;
    let first = answer(r#""headers":[]"#, &format!(r#""headers":[{item}]"#));
    let healthy = r#"{"name":"n","value_base64":""}"#;
    let second = answer(
        r#""headers":[]"#,
        &format!(r#""headers":[{healthy},{item}]"#),
    );
    let mut one = labels(&two_ways(&first, &second, ""));
    one.dedup();
    assert_eq!(one, [reason("headers[].name")]);
}

#[test]
fn a_copy_that_is_metered_counts_the_fuel_of_the_plugin() {
    let wasm = shape(
        "(drop (call $has (i32.const 0) (i32.const 9))) (call $sum (i32.const 100)) (call $tail (i32.const 1))",
        "(func $sum (param i32) (loop (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (call $nothing) (br_if 0 (local.get 0))))
         (func $tail (param i32) (if (local.get 0) (then (return_call $tail (i32.const 0)))))
         (func $nothing)",
    );
    let host = PluginHost::new(&wasm).expect("it opens");
    let plain = host
        .open()
        .expect("it opens")
        .observe::<ShapeFn>(ShapeFn::dry_run_request());
    let mut copy = host
        .open_metered()
        .expect("it opens")
        .expect("this host opens metered copies");
    let counted = Session::dispatch::<ShapeFn>(&mut copy, ShapeFn::dry_run_request());
    assert_eq!(counted.outcome, plain.outcome);
    let (fuel, metering) = (
        plain.call.fuel.expect("the host reports the fuel"),
        counted.call.metering.expect("the copy counts"),
    );
    assert_eq!(metering.answers, 1);
    assert!(metering.ticks > 100, "{metering:?}");
    assert!(
        fuel.abs_diff(metering.fuel) < fuel / 50,
        "{fuel}: {metering:?}"
    );
}

#[test]
fn running_out_of_fuel_in_a_common_helper_is_attributed_to_its_caller() {
    let spends = [
        ("rust_begin_unwind", "(loop $more (br $more))"),
        ("memset", "(loop $more (br_if $more (i32.const 1)))"),
    ];
    for (helper, body) in spends {
        let functions = format!(
            "(func ${helper} {body})
             (func $bug_one (call ${helper}) (nop)) (func $bug_two (call ${helper}) (nop))"
        );
        let wasm = two_ways("(call $bug_one)", "(call $bug_two)", &functions);
        let expected = ["out of fuel in bug_one", "out of fuel in bug_two"];
        assert_eq!(labels(&wasm), expected, "{helper}");
    }
}

#[test]
fn two_faults_of_one_stored_case_with_equal_functions_are_two_findings() {
    let functions = "(func $first (loop $more (br $more))) (func $second (loop $more (br $more)))";
    let wasm = two_ways("(call $first)", "(call $second)", functions);
    let both = check_plugin(&wasm).case(case(queried_and_put())).cases(0);
    let both = found(both);
    let expected = ["out of fuel in first", "out of fuel in second"];
    assert_eq!(labels_of(&both), expected);
    assert!(both.iter().all(|finding| finding.case.steps.len() == 1));
}

#[test]
fn a_replay_reports_a_fault_and_the_healthy_call_that_it_breaks_as_one_finding() {
    let breaks = format!(
        "(if {PUT} (then (global.set $broken (i32.const 1)) {} (return (i32.const 0))))
         (if (global.get $broken) (then (return (i32.const 5))))",
        set_output(HEALTHY)
    );
    let wasm = shape(&breaks, "(global $broken (mut i32) (i32.const 0))");
    let folder = folder();
    std::fs::write(folder.path().join("plugin.wasm"), wasm).expect("the plugin is written");
    let [_, put] = queried_and_put();
    let written = case([put, healthy("shape_v1")]).write(&folder.path().join("case.json"));
    written.expect("it can be written");
    let replay = ["replay", "case.json", "--plugin", "plugin.wasm"];
    let printed = text(&tool(folder.path(), &replay).stdout);
    assert!(printed.ends_with("\n1 finding\n"), "{printed}");
    assert!(
        printed.contains("finding: plugin_fault in shape (exit code 5)"),
        "{printed}"
    );
}

#[test]
fn a_recursion_is_one_finding_whichever_of_its_functions_were_running() {
    // Like a parser of values, some of which are lists and others objects.
    let functions = "
        (func $value (param i32) (if (local.get 0) (then (call $list)) (else (call $object))))
        (func $list (call $value (i32.const 1)))
        (func $object (call $value (i32.const 0)))";
    let wasm = two_ways("(call $list)", "(call $object)", functions);
    assert_eq!(
        labels(&wasm),
        ["trap: stack overflow in list, object, value"]
    );
}

#[test]
fn two_recursions_of_more_functions_than_the_runtime_reports_are_two_findings() {
    let ring = |name: &str| {
        let call = |n: u32| format!("(func ${name}{n} (call ${name}{}))", (n + 1) % 70);
        (0..70).map(call).collect::<String>()
    };
    let functions = ring("a") + &ring("b");
    let found = labels(&two_ways("(call $a0)", "(call $b0)", &functions));
    assert_eq!(found.len(), 2, "{found:?}");
    assert_ne!(found[0], found[1]);
}
