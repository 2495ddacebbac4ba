//! The kill table as a text, and the stored one.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

use super::Faulty;

/// The stored table. `insta` compares with it, too, and reads the lines before the table.
const STORED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/faulty/snapshots/it__faulty__kill_table__kill_table.snap"
);
const STORED_HEAD: &str =
    "---\nsource: tests/it/faulty/kill_table.rs\nexpression: \"table(&faults, &stored)\"\n---\n";

/// What a table says of a fault.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) check: String,
    /// The seeds that caught it, the median of their cases, and the smallest case; dashes where another machine has others.
    pub(super) results: [String; 3],
}

/// A table: those faults that are caught, by their names.
pub(super) type Entries = BTreeMap<String, Entry>;

/// The entry of a fault. One of another check is of an earlier fault of that name.
pub(super) fn entry_of<'e>(faulty: &Faulty, entries: &'e Entries) -> Option<&'e Entry> {
    let entry = entries.get(&faulty.name);
    entry.filter(|entry| entry.check == faulty.check)
}

/// The table of these faults, as far as they are caught.
pub(super) fn table<'f>(faults: impl IntoIterator<Item = &'f Faulty>, entries: &Entries) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["fault", "check", "seeds", "cases (median)", "smallest case"]);
    let (mut caught, mut total) = (0, 0);
    for faulty in faults {
        total += 1;
        if let Some(Entry { check, results }) = entry_of(faulty, entries) {
            caught += 1;
            let own = [&faulty.name, check].into_iter();
            table.add_row(own.chain(results));
        }
    }
    for column in [2, 3] {
        let column = table.column_mut(column).expect("it is there");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect::<String>()
        + &format!("\n{caught} of {total} faults caught by their own checks\n")
}

/// What a table says, as [`table`] writes it.
pub(super) fn read_table(text: &str) -> Entries {
    let mut entries = Entries::new();
    let mut last = String::new();
    for [name, check, caught, median, smallest] in text.lines().filter_map(cells) {
        let name = name.trim();
        let smallest = smallest.trim_end();
        if !name.is_empty() {
            name.clone_into(&mut last);
            let results = [caught.trim(), median.trim(), smallest].map(str::to_owned);
            let check = check.trim().to_owned();
            entries.insert(last.clone(), Entry { check, results });
        } else if let Some(entry) = entries.get_mut(&last) {
            // A further line of the smallest case.
            let case = &mut entry.results[2];
            case.push('\n');
            case.push_str(smallest);
        }
    }
    // What stands above the columns.
    entries.remove("fault");
    entries
}

/// The cells of a line; only the last one may have a bar in it.
fn cells(line: &str) -> Option<[&str; 5]> {
    let inner = line.strip_prefix("| ")?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.splitn(5, " | ").collect();
    cells.try_into().ok()
}

pub(super) fn stored_text() -> String {
    std::fs::read_to_string(STORED).expect("it is there")
}

/// Stores the table. A hunt that is ended in the middle of this leaves the one before.
pub(super) fn store(faults: &[Faulty], entries: &Entries) {
    let part = Path::new(STORED).with_extension("part");
    let text = STORED_HEAD.to_owned() + &table(faults, entries);
    std::fs::write(&part, text).expect("it can be written");
    std::fs::rename(&part, STORED).expect("it can be replaced");
}
