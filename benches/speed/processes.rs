//! Campaigns in worker processes: how they scale, and how soon they find something.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use cc_lb_fuzz::campaign::{BlockExecutor as _, Event};
use cc_lb_fuzz::case::ShrinkLimits;
use cc_lb_fuzz::finding::{Known, Suspect, confirm};
use cc_lb_fuzz::generate::{CASES_PER_SESSION, Cases, Plan};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_fuzz::worker::{HostKind, Setup, Workers};

use crate::Figure;

/// The number of seeds with which findings are searched.
const SEEDS: u64 = 20;

/// The number of rounds of two campaigns each, and of the cases of a campaign.
const ROUNDS: usize = 5;
const CASES: u64 = 20_000;

fn workers(host: HostKind) -> Workers {
    let setup = Setup {
        host: host.name().to_owned(),
        wasm: puppet::wasm().to_vec(),
        subject: Subject::Puppet,
        capabilities: Default::default(),
        deny_refusals: false,
        deny_limits: false,
    };
    Workers::new(env!("CARGO_BIN_EXE_cc-lb-fuzz"), ["worker"], setup).expect("there is room")
}

fn campaign(plan: &Plan, count: usize) -> Duration {
    let count = NonZeroUsize::new(count).expect("there are some");
    let summary = workers(HostKind::Guarded).run(plan, count, &mut |_| ());
    summary.expect("it runs").elapsed
}

fn scaling() -> Figure {
    let plan = Plan::puppet::<Request>(1, CASES);
    let rounds = (0..ROUNDS).map(|_| {
        let (one, two) = (campaign(&plan, 1), campaign(&plan, 2));
        one.as_secs_f64() / two.as_secs_f64()
    });
    let mut rounds: Vec<f64> = rounds.collect();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let aside = format!("on {processors} processors");
    Figure::of(
        "a campaign's speed with two workers over one",
        &mut rounds,
        "",
        "1.9",
        aside,
    )
}

/// Measures from the start of a campaign on the published host to its first, shrunk finding.
fn first_finding() -> Figure {
    let rounds = (1..=SEEDS).map(|seed| {
        let workers = workers(HostKind::Reference);
        let interrupt = workers.interrupt();
        let start = Instant::now();
        let mut found = None;
        let plan = Plan::puppet::<Request>(seed, 20_000);
        let ended = workers.run(&plan, NonZeroUsize::MIN, &mut |event| {
            if let Event::Finding(_) = event {
                found.get_or_insert_with(|| start.elapsed());
                interrupt.request();
            }
        });
        ended.expect("it runs");
        found.expect("something is found").as_secs_f64()
    });
    let mut rounds: Vec<f64> = rounds.collect();
    Figure::of(
        "the first finding in the published host, shrunk",
        &mut rounds,
        " s",
        "under 1 s",
        format!("{SEEDS} seeds"),
    )
}

/// Measures from a violation to its smallest case.
fn shrinking() -> Figure {
    let rounds = (1..=SEEDS).map(|seed| {
        let mut executor = workers(HostKind::Reference).worker();
        let plan = Plan::puppet::<Request>(seed, u64::MAX);
        let cases = Cases::<Request>::new(&plan);
        let mut from = 0;
        let stopped = loop {
            let block = executor.run(&plan, from..from + CASES_PER_SESSION, None);
            match block.expect("it runs").stopped {
                Some(stopped) => break stopped,
                None => from += CASES_PER_SESSION,
            }
        };
        let history: Vec<_> = (from..=stopped.case).map(|case| cases.nth(case)).collect();
        let suspect = Suspect {
            violation: &stopped.violations[0],
            history: &history,
            flaky: stopped.flaky,
        };
        let start = Instant::now();
        confirm(
            &mut executor,
            &suspect,
            &Known::default(),
            ShrinkLimits::default(),
        )
        .expect("it runs");
        start.elapsed().as_secs_f64()
    });
    let mut rounds: Vec<f64> = rounds.collect();
    Figure::of(
        "shrinking a finding",
        &mut rounds,
        " s",
        "under 2 s",
        format!("{SEEDS} seeds"),
    )
}

pub fn figures() -> Vec<Figure> {
    vec![scaling(), first_finding(), shrinking()]
}
