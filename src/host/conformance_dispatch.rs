//! The interface of `cc_lb_plugin_conformance::dispatch` 0.1.0, with the same meaning: code written
//! for that module compiles with this one.

pub use cc_lb_plugin_wire::wire_function::FallbackPolicy;

pub use super::envelope::{decode_envelope, encode_envelope};
pub use super::message_limits::{ANSWER_DEPTH_MAX, ANSWER_VALUES_MAX, INPUT_MAX_BYTES};
pub use super::outcome::DispatchOutcome;
pub use super::plugin::{RunError, run};
pub use super::session::PluginSession;
