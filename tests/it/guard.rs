//! No guest can crash, hang or deceive a session, or break it for later requests.

use std::time::{Duration, Instant};

use cc_lb_fuzz::check::WALL_SLACK;
use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{
    Cause, DispatchOutcome, Host, Observed, PluginHost, PluginSession, TrapKind, guard,
};
use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;
use cc_lb_plugin_wire::v1::shape::{ShapeFn, ShapeRequest, ShapeResponse};
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{Guest, OPENING_SLACK, assert_in_time, set_output};

const ANSWER: &str = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;

/// Returns a plugin that runs `body` if a request is long, and otherwise answers.
pub fn misbehaves(imports: &str, body: &str) -> Guest {
    let mut guest = Guest::shape("");
    guest.imports = imports.to_owned();
    guest.functions = format!(
        r#"(memory 1)
        (func (export "shape") (result i32)
            (if (i64.gt_u (call $input_length) (i64.const 400)) (then {body}))
            {} (i32.const 0))"#,
        set_output(ANSWER)
    );
    guest
}

/// Returns a request that is long or not.
pub fn request(long: bool) -> ShapeRequest {
    let mut request = ShapeFn::dry_run_request();
    request.request.query = long.then(|| "q".repeat(400));
    request
}

/// Lets the plugin misbehave three times, and returns the causes. Asserts that each such call falls
/// back in time, and that the healthy call after it is answered.
pub fn survives(guest: &Guest) -> Vec<Cause> {
    let mut session = PluginSession::new(&guest.wasm()).expect("it opens");
    let mut causes = Vec::new();
    for _ in 0..3 {
        let observed: Observed<ShapeResponse> = session.observe::<ShapeFn>(request(true));
        assert_eq!(
            observed.outcome,
            DispatchOutcome::Fallback(ShapeFn::FALLBACK)
        );
        causes.extend(observed.call.cause);
        let observed = session.observe::<ShapeFn>(request(false));
        assert!(
            matches!(observed.outcome, DispatchOutcome::Ok(_)),
            "{:?}",
            observed.call
        );
    }
    assert_in_time(WALL_SLACK, || {
        drop(session.dispatch::<ShapeFn>(request(true)))
    });
    causes
}

/// Asserts that the misbehavior traps each time.
fn assert_traps(imports: &str, body: &str) {
    let causes = survives(&misbehaves(imports, body));
    let is_trap = |cause: &Cause| matches!(cause, Cause::Trap(_));
    assert!(
        causes.len() == 3 && causes.iter().all(is_trap),
        "{body}: {causes:?}"
    );
}

#[test]
fn an_output_outside_of_all_blocks_traps() {
    for at in [
        "(i64.const 64)",
        "(call $alloc (i64.const 8))",
        "(i64.const -1)",
    ] {
        for length in [-1, -20, 9, 1 << 40, i64::MAX] {
            assert_traps("", &format!("(call $output_set {at} (i64.const {length}))"));
        }
    }
}

#[test]
fn the_kernels_bookkeeping_cannot_be_overwritten() {
    for at in [
        0,
        1,
        57,
        63,
        64,
        65,
        -1,
        -8,
        1 << 31,
        (1 << 32) - 1,
        i64::MIN,
    ] {
        assert_traps(
            "",
            &format!("(call $store_u8 (i64.const {at}) (i32.const 1))"),
        );
        assert_traps(
            "",
            &format!("(call $store_u64 (i64.const {at}) (i64.const -1))"),
        );
    }
    for into in [-12, -8, -1, 1, 8, 9, 16] {
        let body = format!(
            "(call $store_u64 (i64.add (call $alloc (i64.const 8)) (i64.const {into})) (i64.const -1))"
        );
        assert_traps("", &body);
    }
}

#[test]
fn a_freed_block_is_not_a_valid_error_but_can_be_written() {
    let imports = r#"
        (import "extism:host/env" "free" (func $free (param i64)))
        (import "extism:host/env" "length" (func $length (param i64) (result i64)))
        (import "extism:host/env" "log_info" (func $log_info (param i64)))"#;
    let allocate = "(global.set $block (call $alloc (i64.const 8)))";
    let store = "(call $store_u8 (global.get $block) (i32.const 1))";
    let length =
        "(return (i32.add (i32.const 5) (i32.wrap_i64 (call $length (global.get $block)))))";
    for free in [
        "(call $free (global.get $block))",
        "(call $log_info (global.get $block))",
    ] {
        let causes = survives(&misbehaves(
            imports,
            &format!("{allocate} {free} {store} {length}"),
        ));
        assert_eq!(causes, [const { Cause::ExitCode(5) }; 3]);
        assert_traps(
            imports,
            &format!("{allocate} {free} (call $error_set (global.get $block))"),
        );
    }
}

