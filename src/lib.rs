//! Property-based fuzzing for cc-lb plugins and the host that runs them.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// So that `vocabulary!` names the same paths inside and outside of the crate.
extern crate self as cc_lb_fuzz;

pub mod campaign;
pub mod case;
pub mod exit_code;
pub mod finding;
pub mod host;
pub mod observation;
pub mod oracle;
pub mod puppet;
#[cfg(feature = "cli")]
pub mod report;
pub mod wire;

pub use host::{dispatch, handshake};

/// What `vocabulary!` expands to, whatever the caller depends on.
#[doc(hidden)]
pub mod reexport {
    pub use {arbitrary, proptest, serde, serde_json};
}
