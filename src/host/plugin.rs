//! A plugin compiled and negotiated once, and the instances that sessions run on.
//!
//! A discrepancy here is a call that runs outside its limits: the fuel, the wall clock, the sandbox
//! without network, files or WASI.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use thiserror::Error;

use super::code::Code;
use super::dispatch::{DispatchOutcome, PluginSession};
use super::failure::{self, Cause, TrapKind};
use super::guard::Guarded as GuardedModules;
use super::handshake::{self, HandshakeError};
use super::meter::{self, Meter, Metering, Stop};
use super::pool::{self, Pool};
use super::site::{Frame, Site};
use super::{Agreed, Host, Loader, engine, guard, identity};

/// A plugin that is compiled and has shaken hands, from which sessions open in microseconds.
///
/// Compilation costs milliseconds, so do it once per plugin. Cloning shares the compiled code. Sessions that
/// are open at the same time are compiled apart, for a call of one that runs out of time would interrupt those
/// of the others; what a closed session leaves is used again.
#[derive(Clone)]
pub struct PluginHost(Arc<Shared>);

struct Shared {
    source: Arc<Source>,
    metadata: AugmentedMetadata,
    idle: Pool<Compiled>,
    /// Copies that are metered.
    metered: Pool<Compiled>,
}

/// A plugin's module, and what was learned of it.
pub(super) struct Source {
    wasm: Vec<u8>,
    code: OnceLock<Code>,
}

impl Source {
    pub(super) fn new(wasm: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            wasm: wasm.to_vec(),
            code: OnceLock::new(),
        })
    }

    /// Its functions, which are looked at once: when it is opened, for that may take longer than a call.
    fn code(&self) -> &Code {
        self.code.get_or_init(|| Code::of(&self.wasm))
    }
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

/// Loads plugins behind their [`guard`].
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

    fn agreed(&self) -> Option<Agreed> {
        Some(self.metadata().into())
    }
}

/// A session's hold on the plugin.
pub(super) struct Lease {
    shared: Arc<Shared>,
    of: pool::Lease<Compiled>,
}

impl Lease {
    fn take(shared: Arc<Shared>) -> Result<Self, String> {
        let of = shared.idle.lease(|| Compiled::new(&shared.source))?;
        Ok(Self { shared, of })
    }

    fn take_metered(shared: Arc<Shared>) -> Result<Self, String> {
        let of = shared.metered.lease(|| Compiled::metered(&shared.source))?;
        Ok(Self { shared, of })
    }

    /// A fresh instance of the plugin.
    pub(super) fn instance(&self) -> Result<Instance, InstanceError> {
        let closed = || InstanceError::Runtime("the session is closed".to_owned());
        Instance::new(self.of.compiled().ok_or_else(closed)?)
    }

    pub(super) fn metadata(&self) -> &AugmentedMetadata {
        &self.shared.metadata
    }
}

/// How much more fuel a copy has that is metered: the meter takes twenty times as much as the shortest loop.
const METERED_FUEL: u64 = 30 * HANDSHAKE_FUEL;

/// How much more time it has.
const METERED_TIMES: u32 = 10;

/// A plugin compiled behind its [`guard`] with the protocol's limits: [`HANDSHAKE_FUEL`] and
/// [`HANDSHAKE_WALL_MS`] for every call, no WASI, no network, no files.
pub(super) struct Compiled {
    plugin: extism::CompiledPlugin,
    starts: bool,
    source: Arc<Source>,
    meter: Option<Arc<Meter>>,
}

impl Compiled {
    pub(super) fn new(source: &Arc<Source>) -> Result<Self, String> {
        let guarded = guard::guarded(&source.wasm).map_err(|error| error.to_string())?;
        let links = !guarded.start_code.link.is_empty();
        let compiled = Self::compile(source, guarded, None)?;
        if links {
            let linked = Instance::unstarted(&compiled).and_then(|mut instance| {
                let linked = instance.call(guard::LINK, b"");
                linked.map_err(InstanceError::Start)
            });
            linked.map_err(|error| error.to_string())?;
        }
        Ok(compiled)
    }

    /// A copy that is metered.
    fn metered(source: &Arc<Source>) -> Result<Self, String> {
        let metered = meter::metered(&source.wasm).map_err(|error| error.to_string());
        let (guarded, meter) = metered?;
        Self::compile(source, guarded, Some(Arc::new(meter)))
    }

