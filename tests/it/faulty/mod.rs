//! Hosts with one realistic fault each, and the check that must catch it.
//!
//! `kill_table.rs` finds every fault by campaigns, and keeps the smallest case that shows each in `cases/`. The tests
//! here run these: every fault is caught by its own check, and the sound host is not. A fault that is not caught is a gap
//! in the generators or the checks.

use cc_lb_fuzz::campaign::{
    Bench, CASES_PER_SESSION, Confirmed, Known, Lab, Plan, Suspect, Worker, confirm, nth_case,
};
use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::finding::Origin;
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{Guarded, Host, Loader, ReferenceHost};
use cc_lb_fuzz::observation::Subject;
use cc_lb_fuzz::opening::{HANDSHAKE_SOUND, Opening, OpeningTarget};
use cc_lb_fuzz::oracle::Violation;
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::wire::Request;

mod answers;
mod calls;
mod kill_table;
mod openings;
mod plain;
mod policies;
mod requests;
mod sessions;
mod shrinking;

use openings::nth_opening;
use plain::{Fault, Plain};

/// A faulty host.
pub struct Faulty {
    /// What it does wrong, in words.
    pub name: String,
    /// The check that must catch it.
    pub check: &'static str,
    /// Who answers its campaigns.
    subject: Subject,
    trial: Box<dyn Trial>,
}

/// What is tried on a faulty host.
#[derive(Clone, Debug, PartialEq)]
pub enum Tried {
    Case(Case),
    Opening(Opening),
}

/// How a faulty host is tried.
trait Trial: Sync {
    /// The first of so many cases of a seed that shows a violation of the check, counted from 1, and a case for it,
    /// shrunk as far as the limits go.
    fn hunt(
        &self,
        faulty: &Faulty,
        seed: u64,
        most: u64,
        limits: ShrinkLimits,
    ) -> Option<(u64, Tried)>;

    /// For each that is tried the names of the checks that find something, on the faulty host or on the sound one.
    fn found(&self, faulty: &Faulty, tried: &[Tried], sound: bool) -> Vec<Vec<String>>;
}

/// All of them, in the order of the checks.
pub fn all() -> Vec<Faulty> {
    use {answers::*, calls::*, openings::*, policies::*, requests::*, sessions::*};
    vec![
        process("aborts", "no_crash"),
        process("exits", "no_crash"),
        process("hangs", "no_crash"),
        dispatch::<PanicsWhenTheGuestTraps>("no_panic"),
        dispatch::<PanicsOnAnswersThatAreNoJson>("no_panic"),
        dispatch::<SkipsFailingSigners>("fallback_policy"),
        dispatch::<UsesThePolicyOfTheFunctionBefore>("fallback_policy"),
        dispatch::<ReadsThePolicyFromASetting>("fallback_policy"),
        dispatch::<PassesThroughWhatTimesOut>("fallback_policy"),
        dispatch::<IgnoresExitCodes>("fallback_policy"),
        dispatch::<IgnoresGuestErrors>("fallback_policy"),
        dispatch::<AnswersForTraps>("fallback_policy"),
        dispatch::<AnswersForTimeouts>("fallback_policy"),
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
        dispatch::<LeavesTheTimerArmed>("no_poison"),
        dispatch::<ClosesAfterATrap>("no_poison"),
        dispatch::<ClosesAfterTwelveFailures>("no_poison"),
        dispatch::<LosesObserveAfterSignFailed>("no_poison"),
        dispatch::<ForgetsAFunctionThatAnsweredRubbish>("no_poison"),
        dispatch::<LosesWildCallsAfterAGuestError>("no_poison"),
        dispatch::<RetriesOnce>("no_retry"),
        dispatch::<RetriesTimeouts>("no_retry"),
        dispatch::<RetriesTrapsOnAFreshInstance>("no_retry"),
        dispatch::<AsksAgainForAnEmptyAnswer>("no_retry"),
        dispatch::<HasNoFuelLimit>("within_fuel"),
        dispatch::<GivesTwiceTheFuel>("within_fuel"),
        dispatch::<WaitsThreeTimesAsLong>("within_wall"),
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
    ]
}

impl Faulty {
    pub fn hunt(&self, seed: u64, most: u64, limits: ShrinkLimits) -> Option<(u64, Tried)> {
        self.trial.hunt(self, seed, most, limits)
    }

