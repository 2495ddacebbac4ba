//! Start code: what the published host runs of a module before any request, and which modules it does not open for it.
//!
//! Two layers look at exports by their names. Wasmtime links the module (`Linker::module`, linker.rs of wasmtime 43): it
//! tells a *command* (`_start`) from a *reactor* (all others), and runs a reactor's start section and `_initialize` on an
//! instance that nobody calls. Extism makes the instance that answers, and runs on it what the module's language needs
//! (`detect_guest_runtime` and `initialize_guest_runtime`, plugin.rs of extism 1.30.0). `_start` itself is never run.
//!
//! Bugs in this module look like a plugin that opens on one host and not on the other, or that answers otherwise there.

use std::collections::BTreeMap;

use thiserror::Error;
use wasmparser::{ExternalKind, FuncType, ValType};

use crate::line::one_line;

const COMMAND: &str = "_start";
const REACTOR: &str = "_initialize";
const CONSTRUCTORS: &str = "__wasm_call_ctors";
const HASKELL: &str = "hs_init";

/// Names that mean something to Extism or wasmtime, and that no request calls.
const NAMES: [&str; 4] = [COMMAND, REACTOR, CONSTRUCTORS, HASKELL];

/// What Extism calls `hs_init` with: no arguments of a command line.
const HASKELL_PARAMS: [ValType; 2] = [ValType::I32; 2];

/// What a command may export beside functions, by kind.
const OF_A_COMMAND: [(ExternalKind, &[&str]); 3] = [
    (ExternalKind::Memory, &["memory"]),
    (ExternalKind::Table, &["__indirect_function_table", "table"]),
    (
        ExternalKind::Global,
        &["__data_end", "__heap_base", "__dso_handle", "__rtti_base"],
    ),
];

/// Why the published host does not open a module with such exports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the published host cannot open the module: {0}")]
pub struct StartError(Reason);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
enum Reason {
    #[error(
        "it exports both {COMMAND} and {REACTOR}, and a program cannot be both a command and a reactor; leave one of them out"
    )]
    CommandAndReactor,
    #[error("its export {0} is not a function, as it must be")]
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
pub(super) struct Export<'a> {
    pub(super) name: &'a str,
    pub(super) kind: ExternalKind,
    /// The type of a function.
    pub(super) ty: Option<&'a FuncType>,
}

/// One of the functions that start code consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// The function of the start section.
    Section,
    Reactor,
    Constructors,
    /// With what it returns, which nobody reads.
    Haskell(Vec<ValType>),
}

impl Start {
    /// Its name, for people.
    pub(super) fn name(&self) -> &'static str {
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
pub(super) struct StartCode {
    /// What runs on the instance that answers, in this order.
    pub(super) instance: Vec<Start>,
    /// What runs on another instance before, and must succeed. Empty where that says nothing new: where the instance that
    /// answers begins with the same.
    pub(super) link: Vec<Start>,
}

/// Whether a name means something to Extism or wasmtime.
pub(super) fn is_reserved(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The start code of a module with these exports, in its order.
///
/// # Errors
/// [`StartError`] where the published host does not open it.
pub(super) fn start_code(
    exports: &[Export<'_>],
    has_section: bool,
) -> Result<StartCode, StartError> {
    let named: BTreeMap<&str, &Export<'_>> = exports.iter().map(|e| (e.name, e)).collect();
    let section = has_section.then_some(Start::Section);
    // As `ModuleKind::categorize` and what follows of it.
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
    // As `detect_guest_runtime`, for which there is nothing but functions.
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
        // Then the other one is not looked for.
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

/// So much of a name as is fit to be told: a module may have any.
pub(super) fn excerpt(name: &str) -> String {
    const MOST_CHARS: usize = 100;
    let chars: String = name.chars().take(MOST_CHARS).collect();
    one_line(chars)
}

fn is_plain(ty: &FuncType) -> bool {
    ty.params().is_empty() && ty.results().is_empty()
}
