//! The kill table: which check catches each fault, the median number of cases that takes, and the
//! smallest case that shows the fault.
//!
//! This command hunts all faults and stores their cases. It compares the results that do not depend
//! on the machine with the stored table:
//!
//! ```sh
//! cargo test --release kill_table -- --ignored --nocapture
//! ```
//!
//! It takes hours, so the other tests in this file run the stored cases.
//!
//! `CC_LB_FUZZ_FAULT` selects the faults to hunt: names or the beginnings of names, separated by
//! commas; `missing` stands for all faults without a row. Each row is written to the stored table
//! as soon as it is known, so the next hunt for missing rows resumes where an interrupted one
//! stopped. To hunt the whole table again, empty its file first.
//!
//! `CC_LB_FUZZ_SEEDS` limits the number of seeds per fault. With fewer than all seeds, no row is
//! stored.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cc_lb_fuzz::case::{Case, ShrinkLimits};
use cc_lb_fuzz::check::CHECKS;
use cc_lb_fuzz::handshake_case::HandshakeCase;
use cc_lb_fuzz::report::case_text;

use super::table::{Entries, Entry, entry_of, read_table, store, stored_text, table};
use super::{FaultyHost, Kind, Reproducibility, TestInput, all};

/// The number of seeds per fault, and per fault that modules show, because loading one takes
/// seconds.
const SEEDS: u64 = 20;
const MODULE_SEEDS: u64 = 2;

fn seeds(faulty: &FaultyHost) -> u64 {
    let most = match faulty.kind {
        Kind::Module(..) => MODULE_SEEDS,
        _ => SEEDS,
    };
    seeds_from_env().map_or(most, |seeds| seeds.min(most))
}

fn seeds_from_env() -> Option<u64> {
    let seeds = std::env::var("CC_LB_FUZZ_SEEDS").ok()?;
    Some(seeds.parse().expect("CC_LB_FUZZ_SEEDS is a number"))
}

/// The maximum number of cases per seed.
const MAX_CASES: u64 = 20_000;

/// In a hunt for missing rows, a fault that none of this many seeds catches is given up to save
/// time. If it is hunted by name, all seeds run.
const FIRST_SEEDS: u64 = 3;

/// Selects all faults without a row.
const MISSING: &str = "missing";

/// Counting cases needs no shrinking.
const NO_SHRINKING: ShrinkLimits = ShrinkLimits {
    candidates: 0,
    ..ShrinkLimits::DEFAULT
};

/// Enough time to shrink a case completely, even on a busy machine.
const FULL_SHRINKING: ShrinkLimits = ShrinkLimits {
    time: Duration::from_secs(600),
    ..ShrinkLimits::DEFAULT
};

/// Returns the path of the smallest case of a fault.
fn case_path(faulty: &FaultyHost) -> PathBuf {
    let name = faulty.name.replace(' ', "-") + ".json";
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faulty/cases");
    PathBuf::from(folder).join(name)
}

/// Reads the stored smallest case of a fault.
pub fn read_smallest(faulty: &FaultyHost) -> TestInput {
    let path = case_path(faulty);
    let json = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}: hunt it again", path.display()));
    match faulty.kind {
        Kind::HandshakeCase(_) => TestInput::HandshakeCase(
            HandshakeCase::decode(&json).expect("the file is a handshake case"),
        ),
        Kind::Module(..) => {
            TestInput::Module(serde_json::from_slice(&json).expect("the file is a module's counts"))
        }
        _ => TestInput::Case(Case::decode(&json).expect("the file is a case")),
    }
}

fn write_smallest(faulty: &FaultyHost, input: &TestInput) {
    let json = match input {
        TestInput::Case(case) => case.to_json().expect("a case serializes"),
        TestInput::HandshakeCase(case) => case.to_json().expect("a case serializes"),
        TestInput::Module(counts) => serde_json::to_string(&counts).expect("counts serialize"),
    };
    let path = case_path(faulty);
    std::fs::create_dir_all(path.parent().expect("the case is in a folder"))
        .expect("the folder can be created");
    std::fs::write(path, json).expect("the case can be written");
}

/// The result of hunting a fault.
struct Row {
    /// The number of seeds that caught it, and the number that ran.
    caught: usize,
    ran: u64,
    /// The median number of cases; `None` if it is not caught.
    median: Option<u64>,
    /// The smallest case that shows it, as text.
    smallest: String,
}

