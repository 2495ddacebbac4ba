//! The kill table: formats it, and reads and writes the stored one.

use std::collections::BTreeMap;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

use super::FaultyHost;

/// The stored table. `insta` also compares with it, and reads the lines before the table.
const STORED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/it/faulty/snapshots/it__faulty__kill_table__kill_table.snap"
);
const STORED_HEAD: &str =
    "---\nsource: tests/it/faulty/kill_table.rs\nexpression: \"table(&faults, &stored)\"\n---\n";

/// The row of a fault.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) check: String,
    /// The seeds that caught it, the median number of cases, and the smallest case. Dashes if they
    /// depend on the machine.
    pub(super) results: [String; 3],
}

/// The rows of a table: the faults that are caught, by name.
pub(super) type Entries = BTreeMap<String, Entry>;

/// Returns the entry of a fault. An entry with another check belongs to an earlier fault of that
/// name.
pub(super) fn entry_of<'e>(faulty: &FaultyHost, entries: &'e Entries) -> Option<&'e Entry> {
    let entry = entries.get(&faulty.name);
    entry.filter(|entry| entry.check == faulty.check)
}

/// Formats the table of these faults. Only those that are caught have rows.
pub(super) fn table<'f>(
    faults: impl IntoIterator<Item = &'f FaultyHost>,
    entries: &Entries,
) -> String {
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
        let column = table
            .column_mut(column)
            .expect("the table has five columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect::<String>()
        + &format!("\n{caught} of {total} faults caught by their own checks\n")
}

/// Parses a table that [`table`] formatted.
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
    // The header.
    entries.remove("fault");
    entries
}

/// Returns the cells of a line. Only the last one may contain a bar.
fn cells(line: &str) -> Option<[&str; 5]> {
    let inner = line.strip_prefix("| ")?.strip_suffix('|')?;
    let cells: Vec<&str> = inner.splitn(5, " | ").collect();
    cells.try_into().ok()
}

pub(super) fn stored_text() -> String {
    std::fs::read_to_string(STORED).expect("the stored table exists")
}

/// Stores the table. If a hunt is interrupted meanwhile, the previous table remains.
pub(super) fn store(faults: &[FaultyHost], entries: &Entries) {
    let part = Path::new(STORED).with_extension("part");
    let text = STORED_HEAD.to_owned() + &table(faults, entries);
    std::fs::write(&part, text).expect("the table can be written");
    std::fs::rename(&part, STORED).expect("the table can be replaced");
}
