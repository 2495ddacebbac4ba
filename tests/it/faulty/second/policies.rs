//! Hosts that do something else about a failing call than its function's policy says.

use std::collections::BTreeMap;

use cc_lb_fuzz::host::FallbackPolicy;
use cc_lb_fuzz::wire::Function;
use serde_json::Value;

use crate::faulty::plain::{Commons, Failure, Fault, Instead, Settings};
use crate::faulty::{Faulty, clocked, dispatch};

pub fn faults() -> Vec<Faulty> {
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
        clocked::<PassesThroughWhatRunsOutOfFuel>("fallback_policy"),
        dispatch::<PassesThroughErrorsThatSayTimeout>("fallback_policy"),
        dispatch::<PassesThroughAnswersThatItCannotRead>("fallback_policy"),
        dispatch::<MakesTheDefaultItself>("fallback_policy"),
        dispatch::<TakesTheLowestByteOfExitCodes>("fallback_policy"),
        dispatch::<IgnoresNegativeExitCodes>("fallback_policy"),
        dispatch::<TellsTheSamePolicyOfTheSameError>("fallback_policy"),
        clocked::<FailsOpenAfterThreeTimeouts>("fallback_policy"),
    ]
}

/// What passes where the policy is to fail the request.
fn open(policy: FallbackPolicy) -> Instead {
    Instead::Fallback(match policy {
        FallbackPolicy::FailRequest => FallbackPolicy::PassThrough,
        other => other,
    })
}

/// The version of the policy, so to say: what fails the request in version 1 passes in later ones.
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

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        match self.version {
            Some(2..) => open(function.fallback),
            _ => Instead::Fallback(function.fallback),
        }
    }
}

/// What a request says decides whether it may pass.
#[derive(Default)]
struct Reads {
    passes: bool,
}

impl Reads {
    fn failed(&mut self, function: &Function) -> Instead {
        if std::mem::take(&mut self.passes) {
            return open(function.fallback);
        }
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PassesThroughMethodsThatAreSafe(Reads);

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

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.0.failed(function)
    }
}

#[derive(Default)]
pub struct PassesThroughOtherKindsOfPrincipals(Reads);

impl Fault for PassesThroughOtherKindsOfPrincipals {
    fn request(&mut self, _: &str, request: &mut Value) {
        let kind = request["principal"]["kind"].as_str();
        self.0.passes = kind.is_some_and(|kind| kind != "api_key");
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.0.failed(function)
    }
}

/// There is nothing to sign with.
#[derive(Default)]
pub struct PassesThroughSignersWithAnEmptyState(Reads);

impl Fault for PassesThroughSignersWithAnEmptyState {
    fn request(&mut self, function: &str, request: &mut Value) {
        let state = &request["signer_state"];
        let empty = state.as_object().is_some_and(|fields| fields.is_empty());
        self.0.passes = function == "sign" && (empty || state == "");
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.0.failed(function)
    }
}

/// Whatever counts headers stops at ten.
#[derive(Default)]
pub struct PassesThroughRequestsWithMoreThanTenHeaders(Reads);

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

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.0.failed(function)
    }
}

/// A map of names, one of which is misspelt; what is not there fails the request.
#[derive(Default)]
pub struct MisspellsOnUnauthorized;

impl Fault for MisspellsOnUnauthorized {
    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        Instead::Fallback(match function.name {
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
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if function.name == "build_signer" && why.is_trap() {
            return open(function.fallback);
        }
        Instead::Fallback(function.fallback)
    }
}

/// So many failures of a function, and it is left out.
#[derive(Default)]
struct Timeouts {
    failures: BTreeMap<&'static str, u32>,
}

impl Timeouts {
    fn failed(&mut self, most: u32, function: &Function) -> Instead {
        let failures = self.failures.entry(function.name).or_default();
        *failures += 1;
        if *failures > most {
            return open(function.fallback);
        }
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct FailsOpenAfterTenFailures(Timeouts);

impl Fault for FailsOpenAfterTenFailures {
    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.0.failed(10, function)
    }
}

#[derive(Default)]
pub struct FailsOpenAfterAHundredFailures(Timeouts);

impl Fault for FailsOpenAfterAHundredFailures {
    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.0.failed(100, function)
    }
}

#[derive(Default)]
pub struct FailsOpenAfterThreeTimeouts(Timeouts);

impl Fault for FailsOpenAfterThreeTimeouts {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.is_timeout() {
            return self.0.failed(3, function);
        }
        Instead::Fallback(function.fallback)
    }
}

