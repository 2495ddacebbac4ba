//! Hosts with one realistic fault each, and the check that must catch it.
//!
//! `kill_table.rs` finds every fault by campaigns, and keeps the smallest case that shows each in `cases/`. The tests
//! here run these: every fault is caught by its own check, and the sound host is not. A fault that is not caught is a gap
//! in the generators or the checks.

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
use hunt::{found_by, found_in_modules, found_in_openings, hunt_case, hunt_opening, names};
use plain::{Fault, MakesFault, Plain};

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
pub struct Faulty {
    /// What it does wrong, in words.
    pub name: String,
    /// The check that must catch it.
    pub check: &'static str,
    shows: Shows,
    /// Who answers its campaigns.
    subject: Subject,
    kind: Kind,
}

/// What a machine has to do with when a fault shows.
#[derive(PartialEq)]
enum Shows {
    /// Nothing: a seed comes to the same on every machine.
    TheSameEverywhere,
    /// Some calls are ended by the clock or by the fuel, whichever is first on a machine.
    WhereTheClockEndsACall,
    /// It takes a measurement of time or memory, which on a busy machine says nothing.
    InAMeasurement,
}

/// What is faulty.
enum Kind {
    /// A decision of the plain host.
    Dispatch(MakesFault),
    /// A host of the example of one's own, in a process.
    Process(&'static str),
    /// The published host, in a process: without a guard, a plugin kills it and takes as long as it likes.
    Published,
    /// A loader, tried with openings.
    HandshakeCase(Box<CheckOpening>),
    /// Two loaders, that with the fault and a sound one, tried with modules that have much of something.
    Module(CheckModule, CheckModule),
}

/// Says what is wrong with how an opening went.
type CheckOpening = dyn Fn(&HandshakeCase) -> Option<Violation> + Sync;

/// Says what is wrong with how a module was opened and called.
type CheckModule = fn(&modules::Counts) -> Option<Violation>;

/// What is tried on a faulty host.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    Case(Case),
    HandshakeCase(HandshakeCase),
    Module(modules::Counts),
}

/// All of them: those of the first author in the order of the checks, then those of the second.
pub fn all() -> Vec<Faulty> {
    let mut all = first();
    all.extend(second::all());
    all
}

fn first() -> Vec<Faulty> {
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
        clocked::<PassesThroughWhatTimesOut>("fallback_policy"),
        dispatch::<IgnoresExitCodes>("fallback_policy"),
        dispatch::<IgnoresGuestErrors>("fallback_policy"),
        dispatch::<AnswersForTraps>("fallback_policy"),
        clocked::<AnswersForTimeouts>("fallback_policy"),
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
        clocked::<LeavesTheTimerArmed>("no_poison"),
        measured::<WaitsOutTheTimeBehindATrap>("no_poison"),
        dispatch::<ClosesAfterATrap>("no_poison"),
        dispatch::<ClosesAfterTwelveFailures>("no_poison"),
        dispatch::<LosesObserveAfterSignFailed>("no_poison"),
        dispatch::<ForgetsAFunctionThatAnsweredRubbish>("no_poison"),
        dispatch::<LosesWildCallsAfterAGuestError>("no_poison"),
        dispatch::<RetriesOnce>("no_retry"),
        clocked::<RetriesTimeouts>("no_retry"),
        dispatch::<RetriesTrapsOnAFreshInstance>("no_retry"),
        dispatch::<AsksAgainForAnEmptyAnswer>("no_retry"),
        clocked::<HasNoFuelLimit>("within_fuel"),
        clocked::<GivesTwiceTheFuel>("within_fuel"),
        dispatch::<WaitsThreeTimesAsLong>("within_wall"),
        dispatch::<RecoversSlowly>("within_wall"),
        dispatch::<LooksForTheAnswerFromTheStart>("within_wall"),
        published("lets instructions run on", "within_wall"),
        process("hogs", "within_memory"),
        process("leaks", "no_leak"),
        dispatch::<OpensEverySecondSessionBlind>("deterministic"),
        compared::<AnswersPostsOnly>("agrees_with_reference"),
        opening::<AcceptsADowngrade>(),
        opening::<GrantsACapabilityThatIsNotOffered>(),
        opening::<TurnsAwayAPluginBesideManyCapabilities>(),
        opening::<TakesTheFirstOfTwoIdentities>(),
        opening::<LeavesTheMagicUnchecked>(),
        opening::<LeavesAnUndeclaredExportUnseen>(),
        opening::<BelievesInAFunctionThatIsMissing>(),
        opening::<PanicsOnAHandshakeThatIsNoJson>(),
        opening::<HasFunctionsInTheNextVersion>(),
        opening::<AnswersForWhatWasNotNegotiated>(),
        module::<CompilesForEachSession>(),
        module::<TakesAMegabyteForEachExport>(),
    ]
}

