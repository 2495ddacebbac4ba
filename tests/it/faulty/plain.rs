//! A dispatch session written plainly, behind the guard, with every decision a method. Without a fault it is sound; a
//! faulty host decides one thing otherwise.

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

/// What is set before a plugin is compiled, and what is told of its calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Settings {
    /// The fuel that a call may take.
    pub fuel: Option<u64>,
    /// The time that a call may take, in milliseconds.
    pub wall_ms: u64,
    /// Whether the host is tried on the puppet whose functions have versions of their own.
    pub versioned: bool,
    /// Whether the host tells anything of its calls.
    pub tells: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            fuel: Some(HANDSHAKE_FUEL),
            wall_ms: HANDSHAKE_WALL_MS,
            versioned: false,
            tells: true,
        }
    }
}

/// What a host decides. Every method is right as it is; a value is the state of one session.
pub trait Fault {
    fn settings(&self) -> Settings {
        Settings::default()
    }

    /// The session is open; it is the host's first, second, and so on.
    fn opened(&mut self, _sessions: u32) {}

    /// What it shares with the other sessions of its host.
    fn shares(&mut self, _commons: &Commons) {}

    /// The session closes.
    fn closes(&mut self, _guest: &mut Guest) {}

    /// The version that a request is sealed with.
    fn version(&mut self, function: &str, negotiated: &BTreeMap<String, u32>) -> Option<u32> {
        negotiated.get(function).copied()
    }

    /// What becomes of a request before it is sealed.
    fn request(&mut self, _function: &str, _request: &mut Value) {}

    /// The text of a sealed request.
    fn input(&mut self, _function: &str, input: String) -> String {
        input
    }

    /// The call of the guest.
    fn call(&mut self, guest: &mut Guest, function: &str, input: &str) -> Called {
        guest.call(function, input)
    }

    /// Whether the next call gets a fresh instance.
    fn renews(&mut self, _error: &extism::Error) -> bool {
        true
    }

    /// The text of what the guest set as its output.
    fn text(&mut self, output: &[u8]) -> Option<String> {
        String::from_utf8(output.to_vec()).ok()
    }

    /// The JSON of an answer's text.
    fn json(&mut self, text: &str) -> Option<Value> {
        serde_json::from_str(text).ok()
    }

    /// The object that an answer is.
    fn object(&mut self, answer: Value) -> Option<Object> {
        match answer {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Whether this `_v` is the negotiated one.
    fn is_of_version(&mut self, version: Option<Value>, negotiated: u32) -> bool {
        version == Some(negotiated.into())
    }

    /// What becomes of an answer before it is read as the response.
    fn response(&mut self, _function: &Function, _answer: &mut Object) {}

    /// What a call that failed comes to.
    fn failed(&mut self, function: &Function, _why: &Failure) -> Instead {
        Instead::Fallback(function.fallback)
    }
}

/// What the sessions of a host share. A sound host has nothing there.
#[derive(Default)]
pub struct Shared {
    pub count: u64,
    pub kept: BTreeMap<String, Vec<u8>>,
    pub instance: Option<extism::Plugin>,
}

pub type Commons = Rc<RefCell<Shared>>;

/// Makes the fault of a session.
pub type MakesFault = fn() -> Box<dyn Fault>;

/// No fault.
struct Sound;

impl Fault for Sound {}

/// What there is instead of an answer.
pub enum Instead {
    Fallback(FallbackPolicy),
    /// The dry-run response.
    Answer,
}

/// What a call of the guest came to.
pub type Called = Result<Vec<u8>, extism::Error>;

/// Why a dispatch failed.
pub enum Failure {
    NotNegotiated,
    Call(extism::Error),
    Answer,
}

impl Failure {
    /// The words of the runtime or the guest.
    pub fn words(&self) -> String {
        match self {
            Self::Call(error) => format!("{error:#}"),
            Self::NotNegotiated | Self::Answer => String::new(),
        }
    }

    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Call(error) if is_timeout(error))
    }

    pub fn is_exit_code(&self) -> bool {
        self.words().starts_with("Returned non-zero exit code")
    }

    /// Whether the guest set an error, which Extism gives as a `String`.
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

/// The puppet's instance.
pub struct Guest {
    compiled: extism::CompiledPlugin,
    plugin: Option<extism::Plugin>,
}

impl Guest {
    pub fn call(&mut self, function: &str, input: &str) -> Called {
        let plugin = match &mut self.plugin {
            Some(plugin) => plugin,
            none => none.insert(extism::Plugin::new_from_compiled(&self.compiled)?),
        };
        plugin.call(function, input).map(<[u8]>::to_vec)
    }

    pub fn renew(&mut self) {
        self.plugin = None;
    }

    /// Takes another instance for this one.
    pub fn swap(&mut self, other: &mut Option<extism::Plugin>) {
        std::mem::swap(&mut self.plugin, other);
    }

