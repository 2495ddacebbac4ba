//! The dispatch session: makes one wire call at a time, and turns every failure into the function's
//! fallback.
//!
//! Bugs in this module look like a failing call that does not return `Fallback(F::FALLBACK)`, or an
//! `Ok` that is not the guest's answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use cc_lb_plugin_wire::wire_function::WireFunction;

use super::cause::Cause;
use super::compiled_plugin::Instance;
use super::envelope::{decode_envelope, encode_envelope};
use super::interface::Session;
use super::lease::Lease;
use super::message_limits::INPUT_MAX_BYTES;
use super::metered_copy::StopPoint;
use super::outcome::{Call, DispatchOutcome, Observed, panic_text};

/// A plugin instance that answers one wire call after the other.
///
/// It cannot be cloned, because calls change the state of the instance.
///
/// # Differences from the reference
///
/// A failing call results in a fallback and does not affect later calls, where the reference
/// crashes, hangs or stays broken:
///
/// - The plugin runs behind the [`guard`](crate::host::guard). It has a kernel of its own in place
///   of Extism's, with 1 MiB for the blocks of a call, has bounded memory and tables, is
///   interrupted in bulk instructions too, and runs its start code as a call with the limits of any
///   other. A store takes 11 fuel and a load 8, where Extism's kernel takes 18 to 24; the output of
///   a call takes 4 fuel a byte when the call returns. A load outside of all blocks returns 0. A
///   module that the guard refuses is
///   [`HandshakeError::Instantiate`](super::HandshakeError::Instantiate).
/// - A call that ends abnormally (a trap, no fuel or time left, a failing host function, a panic)
///   may leave the plugin's state half-way, so the next call gets a fresh instance. A call that
///   returns, with whatever result, keeps the instance and the plugin's state. A fresh instance
///   runs its start code again, with limits of its own besides those of the call.
/// - The error and the output that a plugin set before it trapped are not reported.
/// - What a call leaves in Extism's memory is not zeroed at the expense of later calls, except for
///   the last 16 KiB.
/// - A request larger than [`INPUT_MAX_BYTES`] results in a fallback without a call. An answer with
///   more than [`ANSWER_VALUES_MAX`](super::ANSWER_VALUES_MAX) values results in a fallback.
/// - An answer that is set while an error is set, or before one is set, is lost even if the plugin
///   clears the error.
/// - Start code (a start section, `_initialize`, `__wasm_call_ctors`, `hs_init`) runs where it runs
///   there and in the same order, and a module that does not open there because of its
///   start exports is refused here. It runs once for each instance. The reference also runs, for
///   every session, the start code of its linker on an instance that answers nothing.
/// - It records no metrics. It logs failing dispatches with `tracing` under the same target.
///
/// ```compile_fail
/// fn needs_clone<T: Clone>() {}
/// needs_clone::<cc_lb_fuzz::dispatch::PluginSession>();
/// ```
#[non_exhaustive]
pub struct PluginSession {
    /// `None` from an abnormal end until the next call. Declared first so that it is dropped before
    /// the lease.
    instance: Option<Instance>,
    lease: Lease,
    /// The point at which calls stop, in a session of a metered copy.
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

    /// Dispatches one request. It calls the guest at most once, and never returns an error or
    /// panics.
    pub fn dispatch<F: WireFunction>(
        &mut self,
        request: F::Request,
    ) -> DispatchOutcome<F::Response> {
        self.observe::<F>(request).outcome
    }

    /// Dispatches one request and returns the outcome with what was observed.
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
