//! Hosts that do not follow the fallback policy of a function whose call fails.

use std::collections::BTreeMap;

use cc_lb_fuzz::host::FallbackPolicy;
use cc_lb_fuzz::wire::Function;
use serde_json::Value;

use crate::faulty::plain::{Failure, FailureOutcome, Fault, Settings, SharedState};
use crate::faulty::{FaultyHost, dispatch, time_limited};

pub fn faults() -> Vec<FaultyHost> {
    vec![
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
        time_limited::<PassesThroughWhatRunsOutOfFuel>("fallback_policy"),
        dispatch::<PassesThroughErrorsThatSayTimeout>("fallback_policy"),
        dispatch::<PassesThroughAnswersThatItCannotRead>("fallback_policy"),
        dispatch::<MakesTheDefaultItself>("fallback_policy"),
        dispatch::<TakesTheLowestByteOfExitCodes>("fallback_policy"),
        dispatch::<IgnoresNegativeExitCodes>("fallback_policy"),
        dispatch::<TellsTheSamePolicyOfTheSameError>("fallback_policy"),
        time_limited::<FailsOpenAfterThreeTimeouts>("fallback_policy"),
    ]
}

/// Returns the outcome of a host that passes a request through instead of failing it.
fn fail_open(policy: FallbackPolicy) -> FailureOutcome {
    FailureOutcome::Fallback(match policy {
        FallbackPolicy::FailRequest => FallbackPolicy::PassThrough,
        other => other,
    })
}

/// Fails the request in version 1 and passes it through in later versions.
#[derive(Default)]
pub struct FailsOpenInLaterVersions {
    version: Option<u32>,
}

impl Fault for FailsOpenInLaterVersions {
    fn settings(&self) -> Settings {
        Settings {
            versioned: true,
            ..Settings::default()
        }
    }

    fn version(&mut self, function: &str, negotiated: &BTreeMap<String, u32>) -> Option<u32> {
        self.version = negotiated.get(function).copied();
        self.version
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        match self.version {
            Some(2..) => fail_open(function.fallback),
            _ => FailureOutcome::Fallback(function.fallback),
        }
    }
}

/// Passes failing calls through, depending on the content of the request.
#[derive(Default)]
struct RequestCondition {
    passes: bool,
}

