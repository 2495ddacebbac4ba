//! The kill table: which check catches each fault, after how many cases, and the smallest case that shows it.
//!
//! ```sh
//! cargo test --release kill_table -- --ignored --nocapture
//! ```
//!
//! hunts all faults, keeps their cases, and compares what a seed comes to on every machine with the stored table. That takes
//! hours, so the other tests here run what was kept.
//!
//! `CC_LB_FUZZ_FAULT` says which faults are hunted, and then each row is written to the stored table as soon as it is known:
//! names, or what names begin with, with commas between them; or `missing`, which stands for all faults without a row. If such
//! a hunt is ended, the next one for what is missing goes on where it was. To make the whole table anew, empty its file first.
//!
//! `CC_LB_FUZZ_SEEDS` says with how many seeds each fault is hunted. With fewer than all of them no row is stored.

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
use super::{Faulty, Kind, Shows, Tried, all};

/// The seeds that each fault is hunted with, and those by which modules are drawn: opening one takes seconds.
const SEEDS: u64 = 20;
const SEEDS_OF_MODULES: u64 = 2;

fn seeds(faulty: &Faulty) -> u64 {
    let most = match faulty.kind {
        Kind::Module(..) => SEEDS_OF_MODULES,
        _ => SEEDS,
    };
    seeds_asked_for().map_or(most, |seeds| seeds.min(most))
}

fn seeds_asked_for() -> Option<u64> {
    let seeds = std::env::var("CC_LB_FUZZ_SEEDS").ok()?;
    Some(seeds.parse().expect("it is a number"))
}

/// A fault that takes more cases is not caught.
const CASES_MAX: u64 = 20_000;

/// Among many faults, one that so many first seeds do not find is given up, for it takes long. Hunted by its name, it is not.
const FIRST_SEEDS: u64 = 3;

/// What stands for all faults without a row.
const MISSING: &str = "missing";

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
        Kind::HandshakeCase(_) => {
            Tried::HandshakeCase(HandshakeCase::decode(&json).expect("it is an opening"))
        }
        Kind::Module(..) => Tried::Module(serde_json::from_slice(&json).expect("they are counts")),
        _ => Tried::Case(Case::decode(&json).expect("it is a case")),
    }
}

fn write(faulty: &Faulty, tried: &Tried) {
    let json = match tried {
        Tried::Case(case) => case.to_json().expect("it serializes"),
        Tried::HandshakeCase(opening) => opening.to_json().expect("it serializes"),
        Tried::Module(counts) => serde_json::to_string(&counts).expect("it serializes"),
    };
    let path = kept(faulty);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
    std::fs::write(path, json).expect("it can be written");
}

/// What the hunt of a fault came to.
struct Row {
    /// How many seeds caught it, and how many were tried.
    caught: usize,
    tried: u64,
    /// After how many cases; `None` where it is not caught.
    median: Option<u64>,
    /// What shows it.
    smallest: String,
}

impl Row {
    /// What a table says of it; `None` where it is not caught.
    fn entry(&self, faulty: &Faulty, is_told: bool) -> Option<Entry> {
        let median = self.median?.to_string();
        let caught = format!("{}/{}", self.caught, seeds(faulty));
        let results = [caught, median, self.smallest.clone()];
        Some(Entry {
            check: faulty.check.to_owned(),
            results: results.map(|of| if is_told { of } else { "-".to_owned() }),
        })
    }
}

fn hunt(faulty: &Faulty, first_seeds: u64) -> Row {
    let seeds = seeds(faulty);
    let mut counts: Vec<u64> = Vec::new();
    let mut tried = 0;
    for seed in 1..=seeds {
        let found = faulty.hunt(seed, CASES_MAX, NO_SHRINKING);
        counts.extend(found.map(|(count, _)| count));
        tried = seed;
        let missed = seed - counts.len() as u64;
        // With so many that do not catch it there is no median.
        let is_lost = missed >= seeds - seeds / 2;
        if is_lost || (counts.is_empty() && missed >= first_seeds) {
            break;
        }
    }
    counts.sort_unstable();
    // Seeds that did not catch it stand behind all that did.
    let median = counts.get(seeds as usize / 2).copied();
    let shown = median.and_then(|_| smallest(faulty, seeds));
    if median.is_some() && shown.is_none() {
        eprintln!("{}: no case shows it by itself", faulty.name);
    }
    Row {
        caught: counts.len(),
        tried,
        median: median.filter(|_| shown.is_some()),
        smallest: shown.as_ref().map(text).unwrap_or_default(),
    }
}

