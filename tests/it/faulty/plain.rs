//! A simple implementation of a host behind the guard, in which every decision is a method of
//! [`Fault`]. The default methods make a sound host; a faulty host overrides one decision.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{
    Call, DispatchOutcome, FallbackPolicy, HandshakeError, Host, Observed, PluginHost, Session,
    guard,
};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::wire::{Function, Request, Vocabulary};
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde_json::{Map, Value};

pub type Object = Map<String, Value>;

/// Settings of a host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settings {
    /// The fuel limit of a call.
    pub fuel: Option<u64>,
    /// The time limit of a call, in milliseconds.
    pub wall_ms: u64,
    /// Whether the host runs the puppet whose functions have different versions.
    pub versioned: bool,
    /// Whether the host reports the input, output and fuel of its calls.
    pub reports_calls: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fuel: Some(HANDSHAKE_FUEL),
            wall_ms: HANDSHAKE_WALL_MS,
            versioned: false,
            reports_calls: true,
        }
    }
}

/// The decisions of a host. Every default method is correct; a value is the state of one session.
pub trait Fault {
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// Called when a session opens, with the number of sessions of the host so far, this one
    /// included.
    fn on_open(&mut self, _sessions: u32) {}

    /// Receives the state that the sessions of a host share.
    fn use_shared_state(&mut self, _shared: &SharedState) {}

    /// Called when the session closes.
    fn on_close(&mut self, _guest: &mut Guest) {}

    /// Returns the version that is written into the request.
    fn version(&mut self, function: &str, negotiated: &BTreeMap<String, u32>) -> Option<u32> {
        negotiated.get(function).copied()
    }

    /// Changes a request before it is serialized.
    fn request(&mut self, _function: &str, _request: &mut Value) {}

    /// Changes the serialized request.
    fn input(&mut self, _function: &str, input: String) -> String {
        input
    }

    /// Calls the guest.
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> CallResult {
        guest.call(function, input)
    }

    /// Returns whether the next call gets a fresh instance, after this error.
    fn replaces_instance(&mut self, _error: &extism::Error) -> bool {
        true
    }

    /// Decodes the output of the guest as a string.
    fn text(&mut self, output: &[u8]) -> Option<String> {
        String::from_utf8(output.to_vec()).ok()
    }

    /// Parses the answer as JSON.
    fn json(&mut self, text: &str) -> Option<Value> {
        serde_json::from_str(text).ok()
    }

    /// Returns the object of an answer.
    fn object(&mut self, answer: Value) -> Option<Object> {
        match answer {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns whether this `_v` is the negotiated version.
    fn accepts_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        version == Some(negotiated.into())
    }

    /// Changes an answer before it is deserialized as the response.
    fn response(&mut self, _function: &Function, _answer: &mut Object) {}

    /// Returns the outcome of a dispatch that failed.
    fn on_failure(&mut self, function: &Function, _failure: &Failure) -> FailureOutcome {
        FailureOutcome::Fallback(function.fallback)
    }
}

/// State of a host that its sessions share. A sound host does not use it.
#[derive(Default)]
pub struct HostState {
    pub count: u64,
    pub kept: BTreeMap<String, Vec<u8>>,
    pub instance: Option<extism::Plugin>,
}

pub type SharedState = Rc<RefCell<HostState>>;

/// Creates the fault for a new session.
pub type FaultFactory = fn() -> Box<dyn Fault>;

/// The sound host, which has no fault.
struct Sound;

impl Fault for Sound {}

/// The outcome of a dispatch that failed.
pub enum FailureOutcome {
    Fallback(FallbackPolicy),
    /// The dry-run response.
    Answer,
}

/// The result of a call of the guest: its output or an error.
pub type CallResult = Result<Vec<u8>, extism::Error>;

/// Why a dispatch failed.
pub enum Failure {
    NotNegotiated,
    Call(extism::Error),
    InvalidAnswer,
}

impl Failure {
    /// Returns the error message of the runtime or of the guest.
    pub fn message(&self) -> String {
        match self {
            Self::Call(error) => format!("{error:#}"),
            Self::NotNegotiated | Self::InvalidAnswer => String::new(),
        }
    }

    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call(error) if is_timeout(error))
    }

    pub fn is_exit_code(&self) -> bool {
        self.message().starts_with("Returned non-zero exit code")
    }

    /// Returns whether the guest set an error, which Extism returns as a `String`.
    pub fn is_guest_error(&self) -> bool {
        matches!(self, Self::Call(error) if is_guest_error(error)) && !self.is_exit_code()
    }

    pub fn is_trap(&self) -> bool {
        matches!(self, Self::Call(error) if is_trap(error))
    }
}