    fn compile(
        source: &Arc<Source>,
        guarded: GuardedModules,
        meter: Option<Arc<Meter>>,
    ) -> Result<Self, String> {
        let is_metered = meter.is_some();
        let (times, fuel) = if is_metered {
            (METERED_TIMES, METERED_FUEL)
        } else {
            (1, HANDSHAKE_FUEL)
        };
        let starts = !guarded.start_code.instance.is_empty();
        let manifest = guarded.manifest();
        let manifest = manifest.with_timeout(times * Duration::from_millis(HANDSHAKE_WALL_MS));
        let compile = |config| {
            extism::PluginBuilder::new(&manifest)
                .with_wasmtime_config(config)
                .with_wasi(false)
                .with_cache_disabled()
                .with_fuel_limit(fuel)
                .compile()
        };
        let compiled = match compile(engine::pooled(is_metered)) {
            Err(_) if engine::has_no_room_for_the_pool() => compile(engine::small(is_metered)),
            compiled => compiled,
        };
        let plugin = compiled.map_err(|error| engine::explain(format!("{error:#}")))?;
        Ok(Self {
            plugin,
            starts,
            source: Arc::clone(source),
            meter,
        })
    }
}

/// Why there is no instance of a plugin.
#[derive(Debug, Error)]
pub(super) enum InstanceError {
    /// Extism made none.
    #[error("{0}")]
    Runtime(String),
    /// Its start code failed.
    #[error("the start code failed: {0}")]
    Start(Cause),
}

impl From<InstanceError> for Cause {
    fn from(error: InstanceError) -> Self {
        match error {
            // It is the clock's, and may be otherwise the next time.
            InstanceError::Start(Self::Timeout) => Self::Timeout,
            error => Self::Runtime(error.to_string()),
        }
    }
}

/// One instance of a plugin: the only place that calls into Extism.
pub(super) struct Instance {
    plugin: extism::Plugin,
    source: Arc<Source>,
    frames: Vec<Frame>,
    meter: Option<Arc<Meter>>,
    metering: Option<Metering>,
    /// The fuel that the last call used.
    fuel: Option<u64>,
}

/// So much of what a call leaves in Extism's memory may be zeroed at the expense of the next one, in bytes: it takes 2.5 fuel
/// for each.
const LEFT_MAX_BYTES: u64 = 1 << 14;

/// A call that leaves something takes at least so much fuel for each byte.
const LEAVING_FUEL: u64 = 3;

impl Instance {
    /// Instantiates the plugin and runs its start code, as a call with the limits of any other.
    pub(super) fn new(compiled: &Compiled) -> Result<Self, InstanceError> {
        let mut instance = Self::unstarted(compiled)?;
        if compiled.starts {
            let started = instance.call(guard::START, b"");
            started.map_err(InstanceError::Start)?;
        }
        Ok(instance)
    }

    fn unstarted(compiled: &Compiled) -> Result<Self, InstanceError> {
        let plugin = extism::Plugin::new_from_compiled(&compiled.plugin);
        let plugin = plugin
            .map_err(|error| InstanceError::Runtime(engine::explain(format!("{error:#}"))))?;
        Ok(Self {
            plugin,
            source: Arc::clone(&compiled.source),
            frames: Vec::new(),
            meter: compiled.meter.clone(),
            metering: None,
            fuel: None,
        })
    }

    /// Whether the module exports a function of this name that a host can call.
    pub(super) fn exports(&self, name: &str) -> bool {
        self.plugin.function_exists(name)
    }

    /// Calls an export once and returns what it set as its output.
    pub(super) fn call(&mut self, name: &str, input: &[u8]) -> Result<Vec<u8>, Cause> {
        let called = self.call_once(name, input);
        self.fuel = self.plugin.fuel_consumed();
        let left = input.len() as u64 + self.fuel.unwrap_or_default() / LEAVING_FUEL;
        let goes_on = called
            .as_ref()
            .err()
            .is_none_or(|cause| !cause.is_abnormal());
        if goes_on && left > LEFT_MAX_BYTES {
            // What it comes to says nothing of the plugin.
            let _ = self.plugin.call::<&[u8], &[u8]>(guard::CLEAR, b"");
        }
        called
    }

    fn call_once(&mut self, name: &str, input: &[u8]) -> Result<Vec<u8>, Cause> {
        let start = Instant::now();
        let called = self.plugin.call::<&[u8], &[u8]>(name, input);
        let times = if self.meter.is_some() {
            METERED_TIMES
        } else {
            1
        };
        let time_is_over = start.elapsed() >= times * Duration::from_millis(HANDSHAKE_WALL_MS);
        called.map(<[u8]>::to_vec).map_err(|error| {
            let code = self.source.code();
            self.frames = failure::frames(&error, code);
            // Those of a copy are none of the plugin's yet.
            if self.meter.is_none() {
                self.frames.retain(|frame| code.has(frame.function));
                code.mark_helpers(&mut self.frames);
            }
            Cause::of_call(&error, time_is_over)
        })
    }

