//! The host, which runs the requests of a case on a plugin.
//!
//! [`Host`] opens sessions of one plugin and [`Session`] dispatches requests on one of them. The
//! rest of the harness uses these traits only, so it can test any host: the *guarded host*
//! ([`PluginHost`]), which runs a plugin behind the [`guard`]; the published one (feature
//! `reference`); the faulty ones of the tests; or your own.
//!
//! Bugs in this module look like a failing call that does not result in the function's fallback, or
//! that changes the result of a later call.

mod call_limits;
pub mod cause;
mod compiled_plugin;
pub mod conformance_dispatch;
mod engine;
mod envelope;
pub(crate) mod error_reason;
pub mod guard;
pub mod handshake;
pub mod identity;
pub mod inspect;
mod interface;
mod lease;
mod message_limits;
mod metered_copy;
mod outcome;
mod plugin;
mod pool;
#[cfg(feature = "reference")]
mod reference;
pub mod session;
mod site;
mod sorted_json;

pub use cause::{Cause, Decoding, Stage, TrapKind};
pub use conformance_dispatch::FallbackPolicy;
pub(crate) use envelope::has_too_many_values;
pub use envelope::{decode_envelope, encode_envelope};
pub use handshake::HandshakeError;
pub use interface::{Host, Loader, NegotiatedTerms, Session};
pub use message_limits::{ANSWER_DEPTH_MAX, ANSWER_VALUES_MAX, INPUT_MAX_BYTES};
pub use metered_copy::{MeterReading, StopPoint};
pub(crate) use outcome::panic_text;
pub use outcome::{Call, DispatchOutcome, Observed};
pub use plugin::{Guarded, PluginHost, RunError, run};
#[cfg(feature = "reference")]
pub use reference::{Reference, ReferenceHost, ReferenceSession};
pub use session::PluginSession;
pub use site::{Frame, Site, SiteFunction, SiteKind};
