//! The rules of the handshake: which plugins the guarded and the published host refuse, and with
//! which error.

use cc_lb_fuzz::handshake::{HandshakeError, build_offer};
use cc_lb_fuzz::host::{Host, PluginHost};

use crate::agreement::open_on_both;
use crate::common::{Guest, accept, set_error};

const ANSWER: &str = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;

fn guest() -> Guest {
    Guest::shape(ANSWER)
}

fn with_handshake(handshake: String) -> Vec<u8> {
    let mut guest = guest();
    guest.handshake = handshake;
    guest.wasm()
}

fn refused(wasm: &[u8]) -> HandshakeError {
    open_on_both(wasm, &[]).expect_err("the plugin is refused")
}

/// Returns the field that the `InvalidIdentity` error names.
fn invalid_field(wasm: &[u8]) -> &'static str {
    match refused(wasm) {
        HandshakeError::InvalidIdentity { field, .. } => field,
        other => panic!("refused with another error: {other:?}"),
    }
}

#[test]
fn a_sound_plugin_opens() {
    open_on_both(&guest().wasm(), &[]).expect("it opens");
}

#[test]
fn bytes_that_are_not_a_module_cannot_be_instantiated() {
    for bytes in [&b"not wasm"[..], b"", b"\0asm", &guest().wasm()[..40]] {
        assert!(matches!(refused(bytes), HandshakeError::Instantiate { .. }));
    }
}

