//! Trophies: guests that harm the published host, the harm, and the guarded host's answer to them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use cc_lb_fuzz::case::{Case, Step};
use cc_lb_fuzz::check::WALL_SLACK;
use cc_lb_fuzz::handshake::{HandshakeError, build_offer};
use cc_lb_fuzz::host::{DispatchOutcome, Host, PluginSession, ReferenceHost, Session};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::{Query, Request};
use cc_lb_fuzz::worker::{HostKind, Replay, Setup, Timeouts, Workers};
use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use cc_lb_plugin_wire::v1::shape::{ShapeFn, ShapeRequest};
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{OPENING_SLACK, assert_in_time, case, healthy};

const FINDINGS: &str = include_str!("../../FINDINGS.md");

/// What a long request does to the published host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// The process dies: of SIGSEGV, or of SIGABRT if the standard library checks the preconditions
    /// of unsafe code.
    Dies,
    /// The process dies while the plugin is opened.
    DiesOpening,
    /// The plugin is never opened.
    NeverOpens,
    /// The healthy request after it fails.
    BreaksTheNext,
    /// Every later request fails.
    StaysBroken,
    /// The request is answered, although it should not be.
    Answers,
    /// The process takes far more memory than a plugin may have.
    Hogs,
    /// The call cannot be interrupted and takes far longer than its time limit.
    Overruns,
    /// The call falls back and does no harm, as it should.
    FallsBack,
}

/// The length of the query in a long request.
const LONG: usize = 400;

/// All trophies, with the length of the query and what they do to the published host.
const TROPHIES: [(&str, usize, Harm); 18] = [
    ("allocates_8_mib", LONG, Harm::BreaksTheNext),
    ("allocates_a_length_that_wraps_around", LONG, Harm::Dies),
    ("asks_at_its_start", LONG, Harm::DiesOpening),
    ("fills_all_the_memory_it_gets", LONG, Harm::Hogs),
    ("fills_in_a_line", LONG, Harm::Overruns),
    ("grows_a_table", LONG, Harm::Hogs),
    ("imports_from_main", LONG, Harm::DiesOpening),
    ("initializes_without_end", LONG, Harm::NeverOpens),
    ("leaks_its_stack_when_it_traps", LONG, Harm::StaysBroken),
    ("loses_its_error", LONG, Harm::Answers),
    ("reads_a_byte_at_a_time", 256 << 10, Harm::FallsBack),
    ("resets_the_kernel", LONG, Harm::StaysBroken),
    ("sets_an_output_that_wraps_around", LONG, Harm::Dies),
    ("stalls", LONG, Harm::FallsBack),
    ("starts_without_end", LONG, Harm::NeverOpens),
    ("traps_half_way", LONG, Harm::StaysBroken),
    ("writes_over_a_blocks_header", LONG, Harm::Dies),
    ("writes_over_the_kernels_root", LONG, Harm::Dies),
];

/// How often a long request is sent: some harm accumulates.
const ROUNDS: usize = 8;

fn wasm(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    wat::parse_file(path.join(name).with_extension("wat")).expect("valid WebAssembly")
}

fn long(length: usize) -> Step {
    let mut step = healthy("shape_v1");
    if let Request::ShapeV1(request) = &mut step.request {
        request.request.query = Some(Query("q".repeat(length)));
    }
    step
}

/// Runs a case on the published host, in a separate process.
fn on_the_published_host(name: &str, case: &Case) -> Replay {
    let setup = Setup {
        host: HostKind::Reference.name().to_owned(),
        wasm: wasm(name),
        subject: Subject::Plugin,
        capabilities: Default::default(),
        deny_refusals: false,
        deny_limits: false,
    };
    let mut timeouts = Timeouts::default();
    if name.ends_with("_without_end") {
        timeouts.opening = Duration::from_secs(3);
    }
    let workers = Workers::new(
        assert_cmd::cargo::cargo_bin("cc-lb-fuzz"),
        ["worker"],
        setup,
    )
    .expect("the workers are created")
    .with_timeouts(timeouts);
    workers.worker().replay(case).expect("it runs")
}

fn harm_of(name: &str, length: usize) -> Harm {
    let mut steps = vec![healthy("shape_v1")];
    // Each round takes seconds on a slow machine.
    let rounds = if name == "fills_in_a_line" { 1 } else { ROUNDS };
    for _ in 0..rounds {
        steps.extend([long(length), healthy("shape_v1"), healthy("shape_v1")]);
    }
    let replay = on_the_published_host(name, &case(steps));
    let (seen, found) = (replay.steps, replay.violations);
    if let Some(death) = found.iter().find(|found| found.check.name() == "no_crash") {
        return match (&death.function[..], &death.class[..]) {
            ("open", "SIGSEGV" | "SIGABRT") => Harm::DiesOpening,
            ("open", "silence") => Harm::NeverOpens,
            ("shape", "SIGSEGV" | "SIGABRT") => Harm::Dies,
            _ => panic!("{name}: {}", death.detail),
        };
    }
    if found
        .iter()
        .any(|found| found.check.name() == "within_memory")
    {
        return Harm::Hogs;
    }
    if found
        .iter()
        .any(|found| found.check.name() == "within_wall")
    {
        return Harm::Overruns;
    }
    let answered: Vec<bool> = seen.iter().map(|s| s.outcome.starts_with("Ok")).collect();
    assert!(
        answered[0],
        "{name} does not answer the first request: {seen:?}"
    );
    // The healthy call that the replay makes after each failed call suffers the harm.
    let mut rounds = answered[1..].chunks(3);
    let broken = found.iter().any(|found| found.check.name() == "no_poison");
    if !answered[answered.len() - 1] {
        Harm::StaysBroken
    } else if rounds.any(|round| round[0]) {
        Harm::Answers
    } else if broken {
        Harm::BreaksTheNext
    } else {
        Harm::FallsBack
    }
}

