//! Handshake cases, whose results are predicted, and arbitrary modules as plugins.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use arbitrary::{Arbitrary as _, Unstructured};
use cc_lb_fuzz::case::{Case, Step};
use cc_lb_fuzz::corpus::{Entry, redundant};
use cc_lb_fuzz::execute::Runner;
use cc_lb_fuzz::fuzz_target::{HandshakeTarget, ModuleTarget, mutate_handshake};
use cc_lb_fuzz::handshake_case::{HandshakeCase, with_handshake};
use cc_lb_fuzz::host::{Cause, Decoding, Guarded, Host, Loader as _, PluginHost, PluginSession};
use cc_lb_fuzz::puppet::Bytes;
use cc_lb_fuzz::record::{Subject, features};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use cc_lb_plugin_wire::v1::shape::ShapeFn;
use cc_lb_plugin_wire::wire_function::WireFunction as _;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use crate::common::{Guest, cases};
use modules::costly::Counts;

#[path = "../../fuzz/fuzz_targets/modules.rs"]
pub mod modules;

/// Returns the handshake case of a seed.
fn handshake_case(seed: u64) -> HandshakeCase {
    let mut entropy = [0; 512];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut entropy);
    HandshakeCase::arbitrary(&mut Unstructured::new(&entropy))
        .expect("a handshake case is generated")
}

#[test]
fn arbitrary_handshake_cases_have_the_predicted_result() {
    let target = HandshakeTarget(Guarded);
    let mut opened = 0;
    let cases = cases(50);
    for seed in 0..cases {
        let handshake_case = handshake_case(seed);
        opened += u64::from(handshake_case.terms().is_some());
        assert_eq!(target.check(&handshake_case), None, "{handshake_case:#?}");
    }
    assert!((cases / 10..cases * 9 / 10).contains(&opened), "{opened}");
}

#[test]
fn handshake_cases_read_back_and_mutate_in_place() {
    let target = HandshakeTarget(Guarded);
    let mut data = vec![0; 256 * 1024];
    let mut size = 0;
    for seed in 0..100 {
        size = mutate_handshake(&mut data, size, 128 * 1024, seed);
        let handshake_case = HandshakeCase::decode(&data[..size]).expect("it is a handshake case");
        assert_eq!(
            handshake_case.to_json().expect("it serializes").as_bytes(),
            &data[..size]
        );
        assert!(target.run(&data[..size]));
    }
    assert!(!target.run(b"not a handshake case"));
    let later = br#"{"format":3}"#;
    assert!(
        HandshakeCase::decode(later)
            .expect_err("the format is a later one")
            .to_string()
            .contains("format 3")
    );
}

#[test]
fn a_finding_about_a_handshake_case_is_shrunk() {
    let mut handshake_case = handshake_case(3);
    handshake_case.identities = vec![Bytes::default()];
    handshake_case.capabilities.insert("kv:read".to_owned());
    let shrunk = handshake_case.shrink(|smaller| smaller.capabilities.contains("kv:read"));
    let mut expected = HandshakeCase::sound(shrunk.exports.iter().map(String::as_str));
    expected.capabilities.insert("kv:read".to_owned());
    assert_eq!(shrunk, expected);
}

#[test]
fn arbitrary_modules_harm_no_host() {
    let target = ModuleTarget::new(Guarded);
    let mut calls = 0;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..cases(24) {
        let mut input = vec![0; 1 << (rng.next_u32() % 12)];
        rng.fill_bytes(&mut input);
        let wasm = modules::module(&input);
        calls += target
            .check(&wasm)
            .unwrap_or_else(|found| panic!("{found:?}"));
    }
    assert!(calls > 0, "no module was opened");
}

#[test]
fn modules_with_many_items_of_a_kind_harm_no_host() {
    let target = ModuleTarget::new(Guarded);
    let mut calls = 0;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..cases(12) {
        let mut input = [0; 64];
        rng.fill_bytes(&mut input);
        let counts =
            Counts::arbitrary(&mut Unstructured::new(&input)).expect("counts are generated");
        let checked = target.check(&counts.module());
        calls += checked.unwrap_or_else(|found| panic!("{counts:?}: {found:?}"));
    }
    assert!(calls > 0, "no module was opened");
}

/// Such an answer is a limit of the plugin, not a fault of the host.
#[test]
fn the_host_is_not_blamed_for_an_answer_of_too_many_values() {
    let mut guest = Guest::shape("");
    // Each comma counts as a value.
    guest.functions = r#"(func (export "shape") (result i32) (local $at i64)
        (global.set $block (call $alloc (i64.const 16384)))
        (loop $more
            (call $store_u64 (i64.add (global.get $block) (local.get $at)) (i64.const 0x2c2c2c2c2c2c2c2c))
            (local.set $at (i64.add (local.get $at) (i64.const 8)))
            (br_if $more (i64.lt_u (local.get $at) (i64.const 16384))))
        (call $output_set (global.get $block) (i64.const 16384))
        (i32.const 0))"#
        .to_owned();
    let wasm = guest.wasm();
    let mut session = PluginSession::new(&wasm).expect("it opens");
    let too_many = Some(Cause::Undecodable(Decoding::TooManyValues));
    // On a busy machine any call may time out.
    let has_too_many = (0..50).any(|_| {
        let observed = session.observe::<ShapeFn>(ShapeFn::dry_run_request());
        observed.call.cause == too_many
    });
    assert!(has_too_many);
    assert_eq!(ModuleTarget::new(Guarded).check(&wasm), Ok(0));
}