impl Faulty {
    /// The first of so many cases of a seed that shows a violation of the check, counted from 1, and a case for it,
    /// shrunk as far as the limits go.
    pub fn hunt(&self, seed: u64, most: u64, limits: ShrinkLimits) -> Option<(u64, Tried)> {
        match &self.kind {
            Kind::Dispatch(fault) => {
                let host = Plain::new(*fault);
                hunt_case(&mut self.executor(&host), self, seed, most, limits)
            }
            Kind::Process(host) => hunt_case(&mut worker(host), self, seed, most, limits),
            Kind::Published => hunt_case(&mut tool(HostKind::Reference), self, seed, most, limits),
            Kind::HandshakeCase(check) => hunt_opening(check, seed, most, limits),
            Kind::Module(check, _) => {
                let mut all = (0..most).map(|index| (index + 1, modules::nth(seed, index)));
                let (count, found) = all.find(|(_, counts)| check(counts).is_some())?;
                Some((count, Tried::Module(found)))
            }
        }
    }

    /// For each that is tried the names of the checks that find something.
    pub fn found(&self, tried: &[Tried]) -> Vec<Vec<String>> {
        match &self.kind {
            Kind::Dispatch(fault) => found_by(&mut self.executor(&Plain::new(*fault)), self, tried),
            Kind::Process(host) => found_by(&mut worker(host), self, tried),
            Kind::Published => found_by(&mut tool(HostKind::Reference), self, tried),
            Kind::HandshakeCase(check) => found_in_openings(check, tried),
            Kind::Module(check, _) => found_in_modules(*check, tried),
        }
    }

    /// The same on the sound host.
    pub fn found_on_the_sound_host(&self, tried: &[Tried]) -> Vec<Vec<String>> {
        match &self.kind {
            Kind::Dispatch(fault) => {
                let sound = Plain::sound_beside(*fault);
                found_by(&mut self.executor(&sound), self, tried)
            }
            Kind::Process(_) => found_by(&mut worker("sound"), self, tried),
            Kind::Published => found_by(&mut tool(HostKind::Guarded), self, tried),
            Kind::HandshakeCase(_) => found_in_openings(checks::<Guarded>(), tried),
            Kind::Module(_, sound) => found_in_modules(*sound, tried),
        }
    }

    /// Whether many of its calls take long.
    pub fn is_slow(&self) -> bool {
        self.check == "no_leak" || self.name == "hangs" || matches!(self.kind, Kind::Published)
    }

    /// Whether a case that shows its fault by itself, again and again, is a finding without more ado: nothing of it is
    /// measured, and no two sessions differ.
    fn shows_by_itself(&self) -> bool {
        matches!(self.kind, Kind::Dispatch(_))
            && self.subject == Subject::Puppet
            && self.shows == Shows::TheSameEverywhere
            && self.check != "deterministic"
    }

    fn executor<'h>(&self, host: &'h Plain) -> InProcessExecutor<'h, Plain> {
        let mut executor = InProcessExecutor::new(host, self.subject).expect("the host opens");
        if self.subject == Subject::Plugin {
            let offer = build_offer(&Default::default());
            let reference = ReferenceHost::with_offer(puppet::wasm(), &offer);
            let reference = reference.expect("the puppet opens");
            executor.runner().compare_with(reference);
        }
        executor
    }
}

fn worker(host: &str) -> Worker {
    crate::workers::faulty(host).worker()
}

/// A worker of the tool, with a host that it knows.
fn tool(host: HostKind) -> Worker {
    workers(host).worker()
}

