//! The limits of a plugin as a table.

use comfy_table::{CellAlignment, Table, presets};

use super::summary_table::plain;
use crate::limits::Limit;

/// A row for each field that can grow: the largest size that is answered, the fuel per unit, and the outcome of the next
/// size.
pub fn limits_text(limits: &[Limit]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "function",
        "field",
        "largest",
        "",
        "fuel per unit",
        "beyond",
    ]);
    for limit in limits {
        table.add_row([
            limit.function.clone(),
            limit.field.clone(),
            limit.largest.map_or("none".to_owned(), |n| n.to_string()),
            limit.unit.clone(),
            fuel_for_each(limit).map_or(String::new(), |fuel| format!("{fuel:.1}")),
            limit
                .beyond
                .clone()
                .unwrap_or_else(|| "nothing larger was tried".to_owned()),
        ]);
    }
    for column in [2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    plain(&table)
}

/// The fuel per additional unit, from the first and the last measured size.
fn fuel_for_each(limit: &Limit) -> Option<f64> {
    let (first, last) = (limit.curve.first()?, limit.curve.last()?);
    let more = last.fuel?.checked_sub(first.fuel?)?;
    (last.size > first.size).then(|| more as f64 / (last.size - first.size) as f64)
}
