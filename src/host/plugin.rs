//! A plugin compiled and negotiated once, and the instances that sessions run on.
//!
//! A discrepancy here is a call that runs outside its limits: the fuel, the wall clock, the sandbox
//! without network, files or WASI.

use std::collections::BTreeSet;
use std::sync::Arc;

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;
use thiserror::Error;

use super::handshake::{self, HandshakeError};
use super::identity;
use super::instance::{Compiled, Instance, Source};
use super::interface::{Host, Loader, NegotiatedTerms};
use super::lease::{Lease, Shared};
use super::outcome::DispatchOutcome;
use super::pool::Pool;
use super::session::PluginSession;

/// A plugin that is compiled and has shaken hands, from which sessions open in microseconds.
///
/// Compilation costs milliseconds, so do it once per plugin. Cloning shares the compiled code. Sessions that
/// are open at the same time are compiled apart, for a call of one that runs out of time would interrupt those
/// of the others; what a closed session leaves is used again.
#[derive(Clone)]
pub struct PluginHost(Arc<Shared>);

impl PluginHost {
    /// Compiles the module `wasm` and negotiates with no host capabilities.
    ///
    /// # Errors
    /// [`HandshakeError`] where it is no module, cannot be instantiated, or fails the handshake.
    pub fn new(wasm: &[u8]) -> Result<Self, HandshakeError> {
        Self::new_with_caps(wasm, &BTreeSet::new())
    }

    /// Compiles the module `wasm` and negotiates with these host capabilities.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn new_with_caps(
        wasm: &[u8],
        host_capabilities: &BTreeSet<String>,
    ) -> Result<Self, HandshakeError> {
        Self::with_offer(wasm, &handshake::build_offer(host_capabilities))
    }

    /// Compiles the module `wasm` and negotiates with this offer, which may hold functions of your own.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn with_offer(wasm: &[u8], offer: &HandshakeOffer) -> Result<Self, HandshakeError> {
        let instantiate = |reason| HandshakeError::Instantiate { reason };
        let compiled = Compiled::new(&Source::new(wasm)).map_err(instantiate)?;
        let instance = Instance::new(&compiled).map_err(|error| instantiate(error.to_string()))?;
        Self::negotiate(compiled, instance, offer)
    }

    /// Negotiates on an instance of its own, so that a session starts with the plugin's initial state.
    pub(super) fn negotiate(
        compiled: Compiled,
        mut instance: Instance,
        offer: &HandshakeOffer,
    ) -> Result<Self, HandshakeError> {
        compiled.source.code();
        let accept = handshake::negotiate(&mut instance, offer)?;
        let identity = identity::read_identity(&compiled.source.wasm).map_err(|error| {
            HandshakeError::InvalidIdentity {
                field: "custom_section",
                reason: error.to_string(),
            }
        })?;
        let metadata = handshake::metadata(identity, accept);
        Ok(Self(Arc::new(Shared {
            source: Arc::clone(&compiled.source),
            metadata,
            idle: Pool::new(compiled),
            metered: Pool::empty(),
        })))
    }

    /// What the handshake agreed on.
    pub fn metadata(&self) -> &AugmentedMetadata {
        &self.0.metadata
    }
}

/// Loads plugins behind their [`guard`](super::guard).
#[derive(Clone, Copy, Debug, Default)]
pub struct Guarded;

impl Loader for Guarded {
    type Host = PluginHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<PluginHost, HandshakeError> {
        PluginHost::with_offer(wasm, offer)
    }
}

impl Host for PluginHost {
    type Session = PluginSession;

    fn open(&self) -> Result<PluginSession, HandshakeError> {
        let instantiate = |reason| HandshakeError::Instantiate { reason };
        let lease = Lease::take(Arc::clone(&self.0)).map_err(instantiate)?;
        let instance = lease.instance();
        let instance = instance.map_err(|error| instantiate(error.to_string()))?;
        Ok(PluginSession::on(instance, lease))
    }

    fn open_metered(&self) -> Result<Option<PluginSession>, HandshakeError> {
        let instantiate = |reason| HandshakeError::Instantiate { reason };
        let lease = Lease::take_metered(Arc::clone(&self.0)).map_err(instantiate)?;
        let instance = lease.instance();
        let instance = instance.map_err(|error| instantiate(error.to_string()))?;
        Ok(Some(PluginSession::on(instance, lease)))
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.metadata().negotiated_functions.get(function).copied()
    }

    fn agreed(&self) -> Option<NegotiatedTerms> {
        Some(self.metadata().into())
    }
}

/// Opens a session, dispatches one request, and closes it.
///
/// # Errors
/// [`RunError`] where the plugin cannot be compiled or instantiated, or fails the handshake. A failing call is no error
/// but `Ok(DispatchOutcome::Fallback(_))`.
pub fn run<F: WireFunction>(
    wasm: &[u8],
    request: F::Request,
) -> Result<DispatchOutcome<F::Response>, RunError> {
    let compiled =
        Compiled::new(&Source::new(wasm)).map_err(|reason| RunError::Build { reason })?;
    // Imports are looked up when an instance is made.
    let instance = Instance::new(&compiled).map_err(|error| RunError::Build {
        reason: error.to_string(),
    })?;
    let offer = handshake::build_offer(&BTreeSet::new());
    let host = PluginHost::negotiate(compiled, instance, &offer);
    let mut session = host
        .and_then(|host| host.open())
        .map_err(RunError::Handshake)?;
    Ok(session.dispatch::<F>(request))
}

/// Why [`run`] did not get as far as the wire call.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum RunError {
    /// The plugin could not be compiled or instantiated.
    #[error("plugin instantiation failed: {reason}")]
    Build {
        /// What the runtime said.
        reason: String,
    },
    /// The plugin failed the handshake, or has no valid identity.
    #[error("handshake failed: {0}")]
    Handshake(HandshakeError),
}

impl PluginSession {
    /// Compiles the module, shakes hands with no host capabilities, and opens a session.
    ///
    /// For more than one session of a plugin, compile once with [`PluginHost`].
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn new(wasm: &[u8]) -> Result<Self, HandshakeError> {
        PluginHost::new(wasm)?.open()
    }

    /// The same with host capabilities.
    ///
    /// # Errors
    /// As [`PluginHost::new`].
    pub fn new_with_caps(
        wasm: &[u8],
        host_capabilities: &BTreeSet<String>,
    ) -> Result<Self, HandshakeError> {
        PluginHost::new_with_caps(wasm, host_capabilities)?.open()
    }
}
