//! Openings: what the handshake comes to, foretold and seen, and arbitrary modules as plugins.

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

/// The opening of a seed.
fn opening(seed: u64) -> HandshakeCase {
    let mut entropy = [0; 512];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut entropy);
    HandshakeCase::arbitrary(&mut Unstructured::new(&entropy)).expect("it is made")
}

#[test]
fn arbitrary_openings_come_to_what_is_foretold() {
    let target = HandshakeTarget(Guarded);
    let mut opened = 0;
    let cases = cases(50);
    for seed in 0..cases {
        let opening = opening(seed);
        opened += u64::from(opening.terms().is_some());
        assert_eq!(target.check(&opening), None, "{opening:#?}");
    }
    assert!((cases / 10..cases * 9 / 10).contains(&opened), "{opened}");
}

#[test]
fn openings_read_back_and_mutate_in_place() {
    let target = HandshakeTarget(Guarded);
    let mut data = vec![0; 256 * 1024];
    let mut size = 0;
    for seed in 0..100 {
        size = mutate_handshake(&mut data, size, 128 * 1024, seed);
        let opening = HandshakeCase::decode(&data[..size]).expect("it is an opening");
        assert_eq!(
            opening.to_json().expect("it serializes").as_bytes(),
            &data[..size]
        );
        assert!(target.run(&data[..size]));
    }
    assert!(!target.run(b"no opening"));
    let later = br#"{"format":3}"#;
    assert!(
        HandshakeCase::decode(later)
            .expect_err("it is later")
            .to_string()
            .contains("format 3")
    );
}

#[test]
fn a_finding_about_an_opening_is_shrunk() {
    let mut opening = opening(3);
    opening.identities = vec![Bytes::default()];
    opening.capabilities.insert("kv:read".to_owned());
    let shrunk = opening.shrink(|smaller| smaller.capabilities.contains("kv:read"));
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
    assert!(calls > 0, "no module opened");
}

#[test]
fn modules_that_have_much_of_anything_harm_no_host() {
    let target = ModuleTarget::new(Guarded);
    let mut calls = 0;
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..cases(12) {
        let mut input = [0; 64];
        rng.fill_bytes(&mut input);
        let counts = Counts::arbitrary(&mut Unstructured::new(&input)).expect("they are made");
        let checked = target.check(&counts.module());
        calls += checked.unwrap_or_else(|found| panic!("{counts:?}: {found:?}"));
    }
    assert!(calls > 0, "no module opened");
}

/// That is a limit of the plugin, not a fault of the host.
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
    // On a busy machine any call may run into the clock.
    let has_too_many = (0..50).any(|_| {
        let observed = session.observe::<ShapeFn>(ShapeFn::dry_run_request());
        observed.call.cause == too_many
    });
    assert!(has_too_many);
    assert_eq!(ModuleTarget::new(Guarded).check(&wasm), Ok(0));
}

#[test]
fn the_dictionary_of_modules_knows_every_wire_function() {
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
fn a_module_is_given_a_handshake_of_what_it_exports() {
    let plugin = r#"(module (type (func (result i32))) (func (export "sign") (type 0) (call 1))
        (func (export "helper") (type 0) (i32.const 7)))"#;
    let wasm = with_handshake(&wat::parse_str(plugin).expect("it is valid")).expect("it has all");
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
    assert_eq!(with_handshake(&wasm), None, "it has a handshake");
}

/// The files of a corpus.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let files = std::fs::read_dir(folder).expect("it is there");
    let files = files.map(|file| file.expect("it can be read").path());
    // What a fuzzer has added has no ending.
    let files = files.filter(|path| path.extension().is_some());
    let read = |path: std::path::PathBuf| {
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        (name, std::fs::read(&path).expect("it can be read"))
    };
    files.map(read).collect()
}

#[test]
fn the_corpus_of_openings_holds_and_says_what_it_shows() {
    let target = HandshakeTarget(Guarded);
    let opens = [
        "sound",
        "that-is-offered",
        "that-is-empty",
        "of-64-kib",
        "of-32-kib",
    ];
    for (name, json) in corpus("handshake") {
        let opening = HandshakeCase::decode(&json).expect("it is an opening");
        assert_eq!(target.check(&opening), None, "{name}");
        let sound = opens
            .iter()
            .any(|end| name.starts_with(end) || name.ends_with(end));
        assert_eq!(opening.terms().is_some(), sound, "{name}");
    }
}

#[test]
fn the_corpus_of_modules_holds() {
    let target = ModuleTarget::new(Guarded);
    for (name, text) in corpus("plugin") {
        let wasm = modules::module(&text);
        let calls = target
            .check(&wasm)
            .unwrap_or_else(|found| panic!("{name}: {found:?}"));
        assert!(calls > 0, "{name} opens");
    }
}

#[test]
fn no_seed_of_the_modules_is_redundant() {
    let reached = corpus("plugin").into_iter().map(|(name, text)| {
        let wasm = with_handshake(&modules::module(&text)).expect("it has all");
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
fn no_seed_of_the_openings_comes_to_what_another_does_in_the_same_way() {
    let mut reached = HashMap::new();
    for (name, json) in corpus("handshake") {
        let opening = HandshakeCase::decode(&json).expect("it is an opening");
        let came_to = match Guarded.load(&opening.wasm(), &opening.offer()) {
            Ok(host) => format!("{:?}", host.metadata()),
            Err(error) => error.to_string(),
        };
        let identities = opening.identities.iter().map(|identity| identity.0.len());
        let way = (
            std::mem::discriminant(&opening.reply),
            identities.sum::<usize>().checked_ilog2(),
        );
        if let Some(other) = reached.insert((came_to, way), name.clone()) {
            panic!("{name} and {other}");
        }
    }
}
