//! The dispatch session: one wire call at a time, and every failure becomes the function's fallback.
//!
//! It has the interface and the meaning of `cc_lb_plugin_conformance::dispatch` 0.1.0: code written
//! against that module compiles against this one. A discrepancy here is the harness's own subject: a
//! failing call that is not `Fallback(F::FALLBACK)`, or an `Ok` that the guest did not answer.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

pub use cc_lb_plugin_wire::wire_function::FallbackPolicy;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

use super::failure::{Cause, Decoding};
use super::handshake::{self, HandshakeError};
use super::meter::Stop;
use super::names;
use super::plugin::{Call, Compiled, Instance, Lease, Observed, PluginHost, Source};
use super::sorted::to_sorted;
use super::{Host, Session};
use crate::line::{WORDS_MAX_BYTES, one_line, shortened};
use crate::wire::{VERSION_KEY, values};

/// The largest input of a guest, in bytes. Extism's kernel holds it, and zeroes it behind the call at 2.5 fuel a byte, all of
/// which must be less than a call has.
pub const INPUT_MAX_BYTES: usize = 1 << 20;

/// How deep lists and objects may be in each other in an answer: what serde_json follows. The size of an answer is bounded by
/// what a call can allocate.
pub const ANSWER_DEPTH_MAX: usize = 127;

/// How many values an answer may have, those inside of others too. An object of five bytes takes 640 when it is read, and as
/// much again where it is a state: some 10 ms for all of them, which the clock of the call does not bound. Two thousand headers
/// or results are fewer.
pub const ANSWER_VALUES_MAX: usize = 1 << 13;

/// Opens a session, dispatches one request, and closes it.
///
/// # Errors
/// [`RunError`] where the plugin cannot be compiled or instantiated, or fails the handshake. A failing call is no error
/// but `Ok(DispatchOutcome::Fallback(_))`.
pub fn run<F: WireFunction>(
    wasm: &[u8],
    request: F::Request,
) -> Result<DispatchOutcome<F::Response>, RunError> {
    let compiled =
        Compiled::new(&Source::new(wasm)).map_err(|reason| RunError::Build { reason })?;
    // Imports are looked up when an instance is made.
    let instance = Instance::new(&compiled).map_err(|error| RunError::Build {
        reason: error.to_string(),
    })?;
    let offer = handshake::build_offer(&BTreeSet::new());
    let host = PluginHost::negotiate(compiled, instance, &offer);
    let mut session = host
        .and_then(|host| host.open())
        .map_err(RunError::Handshake)?;
    Ok(session.dispatch::<F>(request))
}

/// A plugin instance that answers one wire call after the other.
///
/// It cannot be cloned: an instance is state that calls change.
///
/// # Where it differs from the reference
///
/// It keeps the promise that a failing call is a fallback and harms no later one where the reference dies,
/// hangs or stays broken:
///
/// - The plugin runs behind the [`guard`](super::guard): it has a kernel of its own in place of Extism's, with 1 MiB for
///   the blocks of a call, has bounded memory and tables, is interrupted in bulk instructions too, and runs its start code as a
///   call with the limits of any other. A store takes 11 fuel, a load 8, where Extism's kernel takes 18 to 24; what a call
///   hands out takes 4 for each byte when it returns. A load beside all blocks gives 0. A module that the guard refuses is
///   [`HandshakeError::Instantiate`].
/// - A call that ended abnormally (a trap, no fuel or time left, a failing host function, a panic) leaves the
///   plugin's own state half-way, so the next call gets a fresh instance. A call that ended by itself, however
///   badly, keeps the instance and the plugin's state. Start code runs again for a fresh instance, in addition to
///   the limits of the call.
/// - What a plugin set before it trapped is not told: neither its error nor its output.
/// - What a call leaves in Extism's memory is zeroed at no later call's expense, but for the last 16 KiB.
/// - A request larger than [`INPUT_MAX_BYTES`] is a fallback without a call, an answer of more than [`ANSWER_VALUES_MAX`]
///   values a fallback.
/// - An answer that is set while an error stands, or before one is set, is lost, though the plugin takes the error back.
/// - Start code (a start section, `_initialize`, `__wasm_call_ctors`, `hs_init`) runs where and in the order in which it
///   runs there, and what does not open there for its start exports is refused here. It runs once for an instance; the
///   reference also runs that of its linker on an instance that answers nothing, for every session.
/// - It counts no metrics. Failing dispatches are told to `tracing` under the same target.
///
/// ```compile_fail
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<cc_lb_fuzz::dispatch::PluginSession>();
/// ```
#[non_exhaustive]
pub struct PluginSession {
    /// `None` after a call that ended abnormally, until the next one. Dropped before what it was made from.
    instance: Option<Instance>,
    lease: Lease,
    /// Where calls stop, on a copy that is metered.
    stop: Stop,
}

