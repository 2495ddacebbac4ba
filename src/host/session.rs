//! The dispatch session: one wire call at a time, and every failure becomes the function's fallback.
//!
//! A discrepancy here is the harness's own subject: a
//! failing call that is not `Fallback(F::FALLBACK)`, or an `Ok` that the guest did not answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use cc_lb_plugin_wire::wire_function::WireFunction;

use super::cause::Cause;
use super::envelope::{decode_envelope, encode_envelope};
use super::instance::Instance;
use super::interface::Session;
use super::lease::Lease;
use super::limits::INPUT_MAX_BYTES;
use super::meter::StopPoint;
use super::outcome::{Call, DispatchOutcome, Observed, panic_text};

/// A plugin instance that answers one wire call after the other.
///
/// It cannot be cloned: an instance is state that calls change.
///
/// # Where it differs from the reference
///
/// It keeps the promise that a failing call is a fallback and harms no later one where the reference dies,
/// hangs or stays broken:
///
/// - The plugin runs behind the [`guard`](crate::host::guard): it has a kernel of its own in place of Extism's, with 1 MiB for
///   the blocks of a call, has bounded memory and tables, is interrupted in bulk instructions too, and runs its start code as a
///   call with the limits of any other. A store takes 11 fuel, a load 8, where Extism's kernel takes 18 to 24; what a call
///   hands out takes 4 for each byte when it returns. A load beside all blocks gives 0. A module that the guard refuses is
///   [`HandshakeError::Instantiate`](super::HandshakeError::Instantiate).
/// - A call that ended abnormally (a trap, no fuel or time left, a failing host function, a panic) leaves the
///   plugin's own state half-way, so the next call gets a fresh instance. A call that ended by itself, however
///   badly, keeps the instance and the plugin's state. Start code runs again for a fresh instance, in addition to
///   the limits of the call.
/// - What a plugin set before it trapped is not told: neither its error nor its output.
/// - What a call leaves in Extism's memory is zeroed at no later call's expense, but for the last 16 KiB.
/// - A request larger than [`INPUT_MAX_BYTES`] is a fallback without a call, an answer of more than [`ANSWER_VALUES_MAX`](super::ANSWER_VALUES_MAX)
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
    stop: StopPoint,
}

impl PluginSession {
    pub(super) fn on(instance: Instance, lease: Lease) -> Self {
        Self {
            instance: Some(instance),
            lease,
            stop: StopPoint::default(),
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
        let input = encode_envelope(&request, version)?;
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
        let answer = decode_envelope(&output, version);
        call.output = Some(output.into());
        answer.map_err(Cause::Undecodable)
    }
}

impl Session for PluginSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        self.observe::<F>(request)
    }

    fn guest_memory(&mut self) -> Option<u64> {
        self.instance.as_mut()?.memory()
    }

    fn stop_at(&mut self, stop: StopPoint) {
        self.stop = stop;
    }
}