#[test]
fn an_error_that_is_not_a_block_falls_back() {
    for at in [
        "(i64.const 1)",
        "(i64.add (call $alloc (i64.const 8)) (i64.const 1))",
        "(call $alloc (i64.const -1))",
    ] {
        let body = format!("(call $error_set {at}) (return (i32.const 1))");
        survives(&misbehaves("", &body));
    }
}

#[test]
fn allocations_are_bounded_and_do_not_affect_the_next_call() {
    for size in [-1_i64, -58, 1 << 23, 1 << 32, (1 << 20) + 1] {
        let body = format!(
            "(if (i64.ne (call $alloc (i64.const {size})) (i64.const 0)) (then (unreachable))) (return (i32.const 5))"
        );
        assert_eq!(
            survives(&misbehaves("", &body)),
            [Cause::ExitCode(5), Cause::ExitCode(5), Cause::ExitCode(5)]
        );
    }
    let many = "(loop $more (br_if $more (i64.ne (call $alloc (i64.const 4096)) (i64.const 0)))) (return (i32.const 5))";
    survives(&misbehaves("", many));
    let endless = "(loop $more (drop (call $alloc (i64.const 1))) (br $more))";
    survives(&misbehaves("", endless));
}

#[test]
fn a_plugin_cannot_reset_the_kernel() {
    let reset = r#"(import "extism:host/env" "reset" (func $reset))"#;
    assert_traps(reset, "(call $reset) (drop (call $alloc (i64.const -58)))");
    let input_set = r#"(import "extism:host/env" "input_set" (func $input_set (param i64 i64)))"#;
    assert_traps(input_set, "(call $input_set (i64.const 0) (i64.const -1))");
}

