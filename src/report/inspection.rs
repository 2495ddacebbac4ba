//! The description of a plugin: its module and what it negotiated.

use std::fmt::Display;

use comfy_table::{Table, presets};

use super::summary_table::plain;
use crate::host::NegotiatedTerms;
use crate::host::inspect::Inspection;
use crate::untrusted_text::{excerpt, one_line};

/// The width of a line beside its heading, in characters, unless one piece is longer.
const LINE_CHARS: usize = 84;

/// The description of a plugin; `agreed` is what the handshake agreed on, if it succeeded.
pub fn inspection_text(found: &Inspection, agreed: Option<&NegotiatedTerms>) -> String {
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
            .map(|(function, version)| format!("{} {version}", name(function)))
            .collect();
        rows.push(("functions", list(&functions)));
        let capabilities = agreed.capabilities.iter();
        let capabilities: Vec<_> = capabilities.map(|it| name(it)).collect();
        rows.push(("capabilities", list(&capabilities)));
    }
    let imports = found.imports.iter();
    let imports: Vec<_> = imports.map(|(_, import)| name(import)).collect();
    rows.push(("imports", list(&imports)));
    let exports = found.exports.iter();
    let exports: Vec<_> = exports
        .map(|(kind, export)| match &**kind {
            "function" => name(export),
            kind => format!("{} ({kind})", name(export)),
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
        let changes = found.changes.join("; ");
        let words: Vec<_> = changes.split(' ').map(str::to_owned).collect();
        rows.push(("the guard", lines(&words, " ")));
    }
    text(&rows)
}

fn identity(found: &Inspection) -> String {
    match &found.identity {
        Ok(identity) => one_line(format_args!(
            "{} {}, envelope {}",
            identity.plugin_name, identity.plugin_version, identity.abi_envelope
        )),
        Err(reason) => reason.clone(),
    }
}

/// A list of items, wrapped into lines.
fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        lines(&items, ", ")
    }
}

/// A name in one piece, truncated if it is long. One that is not plain is quoted, so that it cannot imitate our own text.
fn name(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        excerpt(name)
    } else {
        format!("\"{}\"", excerpt(&one_line(name).replace('"', "\\\"")))
    }
}

/// Pieces, as many per line as fit. None is broken.
fn lines(pieces: &[String], between: &str) -> String {
    let mut text = String::new();
    let mut line = 0;
    for piece in pieces {
        let length = piece.chars().count();
        if !text.is_empty() {
            text += between.trim_end();
            if line + between.len() + length > LINE_CHARS {
                text.push('\n');
                line = 0;
            } else {
                text.push(' ');
                line += between.len();
            }
        }
        text += piece;
        line += length;
    }
    text
}

fn text(rows: &[(&str, String)]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([*name, value.as_str()]);
    }
    plain(&table)
}