pub fn is_timeout(error: &extism::Error) -> bool {
    error.downcast_ref::<&'static str>() == Some(&"timeout")
}

pub fn is_guest_error(error: &extism::Error) -> bool {
    error.downcast_ref::<String>().is_some()
}

pub fn is_trap(error: &extism::Error) -> bool {
    error.downcast_ref::<&'static str>().is_none() && !is_guest_error(error)
}

/// An instance of a plugin. The first call creates it.
pub struct Guest {
    compiled: extism::CompiledPlugin,
    plugin: Option<extism::Plugin>,
}

impl Guest {
    pub fn call(&mut self, function: &str, input: &str) -> CallResult {
        let plugin = match &mut self.plugin {
            Some(plugin) => plugin,
            none => none.insert(extism::Plugin::new_from_compiled(&self.compiled)?),
        };
        plugin.call(function, input).map(<[u8]>::to_vec)
    }

    pub fn discard_instance(&mut self) {
        self.plugin = None;
    }

    /// Exchanges the instance for another one.
    pub fn swap(&mut self, other: &mut Option<extism::Plugin>) {
        std::mem::swap(&mut self.plugin, other);
    }

    /// Returns the fuel that the last call used.
    pub fn fuel(&self) -> Option<u64> {
        self.plugin.as_ref()?.fuel_consumed()
    }
}

/// A host of a plugin with a fault. Unless another plugin is given, it runs the puppet.
pub struct PlainHost {
    loaded: LoadedPlugin,
    settings: Settings,
    fault: FaultFactory,
    sessions: Cell<u32>,
    shared: SharedState,
}

/// A plugin, compiled with limits, and its negotiated versions.
#[derive(Clone)]
struct LoadedPlugin {
    compiled: extism::CompiledPlugin,
    negotiated: BTreeMap<String, u32>,
}

impl LoadedPlugin {
    fn new(wasm: &[u8], offer: &HandshakeOffer, settings: Settings) -> Self {
        let sound = PluginHost::with_offer(wasm, offer).expect("the plugin opens");
        let negotiated = sound.metadata().negotiated_functions.clone();
        Self::with_negotiated(wasm, negotiated, settings).expect("the plugin compiles")
    }

    fn with_negotiated(
        wasm: &[u8],
        negotiated: BTreeMap<String, u32>,
        settings: Settings,
    ) -> Result<Self, HandshakeError> {
        let instantiate = |reason: String| HandshakeError::Instantiate { reason };
        let manifest = guard::manifest(wasm).map_err(|error| instantiate(error.to_string()))?;
        let manifest = manifest.with_timeout(Duration::from_millis(settings.wall_ms));
        let builder = extism::PluginBuilder::new(manifest).with_cache_disabled();
        let builder = match settings.fuel {
            Some(fuel) => builder.with_fuel_limit(fuel),
            None => builder,
        };
        let compiled = builder.compile();
        Ok(Self {
            compiled: compiled.map_err(|error| instantiate(error.to_string()))?,
            negotiated,
        })
    }

    fn puppet(settings: Settings) -> Self {
        let mut offer = build_offer(&Default::default());
        if !settings.versioned {
            return Self::new(puppet::wasm(), &offer, settings);
        }
        let versions = puppet::versions();
        offer.function_versions = versions
            .map(|(name, n)| (name.to_owned(), vec![n]))
            .collect();
        Self::new(puppet::versioned(), &offer, settings)
    }
}

thread_local! {
    /// A cache, because most faults have the same settings and compiling is slow. Each thread has
    /// its own, because concurrent sessions of the same compiled code share a clock.
    static PUPPETS: RefCell<BTreeMap<Settings, LoadedPlugin>> =
        const { RefCell::new(BTreeMap::new()) };
}

impl PlainHost {
    pub fn new(fault: FaultFactory) -> Self {
        Self::with_puppet(fault, fault().settings())
    }

    /// Returns a sound host that runs the same puppet as the host with the fault.
    pub fn without_fault(fault: FaultFactory) -> Self {
        let Settings {
            versioned,
            reports_calls,
            ..
        } = fault().settings();
        let settings = Settings {
            versioned,
            reports_calls,
            ..Settings::default()
        };
        Self::with_puppet(|| Box::new(Sound), settings)
    }

    fn with_puppet(fault: FaultFactory, settings: Settings) -> Self {
        let loaded = PUPPETS.with_borrow_mut(|puppets| {
            let puppet = puppets.entry(settings);
            puppet
                .or_insert_with(|| LoadedPlugin::puppet(settings))
                .clone()
        });
        Self {
            loaded,
            settings,
            fault,
            sessions: Cell::new(0),
            shared: SharedState::default(),
        }
    }