    /// For each that is tried the names of the checks that find something.
    pub fn found(&self, tried: &[Tried]) -> Vec<Vec<String>> {
        self.trial.found(self, tried, false)
    }

    /// The same on the sound host.
    pub fn found_on_the_sound_host(&self, tried: &[Tried]) -> Vec<Vec<String>> {
        self.trial.found(self, tried, true)
    }

    /// Whether many of its calls take long.
    pub fn is_slow(&self) -> bool {
        self.check == "no_leak" || self.name == "hangs"
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
fn dispatch<T: Fault>(check: &'static str) -> Faulty {
    Faulty {
        name: words::<T>(),
        check,
        subject: Subject::Puppet,
        trial: Box::new(InProcess::<T>(std::marker::PhantomData)),
    }
}

/// One that takes the puppet for a plugin of which nobody knows what it must come to, and is compared with the published
/// host.
fn compared<T: Fault>(check: &'static str) -> Faulty {
    Faulty {
        subject: Subject::Plugin,
        ..dispatch::<T>(check)
    }
}

struct InProcess<T>(std::marker::PhantomData<fn() -> T>);

impl<T: Fault> Trial for InProcess<T> {
    fn hunt(
        &self,
        faulty: &Faulty,
        seed: u64,
        most: u64,
        limits: ShrinkLimits,
    ) -> Option<(u64, Tried)> {
        let host = Plain::<T>::new();
        hunt_on(&mut bench(&host, faulty), faulty, seed, most, limits)
    }

    fn found(&self, faulty: &Faulty, tried: &[Tried], sound: bool) -> Vec<Vec<String>> {
        match sound {
            false => found_on(&mut bench(&Plain::<T>::new(), faulty), faulty, tried),
            true => found_on(&mut bench(&Plain::<Sound<T>>::new(), faulty), faulty, tried),
        }
    }
}

/// No fault, on what is tried for another.
#[derive(Clone)]
struct Sound<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for Sound<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Fault> Fault for Sound<T> {
    const VERSIONED: bool = T::VERSIONED;
    const TELLS: bool = T::TELLS;
}

fn bench<'h, H: Host>(host: &'h H, faulty: &Faulty) -> Bench<'h, H> {
    let mut bench = Bench::new(host, faulty.subject).expect("the host opens");
    if faulty.subject == Subject::Plugin {
        let offer = build_offer(&Default::default());
        let reference = ReferenceHost::with_offer(puppet::wasm(), &offer);
        let reference = reference.expect("the puppet opens");
        bench.runner().compare_with(reference);
    }
    bench
}

/// A host of the example of one's own, in a process.
fn process(host: &'static str, check: &'static str) -> Faulty {
    Faulty {
        name: host.to_owned(),
        check,
        subject: Subject::Puppet,
        trial: Box::new(InWorker(host)),
    }
}

