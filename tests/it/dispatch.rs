//! The dispatch session: its interface, and what the puppet cannot test.

use std::collections::BTreeSet;

use cc_lb_fuzz::dispatch::{FallbackPolicy, RunError, run};
use cc_lb_fuzz::host::{Cause, DispatchOutcome, Host, PluginHost, PluginSession, Stage, TrapKind};
use cc_lb_fuzz::puppet;
use cc_lb_plugin_wire::v1::shape::{ShapeFn, ShapeRequest, ShapeResponse};
use cc_lb_plugin_wire::v1::sign::SignFn;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::common::{Guest, puppet_host, set_output};

/// Compiles the same code with either crate: code for the reference must compile with this crate.
macro_rules! code_for {
    ($name:ident, $krate:ident) => {
        mod $name {
            use std::collections::BTreeSet;

            use cc_lb_plugin_wire::v1::sign::SignFn;
            use cc_lb_plugin_wire::wire_function::WireFunction;
            use $krate::dispatch::{
                self, DispatchOutcome, FallbackPolicy, PluginSession, RunError,
            };
            use $krate::handshake::HandshakeError;

            pub fn sign(wasm: &[u8], caps: &BTreeSet<String>) -> Result<String, HandshakeError> {
                let mut session: PluginSession = if caps.is_empty() {
                    PluginSession::new(wasm)?
                } else {
                    PluginSession::new_with_caps(wasm, caps)?
                };
                Ok(
                    match session.dispatch::<SignFn>(SignFn::dry_run_request()) {
                        DispatchOutcome::Ok(response) => format!("{response:?}"),
                        DispatchOutcome::Fallback(FallbackPolicy::FailRequest) => {
                            "failed".to_owned()
                        }
                        other => format!("{other:?}"),
                    },
                )
            }

            pub fn run_once(wasm: &[u8]) -> String {
                match dispatch::run::<SignFn>(wasm, SignFn::dry_run_request()) {
                    Ok(outcome) => format!("{:?}", outcome.clone() == outcome),
                    Err(RunError::Build { reason: _ }) => "no plugin".to_owned(),
                    Err(RunError::Handshake(error)) => match error {
                        HandshakeError::Instantiate { reason } => reason,
                        HandshakeError::MissingExport => "no handshake".to_owned(),
                        HandshakeError::InvalidIdentity { field, reason: _ } => field.to_owned(),
                        HandshakeError::FunctionMissing { name } => name,
                        HandshakeError::DowngradeAttempt {
                            function,
                            host_offered_max,
                            plugin_chose,
                        } => format!("{function} {host_offered_max} {plugin_chose}"),
                        HandshakeError::MissingCapability { name } => name,
                        HandshakeError::Serialization { reason } => reason,
                        HandshakeError::WasmTrap { reason } => reason,
                        other => other.to_string(),
                    },
                    Err(other) => other.to_string(),
                }
            }
        }
    };
}
code_for!(here, cc_lb_fuzz);
code_for!(reference, cc_lb_plugin_conformance);

#[test]
fn code_for_the_reference_does_the_same_with_this_crate() {
    let none = BTreeSet::new();
    let some = BTreeSet::from(["kv:read".to_owned()]);
    let shape_only = Guest::shape("{}").wasm();
    let no_handshake = wat::parse_str("(module)").expect("it is valid");
    let unlinked = r#"(module (import "env" "now" (func)) (func (export "cc_lb_handshake")))"#;
    let unlinked = wat::parse_str(unlinked).expect("it is valid");
    for wasm in [
        puppet::wasm(),
        &shape_only,
        &no_handshake,
        &unlinked,
        b"not wasm",
    ] {
        for caps in [&none, &some] {
            let (one, other) = (here::sign(wasm, caps), reference::sign(wasm, caps));
            assert_eq!(one.is_ok(), other.is_ok());
            if let (Ok(one), Ok(other)) = (one, other) {
                assert_eq!(one, other);
            }
        }
        assert_eq!(here::run_once(wasm), reference::run_once(wasm));
    }
}

#[test]
fn run_distinguishes_plugins_that_do_not_compile_from_failed_handshakes() {
    let request = SignFn::dry_run_request;
    assert!(matches!(
        run::<SignFn>(b"not wasm", request()),
        Err(RunError::Build { .. })
    ));
    let no_handshake = wat::parse_str("(module)").expect("it is valid");
    assert!(matches!(
        run::<SignFn>(&no_handshake, request()),
        Err(RunError::Handshake(_))
    ));
    let outcome = run::<SignFn>(puppet::wasm(), request()).expect("the puppet opens");
    assert_eq!(outcome, DispatchOutcome::Ok(SignFn::dry_run_response()));
}

