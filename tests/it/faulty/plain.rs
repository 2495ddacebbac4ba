//! A dispatch session written plainly, behind the guard, with every decision a method. Without a fault it is sound; a
//! faulty host decides one thing otherwise.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{
    Call, DispatchOutcome, FallbackPolicy, HandshakeError, Host, Observed, PluginHost, Session,
    guard,
};
use cc_lb_fuzz::puppet;
use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};
use cc_lb_plugin_wire::wire_function::WireFunction;
use serde_json::{Map, Value};

pub type Object = Map<String, Value>;

/// What a host decides. Every method is right as it is; a value is the state of one session.
pub trait Fault: Clone + Default + 'static {
    /// The fuel that a call may take.
    const FUEL: Option<u64> = Some(HANDSHAKE_FUEL);

    /// The time that a call may take, in milliseconds.
    const WALL_MS: u64 = HANDSHAKE_WALL_MS;

    /// Whether the host is tried on the puppet whose functions have versions of their own.
    const VERSIONED: bool = false;

    /// Whether the host tells anything of its calls.
    const TELLS: bool = true;

    /// The version that a request is sealed with.
    fn version(&mut self, function: &str, negotiated: &BTreeMap<String, u32>) -> Option<u32> {
        negotiated.get(function).copied()
    }

    /// What becomes of a request before it is sealed.
    fn request(&mut self, _function: &str, _request: &mut Value) {}

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

    /// The response that an object is.
    fn response<F: WireFunction>(&mut self, answer: Object) -> Option<F::Response> {
        serde_json::from_value(answer.into()).ok()
    }

    /// The outcome of a call that failed.
    fn failed<F: WireFunction>(&mut self, _why: &Failure) -> DispatchOutcome<F::Response> {
        DispatchOutcome::Fallback(F::FALLBACK)
    }
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

    /// The fuel that the last call took.
    pub fn fuel(&self) -> Option<u64> {
        self.plugin.as_ref()?.fuel_consumed()
    }
}

/// A host of a plugin, the puppet if not told otherwise, with a fault.
pub struct Plain<T> {
    opened: Opened,
    fault: T,
}

/// A plugin, compiled with limits, and what it negotiated.
#[derive(Clone)]
struct Opened {
    compiled: extism::CompiledPlugin,
    negotiated: BTreeMap<String, u32>,
}

impl Opened {
    fn with_limits<T: Fault>(wasm: &[u8], offer: &HandshakeOffer) -> Self {
        let sound = PluginHost::with_offer(wasm, offer).expect("the plugin opens");
        let manifest = guard::manifest(wasm).expect("the plugin may be");
        let manifest = manifest.with_timeout(Duration::from_millis(T::WALL_MS));
        let builder = extism::PluginBuilder::new(manifest).with_cache_disabled();
        let builder = match T::FUEL {
            Some(fuel) => builder.with_fuel_limit(fuel),
            None => builder,
        };
        Self {
            compiled: builder.compile().expect("the plugin compiles"),
            negotiated: sound.metadata().negotiated_functions.clone(),
        }
    }

    fn puppet<T: Fault>() -> Self {
        let mut offer = build_offer(&Default::default());
        if !T::VERSIONED {
            return Self::with_limits::<T>(puppet::wasm(), &offer);
        }
        let versions = puppet::versions();
        offer.function_versions = versions
            .map(|(name, n)| (name.to_owned(), vec![n]))
            .collect();
        Self::with_limits::<T>(puppet::versioned(), &offer)
    }
}

/// Limits, and whether functions have versions of their own.
type Settings = (Option<u64>, u64, bool);

thread_local! {
    /// Most faults have the same limits, and compiling takes long. A thread's own, for sessions of the same compiled code
    /// that run at the same time share a clock.
    static PUPPETS: RefCell<BTreeMap<Settings, Opened>> = const { RefCell::new(BTreeMap::new()) };
}

impl<T: Fault> Plain<T> {
    pub fn new() -> Self {
        let settings = (T::FUEL, T::WALL_MS, T::VERSIONED);
        let mut opened = PUPPETS.take();
        let puppet = opened
            .entry(settings)
            .or_insert_with(Opened::puppet::<T>)
            .clone();
        PUPPETS.set(opened);
        Self {
            opened: puppet,
            fault: T::default(),
        }
    }

    /// A host of another plugin.
    pub fn of(wasm: &[u8], offer: &HandshakeOffer) -> Self {
        Self {
            opened: Opened::with_limits::<T>(wasm, offer),
            fault: T::default(),
        }
    }
}

impl<T: Fault> Host for Plain<T> {
    type Session = PlainSession<T>;

    fn open(&self) -> Result<Self::Session, HandshakeError> {
        Ok(PlainSession {
            guest: Guest {
                compiled: self.opened.compiled.clone(),
                plugin: None,
            },
            negotiated: self.opened.negotiated.clone(),
            fault: self.fault.clone(),
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.opened.negotiated.get(function).copied()
    }
}

pub struct PlainSession<T> {
    guest: Guest,
    negotiated: BTreeMap<String, u32>,
    fault: T,
}

impl<T: Fault> PlainSession<T> {
    fn attempt<F: WireFunction>(
        &mut self,
        request: F::Request,
        call: &mut Call,
    ) -> Result<F::Response, Failure> {
        let negotiated = *self.negotiated.get(F::NAME).ok_or(Failure::NotNegotiated)?;
        let version = self.fault.version(F::NAME, &self.negotiated);
        let mut request = serde_json::to_value(request).map_err(|_| Failure::Answer)?;
        self.fault.request(F::NAME, &mut request);
        request["_v"] = version.into();
        let input = request.to_string();
        call.input_bytes = Some(input.len());
        let called = self.fault.call(&mut self.guest, F::NAME, &input);
        call.fuel = self.guest.fuel();
        let output = called.map_err(|error| {
            if self.fault.renews(&error) {
                self.guest.renew();
            }
            Failure::Call(error)
        })?;
        let answer = self.read::<F>(&output, negotiated);
        call.output = Some(output);
        answer.ok_or(Failure::Answer)
    }

    fn read<F: WireFunction>(&mut self, output: &[u8], negotiated: u32) -> Option<F::Response> {
        let text = self.fault.text(output)?;
        let json = self.fault.json(&text)?;
        let mut object = self.fault.object(json)?;
        let version = object.remove("_v");
        match self.fault.is_of_version(version, negotiated) {
            true => self.fault.response::<F>(object),
            false => None,
        }
    }
}

impl<T: Fault> Session for PlainSession<T> {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let start = Instant::now();
        let mut call = Call::default();
        let outcome = match self.attempt::<F>(request, &mut call) {
            Ok(response) => DispatchOutcome::Ok(response),
            Err(why) => self.fault.failed::<F>(&why),
        };
        call.time = start.elapsed();
        match T::TELLS {
            true => Observed { outcome, call },
            false => outcome.into(),
        }
    }
}

/// The policy of the wire function of this name.
pub fn policy_of(function: &str) -> FallbackPolicy {
    use cc_lb_fuzz::wire::{Request, Vocabulary};
    let functions = Request::functions().iter();
    let mut of_the_name = functions.filter(|known| known.name == function);
    of_the_name.next().expect("it is a wire function").fallback
}
