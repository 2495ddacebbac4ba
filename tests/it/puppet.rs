//! The puppet executes its programs, and the model predicts their results.

use std::collections::BTreeSet;

use cc_lb_fuzz::case::{Case, Depth, ONCE, Step};
use cc_lb_fuzz::check::WALL_SLACK;
use cc_lb_fuzz::execute::{Runner, dispatch};
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{
    Cause, Decoding, DispatchOutcome, Host as _, ReferenceHost, Stage, TrapKind,
};
use cc_lb_fuzz::puppet::{self, Bytes, Ending, Import, Op, Operand, Program, TrapOp};
use cc_lb_fuzz::record::{StepRecord, Subject};
use cc_lb_fuzz::wire::{Request, Vocabulary};
use cc_lb_plugin_wire::limits::HANDSHAKE_FUEL;

use crate::common::{assert_in_time, puppet_host};

/// Runs steps in one session and returns their records.
fn observe(steps: Vec<Step>) -> Vec<StepRecord> {
    let host = puppet_host();
    let mut runner = Runner::new(&host, Subject::Puppet).expect("the puppet opens");
    let record = runner.run(&Case { steps }, Depth::Light);
    record.expect("the puppet opens").steps
}

/// Returns the dry-run request of the first function with this program in it.
fn step(ops: impl Into<Vec<Op>>) -> Step {
    Step {
        request: Request::dry_run(0),
        program: Some(Program(ops.into())),
        times: ONCE,
    }
}

fn cause_of(ops: impl Into<Vec<Op>>) -> Option<Cause> {
    observe(vec![step(ops)]).remove(0).call.cause
}

/// Returns a step whose request has a body of this many bytes.
fn large(bytes: usize) -> Step {
    let mut step = Step::<Request>::healthy(2);
    let Request::NormalizeErrorV1(request) = &mut step.request else {
        panic!("the third function is normalize_error");
    };
    request.body_base64.0 = "a".repeat(bytes);
    step
}

#[test]
fn without_a_program_every_function_answers_with_its_dry_run_response() {
    for (place, function) in Request::functions().iter().enumerate() {
        let seen = observe(vec![Step::healthy(place)]).remove(0);
        let response = function.dry_run_response().expect("it serializes");
        assert_eq!(seen.result.outcome(), Some(&DispatchOutcome::Ok(response)));
        let prediction = seen.prediction.expect("a prediction");
        assert_eq!(
            seen.call.output.as_deref(),
            prediction.answer(),
            "{function:?}"
        );
    }
}

#[test]
fn every_trap_operation_causes_its_kind_of_trap() {
    let kinds = TrapOp::ALL.map(|op| match cause_of([Op::Trap(op)]) {
        Some(Cause::Trap(kind)) => kind,
        other => panic!("{op:?} resulted in {other:?}"),
    });
    assert_eq!(
        kinds,
        [
            TrapKind::Unreachable,
            TrapKind::IntegerDivisionByZero,
            TrapKind::IntegerOverflow,
            TrapKind::BadConversionToInteger,
            TrapKind::MemoryOutOfBounds,
            TrapKind::TableOutOfBounds,
            TrapKind::IndirectCallToNull,
            TrapKind::BadSignature,
            TrapKind::StackOverflow,
        ]
    );
}

#[test]
fn every_other_failure_has_its_own_cause() {
    assert_eq!(cause_of([Op::Spin]), Some(Cause::OutOfFuel));
    assert_eq!(cause_of([Op::Stall]), Some(Cause::Timeout));
    assert_eq!(
        cause_of([Op::EmitHealthy, Op::Return(7)]),
        Some(Cause::ExitCode(7))
    );
    assert_eq!(cause_of([Op::EmitHealthy, Op::Return(0)]), None);
    assert_eq!(
        cause_of([Op::EmitHealthy, Op::SetError("no".into())]),
        Some(Cause::GuestError("no".to_owned()))
    );
    assert_eq!(cause_of([Op::EmitHealthy, Op::SetError("".into())]), None);
}

