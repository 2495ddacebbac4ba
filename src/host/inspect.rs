//! A description of a module and of the changes that the guard makes to it, without running it.
//!
//! Bugs in this module look like a wrong description.

use std::borrow::Cow;
use std::fmt;

use cc_lb_plugin_wire::identity::PluginIdentity;
use serde::{Deserialize, Serialize};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use super::guard::{self, Guarded};
use super::identity::read_identity;
use crate::host::guard::limits::{MEMORY_MAX_PAGES, TABLE_MAX_ENTRIES};
use crate::host::guard::rejection::Rejection;
use crate::host::guard::start_code::Start;

/// The description of a module.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The size of the module in bytes.
    pub size: usize,
    /// The size of the code section in bytes.
    pub code: usize,
    /// The plugin's identity, or the reason why it has none.
    pub identity: Result<PluginIdentity, String>,
    /// The imports in the module's order: module and name.
    pub imports: Vec<(String, String)>,
    /// The exports in the module's order: kind and name.
    pub exports: Vec<(Cow<'static, str>, String)>,
    /// The memories, in pages of 64 KiB.
    pub memories: Vec<Extent>,
    /// The tables, in entries.
    pub tables: Vec<Extent>,
    /// The changes that the guard makes, as texts.
    pub changes: Vec<String>,
}

/// The extent of a memory or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// The initial extent.
    pub minimum: u64,
    /// The maximum that the module declares, if any.
    pub maximum: Option<u64>,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.maximum {
            Some(maximum) => write!(f, "{} to {maximum}", self.minimum),
            None => write!(f, "{} or more", self.minimum),
        }
    }
}

/// Describes a module.
///
/// # Errors
/// Returns a [`Rejection`] if the bytes are not a module, or the guard refuses it.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, Rejection> {
    let guarded = guard::guarded(wasm)?;
    let mut found = Inspection {
        size: wasm.len(),
        code: 0,
        identity: read_identity(wasm).map_err(|error| error.to_string()),
        imports: Vec::new(),
        exports: Vec::new(),
        memories: Vec::new(),
        tables: Vec::new(),
        changes: Vec::new(),
    };
    for payload in Parser::new(0).parse_all(wasm) {
        found.add(payload?)?;
    }
    found.changes = found.changes(&guarded);
    Ok(found)
}

impl Inspection {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), Rejection> {
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    debug_assert!(matches!(import.ty, TypeRef::Func(_)), "no plugin may");
                    let (module, name) = (import.module.to_owned(), import.name.to_owned());
                    self.imports.push((module, name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let kind = match export.kind {
                        ExternalKind::Func | ExternalKind::FuncExact => "function",
                        ExternalKind::Table => "table",
                        ExternalKind::Memory => "memory",
                        ExternalKind::Global => "global",
                        ExternalKind::Tag => "tag",
                    };
                    self.exports.push((kind.into(), export.name.to_owned()));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    self.memories.push(Extent {
                        minimum: memory.initial,
                        maximum: memory.maximum,
                    });
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    let ty = table?.ty;
                    self.tables.push(Extent {
                        minimum: ty.initial,
                        maximum: ty.maximum,
                    });
                }
            }
            Payload::CodeSectionStart { size, .. } => self.code = size as usize,
            _ => {}
        }
        Ok(())
    }

    fn changes(&self, guarded: &Guarded) -> Vec<String> {
        let mut changes = Vec::new();
        if !self.imports.is_empty() {
            changes.push("gives it a kernel of its own in place of Extism's".to_owned());
        }
        if guarded.has_bulk {
            changes.push("makes bulk instructions interruptible".to_owned());
        }
        let above = |extents: &[Extent], most: u64| {
            let mut maxima = extents.iter().map(|extent| extent.maximum);
            maxima.any(|maximum| maximum.is_none_or(|maximum| maximum > most))
        };
        if above(&self.memories, MEMORY_MAX_PAGES) {
            changes.push(format!("bounds the memory to {MEMORY_MAX_PAGES} pages"));
        }
        if above(&self.tables, TABLE_MAX_ENTRIES) {
            changes.push(format!("bounds tables to {TABLE_MAX_ENTRIES} entries"));
        }
        let start_code = &guarded.start_code.instance;
        if !start_code.is_empty() {
            let names: Vec<_> = start_code.iter().map(Start::name).collect();
            let names = names.join(", ");
            changes.push(format!(
                "runs the start code ({names}) as a call, with the limits of any other; on the published host it must not \
                 use configuration, variables or logging, and its fuel is charged to a session's first request"
            ));
        }
        changes
    }
}
