//! Start code: the code of a module that the published host runs before any request, and the
//! modules that it does not open because of it.
//!
//! Two layers look at exports by name. Wasmtime links the module (`Linker::module`, linker.rs of
//! wasmtime 43): it distinguishes a *command* (`_start`) from a *reactor* (all others), and runs a
//! reactor's start section and `_initialize` on an instance that no request uses. Extism creates
//! the instance that answers requests, and runs on it what the runtime of the module's language
//! needs (`detect_guest_runtime` and `initialize_guest_runtime`, plugin.rs of extism 1.30.0).
//! `_start` itself is never run.
//!
//! Bugs in this module look like a plugin that opens on one host and not on the other, or that
//! answers differently.

use std::collections::BTreeMap;

use thiserror::Error;
use wasmparser::{ExternalKind, FuncType, ValType};

use crate::untrusted_text::one_line;

const COMMAND: &str = "_start";
const REACTOR: &str = "_initialize";
const CONSTRUCTORS: &str = "__wasm_call_ctors";
const HASKELL: &str = "hs_init";

/// Names that are special to Extism or wasmtime, and that no request can call.
const NAMES: [&str; 4] = [COMMAND, REACTOR, CONSTRUCTORS, HASKELL];

/// The parameters of `hs_init`. Extism passes no command-line arguments.
const HASKELL_PARAMS: [ValType; 2] = [ValType::I32; 2];

/// The exports besides functions that a command may have, by kind.
const OF_A_COMMAND: [(ExternalKind, &[&str]); 3] = [
    (ExternalKind::Memory, &["memory"]),
    (ExternalKind::Table, &["__indirect_function_table", "table"]),
    (
        ExternalKind::Global,
        &["__data_end", "__heap_base", "__dso_handle", "__rtti_base"],
    ),
];

/// The reason why the published host does not open a module with such exports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the published host cannot open the module: {0}")]
pub struct StartError(Reason);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Reason {
    #[error(
        "it exports both {COMMAND} and {REACTOR}, and a program cannot be both a command and a reactor; leave one of them out"
    )]
    CommandAndReactor,
    #[error("its export {0} must be a function")]
    NotAFunction(&'static str),
    #[error(
        "it exports {COMMAND}, which makes it a command, and the export {0:?} of a command is not a function; leave one of them out"
    )]
    ExportOfCommand(String),
    #[error("its {REACTOR} must take no parameters and return nothing")]
    ReactorType,
    #[error("its {HASKELL} must take two i32: Extism calls it with (0, 0)")]
    HaskellType,
}

/// An export of a module.
pub(crate) struct Export<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: ExternalKind,
    /// The type, if the export is a function.
    pub(crate) ty: Option<&'a FuncType>,
}

/// One of the functions that make up the start code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The function of the start section.
    Section,
    Reactor,
    Constructors,
    /// `hs_init`, with its results, which are dropped.
    Haskell(Vec<ValType>),
}

impl Start {
    /// Returns the name for messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Section => "the start section",
            Self::Reactor => REACTOR,
            Self::Constructors => CONSTRUCTORS,
            Self::Haskell(_) => HASKELL,
        }
    }
}

/// The start code of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartCode {
    /// The functions that run on the instance that answers requests, in this order.
    pub(crate) instance: Vec<Start>,
    /// The functions that run on another instance before, and must succeed. Empty if the instance
    /// that answers requests begins with the same functions.
    pub(crate) link: Vec<Start>,
}

/// Returns whether a name is special to Extism or wasmtime.
pub(crate) fn is_reserved(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Returns the start code of a module with these exports.
///
/// # Errors
/// Returns a [`StartError`] if the published host does not open the module.
pub(crate) fn start_code(
    exports: &[Export<'_>],
    has_section: bool,
) -> Result<StartCode, StartError> {
    let named: BTreeMap<&str, &Export<'_>> = exports.iter().map(|e| (e.name, e)).collect();
    let section = has_section.then_some(Start::Section);
    // Like `ModuleKind::categorize` and the code that uses it.
    let (link, reactor) = match (named.get(COMMAND), named.get(REACTOR)) {
        (Some(_), Some(_)) => return Err(StartError(Reason::CommandAndReactor)),
        (Some(command), None) => {
            check_command(command, exports)?;
            (None, None)
        }
        (None, Some(reactor)) => match reactor.ty {
            None => return Err(StartError(Reason::NotAFunction(REACTOR))),
            Some(ty) if !is_plain(ty) => return Err(StartError(Reason::ReactorType)),
            Some(_) => (Some(Start::Reactor), Some(Start::Reactor)),
        },
        (None, None) => (None, None),
    };
    // Like `detect_guest_runtime`, which only looks at functions.
    let function = |name| named.get(name).and_then(|export| export.ty);
    let runtime: Vec<Start> = match (function(HASKELL), function(CONSTRUCTORS)) {
        (Some(ty), _) if ty.params() != HASKELL_PARAMS => {
            return Err(StartError(Reason::HaskellType));
        }
        (Some(ty), _) => {
            let haskell = Start::Haskell(ty.results().to_vec());
            reactor.into_iter().chain([haskell]).collect()
        }
        (None, Some(ty)) if is_plain(ty) => vec![Start::Constructors],
        // Then Extism does not look for `_initialize`.
        (None, Some(_)) => Vec::new(),
        (None, None) => reactor.into_iter().collect(),
    };
    let instance: Vec<_> = section.clone().into_iter().chain(runtime).collect();
    let link: Vec<_> = section.into_iter().chain(link).collect();
    let link = if instance.starts_with(&link) {
        Vec::new()
    } else {
        link
    };
    Ok(StartCode { instance, link })
}

fn check_command(command: &Export<'_>, exports: &[Export<'_>]) -> Result<(), StartError> {
    if command.ty.is_none() {
        return Err(StartError(Reason::NotAFunction(COMMAND)));
    }
    let may_have = |export: &Export<'_>| {
        let mut kinds = OF_A_COMMAND.iter();
        export.ty.is_some()
            || kinds.any(|(kind, names)| *kind == export.kind && names.contains(&export.name))
    };
    match exports.iter().find(|export| !may_have(export)) {
        Some(other) => Err(StartError(Reason::ExportOfCommand(excerpt(other.name)))),
        None => Ok(()),
    }
}

/// Returns the start of a name as it is displayed, in one line. A module may have any name.
pub(crate) fn excerpt(name: &str) -> String {
    const MOST_CHARS: usize = 100;
    let chars: String = name.chars().take(MOST_CHARS).collect();
    one_line(chars)
}

fn is_plain(ty: &FuncType) -> bool {
    ty.params().is_empty() && ty.results().is_empty()
}