fn request(length: Option<usize>) -> ShapeRequest {
    let mut request = ShapeFn::dry_run_request();
    request.request.query = length.map(|length| "q".repeat(length));
    request
}

/// Asserts that the guarded host refuses the plugin with a reason, or falls back in time and
/// answers healthy requests.
fn assert_harmless_on_the_guarded_host(name: &str, length: usize) {
    let wasm = wasm(name);
    let mut session = match PluginSession::new(&wasm) {
        Ok(session) => session,
        Err(HandshakeError::Instantiate { reason }) => {
            assert_in_time(OPENING_SLACK, || drop(PluginSession::new(&wasm)));
            let reasons = ["start code", "a plugin may import only"];
            let named = reasons.iter().any(|known| reason.contains(known));
            assert!(named, "{name}: {reason}");
            return;
        }
        Err(error) => panic!("{name}: {error}"),
    };
    let fallback = DispatchOutcome::Fallback(ShapeFn::FALLBACK);
    for _ in 0..ROUNDS {
        let outcome = session.dispatch::<ShapeFn>(request(Some(length)));
        assert_eq!(outcome, fallback, "{name}");
        let observed = session.observe::<ShapeFn>(request(None));
        let answered = matches!(observed.outcome, DispatchOutcome::Ok(_));
        assert!(answered, "{name}: {:?}", observed.call);
    }
    assert_in_time(WALL_SLACK, || {
        drop(session.dispatch::<ShapeFn>(request(Some(length))))
    });
}

#[test]
fn every_trophy_harms_the_published_host_as_listed_and_not_the_guarded_one() {
    for (name, length, expected) in TROPHIES {
        assert_eq!(harm_of(name, length), expected, "{name}");
        assert_harmless_on_the_guarded_host(name, length);
    }
}

#[test]
fn every_harmful_guest_is_a_trophy_and_in_findings_md() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests");
    let files = std::fs::read_dir(folder).expect("the folder exists");
    let names = files.map(|file| file.expect("it can be read").path());
    let mut names: BTreeSet<String> = names
        .map(|path| {
            path.file_stem()
                .expect("the file has a name")
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    // These do no harm.
    names.remove("traps_on_a_query");
    names.remove("has_a_function_of_its_own");
    let trophies: BTreeSet<String> = TROPHIES.iter().map(|(name, ..)| (*name).into()).collect();
    assert_eq!(names, trophies);
    for name in names {
        assert!(FINDINGS.contains(&format!("guests/{name}.wat")), "{name}");
    }
}

/// Returns whether a session is interrupted when another one times out. Sessions are functions that
/// return whether a request was answered.
fn is_interrupted<S: FnMut(ShapeRequest) -> bool + Send>(open: impl Fn() -> S) -> bool {
    let (mut stalling, mut healthy) = (open(), open());
    std::thread::scope(|scope| {
        let stalls = scope.spawn(move || {
            for _ in 0..3 {
                stalling(request(Some(LONG)));
            }
        });
        let mut interrupted = false;
        while !stalls.is_finished() {
            let start = Instant::now();
            let answered = healthy(request(None));
            // On a busy machine its own time limit may have passed.
            interrupted |= !answered && start.elapsed() < Duration::from_millis(HANDSHAKE_WALL_MS);
        }
        interrupted
    })
}

fn session(host: &impl Host<Session: Send>) -> impl FnMut(ShapeRequest) -> bool + Send {
    let mut session = host.open().expect("it opens");
    move |request| {
        let outcome = session.dispatch::<ShapeFn>(request).outcome;
        outcome != DispatchOutcome::Fallback(ShapeFn::FALLBACK)
    }
}

#[test]
fn plugins_of_one_compiled_plugin_interrupt_each_other_and_sessions_of_a_host_do_not() {
    // Its healthy call takes long enough to be interrupted.
    let wasm = wasm("stalls");
    let manifest = extism::Manifest::new([extism::Wasm::data(wasm.clone())]);
    let manifest = manifest.with_timeout(Duration::from_millis(250));
    let compiled = extism::PluginBuilder::new(manifest).compile();
    let compiled = compiled.expect("it compiles");
    let plugin = || {
        let plugin = extism::Plugin::new_from_compiled(&compiled);
        let mut plugin = plugin.expect("it opens");
        move |request: ShapeRequest| {
            let input = serde_json::to_vec(&request).expect("it serializes");
            plugin.call::<_, Vec<u8>>("shape", input).is_ok()
        }
    };
    assert!((0..10).any(|_| is_interrupted(plugin)));
    let offer = build_offer(&Default::default());
    let published = ReferenceHost::with_offer(&wasm, &offer).expect("it opens");
    assert!(!is_interrupted(|| session(&published)));
    let guarded = cc_lb_fuzz::host::PluginHost::new(&wasm).expect("it opens");
    assert!(!is_interrupted(|| session(&guarded)));
}
