//! Why a dispatch fell back, as types.
//!
//! This is the one place that reads Extism's errors. A discrepancy here is a cause that names the wrong
//! reason; the outcome of the dispatch does not depend on it.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

use super::code::Code;
use super::guard::ERROR_MARK;
use super::names;
use super::site::Frame;
use crate::line::{one_line, shortened};

/// The export by which the plugin's module is told from the others; nobody calls it.
pub(super) const PLUGIN_MARK: &str = "cc-lb-fuzz:this-is-the-plugin";

/// What the classes of exit codes begin with.
pub(crate) const EXIT_CODE: &str = "exit code";

/// What the classes of undecodable answers begin with.
pub(crate) const UNDECODABLE: &str = "undecodable";

/// The stage of a dispatch that failed. The names are those of the reference's `stage` metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the negotiated version of the function.
    VersionLookup,
    /// Turning the request into a JSON object.
    RequestEnvelope,
    /// Calling the guest.
    PluginCall,
    /// Reading the guest's answer as JSON.
    DeserializeResponse,
    /// Checking that the answer is an object of the negotiated version.
    ResponseEnvelope,
    /// Reading the object as the function's response.
    ResponseDecode,
    /// Any stage, left by a panic.
    Panic,
}

/// Why a dispatch fell back.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The plugin did not negotiate the function.
    #[error("the plugin did not negotiate this function")]
    NotNegotiated,
    /// The request does not serialize.
    #[error("the request does not serialize: {0}")]
    RequestUnserializable(String),
    /// The request serializes to something other than a JSON object.
    #[error("the request is not a JSON object")]
    RequestNotObject,
    /// The guest's input would be larger than a session hands on, in bytes.
    #[error("the request has {0} bytes of JSON, too many for the guest")]
    RequestTooLarge(usize),
    /// The guest trapped.
    #[error("the guest trapped: {0}")]
    Trap(TrapKind),
    /// The guest used up its fuel.
    #[error("the guest ran out of fuel")]
    OutOfFuel,
    /// The guest ran longer than the wall-clock limit.
    #[error("the guest ran into the wall-clock limit")]
    Timeout,
    /// The guest returned a code other than 0.
    #[error("the guest returned exit code {0}")]
    ExitCode(i32),
    /// A function of the host that the guest called failed, for instance on an invalid handle.
    #[error("a host function failed: {0}")]
    HostFunction(String),
    /// The guest set an error, without its middle where it is long. Guests say so when they refuse a request.
    #[error("the guest set an error: \"{}\"", one_line(.0))]
    GuestError(String),
    /// The guest set an error that is not UTF-8.
    #[error("the guest set an error that is not UTF-8")]
    ErrorNotUtf8,
    /// The guest's answer is not one.
    #[error("the guest's answer is undecodable: {0}")]
    Undecodable(Decoding),
    /// Extism failed in some other way: about one in a million of the puppet's wild calls comes to that, and any where
    /// there is no memory for a fresh instance.
    #[error("the plugin runtime failed: {0}")]
    Runtime(String),
    /// The dispatch panicked.
    #[error("the dispatch panicked: {0}")]
    Panic(String),
}

/// The step at which an answer turned out to be undecodable.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decoding {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON, or JSON with something behind it.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotObject,
    /// No `_v`.
    #[error("no _v")]
    VersionMissing,
    /// A `_v` that is no unsigned integer.
    #[error("_v is no unsigned integer")]
    VersionNotInteger,
    /// A `_v` other than the negotiated one.
    #[error("_v is {actual}, negotiated was {expected}")]
    VersionMismatch {
        /// The negotiated version.
        expected: u32,
        /// The version in the answer.
        actual: u64,
    },
    /// An object of the right version that is not the function's response.
    #[error("not the function's response: {}", names::at_field(field, why))]
    NotResponse {
        /// The path of the value that is wrong, such as `headers[3].value`; `.` is the whole answer.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// More than [`ANSWER_DEPTH_MAX`](super::dispatch::ANSWER_DEPTH_MAX) lists and objects in each other.
    #[error(
        "more than {} lists and objects in each other",
        super::dispatch::ANSWER_DEPTH_MAX
    )]
    TooDeep,
    /// More than [`ANSWER_VALUES_MAX`](super::dispatch::ANSWER_VALUES_MAX) values.
    #[error("more than {} values", super::dispatch::ANSWER_VALUES_MAX)]
    TooManyValues,
}

