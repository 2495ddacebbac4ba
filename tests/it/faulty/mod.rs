//! Hosts with one realistic fault each, and the check that must catch it.
//!
//! `kill_table.rs` finds every fault by campaigns, and stores the smallest case of each in
//! `cases/`. The tests run these cases: each fault is caught by its own check, and no check finds
//! anything in the sound host. A fault that is not caught is a gap in the generators or the checks.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::check::{CHECKS, CheckRef, FallbackPolicy, Violation};
use cc_lb_fuzz::execute::{Executor, InProcessExecutor};
use cc_lb_fuzz::fuzz_target::{HANDSHAKE_SOUND, HandshakeTarget};
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::handshake_case::HandshakeCase;
use cc_lb_fuzz::host::{Guarded, Loader, ReferenceHost};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_fuzz::worker::{HostKind, Worker};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use crate::workers::workers;
use hunt::{
    check_names, hunt_case, hunt_handshake_case, judge_cases, judge_handshake_cases, judge_modules,
};
use plain::{Fault, FaultFactory, PlainHost};

mod answers;
mod calls;
mod hunt;
mod kill_table;
mod modules;
mod openings;
mod plain;
mod policies;
mod requests;
mod second;
mod sessions;
mod shrinking;
mod sound;
mod table;

/// A faulty host.
pub struct FaultyHost {
    /// What it does wrong, as the kill table prints it.
    pub name: String,
    /// The check that must catch it.
    pub check: &'static str,
    reproducibility: Reproducibility,
    /// What its campaigns run.
    subject: Subject,
    kind: Kind,
}

/// Whether a seed shows a fault on every machine.
#[derive(PartialEq)]
enum Reproducibility {
    /// A seed has the same result on every machine.
    Deterministic,
    /// Some calls end by the time limit or the fuel limit, depending on the machine.
    TimeLimited,
    /// A check measures time or memory, which is unreliable on a busy machine.
    Measured,
}

