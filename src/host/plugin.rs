//! A plugin that is compiled and negotiated once, and the sessions that it opens.
//!
//! Bugs in this module look like a call outside its limits: fuel, wall clock, and the sandbox
//! without network, files or WASI.

use std::collections::BTreeSet;
use std::sync::Arc;

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::wire_function::WireFunction;
use thiserror::Error;

use super::compiled_plugin::{Compiled, Instance, Source};
use super::handshake::{self, HandshakeError};
use super::identity;
use super::interface::{Host, Loader, NegotiatedTerms};
use super::lease::{Lease, Shared};
use super::outcome::DispatchOutcome;
use super::pool::Pool;
use super::session::PluginSession;

/// A compiled plugin after its handshake, which opens sessions in microseconds.
///
/// Compilation takes milliseconds, so do it once for each plugin. Clones share the compiled code.
/// Sessions that are open at the same time have compiled code of their own, because a call that
/// runs out of time would interrupt the calls of the others. The code of a closed session is used
/// again.
#[derive(Clone)]
pub struct PluginHost(Arc<Shared>);

impl PluginHost {
    /// Compiles the module `wasm` and negotiates with no host capabilities.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] if the bytes are not a module, or it cannot be instantiated, or
    /// the handshake fails.
    pub fn new(wasm: &[u8]) -> Result<Self, HandshakeError> {
        Self::new_with_caps(wasm, &BTreeSet::new())
    }

    /// Compiles the module `wasm` and negotiates with these host capabilities.
    ///
    /// # Errors
    /// Returns the errors of [`PluginHost::new`].
    pub fn new_with_caps(
        wasm: &[u8],
        host_capabilities: &BTreeSet<String>,
    ) -> Result<Self, HandshakeError> {
        Self::with_offer(wasm, &handshake::build_offer(host_capabilities))
    }

    /// Compiles the module `wasm` and negotiates with `offer`, which may contain functions of your
    /// own.
    ///
    /// # Errors
    /// Returns the errors of [`PluginHost::new`].
    pub fn with_offer(wasm: &[u8], offer: &HandshakeOffer) -> Result<Self, HandshakeError> {
        let instantiate = |reason| HandshakeError::Instantiate { reason };
        let compiled = Compiled::new(&Source::new(wasm)).map_err(instantiate)?;
        let instance = Instance::new(&compiled).map_err(|error| instantiate(error.to_string()))?;
        Self::negotiate(compiled, instance, offer)
    }

    /// Negotiates on an instance of its own, so that sessions start with the plugin's initial
    /// state.
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

    /// Returns the terms of the handshake.
    pub fn metadata(&self) -> &AugmentedMetadata {
        &self.0.metadata
    }
}

/// The loader of hosts that run a plugin behind its [`guard`](super::guard).
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
/// Returns a [`RunError`] if the plugin cannot be compiled or instantiated, or fails the handshake.
/// A failing call is not an error but `Ok(DispatchOutcome::Fallback(_))`.
pub fn run<F: WireFunction>(
    wasm: &[u8],
    request: F::Request,
) -> Result<DispatchOutcome<F::Response>, RunError> {
    let compiled =
        Compiled::new(&Source::new(wasm)).map_err(|reason| RunError::Build { reason })?;
    // Instantiation resolves the imports.
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

/// The reason why [`run`] did not dispatch the request.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum RunError {
    /// The plugin could not be compiled or instantiated.
    #[error("plugin instantiation failed: {reason}")]
    Build {
        /// The error of the runtime.
        reason: String,
    },
    /// The plugin failed the handshake, or has no valid identity.
    #[error("handshake failed: {0}")]
    Handshake(HandshakeError),
}

impl PluginSession {
    /// Compiles the module, negotiates with no host capabilities, and opens a session.
    ///
    /// To open several sessions of a plugin, compile it once with [`PluginHost`].
    ///
    /// # Errors
    /// Returns the errors of [`PluginHost::new`].
    pub fn new(wasm: &[u8]) -> Result<Self, HandshakeError> {
        PluginHost::new(wasm)?.open()
    }

    /// Compiles the module, negotiates with these host capabilities, and opens a session.
    ///
    /// # Errors
    /// Returns the errors of [`PluginHost::new`].
    pub fn new_with_caps(
        wasm: &[u8],
        host_capabilities: &BTreeSet<String>,
    ) -> Result<Self, HandshakeError> {
        PluginHost::new_with_caps(wasm, host_capabilities)?.open()
    }
}
