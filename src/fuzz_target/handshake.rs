//! The body of the fuzz target `handshake`, and what it shares with that for modules.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary as _, Unstructured};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::all_wire_functions;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::handshake_sound::HandshakeSound;
use crate::check::{CheckRef, Violation};
use crate::execute::dispatch;
use crate::handshake_case::HandshakeCase;
use crate::host::{DispatchOutcome, HandshakeError, Host as _, Loader, panic_text};
use crate::wire::{Request, Vocabulary};

/// The longest time for a host to load a module: to read and compile it, unoptimised and
/// instrumented, and for the calls of its handshake and start code.
pub(super) const LOAD_MAX: Duration = Duration::from_secs(10);

/// The entropy of one mutation, in bytes.
const MUTATION_ENTROPY: usize = 512;

/// How often a handshake case must fail to count.
pub(super) const TRIES: usize = 3;

/// Checks a loader against the terms that handshake cases predict.
pub struct HandshakeTarget<L>(pub L);

impl<L: Loader> HandshakeTarget<L> {
    /// Returns what is wrong with the host in this handshake case; `None` if nothing is.
    pub fn check(&self, opening: &HandshakeCase) -> Option<Violation> {
        // On a busy machine any call may time out.
        let mut found = None;
        for _ in 0..TRIES {
            found = self.check_once(opening);
            found.as_ref()?;
        }
        found
    }

    fn check_once(&self, opening: &HandshakeCase) -> Option<Violation> {
        let wrong = match load(&self.0, &opening.wasm(), &opening.offer()) {
            Err(panic) => Some(format!("the host panicked: {panic}")),
            Ok((loaded, time)) if time > LOAD_MAX => {
                drop(loaded);
                Some(format!("the host took {time:?} to open the plugin"))
            }
            Ok((loaded, _)) => self.judge(opening, loaded),
        };
        wrong.map(violation)
    }

    fn judge(
        &self,
        opening: &HandshakeCase,
        loaded: Result<L::Host, HandshakeError>,
    ) -> Option<String> {
        let (host, terms) = match (loaded, opening.terms()) {
            (Ok(host), Some(terms)) => (host, terms),
            (Err(_), None) => return None,
            (Ok(_), None) => return Some("the host opened what it must refuse".to_owned()),
            (Err(error), Some(_)) => {
                return Some(format!("the host refused a sound plugin: {error}"));
            }
        };
        let wire = all_wire_functions().iter().copied();
        let told = opening.offered.keys().chain(&opening.exports);
        for function in told.map(String::as_str).chain(wire) {
            let agreed = terms.functions.get(function).copied();
            let negotiated = host.negotiated(function);
            if negotiated != agreed {
                return Some(format!(
                    "{function} was agreed on in version {agreed:?}, the host has it in {negotiated:?}"
                ));
            }
        }
        if let Some(told) = host.agreed().filter(|told| *told != terms) {
            return Some(format!(
                "{terms:?} was agreed on, the host reports {told:?}"
            ));
        }
        let mut session = match host.open() {
            Ok(session) => session,
            Err(error) => return Some(format!("the host opens no session: {error}")),
        };
        for (index, function) in Request::functions().iter().enumerate() {
            // The functions of a handshake case return no answer, and missing ones cannot.
            let outcome = dispatch(Request::dry_run(index), &mut session).outcome;
            if outcome != DispatchOutcome::Fallback(function.fallback) {
                return Some(format!("{} returned {outcome:?}", function.label));
            }
        }
        None
    }

    /// Runs an input of a fuzzer: a handshake case as JSON. Anything else is skipped. Returns
    /// whether it was a case.
    ///
    /// # Panics
    /// Panics if something is wrong, because fuzzers detect panics. The message is what was
    /// observed, and the shrunk case.
    pub fn run(&self, input: &[u8]) -> bool {
        let Ok(opening) = HandshakeCase::decode(input) else {
            return false;
        };
        if let Some(violation) = self.check(&opening) {
            let shrunk = opening.shrink(|smaller| self.check(smaller).is_some());
            let json = shrunk.to_json().unwrap_or_default();
            panic!("{violation:#?}\n{json}");
        }
        true
    }
}

/// Mutates the JSON of a handshake case in place: the body of a `fuzz_mutator!`, like
/// [`mutate_case`](crate::fuzz_target::dispatch::mutate_case) for cases.
pub fn mutate_handshake(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut entropy = [0; MUTATION_ENTROPY];
    ChaCha8Rng::seed_from_u64(seed.into()).fill_bytes(&mut entropy);
    let mut u = Unstructured::new(&entropy);
    let mutated = match HandshakeCase::decode(&data[..size]) {
        Ok(mut opening) => opening.mutate(&mut u).map(|()| opening),
        Err(_) => HandshakeCase::arbitrary(&mut u),
    };
    let json = mutated.ok().and_then(|opening| opening.to_json().ok());
    match json {
        Some(json) if json.len() <= max_size.min(data.len()) => {
            data[..json.len()].copy_from_slice(json.as_bytes());
            json.len()
        }
        _ => size,
    }
}

type Loaded<H> = (Result<H, HandshakeError>, Duration);

/// Loads a module; a panic becomes an error with its message.
pub(super) fn load<L: Loader>(
    loader: &L,
    wasm: &[u8],
    offer: &HandshakeOffer,
) -> Result<Loaded<L::Host>, String> {
    let start = Instant::now();
    catch_unwind(AssertUnwindSafe(|| loader.load(wasm, offer)))
        .map(|loaded| (loaded, start.elapsed()))
        .map_err(|payload| panic_text(payload.as_ref()))
}

pub(super) fn violation(detail: String) -> Violation {
    Violation {
        check: CheckRef::new(&HandshakeSound),
        function: crate::host::handshake::HANDSHAKE_EXPORT.to_owned(),
        class: String::new(),
        detail,
        site: None,
        measured: false,
    }
}