/// The kind of host.
enum Kind {
    /// The plain host, with a fault in one decision.
    Dispatch(FaultFactory),
    /// A host of `examples/own_host.rs`, in a worker process.
    Process(&'static str),
    /// The published host, in a worker process. Without a guard, a plugin can crash it and exceed
    /// the time limit.
    Published,
    /// A loader that is run on handshake cases.
    HandshakeCase(Box<CheckOpening>),
    /// A faulty and a sound loader that are run on modules with many items of one kind.
    Module(CheckModule, CheckModule),
}

/// Returns the violation that a handshake case shows, if there is one.
type CheckOpening = dyn Fn(&HandshakeCase) -> Option<Violation> + Sync;

/// Returns the violation that a module shows when it is loaded and called, if there is one.
type CheckModule = fn(&modules::Counts) -> Option<Violation>;

/// A test case of any kind for a faulty host.
#[derive(Clone, Debug, PartialEq)]
pub enum TestInput {
    Case(Case),
    HandshakeCase(HandshakeCase),
    Module(modules::Counts),
}

/// Returns all faulty hosts: the first author's in the order of the checks, then the second
/// author's.
pub fn all() -> Vec<FaultyHost> {
    let mut all = first();
    all.extend(second::all());
    all
}

fn first() -> Vec<FaultyHost> {
    use {answers::*, calls::*, modules::*, openings::*, policies::*, requests::*, sessions::*};
    vec![
        process("aborts", "no_crash"),
        process("exits", "no_crash"),
        process("hangs", "no_crash"),
        published("shares its memory with the plugin", "no_crash"),
        dispatch::<PanicsWhenTheGuestTraps>("no_panic"),
        dispatch::<PanicsOnAnswersThatAreNoJson>("no_panic"),
        dispatch::<SkipsFailingSigners>("fallback_policy"),
        dispatch::<UsesThePolicyOfTheFunctionBefore>("fallback_policy"),
        dispatch::<ReadsThePolicyFromASetting>("fallback_policy"),
        time_limited::<PassesThroughWhatTimesOut>("fallback_policy"),
        dispatch::<IgnoresExitCodes>("fallback_policy"),
        dispatch::<IgnoresGuestErrors>("fallback_policy"),
        dispatch::<AnswersForTraps>("fallback_policy"),
        time_limited::<AnswersForTimeouts>("fallback_policy"),
        dispatch::<LeavesTheVersionUnchecked>("sound_ok"),
        dispatch::<AcceptsAMissingVersion>("sound_ok"),
        dispatch::<AcceptsALaterVersion>("sound_ok"),
        dispatch::<ComparesTheVersionAsAFloat>("sound_ok"),
        dispatch::<ComparesTheVersionAsText>("sound_ok"),
        dispatch::<TakesTrueForVersion1>("sound_ok"),
        dispatch::<TruncatesTheVersionTo16Bits>("sound_ok"),
        dispatch::<TakesTheFirstOfTwoVersions>("sound_ok"),
        dispatch::<AcceptsUnknownFields>("sound_ok"),
        dispatch::<FillsInMissingFields>("sound_ok"),
        dispatch::<UnwrapsListsOfOneObject>("sound_ok"),
        dispatch::<AcceptsWhatStandsBehindTheAnswer>("sound_ok"),
        dispatch::<CutsAnswersAtNul>("sound_ok"),
        dispatch::<ReplacesWhatIsNotUtf8>("sound_ok"),
        dispatch::<SkipsAByteOrderMark>("sound_ok"),
        dispatch::<FollowsTwiceTheDepth>("sound_ok"),
        dispatch::<AnswersAgainWhenThereIsNoAnswer>("sound_ok"),
        dispatch::<LosesAnswersOf64Kib>("sound_ok"),
        dispatch::<TrimsStringsOfAnswers>("sound_ok"),
        dispatch::<DropsTheQuery>("request_fidelity"),
        dispatch::<SortsHeaders>("request_fidelity"),
        dispatch::<JoinsEqualHeaders>("request_fidelity"),
        dispatch::<WritesNumbersAsFloats>("request_fidelity"),
        dispatch::<WritesFloatsThatAreNoNumbersAsZero>("request_fidelity"),
        dispatch::<SealsWithTheVersionOfAnotherFunction>("request_fidelity"),
        dispatch::<WritesMethodsInCapitals>("request_fidelity"),
        dispatch::<TrimsTexts>("request_fidelity"),
        dispatch::<CutsTextsAtNul>("request_fidelity"),
        dispatch::<CutsTextsAt4Kib>("request_fidelity"),
        dispatch::<KeepsAsciiOnly>("request_fidelity"),
        dispatch::<WritesEmptyListsAsNull>("request_fidelity"),
        dispatch::<KeepsFieldsOfTheRequestBefore>("request_fidelity"),
        dispatch::<KeepsTheInstanceAfterATrap>("no_poison"),
        dispatch::<FuelsASessionOnce>("no_poison"),
        time_limited::<LeavesTheTimerArmed>("no_poison"),
        measured::<WaitsOutTheTimeBehindATrap>("no_poison"),
        dispatch::<ClosesAfterATrap>("no_poison"),
        dispatch::<ClosesAfterTwelveFailures>("no_poison"),
        dispatch::<LosesObserveAfterSignFailed>("no_poison"),
        dispatch::<ForgetsAFunctionThatAnsweredRubbish>("no_poison"),
        dispatch::<LosesWildCallsAfterAGuestError>("no_poison"),
        dispatch::<RetriesOnce>("no_retry"),
        time_limited::<RetriesTimeouts>("no_retry"),
        dispatch::<RetriesTrapsOnAFreshInstance>("no_retry"),
        dispatch::<AsksAgainForAnEmptyAnswer>("no_retry"),
        time_limited::<HasNoFuelLimit>("within_fuel"),
        time_limited::<GivesTwiceTheFuel>("within_fuel"),
        dispatch::<WaitsThreeTimesAsLong>("within_wall"),
        dispatch::<RecoversSlowly>("within_wall"),
        dispatch::<LooksForTheAnswerFromTheStart>("within_wall"),
        published("lets instructions run on", "within_wall"),
        process("hogs", "within_memory"),
        process("leaks", "no_leak"),
        dispatch::<OpensEverySecondSessionBlind>("deterministic"),
        compared::<AnswersPostsOnly>("agrees_with_reference"),
        faulty_loader::<AcceptsADowngrade>(),
        faulty_loader::<GrantsACapabilityThatIsNotOffered>(),
        faulty_loader::<TurnsAwayAPluginBesideManyCapabilities>(),
        faulty_loader::<TakesTheFirstOfTwoIdentities>(),
        faulty_loader::<LeavesTheMagicUnchecked>(),
        faulty_loader::<LeavesAnUndeclaredExportUnseen>(),
        faulty_loader::<BelievesInAFunctionThatIsMissing>(),
        faulty_loader::<PanicsOnAHandshakeThatIsNoJson>(),
        faulty_loader::<HasFunctionsInTheNextVersion>(),
        faulty_loader::<AnswersForWhatWasNotNegotiated>(),
        module::<CompilesForEachSession>(),
        module::<TakesAMegabyteForEachExport>(),
    ]
}

impl FaultyHost {
    /// Runs up to `max_cases` cases of a seed. Returns the number of cases until the check found a
    /// violation, and the case, shrunk within the limits.
    pub fn hunt(
        &self,
        seed: u64,
        max_cases: u64,
        limits: ShrinkLimits,
    ) -> Option<(u64, TestInput)> {
        match &self.kind {
            Kind::Dispatch(fault) => {
                let host = PlainHost::new(*fault);
                hunt_case(&mut self.executor(&host), self, seed, max_cases, limits)
            }
            Kind::Process(host) => {
                hunt_case(&mut example_worker(host), self, seed, max_cases, limits)
            }
            Kind::Published => hunt_case(
                &mut tool_worker(HostKind::Reference),
                self,
                seed,
                max_cases,
                limits,
            ),
            Kind::HandshakeCase(check) => hunt_handshake_case(check, seed, max_cases, limits),
            Kind::Module(check, _) => {
                let mut all = (0..max_cases).map(|index| (index + 1, modules::nth(seed, index)));
                let (count, found) = all.find(|(_, counts)| check(counts).is_some())?;
                Some((count, TestInput::Module(found)))
            }
        }
    }

