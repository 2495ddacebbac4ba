//! What a module says of itself, and what the guard makes of it, without running it.
//!
//! A discrepancy here is a module described as what it is not.

use std::borrow::Cow;
use std::fmt;

use cc_lb_plugin_wire::identity::PluginIdentity;
use serde::{Deserialize, Serialize};
use wasmparser::{ExternalKind, Parser, Payload, TypeRef};

use super::guard::{self, Guarded, MEMORY_MAX_PAGES, Rejection, TABLE_MAX_ENTRIES};
use super::identity::read_identity;
use super::start::Start;

/// A module's description.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The size of the module in bytes.
    pub size: usize,
    /// The size of its code in bytes.
    pub code: usize,
    /// The identity that it carries, or why it has none.
    pub identity: Result<PluginIdentity, String>,
    /// What it imports: the module and the name, in its order.
    pub imports: Vec<(String, String)>,
    /// What it exports: the kind and the name, in its order.
    pub exports: Vec<(Cow<'static, str>, String)>,
    /// Its memories, in pages of 64 KiB.
    pub memories: Vec<Extent>,
    /// Its tables, in entries.
    pub tables: Vec<Extent>,
    /// What the guard changes, in words.
    pub changes: Vec<String>,
}

/// The extent of a memory or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// What there is at the start.
    pub minimum: u64,
    /// What there is at most; `None` where the module does not say.
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
/// [`Rejection`] where it is none, or one that no plugin may be.
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
            changes.push("lets bulk instructions be interrupted".to_owned());
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
                "runs the start code ({names}) as a call, with the limits of any other; on the published host it must ask \
                 for no configuration, variable or log, and its fuel is taken off that of a session's first request"
            ));
        }
        changes
    }
}
