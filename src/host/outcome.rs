//! The outcome of a dispatch, and what was observed of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use cc_lb_plugin_wire::wire_function::FallbackPolicy;

use super::cause::{Cause, TrapKind};
use super::metered_copy::MeterReading;
use super::site::{Frame, Site};

/// The outcome of a dispatch.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DispatchOutcome<R> {
    /// The guest answered with this response.
    Ok(R),
    /// The call failed, so this is the fallback policy of the function, a constant of its type.
    Fallback(FallbackPolicy),
}

/// Returns the message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a payload that is no text".to_owned())
}

/// What was observed of a dispatch besides its outcome. What a host cannot observe is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The reason for the fallback; `None` after an `Ok`.
    pub cause: Option<Cause>,
    /// The plugin functions on the stack when the guest trapped, innermost first, as far as the
    /// runtime reports them.
    pub frames: Vec<Frame>,
    /// The counts of a metered call: see [`Host::open_metered`](super::Host::open_metered).
    pub metering: Option<MeterReading>,
    /// The fuel that the call used, including Extism's own share; `None` if the guest was not
    /// called.
    pub fuel: Option<u64>,
    /// The time from the request to the outcome.
    pub time: Duration,
    /// The part of `time` spent on a new instance, including its start code, after an abnormal end.
    pub renewal: Duration,
    /// The guest's input; `None` if the guest was not called.
    pub input: Option<Arc<[u8]>>,
    /// The guest's output, valid or not.
    pub output: Option<Arc<[u8]>>,
}

impl Call {
    /// Returns the place in the plugin where the call failed, if the runtime reported it.
    pub fn site(&self) -> Option<Site> {
        match self.cause.as_ref()? {
            Cause::Trap(TrapKind::StackOverflow) => Site::of_recursion(&self.frames),
            Cause::Trap(_) | Cause::HostFunction(_) => Site::of_trap(&self.frames),
            _ => None,
        }
    }
}

/// A dispatch's outcome and what was observed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<R> {
    /// The outcome that [`PluginSession::dispatch`](super::PluginSession::dispatch) returns.
    pub outcome: DispatchOutcome<R>,
    /// What was observed of the call.
    pub call: Call,
}

/// Converts the outcome of a host that cannot observe.
impl<R> From<DispatchOutcome<R>> for Observed<R> {
    fn from(outcome: DispatchOutcome<R>) -> Self {
        Self {
            outcome,
            call: Call::default(),
        }
    }
}
