//! Plugins that try to crash, stall or deceive their host, and modules too expensive to open.

use std::time::Instant;

use cc_lb_fuzz::check::WALL_SLACK;
use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{Cause, DispatchOutcome, PluginSession, TrapKind};
use cc_lb_plugin_wire::v1::shape::ShapeFn;

use crate::cli::{folder, text, tool};
use crate::common::{Guest, OPENING_SLACK, assert_in_time, block, set_error, set_output};
use crate::guard::{misbehaves, request, survives};

/// Returns bulk instructions that take as long as possible, each with the declarations it needs.
fn bulk() -> [(&'static str, &'static str); 7] {
    const ALL: &str = "(i32.const 0x4000000)";
    const HALF: &str = "(i32.const 0x2000000)";
    let leak = |text: String| -> &'static str { text.leak() };
    let elements = leak(format!(
        "(table $t 65536 funcref) (func $f) (elem $e funcref {})",
        "(ref.func $f) ".repeat(32_000)
    ));
    let data = leak(format!(r#"(data $d "{}")"#, "z".repeat(1 << 20)));
    [
        (
            "",
            leak(format!("(memory.fill (i32.const 0) (i32.const 1) {ALL})")),
        ),
        (
            "",
            leak(format!("(memory.copy (i32.const 0) {HALF} {HALF})")),
        ),
        (
            "",
            "(memory.copy (i32.const 1) (i32.const 0) (i32.const 0x3ffffff))",
        ),
        (
            data,
            "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 0x100000))",
        ),
        (
            elements,
            "(table.init $t $e (i32.const 0) (i32.const 0) (i32.const 32000))",
        ),
        (
            elements,
            "(table.fill $t (i32.const 0) (ref.func $f) (i32.const 0x10000))",
        ),
        (
            elements,
            "(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 0xffff))",
        ),
    ]
}

/// Returns a plugin with as much memory as a plugin may have.
fn with_all_memory(declared: &str, body: &str) -> Guest {
    let mut guest = misbehaves("", body);
    let memory = format!("(memory 1024) {declared}");
    guest.functions = guest.functions.replace("(memory 1)", &memory);
    guest
}

/// Returns whether a call is over in time: it returned, or was interrupted at a limit.
fn is_over(cause: Option<&Cause>) -> bool {
    matches!(cause, None | Some(Cause::Timeout | Cause::OutOfFuel))
}

#[test]
fn consecutive_bulk_instructions_end_at_the_time_limit_of_a_call() {
    let mut interrupted = 0;
    for (declared, instruction) in bulk() {
        for times in [300, 14_000] {
            let guest = with_all_memory(declared, &instruction.repeat(times));
            let mut session = PluginSession::new(&guest.wasm()).expect("it opens");
            assert_in_time(WALL_SLACK, || {
                let called = session.observe::<ShapeFn>(request(true)).call;
                assert!(is_over(called.cause.as_ref()), "{instruction}: {called:?}");
                interrupted += usize::from(called.cause == Some(Cause::Timeout));
            });
            let healthy = session.dispatch::<ShapeFn>(request(false));
            assert!(matches!(healthy, DispatchOutcome::Ok(_)), "{instruction}");
        }
    }
    assert!(
        interrupted >= bulk().len() / 2,
        "only {interrupted} timed out"
    );
}

#[test]
fn consecutive_bulk_instructions_in_start_code_end_at_its_time_limit() {
    let mut refused = 0;
    for (declared, instruction) in bulk() {
        let mut guest = with_all_memory(declared, "");
        guest.functions += &format!(
            "(func $start {}) (start $start)",
            instruction.repeat(14_000)
        );
        let wasm = guest.wasm();
        assert_in_time(OPENING_SLACK, || match PluginSession::new(&wasm) {
            Ok(_) => {}
            Err(HandshakeError::Instantiate { reason }) if reason.contains("start code") => {
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        });
    }
    assert!(refused >= bulk().len() / 2, "only {refused} were refused");
}

/// Returns the causes of calls of a plugin that executes these instructions, which may return an
/// exit code.
fn code(declared: &str, body: &str) -> Vec<Cause> {
    let mut guest = misbehaves("", body);
    guest.functions = guest
        .functions
        .replace("(memory 1)", &format!("(memory 4) {declared}"));
    survives(&guest)
}

#[test]
fn rewritten_bulk_instructions_have_the_same_effect() {
    // Longer than a chunk, and not a multiple of its size.
    const LONG: u32 = 0x1_8003;
    let byte = |at: u32| format!("(i32.load8_u (i32.const {at}))");
    let sum = |at: [u32; 4]| {
        let [a, b, c, d] = at.map(byte);
        format!("(return (i32.add (i32.add {a} {b}) (i32.add {c} {d})))")
    };
    let filled = format!("(memory.fill (i32.const 5) (i32.const 7) (i32.const {LONG}))");
    let seven = code("", &format!("{filled} {}", sum([4, 5, 4 + LONG, 5 + LONG])));
    assert_eq!(seven, [const { Cause::ExitCode(14) }; 3]);
    // Source and destination overlap: each byte must be read before it is overwritten.
    let marks = format!(
        "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store8 (i32.const 0x8000) (i32.const 2))
         (i32.store8 (i32.const 0x10000) (i32.const 4)) (i32.store8 (i32.const {}) (i32.const 8))",
        LONG - 1
    );
    for (to, from) in [(3, 0), (0x9000, 0), (0, 0)] {
        let copy = format!("(memory.copy (i32.const {to}) (i32.const {from}) (i32.const {LONG}))");
        let there = sum([to, to + 0x8000, to + 0x10000, to + LONG - 1]);
        let fifteen = code("", &format!("{marks} {copy} {there}"));
        assert_eq!(fifteen, [const { Cause::ExitCode(15) }; 3], "{to} {from}");
    }
    let back = format!("(memory.copy (i32.const 0) (i32.const 3) (i32.const {LONG}))");
    let marks = marks.replace("(i32.const 0)", "(i32.const 3)");
    let fourteen = code(
        "",
        &format!("{marks} {back} {}", sum([0, 0x7ffd, 0xfffd, LONG - 4])),
    );
    assert_eq!(fourteen, [const { Cause::ExitCode(15) }; 3]);
    let data = format!(r#"(data $d "{}z")"#, "y".repeat(0x1_8002));
    let init = format!("(memory.init $d (i32.const 1) (i32.const 0) (i32.const {LONG}))");
    let yz = code(&data, &format!("{init} {}", sum([0, 1, 0x10001, LONG])));
    assert_eq!(yz, [const { Cause::ExitCode(121 + 121 + 122) }; 3]);
}

#[test]
fn rewritten_bulk_instructions_still_trap_out_of_bounds() {
    for instruction in [
        "(memory.fill (i32.const 0x40000) (i32.const 0) (i32.const 1))",
        "(memory.fill (i32.const 1) (i32.const 0) (i32.const -1))",
        "(memory.fill (i32.const 0x40001) (i32.const 0) (i32.const 0))",
        "(memory.copy (i32.const 0x100) (i32.const 0) (i32.const 0xffffff00))",
        "(memory.copy (i32.const 0) (i32.const 0x30000) (i32.const 0x20000))",
        "(memory.copy (i32.const -16) (i32.const 0) (i32.const 0x20000))",
    ] {
        assert_eq!(
            code("", instruction),
            [const { Cause::Trap(TrapKind::MemoryOutOfBounds) }; 3],
            "{instruction}"
        );
    }
    let table = "(table $t 8 funcref)";
    let outside = "(table.fill $t (i32.const 1) (ref.null func) (i32.const 8))";
    let causes = code(table, outside);
    assert_eq!(
        causes,
        [const { Cause::Trap(TrapKind::TableOutOfBounds) }; 3]
    );
}

#[test]
fn a_plugin_that_overwrites_everything_in_reach_only_harms_itself() {
    let imports = r#"
        (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
        (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
        (import "extism:host/env" "free" (func $free (param i64)))
        (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
        (import "extism:host/env" "length" (func $length (param i64) (result i64)))"#;
    // A block is freed while it is in use, and another one takes its place.
    let key = "(global.set $block (call $alloc (i64.const 24)))";
    let exchange = "(call $var_set (global.get $block) (call $alloc (i64.const 200)))
        (drop (call $var_get (global.get $block))) (call $free (global.get $block))";
    let write_over = "(call $fill (i64.const 0x10000) (i64.const 0x10200))
        (call $fill (call $input_offset) (i64.add (call $input_offset) (call $input_length)))";
    for body in [
        format!("{key} {exchange} {write_over} (return (i32.const 5))"),
        format!("{write_over} {key} {exchange} (return (i32.const 5))"),
        format!("{key} {key} {write_over} (call $error_set (global.get $block)) {write_over}"),
        "(call $fill (i64.const 0) (i64.const -1))".to_owned(),
    ] {
        let mut guest = misbehaves(imports, &body);
        guest.functions += "
            (func $fill (param $at i64) (param $end i64)
                (loop $more
                    (call $store_u64 (local.get $at) (i64.const -1))
                    (local.set $at (i64.add (local.get $at) (i64.const 8)))
                    (br_if $more (i64.lt_u (i64.add (local.get $at) (i64.const 7)) (local.get $end)))))";
        survives(&guest);
    }
}

#[test]
fn an_error_of_the_guest_is_reported_as_one_whatever_its_text() {
    for text in [
        "Returned non-zero exit code: 7",
        "timeout",
        "oom",
        "plugin ran out of fuel",
        "unable to load error message from memory: ",
        "cc-lb-fuzz:error",
    ] {
        let body = format!("{} (return (i32.const 1))", set_error(text));
        let causes = survives(&misbehaves("", &body));
        let error = Cause::GuestError(text.to_owned());
        assert_eq!(causes, [error.clone(), error.clone(), error]);
    }
}

/// Returns modules that exceed a limit of the guard, one for each way to exceed one.
fn too_expensive_modules() -> Vec<String> {
    let many = |what: &str, times: usize| what.repeat(times);
    let results = |results: usize, calls: usize| {
        format!(
            "(func $many (result {}) (unreachable)) (func {} (unreachable))",
            many("i32 ", results),
            many("(call $many) ", calls)
        )
    };
    let numbered =
        |count: usize, item: &dyn Fn(usize) -> String| -> String { (0..count).map(item).collect() };
    vec![
        many("(func)", 16_001),
        results(17, 1),
        results(16, 20_000),
        format!("(type (func (param {})))", many("i32 ", 129)),
        numbered(10_001, &|_| "(type (func))".to_owned()),
        many(
            r#"(import "extism:host/env" "alloc" (func (param i64) (result i64)))"#,
            1_001,
        ),
        numbered(20_001, &|n| format!(r#"(export "m{n}" (memory 0))"#)) + "(memory 1)",
        numbered(513, &|n| format!(r#"(func (export "f{n}"))"#)),
        many("(global i32 (i32.const 0))", 10_001),
        many("(data (i32.const 0) \"a\")", 20_001) + "(memory 1)",
        format!(r#"(memory 1024) (data "{}")"#, many("a", (8 << 20) + 1)),
        numbered(1_001, &|n| format!(r#"(data (i32.const {}) "a")"#, n << 15)) + "(memory 1024)",
        format!(
            "(global i32 {} (i32.const 1) {})",
            many("i32.const 1 ", 60_000),
            many("i32.add ", 60_000)
        )
        .replace(" (i32.const 1) ", " i32.const 1 "),
        format!(
            r#"(memory 1) {} (func {})"#,
            numbered(300, &|n| format!(r#"(data $d{n} "a")"#)),
            numbered(300, &|n| format!(
                "(memory.init $d{n} (i32.const 0) (i32.const 0) (i32.const 1))"
            ))
        ),
        format!(
            "(func (local {}) (block (br_table {} (i32.const 0))))",
            many("i32 ", 100),
            many("0 ", 100_000)
        ),
        format!(
            "(func {} {})",
            many("i32.const 0 if ", 1_001),
            many("end ", 1_001)
        ),
        format!("(func {})", many("(loop) ", 12_001)),
        format!("(func $f {})", many("(drop (ref.func $f)) ", 60_001))
            + r#"(elem declare func $f)"#,
        format!(
            "(table 1 funcref) (func $f) {}",
            many(
                &format!("(func {})", many("(call_indirect (i32.const 0)) ", 2_900)),
                14
            )
        ),
        many(&format!("(func (local {}))", many("i32 ", 100)), 10_001),
        format!(
            "(type $t (func (param {}))) {}",
            many("i32 ", 100),
            many("(func (type $t))", 2_000)
        ),
        many(
            &format!(
                "(func (local {}) {})",
                many("i32 ", 1_000),
                many("(block) ", 7_000)
            ),
            6,
        ),
        format!(
            "(func {} {} {})",
            many("i32.const 0 ", 3_000),
            many("(block) ", 3_000),
            many("drop ", 3_000)
        ),
        format!("(func {})", many("f32.const 0 f32.nearest drop ", 40_000)),
        many(
            &format!(
                "(func (result {}) {} unreachable)",
                many("i32 ", 16),
                many(
                    &format!(
                        "(if (i32.const 0) (then {} return))",
                        many("i32.const 0 ", 16)
                    ),
                    4_500
                )
            ),
            3,
        ),
        "(table 65536 funcref) (func $f) ".to_owned()
            + &many("(elem (i32.const 0) func $f $f) ", 14_500),
        "(table 1 funcref) (func $f) ".to_owned()
            + &many(
                &format!(
                    "(elem (offset i32.const 0 {}) func $f) ",
                    many("i32.const 0 i32.add ", 3)
                ),
                16_000,
            ),
        "(global externref (ref.null extern))".to_owned(),
        format!(r#"(func (export "{}"))"#, many("n", 1_001)),
        numbered(300, &|n| format!(r#"(export "{n:01000}" (memory 0))"#)) + "(memory 1)",
    ]
}

#[test]
fn a_module_that_is_too_expensive_is_refused_with_a_reason() {
    let reasons: Vec<String> = too_expensive_modules()
        .iter()
        .map(|module| {
            let wasm = wat::parse_str(format!("(module {module})")).expect("valid text");
            let begin = Instant::now();
            let refused = PluginSession::new(&wasm).err();
            assert!(begin.elapsed() < OPENING_SLACK, "{:.60}", module);
            match refused {
                Some(HandshakeError::Instantiate { reason }) => reason,
                other => panic!("{module:.60}: {other:?}"),
            }
        })
        .collect();
    insta::assert_snapshot!(reasons.join("\n"));
}

#[test]
fn a_long_function_name_is_not_scanned_at_each_trap() {
    let mut guest = misbehaves("", "(call $deep (i32.const 100))");
    guest.functions += &format!(
        r#"(func $deep (@name "<{}") (param $more i32)
            (if (local.get $more)
                (then (call $deep (i32.sub (local.get $more) (i32.const 1))) (drop (memory.size))))
            (unreachable))"#,
        " ".repeat(3 << 20)
    );
    let trap = Cause::Trap(TrapKind::Unreachable);
    assert_eq!(survives(&guest), [trap.clone(), trap.clone(), trap]);
}

#[test]
fn a_module_may_come_close_to_many_limits_at_once() {
    let mut guest = misbehaves("", "(unreachable)");
    let numbered =
        |count: usize, item: &dyn Fn(usize) -> String| -> String { (0..count).map(item).collect() };
    guest.functions = guest.functions.replace(
        "(memory 1)",
        &format!(
            r#"(memory 512) (data (i32.const 0x800000) "{}") {} {} {}"#,
            "a".repeat(7 << 20),
            numbered(9_000, &|n| format!(
                r#"(global $g{n} (export "g{n}") i32 (i32.const {n}))"#
            )),
            numbered(500, &|n| format!(r#"(func (export "f{n}"))"#)),
            numbered(200, &|n| format!(r#"(data (i32.const {n}) "abc")"#)),
        ),
    );
    let trap = Cause::Trap(TrapKind::Unreachable);
    assert_eq!(survives(&guest), [trap.clone(), trap.clone(), trap]);
}

/// Text of a plugin that imitates the output of the tool, escaped as JSON.
const FORGED: &str =
    r"x\nfinding: forged\n  replay: sh forged\r\u001b[31mforged\u202egorf\u2028forged";

#[test]
fn text_of_a_plugin_cannot_forge_a_line_of_any_report() {
    let request = format!(r#"{{"url":"http://{FORGED}"}}"#);
    let asks = misbehaves(
        r#"(import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))"#,
        &format!(
            "{} (drop (call $http (global.get $block) (i64.const 0)))",
            block(&request)
        ),
    );
    let answer =
        |text: &str| misbehaves("", &format!("{} (return (i32.const 0))", set_output(text)));
    let unknown = answer(&format!(r#"{{"_v":1,"{FORGED}":1}}"#));
    let wrong = answer(&format!(
        r#"{{"_v":1,"url":"","method":"","headers":"{FORGED}","body_base64":""}}"#
    ));
    let mut named = misbehaves("", "(call $named)");
    named.functions +=
        "(func $named (@name \"x\\0afinding: forged\\0d\\e2\\80\\ae\") (unreachable))";
    for guest in [asks, unknown, wrong, named] {
        let folder = folder();
        std::fs::write(folder.path().join("plugin.wasm"), guest.wasm()).expect("it can be written");
        let formats = ["html", "json", "junit", "markdown", "sarif"];
        let reports = formats.map(|format| format!("--report={format}=report.{format}"));
        let run = ["run", "plugin.wasm", "--cases", "300", "--seed", "1"];
        let run: Vec<&str> = run
            .into_iter()
            .chain(reports.iter().map(String::as_str))
            .collect();
        let ended = tool(folder.path(), &run);
        let printed = text(&ended.stdout);
        assert!(printed.contains("plugin_fault in shape"), "{printed}");
        let report = |format| {
            let file = folder.path().join(format!("report.{format}"));
            std::fs::read_to_string(file).expect("it was written")
        };
        let artifacts = folder.path().join("artifacts");
        let stored = std::fs::read_dir(artifacts).expect("the folder of artifacts exists");
        let stored = stored.map(|file| file.expect("it can be read").path());
        let is_finding =
            |path: &std::path::PathBuf| path.display().to_string().contains("plugin_fault");
        let mut stored = stored.map(|path| path.canonicalize().expect("the file exists"));
        let stored = stored.find(is_finding).expect("the finding was stored");
        let stored = stored.display().to_string();
        let replay = ["replay", &stored, "--plugin", "plugin.wasm"];
        let replayed = tool(folder.path(), &replay);
        let texts = formats.map(report).into_iter();
        for output in texts.chain([printed, text(&replayed.stdout)]) {
            let forged = output.split(['\n', '\r', '\u{2028}']);
            let forged: Vec<_> = forged
                .filter(|line| line.trim_start().starts_with("finding: forged"))
                .collect();
            assert_eq!(forged, [""; 0], "{output}");
            assert!(
                !output.contains(['\u{1b}', '\u{202e}', '\u{2028}', '\r']),
                "{output}"
            );
        }
    }
}

#[test]
fn what_a_call_leaves_behind_does_not_use_up_the_fuel_of_the_next_one() {
    let mebibyte = "(call $alloc (i64.const 0x100000))";
    let junk = format!("(call $output_set {mebibyte} (i64.const 0x100000)) (return (i32.const 0))");
    let error = format!("(call $error_set {mebibyte}) (return (i32.const 1))");
    for (body, kind) in [(&junk, "an undecodable answer"), (&error, "an error")] {
        let mut guest = misbehaves("", body);
        // A healthy call that needs more than nine tenths of its fuel.
        let healthy = guest.functions.strip_suffix("(i32.const 0))");
        guest.functions = healthy.expect("it answers").to_owned()
            + "(call $burn) (i32.const 0))
            (func $burn (local $n i32)
                (loop $more
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $more (i32.lt_u (local.get $n) (i32.const 1150000)))))";
        for cause in survives(&guest) {
            let expected = match kind {
                "an error" => {
                    matches!(&cause, Cause::GuestError(text) if text.contains("… (1048576 bytes) …"))
                }
                _ => matches!(cause, Cause::Undecodable(_)),
            };
            assert!(expected, "{kind}: {cause:.100}");
        }
    }
}

#[test]
fn a_failed_host_function_is_reported_as_one_whatever_its_error_text() {
    let imports = r#"(import "extism:host/env" "var_set" (func $var_set (param i64 i64)))"#;
    let full = "(global.set $block (call $alloc (i64.const 1)))
        (call $store_u8 (global.get $block) (i32.const 107))
        (call $var_set (global.get $block) (call $alloc (i64.const 0xffff0)))";
    for cause in survives(&misbehaves(imports, full)) {
        let full = Cause::HostFunction("Variable store is full".to_owned());
        assert_eq!(cause, full);
    }
}