    /// Runs each input. Returns the names of the checks that find something in it.
    pub fn run_checks(&self, inputs: &[TestInput]) -> Vec<Vec<String>> {
        match &self.kind {
            Kind::Dispatch(fault) => {
                judge_cases(&mut self.executor(&PlainHost::new(*fault)), self, inputs)
            }
            Kind::Process(host) => judge_cases(&mut example_worker(host), self, inputs),
            Kind::Published => judge_cases(&mut tool_worker(HostKind::Reference), self, inputs),
            Kind::HandshakeCase(check) => judge_handshake_cases(check, inputs),
            Kind::Module(check, _) => judge_modules(*check, inputs),
        }
    }

    /// Does the same on the sound host.
    pub fn run_checks_on_sound_host(&self, inputs: &[TestInput]) -> Vec<Vec<String>> {
        match &self.kind {
            Kind::Dispatch(fault) => {
                let sound = PlainHost::without_fault(*fault);
                judge_cases(&mut self.executor(&sound), self, inputs)
            }
            Kind::Process(_) => judge_cases(&mut example_worker("sound"), self, inputs),
            Kind::Published => judge_cases(&mut tool_worker(HostKind::Guarded), self, inputs),
            Kind::HandshakeCase(_) => judge_handshake_cases(handshake_check::<Guarded>(), inputs),
            Kind::Module(_, sound) => judge_modules(*sound, inputs),
        }
    }

    /// Returns whether many of its calls are slow.
    pub fn is_slow(&self) -> bool {
        self.check == "no_leak" || self.name == "hangs" || matches!(self.kind, Kind::Published)
    }

    /// Returns whether a case that shows the fault repeatedly on its own needs no further
    /// confirmation, because nothing is measured and all sessions behave the same.
    fn needs_no_confirmation(&self) -> bool {
        matches!(self.kind, Kind::Dispatch(_))
            && self.subject == Subject::Puppet
            && self.reproducibility == Reproducibility::Deterministic
            && self.check != "deterministic"
    }

    fn executor<'h>(&self, host: &'h PlainHost) -> InProcessExecutor<'h, PlainHost> {
        let mut executor = InProcessExecutor::new(host, self.subject).expect("the host opens");
        if self.subject == Subject::Plugin {
            let offer = build_offer(&Default::default());
            let reference = ReferenceHost::with_offer(puppet::wasm(), &offer);
            let reference = reference.expect("the published host opens the puppet");
            executor.runner().compare_with(reference);
        }
        executor
    }
}

/// Returns a worker with a host of `examples/own_host.rs`.
fn example_worker(host: &str) -> Worker {
    crate::workers::faulty(host).worker()
}

/// Returns a worker with a built-in host of the command line tool.
fn tool_worker(host: HostKind) -> Worker {
    workers(host).worker()
}

/// Returns the check of a loader. It remembers the cases without a violation, because a quarter of
/// all cases are valid and equal ones need not be compiled again.
fn handshake_check<L: Loader + Default + 'static>()
-> impl Fn(&HandshakeCase) -> Option<Violation> + Sync {
    let sound: Mutex<HashSet<u64>> = Mutex::default();
    move |case| {
        let mut hasher = DefaultHasher::new();
        case.to_json()
            .expect("a handshake case serializes")
            .hash(&mut hasher);
        let hash = hasher.finish();
        if sound.lock().expect("no thread panicked").contains(&hash) {
            return None;
        }
        let found = HandshakeTarget(L::default()).check(case);
        if found.is_none() {
            sound.lock().expect("no thread panicked").insert(hash);
        }
        found
    }
}

