//! The causes of fallbacks, as types.
//!
//! This is the only module that interprets Extism's errors. Bugs in this module look like a wrong
//! cause; the outcome of the dispatch does not depend on it.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::site::Frame;
use crate::host::guard::names::{ERROR_MARK, PLUGIN_MARK};
use crate::host::site::code::Code;
use crate::untrusted_text::{one_line, shortened};

// The texts of classes that other modules compare with. They are in stored findings and reports.

/// The prefix of the classes of traps.
pub(crate) const TRAP: &str = "trap";

/// The class of calls that ran out of fuel.
pub(crate) const OUT_OF_FUEL: &str = "out of fuel";

/// The class of calls that exceeded the wall-clock limit.
pub(crate) const TIMEOUT: &str = "timeout";

/// The prefix of the classes of exit codes.
pub(crate) const EXIT_CODE: &str = "exit code";

/// The class of failed host functions.
pub(crate) const HOST_FUNCTION: &str = "host function";

/// The class of errors that are not UTF-8.
pub(crate) const ERROR_NOT_UTF8: &str = "error is not UTF-8";

/// The class of dispatches that panicked.
pub(crate) const PANIC: &str = "panic";

/// The prefix of the classes of undecodable answers.
pub(crate) const UNDECODABLE: &str = "undecodable";

/// The prefix of the classes of answers that are not the function's response.
pub(crate) const NOT_RESPONSE: &str = "undecodable: not the response";

/// The class of answers in a version that was not negotiated.
pub(crate) const WRONG_VERSION: &str = "undecodable: wrong _v";

/// The stage of a dispatch that failed. The names are the values of the reference's `stage` metric
/// label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Looking up the negotiated version of the function.
    VersionLookup,
    /// Serializing the request as a JSON object.
    RequestEnvelope,
    /// Calling the guest.
    PluginCall,
    /// Parsing the guest's answer as JSON.
    DeserializeResponse,
    /// Checking that the answer is an object with the negotiated version.
    ResponseEnvelope,
    /// Deserializing the object as the function's response.
    ResponseDecode,
    /// Any stage that panicked.
    Panic,
}

/// The cause of a fallback.
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
    /// The guest's input would be larger than [`INPUT_MAX_BYTES`](super::INPUT_MAX_BYTES); its size
    /// in bytes.
    #[error("the request has {0} bytes of JSON, too many for the guest")]
    RequestTooLarge(usize),
    /// The guest trapped.
    #[error("the guest trapped: {0}")]
    Trap(TrapKind),
    /// The guest used up its fuel.
    #[error("the guest ran out of fuel")]
    OutOfFuel,
    /// The guest exceeded the wall-clock limit.
    #[error("the guest ran into the wall-clock limit")]
    Timeout,
    /// The guest returned a code other than 0.
    #[error("the guest returned exit code {0}")]
    ExitCode(i32),
    /// A host function that the guest called failed, for example on an invalid handle.
    #[error("a host function failed: {0}")]
    HostFunction(String),
    /// The guest set an error, as guests do to refuse a request. The middle of a long text is left
    /// out.
    #[error("the guest set an error: \"{}\"", one_line(.0))]
    GuestError(String),
    /// The guest set an error that is not UTF-8.
    #[error("the guest set an error that is not UTF-8")]
    ErrorNotUtf8,
    /// The guest's answer is not a valid response.
    #[error("the guest's answer is undecodable: {0}")]
    Undecodable(Decoding),
    /// Extism failed in another way. About one in a million of the puppet's wild calls has this
    /// outcome, and any call if there is no memory for a new instance.
    #[error("the plugin runtime failed: {0}")]
    Runtime(String),
    /// The dispatch panicked.
    #[error("the dispatch panicked: {0}")]
    Panic(String),
}

/// The decoding step that failed on an answer.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decoding {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON, or JSON with trailing characters.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotObject,
    /// No `_v`.
    #[error("no _v")]
    VersionMissing,
    /// A `_v` that is not an unsigned integer.
    #[error("_v is not an unsigned integer")]
    VersionNotInteger,
    /// A `_v` that is not the negotiated version.
    #[error("_v is {actual}, but {expected} was negotiated")]
    VersionMismatch {
        /// The negotiated version.
        expected: u32,
        /// The version in the answer.
        actual: u64,
    },
    /// An object with the right version that does not deserialize as the function's response.
    #[error(
        "not the function's response: {}",
        crate::host::error_reason::at_field(field, why)
    )]
    NotResponse {
        /// The path of the invalid value, such as `headers[3].value`; `.` for the whole answer.
        field: String,
        /// The reason why it is invalid.
        why: String,
    },
    /// Lists and objects nested deeper than
    /// [`ANSWER_DEPTH_MAX`](crate::host::message_limits::ANSWER_DEPTH_MAX).
    #[error(
        "lists and objects nested more than {} levels deep",
        crate::host::message_limits::ANSWER_DEPTH_MAX
    )]
    TooDeep,
    /// More than [`ANSWER_VALUES_MAX`](crate::host::message_limits::ANSWER_VALUES_MAX) values.
    #[error("more than {} values", crate::host::message_limits::ANSWER_VALUES_MAX)]
    TooManyValues,
}

