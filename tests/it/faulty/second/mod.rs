//! Faults by a second author, who wrote them from the obligations of the traits and the wire types and knew neither the
//! generators nor the checks: each field, each direction, each size, each moment.

mod accepted;
mod answered;
mod calls;
mod handshakes;
mod identities;
mod json;
mod kept;
mod leftovers;
mod limits;
mod lists;
mod messages;
mod policies;
mod refused;
mod sessions;
mod states;
mod targets;
mod terms;
mod texts;
mod written;

use cc_lb_fuzz::campaign::{self, Plan};
use cc_lb_fuzz::case::ShrinkLimits;
use cc_lb_fuzz::observation::Subject;
use cc_lb_fuzz::wire::Request;

use super::plain::{MakesFault, Plain};
use super::{Faulty, Kind, by_the_clock, dispatch, opening};

/// All of them, in the order of a dispatch.
pub fn all() -> Vec<Faulty> {
    use {accepted::*, answered::*, calls::*, identities::*, kept::*};
    use {leftovers::*, limits::*, lists::*, messages::*, policies::*, refused::*};
    use {sessions::*, states::*, targets::*, texts::*, written::*};
    vec![
        dispatch::<DecodesPercentsInPaths>("request_fidelity"),
        dispatch::<JoinsSlashesOfPaths>("request_fidelity"),
        dispatch::<ResolvesDotsInPaths>("request_fidelity"),
        dispatch::<PutsASlashBeforePaths>("request_fidelity"),
        dispatch::<SplitsPathsAtQuestionMarks>("request_fidelity"),
        dispatch::<WritesEmptyQueriesAsNull>("request_fidelity"),
        dispatch::<WritesPlusAsSpaceInQueries>("request_fidelity"),
        dispatch::<LowersTheHostOfUrls>("request_fidelity"),
        dispatch::<PutsASlashBehindTheHostOfUrls>("request_fidelity"),
        dispatch::<CutsFragmentsOfUrls>("request_fidelity"),
        dispatch::<DropsTheDefaultPortOfUrls>("request_fidelity"),
        dispatch::<TrimsTheSlashOfBaseUrls>("request_fidelity"),
        dispatch::<FillsInTheBaseUrl>("request_fidelity"),
        dispatch::<WritesMissingCacheScoresAsNull>("request_fidelity"),
        dispatch::<LeavesOutZerosOfCacheScores>("request_fidelity"),
        dispatch::<LowersHeaderNames>("request_fidelity"),
        dispatch::<DropsEmptyHeaders>("request_fidelity"),
        dispatch::<KeepsTheLastOfEqualHeaders>("request_fidelity"),
        dispatch::<HidesSecretHeaders>("request_fidelity"),
        dispatch::<DropsHopByHopHeaders>("request_fidelity"),
        dispatch::<KeepsAHundredHeaders>("request_fidelity"),
        dispatch::<EncodesBodiesAgain>("request_fidelity"),
        dispatch::<WritesBodiesInTheAlphabetOfUrls>("request_fidelity"),
        dispatch::<WrapsBodiesAt76>("request_fidelity"),
        dispatch::<CutsBodiesAt64Kib>("request_fidelity"),
        dispatch::<WritesMissingBodiesOfErrorsAsEmpty>("request_fidelity"),
        dispatch::<WritesCrLfAsLf>("request_fidelity"),
        dispatch::<ComposesAccents>("request_fidelity"),
        dispatch::<DropsInvisibleCharacters>("request_fidelity"),
        dispatch::<DropsControlCharacters>("request_fidelity"),
        dispatch::<LosesCharactersOfFourBytes>("request_fidelity"),
        dispatch::<EscapesBackslashesTwice>("request_fidelity"),
        dispatch::<ReadsEscapesInTexts>("request_fidelity"),
        dispatch::<CutsErrorMessagesAt256>("request_fidelity"),
        dispatch::<WritesWholeFloatsAsIntegers>("request_fidelity"),
        dispatch::<WritesFloatsInSinglePrecision>("request_fidelity"),
        dispatch::<WritesFloatsWithSixDecimals>("request_fidelity"),
        dispatch::<CutsTimesTo32Bits>("request_fidelity"),
        dispatch::<GuessesTheUnitOfTimes>("request_fidelity"),
        dispatch::<TakesTokensForSigned32Bits>("request_fidelity"),
        dispatch::<TakesStrangeStatusesFor500>("request_fidelity"),
        dispatch::<ClampsUtilization>("request_fidelity"),
        dispatch::<TakesNoneRemainingForUnknown>("request_fidelity"),
        dispatch::<TakesFalseForUnknown>("request_fidelity"),
        dispatch::<KeepsSixteenCandidates>("request_fidelity"),
        dispatch::<SortsCandidates>("request_fidelity"),
        dispatch::<DropsCandidatesOfTheSameUpstream>("request_fidelity"),
        dispatch::<KeepsOneQuotaOfAWindow>("request_fidelity"),
        dispatch::<KeepsTheLast64Events>("request_fidelity"),
        dispatch::<MergesChunks>("request_fidelity"),
        dispatch::<NumbersChunksItself>("request_fidelity"),
        dispatch::<PutsTheEndOfARequestLast>("request_fidelity"),
        dispatch::<DropsEventsBehindTheEnd>("request_fidelity"),
        dispatch::<DropsNullsInStates>("request_fidelity"),
        dispatch::<DropsEmptyTextsInStates>("request_fidelity"),
        dispatch::<WritesEmptyObjectsInStatesAsLists>("request_fidelity"),
        dispatch::<DropsVersionsInStates>("request_fidelity"),
        dispatch::<LosesThePrototypeInStates>("request_fidelity"),
        dispatch::<WritesKeysOfStatesInCamelCase>("request_fidelity"),
        dispatch::<NestsDottedKeysOfStates>("request_fidelity"),
        dispatch::<KeepsOneOfEqualValuesInListsOfStates>("request_fidelity"),
        dispatch::<UnwrapsListsOfOneInStates>("request_fidelity"),
        dispatch::<ReadsJsonInTextsOfStates>("request_fidelity"),
        dispatch::<ReadsTrueAndFalseInTextsOfStates>("request_fidelity"),
        dispatch::<FillsInVariablesInFactoryStates>("request_fidelity"),
        dispatch::<CutsStatesBelow32Levels>("request_fidelity"),
        dispatch::<CutsStatesBelow100Levels>("request_fidelity"),
        dispatch::<KeepsAHundredKeysOfStates>("request_fidelity"),
        dispatch::<TakesThePrincipalFromItsClaims>("request_fidelity"),
        dispatch::<SignsWithTheStateLastBuilt>("request_fidelity"),
        dispatch::<TellsOfTheStateLastSignedWith>("request_fidelity"),
        dispatch::<SignsAgainWhatFailed>("request_fidelity"),
        dispatch::<KeepsPrincipalsById>("request_fidelity"),
        dispatch::<KeepsBodiesByRequestId>("request_fidelity"),
        dispatch::<WritesTheVersionAsText>("request_fidelity"),
        dispatch::<LeavesTheEndOfALongerInput>("request_fidelity"),
        dispatch::<CutsInputsAt512Kib>("request_fidelity"),
        dispatch::<CutsHalfACharacterAtTheEnd>("sound_ok"),
        dispatch::<LosesAnswersOver256Kib>("sound_ok"),
        dispatch::<TrimsAnswers>("sound_ok"),
        dispatch::<RefusesAnswersThatBeginWithSpace>("sound_ok"),
        dispatch::<RefusesAnswersThatEndWithSpace>("sound_ok"),
        dispatch::<SkipsWhatStandsBeforeTheAnswer>("sound_ok"),
        dispatch::<ReadsTheLastLine>("sound_ok"),
        dispatch::<AcceptsTrailingCommas>("sound_ok"),
        dispatch::<AcceptsSingleQuotes>("sound_ok"),
        dispatch::<AcceptsComments>("sound_ok"),
        dispatch::<AcceptsNumbersThatAreNone>("sound_ok"),
        dispatch::<AcceptsLiteralsInCapitals>("sound_ok"),
        dispatch::<AcceptsLineBreaksInTexts>("sound_ok"),
        dispatch::<AcceptsEscapedApostrophes>("sound_ok"),
        dispatch::<AcceptsHalvesOfCharacters>("sound_ok"),
        dispatch::<ReadsAnswersInAText>("sound_ok"),
        dispatch::<RefusesExponents>("sound_ok"),
        dispatch::<RefusesEscapedSlashes>("sound_ok"),
        dispatch::<RefusesEscapedNuls>("sound_ok"),
        dispatch::<RefusesNumbersBeyond64Bits>("sound_ok"),
        dispatch::<RefusesAnswersOver64Levels>("sound_ok"),
        dispatch::<RefusesTheDeepestAnswers>("sound_ok"),
        dispatch::<TakesTheFirstOfEqualFields>("sound_ok"),
        dispatch::<RefusesFieldsThatAreThereTwice>("sound_ok"),
        dispatch::<TakesNothingForAnEmptyObject>("sound_ok"),
        dispatch::<TakesNullForAnEmptyObject>("sound_ok"),
        dispatch::<LooksForTheVersionInTheState>("sound_ok"),
        dispatch::<AcceptsOtherNamesOfTheVersion>("sound_ok"),
        dispatch::<UnwrapsEnvelopes>("sound_ok"),
        dispatch::<AcceptsAnEarlierVersion>("sound_ok"),
        dispatch::<TruncatesTheVersionTo32Bits>("sound_ok"),
        dispatch::<LeavesTheSignOfTheVersionUnread>("sound_ok"),
        dispatch::<AcceptsFieldsWithAnUnderscore>("sound_ok"),
        dispatch::<AcceptsUnknownNulls>("sound_ok"),
        dispatch::<ReadsNothingOfWhatObserveAnswers>("sound_ok"),
        dispatch::<AcceptsOneObjectForAList>("sound_ok"),
        dispatch::<AcceptsHeadersByName>("sound_ok"),
        dispatch::<AcceptsNumbersForTexts>("sound_ok"),
        dispatch::<FillsInMissingReasons>("sound_ok"),
        dispatch::<AcceptsFieldsInCamelCase>("sound_ok"),
        dispatch::<AcceptsFieldsInAnyCase>("sound_ok"),
        dispatch::<RefusesHeadersThatAreLists>("sound_ok"),
        dispatch::<RefusesMissingOptions>("sound_ok"),
        dispatch::<RefusesBodiesThatAreNotBase64>("sound_ok"),
        dispatch::<RefusesHeaderNamesThatAreNone>("sound_ok"),
        dispatch::<RefusesUnknownDecisions>("sound_ok"),
        dispatch::<TakesNoResultsForAFailure>("sound_ok"),
        dispatch::<TakesEmptyTextsForNone>("sound_ok"),
        dispatch::<TakesTheTextNullForNone>("sound_ok"),
        dispatch::<TakesAnEmptyListForNone>("sound_ok"),
        dispatch::<LowersHeaderNamesOfAnswers>("sound_ok"),
        dispatch::<KeepsTheLastOfEqualHeadersOfAnswers>("sound_ok"),
        dispatch::<KeepsTheLastResultOfAnUpstream>("sound_ok"),
        dispatch::<KeepsAHundredHeadersOfAnswers>("sound_ok"),
        dispatch::<WritesMethodsOfAnswersInCapitals>("sound_ok"),
        dispatch::<EncodesSpacesInUrlsOfAnswers>("sound_ok"),
        dispatch::<EncodesBodiesOfAnswersAgain>("sound_ok"),
        dispatch::<CutsTextsOfAnswersAtNul>("sound_ok"),
        dispatch::<LosesCharactersOfFourBytesOfAnswers>("sound_ok"),
        dispatch::<CutsTextsOfAnswersAt64Kib>("sound_ok"),
        dispatch::<RoundsIntegersOfAnswersToDoubles>("sound_ok"),
        dispatch::<ReadsWholeFloatsOfAnswersAsIntegers>("sound_ok"),
        dispatch::<ReadsMinusZeroAsZero>("sound_ok"),
        dispatch::<CutsIntegersBeyond63Bits>("sound_ok"),
        dispatch::<DropsNullsInStatesOfAnswers>("sound_ok"),
        dispatch::<DropsVersionsInStatesOfAnswers>("sound_ok"),
        dispatch::<ReadsJsonInTextsOfStatesOfAnswers>("sound_ok"),
        dispatch::<FillsInWhatSignLeavesOut>("sound_ok"),
        dispatch::<KeepsTheStateWhereTheAnswerHasNone>("sound_ok"),
        dispatch::<DropsResultsOfUnknownCandidates>("sound_ok"),
        dispatch::<BuildsASignerOnce>("sound_ok"),
        dispatch::<KeepsAnswersByRequestId>("sound_ok"),
        dispatch::<ClosesAfterAHundredCalls>("no_poison"),
        dispatch::<ClosesAfterAThousandCalls>("no_poison"),
        dispatch::<ClosesAfterFiveThousandCalls>("no_poison"),
        dispatch::<LosesEveryThirdCall>("no_poison"),
        dispatch::<LosesEveryTenthSign>("no_poison"),
        dispatch::<ClosesAfterAMegabyteOfInput>("no_poison"),
        dispatch::<LosesTheCallBehindAnInputOf64Kib>("no_poison"),
        dispatch::<LosesTheCallBehindAnAnswerOf16Kib>("no_poison"),
        dispatch::<ClosesAFunctionAfterThreeTimeouts>("no_poison"),
        dispatch::<PausesAfterThreeFailuresInARow>("no_poison"),
        dispatch::<ClosesAfterTenAnswersThatItCannotRead>("no_poison"),
        dispatch::<HandsOutUsedInstances>("no_retry"),
        dispatch::<SharesTheInstanceFromTheThirdSessionOn>("no_retry"),
        dispatch::<TellsAGuestErrorAgain>("no_poison"),
        dispatch::<BansPrincipalsAfterTwoFailures>("no_poison"),
        dispatch::<LeavesTheRestOfTheFuelAfterAFailure>("no_poison"),
        dispatch::<TakesFunctionsOfOneLetterForTheSame>("no_poison"),
        dispatch::<WarmsUpEachFunction>("no_retry"),
        dispatch::<CallsBuildSignerBeforeTheFirstSign>("no_retry"),
        dispatch::<ProbesEveryHundredCalls>("no_retry"),
        dispatch::<RetriesGuestErrorsThatSayRetry>("no_retry"),
        dispatch::<RetriesExitCode75>("no_retry"),
        dispatch::<RetriesNegativeExitCodes>("no_retry"),
        dispatch::<RetriesAnswersThatAreCutOff>("no_retry"),
        dispatch::<AsksAgainInTheVersionOfTheAnswer>("no_retry"),
        dispatch::<RetriesWhatChangesNothing>("no_retry"),
        dispatch::<CallsASecondTimeWhatTakesLong>("no_retry"),
        dispatch::<AnswersObserveWhateverItComesTo>("fallback_policy"),
        dispatch::<KeepsAnswersByTheBody>("sound_ok"),
        dispatch::<KeepsAnswersByTheWholeInput>("no_retry"),
        dispatch::<KeepsAnswersByAHashOf16Bits>("sound_ok"),
        dispatch::<KeepsAnswersByTheBeginningOfTheInput>("sound_ok"),
        dispatch::<KeepsAnswersOfOtherSessions>("no_retry"),
        dispatch::<FailsAgainByTheIdOfTheRequest>("no_poison"),
        dispatch::<AnswersTimeoutsWithTheAnswerBefore>("fallback_policy"),
        dispatch::<LeavesTheEndOfALongerAnswer>("no_poison"),
        dispatch::<SendsTheInputBeforeThatIsAsLong>("request_fidelity"),
        dispatch::<TakesMissingFieldsFromTheAnswerBefore>("sound_ok"),
        dispatch::<SignsWithTheStateOfOnUnauthorized>("request_fidelity"),
        dispatch::<GivesHalfTheFuel>("sound_ok"),
        dispatch::<GivesATenthMoreFuelAndTellsNothing>("within_fuel"),
        dispatch::<FuelsByTheSizeOfTheInput>("sound_ok"),
        dispatch::<GivesObserveATenthOfTheFuel>("sound_ok"),
        by_the_clock::<TimesTheSession>("no_poison"),
        by_the_clock::<SetsTheDeadlineTenMillisecondsAhead>("sound_ok"),
        dispatch::<FailsOpenInLaterVersions>("fallback_policy"),
        dispatch::<PassesThroughMethodsThatAreSafe>("fallback_policy"),
        dispatch::<PassesThroughOtherKindsOfPrincipals>("fallback_policy"),
        dispatch::<PassesThroughSignersWithAnEmptyState>("fallback_policy"),
        dispatch::<PassesThroughRequestsWithMoreThanTenHeaders>("fallback_policy"),
        dispatch::<MisspellsOnUnauthorized>("fallback_policy"),
        dispatch::<PassesThroughBuildSignersThatTrap>("fallback_policy"),
        dispatch::<FailsOpenAfterTenFailures>("fallback_policy"),
        dispatch::<FailsOpenAfterAHundredFailures>("fallback_policy"),
        dispatch::<FailsOpenAfterAThousandFailuresOfTheHost>("fallback_policy"),
        dispatch::<FailsEveryRequestAfterOneFailed>("fallback_policy"),
        dispatch::<PassesThroughWhatRunsOutOfFuel>("fallback_policy"),
        dispatch::<PassesThroughErrorsThatSayTimeout>("fallback_policy"),
        dispatch::<PassesThroughAnswersThatItCannotRead>("fallback_policy"),
        dispatch::<MakesTheDefaultItself>("fallback_policy"),
        dispatch::<TakesTheLowestByteOfExitCodes>("fallback_policy"),
        dispatch::<IgnoresNegativeExitCodes>("fallback_policy"),
        dispatch::<TellsTheSamePolicyOfTheSameError>("fallback_policy"),
        opening::<TakesTheLastOfTwoIdentities>(),
        opening::<PassesOverEmptyIdentities>(),
        opening::<AcceptsPluginNamesInCapitals>(),
    ]
}

