//! Every check is seen to fail, on a host that breaks just what it checks.

use std::time::Duration;

use cc_lb_fuzz::campaign::judge_alone;
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::host::{
    Call, Cause, Decoding, DispatchOutcome, FallbackPolicy, HandshakeError, Host, Observed,
    PluginHost, PluginSession, Session,
};
use cc_lb_fuzz::observation::{Depth, Runner, Subject};
use cc_lb_fuzz::puppet::{self, Op, TrapOp};
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde_json::Value;

use crate::common::{case, healthy, puppet_host, told};

/// One thing that a host does wrong. By default it does everything right.
pub trait Fault: Clone {
    /// The dispatch of a session that has this fault.
    fn dispatch<F: WireFunction>(
        &mut self,
        session: &mut PluginSession,
        request: F::Request,
    ) -> Observed<F::Response>;
}

/// A fault without a state of its own: what it does instead of `session.observe::<F>(request)`.
macro_rules! fault {
    ($name:ident, |$f:ident, $session:ident, $request:ident| $body:block) => {
        #[derive(Clone)]
        struct $name;

        impl Fault for $name {
            fn dispatch<$f: WireFunction>(
                &mut self,
                $session: &mut PluginSession,
                $request: $f::Request,
            ) -> Observed<$f::Response> {
                $body
            }
        }
    };
}

/// A host with a fault. Every session starts with the fault as it is here.
pub struct Faulty<T> {
    pub host: PluginHost,
    pub fault: T,
}

pub struct FaultySession<T> {
    session: PluginSession,
    fault: T,
}

impl<T: Fault> Host for Faulty<T> {
    type Session = FaultySession<T>;

    fn open(&self) -> Result<Self::Session, HandshakeError> {
        Ok(FaultySession {
            session: self.host.open()?,
            fault: self.fault.clone(),
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl<T: Fault> Session for FaultySession<T> {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        self.fault.dispatch::<F>(&mut self.session, request)
    }
}

/// The names of the checks that find something in the case.
pub fn found_by(host: &impl Host, subject: Subject, case: &Case) -> Vec<String> {
    let mut runner = Runner::<_, Request>::new(host, subject).expect("the host opens");
    let (_, found) = judge_alone(&mut runner, case, Depth::Thorough).expect("the host opens");
    let mut names: Vec<_> = found.into_iter().map(|violation| violation.check).collect();
    names.dedup();
    names
}

/// Asserts that only `check` finds something in the case on the faulty host, and no check on the sound one.
pub fn only_finds(check: &str, fault: impl Fault, case: &Case) {
    let host = puppet_host();
    assert_eq!(found_by(&host, Subject::Puppet, case), [""; 0]);
    let faulty = Faulty { host, fault };
    assert_eq!(found_by(&faulty, Subject::Puppet, case), [check]);
}

/// Sends a request through JSON, changed.
fn changed<F: WireFunction>(request: F::Request, change: fn(&mut Value)) -> F::Request {
    let mut json = serde_json::to_value(request).expect("the request serializes");
    change(&mut json);
    serde_json::from_value(json).expect("the changed request is one")
}

fault!(PanicsOnTrap, |F, session, request| {
    let observed = session.observe::<F>(request);
    assert!(
        !matches!(observed.call.cause, Some(Cause::Trap(_))),
        "the guest trapped"
    );
    observed
});

#[test]
fn no_panic_finds_a_host_that_panics_when_the_guest_traps() {
    let case = case([told("sign_v1", [Op::Trap(TrapOp::Memory)])]);
    only_finds("no_panic", PanicsOnTrap, &case);
}

fault!(SkipsSigning, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    if F::NAME == "sign" && matches!(observed.outcome, DispatchOutcome::Fallback(_)) {
        observed.outcome = DispatchOutcome::Fallback(FallbackPolicy::SilentSkip);
    }
    observed
});

#[test]
fn fallback_policy_finds_a_host_that_skips_a_failing_signer() {
    let failing = case([told("sign_v2", [Op::Return(1)])]);
    only_finds("fallback_policy", SkipsSigning, &failing);
    // Of any other function it does not notice, and rightly.
    let other = case([told("shape_v2", [Op::Return(1)])]);
    let faulty = Faulty {
        host: puppet_host(),
        fault: SkipsSigning,
    };
    assert_eq!(found_by(&faulty, Subject::Puppet, &other), [""; 0]);
}

fault!(AnswersForATrap, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    if matches!(observed.call.cause, Some(Cause::Trap(_))) {
        observed.outcome = DispatchOutcome::Ok(F::dry_run_response());
    }
    observed
});

#[test]
fn fallback_policy_finds_a_host_that_answers_for_a_guest_that_trapped() {
    let case = case([told(
        "filter_v3",
        [Op::EmitHealthy, Op::Publish, Op::Trap(TrapOp::Table)],
    )]);
    only_finds("fallback_policy", AnswersForATrap, &case);
}

fault!(AnswersForATimeout, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    if observed.call.cause == Some(Cause::Timeout) {
        observed.outcome = DispatchOutcome::Ok(F::dry_run_response());
    }
    observed
});

