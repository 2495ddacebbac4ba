//! Shrinking: the resulting case, and the number of candidates tried.

use cc_lb_fuzz::case::{Case, Numbers, ShrinkLimits, Step};
use cc_lb_fuzz::puppet::Op;
use cc_lb_fuzz::wire::{Request, Vocabulary};

use crate::cases::plan;
use crate::common::{case, function_index, healthy, nth_case, repeated, with_program};

#[test]
fn a_case_that_needs_many_equal_calls_shrinks_to_their_number_in_few_tries() {
    let calls = |case: &Case, label: &str| {
        let steps = case.steps.iter();
        let of_it = steps.filter(|step| step.request.function().label == label);
        of_it.map(|step| step.times.get()).sum::<u32>()
    };
    let long = case([
        healthy("observe_v1"),
        repeated(healthy("shape_v1"), 4_000),
        with_program("sign_v1", [Op::LogCall]),
        repeated(healthy("shape_v1"), 96),
        healthy("sign_v1"),
    ]);
    let shrunk = long.shrink(ShrinkLimits::default(), |case| {
        calls(case, "shape_v1") >= 3_000
    });
    assert_eq!(shrunk.case.steps, [repeated(healthy("shape_v1"), 3_000)]);
    assert!(shrunk.minimal);
    assert!(shrunk.candidates < 100, "{} tries", shrunk.candidates);
}

#[test]
fn a_long_history_of_similar_calls_shrinks_to_one_step_and_its_number() {
    let mut steps = Vec::new();
    for number in 0..3_000u64 {
        let mut step = healthy("shape_v1");
        if let Request::ShapeV1(shape) = &mut step.request {
            shape.request.request_id.0 = format!("request-{number}");
            shape.request.method.0 = if number % 10 == 0 { "DELETE" } else { "POST" }.to_owned();
        }
        steps.push(step);
    }
    let deletes = |case: &Case| {
        let is_delete = |step: &&Step| match &step.request {
            Request::ShapeV1(shape) => shape.request.method.0 == "DELETE",
            _ => false,
        };
        let steps = case.steps.iter().filter(is_delete);
        steps.map(|step| step.times.get()).sum::<u32>()
    };
    let shrunk = case(steps).shrink(ShrinkLimits::default(), |case| deletes(case) >= 200);
    let [step] = &shrunk.case.steps[..] else {
        panic!("{} steps", shrunk.case.steps.len());
    };
    assert_eq!(step.times.get(), 200);
    assert!(shrunk.minimal);
    assert!(shrunk.candidates < 1_000, "{} tries", shrunk.candidates);
}

/// Shrinks the first case of a seed for which `fails` returns true.
fn shrunk(seed: u64, fails: impl Fn(&Case) -> bool) -> Option<Case> {
    let mut cases = (0..20_000).map(|index| nth_case(&plan(seed), index));
    let found = cases.find(|case| fails(case))?;
    let shrunk = found.shrink(ShrinkLimits::default(), &fails);
    assert!(shrunk.minimal, "{} candidates", shrunk.candidates);
    assert!(fails(&shrunk.case), "the shrunk case still fails");
    Some(shrunk.case)
}

#[test]
fn a_case_shrinks_to_the_one_step_and_the_one_operation_that_matter() {
    let traps = |step: &Step| {
        let program = step.program.as_ref();
        program.is_some_and(|program| program.0.iter().any(|op| matches!(op, Op::Trap(_))))
    };
    for seed in 0..20 {
        let case =
            shrunk(seed, |case| case.steps.iter().any(traps)).expect("some case of the seed fails");
        let [step] = &case.steps[..] else {
            panic!("{case:?}");
        };
        let place = function_index(step.request.function().label);
        assert_eq!(step.request, Request::dry_run(place));
        let program = step.program.as_ref().expect("the step has a program");
        assert!(matches!(program.0[..], [Op::Trap(_)]), "{program:?}");
    }
}

#[test]
fn a_case_shrinks_to_the_dry_run_sample_with_the_one_field_that_matters() {
    let with_query = |case: &Case| {
        case.steps.iter().any(|step| match &step.request {
            Request::ShapeV2(shape) => shape.request.query.is_some(),
            _ => false,
        })
    };
    for seed in 0..20 {
        let case = shrunk(seed, with_query).expect("some case of the seed fails");
        let mut sample = Request::dry_run(function_index("shape_v2"));
        if let Request::ShapeV2(shape) = &mut sample {
            shape.request.query = Some(cc_lb_fuzz::wire::Query(String::new()));
        }
        assert_eq!(case.steps, [Step::without_program(sample)]);
    }
}