#[test]
fn a_module_with_an_unknown_import_cannot_be_instantiated() {
    let wasm =
        wat::parse_str(r#"(module (import "env" "now" (func)) (func (export "cc_lb_handshake")))"#);
    let error = refused(&wasm.expect("valid WebAssembly"));
    assert!(
        matches!(error, HandshakeError::Instantiate { .. }),
        "{error}"
    );
}

#[test]
fn a_module_without_a_handshake_is_refused() {
    let wasm = wat::parse_str("(module)").expect("valid WebAssembly");
    assert_eq!(refused(&wasm), HandshakeError::MissingExport);
}

#[test]
fn a_plugin_whose_handshake_fails_is_refused() {
    for body in [
        "(unreachable)",
        "(loop $l (br $l))",
        "(return (i32.const 3))",
    ] {
        let wasm = format!(
            r#"(module (func (export "cc_lb_handshake") (result i32) {body} (i32.const 0)))"#
        );
        let wasm = wat::parse_str(wasm).expect("valid WebAssembly");
        assert!(
            matches!(refused(&wasm), HandshakeError::WasmTrap { .. }),
            "{body}"
        );
    }
}

#[test]
fn a_handshake_response_that_is_not_utf_8_is_refused() {
    let wasm = r#"(module
        (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
        (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
        (func (export "cc_lb_handshake") (result i32) (local $block i64)
            (local.set $block (call $alloc (i64.const 1)))
            (call $store_u8 (local.get $block) (i32.const 0xff))
            (call $output_set (local.get $block) (i64.const 1))
            (i32.const 0)))"#;
    let error = refused(&wat::parse_str(wasm).expect("valid WebAssembly"));
    assert!(matches!(error, HandshakeError::WasmTrap { .. }), "{error}");
}

#[test]
fn a_guest_may_refuse_if_a_capability_is_missing() {
    let refuse = set_error("required capability 'kv:read' not available in host capabilities");
    let source = format!(
        r#"(module
            (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
            (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
            (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
            (import "extism:host/env" "error_set" (func $error_set (param i64)))
            (global $block (mut i64) (i64.const 0))
            (func (export "cc_lb_handshake") (result i32) {refuse} (i32.const 1)))"#
    );
    let missing = HandshakeError::MissingCapability {
        name: "kv:read".to_owned(),
    };
    assert_eq!(
        refused(&wat::parse_str(source).expect("valid WebAssembly")),
        missing
    );
}

#[test]
fn a_required_capability_must_be_offered() {
    let wasm = with_handshake(accept(
        r#""shape":1"#,
        r#""shape":[1]"#,
        r#""shape""#,
        r#""kv:read""#,
    ));
    let missing = HandshakeError::MissingCapability {
        name: "kv:read".to_owned(),
    };
    assert_eq!(refused(&wasm), missing);
    open_on_both(&wasm, &["kv:read", "kv:write"]).expect("the plugin opens with the capability");
    let capabilities = ["kv:read", "kv:write"].map(str::to_owned).into();
    let host = PluginHost::new_with_caps(&wasm, &capabilities).expect("it opens");
    let granted = &host.metadata().negotiated_capabilities;
    assert_eq!(granted.iter().collect::<Vec<_>>(), ["kv:read"]);
}

#[test]
fn too_many_capabilities_are_refused_before_the_guest_is_called() {
    let names: Vec<String> = (0..33).map(|n| format!("cap{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let error = open_on_both(&guest().wasm(), &names).expect_err("the plugin is refused");
    let field = "host_capabilities";
    assert!(
        matches!(&error, HandshakeError::InvalidIdentity { field: f, .. } if *f == field),
        "{error}"
    );
}

#[test]
fn a_handshake_response_that_does_not_parse_is_refused() {
    let sound = guest().handshake;
    for answer in [
        "null".to_owned(),
        sound.replace("\"envelope_version\":1,", ""),
        sound.replace("\"envelope_version\"", "\"extra\":1,\"envelope_version\""),
        format!("{sound}x"),
        format!("{}{sound}", " ".repeat(32 * 1024)),
    ] {
        let error = refused(&with_handshake(answer));
        assert!(
            matches!(error, HandshakeError::Serialization { .. }),
            "{error}"
        );
    }
}

#[test]
fn a_handshake_response_of_another_schema_version_is_refused() {
    let sound = guest().handshake;
    let answer = sound.replace(
        "\"handshake_schema_version\":1",
        "\"handshake_schema_version\":2",
    );
    assert_eq!(
        invalid_field(&with_handshake(answer)),
        "handshake_schema_version"
    );
}

#[test]
fn a_chosen_version_must_be_offered_supported_and_implemented() {
    let chosen = |chosen: &str, supported: &str, implemented: &str| {
        with_handshake(accept(chosen, supported, implemented, ""))
    };
    let not_offered = chosen(r#""shape":2"#, r#""shape":[2]"#, r#""shape""#);
    assert_eq!(invalid_field(&not_offered), "chosen_versions");
    let unknown = chosen(
        r#""shape":1,"route":1"#,
        r#""shape":[1],"route":[1]"#,
        r#""shape""#,
    );
    assert_eq!(invalid_field(&unknown), "chosen_versions");
    let unsupported = chosen(r#""shape":1"#, r#""shape":[3]"#, r#""shape""#);
    assert_eq!(invalid_field(&unsupported), "chosen_versions");
    let not_implemented = chosen(r#""sign":1"#, r#""sign":[1]"#, r#""shape""#);
    let missing = HandshakeError::FunctionMissing {
        name: "sign".to_owned(),
    };
    assert_eq!(refused(&not_implemented), missing);
}

#[test]
fn declared_functions_must_be_offered_and_have_valid_versions() {
    let unknown = accept(r#""shape":1"#, r#""shape":[1]"#, r#""shape","route""#, "");
    assert_eq!(
        invalid_field(&with_handshake(unknown)),
        "implemented_functions"
    );
    let unknown = accept(
        r#""shape":1"#,
        r#""shape":[1],"route":[1]"#,
        r#""shape""#,
        "",
    );
    assert_eq!(invalid_field(&with_handshake(unknown)), "plugin_supported");
    for version in ["0", "65536"] {
        let supported = format!(r#""shape":[1,{version}]"#);
        let answer = accept(r#""shape":1"#, &supported, r#""shape""#, "");
        assert_eq!(invalid_field(&with_handshake(answer)), "plugin_supported");
    }
    let many: Vec<String> = (0..17).map(|n| format!("\"f{n}\"")).collect();
    let answer = accept("", "", &many.join(","), "");
    assert_eq!(
        invalid_field(&with_handshake(answer)),
        "implemented_functions"
    );
}

#[test]
fn declared_functions_must_match_the_exports() {
    let answer = accept(r#""shape":1"#, r#""shape":[1]"#, r#""shape","sign""#, "");
    let missing = HandshakeError::FunctionMissing {
        name: "sign".to_owned(),
    };
    assert_eq!(refused(&with_handshake(answer)), missing);
    let mut undeclared = guest();
    undeclared.functions += r#"(func (export "observe") (result i32) (i32.const 0))"#;
    assert_eq!(invalid_field(&undeclared.wasm()), "implemented_functions");
    // An export that a host cannot call is not a wire function.
    let mut other = guest();
    other.functions += r#"(func (export "observe") (param i32)) (func (export "helper"))"#;
    open_on_both(&other.wasm(), &[]).expect("it opens");
}

#[test]
fn a_downgrade_is_refused() {
    let mut offer = build_offer(&Default::default());
    offer
        .function_versions
        .insert("shape".to_owned(), vec![1, 2, 3]);
    let answer = accept(r#""shape":1"#, r#""shape":[1,2]"#, r#""shape""#, "");
    let error = PluginHost::with_offer(&with_handshake(answer), &offer).err();
    assert_eq!(
        error,
        Some(HandshakeError::DowngradeAttempt {
            function: "shape".to_owned(),
            host_offered_max: 2,
            plugin_chose: 1,
        })
    );
    let answer = accept(r#""shape":2"#, r#""shape":[1,2]"#, r#""shape""#, "");
    let host = PluginHost::with_offer(&with_handshake(answer), &offer).expect("it opens");
    assert_eq!(host.negotiated("shape"), Some(2));
}

#[test]
fn an_invalid_offer_is_refused() {
    let field = |offer: &cc_lb_plugin_wire::handshake::HandshakeOffer| match PluginHost::with_offer(
        &guest().wasm(),
        offer,
    )
    .err()
    {
        Some(HandshakeError::InvalidIdentity { field, .. }) => field,
        other => panic!("refused with another error: {other:?}"),
    };
    let offer = build_offer(&Default::default());
    let mut versions = offer.clone();
    versions
        .function_versions
        .insert("shape".to_owned(), vec![0]);
    assert_eq!(field(&versions), "function_versions");
    let mut functions = offer;
    functions
        .function_versions
        .extend((0..33).map(|n| (format!("f{n}"), vec![1])));
    assert_eq!(field(&functions), "function_versions");
}

#[test]
fn a_plugin_must_have_exactly_one_valid_identity() {
    let sound = guest().identities.remove(0);
    let too_large = format!("{}{sound}", " ".repeat(64 * 1024));
    let identities = [
        vec![],
        vec![sound.clone(), sound.clone()],
        vec![too_large],
        vec![sound.replace("204", "205")],
        vec![sound.replace("\"abi_envelope\":1,", "")],
        vec![sound.replace("\"abi_envelope\"", "\"extra\":1,\"abi_envelope\"")],
        vec![sound.replace("\"guest\"", "\"\"")],
        vec![sound.replace("\"guest\"", "\"Guest\"")],
        vec![sound.replace("\"1.0.0\"", "\"\"")],
        vec![sound.replace("1.0.0", &"1".repeat(33))],
    ];
    for identities in identities {
        let mut guest = guest();
        guest.identities = identities;
        assert_eq!(invalid_field(&guest.wasm()), "custom_section");
    }
}