#[test]
fn fallback_policy_finds_a_host_that_answers_for_a_guest_that_never_ended() {
    let case = case([told("sign_v1", [Op::Stall])]);
    only_finds("fallback_policy", AnswersForATimeout, &case);
}

fault!(AnswersForWhatIsNotThere, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    if observed.call.cause == Some(Cause::NotNegotiated) {
        observed.outcome = DispatchOutcome::Ok(F::dry_run_response());
    }
    observed
});

#[test]
fn fallback_policy_finds_a_host_that_answers_for_a_function_that_was_not_negotiated() {
    let guest = crate::common::Guest::shape("{}").wasm();
    let host = PluginHost::new(&guest).expect("it opens");
    let case = case([healthy("sign_v1")]);
    assert_eq!(found_by(&host, Subject::Plugin, &case), [""; 0]);
    let fault = AnswersForWhatIsNotThere;
    assert_eq!(
        found_by(&Faulty { host, fault }, Subject::Plugin, &case),
        ["fallback_policy"]
    );
}

fault!(LeavesVersionUnchecked, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    let mismatch = Cause::Undecodable(Decoding::VersionMismatch {
        expected: 1,
        actual: 2,
    });
    if observed.call.cause == Some(mismatch) {
        let output = observed.call.output.as_deref().expect("the guest answered");
        let mut answer: Value = serde_json::from_slice(output).expect("the answer is JSON");
        answer.as_object_mut().expect("an object").remove("_v");
        let response = serde_json::from_value(answer).expect("the answer is a response");
        observed.outcome = DispatchOutcome::Ok(response);
    }
    observed
});

#[test]
fn sound_ok_finds_a_host_that_leaves_the_version_unchecked() {
    let case = case([told("observe_v1", [Op::Emit("{\"_v\":2}".into())])]);
    only_finds("sound_ok", LeavesVersionUnchecked, &case);
}

fault!(LosesEveryAnswerWithHeaders, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    if observed.call.output.as_ref().is_some_and(|o| o.len() > 200) {
        observed.outcome = DispatchOutcome::Fallback(F::FALLBACK);
    }
    observed
});

#[test]
fn sound_ok_finds_a_host_that_loses_a_sound_answer() {
    let answer = format!("{{\"_v\":1,\"body_base64\":\"{}\"}}", "A".repeat(300));
    let case = case([told("normalize_error_v1", [Op::Emit(answer.into())])]);
    only_finds("sound_ok", LosesEveryAnswerWithHeaders, &case);
}

fault!(LowersTheMethod, |F, session, request| {
    session.observe::<F>(changed::<F>(request, |json| {
        if let Some(method) = json.pointer_mut("/shaped/method") {
            *method = Value::from(method.as_str().unwrap_or_default().to_lowercase());
        }
    }))
});

#[test]
fn request_fidelity_finds_a_host_that_changes_a_field() {
    let in_a_string = [
        Op::Emit("{\"_v\":1,\"url\":\"".into()),
        Op::QuoteInput,
        Op::Emit("\",\"method\":null,\"headers\":null,\"body_base64\":null}".into()),
    ];
    for echo in [&in_a_string[..], &[Op::EmitInput]] {
        let case = case([told("sign_v1", echo)]);
        only_finds("request_fidelity", LowersTheMethod, &case);
    }
}

#[derive(Clone)]
struct BreaksAfterATrap {
    broken: bool,
}

impl Fault for BreaksAfterATrap {
    fn dispatch<F: WireFunction>(
        &mut self,
        session: &mut PluginSession,
        request: F::Request,
    ) -> Observed<F::Response> {
        let mut observed = session.observe::<F>(request);
        if self.broken {
            observed.outcome = DispatchOutcome::Fallback(F::FALLBACK);
        }
        self.broken |= matches!(observed.call.cause, Some(Cause::Trap(_)));
        observed
    }
}

