//! Property-based fuzzing for cc-lb plugins and the host that runs them.
//!
//! cc-lb calls *wire functions* in its WebAssembly plugins. A call that fails must become the
//! function's fallback: a signer that fails must fail the request, never skip the signature. This crate
//! builds arbitrary requests for every wire function, feeds them through one reused session, and checks that
//! every failure becomes a fallback and none changes what a later call gets.
//!
//! # The nouns, and how they meet
//!
//! A [`Request`](wire::Request) is something that may be said to a plugin. A [`Case`](case::Case) is a
//! sequence of requests for one session. A [`Host`](host::Host) runs it on a plugin, which may be the
//! [`puppet`]: the guest that does what the request tells it. What was seen is a
//! [`CaseRecord`](observation::CaseRecord). An [`Oracle`](oracle::Oracle) says what is wrong with a record,
//! and a [`Finding`](finding::Finding) is that with the smallest case that shows it. A [`campaign`] does all
//! of this for thousands of cases, in this process or in [workers](campaign::Workers), which a hostile plugin may
//! kill. How a plugin becomes a session at all is an [`Opening`](opening::Opening). [`check_plugin`] is a campaign for the
//! tests of a plugin of your own.
//!
//! # The session
//!
//! [`dispatch`] has the interface and the meaning of `cc_lb_plugin_conformance::dispatch` 0.1.0, and
//! [`handshake::HandshakeError`] the variants of that crate's.
//!
//! # Features
//!
//! `cli`, on by default, is the command line tool and the [`report`]s that only it prints. `reference`, on by default, is
//! the [published host](host::ReferenceHost).
#![cfg_attr(
    not(all(feature = "cli", feature = "reference")),
    allow(rustdoc::broken_intra_doc_links)
)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// So that `vocabulary!` names the same paths inside and outside of the crate.
extern crate self as cc_lb_fuzz;

pub mod campaign;
pub mod case;
pub mod check;
pub mod exit_code;
pub mod files;
pub mod finding;
pub mod fingerprint;
pub mod host;
pub mod line;
pub mod observation;
pub mod opening;
pub mod oracle;
pub mod puppet;
pub mod report;
pub mod wire;

pub use check::check_plugin;
pub use host::{dispatch, handshake};

/// What `vocabulary!` expands to, whatever the caller depends on.
#[doc(hidden)]
pub mod reexport {
    pub use {arbitrary, proptest, serde, serde_json};
}

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
