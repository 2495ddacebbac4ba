//! The host: what runs a case's requests on a plugin.
//!
//! [`Host`] opens sessions of one plugin and [`Session`] dispatches requests on one of them. The rest
//! of the harness only knows these traits, so that it can judge any host: [`PluginHost`], the published
//! one (the feature `reference`), the faulty ones of the tests, or yours.
//!
//! A discrepancy that lies in this room is a broken promise of the host itself: a failing call that did
//! not become the function's fallback, or that changed what a later call gets.

pub mod cause;
pub mod dispatch;
mod engine;
mod envelope;
pub(crate) mod error_reason;
pub mod guard;
pub mod handshake;
pub mod identity;
pub mod inspect;
mod instance;
mod interface;
mod lease;
mod limits;
mod meter;
mod outcome;
mod plugin;
mod pool;
#[cfg(feature = "reference")]
mod reference;
pub mod session;
mod site;
mod sorted_json;

pub use cause::{Cause, Decoding, Stage, TrapKind};
pub use dispatch::FallbackPolicy;
pub(crate) use envelope::has_too_many_values;
pub use envelope::{decode_envelope, encode_envelope};
pub use handshake::HandshakeError;
pub use interface::{Host, Loader, NegotiatedTerms, Session};
pub use limits::{ANSWER_DEPTH_MAX, ANSWER_VALUES_MAX, INPUT_MAX_BYTES};
pub use meter::{MeterReading, StopPoint};
pub(crate) use outcome::panic_text;
pub use outcome::{Call, DispatchOutcome, Observed};
pub use plugin::{Guarded, PluginHost, RunError, run};
#[cfg(feature = "reference")]
pub use reference::{Reference, ReferenceHost, ReferenceSession};
pub use session::PluginSession;
pub use site::{Frame, Site, SiteFunction, SiteKind};