    /// The same on a copy that is metered, up to where it is to stop; on any other it is a call.
    pub(super) fn call_metered(
        &mut self,
        name: &str,
        input: &[u8],
        stop: Stop,
    ) -> Result<Vec<u8>, Cause> {
        let Some(meter) = self.meter.clone() else {
            return self.call(name, input);
        };
        self.metering = None;
        self.call(meter::METER_WRITE, &Meter::before(stop))?;
        let output = self.call(name, input);
        let fuel = self.fuel_used().unwrap_or_default();
        let frames = std::mem::take(&mut self.frames);
        let source = Arc::clone(&self.source);
        let code = source.code();
        let frames = meter.translate(code, &frames);
        let mut read = |cells: &[u8]| self.call(meter::METER_READ, cells).ok();
        let metering = meter.after(fuel, code, &frames, &mut read);
        self.metering = metering;
        let frames = frames.into_iter().map(|(frame, _)| frame);
        self.frames = frames.filter(|frame| code.has(frame.function)).collect();
        code.mark_helpers(&mut self.frames);
        output
    }

    /// The functions that were running when the last call that failed trapped.
    pub(super) fn frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// What was counted in the last call, where it was metered.
    pub(super) fn metering(&mut self) -> Option<Metering> {
        self.metering.take()
    }

    /// How large the memory of the plugin is, in bytes; `None` where it has none.
    pub(super) fn memory(&mut self) -> Option<u64> {
        if !self.exports(guard::MEMORY) {
            return None;
        }
        let pages = match self.call(guard::MEMORY, b"") {
            Ok(_) => 0,
            Err(Cause::ExitCode(pages)) => u64::try_from(pages).ok()?,
            Err(_) => return None,
        };
        Some(pages * 65_536)
    }

    /// The fuel that the last call used.
    pub(super) fn fuel_used(&self) -> Option<u64> {
        self.fuel
    }
}

/// What was observed of one dispatch beside its outcome. What a host cannot tell is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Why the dispatch fell back; `None` after an `Ok`.
    pub cause: Option<Cause>,
    /// The functions that were running when the guest trapped, the innermost first, as far as the runtime tells them.
    pub frames: Vec<Frame>,
    /// What was counted, in a session of a copy that is metered: see [`Host::open_metered`].
    pub metering: Option<Metering>,
    /// The fuel that the call used, with Extism's own share; `None` where the guest was not called.
    pub fuel: Option<u64>,
    /// From the request's arrival to the outcome.
    pub time: Duration,
    /// How much of that it took to make the instance that an abnormal end before had taken away, with its start code.
    pub renewal: Duration,
    /// The guest's input; `None` where the guest was not called.
    pub input: Option<Arc<[u8]>>,
    /// What the guest set as its output, whether it is a sound answer or not.
    pub output: Option<Arc<[u8]>>,
}

impl Call {
    /// Where in the plugin it failed, where the runtime told it.
    pub fn site(&self) -> Option<Site> {
        match self.cause.as_ref()? {
            Cause::Trap(TrapKind::StackOverflow) => Site::of_recursion(&self.frames),
            Cause::Trap(_) | Cause::HostFunction(_) => Site::of_trap(&self.frames),
            _ => None,
        }
    }
}

/// A dispatch's outcome and what was observed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<R> {
    /// What the caller of [`PluginSession::dispatch`] gets.
    pub outcome: DispatchOutcome<R>,
    /// What was observed.
    pub call: Call,
}

/// The outcome of a host that cannot observe.
impl<R> From<DispatchOutcome<R>> for Observed<R> {
    fn from(outcome: DispatchOutcome<R>) -> Self {
        Self {
            outcome,
            call: Call::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cc_lb_plugin_wire::v1::shape::ShapeFn;
    use cc_lb_plugin_wire::wire_function::WireFunction;

    use super::*;
    use crate::host::dispatch::seal;

    #[test]
    fn a_timer_that_strikes_late_ends_the_first_call_of_another_instance_as_a_timeout() {
        let wasm = wat::parse_str(include_str!("../../guests/stalls.wat")).expect("it is valid");
        let compiled = Compiled::new(&Source::new(&wasm)).expect("it compiles");
        let instance = || Instance::new(&compiled).expect("there is room");
        // Made before the timer strikes, which moves the clock of both: on a busy machine that of a call which is over.
        let (mut stalling, mut other) = (instance(), instance());
        let mut request = ShapeFn::dry_run_request();
        let healthy = seal(&request, 1).expect("it serializes");
        request.request.query = Some("q".repeat(400));
        let long = seal(&request, 1).expect("it serializes");
        let stalled = stalling.call(ShapeFn::NAME, long.as_bytes());
        assert_eq!(stalled, Err(Cause::Timeout));
        let ended = other.call(ShapeFn::NAME, healthy.as_bytes());
        assert_eq!(ended, Err(Cause::Timeout));
    }
}
