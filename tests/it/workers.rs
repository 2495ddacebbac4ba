//! Worker processes: crashes are attributed and survived, memory is measured, and no case is lost.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::{CampaignError, Event, Interrupt, Summary};
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::finding::{Finding, Origin};
use cc_lb_fuzz::generate::{Budget, CASES_PER_SESSION, Phase, Plan};
use cc_lb_fuzz::puppet::{self, Import, Op, Operand};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_fuzz::worker::{HostKind, Setup, Timeouts, Workers};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{case, with_program};

pub fn setup(host: &str) -> Setup {
    Setup {
        host: host.to_owned(),
        wasm: puppet::wasm().to_vec(),
        subject: Subject::Puppet,
        capabilities: Default::default(),
        deny_refusals: false,
        deny_limits: false,
    }
}

/// Returns workers of the tool with one of its hosts.
pub fn workers(host: HostKind) -> Workers {
    let program = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    Workers::new(program, ["worker"], setup(host.name())).expect("the workers are created")
}

/// Returns the program of the example `own_host`, built in the profile of these tests: `cargo test`
/// does not build examples if it is given the tests to run.
fn example() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let tests = std::env::current_exe().expect("the path of this program is known");
        let built_to = tests
            .ancestors()
            .nth(2)
            .expect("the program is in the target folder");
        let mut cargo = Command::new(env!("CARGO"));
        // Build scripts that depend on these variables would run again, here and in the next build.
        let of_this_package = std::env::vars().map(|(name, _)| name).filter(|name| {
            let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        });
        of_this_package.for_each(|name| {
            cargo.env_remove(name);
        });
        let built = cargo
            .args(["build", "--quiet", "--example", "own_host", "--target-dir"])
            .arg(
                built_to
                    .parent()
                    .expect("the program is in the target folder"),
            )
            .args((!cfg!(debug_assertions)).then_some("--release"))
            .status();
        assert!(built.expect("cargo runs").success());
        built_to.join("examples/own_host")
    };
    BUILT.get_or_init(build).clone()
}

/// Returns workers of the example, with a host whose fault shows when the guest traps.
pub fn faulty(host: &str) -> Workers {
    faulty_with(setup(host))
}

/// The same, with what they run.
pub fn faulty_with(setup: Setup) -> Workers {
    let timeouts = Timeouts {
        dispatch: Duration::from_secs(2),
        ..Timeouts::default()
    };
    Workers::new(example(), ["worker"], setup)
        .expect("the workers are created")
        .with_timeouts(timeouts)
}

/// What the checks find in a case: the check and the class of each.
pub fn found(workers: &Workers, case: &Case) -> Vec<(String, String)> {
    let replay = workers.worker().replay(case).expect("it runs");
    let found = replay.violations.into_iter();
    found.map(|v| (v.check.to_string(), v.class)).collect()
}

/// Returns the finding of an event if its case reproduces it. On a busy machine a worker that was
/// silent once is a finding too, and does not reproduce.
fn shown(event: Event<'_, Request>) -> Option<&Finding> {
    match event {
        Event::Finding(finding) => Some(finding).filter(|it| it.origin != Origin::Unreproduced),
        _ => None,
    }
}

fn plan(seed: u64, cases: u64) -> Plan {
    Plan::puppet::<Request>(seed, cases)
}

/// Runs a campaign and returns its summary and the keys of its findings.
fn campaign(workers: &Workers, plan: &Plan, count: usize) -> (Summary, Vec<String>) {
    let mut keys = Vec::new();
    let count = NonZeroUsize::new(count).expect("the count is not zero");
    let summary = workers.run(plan, count, &mut |event| {
        if let Event::Finding(finding) = event {
            keys.push(finding.key());
        }
    });
    (summary.expect("it runs"), keys)
}

/// Returns what does not depend on time in a summary: the dispatches of each function, its answers,
/// and its fallbacks by cause.
fn counts(summary: &Summary) -> BTreeMap<&'static str, (u64, u64, BTreeMap<String, u64>)> {
    let functions = summary.functions.iter();
    functions
        .map(|stats| {
            let counts = &stats.counts;
            let fallbacks = counts.fallbacks.clone();
            (
                stats.function.label,
                (counts.dispatches, counts.ok, fallbacks),
            )
        })
        .collect()
}

