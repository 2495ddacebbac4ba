//! Openings: what the handshake comes to, foretold and seen, and arbitrary modules as plugins.

use std::collections::BTreeMap;
use std::path::Path;

use arbitrary::{Arbitrary as _, Unstructured};
use cc_lb_fuzz::handshake::HandshakeError;
use cc_lb_fuzz::host::{
    DispatchOutcome, Guarded, Host, Loader, Observed, PluginHost, PluginSession, Session,
};
use cc_lb_fuzz::opening::{
    HANDSHAKE_SOUND, ModuleTarget, Opening, OpeningTarget, Reply, mutate, with_handshake,
};
use cc_lb_fuzz::puppet::Bytes;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use crate::common::cases;

#[path = "../../fuzz/fuzz_targets/modules.rs"]
mod modules;

/// The opening of a seed.
fn opening(seed: u64) -> Opening {
    let mut entropy = [0; 512];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut entropy);
    Opening::arbitrary(&mut Unstructured::new(&entropy)).expect("it is made")
}

#[test]
fn arbitrary_openings_come_to_what_is_foretold() {
    let target = OpeningTarget(Guarded);
    let mut opened = 0;
    let cases = cases(150);
    for seed in 0..cases {
        let opening = opening(seed);
        opened += u64::from(opening.terms().is_some());
        assert_eq!(target.check(&opening), None, "{opening:#?}");
    }
    assert!((cases / 10..cases * 9 / 10).contains(&opened), "{opened}");
}

#[test]
fn openings_read_back_and_mutate_in_place() {
    let target = OpeningTarget(Guarded);
    let mut data = vec![0; 256 * 1024];
    let mut size = 0;
    for seed in 0..100 {
        size = mutate(&mut data, size, 128 * 1024, seed);
        let opening = Opening::decode(&data[..size]).expect("it is an opening");
        assert_eq!(
            opening.to_json().expect("it serializes").as_bytes(),
            &data[..size]
        );
        assert!(target.run(&data[..size]));
    }
    assert!(!target.run(b"no opening"));
    let later = br#"{"format":2}"#;
    assert!(
        Opening::decode(later)
            .expect_err("it is later")
            .to_string()
            .contains("format 2")
    );
}

/// What a host makes of an opening before it looks at it: one thing that it does not see.
#[derive(Clone, Copy)]
struct Blind(fn(&[u8], &HandshakeOffer) -> (Vec<u8>, HandshakeOffer));

struct BlindHost {
    host: PluginHost,
    session: fn(&PluginHost, &str) -> Option<u32>,
}

impl Loader for Blind {
    type Host = BlindHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<BlindHost, HandshakeError> {
        let (wasm, offer) = self.0(wasm, offer);
        Ok(BlindHost {
            host: PluginHost::with_offer(&wasm, &offer)?,
            session: |host, name| host.negotiated(name),
        })
    }
}

impl Host for BlindHost {
    type Session = PluginSession;

    fn open(&self) -> Result<PluginSession, HandshakeError> {
        self.host.open()
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        (self.session)(&self.host, function)
    }
}

/// Asserts that the check finds something about this opening on a loader, and nothing on the sound one.
fn only_finds(loader: impl Loader, opening: &Opening, words: &str) {
    assert_eq!(OpeningTarget(Guarded).check(opening), None);
    let found = OpeningTarget(loader).check(opening).expect("it is found");
    assert_eq!(found.check, HANDSHAKE_SOUND);
    assert!(found.detail.contains(words), "{}", found.detail);
}

/// An opening of `shape` whose answer is changed.
fn answering(change: impl Fn(String) -> String) -> Opening {
    let mut opening = Opening::sound(["shape"]);
    let Reply::Answer(answer) = &opening.reply else {
        unreachable!("a sound opening answers");
    };
    let text = String::from_utf8(answer.0.clone()).expect("it is JSON");
    opening.reply = Reply::Answer(change(text).into());
    opening
}

#[test]
fn handshake_sound_finds_a_host_that_accepts_a_downgrade() {
    let mut downgrade = answering(|text| text.replace("\"shape\":[1]", "\"shape\":[1,2]"));
    downgrade.offered.insert("shape".to_owned(), vec![1, 2]);
    let forgets_later_versions = Blind(|wasm, offer| {
        let mut offer = offer.clone();
        offer
            .function_versions
            .values_mut()
            .for_each(|v| v.truncate(1));
        (wasm.to_vec(), offer)
    });
    only_finds(forgets_later_versions, &downgrade, "must refuse");
}