impl Row {
    /// Returns its entry in a table, with dashes instead of the results if these are hidden.
    /// Returns `None` if it is not caught.
    fn entry(&self, faulty: &FaultyHost, shows_results: bool) -> Option<Entry> {
        let median = self.median?.to_string();
        let caught = format!("{}/{}", self.caught, seeds(faulty));
        let results = [caught, median, self.smallest.clone()];
        Some(Entry {
            check: faulty.check.to_owned(),
            results: results.map(|result| {
                if shows_results {
                    result
                } else {
                    "-".to_owned()
                }
            }),
        })
    }
}

fn hunt(faulty: &FaultyHost, first_seeds: u64) -> Row {
    let seeds = seeds(faulty);
    let mut counts: Vec<u64> = Vec::new();
    let mut ran = 0;
    for seed in 1..=seeds {
        let found = faulty.hunt(seed, MAX_CASES, NO_SHRINKING);
        counts.extend(found.map(|(count, _)| count));
        ran = seed;
        let missed = seed - counts.len() as u64;
        // If half of the seeds miss it, there is no median.
        let has_no_median = missed >= seeds - seeds / 2;
        if has_no_median || (counts.is_empty() && missed >= first_seeds) {
            break;
        }
    }
    counts.sort_unstable();
    // Seeds that miss it sort after all others.
    let median = counts.get(seeds as usize / 2).copied();
    let shown = median.and_then(|_| smallest(faulty, seeds));
    if median.is_some() && shown.is_none() {
        eprintln!("{}: no single case shows it", faulty.name);
    }
    Row {
        caught: counts.len(),
        ran,
        median: median.filter(|_| shown.is_some()),
        smallest: shown.as_ref().map(input_text).unwrap_or_default(),
    }
}

/// Finds and stores the smallest case that shows a fault on a host that has run nothing else.
fn smallest(faulty: &FaultyHost, seeds: u64) -> Option<TestInput> {
    let stored = || {
        let input = case_path(faulty).exists().then(|| read_smallest(faulty));
        input.filter(|input| reproduces(faulty, input))
    };
    // Shrunk again, a case that depends on time might show the fault on this machine only.
    if faulty.reproducibility != Reproducibility::Deterministic
        && let Some(input) = stored()
    {
        return Some(input);
    }
    let shrunk = (1..=seeds).find_map(|seed| faulty.hunt(seed, MAX_CASES, FULL_SHRINKING));
    let shrunk = shrunk.map(|(_, input)| input);
    // If sessions share state, a case may only show the fault after the cases before it.
    let shown = shrunk.filter(|input| reproduces(faulty, input));
    let shown = shown.or_else(stored)?;
    write_smallest(faulty, &shown);
    Some(shown)
}

/// Returns whether the fault's own check finds something in this input alone.
fn reproduces(faulty: &FaultyHost, input: &TestInput) -> bool {
    // A measurement may need several attempts on a busy machine, where it proves nothing.
    let is_measured =
        faulty.reproducibility == Reproducibility::Measured || faulty.check == "within_wall";
    let attempts = if is_measured { 20 } else { 1 };
    (0..attempts).any(|_| {
        let found = faulty.run_checks(std::slice::from_ref(input)).concat();
        found.iter().any(|check| check == faulty.check)
    })
}

/// Formats an input for the table, without white space at the ends of lines.
fn input_text(input: &TestInput) -> String {
    let text = match input {
        TestInput::Case(case) => case_text(case),
        TestInput::HandshakeCase(case) => handshake_case_text(case),
        TestInput::Module(counts) => format!("{counts:?}"),
    };
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Formats the fields in which a handshake case differs from a sound one.
fn handshake_case_text(case: &HandshakeCase) -> String {
    let sound = HandshakeCase::sound(case.exports.iter().map(String::as_str));
    let json = |case: &HandshakeCase| serde_json::to_value(case).expect("a case serializes");
    let (own, sound) = (json(case), json(&sound));
    let fields = own.as_object().expect("a case is an object").iter();
    let differ = fields.filter(|(name, value)| sound.get(*name) != Some(value));
    let mut text = format!("exports {:?}\n", case.exports);
    for (name, value) in differ {
        let value: String = value.to_string().chars().take(160).collect();
        text += &format!("{name} = {value}\n");
    }
    text
}

/// Hunts faults in this many threads. Prints each result as soon as it is known, and passes it on.
fn hunt_each(
    faults: &[&FaultyHost],
    threads: usize,
    first_seeds: u64,
    record_row: &(impl Fn(&FaultyHost, &Row) + Sync),
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&faulty) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let row = hunt_catching_panics(faulty, first_seeds);
                    let median = row.median.map_or_else(
                        || "not caught".to_owned(),
                        |median| format!("median {median} cases"),
                    );
                    eprintln!(
                        "{}: {} of {} seeds, {median}, {} s",
                        faulty.name,
                        row.caught,
                        row.ran,
                        start.elapsed().as_secs()
                    );
                    record_row(faulty, &row);
                }
            });
        }
    });
}

