//! What a dispatch returns, and what was observed of it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use cc_lb_plugin_wire::wire_function::FallbackPolicy;

use super::cause::{Cause, TrapKind};
use super::meter::MeterReading;
use super::site::{Frame, Site};

/// What a dispatch came to.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DispatchOutcome<R> {
    /// The guest answered with this response.
    Ok(R),
    /// The call failed; this is the function's policy, a constant of its type.
    Fallback(FallbackPolicy),
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a payload that is no text".to_owned())
}

/// What was observed of one dispatch beside its outcome. What a host cannot tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Why the dispatch fell back; `None` after an `Ok`.
    pub cause: Option<Cause>,
    /// The functions that were running when the guest trapped, the innermost first, as far as the runtime tells them.
    pub frames: Vec<Frame>,
    /// What was counted, in a session of a copy that is metered: see [`Host::open_metered`](super::Host::open_metered).
    pub metering: Option<MeterReading>,
    /// The fuel that the call used, with Extism's own share; `None` where the guest was not called.
    pub fuel: Option<u64>,
    /// From the request's arrival to the outcome.
    pub time: Duration,
    /// How much of that it took to make the instance that an abnormal end before had taken away, with its start code.
    pub renewal: Duration,
    /// The guest's input; `None` where the guest was not called.
    pub input: Option<Arc<[u8]>>,
    /// What the guest set as its output, whether it is a sound answer or not.
    pub output: Option<Arc<[u8]>>,
}

impl Call {
    /// Where in the plugin it failed, where the runtime told it.
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
    /// What the caller of [`PluginSession::dispatch`](super::PluginSession::dispatch) gets.
    pub outcome: DispatchOutcome<R>,
    /// What was observed.
    pub call: Call,
}

/// The outcome of a host that cannot observe.
impl<R> From<DispatchOutcome<R>> for Observed<R> {
    fn from(outcome: DispatchOutcome<R>) -> Self {
        Self {
            outcome,
            call: Call::default(),
        }
    }
}
