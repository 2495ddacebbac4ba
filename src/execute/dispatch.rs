//! One dispatch: what the guest must get, and what comes of it.
//!
//! A discrepancy here is an outcome that is not what the session returned, or an input that no session should send.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::Serialize;
use serde_json::Value;

use crate::case::{Step, tree};
use crate::host::{
    Call, Cause, DispatchOutcome, HandshakeError, Host, Observed, Session, encode_envelope,
    panic_text,
};
use crate::record::StepResult;
use crate::wire::{Function, VERSION_KEY, Visitor, Vocabulary};

/// Dispatches a request. The response is written as JSON, the form in which all functions' outcomes compare.
pub fn dispatch<R: Vocabulary, S: Session>(request: R, session: &mut S) -> Observed<Value> {
    struct On<'s, S>(&'s mut S);

    impl<S: Session> Visitor for On<'_, S> {
        type Output = Observed<Value>;

        fn visit<F: WireFunction>(self, request: F::Request) -> Observed<Value> {
            dispatch_as::<F, S>(request, self.0)
        }
    }

    request.visit(On(session))
}

fn dispatch_as<F: WireFunction, S: Session>(
    request: F::Request,
    session: &mut S,
) -> Observed<Value> {
    let Observed { outcome, call } = session.dispatch::<F>(request);
    let outcome = match outcome {
        // A response that was just read from JSON writes as JSON.
        DispatchOutcome::Ok(response) => {
            DispatchOutcome::Ok(serde_json::to_value(response).unwrap_or(Value::Null))
        }
        DispatchOutcome::Fallback(policy) => DispatchOutcome::Fallback(policy),
    };
    Observed { outcome, call }
}

/// What the healthy call comes to on a fresh session, by another try where the clock had a say in it, or may have had: not
/// every host tells why a call fell back.
pub(crate) fn healthy_result<H: Host, R: Vocabulary>(
    host: &H,
    step: &Step<R>,
) -> Result<StepResult, HandshakeError> {
    const TRIES: usize = 6;
    let wall = Duration::from_millis(HANDSHAKE_WALL_MS);
    for _ in 1..TRIES {
        let seen = execute(step.request_with_program(), &mut host.open()?);
        let fell_back = matches!(seen.result.outcome(), Some(DispatchOutcome::Fallback(_)));
        let is_unclear = match &seen.call.cause {
            Some(cause) => *cause == Cause::Timeout,
            None => fell_back,
        };
        if seen.elapsed < wall && !is_unclear {
            return Ok(seen.result);
        }
    }
    Ok(execute(step.request_with_program(), &mut host.open()?).result)
}

/// What was seen of a dispatch.
pub(crate) struct Execution {
    pub(crate) result: StepResult,
    pub(crate) call: Call,
    pub(crate) elapsed: Duration,
}

/// Dispatches a request and catches what must not unwind.
pub(crate) fn execute<R: Vocabulary>(request: R, session: &mut impl Session) -> Execution {
    seen(|| dispatch(request, session))
}

fn seen(dispatch: impl FnOnce() -> Observed<Value>) -> Execution {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(dispatch));
    let elapsed = start.elapsed();
    let (result, call) = match result {
        Ok(Observed { outcome, call }) => (StepResult::Outcome(Arc::new(outcome)), call),
        Err(payload) => (
            StepResult::Panic(panic_text(payload.as_ref())),
            Call::default(),
        ),
    };
    Execution {
        result,
        call,
        elapsed,
    }
}

/// How the input is made that the guest must get.
#[derive(Clone, Copy)]
pub(crate) enum EnvelopeEncoding {
    /// As [`PluginHost`](crate::host::PluginHost) makes it.
    Host,
    /// On purpose otherwise, by way of a tree: takes longer.
    Tree,
}

/// Dispatches a request, and tells the input that the guest must get: the request's JSON object and this `_v`; `None` where
/// the request does not serialize. One whose input is larger than `most` is not dispatched.
pub(crate) fn execute_encoded<R: Vocabulary, S: Session>(
    request: R,
    version: u32,
    encoding: EnvelopeEncoding,
    most: usize,
    session: &mut S,
) -> (Option<Vec<u8>>, Option<Execution>) {
    struct On<'s, S> {
        version: u32,
        encoding: EnvelopeEncoding,
        most: usize,
        session: &'s mut S,
    }

    impl<S: Session> Visitor for On<'_, S> {
        type Output = (Option<Vec<u8>>, Option<Execution>);

        fn visit<F: WireFunction>(self, request: F::Request) -> Self::Output {
            let input = match self.encoding {
                EnvelopeEncoding::Host => encode_envelope(&request, self.version)
                    .ok()
                    .map(String::into_bytes),
                EnvelopeEncoding::Tree => encode_envelope_from_tree(&request, self.version),
            };
            if input.as_ref().is_some_and(|input| input.len() > self.most) {
                return (input, None);
            }
            let seen = seen(|| dispatch_as::<F, S>(request, self.session));
            (input, Some(seen))
        }
    }

    request.visit(On {
        version,
        encoding,
        most,
        session,
    })
}

fn encode_envelope_from_tree(request: &impl Serialize, version: u32) -> Option<Vec<u8>> {
    let mut envelope = serde_json::to_value(request).ok()?;
    envelope
        .as_object_mut()?
        .insert(VERSION_KEY.into(), version.into());
    serde_json::to_vec(&envelope).ok()
}

/// The puppet's healthy answer: the dry-run response in the negotiated version.
pub(crate) fn healthy_answer(function: &Function, version: u32) -> Vec<u8> {
    let mut answer = function.dry_run_response().unwrap_or(Value::Null);
    if let Value::Object(answer) = &mut answer {
        answer.insert(VERSION_KEY.to_owned(), version.into());
    }
    tree::text(&answer).into_bytes()
}

/// The input of a healthy call; `None` where its request does not serialize.
pub(crate) fn healthy_input<R: Vocabulary>(step: &Step<R>, version: u32) -> Option<Arc<[u8]>> {
    struct Seal(u32);

    impl Visitor for Seal {
        type Output = Option<Vec<u8>>;

        fn visit<F: WireFunction>(self, request: F::Request) -> Option<Vec<u8>> {
            encode_envelope_from_tree(&request, self.0)
        }
    }

    step.request_with_program()
        .visit(Seal(version))
        .map(Arc::from)
}
