//! Start code: the guarded host runs the same start code as the published one, for every
//! combination of exports that have a meaning to Extism or wasmtime.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use Kind::*;
use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{Cause, PluginSession, inspect};
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::wire_function::WireFunction;
use cc_lb_runtime_protocol::handshake::build_plugin;

use crate::common::Guest;

/// The kind of an export.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Absent,
    /// A function of this type, with the instructions of its results.
    Function(&'static str, &'static str),
    Global,
    Memory,
    Table,
}

const PLAIN: Kind = Function("", "");
const PARAM: Kind = Function("(param i32)", "");
const RESULT: Kind = Function("(result i32)", "(i32.const 0)");
const HASKELL: Kind = Function("(param i32 i32)", "");
const HASKELL_RESULTS: Kind = Function(
    "(param i32 i32) (result i64 i32)",
    "(i64.const 0) (i32.const 0)",
);

/// Each name with the kinds that are tried. Its index is its digit in the marker.
const EXPORTS: [(&str, &[Kind]); 4] = [
    ("_start", &[Absent, PLAIN, PARAM, Global]),
    ("_initialize", &[Absent, PLAIN, PARAM, RESULT, Table]),
    ("__wasm_call_ctors", &[Absent, PLAIN, PARAM, RESULT, Memory]),
    (
        "hs_init",
        &[
            Absent,
            HASKELL,
            HASKELL_RESULTS,
            PLAIN,
            PARAM,
            Function("(param i32 i64)", ""),
            Global,
        ],
    ),
];

/// Returns a plugin with these exports. Each function of its start code executes `does` of its name
/// and appends its digit to a marker that begins with 9. Its `shape` returns the marker.
fn plugin(kinds: [Kind; 4], has_section: bool, does: &dyn Fn(&str) -> &'static str) -> Vec<u8> {
    let mark = |digit: usize| {
        format!(
            "(global.set $g (i32.add (i32.mul (global.get $g) (i32.const 10)) (i32.const {digit})))"
        )
    };
    let mut guest = Guest::shape("");
    guest.functions = r#"(global $g (mut i32) (i32.const 9))
        (func (export "shape") (result i32) (global.get $g))"#
        .to_owned();
    if has_section {
        guest.functions += &format!(
            "(func $section {} {}) (start $section)",
            mark(EXPORTS.len()),
            does("section")
        );
    }
    for (digit, ((name, _), kind)) in EXPORTS.iter().zip(kinds).enumerate() {
        guest.functions += &match kind {
            Absent => String::new(),
            Function(ty, results) => format!(
                r#"(func (export "{name}") {ty} {} {} {results})"#,
                mark(digit),
                does(name)
            ),
            Global => format!(r#"(global (export "{name}") i32 (i32.const 0))"#),
            Memory => format!(r#"(memory (export "{name}") 1)"#),
            Table => format!(r#"(table (export "{name}") 1 funcref)"#),
        };
    }
    guest.wasm()
}

fn nothing(_: &str) -> &'static str {
    ""
}

/// The marker, or why the plugin does not open.
type Opened = Result<i32, String>;

fn published(wasm: &[u8]) -> Opened {
    let message = |error: &dyn std::fmt::Display| error.to_string();
    let plugin = build_plugin(wasm, HANDSHAKE_WALL_MS, HANDSHAKE_FUEL);
    let mut plugin = plugin.map_err(|error| message(&error))?;
    let offer = cc_lb_fuzz::handshake::build_offer(&Default::default());
    let offer = serde_json::to_string(&offer).expect("it serializes");
    let accept = plugin.call::<_, String>("cc_lb_handshake", offer);
    accept.map_err(|error| message(&error))?;
    let called = plugin.call::<_, &[u8]>("shape", "{}");
    let error = called.expect_err("the marker is an exit code").to_string();
    let code = error.strip_prefix("Returned non-zero exit code: ");
    Ok(code
        .expect("the error is an exit code")
        .parse()
        .expect("it is a number"))
}

fn guarded(wasm: &[u8]) -> Opened {
    let mut session = PluginSession::new(wasm).map_err(|error| error.to_string())?;
    let observed = session.observe::<ShapeFn>(ShapeFn::dry_run_request());
    match observed.call.cause {
        Some(Cause::ExitCode(code)) => Ok(code),
        other => panic!("the marker is an exit code: {other:?}"),
    }
}

/// Returns all combinations.
fn combinations() -> Vec<([Kind; 4], bool)> {
    let [start, initialize, ctors, haskell] = EXPORTS.map(|(_, kinds)| kinds);
    let mut all = Vec::new();
    for has_section in [false, true] {
        for &start in start {
            for &initialize in initialize {
                for &ctors in ctors {
                    for &haskell in haskell {
                        all.push(([start, initialize, ctors, haskell], has_section));
                    }
                }
            }
        }
    }
    all
}

/// Returns whether the combination is always tested: it has at most two exports, or only valid
/// ones.
fn is_simple((kinds, has_section): &([Kind; 4], bool)) -> bool {
    let are_sound = kinds.iter().all(|k| [Absent, PLAIN, HASKELL].contains(k));
    let exports = kinds.iter().filter(|kind| **kind != Absent).count();
    are_sound || (exports <= 2 && !has_section)
}

/// Asserts that both hosts have the same result, and that every possible result occurs.
fn assert_same_on_both_hosts(combinations: &[([Kind; 4], bool)]) {
    let (next, opened) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(combination) = combinations.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let wasm = plugin(combination.0, combination.1, &nothing);
                    let (here, there) = (guarded(&wasm), published(&wasm));
                    assert_eq!(
                        here.as_ref().ok(),
                        there.as_ref().ok(),
                        "{combination:?}: here {here:?}, there {there:?}"
                    );
                    opened.lock().expect("no thread panicked").extend(here.ok());
                }
            });
        }
    });
    // Nothing, each one alone or after the start section, and `_initialize` before `hs_init`.
    // `_start` never runs.
    let expected = [9, 91, 92, 93, 94, 913, 941, 942, 943, 9413];
    let opened = opened.into_inner().expect("no thread panicked");
    assert_eq!(opened, BTreeSet::from(expected));
}

