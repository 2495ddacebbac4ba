//! The published host: sessions as `cc-lb-plugin-conformance` 0.1.0 makes them, without the guard.
//!
//! It calls the handshake and the dispatch of `cc-lb-runtime-protocol` 0.1.0, and sets Extism up as
//! its `build_plugin` does. The only difference is that a closed session's compiled code is used
//! again. Bugs in this module look like a host that behaves in another way than the published one.
//!
//! It does not fulfil the obligations of [`Session`]: hostile plugins kill the process, so run it
//! in a [worker](crate::worker::Workers).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use cc_lb_plugin_wire::wire_function::WireFunction;
use cc_lb_runtime_protocol::dispatch::{self, dispatch_wire_call};
use cc_lb_runtime_protocol::handshake::{HandshakeExecutionError, execute_handshake};
use cc_lb_runtime_protocol::identity::read_identity;

use super::engine;
use super::handshake::{HandshakeError, metadata};
use super::interface::{Host, Loader, NegotiatedTerms, Session};
use super::outcome::{Call, DispatchOutcome, Observed};
use super::pool::{Lease, Pool};

/// The loader of the published host.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    cache: Option<PathBuf>,
}

impl Reference {
    /// Caches compiled code and negotiated terms in a folder, which must be used for one plugin and
    /// one offer only. Workers that restart after a crash need not compile again.
    pub fn cached(folder: impl Into<PathBuf>) -> Self {
        Self {
            cache: Some(folder.into()),
        }
    }
}

impl Loader for Reference {
    type Host = ReferenceHost;

    fn load(&self, wasm: &[u8], offer: &HandshakeOffer) -> Result<ReferenceHost, HandshakeError> {
        let Some(folder) = &self.cache else {
            return ReferenceHost::with_offer(wasm, offer);
        };
        let compiled = compile(wasm, Some(folder))?;
        let kept = folder.join("negotiated.json");
        let read = std::fs::read(&kept).ok();
        if let Some(metadata) = read.and_then(|json| serde_json::from_slice(&json).ok()) {
            return Ok(ReferenceHost::from_parts(
                wasm,
                compiled,
                metadata,
                Some(folder),
            ));
        }
        let metadata = negotiate(wasm, offer)?;
        // If this fails, or another process is still writing, the next load negotiates again.
        let _ = serde_json::to_vec(&metadata).map(|json| std::fs::write(kept, json));
        Ok(ReferenceHost::from_parts(
            wasm,
            compiled,
            metadata,
            Some(folder),
        ))
    }
}

/// A plugin on the published host.
pub struct ReferenceHost {
    wasm: Vec<u8>,
    idle: Pool<extism::CompiledPlugin>,
    metadata: AugmentedMetadata,
    cache: Option<PathBuf>,
}

impl ReferenceHost {
    /// Compiles the module `wasm` and negotiates with `offer`.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`] with the published host's message. An answer that is refused
    /// for its content is `InvalidIdentity` of the field `handshake`.
    pub fn with_offer(wasm: &[u8], offer: &HandshakeOffer) -> Result<Self, HandshakeError> {
        let compiled = compile(wasm, None)?;
        let metadata = negotiate(wasm, offer)?;
        Ok(Self::from_parts(wasm, compiled, metadata, None))
    }

    fn from_parts(
        wasm: &[u8],
        compiled: extism::CompiledPlugin,
        metadata: AugmentedMetadata,
        cache: Option<&Path>,
    ) -> Self {
        Self {
            wasm: wasm.to_vec(),
            idle: Pool::new(compiled),
            metadata,
            cache: cache.map(Path::to_owned),
        }
    }
}

fn negotiate(wasm: &[u8], offer: &HandshakeOffer) -> Result<AugmentedMetadata, HandshakeError> {
    let accept = execute_handshake(wasm, offer).map_err(refused)?;
    let identity = read_identity(wasm).map_err(|error| HandshakeError::InvalidIdentity {
        field: "custom_section",
        reason: error.to_string(),
    })?;
    Ok(metadata(identity, accept))
}

