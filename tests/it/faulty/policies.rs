//! Hosts that get the fallback wrong.

use cc_lb_fuzz::host::{DispatchOutcome, FallbackPolicy};
use cc_lb_plugin_wire::wire_function::WireFunction;

use super::plain::{Called, Failure, Fault, Guest, policy_of};

/// A signer that fails is skipped.
#[derive(Clone, Default)]
pub struct SkipsFailingSigners;

impl Fault for SkipsFailingSigners {
    fn failed<F: WireFunction>(&mut self, _: &Failure) -> DispatchOutcome<F::Response> {
        DispatchOutcome::Fallback(match F::NAME {
            "sign" => FallbackPolicy::SilentSkip,
            _ => F::FALLBACK,
        })
    }
}

#[derive(Clone, Default)]
pub struct UsesThePolicyOfTheFunctionBefore {
    before: Option<String>,
    now: Option<String>,
}

impl Fault for UsesThePolicyOfTheFunctionBefore {
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        self.before = self.now.replace(function.to_owned());
        guest.call(function, input)
    }

    fn failed<F: WireFunction>(&mut self, _: &Failure) -> DispatchOutcome<F::Response> {
        let before = self.before.as_deref().unwrap_or(F::NAME);
        DispatchOutcome::Fallback(policy_of(before))
    }
}

/// The setting is one that plugins reach: by the word for an unsupported model.
#[derive(Clone, Default)]
pub struct ReadsThePolicyFromASetting {
    setting: Option<FallbackPolicy>,
}

impl Fault for ReadsThePolicyFromASetting {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        if why.words().contains("unsupported model") {
            self.setting = Some(FallbackPolicy::UseDefault);
        }
        DispatchOutcome::Fallback(self.setting.unwrap_or(F::FALLBACK))
    }
}

#[derive(Clone, Default)]
pub struct PassesThroughWhatTimesOut;

impl Fault for PassesThroughWhatTimesOut {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        DispatchOutcome::Fallback(match why.is_timeout() {
            true => FallbackPolicy::PassThrough,
            false => F::FALLBACK,
        })
    }
}

fn answers_if<F: WireFunction>(wrongly: bool) -> DispatchOutcome<F::Response> {
    match wrongly {
        true => DispatchOutcome::Ok(F::dry_run_response()),
        false => DispatchOutcome::Fallback(F::FALLBACK),
    }
}

#[derive(Clone, Default)]
pub struct IgnoresExitCodes;

impl Fault for IgnoresExitCodes {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        answers_if::<F>(why.is_exit_code())
    }
}

#[derive(Clone, Default)]
pub struct IgnoresGuestErrors;

impl Fault for IgnoresGuestErrors {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        answers_if::<F>(why.is_guest_error())
    }
}

#[derive(Clone, Default)]
pub struct AnswersForTraps;

impl Fault for AnswersForTraps {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        answers_if::<F>(why.is_trap())
    }
}

#[derive(Clone, Default)]
pub struct AnswersForWhatIsNotThere;

impl Fault for AnswersForWhatIsNotThere {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        answers_if::<F>(matches!(why, Failure::NotNegotiated))
    }
}

#[derive(Clone, Default)]
pub struct AnswersForTimeouts;

impl Fault for AnswersForTimeouts {
    fn failed<F: WireFunction>(&mut self, why: &Failure) -> DispatchOutcome<F::Response> {
        answers_if::<F>(why.is_timeout())
    }
}