#[test]
fn an_error_that_reads_like_one_of_extism_is_still_a_guest_error() {
    for text in ["timeout", "plugin ran out of fuel", "oom"] {
        let cause = cause_of([Op::SetError(text.into())]);
        assert_eq!(cause, Some(Cause::GuestError(text.to_owned())));
    }
}

#[test]
fn a_trap_after_an_error_is_reported_as_the_trap() {
    let cause = cause_of([Op::SetError("no".into()), Op::Trap(TrapOp::Memory)]);
    assert_eq!(cause, Some(Cause::Trap(TrapKind::MemoryOutOfBounds)));
    let cause = cause_of([Op::SetError("no".into()), Op::Stall]);
    assert_eq!(cause, Some(Cause::Timeout));
    let cause = cause_of([Op::SetError("no".into()), Op::Spin]);
    assert_eq!(cause, Some(Cause::OutOfFuel));
}

#[test]
fn every_failure_to_decode_has_its_own_cause() {
    let undecodable = |answer: &[u8]| match cause_of([Op::Emit(Bytes(answer.to_vec()))]) {
        Some(Cause::Undecodable(decoding)) => decoding,
        other => panic!("{answer:?} resulted in {other:?}"),
    };
    assert_eq!(undecodable(b"\xff"), Decoding::NotUtf8);
    assert!(matches!(undecodable(b""), Decoding::NotJson(_)));
    assert!(matches!(undecodable(b"{\"_v\":1} x"), Decoding::NotJson(_)));
    assert_eq!(undecodable(b"[]"), Decoding::NotObject);
    let deep = |levels: usize| ["[".repeat(levels), "]".repeat(levels)].concat();
    assert_eq!(undecodable(deep(127).as_bytes()), Decoding::NotObject);
    assert_eq!(undecodable(deep(128).as_bytes()), Decoding::TooDeep);
    let stage = Cause::Undecodable(Decoding::TooDeep).stage();
    assert_eq!(stage, Stage::DeserializeResponse);
    assert_eq!(undecodable(b"{}"), Decoding::VersionMissing);
    assert_eq!(undecodable(b"{\"_v\":1.0}"), Decoding::VersionNotInteger);
    assert_eq!(undecodable(b"{\"_v\":\"1\"}"), Decoding::VersionNotInteger);
    assert_eq!(
        undecodable(b"{\"_v\":2}"),
        Decoding::VersionMismatch {
            expected: 1,
            actual: 2
        }
    );
    assert!(matches!(
        undecodable(b"{\"_v\":1}"),
        Decoding::NotResponse { .. }
    ));
}

#[test]
fn a_mark_that_is_in_the_request_by_accident_is_predicted() {
    for text in [
        "puppet:",
        "puppet:0",
        "puppet:06",
        "puppet:ff",
        "puppet:0b00",
        "puppet:060e",
        "puppet:18ff00",
        "xpuppet:06zz",
    ] {
        let mut step = Step::<Request>::healthy(2);
        step.request.carry(text.to_owned());
        let seen = observe(vec![step]).remove(0);
        let ending = seen.prediction.expect("a prediction").ending;
        match seen.call.cause {
            None => assert_eq!(ending, Ending::Answer, "{text}"),
            Some(Cause::Trap(TrapKind::Unreachable)) => {
                assert_eq!(ending, Ending::Trap(TrapOp::Unreachable), "{text}");
            }
            Some(Cause::Undecodable(_)) => assert_eq!(ending, Ending::Answer, "{text}"),
            Some(other) => panic!("{text} resulted in {other}"),
        }
    }
}

#[test]
fn a_program_or_an_answer_that_is_too_long_traps_as_predicted() {
    let too_long = [
        step([Op::Emit("a".repeat(70_000).into())]),
        step([Op::Repeat {
            byte: 0,
            times: (1 << 21) + 1,
        }]),
        step([
            Op::Repeat {
                byte: 0,
                times: u32::MAX,
            },
            Op::Return(0),
        ]),
    ];
    for seen in observe(too_long.into()) {
        assert_eq!(seen.call.cause, Some(Cause::Trap(TrapKind::Unreachable)));
        let ending = seen.prediction.expect("a prediction").ending;
        assert_eq!(ending, Ending::Trap(TrapOp::Unreachable));
    }
}

