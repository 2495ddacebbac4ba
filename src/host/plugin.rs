//! A plugin compiled and negotiated once, and the instances that sessions run on.
//!
//! A discrepancy here is a call that runs outside its limits: the fuel, the wall clock, the sandbox
//! without network, files or WASI.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::{
    HANDSHAKE_FUEL, HANDSHAKE_WALL_MS, SKIP_HANDSHAKE_IF_FRESH_TTL_SECS,
};

use super::dispatch::{DispatchOutcome, PluginSession};
use super::failure::Cause;
use super::handshake::{self, HandshakeError};
use super::{Host, identity};

/// A plugin that is compiled and has shaken hands, from which sessions open in microseconds.
///
/// Compilation costs milliseconds, so do it once per plugin. Cloning shares the compiled code.
#[derive(Clone)]
pub struct PluginHost {
    compiled: Arc<extism::CompiledPlugin>,
    metadata: Arc<AugmentedMetadata>,
}

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
        let compiled = compile(wasm).map_err(instantiate)?;
        let instance = Instance::new(&compiled).map_err(instantiate)?;
        Self::negotiate(Arc::new(compiled), instance, wasm, offer)
    }

    /// Negotiates on an instance of its own, so that a session starts with the plugin's initial state.
    pub(super) fn negotiate(
        compiled: Arc<extism::CompiledPlugin>,
        mut instance: Instance,
        wasm: &[u8],
        offer: &HandshakeOffer,
    ) -> Result<Self, HandshakeError> {
        let accept = handshake::negotiate(&mut instance, offer)?;
        let identity =
            identity::read_identity(wasm).map_err(|error| HandshakeError::InvalidIdentity {
                field: "custom_section",
                reason: error.to_string(),
            })?;
        // The reference's constants: the harness has no clock that the protocol would read, and it does
        // not run the self-check.
        let metadata = AugmentedMetadata {
            identity,
            negotiated_functions: accept.chosen_versions,
            negotiated_capabilities: accept.required_capabilities,
            handshake_completed_at: 1,
            self_check_passed: true,
            self_check_completed_at: 1,
            expires_at: 1 + SKIP_HANDSHAKE_IF_FRESH_TTL_SECS as i64,
        };
        Ok(Self {
            compiled,
            metadata: Arc::new(metadata),
        })
    }

    /// What the handshake agreed on.
    pub fn metadata(&self) -> &AugmentedMetadata {
        &self.metadata
    }
}

impl Host for PluginHost {
    type Session = PluginSession;

    fn open(&self) -> Result<PluginSession, HandshakeError> {
        let instance = Instance::new(&self.compiled)
            .map_err(|reason| HandshakeError::Instantiate { reason })?;
        Ok(PluginSession::on(instance, Arc::clone(&self.metadata)))
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.metadata.negotiated_functions.get(function).copied()
    }
}

/// Compiles a module with the protocol's limits: [`HANDSHAKE_FUEL`] and [`HANDSHAKE_WALL_MS`] for every
/// call, no WASI, no network, no files.
pub(super) fn compile(wasm: &[u8]) -> Result<extism::CompiledPlugin, String> {
    let manifest = extism::Manifest::new([extism::Wasm::data(wasm)])
        .with_timeout(Duration::from_millis(HANDSHAKE_WALL_MS))
        .disallow_all_hosts();
    extism::PluginBuilder::new(manifest)
        .with_wasi(false)
        .with_cache_disabled()
        .with_fuel_limit(HANDSHAKE_FUEL)
        .compile()
        .map_err(|error| format!("{error:#}"))
}

/// One instance of a plugin: the only place that calls into Extism.
pub(super) struct Instance(extism::Plugin);

impl Instance {
    pub(super) fn new(compiled: &extism::CompiledPlugin) -> Result<Self, String> {
        let plugin = extism::Plugin::new_from_compiled(compiled);
        plugin.map(Self).map_err(|error| format!("{error:#}"))
    }

    /// Whether the module exports a function of this name that a host can call.
    pub(super) fn exports(&self, name: &str) -> bool {
        self.0.function_exists(name)
    }

    /// Calls an export once and returns what it set as its output.
    pub(super) fn call(&mut self, name: &str, input: &[u8]) -> Result<Vec<u8>, Cause> {
        self.0
            .call::<&[u8], &[u8]>(name, input)
            .map(<[u8]>::to_vec)
            .map_err(|error| Cause::of_call(&error))
    }

    /// The fuel that the last call used.
    pub(super) fn fuel_used(&self) -> Option<u64> {
        self.0.fuel_consumed()
    }
}

/// What was observed of one dispatch beside its outcome. What a host cannot tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Why the dispatch fell back; `None` after an `Ok`.
    pub cause: Option<Cause>,
    /// The fuel that the call used, with Extism's own share; `None` where the guest was not called.
    pub fuel: Option<u64>,
    /// From the request's arrival to the outcome.
    pub time: Duration,
    /// The size in bytes of the guest's input; `None` where the guest was not called.
    pub input_bytes: Option<usize>,
    /// What the guest set as its output, whether it is a sound answer or not.
    pub output: Option<Vec<u8>>,
}

/// A dispatch's outcome and what was observed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<R> {
    /// What the caller of [`PluginSession::dispatch`] gets.
    pub outcome: DispatchOutcome<R>,
    /// What was observed.
    pub call: Call,
}
