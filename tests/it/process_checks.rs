//! The checks of the process that a host runs in: that it does not crash or hang, and its memory.

use cc_lb_fuzz::puppet::{Op, TrapOp};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::worker::{HostKind, Setup, Workers};

use crate::common::{Guest, accept, case, healthy, set_output, with_program};
use crate::workers::{faulty, faulty_with, found, setup, workers};

/// Asserts that only `check` finds something in a case with a trap on a faulty host, and no check
/// does on a sound one.
fn only_finds(check: &str, class: &str, host: &str) {
    let case = case([with_program("sign_v1", [Op::Trap(TrapOp::Memory)])]);
    assert_eq!(found(&workers(HostKind::Guarded), &case), []);
    let expected = (check.to_owned(), class.to_owned());
    let seen = || {
        let mut seen = found(&faulty(host), &case);
        // Taking memory takes time, on a busy machine too much of it.
        seen.retain(|(check, _)| check != "within_wall");
        seen
    };
    // A slow case is not confirmed repeatedly, and on a busy machine any case may be slow.
    let seen = (0..5).map(|_| seen()).find(|seen| !seen.is_empty());
    assert_eq!(seen, Some(vec![expected]));
    // No check finds anything if the guest does not trap.
    let healthy = crate::common::case([healthy("sign_v1")]);
    assert_eq!(found(&faulty(host), &healthy), []);
}

#[test]
fn no_crash_finds_a_host_that_dies() {
    only_finds("no_crash", "SIGABRT", "aborts");
    only_finds("no_crash", "exit code 3", "exits");
}

#[test]
fn no_crash_finds_a_host_that_never_answers() {
    only_finds("no_crash", "silence", "hangs");
}

#[test]
fn within_memory_finds_a_host_that_takes_too_much_memory() {
    only_finds("within_memory", "", "hogs");
}

/// Returns a plugin that fills 56 MiB of its own memory in every call, and answers with a state
/// that is a list of 4,000 objects: 32 KB of text.
fn answers_many_small_objects() -> Vec<u8> {
    let mut guest = Guest::shape("");
    guest.handshake = accept(
        r#""build_signer":1"#,
        r#""build_signer":[1]"#,
        r#""build_signer""#,
        "",
    );
    let text = |from: &str, text: &str| {
        let bytes = text.bytes().enumerate();
        let stores = bytes.map(|(at, byte)| {
            format!("(call $store_u8 (i64.add {from} (i64.const {at})) (i32.const {byte}))")
        });
        stores.collect::<String>()
    };
    let head = r#"{"_v":1,"signer_state":["#;
    let tail = "0]}";
    let entry = u64::from_le_bytes(*br#"{"a":0},"#);
    let (first, entries) = (head.len(), 4_000);
    let last = first + 8 * entries;
    let length = last + tail.len();
    guest.functions = format!(
        r#"(memory 1)
        (func (export "build_signer") (result i32) (local $at i64) (local $end i64)
            (drop (memory.grow (i32.sub (i32.const 896) (memory.size))))
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3800000))
            (global.set $block (call $alloc (i64.const {length})))
            {}
            (local.set $at (i64.add (global.get $block) (i64.const {first})))
            (local.set $end (i64.add (global.get $block) (i64.const {last})))
            (loop $more
                (call $store_u64 (local.get $at) (i64.const {entry}))
                (local.set $at (i64.add (local.get $at) (i64.const 8)))
                (br_if $more (i64.lt_u (local.get $at) (local.get $end))))
            {}
            (call $output_set (global.get $block) (i64.const {length}))
            (i32.const 0))"#,
        text("(global.get $block)", head),
        text("(local.get $at)", tail),
    );
    guest.wasm()
}

#[test]
fn within_memory_does_not_blame_a_plugin_for_the_memory_that_reading_its_answers_takes() {
    let setup = Setup {
        wasm: answers_many_small_objects(),
        subject: Subject::Plugin,
        ..setup(HostKind::Guarded.name())
    };
    let program = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let workers = Workers::new(program, ["worker"], setup).expect("the workers are created");
    let case = case(vec![healthy("build_signer_v1"); 3]);
    let replay = workers.worker().replay(&case).expect("it runs");
    let answered = replay
        .steps
        .iter()
        .filter(|step| step.outcome.starts_with("Ok"));
    assert!(answered.count() > 0, "{:?}", replay.steps[0].cause);
    let found = replay.violations;
    let blamed = found
        .iter()
        .any(|found| found.check.name() == "within_memory");
    assert!(!blamed, "{found:?}");
}

#[test]
fn a_host_that_dies_while_limits_are_measured_is_reported_with_the_function() {
    let mut guest = Guest::shape("");
    let answer = set_output(r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#);
    guest.functions = format!(
        r#"(func (export "shape") (result i32)
            (if (i64.gt_u (call $input_length) (i64.const 9000)) (then (unreachable)))
            {answer} (i32.const 0))"#
    );
    let setup = Setup {
        wasm: guest.wasm(),
        subject: Subject::Plugin,
        ..setup("aborts")
    };
    let workers = faulty_with(setup);
    let died = workers.worker().limits(&[0]).expect_err("the process dies");
    let message = died.to_string();
    assert_eq!(message, "the process died of SIGABRT in a call of shape_v1");
    let inspected = workers.worker().inspect().expect("the module is inspected");
    let agreed = inspected.agreed.expect("it opens");
    assert_eq!(agreed, None, "this host does not report it");
}

#[test]
fn no_leak_finds_a_host_that_leaks_memory_in_every_call() {
    only_finds("no_leak", "", "leaks");
}