/// Those of which nobody knows yet whether they are found: to hunt them to the end takes an afternoon.
fn not_hunted() -> Vec<Faulty> {
    use {accepted::*, calls::*, handshakes::*, identities::*, messages::*, policies::*};
    use {refused::*, sessions::*, terms::*};
    vec![
        dispatch::<LeavesOutBodiesOver256Kib>("request_fidelity"),
        dispatch::<AcceptsUnknownFieldsOfHeaders>("sound_ok"),
        dispatch::<AcceptsUnknownFieldsOfReasons>("sound_ok"),
        dispatch::<AcceptsNullForLists>("sound_ok"),
        dispatch::<AcceptsNullForTextsOfHeaders>("sound_ok"),
        dispatch::<DropsResultsThatAreNone>("sound_ok"),
        dispatch::<RefusesReasonsThatAreLists>("sound_ok"),
        dispatch::<Keeps256Results>("sound_ok"),
        dispatch::<LosesTheFirstCallOfLaterSessions>("sound_ok"),
        dispatch::<KeepsTheInstanceAfterATimeout>("no_poison"),
        dispatch::<ProbesAfterATimeout>("no_retry"),
        dispatch::<FailsOpenAfterThreeTimeouts>("fallback_policy"),
        opening::<AcceptsUnknownFieldsInTheIdentity>(),
        opening::<AcceptsPluginNamesOf65Bytes>(),
        opening::<CountsTheCharactersOfThePluginVersion>(),
        opening::<ReadsIdentitiesOfMoreThan64Kib>(),
        opening::<CutsTheIdentityAtNul>(),
        opening::<TurnsAwayLaterAbiEnvelopes>(),
        opening::<TurnsAwayAPluginBeside17Functions>(),
        opening::<TurnsAwayAPluginBesideAFunctionWithoutVersions>(),
        opening::<PanicsOnFunctionsWithoutVersions>(),
        opening::<TurnsAwayAPluginBesideUnsortedVersions>(),
        opening::<CountsVersionsThatDiffer>(),
        opening::<LeavesOutThe33rdCapability>(),
        opening::<TurnsAwayAPluginBesideACapabilityOf64Bytes>(),
        opening::<WantsTheHighestVersionOfTheOffer>(),
        opening::<TakesTheLastVersionForTheHighest>(),
        opening::<ComparesCapabilitiesIgnoringCase>(),
        opening::<TrimsCapabilities>(),
        opening::<GrantsWhatABroaderCapabilityBeginsWith>(),
        opening::<GrantsTheBeginningOfACapability>(),
        opening::<GrantsCapabilitiesWithoutAName>(),
        opening::<AcceptsTheVersionBelow>(),
        opening::<AcceptsTheVersionAbove>(),
        opening::<TakesVersionsForARange>(),
        opening::<AcceptsSeventeenFunctions>(),
        opening::<PassesOverVersionsThatDoNotExist>(),
        opening::<TruncatesTheVersionsOfAHandshake>(),
        opening::<PassesOverFunctionsThatWereNotOffered>(),
        opening::<TakesChosenFunctionsForImplemented>(),
        opening::<TakesChosenVersionsForSupported>(),
        opening::<LeavesTheSchemaVersionUnchecked>(),
        opening::<TrimsTheNamesOfFunctions>(),
        opening::<AcceptsWhatStandsBehindTheHandshake>(),
        opening::<SkipsWhatStandsBeforeTheHandshake>(),
        opening::<AcceptsUnknownFieldsInTheHandshake>(),
        opening::<FillsInWhatAHandshakeLacks>(),
        opening::<GivesHandshakesTenTimesTheFuel>(),
        opening::<AcceptsHandshakesOf64Kib>(),
        opening::<TurnsAwayHandshakesOf16Kib>(),
        opening::<GivesHandshakesATenthOfTheFuel>(),
        opening::<TurnsAwayPluginsWithoutFunctions>(),
        opening::<TellsTheHighestVersionOfTheOffer>(),
        opening::<TellsAVersionForEveryFunctionOfTheOffer>(),
        opening::<TellsAllCapabilitiesOfTheOffer>(),
        opening::<ForgetsWhatThePluginRequires>(),
        opening::<LosesFunctionsWithNamesOf64Bytes>(),
        opening::<KnowsFunctionsByTheFirst16Bytes>(),
    ]
}