/// The kind of a trap: WebAssembly's own, named as in wasmtime's `Trap`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrapKind {
    /// An `unreachable` instruction: panics and aborts of most languages.
    Unreachable,
    /// An integer division by zero.
    IntegerDivisionByZero,
    /// An integer division whose result does not fit.
    IntegerOverflow,
    /// A float with no integer equivalent.
    BadConversionToInteger,
    /// A load or store outside the memory.
    MemoryOutOfBounds,
    /// An access outside a table.
    TableOutOfBounds,
    /// An indirect call of an empty table entry.
    IndirectCallToNull,
    /// An indirect call of a function of another type.
    BadSignature,
    /// The guest's call stack is exhausted.
    StackOverflow,
    /// A kind that this version has no name for; wasmtime's words.
    Other(String),
}

impl TrapKind {
    fn from_wasmtime(trap: wasmtime::Trap) -> Self {
        use wasmtime::Trap;
        match trap {
            Trap::UnreachableCodeReached => Self::Unreachable,
            Trap::IntegerDivisionByZero => Self::IntegerDivisionByZero,
            Trap::IntegerOverflow => Self::IntegerOverflow,
            Trap::BadConversionToInteger => Self::BadConversionToInteger,
            Trap::MemoryOutOfBounds => Self::MemoryOutOfBounds,
            Trap::TableOutOfBounds => Self::TableOutOfBounds,
            Trap::IndirectCallToNull => Self::IndirectCallToNull,
            Trap::BadSignature => Self::BadSignature,
            Trap::StackOverflow => Self::StackOverflow,
            other => Self::Other(other.to_string()),
        }
    }

    /// The stable short name, as used in reports.
    pub fn name(&self) -> &str {
        match self {
            Self::Unreachable => "unreachable",
            Self::IntegerDivisionByZero => "division by zero",
            Self::IntegerOverflow => "integer overflow",
            Self::BadConversionToInteger => "bad conversion to integer",
            Self::MemoryOutOfBounds => "memory out of bounds",
            Self::TableOutOfBounds => "table out of bounds",
            Self::IndirectCallToNull => "indirect call to null",
            Self::BadSignature => "bad signature",
            Self::StackOverflow => "stack overflow",
            Self::Other(words) => words,
        }
    }
}

impl fmt::Display for TrapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Cause {
    /// The stage that failed.
    pub fn stage(&self) -> Stage {
        match self {
            Self::NotNegotiated => Stage::VersionLookup,
            Self::RequestUnserializable(_) | Self::RequestNotObject | Self::RequestTooLarge(_) => {
                Stage::RequestEnvelope
            }
            Self::Undecodable(
                Decoding::NotJson(_) | Decoding::TooDeep | Decoding::TooManyValues,
            ) => Stage::DeserializeResponse,
            Self::Undecodable(Decoding::NotResponse { .. }) => Stage::ResponseDecode,
            // Extism's conversion to a string is part of the call.
            Self::Undecodable(Decoding::NotUtf8) => Stage::PluginCall,
            Self::Undecodable(_) => Stage::ResponseEnvelope,
            Self::Panic(_) => Stage::Panic,
            _ => Stage::PluginCall,
        }
    }