/// The kind of a WebAssembly trap, named as in wasmtime's `Trap`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrapKind {
    /// An `unreachable` instruction, which panics and aborts of most languages execute.
    Unreachable,
    /// An integer division by zero.
    IntegerDivisionByZero,
    /// An integer division whose result overflows.
    IntegerOverflow,
    /// A conversion of a float that has no integer value.
    BadConversionToInteger,
    /// A load or store outside of the memory.
    MemoryOutOfBounds,
    /// An access outside of a table.
    TableOutOfBounds,
    /// An indirect call of an empty table entry.
    IndirectCallToNull,
    /// An indirect call of a function of another type.
    BadSignature,
    /// The guest's call stack is exhausted.
    StackOverflow,
    /// A kind that this version does not know, in wasmtime's words.
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

    /// Returns the stable short name, as used in reports.
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
    /// Returns the stage that failed.
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
            // In Extism, the conversion to a string is part of the call.
            Self::Undecodable(Decoding::NotUtf8) => Stage::PluginCall,
            Self::Undecodable(_) => Stage::ResponseEnvelope,
            Self::Panic(_) => Stage::Panic,
            _ => Stage::PluginCall,
        }
    }

    /// Returns the stable short name of the kind of cause, without details. The table of a run has
    /// a column for each.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotNegotiated => "not negotiated",
            Self::RequestUnserializable(_) | Self::RequestNotObject => "bad request",
            Self::RequestTooLarge(_) => "too large",
            Self::Trap(_) => TRAP,
            Self::OutOfFuel => OUT_OF_FUEL,
            Self::Timeout => TIMEOUT,
            Self::ExitCode(_) => EXIT_CODE,
            Self::HostFunction(_) => HOST_FUNCTION,
            Self::GuestError(_) | Self::ErrorNotUtf8 => "guest error",
            Self::Undecodable(_) => UNDECODABLE,
            Self::Runtime(_) => "runtime",
            Self::Panic(_) => PANIC,
        }
    }

    /// Returns the kind of cause with the details that distinguish faults: the kind of trap, the
    /// exit code, or the reason why the answer is invalid.
    pub fn class(&self) -> String {
        let class = self.coarse_class();
        match self {
            Self::ExitCode(code) => format!("{class} {code}"),
            Self::Undecodable(Decoding::NotJson(why)) => {
                format!("{class}, {}", crate::host::error_reason::reason(why))
            }
            Self::Undecodable(Decoding::NotResponse { field, why }) => {
                let why = crate::host::error_reason::reason(why);
                format!(
                    "{class}, {}",
                    crate::host::error_reason::at_field(
                        &crate::host::error_reason::any_item(field),
                        &why
                    )
                )
            }
            _ => class,
        }
    }

    /// Returns the class without the details that a plugin can make up.
    pub fn coarse_class(&self) -> String {
        match self {
            Self::Trap(kind) => format!("{TRAP}: {kind}"),
            Self::ErrorNotUtf8 => ERROR_NOT_UTF8.to_owned(),
            Self::Undecodable(Decoding::NotJson(_)) => format!("{UNDECODABLE}: not JSON"),
            Self::Undecodable(Decoding::NotResponse { .. }) => NOT_RESPONSE.to_owned(),
            Self::Undecodable(Decoding::VersionMismatch { .. }) => WRONG_VERSION.to_owned(),
            Self::Undecodable(step) => format!("{UNDECODABLE}: {step}"),
            _ => self.kind().to_owned(),
        }
    }

    /// Returns whether the call may have been interrupted and have left the plugin's state
    /// half-way.
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

    /// Converts the error of an `extism::Plugin::call`. `time_is_over` says whether the call took
    /// all its time.
    ///
    /// Extism reports its own errors as messages of type `&'static str` ("timeout", "plugin ran out
    /// of fuel"), a trap as a [`wasmtime::Trap`], and the error of a host function with the guest's
    /// backtrace. Text from the guest is a `String` that begins with the guard's mark. Source:
    /// `Plugin::raw_call` and `Plugin::call` of extism 1.30.0, plugin.rs.
    pub(super) fn of_call(error: &extism::Error, time_is_over: bool) -> Self {
        // If the guest had set an error too, the trap is the context of that error.
        let context = error.downcast_ref::<wasmtime::Error>();
        let trap = error
            .downcast_ref::<wasmtime::Trap>()
            .or_else(|| context.and_then(|context| context.downcast_ref()));
        // This takes precedence over Extism's message: the timer of an earlier call may fire late
        // and interrupt what Extism does before the first call of an instance.
        if let Some(wasmtime::Trap::Interrupt) = trap {
            return Self::Timeout;
        }
        match error.downcast_ref::<&'static str>() {
            Some(&"timeout") => return Self::Timeout,
            Some(&"plugin ran out of fuel") => return Self::OutOfFuel,
            // Host functions use this type of message too.
            _ => {}
        }
        if let Some(trap) = trap {
            return match trap {
                wasmtime::Trap::OutOfFuel => Self::OutOfFuel,
                trap => Self::Trap(TrapKind::from_wasmtime(*trap)),
            };
        }
        // An error with the guest's frames comes from a host function, not from the guest's error
        // text.
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

    /// Converts the error of a host function.
    ///
    /// Extism asks the kernel for the length of an argument and takes any trap there for an invalid
    /// handle. The guard returns no invalid handle except -1, so for any other handle the trap was
    /// a stack overflow or a timeout; the guard checks for the end of the fuel before anything
    /// else. Source: `CurrentPlugin::memory_length`, `Plugin::raw_call` and pdk.rs of extism
    /// 1.30.0.
    fn of_host_function(words: &str, time_is_over: bool) -> Self {
        const NO_BLOCK: u64 = u64::MAX;
        // The messages of builds with HTTP and without.
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

    /// Converts an error that is text: an error of the guest, which has the guard's mark, or a
    /// message of Extism.
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

/// Returns the functions of the plugin on the stack when a call ended abnormally, innermost first,
/// without those of the guard, the front and Extism's kernel.
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