#[test]
fn the_models_bounds_of_fuel_hold() {
    let emit = |bytes: usize| step([Op::Emit("a".repeat(bytes).into())]);
    let repeat = |times| step([Op::Repeat { byte: b'a', times }]);
    let steps = vec![
        step([]),
        step(vec![Op::QuoteInput; 8]),
        step(vec![Op::EmitInput; 8]),
        step(vec![Op::LogCall; 16]),
        step([Op::SetError("a".repeat(10_000).into())]),
        emit(10_000),
        emit(30_000),
        repeat(200_000),
        large(100_000),
        Step::healthy(2),
        large(100_000),
        large(100_000),
        // Extism zeroes the memory of a call at the expense of the next one.
        Step::healthy(2),
        step([Op::EmitHealthy, Op::Burn(1_230_000)]),
    ];
    for seen in observe(steps) {
        // The model predicts all of these calls, and none of them runs out of fuel.
        let prediction = seen.prediction.expect("a prediction");
        assert_ne!(prediction.ending, Ending::Unknown, "{:?}", seen.call);
        assert_ne!(seen.call.cause, Some(Cause::OutOfFuel), "{prediction:?}");
    }
}

#[test]
fn a_loop_takes_the_fuel_that_the_model_predicts() {
    let fuel = |loops| {
        observe(vec![step([Op::Burn(loops)])])[0]
            .call
            .fuel
            .expect("the host reports the fuel")
    };
    assert_eq!(fuel(2_000) - fuel(1_000), 8_000);
    let beyond = observe(vec![step([Op::EmitHealthy, Op::Burn(1_300_000)])]).remove(0);
    assert_eq!(beyond.call.cause, Some(Cause::OutOfFuel));
    assert_eq!(beyond.prediction.map(|p| p.ending), Some(Ending::OutOfFuel));
}

#[test]
fn log_calls_are_counted() {
    let seen = observe(vec![
        step([Op::LogCall]),
        step([Op::LogCall, Op::LogCall, Op::Trap(TrapOp::Memory)]),
    ]);
    let guest_calls: Vec<_> = seen.iter().map(|step| step.guest_calls).collect();
    assert_eq!(guest_calls, [Some(1), Some(2)]);
}

#[test]
fn growing_the_memory_changes_no_answer() {
    let seen = observe(vec![
        step([Op::Grow(1), Op::EmitHealthy]),
        step([Op::Grow(u32::MAX), Op::EmitHealthy]),
        step([Op::Grow(65_536 - 67), Op::EmitHealthy]),
        step([Op::Grow(1), Op::EmitHealthy]),
    ]);
    assert!(seen.iter().all(|step| step.call.cause.is_none()));
}

#[test]
fn an_interrupted_instance_is_unusable_until_it_is_renewed() {
    let ends_by_itself = step([Op::Hold, Op::Return(1)]);
    let is_interrupted = step([Op::Hold, Op::Trap(TrapOp::Memory)]);
    let steps = [
        ends_by_itself,
        step([]),
        is_interrupted,
        step([Op::EmitHealthy]),
    ];
    let seen = observe(steps.to_vec());
    let half_way: Vec<_> = seen
        .iter()
        .map(|s| s.prediction.as_ref().map(|p| p.half_way))
        .collect();
    assert_eq!(half_way, [false, false, true, false].map(Some));
    // The guarded host continues with a fresh instance.
    assert_eq!(seen[3].call.cause, None);
    // The published host does not.
    let offer = build_offer(&Default::default());
    let published = ReferenceHost::with_offer(puppet::wasm(), &offer).expect("the puppet opens");
    let mut runner = Runner::new(&published, Subject::Puppet).expect("the puppet opens");
    let record = runner.run(
        &Case {
            steps: steps.to_vec(),
        },
        Depth::Light,
    );
    let record = record.expect("the puppet opens");
    let last = record.steps[3]
        .result
        .outcome()
        .expect("the host does not panic");
    assert!(matches!(last, DispatchOutcome::Fallback(_)), "{last:?}");
}