#[test]
fn numbers_lists_and_texts_shrink_to_the_smallest_that_fail() {
    let fails = |case: &Case| {
        case.steps.iter().any(|step| match &step.request {
            Request::FilterV3(filter) => {
                let mut candidates = filter.candidates.0.iter();
                candidates.any(|c| c.observed_at_unix_secs.0 >= 777 && c.name.0.len() >= 3)
            }
            _ => false,
        })
    };
    for seed in 0..5 {
        let case = shrunk(seed, fails).expect("some case of the seed fails");
        let Request::FilterV3(filter) = &case.steps[0].request else {
            panic!("{case:?}");
        };
        let [candidate] = &filter.candidates.0[..] else {
            panic!("{case:?}");
        };
        assert_eq!(candidate.observed_at_unix_secs.0, 777);
        assert!(candidate.name.0.len() < 5, "{candidate:?}");
        assert_eq!(candidate.observed_rate_limits.0, []);
        assert_eq!(candidate.cache_score, None);
    }
}

#[test]
fn if_numbers_are_kept_everything_else_still_shrinks() {
    let case = case([
        with_program("sign_v1", [Op::LogCall, Op::Flood(1_999), Op::Burn(7)]),
        healthy("shape_v1"),
    ]);
    let limits = ShrinkLimits {
        numbers: Numbers::AsTheyAre,
        ..ShrinkLimits::default()
    };
    let fails = |case: &Case| {
        let programs = case.steps.iter().filter_map(|step| step.program.as_ref());
        programs
            .flat_map(|program| &program.0)
            .any(|op| matches!(op, Op::Flood(pages) if *pages > 1_000))
    };
    let shrunk = case.shrink(limits, fails);
    assert_eq!(
        shrunk.case.steps,
        [with_program("shape_v1", [Op::Flood(1_999)])],
        "at the threshold of a measurement a finding would not reproduce reliably"
    );
    assert!(shrunk.minimal);
}

#[test]
fn shrinking_ends_at_its_limit() {
    let case = case(vec![with_program("sign_v1", vec![Op::LogCall; 8]); 8]);
    let limits = ShrinkLimits {
        candidates: 3,
        ..ShrinkLimits::default()
    };
    let mut tried = 0;
    let shrunk = case.shrink(limits, |_| {
        tried += 1;
        true
    });
    assert_eq!((tried, shrunk.candidates, shrunk.minimal), (3, 3, false));
}

#[test]
fn after_its_limit_shrinking_makes_no_more_candidates() {
    // A case of maximal length, with fields that have thousands of simpler values.
    let mut step = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut step.request {
        shape.request.request_id.0 = "ab".repeat(20_000);
    }
    let other = healthy("shape_v1");
    let long = case(
        [step, other]
            .iter()
            .cycle()
            .take(1024)
            .cloned()
            .collect::<Vec<_>>(),
    );
    let limits = ShrinkLimits {
        candidates: 1,
        ..ShrinkLimits::default()
    };
    // A copy of the case for each of these values would take minutes.
    let shrunk = long.shrink(limits, |_| false);
    assert_eq!((shrunk.candidates, shrunk.case.steps.len()), (1, 1024));
}

#[test]
fn json_that_is_nested_too_deep_to_be_written_shrinks_to_the_smallest_depth_that_fails() {
    fn depth(value: &serde_json::Value) -> usize {
        value
            .as_array()
            .map_or(0, |items| 1 + items.iter().map(depth).max().unwrap_or(0))
    }
    let deep = |case: &Case| {
        case.steps.iter().any(|step| match &step.request {
            Request::BuildSignerV1(request) => depth(&request.factory_state.0) >= 110,
            _ => false,
        })
    };
    let case = shrunk(1, deep).expect("some case of the seed fails");
    let Request::BuildSignerV1(request) = &case.steps[0].request else {
        panic!("{case:?}");
    };
    assert_eq!(depth(&request.factory_state.0), 110);
}