    /// The stable short name of the kind of cause, without its details: a column of the run's table.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotNegotiated => "not negotiated",
            Self::RequestUnserializable(_) | Self::RequestNotObject => "bad request",
            Self::RequestTooLarge(_) => "too large",
            Self::Trap(_) => "trap",
            Self::OutOfFuel => "out of fuel",
            Self::Timeout => "timeout",
            Self::ExitCode(_) => "exit code",
            Self::HostFunction(_) => "host function",
            Self::GuestError(_) | Self::ErrorNotUtf8 => "guest error",
            Self::Undecodable(_) => "undecodable",
            Self::Runtime(_) => "runtime",
            Self::Panic(_) => "panic",
        }
    }

    /// The kind of cause with what tells faults of one kind apart: which trap it was, which code was returned, or what the
    /// answer was not and why.
    pub fn class(&self) -> String {
        let class = self.coarse_class();
        match self {
            Self::ExitCode(code) => format!("{class} {code}"),
            Self::Undecodable(Decoding::NotJson(why)) => {
                format!("{class}, {}", names::reason(why))
            }
            Self::Undecodable(Decoding::NotResponse { field, why }) => {
                let why = names::reason(why);
                format!(
                    "{class}, {}",
                    names::at_field(&names::any_item(field), &why)
                )
            }
            _ => class,
        }
    }

    /// The same without what a plugin may make up.
    pub fn coarse_class(&self) -> String {
        match self {
            Self::Trap(kind) => format!("trap: {kind}"),
            Self::ErrorNotUtf8 => "error is not UTF-8".to_owned(),
            Self::ExitCode(_) => EXIT_CODE.to_owned(),
            Self::Undecodable(Decoding::NotJson(_)) => format!("{UNDECODABLE}: not JSON"),
            Self::Undecodable(Decoding::NotResponse { .. }) => {
                format!("{UNDECODABLE}: not the response")
            }
            Self::Undecodable(Decoding::VersionMismatch { .. }) => {
                format!("{UNDECODABLE}: wrong _v")
            }
            Self::Undecodable(step) => format!("{UNDECODABLE}: {step}"),
            _ => self.kind().to_owned(),
        }
    }

    /// Whether the call may have ended other than by itself, and left the plugin's own state half-way.
    pub fn is_abnormal(&self) -> bool {
        match self {
            Self::Trap(_) | Self::OutOfFuel | Self::Timeout | Self::HostFunction(_) => true,
            Self::Runtime(_) | Self::Panic(_) => true,
            Self::NotNegotiated
            | Self::RequestUnserializable(_)
            | Self::RequestNotObject
            | Self::RequestTooLarge(_)
            | Self::ExitCode(_)
            | Self::GuestError(_)
            | Self::ErrorNotUtf8
            | Self::Undecodable(_) => false,
        }
    }

    /// Reads the error of an `extism::Plugin::call`, of which it is known whether it took all the time that it had.
    ///
    /// Extism gives its own verdicts as messages made of `&'static str` ("timeout", "plugin ran out of
    /// fuel"), a trap as a [`wasmtime::Trap`], the error of a host function with the guest's backtrace, and everything that
    /// comes from the guest as a `String` that begins with the guard's mark. Source:
    /// `Plugin::raw_call` and `Plugin::call` of extism 1.30.0, plugin.rs.
    pub(super) fn of_call(error: &extism::Error, time_is_over: bool) -> Self {
        // Where the guest had set an error too, the trap is the context of that error.
        let context = error.downcast_ref::<wasmtime::Error>();
        let trap = error
            .downcast_ref::<wasmtime::Trap>()
            .or_else(|| context.and_then(|context| context.downcast_ref()));
        // Whatever Extism says of it: a timer that strikes late, for a call which is over, may interrupt what Extism does
        // before the first call of an instance.
        if let Some(wasmtime::Trap::Interrupt) = trap {
            return Self::Timeout;
        }
        match error.downcast_ref::<&'static str>() {
            Some(&"timeout") => return Self::Timeout,
            Some(&"plugin ran out of fuel") => return Self::OutOfFuel,
            // Host functions say something of that kind too.
            _ => {}
        }
        if let Some(trap) = trap {
            return match trap {
                wasmtime::Trap::OutOfFuel => Self::OutOfFuel,
                trap => Self::Trap(TrapKind::from_wasmtime(*trap)),
            };
        }
        // An error that passed through the guest's frames was not made by reading what it had set.
        if let Some(context) = context {
            return Self::of_host_function(&one_line(context.root_cause()), time_is_over);
        }
        if backtrace(error).is_some() {
            return Self::of_host_function(&one_line(error.root_cause()), time_is_over);
        }
        match error.downcast_ref::<String>() {
            Some(message) => Self::of_message(message),
            None => Self::Runtime(one_line(format_args!("{error:#}"))),
        }
    }

    /// A host function's error. Extism asks the kernel for the length of an argument, and takes a trap there for a handle that is
    /// none. The guard hands out no such handle but -1, so that what trapped there is the end of the stack, or the clock: it looks
    /// for the end of the fuel by itself, before all else. Source: `CurrentPlugin::memory_length`, `Plugin::raw_call` and pdk.rs of
    /// extism 1.30.0.
    fn of_host_function(words: &str, time_is_over: bool) -> Self {
        const NO_BLOCK: u64 = u64::MAX;
        // With HTTP in the build, and without.
        let handle = [
            "invalid handle offset for ",
            "http_request input is invalid: ",
        ]
        .iter()
        .find_map(|beginning| words.strip_prefix(beginning))
        .and_then(|words| words.rsplit(": ").next()?.parse().ok());
        match handle {
            Some(NO_BLOCK) | None => Self::HostFunction(words.to_owned()),
            Some(_) if time_is_over => Self::Timeout,
            Some(_) => Self::Trap(TrapKind::StackOverflow),
        }
    }

    /// What is told as text: an error of the guest's, which has the guard's mark, or Extism's own words.
    fn of_message(message: &str) -> Self {
        const NOT_UTF_8: &str = "unable to load error message from memory: ";
        if let Some(error) = message.strip_prefix(ERROR_MARK) {
            return Self::GuestError(shortened(error));
        }
        let code = message.strip_prefix("Returned non-zero exit code: ");
        match code.and_then(|code| code.parse().ok()) {
            Some(code) => Self::ExitCode(code),
            None if message.starts_with(NOT_UTF_8) => Self::ErrorNotUtf8,
            None => Self::Runtime(one_line(message)),
        }
    }
}