#[test]
fn a_function_that_was_not_negotiated_falls_back_without_a_call() {
    let mut session = PluginSession::new(&Guest::shape("{}").wasm()).expect("it opens");
    let observed = session.observe::<SignFn>(SignFn::dry_run_request());
    assert_eq!(
        observed.outcome,
        DispatchOutcome::Fallback(FallbackPolicy::FailRequest)
    );
    assert_eq!(observed.call.cause, Some(Cause::NotNegotiated));
    assert_eq!((observed.call.fuel, observed.call.input), (None, None));
}

/// `shape` with a request that may fail to serialize.
struct ScriptedShape;

#[derive(Deserialize)]
enum ScriptedRequest {
    Sound,
    Number,
    Fails,
    Panics,
}

impl Serialize for ScriptedRequest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sound => ShapeRequest::dry_run_sample().serialize(s),
            Self::Number => s.serialize_u8(1),
            Self::Fails => Err(S::Error::custom("no")),
            Self::Panics => panic!("the request panics"),
        }
    }
}

impl WireFunction for ScriptedShape {
    const NAME: &'static str = "shape";
    const FALLBACK: FallbackPolicy = FallbackPolicy::UseDefault;
    const SUPPORTED_VERSIONS: &'static [u32] = &[1];
    type Request = ScriptedRequest;
    type Response = ShapeResponse;

    fn dry_run_request() -> ScriptedRequest {
        ScriptedRequest::Sound
    }

    fn dry_run_response() -> ShapeResponse {
        ShapeResponse::dry_run_sample()
    }
}

#[test]
fn a_request_that_panics_or_does_not_serialize_falls_back_and_keeps_the_session() {
    let mut session = puppet_host().open().expect("the puppet opens");
    for (request, cause, stage) in [
        (
            ScriptedRequest::Panics,
            Cause::Panic("the request panics".into()),
            Stage::Panic,
        ),
        (
            ScriptedRequest::Fails,
            Cause::RequestUnserializable("no".into()),
            Stage::RequestEnvelope,
        ),
        (
            ScriptedRequest::Number,
            Cause::RequestNotObject,
            Stage::RequestEnvelope,
        ),
    ] {
        let observed = session.observe::<ScriptedShape>(request);
        assert_eq!(
            observed.outcome,
            DispatchOutcome::Fallback(FallbackPolicy::UseDefault)
        );
        assert_eq!(observed.call.cause.as_ref(), Some(&cause));
        assert_eq!(cause.stage(), stage);
        let outcome = session.dispatch::<ScriptedShape>(ScriptedRequest::Sound);
        assert_eq!(
            outcome,
            DispatchOutcome::Ok(ShapeResponse::dry_run_sample())
        );
    }
}

#[test]
fn every_dispatch_has_its_own_fuel() {
    // Each call uses about 6 of the 10 million units.
    let burn = "(local $n i32) (local.set $n (i32.const 750000))
        (block $done (loop $more
            (br_if $done (i32.eqz (local.get $n)))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br $more)))";
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    let mut guest = Guest::shape(answer);
    guest.functions = format!(
        r#"(func (export "shape") (result i32) {burn} {} (i32.const 0))"#,
        set_output(answer)
    );
    let mut session = PluginSession::new(&guest.wasm()).expect("it opens");
    for _ in 0..4 {
        let observed = session.observe::<ShapeFn>(ShapeFn::dry_run_request());
        assert!(
            matches!(observed.outcome, DispatchOutcome::Ok(_)),
            "{:?}",
            observed.call
        );
        let fuel = observed.call.fuel.expect("the guest was called");
        assert!((6_000_000..7_000_000).contains(&fuel), "{fuel}");
    }
}

#[test]
fn sessions_of_one_host_share_nothing() {
    let source = Guest {
        functions: r#"
            (global $calls (mut i32) (i32.const 0))
            (func (export "shape") (result i32)
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                (global.get $calls))"#
            .to_owned(),
        ..Guest::shape("")
    };
    let host = PluginHost::new(&source.wasm()).expect("it opens");
    let mut sessions = [
        host.open().expect("it opens"),
        host.open().expect("it opens"),
    ];
    for calls in 1..=3 {
        for session in &mut sessions {
            let cause = session
                .observe::<ShapeFn>(ShapeFn::dry_run_request())
                .call
                .cause;
            assert_eq!(cause, Some(Cause::ExitCode(calls)));
        }
    }
}

