//! One dispatch: what the guest must get, and what comes of it.
//!
//! A discrepancy here is an outcome that is not what the session returned, or an input that no session should send.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde_json::Value;

use super::Reaction;
use crate::case::{Step, tree};
use crate::host::dispatch::{panic_text, seal};
use crate::host::{Call, Cause, DispatchOutcome, HandshakeError, Host, Observed, Session};
use crate::puppet::Program;
use crate::wire::{Function, VERSION_KEY, Visitor, Vocabulary};

/// Dispatches a request. The response is written as JSON, the form in which all functions' outcomes compare.
pub fn dispatch<R: Vocabulary, S: Session>(request: R, session: &mut S) -> Observed<Value> {
    struct On<'s, S>(&'s mut S);

    impl<S: Session> Visitor for On<'_, S> {
        type Output = Observed<Value>;

        fn visit<F: WireFunction>(self, request: F::Request) -> Observed<Value> {
            let Observed { outcome, call } = self.0.dispatch::<F>(request);
            let outcome = match outcome {
                // A response that was just read from JSON writes as JSON.
                DispatchOutcome::Ok(response) => {
                    DispatchOutcome::Ok(serde_json::to_value(response).unwrap_or(Value::Null))
                }
                DispatchOutcome::Fallback(policy) => DispatchOutcome::Fallback(policy),
            };
            Observed { outcome, call }
        }
    }

    request.visit(On(session))
}

/// What the healthy call comes to on a fresh session, by another try where the clock had a say in it, or may have had: not
/// every host tells why a call fell back.
pub(super) fn healthy_reaction<H: Host, R: Vocabulary>(
    host: &H,
    step: &Step<R>,
) -> Result<Reaction, HandshakeError> {
    const TRIES: usize = 6;
    let wall = Duration::from_millis(HANDSHAKE_WALL_MS);
    for _ in 1..TRIES {
        let seen = react(step.told(), &mut host.open()?);
        let fell_back = matches!(seen.reaction.outcome(), Some(DispatchOutcome::Fallback(_)));
        let is_unclear = match &seen.call.cause {
            Some(cause) => *cause == Cause::Timeout,
            None => fell_back,
        };
        if seen.elapsed < wall && !is_unclear {
            return Ok(seen.reaction);
        }
    }
    Ok(react(step.told(), &mut host.open()?).reaction)
}

/// What was seen of a dispatch.
pub(super) struct Seen {
    pub(super) reaction: Reaction,
    pub(super) call: Call,
    pub(super) elapsed: Duration,
}

/// Dispatches a request and catches what must not unwind.
pub(super) fn react<R: Vocabulary>(request: R, session: &mut impl Session) -> Seen {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| dispatch(request, session)));
    let elapsed = start.elapsed();
    let (reaction, call) = match result {
        Ok(Observed { outcome, call }) => (Reaction::Outcome(Arc::new(outcome)), call),
        Err(payload) => (
            Reaction::Panic(panic_text(payload.as_ref())),
            Call::default(),
        ),
    };
    Seen {
        reaction,
        call,
        elapsed,
    }
}

/// The input that the guest must get for a request with this program in it: its JSON object and the negotiated `_v`.
///
/// Where the guest sends it back, on purpose not by the function that the session seals requests with.
pub(super) fn guest_input<R: Vocabulary>(
    program: Option<&Program>,
    request: &R,
    version: u32,
) -> Option<Vec<u8>> {
    struct Seal(u32);

    impl Visitor for Seal {
        type Output = Option<String>;

        fn visit<F: WireFunction>(self, request: F::Request) -> Option<String> {
            seal(&request, self.0).ok()
        }
    }

    if !program.is_some_and(Program::echoes) {
        let sealed = request.clone().visit(Seal(version));
        return sealed.map(String::into_bytes);
    }
    let mut envelope = request.to_json().ok()?;
    envelope
        .as_object_mut()?
        .insert(VERSION_KEY.into(), version.into());
    serde_json::to_vec(&envelope).ok()
}

/// The puppet's healthy answer: the dry-run response in the negotiated version.
pub(super) fn healthy_answer(function: &Function, version: u32) -> Vec<u8> {
    let mut answer = function.dry_run_response().unwrap_or(Value::Null);
    if let Value::Object(answer) = &mut answer {
        answer.insert(VERSION_KEY.to_owned(), version.into());
    }
    tree::text(&answer).into_bytes()
}