/// Those that a campaign does not find, and why. What is found one day belongs to the others.
pub fn missed() -> Vec<(Faulty, &'static str)> {
    const FEW_TIMEOUTS: &str =
        "a call that the clock ends takes long, so that each function has few of them";
    vec![
        (
            dispatch::<policies::AnswersForObservationsOfNothing>("fallback_policy"),
            "a request without a text has no room for a program, and no other call fails",
        ),
        (
            dispatch::<policies::IgnoresErrorsWithoutAText>("fallback_policy"),
            "behind the guard every error has a text",
        ),
        (
            by_the_clock::<limits::SleepsBehindATimeoutOfObserve>("within_wall"),
            FEW_TIMEOUTS,
        ),
        (
            dispatch::<sessions::LosesSignAfterBuildSignerTimedOut>("no_poison"),
            FEW_TIMEOUTS,
        ),
        (
            dispatch::<sessions::GivesRenewedInstancesHalfTheFuel>("no_poison"),
            "right behind a call that fails stands a healthy one, which takes little fuel",
        ),
        (
            opening::<handshakes::TakesAnyExportForAFunction>(),
            "what an opening exports is a function without parameters",
        ),
    ]
}

/// Hosts whose sessions are not apart. No case shows it by itself.
fn whose_sessions_are_not_apart() -> Vec<(&'static str, MakesFault)> {
    vec![
        ("failures", || {
            Box::new(sessions::ClosesAllSessionsAfterFiftyFailures::default())
        }),
        ("sessions", || {
            Box::new(sessions::OpensNoInstanceAfterAHundredSessions::default())
        }),
        ("timeouts", || Box::new(limits::TimesAllSessions::default())),
    ]
}

