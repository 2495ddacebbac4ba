//! What holds of every opening and of every module, and the fuzz targets' bodies that check it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary as _, Unstructured};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use cc_lb_plugin_wire::wire_function::all_wire_functions;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::Opening;
use crate::campaign::Bench;
use crate::case::{Case, Step};
use crate::host::dispatch::panic_text;
use crate::host::{DispatchOutcome, HandshakeError, Host, Loader};
use crate::observation::{Depth, Subject, dispatch, memory};
use crate::oracle::{Violation, may_be_busy};
use crate::wire::{Request, Vocabulary};

/// The name of the check.
pub const HANDSHAKE_SOUND: &str = "handshake_sound";

/// How long a host may take to load a module: to read and compile it, unoptimised and instrumented, and for the
/// calls in which it shakes hands and runs its start code.
const LOAD_MAX: Duration = Duration::from_secs(10);

/// How much memory the process may take meanwhile, in bytes: as much as a [worker](crate::campaign::Workers) has.
const LOAD_MEMORY_MAX: u64 = 1 << 30;

/// How long a host may take to open a session, beside the start code, which has the time of a call.
const OPEN_MAX: Duration = Duration::from_millis(100);

/// The entropy of one mutation, in bytes.
const MUTATION_ENTROPY: usize = 512;

/// How often an opening must come to something wrong to count.
const TRIES: usize = 3;

/// How often each function of a module is called.
const ROUNDS: usize = 2;

/// Holds a loader to the terms of openings.
pub struct OpeningTarget<L>(pub L);

impl<L: Loader> OpeningTarget<L> {
    /// What must not be about this opening; `None` where all is as it must be.
    pub fn check(&self, opening: &Opening) -> Option<Violation> {
        // On a busy machine any call may run into the clock.
        let mut found = None;
        for _ in 0..TRIES {
            found = self.check_once(opening);
            found.as_ref()?;
        }
        found
    }

    fn check_once(&self, opening: &Opening) -> Option<Violation> {
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

    fn judge(&self, opening: &Opening, loaded: Result<L::Host, HandshakeError>) -> Option<String> {
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
            let (negotiated, agreed) = (host.negotiated(function), terms.get(function).copied());
            if negotiated != agreed {
                return Some(format!(
                    "{function} was agreed on in version {agreed:?}, the host has it in {negotiated:?}"
                ));
            }
        }
        let mut session = match host.open() {
            Ok(session) => session,
            Err(error) => return Some(format!("the host opens no session: {error}")),
        };
        for (place, function) in Request::functions().iter().enumerate() {
            // The functions of an opening answer nothing, and those it lacks cannot.
            let outcome = dispatch(Request::dry_run(place), &mut session).outcome;
            if outcome != DispatchOutcome::Fallback(function.fallback) {
                return Some(format!("{} came to {outcome:?}", function.label));
            }
        }
        None
    }

