//! The kill table: which check catches each fault, after how many cases, and the smallest case that shows it.
//!
//! ```sh
//! cargo test --release kill_table -- --ignored --nocapture
//! ```
//!
//! prints it and keeps the cases; what a seed comes to on every machine is a snapshot. That takes the better part of an hour,
//! so the other tests here run what was kept.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::opening::Opening;
use cc_lb_fuzz::oracle::CHECKS;
use cc_lb_fuzz::report::case_text;
use comfy_table::{CellAlignment, Table, presets};

use super::{Faulty, Kind, Shows, Tried, all};

/// The seeds that each fault is hunted with, and those by which modules are drawn: opening one takes seconds.
const SEEDS: u64 = 20;
const SEEDS_OF_MODULES: u64 = 2;

fn seeds(faulty: &Faulty) -> u64 {
    match faulty.kind {
        Kind::Module(..) => SEEDS_OF_MODULES,
        _ => SEEDS,
    }
}

/// A fault that takes more cases is not caught.
const CASES_MAX: u64 = 20_000;

/// To tell whether a fault is caught, nothing need be shrunk.
const NO_SHRINKING: ShrinkLimits = ShrinkLimits {
    candidates: 0,
    ..ShrinkLimits::DEFAULT
};

/// A case is shrunk to the end, however busy the machine is.
const TO_THE_END: ShrinkLimits = ShrinkLimits {
    time: Duration::from_secs(600),
    ..ShrinkLimits::DEFAULT
};

/// The file of the smallest case for a fault.
fn kept(faulty: &Faulty) -> PathBuf {
    let name = faulty.name.replace(' ', "-") + ".json";
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faulty/cases");
    PathBuf::from(folder).join(name)
}

/// The smallest case that was found for a fault.
pub fn read(faulty: &Faulty) -> Tried {
    let path = kept(faulty);
    let json = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: hunt it anew", path.display()));
    match faulty.kind {
        Kind::Opening(_) => Tried::Opening(Opening::decode(&json).expect("it is an opening")),
        Kind::Module(..) => Tried::Module(serde_json::from_slice(&json).expect("they are counts")),
        _ => Tried::Case(Case::decode(&json).expect("it is a case")),
    }
}

fn write(faulty: &Faulty, tried: &Tried) {
    let json = match tried {
        Tried::Case(case) => case.to_json().expect("it serializes"),
        Tried::Opening(opening) => opening.to_json().expect("it serializes"),
        Tried::Module(counts) => serde_json::to_string(&counts).expect("it serializes"),
    };
    let path = kept(faulty);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    std::fs::write(path, json).expect("it can be written");
}

/// A fault's row: its name and check, how many seeds caught it, after how many cases, and what shows it.
struct Row {
    caught: usize,
    median: Option<u64>,
    smallest: String,
}

fn hunt(faulty: &Faulty) -> Row {
    let seeds = seeds(faulty);
    let mut counts: Vec<u64> = (1..=seeds)
        .filter_map(|seed| Some(faulty.hunt(seed, CASES_MAX, NO_SHRINKING)?.0))
        .collect();
    counts.sort_unstable();
    let shrunk = (1..=seeds).find_map(|seed| faulty.hunt(seed, CASES_MAX, TO_THE_END));
    let smallest = shrunk.map(|(_, tried)| {
        write(faulty, &tried);
        match tried {
            Tried::Case(case) => case_text(&case),
            Tried::Opening(opening) => opening_text(&opening),
            Tried::Module(counts) => format!("{counts:?}"),
        }
    });
    Row {
        caught: counts.len(),
        // Seeds that did not catch it stand behind all that did.
        median: counts.get(seeds as usize / 2).copied(),
        smallest: smallest.unwrap_or_default(),
    }
}

/// How an opening differs from a sound one.
fn opening_text(opening: &Opening) -> String {
    let sound = Opening::sound(opening.exports.iter().map(String::as_str));
    let json = |opening: &Opening| serde_json::to_value(opening).expect("it serializes");
    let (own, sound) = (json(opening), json(&sound));
    let fields = own.as_object().expect("an object").iter();
    let differ = fields.filter(|(name, value)| sound.get(*name) != Some(value));
    let mut text = format!("exports {:?}\n", opening.exports);
    for (name, value) in differ {
        let value: String = value.to_string().chars().take(160).collect();
        text += &format!("{name} = {value}\n");
    }
    text
}