#[test]
fn handshake_sound_finds_a_host_that_grants_a_capability_nobody_offered() {
    let greedy = answering(|text| {
        text.replace(
            "\"required_capabilities\":[]",
            "\"required_capabilities\":[\"kv:read\"]",
        )
    });
    let offers_all = Blind(|wasm, offer| {
        let mut offer = offer.clone();
        offer.host_capabilities.insert("kv:read".to_owned());
        (wasm.to_vec(), offer)
    });
    only_finds(offers_all, &greedy, "must refuse");
}

#[test]
fn handshake_sound_finds_a_host_that_takes_the_first_of_two_identities() {
    let mut two = Opening::sound(["sign"]);
    two.identities.push(two.identities[0].clone());
    let reads_the_first = Blind(|wasm, offer| {
        // Sections of identities stand at the end, and are equal here.
        let sound = Opening::sound(["sign"]).wasm();
        (wasm[..sound.len().min(wasm.len())].to_vec(), offer.clone())
    });
    only_finds(reads_the_first, &two, "must refuse");
}

#[test]
fn handshake_sound_finds_a_host_that_turns_a_sound_plugin_away() {
    let mut many = Opening::sound(["shape"]);
    many.capabilities = (0..32).map(|n| format!("cap{n}")).collect();
    let offers_too_much = Blind(|wasm, offer| {
        let mut offer = offer.clone();
        offer.host_capabilities.insert("one more".to_owned());
        (wasm.to_vec(), offer)
    });
    only_finds(offers_too_much, &many, "refused a sound plugin");
}

struct Panics;

impl Loader for Panics {
    type Host = PluginHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<PluginHost, HandshakeError> {
        let opened = PluginHost::with_offer(wasm, offer);
        assert!(
            !matches!(opened, Err(HandshakeError::Serialization { .. })),
            "the answer is JSON"
        );
        opened
    }
}

#[test]
fn handshake_sound_finds_a_host_that_panics_on_an_answer_that_is_no_json() {
    only_finds(Panics, &answering(|text| text + "}"), "panicked");
}

/// A host that answers for whatever falls back, and one that has every function in version 2.
struct Answers(PluginHost);

struct AnswersForAll(PluginSession);

struct AnswersLoader;

impl Loader for AnswersLoader {
    type Host = Answers;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<Answers, HandshakeError> {
        PluginHost::with_offer(wasm, offer).map(Answers)
    }
}

impl Host for Answers {
    type Session = AnswersForAll;

    fn open(&self) -> Result<AnswersForAll, HandshakeError> {
        self.0.open().map(AnswersForAll)
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.0.negotiated(function)
    }
}

impl Session for AnswersForAll {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let mut observed = self.0.observe::<F>(request);
        observed.outcome = DispatchOutcome::Ok(F::dry_run_response());
        observed
    }
}

#[test]
fn handshake_sound_finds_a_session_that_answers_for_what_was_not_negotiated() {
    only_finds(AnswersLoader, &Opening::sound([]), "came to Ok");
}

struct MisreadsVersions;

impl Loader for MisreadsVersions {
    type Host = BlindHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<BlindHost, HandshakeError> {
        Ok(BlindHost {
            host: PluginHost::with_offer(wasm, offer)?,
            session: |host, name| host.negotiated(name).map(|version| version + 1),
        })
    }
}

#[test]
fn handshake_sound_finds_a_host_that_negotiates_another_version() {
    only_finds(MisreadsVersions, &Opening::sound(["filter"]), "agreed on");
}

#[test]
fn a_finding_about_an_opening_is_shrunk() {
    let mut opening = opening(3);
    opening.identities = vec![Bytes::default()];
    opening.capabilities.insert("kv:read".to_owned());
    let shrunk = opening.shrink(|smaller| smaller.capabilities.contains("kv:read"));
    let mut expected = Opening::sound(shrunk.exports.iter().map(String::as_str));
    expected.capabilities.insert("kv:read".to_owned());
    assert_eq!(shrunk, expected);
}

#[test]
fn arbitrary_modules_harm_no_host() {
    let target = ModuleTarget::new(Guarded);
    let mut calls = 0;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..cases(60) {
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
    let target = OpeningTarget(Guarded);
    let opens = [
        "sound",
        "that-is-offered",
        "that-is-empty",
        "of-64-kib",
        "of-32-kib",
    ];
    for (name, json) in corpus("handshake") {
        let opening = Opening::decode(&json).expect("it is an opening");
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