/// The smallest case for a fault that shows it on a host which has seen nothing else. It is kept.
fn smallest(faulty: &Faulty, seeds: u64) -> Option<Tried> {
    let kept_before = || {
        let tried = kept(faulty).exists().then(|| read(faulty));
        tried.filter(|tried| is_shown(faulty, tried))
    };
    // Shrunk anew, what the clock shows would be a case that shows it on this machine alone.
    if faulty.shows != Shows::TheSameEverywhere
        && let Some(tried) = kept_before()
    {
        return Some(tried);
    }
    let shrunk = (1..=seeds).find_map(|seed| faulty.hunt(seed, CASES_MAX, TO_THE_END));
    let shrunk = shrunk.map(|(_, tried)| tried);
    // Where sessions share something, a case may show what those before it have left.
    let shown = shrunk.filter(|tried| is_shown(faulty, tried));
    let shown = shown.or_else(kept_before)?;
    write(faulty, &shown);
    Some(shown)
}

/// Whether the fault's own check finds it with this alone.
fn is_shown(faulty: &Faulty, tried: &Tried) -> bool {
    // On a busy machine it may take some tries to measure anything; all else shows at once.
    let tries = if faulty.shows == Shows::InAMeasurement {
        5
    } else {
        1
    };
    (0..tries).any(|_| {
        let found = faulty.found(std::slice::from_ref(tried)).concat();
        found.iter().any(|check| check == faulty.check)
    })
}

/// The text of what shows a fault, as the table has it: without space at the ends of lines.
fn text(tried: &Tried) -> String {
    let text = match tried {
        Tried::Case(case) => case_text(case),
        Tried::HandshakeCase(opening) => opening_text(opening),
        Tried::Module(counts) => format!("{counts:?}"),
    };
    let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// How an opening differs from a sound one.
fn opening_text(opening: &HandshakeCase) -> String {
    let sound = HandshakeCase::sound(opening.exports.iter().map(String::as_str));
    let json = |opening: &HandshakeCase| serde_json::to_value(opening).expect("it serializes");
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

/// Hunts faults, so many at a time, and says what each came to as soon as that is known.
fn hunt_each(
    faults: &[&Faulty],
    threads: usize,
    first_seeds: u64,
    is_known: &(impl Fn(&Faulty, &Row) + Sync),
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&faulty) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let row = hunt_or_tell(faulty, first_seeds);
                    let median = row.median.map_or_else(
                        || "not caught".to_owned(),
                        |median| format!("median {median} cases"),
                    );
                    eprintln!(
                        "{}: {} of {} seeds, {median}, {} s",
                        faulty.name,
                        row.caught,
                        row.tried,
                        start.elapsed().as_secs()
                    );
                    is_known(faulty, &row);
                }
            });
        }
    });
}