/// Of openings that are alike one is compiled: a quarter of all have nothing wrong, and a loader keeps nothing of any.
fn checks<L: Loader + Default + 'static>() -> impl Fn(&HandshakeCase) -> Option<Violation> + Sync {
    let sound: Mutex<HashSet<u64>> = Mutex::default();
    move |opening| {
        let mut hasher = DefaultHasher::new();
        opening.to_json().expect("it serializes").hash(&mut hasher);
        let hash = hasher.finish();
        if sound.lock().expect("nobody panicked").contains(&hash) {
            return None;
        }
        let found = HandshakeTarget(L::default()).check(opening);
        if found.is_none() {
            sound.lock().expect("nobody panicked").insert(hash);
        }
        found
    }
}

/// The words of a type's name.
fn words<T>() -> String {
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

/// A fault of the plain host.
fn dispatch<T: Fault + Default + 'static>(check: &'static str) -> Faulty {
    Faulty {
        name: words::<T>(),
        check,
        shows: shows(check),
        subject: Subject::Puppet,
        kind: Kind::Dispatch(|| Box::new(T::default())),
    }
}

/// How what a check finds shows.
fn shows(check: &str) -> Shows {
    let mut checks = CHECKS.iter();
    if checks.any(|of| of.name() == check && of.is_measurement()) {
        Shows::InAMeasurement
    } else {
        Shows::TheSameEverywhere
    }
}

/// One that shows in calls that take all their fuel or all their time.
fn clocked<T: Fault + Default + 'static>(check: &'static str) -> Faulty {
    Faulty {
        shows: Shows::WhereTheClockEndsACall,
        ..dispatch::<T>(check)
    }
}

/// One that shows in a measurement, though its check judges others.
fn measured<T: Fault + Default + 'static>(check: &'static str) -> Faulty {
    Faulty {
        shows: Shows::InAMeasurement,
        ..dispatch::<T>(check)
    }
}

/// One that takes the puppet for a plugin of which nobody knows what it must come to, and is compared with the published
/// host.
fn compared<T: Fault + Default + 'static>(check: &'static str) -> Faulty {
    Faulty {
        subject: Subject::Plugin,
        ..dispatch::<T>(check)
    }
}

fn process(host: &'static str, check: &'static str) -> Faulty {
    Faulty {
        name: host.to_owned(),
        check,
        shows: shows(check),
        subject: Subject::Puppet,
        kind: Kind::Process(host),
    }
}

fn published(fault: &'static str, check: &'static str) -> Faulty {
    Faulty {
        name: fault.to_owned(),
        kind: Kind::Published,
        ..process("", check)
    }
}

fn module<L: Loader + Default + 'static>() -> Faulty {
    Faulty {
        shows: Shows::InAMeasurement,
        kind: Kind::Module(modules::check::<L>, modules::check::<Guarded>),
        ..opening::<L>()
    }
}

fn opening<L: Loader + Default + 'static>() -> Faulty {
    Faulty {
        name: words::<L>(),
        check: HANDSHAKE_SOUND,
        shows: Shows::TheSameEverywhere,
        subject: Subject::Plugin,
        kind: Kind::HandshakeCase(Box::new(checks::<L>())),
    }
}

/// What the index of a seed is drawn from.
fn entropy<const BYTES: usize>(seed: u64, index: u64) -> [u8; BYTES] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(index);
    let mut entropy = [0; BYTES];
    rng.fill_bytes(&mut entropy);
    entropy
}

/// Campaigns call what was negotiated; this is about what was not.
#[test]
fn fallback_policy_finds_a_host_that_answers_for_a_function_that_the_plugin_lacks() {
    let shape_only = crate::common::Guest::shape("{}").wasm();
    let offer = build_offer(&Default::default());
    let sign = Case {
        steps: vec![crate::common::healthy("sign_v1")],
    };
    let found = |host: &Plain| {
        let mut executor =
            InProcessExecutor::<_, Request>::new(host, Subject::Plugin).expect("it opens");
        names(
            executor
                .judge(&sign, CheckRef::new(&FallbackPolicy))
                .expect("it opens"),
        )
    };
    let sound = Plain::sound_of(&shape_only, &offer);
    assert_eq!(found(&sound), [""; 0]);
    let faulty = || Box::new(policies::AnswersForWhatIsNotThere) as Box<dyn Fault>;
    let faulty = Plain::of(&shape_only, &offer, faulty);
    assert_eq!(found(&faulty), ["fallback_policy"]);
}