impl PluginSession {
    /// Compiles the module, shakes hands with no host capabilities, and opens a session.
    ///
    /// For more than one session of a plugin, compile once with [`PluginHost`].
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn new(wasm: &[u8]) -> Result<Self, HandshakeError> {
        PluginHost::new(wasm)?.open()
    }

    /// The same with host capabilities.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn new_with_caps(
        wasm: &[u8],
        host_capabilities: &BTreeSet<String>,
    ) -> Result<Self, HandshakeError> {
        PluginHost::new_with_caps(wasm, host_capabilities)?.open()
    }

    pub(super) fn on(instance: Instance, lease: Lease) -> Self {
        Self {
            instance: Some(instance),
            lease,
            stop: Stop::default(),
        }
    }

    /// Dispatches one request: at most one call of the guest, never an error, never a panic.
    pub fn dispatch<F: WireFunction>(
        &mut self,
        request: F::Request,
    ) -> DispatchOutcome<F::Response> {
        self.observe::<F>(request).outcome
    }

    /// Dispatches one request and tells what was observed beside the outcome.
    pub fn observe<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let start = Instant::now();
        let mut call = Call::default();
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt::<F>(request, &mut call)))
            .unwrap_or_else(|payload| Err(Cause::Panic(panic_text(payload.as_ref()))));
        let outcome = match attempt {
            Ok(response) => DispatchOutcome::Ok(response),
            Err(cause) => {
                tracing::warn!(
                    target: "cc_lb_plugin.dispatch",
                    function = F::NAME,
                    stage = ?cause.stage(),
                    %cause,
                    "dispatch failed, applying fallback {:?}",
                    F::FALLBACK
                );
                if cause.is_abnormal() {
                    self.instance = None;
                }
                call.cause = Some(cause);
                DispatchOutcome::Fallback(F::FALLBACK)
            }
        };
        call.time = start.elapsed();
        Observed { outcome, call }
    }

    fn attempt<F: WireFunction>(
        &mut self,
        request: F::Request,
        call: &mut Call,
    ) -> Result<F::Response, Cause> {
        let negotiated = self.lease.metadata().negotiated_functions.get(F::NAME);
        let version = *negotiated.ok_or(Cause::NotNegotiated)?;
        let input = seal(&request, version)?;
        if input.len() > INPUT_MAX_BYTES {
            return Err(Cause::RequestTooLarge(input.len()));
        }
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => {
                let start = Instant::now();
                let instance = self.lease.instance();
                call.renewal = start.elapsed();
                none.insert(instance?)
            }
        };
        let input = call.input.insert(input.into_bytes().into());
        let output = instance.call_metered(F::NAME, input, self.stop);
        call.fuel = instance.fuel_used();
        call.metering = instance.metering();
        if output.is_err() {
            call.frames = instance.frames();
        }
        let output = output?;
        let answer = unseal(&output, version);
        call.output = Some(output.into());
        answer.map_err(Cause::Undecodable)
    }
}

impl Session for PluginSession {
    const TELLS_INPUT: bool = true;

    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        self.observe::<F>(request)
    }

    fn guest_memory(&mut self) -> Option<u64> {
        self.instance.as_mut()?.memory()
    }

    fn stop_at(&mut self, stop: Stop) {
        self.stop = stop;
    }
}

/// The guest's input for a request: its JSON object with `_v`, keys sorted.
///
/// # Errors
/// [`Cause`] where the request does not serialize, or not to an object.
pub fn seal<T: Serialize>(request: &T, version: u32) -> Result<String, Cause> {
    let unserializable = |error: serde_json::Error| Cause::RequestUnserializable(error.to_string());
    let text = to_sorted(request, (VERSION_KEY, version)).map_err(unserializable)?;
    if text.starts_with('{') {
        Ok(text)
    } else {
        Err(Cause::RequestNotObject)
    }
}