/// Hunts a fault. If the hunt panics, prints the message, and other hunts continue.
fn hunt_catching_panics(faulty: &FaultyHost, first_seeds: u64) -> Row {
    let row = catch_unwind(AssertUnwindSafe(|| hunt(faulty, first_seeds)));
    row.unwrap_or_else(|panic| {
        eprintln!(
            "{}: the hunt panicked: {}",
            faulty.name,
            panic_text(&*panic)
        );
        Row {
            caught: 0,
            ran: 0,
            median: None,
            smallest: String::new(),
        }
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default()
}

/// Returns the sort key of the order of hunts: faster ones run first.
fn hunt_order(faulty: &FaultyHost) -> u8 {
    match &faulty.kind {
        Kind::Dispatch(_) if faulty.reproducibility == Reproducibility::Deterministic => 0,
        // Each case is compiled.
        Kind::HandshakeCase(_) => 1,
        Kind::Dispatch(_) => 2,
        Kind::Process(_) | Kind::Published => 3,
        Kind::Module(..) => 4,
    }
}

/// Returns the selected faults: see the documentation of this file.
fn selected<'f>(
    faults: &'f [FaultyHost],
    selection: &str,
    stored: &Entries,
) -> Vec<&'f FaultyHost> {
    let selectors = selection.split(',').map(str::trim);
    let selectors: Vec<&str> = selectors.filter(|selector| !selector.is_empty()).collect();
    assert!(!selectors.is_empty(), "CC_LB_FUZZ_FAULT selects no fault");
    let matches = |faulty: &FaultyHost, selector: &str| {
        if selector == MISSING {
            entry_of(faulty, stored).is_none()
        } else if faults.iter().any(|other| other.name == selector) {
            faulty.name == selector
        } else {
            faulty.name.starts_with(selector)
        }
    };
    for &selector in &selectors {
        let exists = faults.iter().any(|faulty| matches(faulty, selector));
        assert!(
            exists || selector == MISSING,
            "there is no fault {selector}"
        );
    }
    let is_selected =
        |faulty: &&FaultyHost| selectors.iter().any(|selector| matches(faulty, selector));
    faults.iter().filter(is_selected).collect()
}

#[test]
#[ignore = "takes hours in a release build; see the command above"]
fn kill_table() {
    let selection = std::env::var("CC_LB_FUZZ_FAULT").ok();
    let has_all_seeds = seeds_from_env().is_none();
    let faults = all();
    // Without a selection, the new table is compared with the stored one.
    let (hunted, stored) = match &selection {
        Some(selection) => {
            let stored = read_table(&stored_text());
            (selected(&faults, selection, &stored), stored)
        }
        None => (faults.iter().collect(), Entries::new()),
    };
    let is_stored = selection.is_some() && has_all_seeds;
    let mut selectors = selection.iter().flat_map(|selection| selection.split(','));
    let first_seeds = if selectors.any(|selector| selector.trim() == MISSING) {
        FIRST_SEEDS
    } else {
        SEEDS
    };
    let mut queue = hunted.clone();
    queue.sort_by_key(|faulty| hunt_order(faulty));
    // Measurements are unreliable while other hunts run.
    let is_measured = |faulty: &&FaultyHost| faulty.reproducibility == Reproducibility::Measured;
    let (alone, others): (Vec<&FaultyHost>, Vec<&FaultyHost>) =
        queue.into_iter().partition(is_measured);
    let found = Mutex::new((Entries::new(), stored));
    let record_row = |faulty: &FaultyHost, row: &Row| {
        let mut found = found.lock().expect("no thread panicked");
        let (new, stored) = &mut *found;
        let is_deterministic = faulty.reproducibility == Reproducibility::Deterministic;
        for (entries, shows_results) in [(new, true), (&mut *stored, is_deterministic)] {
            match row.entry(faulty, shows_results) {
                Some(entry) => drop(entries.insert(faulty.name.clone(), entry)),
                None => drop(entries.remove(&faulty.name)),
            }
        }
        if is_stored {
            store(&faults, stored);
        }
    };
    // Do not print the thousands of panics of hosts.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    hunt_each(&others, processors, first_seeds, &record_row);
    hunt_each(&alone, 1, first_seeds, &record_row);
    std::panic::set_hook(hook);
    let (new, stored) = found.into_inner().expect("no thread panicked");
    println!("{}", table(hunted.iter().copied(), &new));
    let missed = hunted
        .iter()
        .filter(|faulty| entry_of(faulty, &new).is_none());
    let missed: Vec<&str> = missed.map(|faulty| &*faulty.name).collect();
    assert_eq!(missed, [""; 0], "not caught");
    if selection.is_none() && has_all_seeds {
        insta::assert_snapshot!("kill_table", table(&faults, &stored));
    }
}