    /// Runs an input of a fuzzer: an opening as JSON, or anything else, which is passed over. Returns whether it
    /// was one.
    ///
    /// # Panics
    /// Where something is wrong: that is how a fuzzer is told. The text is what was seen, and the opening, shrunk.
    pub fn run(&self, input: &[u8]) -> bool {
        let Ok(opening) = Opening::decode(input) else {
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

/// Mutates an opening's JSON in place: the body of a `fuzz_mutator!`, as
/// [`campaign::mutate`](crate::campaign::mutate) for cases.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    let mut entropy = [0; MUTATION_ENTROPY];
    ChaCha8Rng::seed_from_u64(seed.into()).fill_bytes(&mut entropy);
    let mut u = Unstructured::new(&entropy);
    let mutated = match Opening::decode(&data[..size]) {
        Ok(mut opening) => opening.mutate(&mut u).map(|()| opening),
        Err(_) => Opening::arbitrary(&mut u),
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

/// Runs arbitrary modules as plugins.
pub struct ModuleTarget<L> {
    loader: L,
    offer: HandshakeOffer,
}

impl<L: Loader> ModuleTarget<L> {
    /// A target with the published offer.
    pub fn new(loader: L) -> Self {
        let offer = crate::host::handshake::build_offer(&Default::default());
        Self { loader, offer }
    }

    /// Loads the bytes as a plugin, as they are and with a handshake, within bounds of time and memory; then calls every
    /// function of it, again and again on one session. Returns how many calls of the plugin with a handshake were made.
    ///
    /// # Errors
    /// What the host does wrong. What the plugin does wrong is its own business.
    pub fn check(&self, wasm: &[u8]) -> Result<usize, Violation> {
        self.run_as_it_is(wasm)?;
        match super::with_handshake(wasm) {
            Some(wasm) => self.run_as_it_is(&wasm),
            None => Ok(0),
        }
    }

    fn run_as_it_is(&self, wasm: &[u8]) -> Result<usize, Violation> {
        let Some(host) = self.load_within_bounds(wasm)? else {
            return Ok(0);
        };
        opens_in_time(&host)?;
        // A plugin that does not open twice may do so for want of time: its start code runs each time.
        let Ok(mut bench) = Bench::<_, Request>::new(&host, Subject::Plugin) else {
            return Ok(0);
        };
        let places = bench.runner().negotiated().repeat(ROUNDS);
        let steps: Vec<Step> = places.into_iter().map(Step::healthy).collect();
        let calls = steps.len();
        let Ok((record, found)) = bench.judge_alone(&Case { steps }, Depth::Thorough) else {
            return Ok(0);
        };
        // It may trap, break itself, and do so only now and then.
        let of_the_host = |violation: &Violation| match &violation.check[..] {
            "plugin_fault" | "no_poison" | "deterministic" => false,
            _ => !may_be_busy(violation, &record),
        };
        match found.into_iter().find(of_the_host) {
            Some(violation) => Err(violation),
            None => Ok(calls),
        }
    }

    /// The host of a module, `None` where it is refused.
    fn load_within_bounds(&self, wasm: &[u8]) -> Result<Option<L::Host>, Violation> {
        let resident = memory::resident().unwrap_or_default();
        let before = memory::peak();
        let load = || {
            load(&self.loader, wasm, &self.offer)
                .map_err(|panic| violation(format!("the host panicked: {panic}")))
        };
        let (mut loaded, mut time) = load()?;
        let peak = memory::peak().filter(|peak| Some(*peak) > before);
        let taken = peak.unwrap_or_default().saturating_sub(resident);
        // On a busy machine it may take long.
        for _ in 1..TRIES {
            if time > LOAD_MAX {
                (loaded, time) = load()?;
            }
        }
        if time > LOAD_MAX {
            return Err(violation(format!(
                "the host took {time:?} to open the plugin"
            )));
        }
        if taken > LOAD_MEMORY_MAX {
            return Err(violation(format!(
                "the host took {} MiB to open the plugin",
                taken >> 20
            )));
        }
        Ok(loaded.ok())
    }
}

fn opens_in_time(host: &impl Host) -> Result<(), Violation> {
    // On a busy machine one may take long.
    let opens = (0..TRIES).map(|_| {
        let start = Instant::now();
        let session = host.open();
        let took = start.elapsed();
        drop(session);
        took
    });
    let took = opens.min().unwrap_or_default();
    if took > Duration::from_millis(HANDSHAKE_WALL_MS) + OPEN_MAX {
        return Err(violation(format!(
            "the host took {took:?} to open a session"
        )));
    }
    Ok(())
}

type Loaded<H> = (Result<H, HandshakeError>, Duration);

/// Loads a module; an error is the text of a panic.
fn load<L: Loader>(
    loader: &L,
    wasm: &[u8],
    offer: &HandshakeOffer,
) -> Result<Loaded<L::Host>, String> {
    let start = Instant::now();
    catch_unwind(AssertUnwindSafe(|| loader.load(wasm, offer)))
        .map(|loaded| (loaded, start.elapsed()))
        .map_err(|payload| panic_text(payload.as_ref()))
}

fn violation(detail: String) -> Violation {
    Violation {
        check: HANDSHAKE_SOUND.to_owned(),
        function: crate::host::handshake::HANDSHAKE_EXPORT.to_owned(),
        class: String::new(),
        detail,
        site: None,
        measured: false,
    }
}
