//! The checks that compare sessions and hosts are seen to fail, each on a host that breaks just what it checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cc_lb_fuzz::campaign::judge_alone;
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{
    Call, Cause, DispatchOutcome, HandshakeError, Host, Observed, PluginHost, PluginSession,
    ReferenceHost, Session,
};
use cc_lb_fuzz::observation::{Depth, Runner, Subject};
use cc_lb_fuzz::puppet::{self, Import, Op, Operand};
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::checks::{Fault, found_by, only_finds};
use crate::common::{case, healthy, puppet_host, told};

/// A host that has no answer for programs that call Extism by themselves once a guest has set an error, as if it had
/// kept something of that. Healthy calls it answers.
#[derive(Clone)]
struct KeepsTheError {
    error: bool,
}

impl Fault for KeepsTheError {
    fn dispatch<F: WireFunction>(
        &mut self,
        session: &mut PluginSession,
        request: F::Request,
    ) -> Observed<F::Response> {
        let json = serde_json::to_string(&request).expect("the request serializes");
        let mut observed = session.observe::<F>(request);
        if self.error && json.contains("puppet:0f") {
            observed.outcome = DispatchOutcome::Fallback(F::FALLBACK);
            // Of such a program nobody knows what it must come to.
            observed.call.output = None;
        }
        self.error |= matches!(observed.call.cause, Some(Cause::GuestError(_)));
        observed
    }
}

#[test]
fn no_poison_finds_a_host_that_keeps_something_of_a_call_for_the_next_wild_one() {
    let alloc = Op::Call {
        function: Import::Alloc,
        operands: [Operand {
            register: None,
            add: 8,
        }; 2],
        to: 0,
    };
    let case = case([
        told("sign_v1", [Op::SetError("no".into())]),
        told("observe_v1", [alloc, Op::EmitHealthy]),
    ]);
    only_finds("no_poison", KeepsTheError { error: false }, &case);
}

/// A host that has no answer for requests whose method is not `POST`, and tells nothing of its calls.
struct PostsOnly(PluginHost);

struct PostsOnlySession(PluginSession);

impl Host for PostsOnly {
    type Session = PostsOnlySession;

    fn open(&self) -> Result<PostsOnlySession, HandshakeError> {
        self.0.open().map(PostsOnlySession)
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.0.negotiated(function)
    }
}

impl Session for PostsOnlySession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let json = serde_json::to_value(&request).expect("the request serializes");
        let mut observed = self.0.observe::<F>(request);
        if json.pointer("/shaped/method").is_some_and(|m| m != "POST") {
            observed.outcome = DispatchOutcome::Fallback(F::FALLBACK);
        }
        // Of a plugin whose answers the host does not tell, nobody knows which outcome is right.
        observed.call = Call::default();
        observed
    }
}

/// The names of the checks that find something in the case of a plugin, compared with the published host.
fn found_beside_the_reference(host: &impl Host, case: &Case) -> Vec<String> {
    let offer = build_offer(&Default::default());
    let reference = ReferenceHost::with_offer(puppet::wasm(), &offer).expect("it opens");
    let mut runner = Runner::<_, Request>::new(host, Subject::Plugin).expect("it opens");
    runner.compare_with(reference);
    let (_, found) = judge_alone(&mut runner, case, Depth::Thorough).expect("it opens");
    found.into_iter().map(|violation| violation.check).collect()
}

#[test]
fn agrees_with_reference_finds_a_host_that_answers_less_and_tells_nothing() {
    let mut step = healthy("sign_v1");
    if let Request::SignV1(request) = &mut step.request {
        request.shaped.method.0 = "GET".to_owned();
    }
    let case = case([step, healthy("observe_v2")]);
    let faulty = PostsOnly(puppet_host());
    assert_eq!(found_by(&faulty, Subject::Plugin, &case), [""; 0]);
    assert_eq!(
        found_beside_the_reference(&faulty, &case),
        ["agrees_with_reference"]
    );
    assert_eq!(found_beside_the_reference(&puppet_host(), &case), [""; 0]);
}

/// Every second session loses requests whose method is not `POST`.
struct EverySecondSession {
    host: PluginHost,
    opened: Arc<AtomicUsize>,
}

struct LosesGet {
    session: PluginSession,
    loses: bool,
}

impl Host for EverySecondSession {
    type Session = LosesGet;

    fn open(&self) -> Result<LosesGet, HandshakeError> {
        Ok(LosesGet {
            session: self.host.open()?,
            loses: self.opened.fetch_add(1, Ordering::Relaxed) % 2 == 1,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for LosesGet {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let json = serde_json::to_value(&request).expect("the request serializes");
        let mut observed = self.session.observe::<F>(request);
        if self.loses && json.pointer("/shaped/method").is_some_and(|m| m != "POST") {
            observed.outcome = DispatchOutcome::Fallback(F::FALLBACK);
        }
        // Of a plugin whose answers the host does not tell, nobody knows which outcome is right.
        observed.call = Call::default();
        observed
    }
}

#[test]
fn deterministic_finds_a_host_whose_sessions_differ() {
    let mut step = healthy("sign_v1");
    if let Request::SignV1(request) = &mut step.request {
        request.shaped.method.0 = "GET".to_owned();
    }
    let faulty = EverySecondSession {
        host: puppet_host(),
        opened: Arc::default(),
    };
    let case = case([step.clone(), step]);
    assert_eq!(found_by(&faulty, Subject::Plugin, &case), ["deterministic"]);
    assert_eq!(found_by(&puppet_host(), Subject::Plugin, &case), [""; 0]);
}