#[test]
fn an_abort_after_an_error_does_not_leave_the_instance_unusable() {
    let not_utf_8 = Op::SetError(Bytes(vec![0xff]));
    let no_handle = call(Import::LogInfo, (None, 1), (None, 0), 0);
    for error in [Op::SetError("no".into()), not_utf_8] {
        for end in [
            Op::Trap(TrapOp::Memory),
            Op::Stall,
            Op::Spin,
            no_handle.clone(),
        ] {
            let seen = observe(vec![
                step([Op::Hold, error.clone(), end.clone()]),
                step([Op::EmitHealthy]),
            ]);
            let cause = seen[0].call.cause.as_ref().expect("it fails");
            assert!(cause.is_abnormal(), "{error:?}, {end:?}: {cause}");
            assert_eq!(seen[1].call.cause, None, "{error:?}, {end:?}: {cause}");
        }
    }
}

/// Returns a call of Extism with these operands: each is a register, if any, plus a constant.
fn call(function: Import, a: (Option<u8>, i64), b: (Option<u8>, i64), to: u8) -> Op {
    let operand = |(register, add)| Operand { register, add };
    Op::Call {
        function,
        operands: [operand(a), operand(b)],
        to,
    }
}

const NONE: (Option<u8>, i64) = (None, 0);

#[test]
fn a_program_calls_extism_with_registers_and_constants() {
    let block = (Some(1), 0);
    let seen = observe(vec![step([
        call(Import::Alloc, (None, 2), NONE, 1),
        call(Import::StoreU8, block, (None, 65), 0),
        call(Import::LoadU8, block, NONE, 2),
        call(Import::StoreU8, (Some(1), 1), (Some(2), 1), 0),
        call(Import::Length, block, NONE, 3),
        call(Import::OutputSet, block, (Some(3), 0), 0),
    ])])
    .remove(0);
    assert_eq!(seen.call.output.as_deref(), Some(&b"AB"[..]));
    let ending = seen.prediction.expect("a prediction").ending;
    assert_eq!(ending, Ending::Unknown, "calls of Extism are not predicted");
}

#[test]
fn every_function_of_extism_can_be_called_and_registers_do_not_outlive_a_call() {
    for function in Import::ALL {
        let seen = observe(vec![
            step([call(function, (None, -1), (None, -1), 3), Op::EmitHealthy]),
            step([
                call(Import::Alloc, (Some(3), 4), NONE, 0),
                call(Import::Length, (Some(0), 0), NONE, 1),
                call(Import::OutputSet, (Some(0), 0), (Some(1), 0), 0),
            ]),
        ]);
        let output = seen[1].call.output.as_deref();
        assert_eq!(
            output,
            Some(&[0; 4][..]),
            "{function:?}: {:?}",
            seen[1].call
        );
    }
}

#[test]
fn times_repeats_the_next_call_only() {
    // The guard has room for sixteen of these blocks.
    let filled = |times: u32| {
        cause_of([
            Op::Times(times),
            call(Import::Alloc, (None, 1 << 16), NONE, 0),
            call(Import::Alloc, (None, 1 << 16), NONE, 1),
            // This traps if there was no room for the block.
            call(Import::StoreU8, (Some(1), 0), NONE, 2),
        ])
    };
    assert!(filled(14).is_none_or(|cause| !cause.is_abnormal()));
    assert_eq!(filled(15), Some(Cause::Trap(TrapKind::Unreachable)));
}

#[test]
fn consecutive_instructions_end_at_the_time_limit_and_harm_no_later_call() {
    assert_in_time(WALL_SLACK, || {
        let host = puppet_host();
        let mut session = host.open().expect("it opens");
        let line = step([Op::Line(958)]).request_with_program();
        let cause = dispatch(line, &mut session).call.cause;
        let is_over = matches!(cause, Some(Cause::Timeout | Cause::Undecodable(_)));
        assert!(is_over, "{cause:?}");
    });
    let seen = observe(vec![step([Op::Line(958)]), step([Op::EmitHealthy])]);
    assert_eq!(seen[1].call.cause, None);
}

