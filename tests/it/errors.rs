//! Errors that prevent a run are printed in one line, and the exit code is 2.

use std::path::Path;

use cc_lb_fuzz::exit_code;
use tempfile::TempDir;

use crate::cli::{code, folder, text, tool};
use crate::common::{Guest, accept, case, healthy, set_error};

/// Every way to call the tool wrongly, with the files of [`folder_with_files`].
const ATTEMPTS: &str = "
    run missing.wasm
    run .
    run no.wasm
    run empty.wasm
    run magic.wasm
    run truncated.wasm
    run text.wat
    run invalid.wat
    run component.wasm
    run later_wasm.wasm
    run wasi.wat
    run env.wat
    run nothing.wat
    run large_memory.wat
    run large_table.wat
    run many_tables.wat
    run memory64.wat
    run no_identity.wasm
    run two_identities.wasm
    run identity_is_no_json.wasm
    run identity_of_another.wasm
    run no_handshake.wasm
    run handshake_traps.wasm
    run handshake_fails.wasm
    run handshake_says_nothing.wasm
    run handshake_is_no_json.wasm
    run handshake_of_a_later_schema.wasm
    run chooses_what_was_not_offered.wasm
    run lacks_what_it_declares.wasm
    run has_no_function.wasm
    run wants_a_capability.wasm
    run start_traps.wasm
    run start_spins.wasm
    run plugin.wasm --function sign
    run plugin.wasm --function shap
    run --function route
    run --cases 5 --time 5s
    run --cases -1
    run --cases many
    run --time soon
    run --time 5
    run plugin.wasm --time 1ns
    run --seed x
    run --workers 0
    run --workers none
    run --phase sooner
    run plugin.wasm --phase answers
    run plugin.wasm --phase answers --cases 5
    run --host other
    run --deny everything
    run --report page.html
    run --report xml=page.xml
    run --report html=bad_corpus/no_case.json/page.html
    run --report html=empty_folder
    run --report html=page.html --report json=./page.html
    run --artifacts bad_corpus/no_case.json
    run --corpus missing
    run --corpus bad_corpus
    run --corpus empty_folder
    run --corpus case.json
    run --resume
    run --resume --seed 1
    run --bogus
    run plugin.wasm other.wasm
    run plugin.wasm --artifacts
    fly
    replay
    replay missing.json
    replay later.json
    replay broken.json
    replay plugin.wasm
    replay no_steps.json
    replay unknown_function.json
    replay unknown_field.json
    replay empty_folder
    replay case.json --plugin missing.wasm
    replay case.json --plugin no_identity.wasm
    minimize missing.json
    minimize later.json
    minimize case.json --plugin no.wasm
    minimize case.json --artifacts bad_corpus/no_case.json
    corpus min bad_corpus
    corpus stats missing
    corpus add new empty_folder
    show missing.json
    show broken.json
    show case.json --as poem
    inspect missing.wasm
    inspect no.wasm
    inspect wasi.wat
    inspect handshake_traps.wasm
    limits missing.wasm
    limits no_handshake.wasm
    limits plugin.wasm --function sign
    completions tcsh
    --config missing.toml run
    --config broken.toml run
    --config unknown_key.toml run
    --config odd_value.toml run
";

/// Returns [`Guest::shape`] with one change.
fn guest(change: impl FnOnce(&mut Guest)) -> Vec<u8> {
    let mut guest = Guest::shape("{}");
    change(&mut guest);
    guest.wasm()
}