#[test]
fn host_functions_with_invalid_handles_fall_back() {
    for (import, ty, call) in [
        ("log_info", "(param i64)", "(call $f (i64.const 5))"),
        (
            "var_set",
            "(param i64 i64)",
            "(call $f (i64.const 5) (i64.const 5))",
        ),
        (
            "var_get",
            "(param i64) (result i64)",
            "(drop (call $f (i64.const -9)))",
        ),
        (
            "config_get",
            "(param i64) (result i64)",
            "(drop (call $f (i64.const 70)))",
        ),
        (
            "http_request",
            "(param i64 i64) (result i64)",
            "(drop (call $f (i64.const 1) (i64.const 1)))",
        ),
    ] {
        let imports = format!(r#"(import "extism:host/env" "{import}" (func $f {ty}))"#);
        let body = format!("{call} (return (i32.const 1))");
        survives(&misbehaves(&imports, &body));
    }
}

#[test]
fn variables_outlive_a_call_and_their_blocks_do_not() {
    let imports = r#"
        (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
        (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
        (import "extism:host/env" "length" (func $length (param i64) (result i64)))"#;
    // Sets a variable of 8 bytes if the request is long, and otherwise returns its length.
    let mut guest = misbehaves(imports, "");
    guest.functions = r#"
        (func $key (result i64) (local $key i64)
            (local.set $key (call $alloc (i64.const 1)))
            (call $store_u8 (local.get $key) (i32.const 107))
            (local.get $key))
        (func (export "shape") (result i32) (local $value i64)
            (if (i64.gt_u (call $input_length) (i64.const 400))
                (then (call $var_set (call $key) (call $alloc (i64.const 8))) (return (i32.const 100))))
            (local.set $value (call $var_get (call $key)))
            (call $store_u8 (i64.add (local.get $value) (i64.const 7)) (i32.const 1))
            (i32.wrap_i64 (call $length (local.get $value))))"#
        .to_owned();
    let mut session = PluginSession::new(&guest.wasm()).expect("it opens");
    let mut code = |long| session.observe::<ShapeFn>(request(long)).call.cause;
    assert_eq!(code(true), Some(Cause::ExitCode(100)));
    assert_eq!(code(false), Some(Cause::ExitCode(8)));
    assert_eq!(code(false), Some(Cause::ExitCode(8)));
}

#[test]
fn memory_and_tables_are_bounded() {
    let fill = "(drop (memory.grow (i32.const 65535)))
        (drop (memory.grow (i32.const 1023)))
        (loop $more (memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536))) (br $more))";
    let causes = survives(&misbehaves("", fill));
    assert_eq!(causes, [Cause::Timeout, Cause::Timeout, Cause::Timeout]);
    let mut table = misbehaves("", "");
    table.functions = format!(
        r#"(table $t 1 funcref)
        (func (export "shape") (result i32)
            (if (i64.gt_u (call $input_length) (i64.const 400))
                (then (return (table.grow $t (ref.null func) (i32.const 0x10000000)))))
            {} (i32.const 0))"#,
        set_output(ANSWER)
    );
    assert_eq!(
        survives(&table),
        [
            Cause::ExitCode(-1),
            Cause::ExitCode(-1),
            Cause::ExitCode(-1)
        ]
    );
}

#[test]
fn the_largest_allowed_plugin_can_be_instantiated_repeatedly() {
    let mut largest = misbehaves("", "(unreachable)");
    let tables = format!("(table {} funcref)", guard::TABLE_MAX_ENTRIES);
    largest.functions = largest.functions.replace(
        "(memory 1)",
        &format!(
            "(memory {}) {}",
            guard::MEMORY_MAX_PAGES,
            tables.repeat(guard::TABLES_MAX as usize)
        ),
    );
    assert_eq!(
        survives(&largest),
        [const { Cause::Trap(TrapKind::Unreachable) }; 3]
    );
    // Several instances exist at the same time.
    let host = PluginHost::new(&largest.wasm()).expect("it opens");
    let open = || host.open().expect("it opens");
    let mut sessions = [open(), open(), open()];
    for session in &mut sessions {
        let outcome = session.dispatch::<ShapeFn>(request(false));
        assert!(matches!(outcome, DispatchOutcome::Ok(_)));
    }
}

#[test]
fn a_trap_in_the_middle_of_a_state_change_resets_the_plugin() {
    let mut guest = misbehaves("", "");
    guest.functions = format!(
        r#"(global $busy (mut i32) (i32.const 0))
        (func (export "shape") (result i32)
            (if (global.get $busy) (then (unreachable)))
            (global.set $busy (i32.const 1))
            (if (i64.gt_u (call $input_length) (i64.const 400)) (then (unreachable)))
            (global.set $busy (i32.const 0))
            {} (i32.const 0))"#,
        set_output(ANSWER)
    );
    survives(&guest);
}

#[test]
fn an_error_is_not_lost_if_the_fuel_runs_out() {
    // Sets an answer and an error, and then runs this many loops, less the length of the input.
    let burns = |loops: u64| {
        let mut guest = misbehaves("", "");
        let error = "(call $error_set (global.get $block))";
        guest.functions = format!(
            r#"(func (export "shape") (result i32) (local $n i64)
                {} {error}
                (local.set $n (i64.sub (i64.const {loops}) (call $input_length)))
                (block $done (loop $more
                    (br_if $done (i64.eqz (local.get $n)))
                    (local.set $n (i64.sub (local.get $n) (i64.const 1)))
                    (br $more)))
                (i32.const 0))"#,
            set_output(ANSWER)
        );
        PluginSession::new(&guest.wasm()).expect("it opens")
    };
    let request_of = |query: usize| {
        let mut request = request(false);
        request.request.query = Some("q".repeat(query));
        request
    };
    let fuel = |loops| {
        let observed = burns(loops).observe::<ShapeFn>(request_of(200));
        observed.call.fuel.expect("the guest was called")
    };
    let (once, twice) = (fuel(100_000), fuel(200_000));
    let left = HANDSHAKE_FUEL - once;
    let loops = 100_000 + left * 100_000 / (twice - once);
    let mut session = burns(loops);
    let (mut errors, mut out_of_fuel) = (0, 0);
    for length in 0..400 {
        let observed = session.observe::<ShapeFn>(request_of(length));
        assert_eq!(
            observed.outcome,
            DispatchOutcome::Fallback(ShapeFn::FALLBACK),
            "{:?}",
            observed.call
        );
        match observed.call.cause {
            Some(Cause::OutOfFuel) => out_of_fuel += 1,
            Some(_) => errors += 1,
            None => unreachable!("a fallback has a cause"),
        }
    }
    assert!(
        errors > 0 && out_of_fuel > 0,
        "{errors} errors, {out_of_fuel} out of fuel"
    );
}

/// Returns a plugin with this start code, which has this export, or is the start section if
/// `export` is empty.
fn plugin_with_start_code(body: &str, export: &str) -> Vec<u8> {
    let mut guest = misbehaves("", "");
    guest.functions = format!(
        r#"(memory 16)
        (global $ready (mut i32) (i32.const 0))
        (func $start {export} {body})
        (func (export "shape") (result i32)
            (if (i64.gt_u (call $input_length) (i64.const 400)) (then (unreachable)))
            {} (i32.sub (global.get $ready) (i32.const 1)))"#,
        set_output(ANSWER)
    );
    if export.is_empty() {
        guest.functions += "(start $start)";
    }
    guest.wasm()
}