#[test]
fn the_stored_table_round_trips() {
    let text = stored_text();
    let entries = read_table(&text);
    let faults = all();
    let hunted = faults
        .iter()
        .filter(|faulty| entry_of(faulty, &entries).is_some());
    let written = table(hunted, &entries);
    let rows = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with('|'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(rows(&written), rows(&text));
    assert_eq!(read_table(&written), entries);
}

/// Faults without a row, a name each line: they are not hunted yet with the generators of today.
/// Where a smallest case is stored, it runs like all others. Remove the names of those that are
/// hunted.
const NOT_HUNTED: &str = include_str!("not_hunted.txt");

fn is_not_hunted(faulty: &FaultyHost) -> bool {
    NOT_HUNTED.lines().any(|name| name == faulty.name)
}

#[test]
fn every_fault_is_caught_by_its_own_check_and_the_sound_host_by_none() {
    let mut wrong = Vec::new();
    for faulty in all() {
        if is_not_hunted(&faulty) && !case_path(&faulty).exists() {
            continue;
        }
        let input = read_smallest(&faulty);
        if !reproduces(&faulty, &input) {
            wrong.push(format!("{}: not caught by {}", faulty.name, faulty.check));
        }
        let found = faulty.run_checks_on_sound_host(&[input]).concat();
        if !found.is_empty() {
            wrong.push(format!(
                "{}: found on the sound host: {found:?}",
                faulty.name
            ));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_check_catches_a_fault_and_every_stored_case_belongs_to_one() {
    let faults = all();
    let own: BTreeSet<&str> = faults.iter().map(|faulty| faulty.check).collect();
    for check in CHECKS {
        // These checks find faults of plugins, not of hosts.
        let of_plugins = [
            "plugin_fault",
            "plugin_limit",
            "linear_cost",
            "no_drift",
            "no_carryover",
        ];
        assert!(own.contains(check.name()) || of_plugins.contains(&check.name()));
    }
    let table = stored_text();
    let entries = read_table(&table);
    let missing = faults
        .iter()
        .filter(|faulty| entry_of(faulty, &entries).is_none());
    let missing: Vec<&str> = missing.map(|faulty| &*faulty.name).collect();
    let not_hunted: Vec<&str> = NOT_HUNTED.lines().collect();
    assert_eq!(
        missing, not_hunted,
        "no row: hunt with CC_LB_FUZZ_FAULT={MISSING}"
    );
    let hunted = faults.len() - not_hunted.len();
    let caught = format!("{hunted} of {} faults caught", faults.len());
    assert!(table.contains(&caught));
    assert_eq!(entries.len(), hunted, "a row belongs to no fault");
    let paths: BTreeSet<PathBuf> = faults.iter().map(case_path).collect();
    assert_eq!(paths.len(), faults.len(), "two faults have the same name");
    let first = case_path(&faults[0]);
    let folder = first.parent().expect("the case is in a folder");
    for file in std::fs::read_dir(folder).expect("the folder exists") {
        let path = file.expect("the folder can be read").path();
        assert!(
            paths.contains(&path),
            "{} belongs to no fault",
            path.display()
        );
    }
}