/// Hunts all faults, as many at a time as there are processors.
fn hunt_all(faults: &[Faulty]) -> Vec<Row> {
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, Row)>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(faulty) = faults.get(place) else {
                        break;
                    };
                    let row = hunt(faulty);
                    eprintln!("{}: {:?} cases", faulty.name, row.median);
                    let mut rows = rows.lock().expect("nobody panicked");
                    rows.push((place, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("nobody panicked");
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// The table, with the results of those faults for which `is_told` says so.
fn table(faults: &[Faulty], rows: &[Row], is_told: impl Fn(&Faulty) -> bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["fault", "check", "seeds", "cases (median)", "smallest case"]);
    for (faulty, row) in faults.iter().zip(rows) {
        let median = row
            .median
            .map_or("none".to_owned(), |cases| cases.to_string());
        let caught = format!("{}/{}", row.caught, seeds(faulty));
        let smallest = row.smallest.trim_end();
        let results = [&caught, &median, smallest].map(|of| if is_told(faulty) { of } else { "-" });
        table.add_row([&faulty.name, faulty.check].into_iter().chain(results));
    }
    for column in [2, 3] {
        let column = table.column_mut(column).expect("it is there");
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    let caught = rows.iter().filter(|row| row.median.is_some()).count();
    let total = rows.len();
    lines.collect::<String>()
        + &format!("\n{caught} of {total} faults caught by their own checks\n")
}

#[test]
#[ignore = "takes the better part of an hour in a release build; it is one command, above"]
fn kill_table() {
    let only = std::env::var("CC_LB_FUZZ_FAULT").ok();
    let mut faults = all();
    faults.retain(|faulty| only.as_ref().is_none_or(|only| faulty.name == *only));
    assert!(!faults.is_empty(), "there is no such fault");
    // Hosts that panic do so thousands of times.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let rows = hunt_all(&faults);
    std::panic::set_hook(hook);
    println!("{}", table(&faults, &rows, |_| true));
    let missed: Vec<&str> = faults
        .iter()
        .zip(&rows)
        .filter(|(_, row)| row.median.is_none())
        .map(|(faulty, _)| &*faulty.name)
        .collect();
    assert_eq!(missed, [""; 0], "not caught");
    if only.is_none() {
        let same_everywhere = |faulty: &Faulty| faulty.shows == Shows::TheSameEverywhere;
        insta::assert_snapshot!("kill_table", table(&faults, &rows, same_everywhere));
    }
}

#[test]
fn every_fault_is_caught_by_its_own_check_and_the_sound_host_by_none() {
    for faulty in all() {
        let tried = [read(&faulty)];
        // On a busy machine it may take some tries to measure anything; all else shows at once.
        let tries = if faulty.shows == Shows::InAMeasurement {
            5
        } else {
            1
        };
        let own = (0..tries).any(|_| {
            let found = faulty.found(&tried).concat();
            found.iter().any(|check| check == faulty.check)
        });
        assert!(own, "{}: not found by {}", faulty.name, faulty.check);
        let found = faulty.found_on_the_sound_host(&tried).concat();
        assert_eq!(found, [""; 0], "the sound host, tried for {}", faulty.name);
    }
}

#[test]
fn every_check_has_a_fault_that_it_catches_and_no_case_is_kept_for_nothing() {
    let faults = all();
    let own: BTreeSet<&str> = faults.iter().map(|faulty| faulty.check).collect();
    for check in CHECKS {
        // What is wrong with a plugin is no fault of a host.
        let of_plugins = [
            "plugin_fault",
            "plugin_limit",
            "linear_cost",
            "no_drift",
            "no_carryover",
        ];
        assert!(own.contains(check.name()) || of_plugins.contains(&check.name()));
    }
    let table = include_str!("snapshots/it__faulty__kill_table__kill_table.snap");
    for faulty in &faults {
        let row = format!("| {} ", faulty.name);
        assert!(table.contains(&row), "{} was never hunted", faulty.name);
    }
    let all = format!("{0} of {0} faults caught", faults.len());
    assert!(table.contains(&all));
    let names: BTreeSet<PathBuf> = faults.iter().map(kept).collect();
    assert_eq!(names.len(), faults.len(), "names are unique");
    let folder = kept(&faults[0]);
    let folder = folder.parent().expect("a folder");
    for file in std::fs::read_dir(folder).expect("it is there") {
        let path = file.expect("it can be read").path();
        assert!(names.contains(&path), "{} is no fault's", path.display());
    }
}