#[test]
fn the_dictionary_of_modules_has_every_wire_function() {
    let dictionary = include_str!("../../.clusterfuzzlite/plugin.dict");
    for function in Request::functions() {
        let entry = format!(r#""(export \"{}\"""#, function.name);
        assert!(
            dictionary.lines().any(|line| line == entry),
            "{entry} is missing in .clusterfuzzlite/plugin.dict"
        );
    }
}

#[test]
fn the_added_handshake_of_a_module_declares_what_it_exports() {
    let plugin = r#"(module (type (func (result i32))) (func (export "sign") (type 0) (call 1))
        (func (export "helper") (type 0) (i32.const 7)))"#;
    let wasm = with_handshake(&wat::parse_str(plugin).expect("valid WebAssembly"))
        .expect("a handshake is added");
    let host = PluginHost::new(&wasm).expect("it opens");
    let negotiated: BTreeMap<_, _> = [
        ("sign", host.negotiated("sign")),
        ("helper", host.negotiated("helper")),
    ]
    .into();
    assert_eq!(
        negotiated,
        BTreeMap::from([("sign", Some(1)), ("helper", None)])
    );
    assert_eq!(with_handshake(b"no module"), None);
    assert_eq!(
        with_handshake(&wasm),
        None,
        "the module has a handshake already"
    );
}

/// Returns the names and contents of a corpus's files.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let files = std::fs::read_dir(folder).expect("the folder exists");
    let files = files.map(|file| file.expect("it can be read").path());
    // Files that a fuzzer added have no extension.
    let files = files.filter(|path| path.extension().is_some());
    let read = |path: std::path::PathBuf| {
        let name = path
            .file_stem()
            .expect("the file has a name")
            .to_string_lossy()
            .into_owned();
        (name, std::fs::read(&path).expect("it can be read"))
    };
    files.map(read).collect()
}

#[test]
fn the_handshake_corpus_passes_and_its_names_say_what_opens() {
    let target = HandshakeTarget(Guarded);
    let opens = [
        "sound",
        "that-is-offered",
        "that-is-empty",
        "of-64-kib",
        "of-32-kib",
    ];
    for (name, json) in corpus("handshake") {
        let handshake_case = HandshakeCase::decode(&json).expect("it is a handshake case");
        assert_eq!(target.check(&handshake_case), None, "{name}");
        let sound = opens
            .iter()
            .any(|end| name.starts_with(end) || name.ends_with(end));
        assert_eq!(handshake_case.terms().is_some(), sound, "{name}");
    }
}

#[test]
fn the_corpus_of_modules_passes() {
    let target = ModuleTarget::new(Guarded);
    for (name, text) in corpus("plugin") {
        let wasm = modules::module(&text);
        let calls = target
            .check(&wasm)
            .unwrap_or_else(|found| panic!("{name}: {found:?}"));
        assert!(calls > 0, "{name} is not called");
    }
}

#[test]
fn no_seed_of_the_modules_is_redundant() {
    let reached = corpus("plugin").into_iter().map(|(name, text)| {
        let wasm = with_handshake(&modules::module(&text)).expect("a handshake is added");
        let host = PluginHost::new(&wasm).expect("it opens");
        let mut runner = Runner::new(&host, Subject::Plugin).expect("it opens");
        let steps = runner.negotiated().into_iter().map(Step::healthy).collect();
        let case = Case::<Request> { steps };
        let record = runner.run_light(case.clone()).expect("it opens");
        let features = features(&case, &record);
        let size = text.len();
        (name, Entry { size, features })
    });
    let (names, entries): (Vec<_>, Vec<_>) = reached.unzip();
    assert_eq!(redundant(&entries), [0; 0], "of {names:?}");
}

#[test]
fn no_two_handshake_seeds_have_the_same_result_for_the_same_reason() {
    let mut reached = HashMap::new();
    for (name, json) in corpus("handshake") {
        let handshake_case = HandshakeCase::decode(&json).expect("it is a handshake case");
        let outcome = match Guarded.load(&handshake_case.wasm(), &handshake_case.offer()) {
            Ok(host) => format!("{:?}", host.metadata()),
            Err(error) => error.to_string(),
        };
        let identities = handshake_case
            .identities
            .iter()
            .map(|identity| identity.0.len());
        let way = (
            std::mem::discriminant(&handshake_case.reply),
            identities.sum::<usize>().checked_ilog2(),
        );
        if let Some(other) = reached.insert((outcome, way), name.clone()) {
            panic!("{name} and {other} have the same result");
        }
    }
}