#[test]
fn what_one_session_does_to_others_is_one_finding_that_says_so() {
    for (what, fault) in whose_sessions_are_not_apart() {
        let host = Plain::new(fault);
        let plan = Plan::puppet::<Request>(1, 700);
        let found = campaign::findings::<_, Request>(&host, Subject::Puppet, &plan);
        let found = found.expect("it opens");
        let told: Vec<_> = found
            .iter()
            .map(|finding| (&finding.violation.check[..], &finding.violation.class[..]))
            .collect();
        assert_eq!(
            told,
            [("no_poison", "other sessions")],
            "{what}: {found:#?}"
        );
        let detail = &found[0].violation.detail;
        assert!(
            detail.ends_with("what a session does changes others"),
            "{detail}"
        );
    }
}

#[test]
#[ignore = "some minutes in a release build"]
fn what_is_said_to_be_missed_is_missed() {
    for (faulty, why) in missed() {
        let found = faulty.hunt(1, 20_000, ShrinkLimits::default());
        assert!(
            found.is_none(),
            "{} is found, no matter that {why}",
            faulty.name
        );
    }
}

#[test]
fn every_fault_stands_in_the_table_of_obligations() {
    let table = include_str!("../../../../docs/obligations.md");
    let missed = missed().into_iter().map(|(faulty, _)| faulty);
    let all = super::all().into_iter().chain(not_hunted());
    for faulty in all.chain(missed) {
        let is_of_a_host = matches!(faulty.kind, Kind::Dispatch(_) | Kind::Opening(_));
        assert!(
            !is_of_a_host || table.contains(&faulty.name),
            "{}",
            faulty.name
        );
    }
}