fn compile(wasm: &[u8], cache: Option<&Path>) -> Result<extism::CompiledPlugin, HandshakeError> {
    let instantiate = |reason| HandshakeError::Instantiate { reason };
    let manifest = extism::Manifest::new([extism::Wasm::data(wasm)])
        .with_timeout(Duration::from_millis(HANDSHAKE_WALL_MS))
        .disallow_all_hosts();
    let builder = extism::PluginBuilder::new(manifest)
        .with_wasi(false)
        .with_fuel_limit(HANDSHAKE_FUEL);
    let settings = cache.and_then(cache_settings).transpose();
    let builder = match settings.map_err(instantiate)? {
        Some(settings) => builder.with_cache_config(settings),
        None => builder.with_cache_disabled(),
    };
    let compiled = builder.compile();
    compiled.map_err(|error| instantiate(engine::explain(format!("{error:#}"))))
}

/// Returns the path of a file that configures wasmtime's cache in this folder. Returns `None` if
/// the path is not UTF-8, which TOML requires: then nothing is cached.
fn cache_settings(folder: &Path) -> Option<Result<PathBuf, String>> {
    let settings = folder.join("cache.toml");
    // A folder of its own, because wasmtime removes unknown files.
    let directory = folder.join("compiled");
    let directory = toml_string(directory.to_str()?);
    if settings.exists() {
        return Some(Ok(settings));
    }
    let written = directory.and_then(|directory| {
        let text = format!("[cache]\ndirectory = {directory}\n");
        std::fs::write(&settings, text).map_err(|error| error.to_string())
    });
    Some(written.map(|()| settings))
}

/// Returns a TOML string. A JSON string is one, except for DEL, which JSON does not escape.
fn toml_string(text: &str) -> Result<String, String> {
    let json = serde_json::to_string(text).map_err(|error| error.to_string())?;
    Ok(json.replace('\u{7f}', "\\u007F"))
}

fn refused(error: HandshakeExecutionError) -> HandshakeError {
    match error {
        HandshakeExecutionError::Instantiate { reason } => HandshakeError::Instantiate {
            reason: engine::explain(reason),
        },
        HandshakeExecutionError::MissingHandshakeExport => HandshakeError::MissingExport,
        HandshakeExecutionError::Call { reason } => HandshakeError::WasmTrap { reason },
        other => HandshakeError::InvalidIdentity {
            field: "handshake",
            reason: other.to_string(),
        },
    }
}

impl Host for ReferenceHost {
    type Session = ReferenceSession;

    fn open(&self) -> Result<ReferenceSession, HandshakeError> {
        let instantiate = |reason| HandshakeError::Instantiate { reason };
        let compile = || compile(&self.wasm, self.cache.as_deref());
        let lease = self.idle.lease(compile)?;
        let compiled = lease.compiled();
        let compiled = compiled.ok_or_else(|| instantiate("the session is closed".to_owned()))?;
        let plugin = extism::Plugin::new_from_compiled(compiled);
        Ok(ReferenceSession {
            plugin: plugin.map_err(|error| instantiate(engine::explain(format!("{error:#}"))))?,
            _lease: lease,
            metadata: self.metadata.clone(),
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.metadata.negotiated_functions.get(function).copied()
    }

    fn agreed(&self) -> Option<NegotiatedTerms> {
        Some((&self.metadata).into())
    }
}

/// A session of the published host. It reports the fuel and the time of a call and nothing else.
pub struct ReferenceSession {
    plugin: extism::Plugin,
    metadata: AugmentedMetadata,
    _lease: Lease<extism::CompiledPlugin>,
}

impl Session for ReferenceSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let start = Instant::now();
        let outcome = dispatch_wire_call::<F>(&mut self.plugin, &self.metadata, request);
        let outcome = match outcome {
            dispatch::DispatchOutcome::Ok(response) => DispatchOutcome::Ok(response),
            // `Fallback`, and variants that a later version of the crate may add.
            dispatch::DispatchOutcome::Fallback(policy) => DispatchOutcome::Fallback(policy),
            _ => DispatchOutcome::Fallback(F::FALLBACK),
        };
        let negotiated = self.metadata.negotiated_functions.contains_key(F::NAME);
        let fuel = self.plugin.fuel_consumed().filter(|_| negotiated);
        let call = Call {
            fuel,
            time: start.elapsed(),
            ..Call::default()
        };
        Observed { outcome, call }
    }
}