#[test]
fn start_code_runs_once_per_instance_within_the_limits_of_a_call() {
    for export in [
        "",
        r#"(export "_initialize")"#,
        r#"(export "__wasm_call_ctors")"#,
    ] {
        let ready = "(global.set $ready (i32.add (global.get $ready) (i32.const 1)))";
        let mut session =
            PluginSession::new(&plugin_with_start_code(ready, export)).expect("it opens");
        for long in [false, false, true, false] {
            let outcome = session.dispatch::<ShapeFn>(request(long));
            assert_eq!(matches!(outcome, DispatchOutcome::Ok(_)), !long, "{export}");
        }
        let hang = "(loop $more (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x100000)) (br $more))";
        for endless in [hang, "(loop $more (br $more))", "(unreachable)"] {
            let wasm = plugin_with_start_code(endless, export);
            assert_in_time(OPENING_SLACK, || {
                let error = PluginSession::new(&wasm).err().expect("it must not open");
                assert!(
                    matches!(&error, HandshakeError::Instantiate { reason } if reason.contains("start code")),
                    "{error}"
                );
            });
        }
    }
}

#[test]
fn a_module_with_forbidden_items_is_refused_with_a_reason() {
    let mut code =
        String::from("(func (export \"cc_lb_handshake\") (result i32) (i32.const 0)) (func");
    code.push_str(&"(drop (i32.const 0))".repeat(700_000));
    code.push(')');
    let reasons: Vec<String> = [
        r#"(import "main" "shape" (func))"#,
        r#"(import "extism:host/user" "f" (func))"#,
        r#"(import "extism:host/env" "memory" (memory 1))"#,
        r#"(import "cc-lb-fuzz:guard" "begin" (func))"#,
        r#"(import "extism:host/env" "no_such_function" (func)) (func (export "cc_lb_handshake"))"#,
        "(memory 1025)",
        "(table 65537 funcref)",
        &"(table 1 funcref)".repeat(17),
        "(memory i64 1)",
        "(type (array i8))",
        &code,
        &format!(
            "(func (local {}) {})",
            "i32 ".repeat(5_000),
            "(block (br_if 0 (i32.const 0)))".repeat(5_000)
        ),
        &format!(
            "(table 1 funcref) (func $f) {}",
            format!("(elem (i32.const 0) {})", "$f ".repeat(1_000)).repeat(200)
        ),
    ]
    .iter()
    .map(|module| {
        let wasm = wat::parse_str(format!("(module {module})")).expect("it is valid");
        let begin = Instant::now();
        match PluginHost::new(&wasm).err() {
            Some(HandshakeError::Instantiate { reason }) => {
                assert!(begin.elapsed() < Duration::from_secs(5));
                reason.lines().next().unwrap_or_default().to_owned()
            }
            other => panic!("{other:?}"),
        }
    })
    .collect();
    insta::assert_snapshot!(reasons.join("\n"));
    let too_large = PluginHost::new(&vec![0; guard::MODULE_MAX_BYTES + 1]).err();
    let Some(HandshakeError::Instantiate { reason }) = too_large else {
        panic!("{too_large:?}");
    };
    let expected =
        "the module has 67108865 bytes, 67108864 at most: leave out its debug information";
    assert!(reason.starts_with(expected), "{reason}");
}

#[test]
fn a_request_that_is_too_large_falls_back_without_a_call() {
    let mut session =
        PluginSession::new(&misbehaves("", "(unreachable)").wasm()).expect("it opens");
    let mut large = request(false);
    large.request.body_base64 = "A".repeat(1 << 20);
    let observed = session.observe::<ShapeFn>(large);
    assert!(matches!(
        observed.call.cause,
        Some(Cause::RequestTooLarge(_))
    ));
    assert_eq!(observed.call.fuel, None);
    let outcome = session.dispatch::<ShapeFn>(request(false));
    assert!(matches!(outcome, DispatchOutcome::Ok(_)));
}

#[test]
fn a_session_that_times_out_does_not_interrupt_others() {
    let stall =
        "(loop $more (memory.fill (i32.const 0) (i32.const 0) (i32.const 0x10000)) (br $more))";
    let host = PluginHost::new(&misbehaves("", stall).wasm()).expect("it opens");
    let mut stalling = host.open().expect("it opens");
    let mut healthy = host.open().expect("it opens");
    std::thread::scope(|scope| {
        let stalls = scope.spawn(move || {
            (0..2)
                .map(|_| stalling.observe::<ShapeFn>(request(true)).call.cause)
                .collect::<Vec<_>>()
        });
        while !stalls.is_finished() {
            let observed = healthy.observe::<ShapeFn>(request(false));
            assert!(
                matches!(observed.outcome, DispatchOutcome::Ok(_)),
                "{:?}",
                observed.call
            );
        }
        let causes = stalls.join().expect("it must not panic");
        assert_eq!(causes, [Some(Cause::Timeout), Some(Cause::Timeout)]);
    });
}
