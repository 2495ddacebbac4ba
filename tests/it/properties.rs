//! Property suites: arbitrary sequences of calls of each function in one reused session.

use std::cell::RefCell;
use std::path::Path;

use cc_lb_fuzz::case::{Case, Depth};
use cc_lb_fuzz::check::may_be_busy;
use cc_lb_fuzz::execute::InProcessExecutor;
use cc_lb_fuzz::fuzz_target::FuzzTarget;
use cc_lb_fuzz::generate::CaseGenerator;
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{Guarded, Host, Loader, Reference};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::report::finding_text;
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

use crate::common::{function_index, puppet_host};

/// The number of cases of each suite, unless `PROPTEST_CASES` is set.
const CASES: u32 = 128;

/// Fails with the text that a campaign prints: the harness confirms and shrinks the finding itself.
fn holds<H: Host>(
    target: &mut FuzzTarget<'_, H, Request>,
    case: Case,
) -> Result<(), TestCaseError> {
    let (_, finding) = target.check(case).expect("the host opens");
    let Some(finding) = finding else {
        return Ok(());
    };
    let text = finding_text(&finding, "add the case to proptest-regressions");
    let json = finding.case.to_json().expect("the case serializes");
    Err(TestCaseError::fail(format!("{text}\n{json}")))
}

/// Runs the suite of a function on the host that `CC_LB_FUZZ_HOST` names: `guarded`, or
/// `reference`, which does not survive it.
fn suite(label: &str) {
    match std::env::var("CC_LB_FUZZ_HOST").as_deref() {
        Ok("reference") => suite_on(&Reference::default(), label),
        _ => suite_on(&Guarded, label),
    }
}

fn suite_on(loader: &impl Loader, label: &str) {
    let host = loader.load(puppet::wasm(), &build_offer(&Default::default()));
    let host = host.expect("the puppet opens");
    let target = RefCell::new(FuzzTarget::new(&host).expect("the puppet opens"));
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    // The harness has already shrunk the case.
    config.max_shrink_iters = 0;
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/proptest-regressions/properties.txt"
    ))));
    config.source_file = Some(file!());
    let strategy = CaseGenerator::puppet::<Request>().strategy::<Request>(function_index(label));
    // The same cases every time: campaigns search for new failures, and CI should not.
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let outcome = TestRunner::new_with_rng(config, rng)
        .run(&strategy, |case| holds(&mut target.borrow_mut(), case));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

macro_rules! suites {
    ($($label:ident),+ $(,)?) => {$(
        #[test]
        fn $label() {
            suite(stringify!($label));
        }
    )+

    #[test]
    fn every_function_has_a_suite() {
        let suites = [$(stringify!($label)),+];
        let functions = Request::functions().iter().map(|function| function.label);
        assert!(functions.eq(suites), "{suites:?}");
    }};
}

suites! {
    shape_v1, shape_v2, normalize_error_v1, normalize_error_v2, build_signer_v1, build_signer_v2, sign_v1,
    sign_v2, on_unauthorized_v1, on_unauthorized_v2, observe_v1, observe_v2, filter_v3,
}

/// Runs every case of a folder by itself and returns the names of the files.
fn replay(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let host = puppet_host();
    let mut executor = InProcessExecutor::new(&host, Subject::Puppet).expect("the puppet opens");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder exists") {
        let path = entry.expect("it can be read").path();
        let name = path
            .file_name()
            .expect("the file has a name")
            .to_string_lossy()
            .into_owned();
        if name.starts_with('.') || name.ends_with(".txt") || name.ends_with(".md") {
            continue;
        }
        let case = Case::<Request>::read(&path).unwrap_or_else(|error| panic!("{error}"));
        let (record, mut found) = executor
            .judge_alone(&case, Depth::Thorough)
            .expect("the puppet opens");
        found.retain(|violation| !may_be_busy(violation, &record));
        assert_eq!(found, [], "{name}");
        names.push(name);
    }
    names
}

#[test]
fn the_corpus_passes() {
    let names = replay("corpus/dispatch");
    let seeds = names.iter().filter(|name| name.ends_with(".json")).count();
    assert!(seeds >= 30, "the corpus has {seeds} named seeds");
}

#[test]
fn past_failures_pass() {
    replay("proptest-regressions");
}