/// Asserts that two campaigns had the same results.
fn assert_same(
    one: &BTreeMap<&'static str, (u64, u64, BTreeMap<String, u64>)>,
    other: &BTreeMap<&'static str, (u64, u64, BTreeMap<String, u64>)>,
) {
    assert_eq!(one.len(), other.len());
    for (label, one) in one {
        let other = &other[label];
        assert_eq!(other.0, one.0, "{label}");
        // On a busy machine any call may time out.
        let late = [one, other].map(|counts| counts.2.contains_key("timeout"));
        assert!(late.contains(&true) || other == one, "{label}");
    }
}

#[test]
fn a_campaign_has_the_same_result_with_any_number_of_workers() {
    let plan = plan(5, 400);
    let guarded = workers(HostKind::Guarded);
    let (one, keys) = campaign(&guarded, &plan, 1);
    assert_eq!((one.cases, keys.len()), (400, 0));
    for count in [2, 7] {
        let (more, keys) = campaign(&guarded, &plan, count);
        assert_eq!((more.cases, keys.len()), (400, 0));
        assert_same(&counts(&more), &counts(&one));
    }
}

#[test]
fn a_campaign_continues_after_every_crash_and_reports_it_once() {
    let aborting = faulty("aborts");
    let plan = plan(1, 24);
    let mut findings: Vec<Finding> = Vec::new();
    let summary = aborting.run(&plan, NonZeroUsize::MIN, &mut |event| {
        if let Some(finding) = shown(event) {
            findings.push(finding.clone());
        }
    });
    let summary = summary.expect("it runs");
    assert_eq!(summary.cases, 24);
    // Traps of an operation, of an invalid program, and of a function of Extism.
    assert!((1..=6).contains(&findings.len()), "{findings:#?}");
    for finding in &findings {
        assert_eq!(finding.violation.check.name(), "no_crash");
        assert_eq!(finding.case.steps.len(), 1, "{finding:#?}");
        let again = found(&aborting, &finding.case);
        assert_eq!(again[0].0, "no_crash", "{finding:#?}");
    }
}

#[test]
fn a_seed_has_the_same_findings_every_time_with_any_number_of_workers() {
    let guest = include_bytes!("../../guests/traps_on_a_query.wat");
    let setup = Setup {
        wasm: wat::parse_bytes(guest)
            .expect("valid WebAssembly")
            .into_owned(),
        subject: Subject::Plugin,
        ..setup(HostKind::Guarded.name())
    };
    let program = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let workers = Workers::new(program, ["worker"], setup).expect("the workers are created");
    // Seven sessions, so that each of seven workers has one.
    let plan = Plan::plugin::<Request>(1, 7 * CASES_PER_SESSION);
    let run_with = |count: usize| {
        let mut findings: Vec<(String, Case)> = Vec::new();
        let count = NonZeroUsize::new(count).expect("the count is not zero");
        let summary = workers.run(&plan, count, &mut |event| {
            if let Event::Finding(finding) = event {
                findings.push((finding.key(), finding.case.clone()));
            }
        });
        let summary = summary.expect("it runs");
        (summary.cases, findings, counts(&summary))
    };
    let (cases, findings, counts) = run_with(1);
    assert!(!findings.is_empty());
    for count in [1, 2, 7] {
        let again = run_with(count);
        assert_eq!((again.0, &again.1), (cases, &findings), "{count} workers");
        assert_same(&again.2, &counts);
    }
}

/// Returns the child processes of this one that have this argument.
fn started_with(argument: &str) -> Vec<Pid> {
    let me = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").expect("/proc exists");
    let started = processes.filter_map(|entry| {
        let path = entry.ok()?.path();
        let id: i32 = path.file_name()?.to_str()?.parse().ok()?;
        // After the name, which is any text in parentheses: the state and the parent.
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        let arguments = std::fs::read(path.join("cmdline")).ok()?;
        let is_it = parent == me
            && arguments
                .split(|b| *b == 0)
                .any(|a| a == argument.as_bytes());
        is_it.then_some(Pid::from_raw(id))
    });
    started.collect()
}

/// Kills such a process, as the system does if it is out of memory.
fn kill_one(argument: &str) -> bool {
    let victim = started_with(argument).first().copied();
    victim.is_some_and(|victim| kill(victim, Signal::SIGKILL).is_ok())
}