/// The failures of all sessions.
#[derive(Default)]
pub struct FailsOpenAfterAThousandFailuresOfTheHost {
    commons: Commons,
}

impl Fault for FailsOpenAfterAThousandFailuresOfTheHost {
    fn shares(&mut self, commons: &Commons) {
        self.commons = commons.clone();
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        let mut commons = self.commons.borrow_mut();
        commons.count += 1;
        if commons.count > 1_000 {
            return open(function.fallback);
        }
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct FailsEveryRequestAfterOneFailed {
    failed: bool,
}

impl Fault for FailsEveryRequestAfterOneFailed {
    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        self.failed |= function.fallback == FallbackPolicy::FailRequest;
        if self.failed {
            return Instead::Fallback(FallbackPolicy::FailRequest);
        }
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PassesThroughWhatRunsOutOfFuel;

impl Fault for PassesThroughWhatRunsOutOfFuel {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.words().contains("fuel") {
            return open(function.fallback);
        }
        Instead::Fallback(function.fallback)
    }
}

/// It looks for the word in whatever the error says, and the guest says what it likes.
#[derive(Default)]
pub struct PassesThroughErrorsThatSayTimeout;

impl Fault for PassesThroughErrorsThatSayTimeout {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.is_guest_error() && why.words().to_ascii_lowercase().contains("timeout") {
            return open(function.fallback);
        }
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct PassesThroughAnswersThatItCannotRead;

impl Fault for PassesThroughAnswersThatItCannotRead {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        match why {
            Failure::Answer => open(function.fallback),
            _ => Instead::Fallback(function.fallback),
        }
    }
}

/// The default that `UseDefault` speaks of.
#[derive(Default)]
pub struct MakesTheDefaultItself;

impl Fault for MakesTheDefaultItself {
    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        match function.fallback {
            FallbackPolicy::UseDefault => Instead::Answer,
            policy => Instead::Fallback(policy),
        }
    }
}

/// There was nothing to observe.
#[derive(Default)]
pub struct AnswersForObservationsOfNothing {
    nothing: bool,
}

impl Fault for AnswersForObservationsOfNothing {
    fn request(&mut self, _: &str, request: &mut Value) {
        let events = request["events"].as_array();
        self.nothing = events.is_some_and(|events| events.is_empty());
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        if std::mem::take(&mut self.nothing) {
            return Instead::Answer;
        }
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct IgnoresErrorsWithoutAText;

impl Fault for IgnoresErrorsWithoutAText {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.is_guest_error() && why.words().trim().is_empty() {
            return Instead::Answer;
        }
        Instead::Fallback(function.fallback)
    }
}

/// As of a process.
#[derive(Default)]
pub struct TakesTheLowestByteOfExitCodes;

impl Fault for TakesTheLowestByteOfExitCodes {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        let words = why.words();
        let code = words.strip_prefix("Returned non-zero exit code: ");
        let code = code.and_then(|code| code.parse::<i64>().ok());
        if code.is_some_and(|code| code % 256 == 0) {
            return Instead::Answer;
        }
        Instead::Fallback(function.fallback)
    }
}

/// Less than nothing is a warning.
#[derive(Default)]
pub struct IgnoresNegativeExitCodes;

impl Fault for IgnoresNegativeExitCodes {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.words().starts_with("Returned non-zero exit code: -") {
            return Instead::Answer;
        }
        Instead::Fallback(function.fallback)
    }
}

/// The second failure of the same kind in a row is told as that before it, whatever its function is.
#[derive(Default)]
pub struct TellsTheSamePolicyOfTheSameError {
    before: Option<(String, FallbackPolicy)>,
}

impl Fault for TellsTheSamePolicyOfTheSameError {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        let words = why.words();
        let policy = match &self.before {
            Some((before, policy)) if *before == words && why.is_guest_error() => *policy,
            _ => function.fallback,
        };
        self.before = Some((words, policy));
        Instead::Fallback(policy)
    }
}
