//! A single dispatch: the input that the guest must receive, and the outcome.
//!
//! Bugs in this module look like an outcome that the session did not return, or an expected input
//! that no session should send.

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

/// Dispatches a request. The response is returned as JSON, so that outcomes of all functions
/// compare.
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
        // A response that was just parsed from JSON serializes.
        DispatchOutcome::Ok(response) => {
            DispatchOutcome::Ok(serde_json::to_value(response).unwrap_or(Value::Null))
        }
        DispatchOutcome::Fallback(policy) => DispatchOutcome::Fallback(policy),
    };
    Observed { outcome, call }
}

/// Returns the result of a healthy call on a fresh session. Tries again if it timed out or may
/// have: not every host reports why a call fell back.
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

/// What was observed of a dispatch.
pub(crate) struct Execution {
    pub(crate) result: StepResult,
    pub(crate) call: Call,
    pub(crate) elapsed: Duration,
}

/// Dispatches a request and catches panics.
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

/// The way in which the expected input is encoded.
#[derive(Clone, Copy)]
pub(crate) enum EnvelopeEncoding {
    /// The encoding of [`PluginHost`](crate::host::PluginHost).
    Host,
    /// An independent encoding, via a JSON tree. It takes longer.
    Tree,
}

/// Dispatches a request, and returns the input that the guest must receive: the request's JSON
/// object with `_v`, or `None` if the request does not serialize. A request whose input is larger
/// than `most` bytes is not dispatched.
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

/// Returns the puppet's healthy answer: the dry-run response in the negotiated version.
pub(crate) fn healthy_answer(function: &Function, version: u32) -> Vec<u8> {
    let mut answer = function.dry_run_response().unwrap_or(Value::Null);
    if let Value::Object(answer) = &mut answer {
        answer.insert(VERSION_KEY.to_owned(), version.into());
    }
    tree::text(&answer).into_bytes()
}

/// Returns the input of a healthy call, or `None` if its request does not serialize.
pub(crate) fn healthy_input<R: Vocabulary>(step: &Step<R>, version: u32) -> Option<Arc<[u8]>> {
    struct Encode(u32);

    impl Visitor for Encode {
        type Output = Option<Vec<u8>>;

        fn visit<F: WireFunction>(self, request: F::Request) -> Option<Vec<u8>> {
            encode_envelope_from_tree(&request, self.0)
        }
    }

    step.request_with_program()
        .visit(Encode(version))
        .map(Arc::from)
}