#[test]
fn no_poison_finds_a_host_that_breaks_when_the_guest_traps() {
    let case = case([told("build_signer_v1", [Op::Trap(TrapOp::StackOverflow)])]);
    only_finds("no_poison", BreaksAfterATrap { broken: false }, &case);
}

fault!(RetriesOnce, |F, session, request| {
    let json = serde_json::to_value(&request).expect("the request serializes");
    let observed = session.observe::<F>(request);
    match observed.outcome {
        DispatchOutcome::Fallback(_) => {
            session.observe::<F>(serde_json::from_value(json).expect("it was one"))
        }
        _ => observed,
    }
});

#[test]
fn no_retry_finds_a_host_that_calls_a_failing_guest_again() {
    let case = case([told("on_unauthorized_v2", [Op::Knock, Op::Return(-1)])]);
    only_finds("no_retry", RetriesOnce, &case);
}

/// A host that dispatches on Extism by itself, with limits of its own.
struct OwnLimits {
    compiled: extism::CompiledPlugin,
}

impl OwnLimits {
    fn new(fuel: Option<u64>, wall: Duration) -> Self {
        let manifest = extism::Manifest::new([extism::Wasm::data(puppet::wasm())]);
        let builder = extism::PluginBuilder::new(manifest.with_timeout(wall)).with_cache_disabled();
        let builder = match fuel {
            Some(fuel) => builder.with_fuel_limit(fuel),
            None => builder,
        };
        Self {
            compiled: builder.compile().expect("the puppet compiles"),
        }
    }
}

impl Host for OwnLimits {
    type Session = OwnSession;

    fn open(&self) -> Result<OwnSession, HandshakeError> {
        Ok(OwnSession(
            extism::Plugin::new_from_compiled(&self.compiled).expect("the puppet opens"),
        ))
    }

    fn negotiated(&self, _: &str) -> Option<u32> {
        Some(1)
    }
}

struct OwnSession(extism::Plugin);

impl Session for OwnSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let mut request = serde_json::to_value(request).expect("the request serializes");
        request["_v"] = 1.into();
        let response = self.0.call::<_, &str>(F::NAME, request.to_string()).ok();
        let response = response.and_then(|answer| {
            let mut answer: Value = serde_json::from_str(answer).ok()?;
            let version = answer.as_object_mut()?.remove("_v")?;
            (version == 1).then(|| serde_json::from_value(answer).ok())?
        });
        Observed {
            outcome: match response {
                Some(response) => DispatchOutcome::Ok(response),
                None => DispatchOutcome::Fallback(F::FALLBACK),
            },
            call: Call::default(),
        }
    }
}

#[test]
fn within_fuel_finds_a_host_without_fuel() {
    let case = case([told("shape_v1", [Op::EmitHealthy, Op::Burn(1_300_000)])]);
    let wall = Duration::from_millis(HANDSHAKE_WALL_MS);
    let sound = OwnLimits::new(Some(HANDSHAKE_FUEL), wall);
    assert_eq!(found_by(&sound, Subject::Puppet, &case), [""; 0]);
    let faulty = OwnLimits::new(None, wall);
    assert_eq!(found_by(&faulty, Subject::Puppet, &case), ["within_fuel"]);
}

fault!(TellsOfTooMuchFuel, |F, session, request| {
    let mut observed = session.observe::<F>(request);
    observed.call.fuel = observed.call.fuel.map(|fuel| fuel + HANDSHAKE_FUEL);
    observed
});

#[test]
fn within_fuel_finds_a_call_that_took_more_than_there_is() {
    only_finds(
        "within_fuel",
        TellsOfTooMuchFuel,
        &case([healthy("observe_v2")]),
    );
}

#[test]
fn within_wall_finds_a_host_with_a_longer_limit() {
    let case = case([told("shape_v1", [Op::Stall])]);
    let sound = OwnLimits::new(
        Some(HANDSHAKE_FUEL),
        Duration::from_millis(HANDSHAKE_WALL_MS),
    );
    assert_eq!(found_by(&sound, Subject::Puppet, &case), [""; 0]);
    let faulty = OwnLimits::new(
        Some(HANDSHAKE_FUEL),
        Duration::from_millis(3 * HANDSHAKE_WALL_MS),
    );
    assert_eq!(found_by(&faulty, Subject::Puppet, &case), ["within_wall"]);
}