    /// Returns a host of another plugin.
    pub fn with_plugin(wasm: &[u8], offer: &HandshakeOffer, fault: FaultFactory) -> Self {
        let settings = fault().settings();
        Self {
            loaded: LoadedPlugin::new(wasm, offer, settings),
            settings,
            fault,
            sessions: Cell::new(0),
            shared: SharedState::default(),
        }
    }

    /// Returns a sound host of a plugin with versions that are not validated.
    pub fn with_negotiated(
        wasm: &[u8],
        negotiated: BTreeMap<String, u32>,
    ) -> Result<Self, HandshakeError> {
        let settings = Settings::default();
        Ok(Self {
            loaded: LoadedPlugin::with_negotiated(wasm, negotiated, settings)?,
            settings,
            fault: || Box::new(Sound),
            sessions: Cell::new(0),
            shared: SharedState::default(),
        })
    }

    /// Returns a sound host of another plugin.
    pub fn sound_with_plugin(wasm: &[u8], offer: &HandshakeOffer) -> Self {
        Self::with_plugin(wasm, offer, || Box::new(Sound))
    }
}

impl Host for PlainHost {
    type Session = PlainSession;

    fn open(&self) -> Result<PlainSession, HandshakeError> {
        let mut fault = (self.fault)();
        self.sessions.set(self.sessions.get() + 1);
        fault.on_open(self.sessions.get());
        fault.use_shared_state(&self.shared);
        Ok(PlainSession {
            guest: Guest {
                compiled: self.loaded.compiled.clone(),
                plugin: None,
            },
            negotiated: self.loaded.negotiated.clone(),
            reports_calls: self.settings.reports_calls,
            fault,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.loaded.negotiated.get(function).copied()
    }
}

pub struct PlainSession {
    guest: Guest,
    negotiated: BTreeMap<String, u32>,
    reports_calls: bool,
    fault: Box<dyn Fault>,
}

impl Drop for PlainSession {
    fn drop(&mut self) {
        self.fault.on_close(&mut self.guest);
    }
}

impl PlainSession {
    /// Calls the guest. Returns the object of its answer without `_v`.
    fn attempt(
        &mut self,
        function: &Function,
        mut request: Value,
        call: &mut Call,
    ) -> Result<Value, Failure> {
        let negotiated = self.negotiated.get(function.name);
        let negotiated = *negotiated.ok_or(Failure::NotNegotiated)?;
        let version = self.fault.version(function.name, &self.negotiated);
        self.fault.request(function.name, &mut request);
        request["_v"] = version.into();
        let input = self.fault.input(function.name, request.to_string());
        call.input = Some(input.clone().into_bytes().into());
        let result = self.fault.call(&mut self.guest, function.name, &input);
        call.fuel = self.guest.fuel();
        let output = result.map_err(|error| {
            if self.fault.replaces_instance(&error) {
                self.guest.discard_instance();
            }
            Failure::Call(error)
        })?;
        let answer = self.read(function, &output, negotiated);
        call.output = Some(output.into());
        answer.ok_or(Failure::InvalidAnswer)
    }

    fn read(&mut self, function: &Function, output: &[u8], negotiated: u32) -> Option<Value> {
        let text = self.fault.text(output)?;
        let json = self.fault.json(&text)?;
        let mut object = self.fault.object(json)?;
        let version = object.remove("_v");
        if !self.fault.accepts_version(version, negotiated) {
            return None;
        }
        self.fault.response(function, &mut object);
        Some(object.into())
    }
}

impl Session for PlainSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let start = Instant::now();
        let function = const { &Function::new::<F>(F::NAME) };
        let mut call = Call::default();
        let request = serde_json::to_value(request).map_err(|_| Failure::InvalidAnswer);
        let response = request
            .and_then(|request| self.attempt(function, request, &mut call))
            .and_then(|answer| serde_json::from_value(answer).map_err(|_| Failure::InvalidAnswer));
        let outcome = match response {
            Ok(response) => DispatchOutcome::Ok(response),
            Err(failure) => match self.fault.on_failure(function, &failure) {
                FailureOutcome::Fallback(policy) => DispatchOutcome::Fallback(policy),
                FailureOutcome::Answer => DispatchOutcome::Ok(F::dry_run_response()),
            },
        };
        call.time = start.elapsed();
        if self.reports_calls {
            Observed { outcome, call }
        } else {
            outcome.into()
        }
    }
}

/// Returns the fallback policy of the wire function of this name.
pub fn policy_of(function: &str) -> FallbackPolicy {
    let functions = Request::functions().iter();
    let mut matching = functions.filter(|known| known.name == function);
    matching
        .next()
        .expect("the name is that of a wire function")
        .fallback
}