#[test]
fn no_case_is_lost_if_workers_are_killed_from_outside() {
    let plan = plan(7, 300);
    let without_kills = campaign(&workers(HostKind::Guarded), &plan, 2).0;
    // An argument without a meaning distinguishes its workers from those of other tests.
    let marked = Workers::new(example(), ["worker", "--mark"], setup("sound"));
    let marked = marked.expect("the workers are created");
    let (mut blocks, mut kills, mut keys) = (0, 0, Vec::new());
    let with_kills = marked.run(
        &plan,
        NonZeroUsize::new(2).expect("not zero"),
        &mut |event| match event {
            // Whatever the worker is doing.
            Event::Progress(_) => {
                blocks += 1;
                if blocks % 2 == 0 {
                    kills += usize::from(kill_one("--mark"));
                }
            }
            Event::Finding(finding) => keys.push(finding.key()),
        },
    );
    let with_kills = with_kills.expect("it runs");
    assert!(kills > 0, "no worker was killed");
    assert_eq!(keys, [""; 0]);
    assert_eq!(with_kills.cases, without_kills.cases);
    assert_same(&counts(&with_kills), &counts(&without_kills));
}

#[test]
fn a_campaign_whose_workers_are_always_killed_is_not_clean() {
    let doomed = Workers::new(example(), ["worker", "--doomed"], setup("sound"));
    let doomed = doomed.expect("the workers are created");
    let plan = Plan {
        budget: Budget::Time(Duration::from_secs(1)),
        ..plan(7, 0)
    };
    let (is_over, mut reported) = (AtomicBool::new(false), 0);
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            let begin = Instant::now();
            while !is_over.load(Ordering::Relaxed) && begin.elapsed() < Duration::from_secs(60) {
                kill_one("--doomed");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let ended = doomed.run(&plan, NonZeroUsize::MIN, &mut |event| {
            reported += u64::from(matches!(event, Event::Finding(_)));
        });
        is_over.store(true, Ordering::Relaxed);
        ended
    });
    // An error means that the plugin could not be opened again.
    if let Ok(summary) = ended {
        // If no case has run, the tool says so.
        let is_reported = reported > 0 || summary.unexamined_certain > 0 || summary.cases == 0;
        assert!(is_reported, "{summary:?}");
    }
}

#[test]
fn crashes_of_the_published_host_are_found_with_small_replayable_cases() {
    let published = workers(HostKind::Reference);
    let mut findings: Vec<Finding> = Vec::new();
    let plan = plan(6, 300);
    let summary = published.run(
        &plan,
        NonZeroUsize::new(2).expect("not zero"),
        &mut |event| {
            if let Some(finding) = shown(event) {
                findings.push(finding.clone());
            }
        },
    );
    assert_eq!(summary.expect("it runs").cases, 300);
    let checks: Vec<_> = findings.iter().map(|f| f.violation.check.name()).collect();
    assert!(
        checks.contains(&"no_crash"),
        "no case of this seed kills the published host; if the cases of seeds changed, try the next: {checks:?}"
    );
    for finding in &findings {
        let programs = finding.case.steps.iter().filter_map(|s| s.program.as_ref());
        let operations: usize = programs.map(|program| program.0.len()).sum();
        assert!(operations <= 4, "{finding:#?}");
        let check = finding.violation.check.name();
        // On a busy machine a measured violation may take several tries.
        let tries = if finding.violation.measured { 5 } else { 1 };
        let again = (0..tries).any(|_| {
            let again = found(&published, &finding.case);
            again.iter().any(|(found, _)| found == check)
        });
        assert!(again, "{finding:#?}");
    }
}

#[test]
fn a_worker_that_cannot_start_is_an_error() {
    let nowhere = Workers::new("/nonexistent/program", ["worker"], setup("guarded"));
    let error = nowhere
        .expect("the workers are created")
        .worker()
        .negotiated();
    assert!(
        matches!(error, Err(CampaignError::Worker { .. })),
        "{error:?}"
    );
    let unknown = faulty("nobody").worker().negotiated();
    assert!(
        matches!(&unknown, Err(CampaignError::Refused { reason }) if reason == "no such host"),
        "{unknown:?}"
    );
}

#[test]
fn the_worker_command_refuses_to_run_outside_of_a_campaign() {
    let output = assert_cmd::Command::cargo_bin("cc-lb-fuzz")
        .expect("the tool is built")
        .arg("worker")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("this is a worker"), "{error}");
}

