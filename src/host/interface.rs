//! The traits of hosts and sessions, with their obligations.

use std::collections::{BTreeMap, BTreeSet};

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde::{Deserialize, Serialize};

use super::handshake::HandshakeError;
use super::metered_copy::StopPoint;
use super::outcome::Observed;

/// A loader of plugins, which returns a host for each.
///
/// # Obligations
/// - [`Loader::load`] never panics and never hangs, whatever the bytes are.
/// - It returns an error, or a host that negotiated exactly what the plugin and the offer agree on.
pub trait Loader {
    /// The host of a loaded plugin.
    type Host: Host;

    /// Compiles the module `wasm` and negotiates with `offer`.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the bytes are not a module, or it cannot be instantiated, or
    /// the handshake fails.
    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<Self::Host, HandshakeError>;
}

/// A host of one plugin, which opens sessions of it.
///
/// # Obligations
/// - Sessions are independent: they share no state that a plugin can change.
/// - Opening is cheap enough to do for every few hundred cases.
pub trait Host {
    /// The sessions that this host opens.
    type Session: Session;

    /// Opens a session on a fresh instance of the plugin.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the plugin cannot be instantiated.
    fn open(&self) -> Result<Self::Session, HandshakeError>;

    /// Opens a session on a copy of the plugin that counts what a call does and stops where
    /// [`Session::stop_at`] says. The outcome of calls there is not judged; it only locates them in
    /// the plugin. Returns `None` if the host has no such copies.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the copy cannot be instantiated.
    fn open_metered(&self) -> Result<Option<Self::Session>, HandshakeError> {
        Ok(None)
    }

    /// Returns the negotiated version of the wire function with this name, or `None` if the plugin
    /// does not implement it.
    fn negotiated(&self, function: &str) -> Option<u32>;

    /// Returns the terms of the handshake for display, or `None` if the host does not keep them.
    fn agreed(&self) -> Option<NegotiatedTerms> {
        None
    }
}

/// The terms that a plugin and its host negotiated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NegotiatedTerms {
    /// The names of the negotiated wire functions, with the version of each.
    pub functions: BTreeMap<String, u32>,
    /// The offered capabilities that the plugin requires.
    pub capabilities: BTreeSet<String>,
}

impl From<&AugmentedMetadata> for NegotiatedTerms {
    fn from(metadata: &AugmentedMetadata) -> Self {
        Self {
            functions: metadata.negotiated_functions.clone(),
            capabilities: metadata.negotiated_capabilities.clone(),
        }
    }
}

/// A session: a plugin instance that answers one request after the other.
///
/// # Obligations
/// - [`Session::dispatch`] never unwinds. A call that fails for any reason returns
///   `Fallback(F::FALLBACK)`, and `Ok` means that the guest answered with exactly that response.
/// - A dispatch calls the guest at most once.
/// - Each dispatch has exactly [`HANDSHAKE_FUEL`] fuel and [`HANDSHAKE_WALL_MS`] milliseconds.
/// - After any outcome, the next dispatch behaves as on a fresh session, except for state that the
///   plugin keeps on purpose.
///
/// [`HANDSHAKE_FUEL`]: cc_lb_plugin_wire::limits::HANDSHAKE_FUEL
/// [`HANDSHAKE_WALL_MS`]: cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS
pub trait Session {
    /// Dispatches one request and returns the outcome with what was observed.
    ///
    /// A host that cannot observe returns [`Call::default`](super::Call::default) with the outcome;
    /// checks skip what is missing.
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response>;

    /// Returns the size of the guest's memory, in bytes, or `None` if it is unknown or there is no
    /// memory. It is called between dispatches, now and then.
    fn guest_memory(&mut self) -> Option<u64> {
        None
    }

    /// Makes later calls stop at `stop`, in a session of [`Host::open_metered`]; other sessions
    /// ignore it.
    fn stop_at(&mut self, stop: StopPoint) {
        let _ = stop;
    }
}