/// The response that a guest's output is: a JSON object, and beside it its `_v`, which must be this version.
///
/// # Errors
/// [`Decoding`], the step at which it turned out to be none.
pub fn unseal<T: DeserializeOwned>(output: &[u8], version: u32) -> Result<T, Decoding> {
    let text = std::str::from_utf8(output).map_err(|_| Decoding::NotUtf8)?;
    if has_too_many_values(output) {
        return Err(Decoding::TooManyValues);
    }
    let value = serde_json::from_str(text).map_err(|error| {
        let why = one_line(error);
        // There is no other sign of it.
        if why.starts_with("recursion limit exceeded") {
            Decoding::TooDeep
        } else {
            Decoding::NotJson(why)
        }
    })?;
    let Value::Object(mut answer) = value else {
        return Err(Decoding::NotObject);
    };
    let sealed = answer
        .remove(VERSION_KEY)
        .ok_or(Decoding::VersionMissing)?
        .as_u64()
        .ok_or(Decoding::VersionNotInteger)?;
    if sealed != u64::from(version) {
        return Err(Decoding::VersionMismatch {
            expected: version,
            actual: sealed,
        });
    }
    let answer = Value::Object(answer);
    if output.len() > WORDS_MAX_BYTES {
        is_of_the_type::<T>(&answer)?;
    }
    response(answer)
}

/// Whether an answer is a response as far as types and fields go. What is wrong is worded with all of a text, and nothing bounds
/// how long that takes: here the middles of long texts are left out.
///
/// # Errors
/// [`Decoding`] where it is none, whatever its texts say.
fn is_of_the_type<T: DeserializeOwned>(answer: &Value) -> Result<(), Decoding> {
    const WHATEVER_TEXTS_SAY: [&str; 3] = ["invalid type: ", "unknown field ", "missing field "];
    match response::<T>(with_short_texts(answer)) {
        Err(Decoding::NotResponse { field, why })
            if WHATEVER_TEXTS_SAY
                .iter()
                .any(|words| why.starts_with(words)) =>
        {
            Err(Decoding::NotResponse { field, why })
        }
        _ => Ok(()),
    }
}

fn response<T: DeserializeOwned>(answer: Value) -> Result<T, Decoding> {
    serde_path_to_error::deserialize(answer).map_err(|error| {
        let why = one_line(error.inner());
        let field = names::field(error.path(), &why);
        Decoding::NotResponse { field, why }
    })
}

/// The same but for the middles of long texts, where that leaves the keys of an object apart.
fn with_short_texts(answer: &Value) -> Value {
    match answer {
        Value::String(text) => shortened(text).into(),
        Value::Array(items) => items.iter().map(with_short_texts).collect(),
        Value::Object(fields) => {
            let short = |(key, value): (&String, _)| (shortened(key), with_short_texts(value));
            let shorter: Map<String, Value> = fields.iter().map(short).collect();
            if shorter.len() == fields.len() {
                shorter.into()
            } else {
                let same = |(key, value): (&String, _)| (key.clone(), with_short_texts(value));
                fields.iter().map(same).collect()
            }
        }
        other => other.clone(),
    }
}

/// Whether an answer has more than [`ANSWER_VALUES_MAX`] values.
pub(crate) fn has_too_many_values(answer: &[u8]) -> bool {
    // Nothing shorter does.
    answer.len() > ANSWER_VALUES_MAX && values(answer) > ANSWER_VALUES_MAX
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a payload that is no text".to_owned())
}

/// What a dispatch came to.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DispatchOutcome<R> {
    /// The guest answered with this response.
    Ok(R),
    /// The call failed; this is the function's policy, a constant of its type.
    Fallback(FallbackPolicy),
}

/// Why [`run`] did not get as far as the wire call.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum RunError {
    /// The plugin could not be compiled or instantiated.
    #[error("plugin instantiation failed: {reason}")]
    Build {
        /// What the runtime said.
        reason: String,
    },
    /// The plugin failed the handshake, or has no valid identity.
    #[error("handshake failed: {0}")]
    Handshake(HandshakeError),
}