#[test]
fn a_guest_has_no_wasi_no_files_and_no_network() {
    let request = r#"(import "wasi_snapshot_preview1" "fd_write"
        (func (param i32 i32 i32 i32) (result i32)))"#;
    let wasm = wat::parse_str(format!("(module {request})")).expect("it is valid");
    assert!(PluginHost::new(&wasm).is_err());
    // `http_request` can be imported, but fails: the build has no HTTP, and no host is allowed.
    let fetch = r#"(module
        (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
        (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
        (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
        (import "extism:host/env" "error_set" (func $error_set (param i64)))
        (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
        (global $block (mut i64) (i64.const 0))"#;
    let guest = Guest::shape("");
    let handshake = set_output(&guest.handshake);
    let identity = guest.identities[0].replace('"', "\\22");
    let meta = set_output(r#"{"url":"http://127.0.0.1:9/"}"#);
    let source = format!(
        r#"{fetch}
        (@custom "cc_lb.plugin.v1" "{identity}")
        (func (export "cc_lb_handshake") (result i32) {handshake} (i32.const 0))
        (func (export "shape") (result i32) {meta}
            (drop (call $http_request (global.get $block) (i64.const 0))) (i32.const 0)))"#
    );
    let wasm = wat::parse_str(source).expect("it is valid");
    let mut session = PluginSession::new(&wasm).expect("it opens");
    let observed = session.observe::<ShapeFn>(ShapeFn::dry_run_request());
    let Some(Cause::HostFunction(reason)) = &observed.call.cause else {
        panic!("{:?}", observed.call);
    };
    assert!(reason.contains("not enabled"), "{reason}");
    // The URL of the guest is not read, and not in the error.
    assert!(!reason.contains("127.0.0.1"), "{reason}");
}

/// Extism calls its kernel for the length of an argument, and the stack may overflow there.
#[test]
fn a_stack_overflow_inside_a_host_function_is_reported_as_one() {
    let (imports, call) = (
        r#"(import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))"#,
        "(call $var_get (global.get $block))",
    );
    assert_stack_overflow_is_reported(imports, call, &|cause| cause.is_none());
    // This function always fails.
    let (imports, call) = (
        r#"(import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))"#,
        "(call $http_request (i64.const 0) (i64.const 0))",
    );
    assert_stack_overflow_is_reported(imports, call, &|cause| match cause {
        Some(Cause::HostFunction(reason)) => reason.contains("not enabled"),
        _ => false,
    });
}

/// Asserts that a host function called at any depth of the stack has its usual result up to some
/// depth, and is reported as a stack overflow at the 60 depths after it.
fn assert_stack_overflow_is_reported(
    imports: &str,
    call: &str,
    is_usual: &dyn Fn(Option<&Cause>) -> bool,
) {
    let mut guest = Guest::shape("");
    guest.imports = imports.to_owned();
    let answer = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;
    guest.functions = format!(
        r#"(func $down (param $more i64) (result i64)
            (if (result i64) (i64.eqz (local.get $more))
                (then {call})
                (else (call $down (i64.sub (local.get $more) (i64.const 1))))))
        (func (export "shape") (result i32)
            (global.set $block (call $alloc (i64.const 1)))
            (call $store_u8 (global.get $block) (i32.const 107))
            (drop (call $down (call $input_length)))
            {} (i32.const 0))"#,
        set_output(answer)
    );
    let mut session = PluginSession::new(&guest.wasm()).expect("it opens");
    let mut cause = |depth: usize| {
        let mut request = ShapeFn::dry_run_request();
        request.request.query = Some("q".repeat(depth));
        // On a busy machine any call may time out.
        let mut causes = (0..20).map(|_| session.observe::<ShapeFn>(request.clone()).call.cause);
        causes
            .find(|cause| *cause != Some(Cause::Timeout))
            .flatten()
    };
    let (mut shallow, mut deep) = (0_usize, 100_000_usize);
    while deep - shallow > 1 {
        let middle = shallow.midpoint(deep);
        if is_usual(cause(middle).as_ref()) {
            shallow = middle;
        } else {
            deep = middle;
        }
    }
    for depth in deep..deep + 60 {
        let cause = cause(depth);
        assert_eq!(cause, Some(Cause::Trap(TrapKind::StackOverflow)), "{depth}");
    }
}
