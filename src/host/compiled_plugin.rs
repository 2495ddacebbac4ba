//! A compiled plugin and its instances, which call it within the [`CallLimits`]. No other file of
//! the guarded host calls Extism.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use thiserror::Error;

use super::call_limits::CallLimits;
use super::cause::{self, Cause};
use super::engine;
use super::guard::{self, Guarded as GuardedModules};
use super::metered_copy::{self, Meter, MeterReading, StopPoint};
use super::site::Frame;
use crate::host::site::code::Code;

/// The module of a plugin, and the analysis of its functions.
pub(super) struct Source {
    pub(crate) wasm: Vec<u8>,
    code: OnceLock<Code>,
}

impl Source {
    pub(crate) fn new(wasm: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            wasm: wasm.to_vec(),
            code: OnceLock::new(),
        })
    }

    /// Returns the analysis of its functions, which runs once. Opening a plugin calls this, because
    /// it may take longer than a call.
    pub(crate) fn code(&self) -> &Code {
        self.code.get_or_init(|| Code::new(&self.wasm))
    }
}

/// A plugin compiled behind its [`guard`] with [`CallLimits`] for every call, no WASI, no network,
/// no files.
pub(super) struct Compiled {
    plugin: extism::CompiledPlugin,
    starts: bool,
    pub(super) source: Arc<Source>,
    meter: Option<Arc<Meter>>,
}

