//! What a plugin is: the description of its module and what it negotiated.

use std::fmt::Display;

use comfy_table::{Table, presets};

use super::table::plain;
use crate::host::Agreed;
use crate::host::inspect::Inspection;
use crate::line::one_line;

/// The description of a plugin; `agreed` is what the handshake agreed on, where it did.
pub fn inspection_text(found: &Inspection, agreed: Option<&Agreed>) -> String {
    let mut rows = vec![
        ("identity", identity(found)),
        (
            "module",
            format!("{} bytes, {} of code", found.size, found.code),
        ),
    ];
    if let Some(agreed) = agreed {
        let functions = agreed.functions.iter();
        let functions: Vec<_> = functions
            .map(|(name, version)| format!("{name} {version}"))
            .collect();
        rows.push(("functions", list(&functions)));
        let capabilities: Vec<_> = agreed.capabilities.iter().collect();
        rows.push(("capabilities", list(&capabilities)));
    }
    let imports: Vec<_> = found.imports.iter().map(|(_, name)| name).collect();
    rows.push(("imports", list(&imports)));
    let exports = found.exports.iter();
    let exports: Vec<_> = exports
        .map(|(kind, name)| match *kind {
            "function" => name.clone(),
            kind => format!("{name} ({kind})"),
        })
        .collect();
    rows.push(("exports", list(&exports)));
    if !found.memories.is_empty() {
        rows.push(("memory", list(&found.memories) + " pages of 64 KiB"));
    }
    if !found.tables.is_empty() {
        rows.push(("tables", list(&found.tables) + " entries"));
    }
    if !found.changes.is_empty() {
        rows.push(("the guard", found.changes.join("; ")));
    }
    text(&rows)
}

fn identity(found: &Inspection) -> String {
    match &found.identity {
        Ok(identity) => one_line(format_args!(
            "{} {}, envelope {}",
            identity.plugin_name, identity.plugin_version, identity.abi_envelope
        )),
        Err(error) => error.to_string(),
    }
}

fn list<T: Display>(items: &[T]) -> String {
    let items = items.iter().map(one_line);
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

fn text(rows: &[(&str, String)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    // A width that reads well; the same wherever it is printed.
    table.set_width(100);
    for (name, value) in rows {
        table.add_row([*name, value.as_str()]);
    }
    plain(&table)
}
