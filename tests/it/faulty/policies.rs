//! Hosts that use the wrong fallback policy.

use cc_lb_fuzz::host::FallbackPolicy;
use cc_lb_fuzz::wire::Function;

use super::plain::{CallResult, Failure, FailureOutcome, Fault, Guest, policy_of};

/// Skips signers that fail.
#[derive(Default)]
pub struct SkipsFailingSigners;

impl Fault for SkipsFailingSigners {
    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        FailureOutcome::Fallback(match function.name {
            "sign" => FallbackPolicy::SilentSkip,
            _ => function.fallback,
        })
    }
}

#[derive(Default)]
pub struct UsesThePolicyOfTheFunctionBefore {
    before: Option<String>,
    now: Option<String>,
}

impl Fault for UsesThePolicyOfTheFunctionBefore {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        self.before = self.now.replace(function.to_owned());
        guest.call(function, input)
    }

    fn on_failure(&mut self, function: &Function, _: &Failure) -> FailureOutcome {
        let before = self.before.as_deref().unwrap_or(function.name);
        FailureOutcome::Fallback(policy_of(before))
    }
}

/// Plugins can change the setting: by an error message about an unsupported model.
#[derive(Default)]
pub struct ReadsThePolicyFromASetting {
    setting: Option<FallbackPolicy>,
}

impl Fault for ReadsThePolicyFromASetting {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        if failure.message().contains("unsupported model") {
            self.setting = Some(FallbackPolicy::UseDefault);
        }
        FailureOutcome::Fallback(self.setting.unwrap_or(function.fallback))
    }
}

#[derive(Default)]
pub struct PassesThroughWhatTimesOut;

impl Fault for PassesThroughWhatTimesOut {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        FailureOutcome::Fallback(if failure.is_timeout() {
            FallbackPolicy::PassThrough
        } else {
            function.fallback
        })
    }
}

fn answers_if(wrongly: bool, function: &Function) -> FailureOutcome {
    if wrongly {
        FailureOutcome::Answer
    } else {
        FailureOutcome::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct IgnoresExitCodes;

impl Fault for IgnoresExitCodes {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        answers_if(failure.is_exit_code(), function)
    }
}

#[derive(Default)]
pub struct IgnoresGuestErrors;

impl Fault for IgnoresGuestErrors {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        answers_if(failure.is_guest_error(), function)
    }
}

#[derive(Default)]
pub struct AnswersForTraps;

impl Fault for AnswersForTraps {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        answers_if(failure.is_trap(), function)
    }
}

#[derive(Default)]
pub struct AnswersForWhatIsNotThere;

impl Fault for AnswersForWhatIsNotThere {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        answers_if(matches!(failure, Failure::NotNegotiated), function)
    }
}

#[derive(Default)]
pub struct AnswersForTimeouts;

impl Fault for AnswersForTimeouts {
    fn on_failure(&mut self, function: &Function, failure: &Failure) -> FailureOutcome {
        answers_if(failure.is_timeout(), function)
    }
}