impl Compiled {
    pub(crate) fn new(source: &Arc<Source>) -> Result<Self, String> {
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

    /// Compiles a copy with the meter.
    pub(super) fn metered(source: &Arc<Source>) -> Result<Self, String> {
        let metered = metered_copy::metered(&source.wasm).map_err(|error| error.to_string());
        let (guarded, meter) = metered?;
        Self::compile(source, guarded, Some(Arc::new(meter)))
    }

    fn compile(
        source: &Arc<Source>,
        guarded: GuardedModules,
        meter: Option<Arc<Meter>>,
    ) -> Result<Self, String> {
        let is_metered = meter.is_some();
        let limits = CallLimits::new(is_metered);
        let starts = !guarded.start_code.instance.is_empty();
        let manifest = guarded.manifest();
        let manifest = manifest.with_timeout(limits.wall);
        let compile = |config| {
            extism::PluginBuilder::new(&manifest)
                .with_wasmtime_config(config)
                .with_wasi(false)
                .with_cache_disabled()
                .with_fuel_limit(limits.fuel)
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

/// The reason why a plugin could not be instantiated.
#[derive(Debug, Error)]
pub(super) enum InstanceError {
    /// Extism failed.
    #[error("{0}")]
    Runtime(String),
    /// The start code failed.
    #[error("the start code failed: {0}")]
    Start(Cause),
}

impl From<InstanceError> for Cause {
    fn from(error: InstanceError) -> Self {
        match error {
            // A timeout depends on the machine, and may not happen again.
            InstanceError::Start(Self::Timeout) => Self::Timeout,
            error => Self::Runtime(error.to_string()),
        }
    }
}

/// The most bytes that a call may leave in Extism's memory for the next call to zero, at 2.5 fuel a
/// byte.
const LEFT_MAX_BYTES: u64 = 1 << 14;

/// The least fuel that a call takes for each byte that it leaves.
const LEAVING_FUEL: u64 = 3;

/// An instance of a plugin.
pub(super) struct Instance {
    plugin: extism::Plugin,
    pub(super) source: Arc<Source>,
    frames: Vec<Frame>,
    meter: Option<Arc<Meter>>,
    metering: Option<MeterReading>,
    /// The fuel of the last call.
    fuel: Option<u64>,
}

impl Instance {
    /// Instantiates the plugin and runs its start code, as a call with the limits of any other.
    pub(crate) fn new(compiled: &Compiled) -> Result<Self, InstanceError> {
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

    /// Returns whether the module exports a callable function with this name.
    pub(crate) fn exports(&self, name: &str) -> bool {
        self.plugin.function_exists(name)
    }

    /// Calls an export once and returns its output.
    pub(crate) fn call(&mut self, name: &str, input: &[u8]) -> Result<Vec<u8>, Cause> {
        let called = self.call_once(name, input);
        self.fuel = self.plugin.fuel_consumed();
        let left = input.len() as u64 + self.fuel.unwrap_or_default() / LEAVING_FUEL;
        let goes_on = called
            .as_ref()
            .err()
            .is_none_or(|cause| !cause.is_abnormal());
        if goes_on && left > LEFT_MAX_BYTES {
            // The result says nothing about the plugin.
            let _ = self
                .plugin
                .call::<&[u8], &[u8]>(crate::host::guard::names::CLEAR, b"");
        }
        called
    }

    fn call_once(&mut self, name: &str, input: &[u8]) -> Result<Vec<u8>, Cause> {
        let start = Instant::now();
        let called = self.plugin.call::<&[u8], &[u8]>(name, input);
        let time_is_over = start.elapsed() >= CallLimits::new(self.meter.is_some()).wall;
        called.map(<[u8]>::to_vec).map_err(|error| {
            let code = self.source.code();
            self.frames = cause::frames(&error, code);
            // The frames of a metered copy are translated later.
            if self.meter.is_none() {
                self.frames.retain(|frame| code.has(frame.function));
                code.mark_helpers(&mut self.frames);
            }
            Cause::of_call(&error, time_is_over)
        })
    }

    /// Calls an export of a metered copy, up to the stop point. Without a meter this is an ordinary
    /// call.
    pub(super) fn call_metered(
        &mut self,
        name: &str,
        input: &[u8],
        stop: StopPoint,
    ) -> Result<Vec<u8>, Cause> {
        let Some(meter) = self.meter.clone() else {
            return self.call(name, input);
        };
        self.metering = None;
        self.call(crate::host::guard::names::METER_WRITE, &Meter::before(stop))?;
        let output = self.call(name, input);
        let fuel = self.fuel_used().unwrap_or_default();
        let frames = std::mem::take(&mut self.frames);
        let source = Arc::clone(&self.source);
        let code = source.code();
        let frames = meter.translate(code, &frames);
        let mut read = |cells: &[u8]| self.call(crate::host::guard::names::METER_READ, cells).ok();
        let metering = meter.after(fuel, code, &frames, &mut read);
        self.metering = metering;
        let frames = frames.into_iter().map(|(frame, _)| frame);
        self.frames = frames.filter(|frame| code.has(frame.function)).collect();
        code.mark_helpers(&mut self.frames);
        output
    }

    /// Takes the plugin's frames of the last call that trapped.
    pub(crate) fn frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }

    /// Takes the counts of the last call, if it was metered.
    pub(crate) fn metering(&mut self) -> Option<MeterReading> {
        self.metering.take()
    }

    /// Returns the size of the plugin's memory, in bytes, or `None` if it has no memory.
    pub(crate) fn memory(&mut self) -> Option<u64> {
        if !self.exports(crate::host::guard::names::MEMORY) {
            return None;
        }
        let pages = match self.call(crate::host::guard::names::MEMORY, b"") {
            Ok(_) => 0,
            Err(Cause::ExitCode(pages)) => u64::try_from(pages).ok()?,
            Err(_) => return None,
        };
        Some(pages * 65_536)
    }

    /// Returns the fuel of the last call.
    pub(super) fn fuel_used(&self) -> Option<u64> {
        self.fuel
    }
}

#[cfg(test)]
mod tests {
    use cc_lb_plugin_wire::v1::shape::ShapeFn;
    use cc_lb_plugin_wire::wire_function::WireFunction;

    use super::*;
    use crate::host::envelope::encode_envelope;

    #[test]
    fn a_timer_that_strikes_late_ends_the_first_call_of_another_instance_as_a_timeout() {
        let wasm = wat::parse_str(include_str!("../../guests/stalls.wat")).expect("it is valid");
        let compiled = Compiled::new(&Source::new(&wasm)).expect("it compiles");
        let instance = || Instance::new(&compiled).expect("there is room");
        // Both are made before the timer fires: it advances the epoch that both share, which
        // interrupts a call that is over on a busy machine.
        let (mut stalling, mut other) = (instance(), instance());
        let mut request = ShapeFn::dry_run_request();
        let healthy = encode_envelope(&request, 1).expect("it serializes");
        request.request.query = Some("q".repeat(400));
        let long = encode_envelope(&request, 1).expect("it serializes");
        let stalled = stalling.call(ShapeFn::NAME, long.as_bytes());
        assert_eq!(stalled, Err(Cause::Timeout));
        let ended = other.call(ShapeFn::NAME, healthy.as_bytes());
        assert_eq!(ended, Err(Cause::Timeout));
    }
}