#[test]
fn a_program_can_leave_a_requested_amount_of_fuel() {
    for rest in [80, 4_000] {
        let left = || {
            let seen = observe(vec![step([Op::EmitHealthy, Op::BurnTo(rest)])]).remove(0);
            HANDSHAKE_FUEL - seen.call.fuel.expect("the host reports the fuel")
        };
        // On a busy machine the call may time out.
        let near = |left: &u64| left.abs_diff(rest.into()) <= 24;
        assert!((0..5).map(|_| left()).any(|left| near(&left)), "{rest}");
    }
}

/// The version of Extism in `Cargo.toml`.
const EXTISM: &str = "1.30.0";

/// Returns the folder with the sources of the Extism that this was built with. It is in the
/// dependency files of the build. `cargo metadata` would need every package of the workspace,
/// including those that are not built here.
fn extism_sources() -> std::path::PathBuf {
    let tests = std::env::current_exe().expect("a path");
    let built = std::fs::read_dir(tests.parent().expect("the program is in a folder"));
    let dep_infos = built.expect("it can be read").filter_map(|entry| {
        let path = entry.expect("it can be read").path();
        let name = path.file_name()?.to_str()?;
        let is_dep_info = name.starts_with("extism-") && name.ends_with(".d");
        is_dep_info.then(|| std::fs::read_to_string(&path).expect("it is text"))
    });
    let sources = dep_infos.filter_map(|dep_info| {
        let (_, sources) = dep_info.lines().next()?.split_once(": ")?;
        // The first path ends at a space that is not escaped.
        let first = sources.replace("\\ ", "\0");
        let first = first.split(' ').next()?.replace('\0', " ");
        Some(std::path::PathBuf::from(first).with_file_name(""))
    });
    let locked = format!("extism-{EXTISM}");
    let is_locked = |path: &std::path::PathBuf| {
        path.exists()
            && path
                .iter()
                .any(|part| part == locked.as_str() || part == "extism")
    };
    let found = { sources }.find(is_locked);
    found.expect("the dependency files name the sources of Extism")
}

/// Returns the names of functions in a module's imports or exports.
fn functions(wasm: &[u8], of: fn(wasmparser::Payload<'_>) -> Vec<String>) -> BTreeSet<String> {
    let payloads = wasmparser::Parser::new(0).parse_all(wasm);
    payloads
        .flat_map(|payload| of(payload.expect("valid WebAssembly")))
        .collect()
}

#[test]
fn the_puppet_imports_every_function_that_extism_offers() {
    let sources = extism_sources();
    let kernel = std::fs::read(sources.join("extism-runtime.wasm")).expect("the kernel exists");
    let mut offered = functions(&kernel, |payload| match payload {
        wasmparser::Payload::ExportSection(exports) => {
            let exports = exports
                .into_iter()
                .map(|export| export.expect("valid WebAssembly"));
            let functions = exports.filter(|e| e.kind == wasmparser::ExternalKind::Func);
            functions.map(|export| export.name.to_owned()).collect()
        }
        _ => Vec::new(),
    });
    let linking = std::fs::read_to_string(sources.join("plugin.rs")).expect("the file exists");
    let (_, builtins) = linking.split_once("add_funcs!(").expect("a list begins");
    let (builtins, _) = builtins.split_once(");\n\n").expect("the list ends");
    let names = builtins
        .lines()
        .filter_map(|line| line.trim().split_once('('));
    offered.extend(names.map(|(name, _)| name.to_owned()));
    assert!(offered.contains("alloc") && offered.contains("get_log_level"));

    let imported = functions(cc_lb_fuzz::puppet::wasm(), |payload| match payload {
        wasmparser::Payload::ImportSection(imports) => imports
            .into_imports()
            .map(|import| import.expect("valid WebAssembly").name.to_owned())
            .collect(),
        _ => Vec::new(),
    });
    assert_eq!(imported, offered);
    let operations: BTreeSet<String> = Import::ALL
        .iter()
        .map(|import| serde_json::to_value(import).expect("it serializes"))
        .map(|name| name.as_str().expect("the name is a string").to_owned())
        .collect();
    assert_eq!(operations, offered);
}