    /// The fuel that the last call took.
    pub fn fuel(&self) -> Option<u64> {
        self.plugin.as_ref()?.fuel_consumed()
    }
}

/// A host of a plugin, the puppet if not told otherwise, with a fault.
pub struct Plain {
    opened: Opened,
    settings: Settings,
    fault: MakesFault,
    sessions: Cell<u32>,
    commons: Commons,
}

/// A plugin, compiled with limits, and what it negotiated.
#[derive(Clone)]
struct Opened {
    compiled: extism::CompiledPlugin,
    negotiated: BTreeMap<String, u32>,
}

impl Opened {
    fn new(wasm: &[u8], offer: &HandshakeOffer, settings: Settings) -> Self {
        let sound = PluginHost::with_offer(wasm, offer).expect("the plugin opens");
        let negotiated = sound.metadata().negotiated_functions.clone();
        Self::on_terms(wasm, negotiated, settings).expect("the plugin compiles")
    }

    fn on_terms(
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
    /// Most faults have the same settings, and compiling takes long. A thread's own, for sessions of the same compiled
    /// code that run at the same time share a clock.
    static PUPPETS: RefCell<BTreeMap<Settings, Opened>> = const { RefCell::new(BTreeMap::new()) };
}

impl Plain {
    pub fn new(fault: MakesFault) -> Self {
        Self::on_the_puppet(fault, fault().settings())
    }

    /// Without the fault, on what is tried for it.
    pub fn sound_beside(fault: MakesFault) -> Self {
        let Settings {
            versioned, tells, ..
        } = fault().settings();
        let settings = Settings {
            versioned,
            tells,
            ..Settings::default()
        };
        Self::on_the_puppet(|| Box::new(Sound), settings)
    }

    fn on_the_puppet(fault: MakesFault, settings: Settings) -> Self {
        let opened = PUPPETS.with_borrow_mut(|puppets| {
            let puppet = puppets.entry(settings);
            puppet.or_insert_with(|| Opened::puppet(settings)).clone()
        });
        Self {
            opened,
            settings,
            fault,
            sessions: Cell::new(0),
            commons: Commons::default(),
        }
    }

    /// A host of another plugin.
    pub fn of(wasm: &[u8], offer: &HandshakeOffer, fault: MakesFault) -> Self {
        let settings = fault().settings();
        Self {
            opened: Opened::new(wasm, offer, settings),
            settings,
            fault,
            sessions: Cell::new(0),
            commons: Commons::default(),
        }
    }

    /// A sound host of a plugin on terms that nobody checked.
    pub fn on_terms(
        wasm: &[u8],
        negotiated: BTreeMap<String, u32>,
    ) -> Result<Self, HandshakeError> {
        let settings = Settings::default();
        Ok(Self {
            opened: Opened::on_terms(wasm, negotiated, settings)?,
            settings,
            fault: || Box::new(Sound),
            sessions: Cell::new(0),
            commons: Commons::default(),
        })
    }

    /// The same host without a fault.
    pub fn sound_of(wasm: &[u8], offer: &HandshakeOffer) -> Self {
        Self::of(wasm, offer, || Box::new(Sound))
    }
}

impl Host for Plain {
    type Session = PlainSession;

    fn open(&self) -> Result<PlainSession, HandshakeError> {
        let mut fault = (self.fault)();
        self.sessions.set(self.sessions.get() + 1);
        fault.opened(self.sessions.get());
        fault.shares(&self.commons);
        Ok(PlainSession {
            guest: Guest {
                compiled: self.opened.compiled.clone(),
                plugin: None,
            },
            negotiated: self.opened.negotiated.clone(),
            tells: self.settings.tells,
            fault,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.opened.negotiated.get(function).copied()
    }
}

pub struct PlainSession {
    guest: Guest,
    negotiated: BTreeMap<String, u32>,
    tells: bool,
    fault: Box<dyn Fault>,
}

impl Drop for PlainSession {
    fn drop(&mut self) {
        self.fault.closes(&mut self.guest);
    }
}

impl PlainSession {
    /// The answer's object, without its `_v`.
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
        let called = self.fault.call(&mut self.guest, function.name, &input);
        call.fuel = self.guest.fuel();
        let output = called.map_err(|error| {
            if self.fault.renews(&error) {
                self.guest.renew();
            }
            Failure::Call(error)
        })?;
        let answer = self.read(function, &output, negotiated);
        call.output = Some(output.into());
        answer.ok_or(Failure::Answer)
    }

    fn read(&mut self, function: &Function, output: &[u8], negotiated: u32) -> Option<Value> {
        let text = self.fault.text(output)?;
        let json = self.fault.json(&text)?;
        let mut object = self.fault.object(json)?;
        let version = object.remove("_v");
        if !self.fault.is_of_version(version, negotiated) {
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
        let request = serde_json::to_value(request).map_err(|_| Failure::Answer);
        let response = request
            .and_then(|request| self.attempt(function, request, &mut call))
            .and_then(|answer| serde_json::from_value(answer).map_err(|_| Failure::Answer));
        let outcome = match response {
            Ok(response) => DispatchOutcome::Ok(response),
            Err(why) => match self.fault.failed(function, &why) {
                Instead::Fallback(policy) => DispatchOutcome::Fallback(policy),
                Instead::Answer => DispatchOutcome::Ok(F::dry_run_response()),
            },
        };
        call.time = start.elapsed();
        if self.tells {
            Observed { outcome, call }
        } else {
            outcome.into()
        }
    }
}

/// The policy of the wire function of this name.
pub fn policy_of(function: &str) -> FallbackPolicy {
    let functions = Request::functions().iter();
    let mut of_the_name = functions.filter(|known| known.name == function);
    of_the_name.next().expect("it is a wire function").fallback
}