/// A hunt that panics is told, and the others go on.
fn hunt_or_tell(faulty: &Faulty, first_seeds: u64) -> Row {
    let row = catch_unwind(AssertUnwindSafe(|| hunt(faulty, first_seeds)));
    row.unwrap_or_else(|panic| {
        eprintln!(
            "{}: its hunt panicked: {}",
            faulty.name,
            panic_text(&*panic)
        );
        Row {
            caught: 0,
            tried: 0,
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

/// What takes less time is hunted first.
fn turn(faulty: &Faulty) -> u8 {
    match &faulty.kind {
        Kind::Dispatch(_) if faulty.shows == Shows::TheSameEverywhere => 0,
        // Each is compiled.
        Kind::HandshakeCase(_) => 1,
        Kind::Dispatch(_) => 2,
        Kind::Process(_) | Kind::Published => 3,
        Kind::Module(..) => 4,
    }
}

/// Those of the faults that are asked for: see the beginning of this file.
fn chosen<'f>(faults: &'f [Faulty], asked: &str, stored: &Entries) -> Vec<&'f Faulty> {
    let words = asked.split(',').map(str::trim);
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    assert!(!words.is_empty(), "no fault is named");
    let is_meant = |faulty: &Faulty, word: &str| {
        if word == MISSING {
            entry_of(faulty, stored).is_none()
        } else if faults.iter().any(|other| other.name == word) {
            faulty.name == word
        } else {
            faulty.name.starts_with(word)
        }
    };
    for &word in &words {
        let is_there = faults.iter().any(|faulty| is_meant(faulty, word));
        assert!(is_there || word == MISSING, "there is no fault {word}");
    }
    let of_any_word = |faulty: &&Faulty| words.iter().any(|word| is_meant(faulty, word));
    faults.iter().filter(of_any_word).collect()
}

#[test]
#[ignore = "takes hours in a release build; it is one command, above"]
fn kill_table() {
    let asked = std::env::var("CC_LB_FUZZ_FAULT").ok();
    let has_all_seeds = seeds_asked_for().is_none();
    let faults = all();
    // Without a choice the stored table is what the new one is compared with.
    let (hunted, stored) = match &asked {
        Some(asked) => {
            let stored = read_table(&stored_text());
            (chosen(&faults, asked, &stored), stored)
        }
        None => (faults.iter().collect(), Entries::new()),
    };
    let is_stored = asked.is_some() && has_all_seeds;
    let mut words = asked.iter().flat_map(|asked| asked.split(','));
    let first_seeds = if words.any(|word| word.trim() == MISSING) {
        FIRST_SEEDS
    } else {
        SEEDS
    };
    let mut queue = hunted.clone();
    queue.sort_by_key(|faulty| turn(faulty));
    // Beside others a measurement says nothing.
    let is_measured = |faulty: &&Faulty| faulty.shows == Shows::InAMeasurement;
    let (alone, others): (Vec<&Faulty>, Vec<&Faulty>) = queue.into_iter().partition(is_measured);
    let found = Mutex::new((Entries::new(), stored));
    let is_known = |faulty: &Faulty, row: &Row| {
        let mut found = found.lock().expect("nobody panicked");
        let (told, stored) = &mut *found;
        let is_told = faulty.shows == Shows::TheSameEverywhere;
        for (entries, is_told) in [(told, true), (&mut *stored, is_told)] {
            match row.entry(faulty, is_told) {
                Some(entry) => drop(entries.insert(faulty.name.clone(), entry)),
                None => drop(entries.remove(&faulty.name)),
            }
        }
        if is_stored {
            store(&faults, stored);
        }
    };
    // Hosts that panic do so thousands of times.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    hunt_each(&others, processors, first_seeds, &is_known);
    hunt_each(&alone, 1, first_seeds, &is_known);
    std::panic::set_hook(hook);
    let (told, stored) = found.into_inner().expect("nobody panicked");
    println!("{}", table(hunted.iter().copied(), &told));
    let missed = hunted.iter().filter(|of| entry_of(of, &told).is_none());
    let missed: Vec<&str> = missed.map(|faulty| &*faulty.name).collect();
    assert_eq!(missed, [""; 0], "not caught");
    if asked.is_none() && has_all_seeds {
        insta::assert_snapshot!("kill_table", table(&faults, &stored));
    }
}

#[test]
fn the_stored_table_reads_back() {
    let text = stored_text();
    let entries = read_table(&text);
    let faults = all();
    let hunted = faults.iter().filter(|of| entry_of(of, &entries).is_some());
    let written = table(hunted, &entries);
    let rows = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with('|'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(rows(&written), rows(&text));
    assert_eq!(read_table(&written), entries);
}

#[test]
fn every_fault_is_caught_by_its_own_check_and_the_sound_host_by_none() {
    for faulty in all() {
        let tried = read(&faulty);
        let own = is_shown(&faulty, &tried);
        assert!(own, "{}: not found by {}", faulty.name, faulty.check);
        let found = faulty.found_on_the_sound_host(&[tried]).concat();
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
    let table = stored_text();
    let entries = read_table(&table);
    let never = faults.iter().filter(|of| entry_of(of, &entries).is_none());
    let never: Vec<&str> = never.map(|faulty| &*faulty.name).collect();
    assert_eq!(never, [""; 0], "never hunted: CC_LB_FUZZ_FAULT={MISSING}");
    let all = format!("{0} of {0} faults caught", faults.len());
    assert!(table.contains(&all));
    assert_eq!(entries.len(), faults.len(), "a row is no fault's");
    let names: BTreeSet<PathBuf> = faults.iter().map(kept).collect();
    assert_eq!(names.len(), faults.len(), "names are unique");
    let folder = kept(&faults[0]);
    let folder = folder.parent().expect("a folder");
    for file in std::fs::read_dir(folder).expect("it is there") {
        let path = file.expect("it can be read").path();
        assert!(names.contains(&path), "{} is no fault's", path.display());
    }
}
