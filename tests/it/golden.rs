//! Files that an earlier version stored still load and mean the same. The files in `golden/` never
//! change: a later format gets new files.

use std::collections::BTreeSet;
use std::path::Path;

use cc_lb_fuzz::case::{Case, Depth};
use cc_lb_fuzz::execute::Runner;
use cc_lb_fuzz::handshake_case::HandshakeCase;
use cc_lb_fuzz::record::{StepSummary, Subject};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};

use crate::common::puppet_host;

/// Reads a file of `golden/`.
fn read(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the case of format 1, with every function and operation that existed then.
fn case_of_format_1() -> Case {
    Case::decode(&read("case-1.json")).expect("it loads")
}

#[test]
fn a_case_of_format_1_loads_from_both_forms() {
    let case = case_of_format_1();
    let compact = Case::decode(&read("case-1.postcard")).expect("it loads");
    assert_eq!(case, compact);
    let labels = case.steps.iter().map(|step| step.request.function().label);
    assert_eq!(labels.collect::<BTreeSet<_>>().len(), 13);
    let programs = case.steps.iter().filter_map(|step| step.program.as_ref());
    let ops: BTreeSet<_> = programs
        .flat_map(|program| &program.0)
        .map(std::mem::discriminant)
        .map(|op| format!("{op:?}"))
        .collect();
    assert_eq!(ops.len(), 21);
}

#[test]
fn a_case_of_format_1_still_has_the_same_results() {
    let host = puppet_host();
    let mut runner = Runner::new(&host, Subject::Puppet).expect("the puppet opens");
    let record = runner.run(&case_of_format_1(), Depth::Light);
    let record = record.expect("the puppet opens");
    let lines = record.steps.iter().map(|step| {
        let seen = StepSummary::from(step);
        let cause = seen
            .cause
            .map_or(String::new(), |cause| format!(", {cause}"));
        let outcome: String = seen.outcome.chars().take(120).collect();
        format!(
            "{} {}: {outcome}{cause}\n",
            seen.step_index + 1,
            step.function.label
        )
    });
    insta::assert_snapshot!(lines.collect::<String>());
}

/// In format 2, steps have a number of repetitions.
#[test]
fn a_case_of_format_2_loads_from_both_forms() {
    let case = Case::<Request>::decode(&read("case-2.json")).expect("it loads");
    let compact = Case::decode(&read("case-2.postcard")).expect("it loads");
    assert_eq!(case, compact);
    let times = case.steps.iter().map(|step| step.times.get());
    assert_eq!(times.collect::<Vec<_>>(), [2, 1, 3_000]);
}

#[test]
fn a_handshake_case_of_format_1_loads_and_means_the_same() {
    let case = HandshakeCase::decode(&read("opening-1.json")).expect("it loads");
    insta::assert_debug_snapshot!((&case, case.terms()));
}