fn backtrace(error: &extism::Error) -> Option<&wasmtime::WasmBacktrace> {
    let context = error.downcast_ref::<wasmtime::Error>();
    error
        .downcast_ref()
        .or_else(|| context.and_then(|context| context.downcast_ref()))
}

/// The functions of the plugin that were running when a call ended abnormally, the innermost first. Those of the guard, the
/// front and Extism's kernel are left out.
pub(super) fn frames(error: &extism::Error, code: &Code) -> Vec<Frame> {
    let frames = backtrace(error).map_or(&[][..], |backtrace| backtrace.frames());
    let of_the_plugin = |frame: &&wasmtime::FrameInfo| {
        let module = frame.module();
        module.get_export_index(PLUGIN_MARK).is_some()
    };
    let frames = frames.iter().filter(of_the_plugin);
    frames
        .map(|frame| code.frame(frame.func_index(), frame.func_offset()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_extism_is_not_known_to_say_is_a_failure_of_the_runtime() {
        let verdict = extism::Error::msg("a verdict that is new");
        let expected = Cause::Runtime("a verdict that is new".to_owned());
        assert_eq!(Cause::of_call(&verdict, false), expected);
        let other = extism::Error::new(std::fmt::Error);
        assert_eq!(
            Cause::of_call(&other, false),
            Cause::Runtime(std::fmt::Error.to_string())
        );
        assert!(expected.is_abnormal());
    }

    #[test]
    fn an_interruption_is_the_clocks_whatever_extism_was_doing() {
        let interrupted = extism::Error::new(wasmtime::Trap::Interrupt);
        let resetting = interrupted.context("extism reset failed");
        assert_eq!(Cause::of_call(&resetting, false), Cause::Timeout);
    }

    #[test]
    fn a_handle_that_the_guard_gave_is_none_only_where_looking_it_up_trapped() {
        let cause = |handle: u64, time_is_over| {
            let words = format!("invalid handle offset for var key: {handle}");
            Cause::of_host_function(&words, time_is_over)
        };
        assert_eq!(cause(4430, false), Cause::Trap(TrapKind::StackOverflow));
        assert_eq!(cause(4430, true), Cause::Timeout);
        assert!(matches!(cause(u64::MAX, false), Cause::HostFunction(_)));
    }

    #[test]
    fn a_trap_that_has_no_name_here_keeps_wasmtimes_words() {
        let trap = wasmtime::Trap::AtomicWaitNonSharedMemory;
        let cause = Cause::of_call(&extism::Error::new(trap), false);
        assert_eq!(cause, Cause::Trap(TrapKind::Other(trap.to_string())));
    }
}