struct InWorker(&'static str);

impl InWorker {
    fn worker(&self, sound: bool) -> Worker {
        let host = if sound { "sound" } else { self.0 };
        crate::workers::faulty(host).worker()
    }
}

impl Trial for InWorker {
    fn hunt(
        &self,
        faulty: &Faulty,
        seed: u64,
        most: u64,
        limits: ShrinkLimits,
    ) -> Option<(u64, Tried)> {
        hunt_on(&mut self.worker(false), faulty, seed, most, limits)
    }

    fn found(&self, faulty: &Faulty, tried: &[Tried], sound: bool) -> Vec<Vec<String>> {
        found_on(&mut self.worker(sound), faulty, tried)
    }
}

/// What a campaign of a seed finds first of a check.
fn hunt_on(
    lab: &mut impl Lab<Request>,
    faulty: &Faulty,
    seed: u64,
    most: u64,
    limits: ShrinkLimits,
) -> Option<(u64, Tried)> {
    let plan = match faulty.subject {
        Subject::Puppet => Plan::puppet::<Request>(seed, most),
        Subject::Plugin => Plan::plugin::<Request>(seed, most),
    };
    let mut next = 0;
    while next < most {
        let end = (next / CASES_PER_SESSION + 1) * CASES_PER_SESSION;
        let block = lab.run(&plan, next..end, None).expect("the host opens");
        let Some(stopped) = block.stopped else {
            next = end;
            continue;
        };
        let history: Vec<_> = (next..=stopped.case)
            .map(|case| nth_case(&plan, case))
            .collect();
        next = stopped.case + 1;
        let mut found = stopped.violations.iter();
        let Some(violation) = found.find(|violation| violation.check == faulty.check) else {
            continue;
        };
        let suspect = Suspect {
            violation,
            history: &history,
            by_chance: stopped.by_chance,
        };
        let confirmed = confirm(lab, &suspect, &Known::default(), limits).expect("the host opens");
        if let Confirmed::Finding(finding) = confirmed
            && finding.violation.check == faulty.check
            && finding.origin != Origin::Unreproduced
        {
            return Some((next, Tried::Case(finding.case)));
        }
    }
    None
}

/// The checks that find something in each case alone, as deep as the faulty host's own check needs it. What a check that
/// measures finds must show three times.
fn found_on(lab: &mut impl Lab<Request>, faulty: &Faulty, tried: &[Tried]) -> Vec<Vec<String>> {
    let mut found = |tried: &Tried| {
        let Tried::Case(case) = tried else {
            panic!("a dispatch is tried with cases");
        };
        let mut judge = || lab.judge(case, faulty.check).expect("the host opens");
        let mut found = judge();
        for _ in 0..2 {
            if found.iter().any(|violation| violation.measured) {
                let again = judge();
                let shows = |violation: &Violation| {
                    again.iter().any(|other| other.check == violation.check)
                };
                found.retain(|violation| !violation.measured || shows(violation));
            }
        }
        let mut names: Vec<_> = found.into_iter().map(|violation| violation.check).collect();
        names.dedup();
        names
    };
    tried.iter().map(&mut found).collect()
}

/// A fault of a loader.
fn opening<L: Loader + Default + Sync + 'static>() -> Faulty {
    Faulty {
        name: words::<L>(),
        check: HANDSHAKE_SOUND,
        subject: Subject::Plugin,
        trial: Box::new(Opens::<L>(std::marker::PhantomData)),
    }
}

struct Opens<L>(std::marker::PhantomData<fn() -> L>);

impl<L: Loader + Default> Trial for Opens<L> {
    fn hunt(&self, _: &Faulty, seed: u64, most: u64, limits: ShrinkLimits) -> Option<(u64, Tried)> {
        let target = OpeningTarget(L::default());
        let fails = |opening: &Opening| target.check(opening).is_some();
        let found = (0..most).find(|index| fails(&nth_opening(seed, *index)))?;
        let opening = nth_opening(seed, found);
        Some((
            found + 1,
            Tried::Opening(match limits.candidates {
                0 => opening,
                _ => opening.shrink(fails),
            }),
        ))
    }

    fn found(&self, _: &Faulty, tried: &[Tried], sound: bool) -> Vec<Vec<String>> {
        let found = |tried: &Tried| {
            let Tried::Opening(opening) = tried else {
                panic!("a loader is tried with openings");
            };
            let found = match sound {
                false => OpeningTarget(L::default()).check(opening),
                true => OpeningTarget(Guarded).check(opening),
            };
            found.into_iter().map(|violation| violation.check).collect()
        };
        tried.iter().map(found).collect()
    }
}

/// Campaigns call what was negotiated; this is about what was not.
#[test]
fn fallback_policy_finds_a_host_that_answers_for_a_function_that_the_plugin_lacks() {
    let shape_only = crate::common::Guest::shape("{}").wasm();
    let offer = build_offer(&Default::default());
    let sign = Case {
        steps: vec![crate::common::healthy("sign_v1")],
    };
    fn found(host: &impl Host, case: &Case) -> Vec<String> {
        let mut bench = Bench::<_, Request>::new(host, Subject::Plugin).expect("it opens");
        let found = bench.judge(case, "fallback_policy").expect("it opens");
        found.into_iter().map(|violation| violation.check).collect()
    }
    let sound = Plain::<Sound<policies::SkipsFailingSigners>>::of(&shape_only, &offer);
    assert_eq!(found(&sound, &sign), [""; 0]);
    let faulty = Plain::<policies::AnswersForWhatIsNotThere>::of(&shape_only, &offer);
    assert_eq!(found(&faulty, &sign), ["fallback_policy"]);
}
