//! Property-based fuzzing for cc-lb plugins and the host that runs them.
//!
//! cc-lb calls *wire functions* in its WebAssembly plugins. A call that fails must result in the
//! function's fallback: a signer that fails must fail the request, never skip the signature. This
//! crate generates arbitrary requests for every wire function, dispatches them in one session, and
//! checks that every failure results in the fallback and that no call affects a later one.
//!
//! # Glossary
//!
//! - [`Request`](wire::Request): the input of one call of a wire function.
//! - [`Step`](case::Step): a request, and how often it is sent.
//! - [`Case`](case::Case): a sequence of steps for one session.
//! - [`HandshakeCase`](handshake_case::HandshakeCase): an identity, a handshake and a host's offer.
//! - [`Phase`](generate::Phase): a kind of cases of a campaign, such as boundaries.
//! - [`Host`](host::Host): opens sessions of one plugin, in which cases run.
//! - [`puppet`]: a plugin that does what the request says, to test hosts.
//! - [`guard`](host::guard): rewrites a plugin so that it cannot harm its host.
//! - [`CaseRecord`](record::CaseRecord): what was observed when a case ran.
//! - [`Check`](check::Check): judges records; an oracle, in the literature.
//! - [`Violation`](check::Violation): what a check found in a record.
//! - [`Finding`](finding::Finding): a violation with the smallest case that shows it.
//! - [`campaign`]: a run of many cases, in this process or in
//!   [workers](crate::worker::Workers), which a hostile plugin may kill.
//! - [`check_plugin()`]: a campaign for the tests of your own plugin.
//!
//! # The session
//!
//! A [session](host::Session) makes one call after the other on an opened plugin, which may keep
//! state from call to call. Sessions of one plugin do not affect each other.
//!
//! [`dispatch`] has the interface and the meaning of `cc_lb_plugin_conformance::dispatch` 0.1.0,
//! and [`handshake::HandshakeError`] has the variants of that crate's error.
//!
//! # Features
//!
//! `cli`, on by default, is the command line tool and the [`report`]s that only it prints.
//! `reference`, on by default, is the [published host](host::ReferenceHost).
#![cfg_attr(
    not(all(feature = "cli", feature = "reference")),
    allow(rustdoc::broken_intra_doc_links)
)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// Lets `vocabulary!` use the same paths inside and outside of the crate.
extern crate self as cc_lb_fuzz;

pub mod campaign;
pub mod case;
pub mod check;
pub mod check_plugin;
pub mod corpus;
pub mod execute;
pub mod exit_code;
pub mod files;
pub mod finding;
pub mod fingerprint;
pub mod fuzz_target;
pub mod generate;
pub mod handshake_case;
pub mod host;
pub mod limits;
pub mod puppet;
pub mod record;
pub mod report;
pub mod untrusted_text;
pub mod wire;
#[cfg(unix)]
pub mod worker;

pub use check_plugin::check_plugin;
pub use host::{conformance_dispatch as dispatch, handshake};

/// The crates that code made by `vocabulary!` uses, so that its callers need not depend on them.
#[doc(hidden)]
pub mod reexport {
    pub use {arbitrary, proptest, serde, serde_json};
}

/// Tests the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