/// Writes the plugins.
fn plugins(put: &dyn Fn(&str, &[u8])) {
    let wasm = guest(|_| ());
    put("plugin.wasm", &wasm);
    put("other.wasm", &wasm);
    put("no.wasm", b"not wasm");
    put("empty.wasm", b"");
    put("magic.wasm", b"\0asm");
    put("truncated.wasm", &wasm[..wasm.len() / 2]);
    put("component.wasm", b"\0asm\x0d\0\x01\0");
    put("later_wasm.wasm", b"\0asm\x02\0\0\0");
    put("text.wat", b"(module (func)");
    put("invalid.wat", b"(module (func (result i32)))");
    put("nothing.wat", b"(module)");
    let imports = |module: &str| format!("(module (import \"{module}\" \"random_get\" (func)))");
    put("wasi.wat", imports("wasi_snapshot_preview1").as_bytes());
    put("env.wat", imports("env").as_bytes());
    put("large_memory.wat", b"(module (memory 2000))");
    put("large_table.wat", b"(module (table 100000 funcref))");
    let many = format!("(module {})", "(table 1 funcref)".repeat(200));
    put("many_tables.wat", many.as_bytes());
    put("memory64.wat", b"(module (memory i64 1))");
    put("no_identity.wasm", &guest(|guest| guest.identities.clear()));
    put(
        "two_identities.wasm",
        &guest(|guest| guest.identities.push(guest.identities[0].clone())),
    );
    put(
        "identity_is_no_json.wasm",
        &guest(|guest| guest.identities = vec!["{".to_owned()]),
    );
    let other = |text: &str| text.replace("204", "205");
    put(
        "identity_of_another.wasm",
        &guest(|guest| guest.identities[0] = other(&guest.identities[0])),
    );
    put(
        "handshake_says_nothing.wasm",
        &guest(|guest| guest.handshake.clear()),
    );
    put(
        "handshake_is_no_json.wasm",
        &guest(|guest| guest.handshake = "yes".to_owned()),
    );
    let schema = "\"handshake_schema_version\":";
    let later = |text: &str, what: &str| text.replace(&format!("{what}1"), &format!("{what}9"));
    put(
        "handshake_of_a_later_schema.wasm",
        &guest(|guest| guest.handshake = later(&guest.handshake, schema)),
    );
    put(
        "chooses_what_was_not_offered.wasm",
        &guest(|guest| {
            guest.handshake = accept(r#""shape":7"#, r#""shape":[7]"#, r#""shape""#, "");
        }),
    );
    put(
        "lacks_what_it_declares.wasm",
        &guest(|guest| {
            guest.handshake = accept(r#""sign":1"#, r#""sign":[1]"#, r#""sign""#, "");
        }),
    );
    put(
        "has_no_function.wasm",
        &guest(|guest| {
            guest.handshake = accept("", "", "", "");
            guest.functions.clear();
        }),
    );
    put(
        "wants_a_capability.wasm",
        &guest(|guest| {
            guest.handshake = accept("", "", "", r#""kv:read""#);
        }),
    );
    let start = |code: &str| {
        guest(|guest| guest.functions += &format!("(start $start) (func $start {code})"))
    };
    put("start_traps.wasm", &start("(unreachable)"));
    put("start_spins.wasm", &start("(loop $more (br $more))"));
    put("no_handshake.wasm", &wasm[..8]);
    let handshake = |code: &str| {
        let text = format!(
            "(module (import \"extism:host/env\" \"alloc\" (func $alloc (param i64) (result i64)))
            (import \"extism:host/env\" \"store_u8\" (func $store_u8 (param i64 i32)))
            (import \"extism:host/env\" \"store_u64\" (func $store_u64 (param i64 i64)))
            (import \"extism:host/env\" \"error_set\" (func $error_set (param i64)))
            (global $block (mut i64) (i64.const 0))
            (func (export \"cc_lb_handshake\") (result i32) {code}))"
        );
        wat::parse_str(text).expect("it is valid")
    };
    put("handshake_traps.wasm", &handshake("(unreachable)"));
    put(
        "handshake_fails.wasm",
        &handshake(&(set_error("not today") + "(i32.const 1)")),
    );
}

/// Writes the cases and configuration files.
fn cases(put: &dyn Fn(&str, &[u8])) {
    put("later.json", br#"{"format":3,"steps":[]}"#);
    put("broken.json", b"{\"format\":1,");
    put("no_steps.json", br#"{"format":1,"steps":[]}"#);
    put(
        "unknown_function.json",
        br#"{"format":1,"steps":[{"request":{"route_v1":{}}}]}"#,
    );
    let sound = case([healthy("observe_v1")])
        .to_json()
        .expect("it serializes");
    put("case.json", sound.as_bytes());
    put(
        "unknown_field.json",
        sound.replace("\"events\"", "\"evens\"").as_bytes(),
    );
    put("broken.toml", b"time = ");
    put("unknown_key.toml", b"tme = \"5s\"");
    put("odd_value.toml", b"[time]\nseconds = 5");
}

/// Returns a folder with all files that the attempts name.
fn folder_with_files() -> TempDir {
    let folder = folder();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).expect("it can be written");
    };
    plugins(&put);
    cases(&put);
    for name in ["bad_corpus", "empty_folder"] {
        std::fs::create_dir(folder.path().join(name)).expect("it can be created");
    }
    put("bad_corpus/no_case.json", b"[]");
    folder
}

/// Returns the only line that an attempt prints.
fn error(folder: &Path, attempt: &str) -> String {
    let arguments: Vec<&str> = attempt.split(' ').collect();
    let output = tool(folder, &arguments);
    let error = text(&output.stderr);
    let context = format!("{attempt}: {}{error}", text(&output.stdout));
    assert_eq!(code(&output), exit_code::COULD_NOT_RUN, "{context}");
    assert_eq!(error.lines().count(), 1, "{context}");
    error
        .strip_prefix("cc-lb-fuzz: ")
        .expect(&context)
        .trim()
        .to_owned()
}

#[test]
fn every_error_is_printed_in_one_line_with_exit_code_2() {
    let folder = folder_with_files();
    let attempts = ATTEMPTS
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let lines: Vec<_> = attempts
        .map(|attempt| format!("{attempt}\n  {}", error(folder.path(), attempt)))
        .collect();
    assert!(lines.len() >= 60, "{}", lines.len());
    insta::assert_snapshot!(lines.join("\n"));
}
