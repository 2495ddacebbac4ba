//! Compares the harness with a bare `extism::Plugin::call` of the same bytes on the same guest.
//!
//! ```sh
//! cargo bench --bench speed
//! ```
//!
//! prints the table and writes it to `docs/speed.md`. Every figure is a ratio of two measurements
//! that alternate within this run, so that other load on the machine affects both: the median of
//! the rounds, with half the interquartile range. Bugs in this module look like a figure that other
//! runs on the same machine do not reproduce.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};

mod dispatches;
mod fuzz_target;
mod growth;
mod processes;
mod sessions;
mod stages;

/// A row of the table.
struct Figure {
    what: &'static str,
    /// The median of the rounds.
    value: f64,
    /// Half of their interquartile range.
    noise: f64,
    unit: &'static str,
    goal: &'static str,
    /// Absolute figures.
    aside: String,
}

impl Figure {
    /// Returns a figure of the values of all rounds.
    fn of(
        what: &'static str,
        rounds: &mut [f64],
        unit: &'static str,
        goal: &'static str,
        aside: String,
    ) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |part: f64| rounds[(part * (rounds.len() - 1) as f64).round() as usize];
        Self {
            what,
            value: at(0.5),
            noise: (at(0.75) - at(0.25)) / 2.0,
            unit,
            goal,
            aside,
        }
    }
}

fn main() {
    // `cargo test --all-targets` only checks that it builds.
    if !std::env::args().any(|argument| argument == "--bench") {
        println!("nothing is measured: cargo bench --bench speed");
        return;
    }
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted =
        |name: &str| only.is_empty() || only.iter().any(|only| name.contains(only.as_str()));
    let mut figures = Vec::new();
    for (name, measure) in [
        ("dispatches", dispatches::figures as fn() -> Vec<Figure>),
        ("sessions", sessions::figures),
        ("growth", growth::figures),
        ("processes", processes::figures),
        ("fuzz_target", fuzz_target::figures),
    ] {
        if wanted(name) {
            eprintln!("measuring {name}");
            figures.extend(measure());
        }
    }
    let mut text = table(&figures);
    if wanted("stages") {
        eprintln!("measuring stages");
        text += "\nWhere the time of a dispatch goes, of a guest that answers:\n\n";
        text += &stages::table();
    }
    println!("{text}");
    if only.is_empty() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/speed.md");
        let page = format!("{}\n\n{text}", include_str!("head.md").trim_end());
        std::fs::write(&file, page).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.set_header(["figure", "measured", "±", "goal", ""]);
    for figure in figures {
        let number = |value: f64| match value.abs() {
            size if size >= 100.0 => format!("{value:.0}"),
            size if size >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        table.add_row([
            figure.what.to_owned(),
            format!("{}{}", number(figure.value), figure.unit),
            number(figure.noise),
            figure.goal.to_owned(),
            figure.aside.clone(),
        ]);
    }
    for column in [1, 2] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    text(table)
}

/// Formats a table as text.
fn text(mut table: Table) -> String {
    table.load_style(presets::ASCII_MARKDOWN);
    table.lines().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{}", line.trim_end());
        text
    })
}
