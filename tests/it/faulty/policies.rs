//! Hosts that get the fallback wrong.

use cc_lb_fuzz::host::FallbackPolicy;
use cc_lb_fuzz::wire::Function;

use super::plain::{Called, Failure, Fault, Guest, Instead, policy_of};

/// A signer that fails is skipped.
#[derive(Default)]
pub struct SkipsFailingSigners;

impl Fault for SkipsFailingSigners {
    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        Instead::Fallback(match function.name {
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
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.before = self.now.replace(function.to_owned());
        guest.call(function, input)
    }

    fn failed(&mut self, function: &Function, _: &Failure) -> Instead {
        let before = self.before.as_deref().unwrap_or(function.name);
        Instead::Fallback(policy_of(before))
    }
}

/// The setting is one that plugins reach: by the word for an unsupported model.
#[derive(Default)]
pub struct ReadsThePolicyFromASetting {
    setting: Option<FallbackPolicy>,
}

impl Fault for ReadsThePolicyFromASetting {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        if why.words().contains("unsupported model") {
            self.setting = Some(FallbackPolicy::UseDefault);
        }
        Instead::Fallback(self.setting.unwrap_or(function.fallback))
    }
}

#[derive(Default)]
pub struct PassesThroughWhatTimesOut;

impl Fault for PassesThroughWhatTimesOut {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        Instead::Fallback(if why.is_timeout() {
            FallbackPolicy::PassThrough
        } else {
            function.fallback
        })
    }
}

fn answers_if(wrongly: bool, function: &Function) -> Instead {
    if wrongly {
        Instead::Answer
    } else {
        Instead::Fallback(function.fallback)
    }
}

#[derive(Default)]
pub struct IgnoresExitCodes;

impl Fault for IgnoresExitCodes {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        answers_if(why.is_exit_code(), function)
    }
}

#[derive(Default)]
pub struct IgnoresGuestErrors;

impl Fault for IgnoresGuestErrors {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        answers_if(why.is_guest_error(), function)
    }
}

#[derive(Default)]
pub struct AnswersForTraps;

impl Fault for AnswersForTraps {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        answers_if(why.is_trap(), function)
    }
}

#[derive(Default)]
pub struct AnswersForWhatIsNotThere;

impl Fault for AnswersForWhatIsNotThere {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        answers_if(matches!(why, Failure::NotNegotiated), function)
    }
}

#[derive(Default)]
pub struct AnswersForTimeouts;

impl Fault for AnswersForTimeouts {
    fn failed(&mut self, function: &Function, why: &Failure) -> Instead {
        answers_if(why.is_timeout(), function)
    }
}