impl RequestCondition {
    fn on_failure(&mut self, function: &Function) -> FailureOutcome {
        if std::mem::take(&mut self.passes) {
            return fail_open(function.fallback);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PassesThroughMethodsThatAreSafe(RequestCondition);

impl Fault for PassesThroughMethodsThatAreSafe {
    fn request(&mut self, _: &str, request: &mut Value) {
        let own = &request["method"];
        let all = [
            own,
            &request["request"]["method"],
            &request["shaped"]["method"],
        ];
        self.0.passes = all
            .iter()
            .any(|method| *method == "GET" || *method == "HEAD");
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.0.on_failure(function)
    }
}

#[derive(Default)]
pub struct PassesThroughOtherKindsOfPrincipals(RequestCondition);

impl Fault for PassesThroughOtherKindsOfPrincipals {
    fn request(&mut self, _: &str, request: &mut Value) {
        let kind = request["principal"]["kind"].as_str();
        self.0.passes = kind.is_some_and(|kind| kind != "api_key");
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.0.on_failure(function)
    }
}

/// Treats an empty state as nothing to sign with.
#[derive(Default)]
pub struct PassesThroughSignersWithAnEmptyState(RequestCondition);

impl Fault for PassesThroughSignersWithAnEmptyState {
    fn request(&mut self, function: &str, request: &mut Value) {
        let state = &request["signer_state"];
        let empty = state.as_object().is_some_and(|fields| fields.is_empty());
        self.0.passes = function == "sign" && (empty || state == "");
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.0.on_failure(function)
    }
}

/// Gives up on requests with many headers and passes them through.
#[derive(Default)]
pub struct PassesThroughRequestsWithMoreThanTenHeaders(RequestCondition);

impl Fault for PassesThroughRequestsWithMoreThanTenHeaders {
    fn request(&mut self, _: &str, request: &mut Value) {
        let own = &request["headers"];
        let all = [
            own,
            &request["request"]["headers"],
            &request["shaped"]["headers"],
        ];
        let mut headers = all.iter().filter_map(|headers| headers.as_array());
        self.0.passes = headers.any(|headers| headers.len() > 10);
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.0.on_failure(function)
    }
}

/// Looks policies up by name, and one name is misspelled. Unknown names fail the request.
#[derive(Default)]
pub struct MisspellsOnUnauthorized;

impl Fault for MisspellsOnUnauthorized {
    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        FailureOutcome::Fallback(match function.name {
            "observe" => FallbackPolicy::SilentSkip,
            "filter" => FallbackPolicy::UseDefault,
            "normalize_error" | "on_unauthorised" => FallbackPolicy::PassThrough,
            _ => FallbackPolicy::FailRequest,
        })
    }
}

#[derive(Default)]
pub struct PassesThroughBuildSignersThatTrap;

impl Fault for PassesThroughBuildSignersThatTrap {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if function.name == "build_signer" && failure.is_trap() {
            return fail_open(function.fallback);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Counts the failures of each function, and passes through after a number of them.
#[derive(Default)]
struct FailureCounts {
    failures: BTreeMap<&'static str, u32>,
}

impl FailureCounts {
    fn on_failure(&mut self, limit: u32, function: &Function) -> FailureOutcome {
        let failures = self.failures.entry(function.name).or_default();
        *failures += 1;
        if *failures > limit {
            return fail_open(function.fallback);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct FailsOpenAfterTenFailures(FailureCounts);

impl Fault for FailsOpenAfterTenFailures {
    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.0.on_failure(10, function)
    }
}

#[derive(Default)]
pub struct FailsOpenAfterAHundredFailures(FailureCounts);

impl Fault for FailsOpenAfterAHundredFailures {
    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.0.on_failure(100, function)
    }
}

#[derive(Default)]
pub struct FailsOpenAfterThreeTimeouts(FailureCounts);

impl Fault for FailsOpenAfterThreeTimeouts {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure.is_timeout() {
            return self.0.on_failure(3, function);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Counts the failures of all sessions.
#[derive(Default)]
pub struct FailsOpenAfterAThousandFailuresOfTheHost {
    shared: SharedState,
}

impl Fault for FailsOpenAfterAThousandFailuresOfTheHost {
    fn use_shared_state(&mut self, shared: &SharedState) {
        self.shared = shared.clone();
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        let mut shared = self.shared.borrow_mut();
        shared.count += 1;
        if shared.count > 1_000 {
            return fail_open(function.fallback);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct FailsEveryRequestAfterOneFailed {
    failed: bool,
}

impl Fault for FailsEveryRequestAfterOneFailed {
    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        self.failed |= function.fallback == FallbackPolicy::FailRequest;
        if self.failed {
            return FailureOutcome::Fallback(FallbackPolicy::FailRequest);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PassesThroughWhatRunsOutOfFuel;

impl Fault for PassesThroughWhatRunsOutOfFuel {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure.message().contains("fuel") {
            return fail_open(function.fallback);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Searches the message of any error for the word, which a guest may also use.
#[derive(Default)]
pub struct PassesThroughErrorsThatSayTimeout;

impl Fault for PassesThroughErrorsThatSayTimeout {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure.is_guest_error() && failure.message().to_ascii_lowercase().contains("timeout") {
            return fail_open(function.fallback);
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PassesThroughAnswersThatItCannotRead;

impl Fault for PassesThroughAnswersThatItCannotRead {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        match failure {
            Failure::InvalidAnswer => fail_open(function.fallback),
            _ => FailureOutcome::Fallback(function.fallback),
        }
    }
}

/// Returns a response as the default of `UseDefault`.
#[derive(Default)]
pub struct MakesTheDefaultItself;

impl Fault for MakesTheDefaultItself {
    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        match function.fallback {
            FallbackPolicy::UseDefault => FailureOutcome::Answer,
            policy => FailureOutcome::Fallback(policy),
        }
    }
}

/// Treats an empty observation as nothing to do.
#[derive(Default)]
pub struct AnswersForObservationsOfNothing {
    nothing: bool,
}

impl Fault for AnswersForObservationsOfNothing {
    fn request(&mut self, _: &str, request: &mut Value) {
        let events = request["events"].as_array();
        self.nothing = events.is_some_and(|events| events.is_empty());
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        if std::mem::take(&mut self.nothing) {
            return FailureOutcome::Answer;
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct IgnoresErrorsWithoutAText;

impl Fault for IgnoresErrorsWithoutAText {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure.is_guest_error() && failure.message().trim().is_empty() {
            return FailureOutcome::Answer;
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Truncates exit codes to a byte, like those of processes.
#[derive(Default)]
pub struct TakesTheLowestByteOfExitCodes;

impl Fault for TakesTheLowestByteOfExitCodes {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        let message = failure.message();
        let code = message.strip_prefix("Returned non-zero exit code: ");
        let code = code.and_then(|code| code.parse::<i64>().ok());
        if code.is_some_and(|code| code % 256 == 0) {
            return FailureOutcome::Answer;
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Treats negative exit codes as warnings.
#[derive(Default)]
pub struct IgnoresNegativeExitCodes;

impl Fault for IgnoresNegativeExitCodes {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure
            .message()
            .starts_with("Returned non-zero exit code: -")
        {
            return FailureOutcome::Answer;
        }
        FailureOutcome::Fallback(function.fallback)
    }
}

/// Returns the policy of the previous failure if the error is the same, even for another function.
#[derive(Default)]
pub struct TellsTheSamePolicyOfTheSameError {
    before: Option<(String, FallbackPolicy)>,
}

impl Fault for TellsTheSamePolicyOfTheSameError {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        let message = failure.message();
        let policy = match &self.before {
            Some((before, policy)) if *before == message && failure.is_guest_error() => *policy,
            _ => function.fallback,
        };
        self.before = Some((message, policy));
        FailureOutcome::Fallback(policy)
    }
}