#[test]
fn both_hosts_run_the_same_start_code_with_any_two_exports_or_all_valid_ones() {
    let mut simple = combinations();
    simple.retain(is_simple);
    assert_same_on_both_hosts(&simple);
}

#[test]
#[ignore = "takes minutes: tests every combination"]
fn both_hosts_run_the_same_start_code_with_every_combination_of_exports() {
    assert_same_on_both_hosts(&combinations());
}

/// Returns what `inspect` reports about the start code of a module, or why it refuses the module.
fn inspected(kinds: [Kind; 4], has_section: bool) -> String {
    match inspect::inspect(&plugin(kinds, has_section, &nothing)) {
        Ok(found) => found.changes.join("; "),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_start_code_of_a_module_is_described_or_the_reason_to_refuse_it_in_one_line() {
    let lines = [
        inspected([Absent, PLAIN, Absent, HASKELL], true),
        inspected([Absent, PLAIN, PLAIN, Absent], false),
        inspected([PLAIN, PLAIN, Absent, Absent], false),
        inspected([Global, Absent, Absent, Absent], false),
        inspected([Absent, Table, Absent, Absent], false),
        inspected([PLAIN, Absent, Memory, Absent], false),
        inspected([Absent, PARAM, Absent, Absent], false),
        inspected([Absent, Absent, Absent, PLAIN], false),
    ];
    assert!(lines.iter().all(|line| !line.contains('\n')));
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_plugin_whose_start_code_fails_opens_on_neither_host() {
    let kinds = [Absent, PLAIN, PLAIN, Absent];
    // The published host runs the last of these on an instance that answers nothing.
    for failing in ["section", "__wasm_call_ctors", "_initialize"] {
        let wasm = plugin(kinds, true, &|name: &str| {
            if name == failing { "(unreachable)" } else { "" }
        });
        assert!(published(&wasm).is_err(), "{failing}");
        let Err(reason) = guarded(&wasm) else {
            panic!("{failing}");
        };
        assert!(
            reason.contains("the start code failed"),
            "{failing}: {reason}"
        );
    }
    let healthy = plugin(kinds, true, &nothing);
    assert_eq!((guarded(&healthy), published(&healthy)), (Ok(942), Ok(942)));
}

#[test]
fn the_error_or_output_that_start_code_sets_is_discarded() {
    for sets in [
        "(call $error_set (call $alloc (i64.const 8)))",
        "(call $output_set (call $alloc (i64.const 8)) (i64.const 8))",
    ] {
        for (name, kinds) in [
            ("section", [Absent; 4]),
            ("_initialize", [Absent, PLAIN, Absent, Absent]),
            ("hs_init", [Absent, Absent, Absent, HASKELL_RESULTS]),
        ] {
            let wasm = plugin(kinds, true, &|of: &str| if of == name { sets } else { "" });
            let here = guarded(&wasm);
            assert!(here.is_ok(), "{name}: {here:?}");
            assert_eq!(here, published(&wasm), "{name}");
        }
    }
}

#[test]
fn an_export_with_a_name_of_the_guard_is_refused() {
    for name in [
        "cc-lb-fuzz:start",
        "cc-lb-fuzz:memory",
        "cc-lb-fuzz:hs_init",
    ] {
        let mut guest = Guest::shape("");
        guest.functions += &format!(r#"(func (export "{name}") (result i32) (i32.const 1))"#);
        let error = PluginSession::new(&guest.wasm()).err();
        assert!(
            matches!(&error, Some(HandshakeError::Instantiate { reason }) if reason.contains(name)),
            "{error:?}"
        );
    }
}