#[test]
fn a_plugin_that_exhausts_memory_is_a_finding_and_does_not_end_the_campaign() {
    // Each call takes a few hundred MiB for a table and keeps them, until no session opens.
    let grow = with_program("shape_v1", [Op::GrowTable(1 << 25), Op::GrowTable(1 << 25)]);
    let alloc = Op::Call {
        function: Import::Alloc,
        operands: [Operand {
            register: None,
            add: 1,
        }; 2],
        to: 0,
    };
    let starving = case([grow.clone(), grow, with_program("sign_v1", [alloc])]);
    let published = workers(HostKind::Reference);
    let checks: Vec<String> = found(&published, &starving)
        .into_iter()
        .map(|f| f.0)
        .collect();
    let expected = ["no_crash".to_owned(), "within_memory".to_owned()];
    assert!(
        checks.iter().any(|check| expected.contains(check)),
        "{checks:?}"
    );
    assert_eq!(found(&workers(HostKind::Guarded), &starving), []);
}

#[test]
fn a_campaign_that_ends_with_unexamined_violations_resumes_at_these() {
    let setup = Setup {
        wasm: crate::planted::two_bugs(),
        subject: Subject::Plugin,
        ..setup(HostKind::Guarded.name())
    };
    let program = assert_cmd::cargo::cargo_bin("cc-lb-fuzz");
    let workers = Workers::new(program, ["worker"], setup).expect("the workers are created");
    let mut plan = Plan::plugin::<Request>(6, 5_000);
    plan.phases = vec![Phase::Random];
    let interrupt = workers.interrupt();
    let mut found: Vec<Finding> = Vec::new();
    let ended = workers.run(&plan, NonZeroUsize::MIN, &mut |event| {
        if let Event::Finding(finding) = event {
            found.push(finding.clone());
            // The other violation still waits for its confirmation.
            interrupt.request();
        }
    });
    let ended = ended.expect("it runs");
    let [first, open @ ..] = &found[..] else {
        panic!("{ended:?}");
    };
    assert!(ended.unexamined_certain > 0, "{ended:?}");
    assert_eq!(
        ended.findings, 1,
        "an unexamined violation does not count as a finding"
    );
    assert!(!open.is_empty(), "unexamined violations are emitted");
    let workers = workers.with_interrupt(Interrupt::new());
    for open in open {
        assert_eq!(open.origin, Origin::Unexamined { certain: true });
        assert_ne!(open.violation.key(), first.violation.key());
        // Its case is the history of the session, which reproduces it.
        let again = self::found(&workers, &open.case);
        let expected = (
            open.violation.check.to_string(),
            open.violation.class.clone(),
        );
        assert!(again.contains(&expected), "{again:?}");
    }
    assert!(ended.resume_at < ended.done, "{ended:?}");
    plan.budget = Budget::Cases(ended.done);
    let mut keys = Vec::new();
    let rest = workers.from_case(ended.resume_at);
    let summary = rest.run(&plan, NonZeroUsize::MIN, &mut |event| {
        if let Event::Finding(finding) = event {
            keys.push(finding.key());
        }
    });
    assert_eq!(summary.expect("it runs").from, ended.resume_at);
    let first = first.key();
    assert!(keys.iter().any(|key| *key != first), "{keys:?}");
}

#[test]
fn a_worker_that_cannot_be_restarted_ends_the_campaign_without_losing_findings() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("host");
    std::fs::copy(example(), &program).expect("the program is copied");
    // Every trap kills this host.
    let workers =
        Workers::new(&program, ["worker"], setup("aborts")).expect("the workers are created");
    let mut found: Vec<Finding> = Vec::new();
    let ended = workers.run(&plan(1, 400), NonZeroUsize::MIN, &mut |event| {
        if let Event::Finding(finding) = event {
            found.push(finding.clone());
            let _ = std::fs::remove_file(&program);
        }
    });
    let Err(CampaignError::Ended { summary, source }) = ended else {
        panic!("{ended:?}");
    };
    assert!(matches!(*source, CampaignError::Worker { .. }), "{source}");
    assert!(summary.cases > 0 && summary.interrupted, "{summary:?}");
    assert_eq!(summary.findings, 1);
    let checks: Vec<_> = found.iter().map(|f| f.violation.check.name()).collect();
    assert!(
        checks.len() > 1 && checks.iter().all(|check| *check == "no_crash"),
        "{checks:?}"
    );
    let open = |finding: &Finding| finding.origin == Origin::Unexamined { certain: true };
    assert!(found[1..].iter().all(open), "{found:#?}");
}