/// Returns the name of a fault: the words of the type's name.
fn name_from_type<T>() -> String {
    let path = std::any::type_name::<T>();
    let name = path.rsplit("::").next().unwrap_or(path);
    let mut words = String::new();
    let mut before = ' ';
    for c in name.chars() {
        let begins = c.is_uppercase() || (c.is_ascii_digit() && !before.is_ascii_digit());
        if begins && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
        before = c;
    }
    words
}

/// Returns the plain host with a fault.
fn dispatch<T: Fault + Default + 'static>(check: &'static str) -> FaultyHost {
    FaultyHost {
        name: name_from_type::<T>(),
        check,
        reproducibility: reproducibility(check),
        subject: Subject::Puppet,
        kind: Kind::Dispatch(|| Box::new(T::default())),
    }
}

/// Returns the reproducibility of the violations of a check.
fn reproducibility(check: &str) -> Reproducibility {
    let mut checks = CHECKS.iter();
    if checks.any(|other| other.name() == check && other.is_measurement()) {
        Reproducibility::Measured
    } else {
        Reproducibility::Deterministic
    }
}

/// Returns a host with a fault in calls that reach the fuel or time limit.
fn time_limited<T: Fault + Default + 'static>(check: &'static str) -> FaultyHost {
    FaultyHost {
        reproducibility: Reproducibility::TimeLimited,
        ..dispatch::<T>(check)
    }
}

/// Returns a host whose fault needs a measurement, although its check usually does not.
fn measured<T: Fault + Default + 'static>(check: &'static str) -> FaultyHost {
    FaultyHost {
        reproducibility: Reproducibility::Measured,
        ..dispatch::<T>(check)
    }
}

/// Returns a host that runs the puppet as a plugin with unknown answers and is compared with the
/// published host.
fn compared<T: Fault + Default + 'static>(check: &'static str) -> FaultyHost {
    FaultyHost {
        subject: Subject::Plugin,
        ..dispatch::<T>(check)
    }
}

/// Returns a host of `examples/own_host.rs`.
fn process(host: &'static str, check: &'static str) -> FaultyHost {
    FaultyHost {
        name: host.to_owned(),
        check,
        reproducibility: reproducibility(check),
        subject: Subject::Puppet,
        kind: Kind::Process(host),
    }
}

/// Returns the published host, for one of its faults.
fn published(fault: &'static str, check: &'static str) -> FaultyHost {
    FaultyHost {
        name: fault.to_owned(),
        kind: Kind::Published,
        ..process("", check)
    }
}

/// Returns a loader with a fault that modules with many items show.
fn module<L: Loader + Default + 'static>() -> FaultyHost {
    FaultyHost {
        reproducibility: Reproducibility::Measured,
        kind: Kind::Module(modules::check::<L>, modules::check::<Guarded>),
        ..faulty_loader::<L>()
    }
}

/// Returns a loader with a fault that handshake cases show.
fn faulty_loader<L: Loader + Default + 'static>() -> FaultyHost {
    FaultyHost {
        name: name_from_type::<L>(),
        check: HANDSHAKE_SOUND,
        reproducibility: Reproducibility::Deterministic,
        subject: Subject::Plugin,
        kind: Kind::HandshakeCase(Box::new(handshake_check::<L>())),
    }
}

/// Returns the entropy of an index of a seed.
fn entropy<const BYTES: usize>(seed: u64, index: u64) -> [u8; BYTES] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    let mut entropy = [0; BYTES];
    rng.fill_bytes(&mut entropy);
    entropy
}

/// Campaigns only call functions that were negotiated, so this is a separate test.
#[test]
fn fallback_policy_finds_a_host_that_answers_for_a_function_that_was_not_negotiated() {
    let shape_only = crate::common::Guest::shape("{}").wasm();
    let offer = build_offer(&Default::default());
    let sign = Case {
        steps: vec![crate::common::healthy("sign_v1")],
    };
    let found = |host: &PlainHost| {
        let mut executor =
            InProcessExecutor::<_, Request>::new(host, Subject::Plugin).expect("the host opens");
        check_names(
            executor
                .judge(&sign, CheckRef::new(&FallbackPolicy))
                .expect("the host opens"),
        )
    };
    let sound = PlainHost::sound_with_plugin(&shape_only, &offer);
    assert_eq!(found(&sound), [""; 0]);
    let faulty = || Box::new(policies::AnswersForWhatIsNotThere) as Box<dyn Fault>;
    let faulty = PlainHost::with_plugin(&shape_only, &offer, faulty);
    assert_eq!(found(&faulty), ["fallback_policy"]);
}
