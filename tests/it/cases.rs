//! Cases mean the same after they were written and read, and shrink to what a finding needs.

use cc_lb_fuzz::campaign::Plan;
use cc_lb_fuzz::case::{Case, CaseError, Menu, Numbers, ShrinkLimits, Step};
use cc_lb_fuzz::puppet::{Bytes, Import, Op, Operand, Program, TrapOp};
use cc_lb_fuzz::wire::{Json, Request, Vocabulary};

use crate::common::{case, healthy, nth_case, place, told};

fn plan(seed: u64) -> Plan {
    Plan::puppet::<Request>(seed, 0)
}

#[test]
fn both_forms_read_back_as_what_was_written() {
    for index in 0..3_000 {
        let case: Case = nth_case(&plan(7), index);
        let json = case.to_json().expect("it serializes");
        assert_eq!(
            Case::decode(json.as_bytes()).expect("it reads"),
            case,
            "{json}"
        );
        let postcard = case.to_postcard().expect("it serializes");
        assert_eq!(
            Case::decode(&postcard).expect("it reads"),
            case,
            "case {index}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_cases_and_another_seed_others() {
    let cases = |seed| {
        (0..200)
            .map(|index| nth_case(&plan(seed), index))
            .collect::<Vec<Case>>()
    };
    assert_eq!(cases(1), cases(1));
    assert_ne!(cases(1), cases(2));
    // In any order.
    let backwards: Vec<Case> = (0..200)
        .rev()
        .map(|index| nth_case(&plan(1), index))
        .collect();
    assert_eq!(backwards.into_iter().rev().collect::<Vec<_>>(), cases(1));
}

#[test]
fn the_cases_of_a_seed_are_the_same_on_every_machine() {
    // Others are wanted where a generator or the vocabulary changed, and only there.
    let case: Case = nth_case(&plan(1), 40);
    insta::assert_snapshot!(case.to_json().expect("it serializes"));
}

#[test]
fn what_is_no_case_is_refused_with_a_reason() {
    let message = |bytes: &[u8]| match Case::<Request>::decode(bytes) {
        Ok(case) => panic!("{case:?}"),
        Err(error) => error.to_string(),
    };
    let sound = case([healthy("shape_v1")])
        .to_json()
        .expect("it serializes");
    let postcard = case([healthy("shape_v1")])
        .to_postcard()
        .expect("it serializes");
    let deep = format!("{}1{}", "[".repeat(600), "]".repeat(600));
    let many = format!(
        "[{}]",
        vec![r#"{"name":{"$repeat":["a",1048576]},"value_base64":""}"#; 70].join(",")
    );
    let messages = [
        message(
            sound
                .replace("\"headers\": []", &format!("\"headers\": {many}"))
                .as_bytes(),
        ),
        message(b""),
        message(b"not a case"),
        message(b"{}"),
        message(br#"{"format":1,"steps":[]}"#),
        message(br#"{"format":0,"steps":[]}"#),
        message(br#"{"format":2,"steps":[]}"#),
        message(br#"{"format":1,"steps":[],"extra":1}"#),
        message(sound.replace("shape_v1", "shape_v9").as_bytes()),
        message(sound.replace("\"id\"", "\"ID\"").as_bytes()),
        message(sound.replace("\"claims\": {}", "\"claims\": 1").as_bytes()),
        message(
            sound
                .replace("\"POST\"", r#"{"$repeat":["a",9999999]}"#)
                .as_bytes(),
        ),
        message(
            sound
                .replace(
                    "\"claims\": {}",
                    &format!("\"claims\": {{\"$json\":\"{deep}\"}}"),
                )
                .as_bytes(),
        ),
        message(&sound.as_bytes()[..sound.len() / 2]),
        message(b"cclb"),
        message(b"cclb\x02"),
        message(&postcard[..postcard.len() / 2]),
    ];
    insta::assert_snapshot!(messages.join("\n"));
    let too_long = case(vec![healthy("observe_v1"); 1025]);
    let bytes = too_long.to_postcard().expect("it serializes");
    assert!(matches!(
        Case::<Request>::decode(&bytes),
        Err(CaseError::TooLong { steps: 1025 })
    ));
}

#[test]
fn a_case_that_cannot_be_read_names_its_file() {
    let folder = tempfile::tempdir().expect("there is room");
    let missing = Case::<Request>::read(&folder.path().join("missing.json"));
    assert!(matches!(missing, Err(CaseError::Read { .. })));
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{").expect("it can be written");
    let error = Case::<Request>::read(&broken)
        .expect_err("it is broken")
        .to_string();
    assert!(error.contains("broken.json: not a case"), "{error}");
}

/// Everything that a case file has a form of its own for.
#[test]
fn the_readable_form_is_readable() {
    let mut step = healthy("filter_v3");
    if let Request::FilterV3(filter) = &mut step.request {
        filter.method.0 = "A".repeat(1024);
        filter
            .principal
            .claims
            .0
            .insert("deep".to_owned(), nested(100));
    }
    let mut signer = healthy("build_signer_v1");
    if let Request::BuildSignerV1(request) = &mut signer.request {
        request.factory_state = Json(nested(130));
    }
    let answer = Op::Emit(Bytes(vec![0xff, b'{']));
    let case = case([
        step,
        signer,
        told(
            "sign_v2",
            [
                Op::Knock,
                answer,
                Op::Repeat { byte: 32, times: 9 },
                Op::Return(-1),
            ],
        ),
    ]);
    let json = case.to_json().expect("it serializes");
    assert_eq!(Case::decode(json.as_bytes()).expect("it reads"), case);
    insta::assert_snapshot!(json);
}

fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(serde_json::Value::Null, |inner, _| {
        serde_json::json!([inner])
    })
}

/// Shrinks an arbitrary case as long as `fails` holds of it.
fn shrunk(seed: u64, fails: impl Fn(&Case) -> bool) -> Option<Case> {
    let mut cases = (0..20_000).map(|index| nth_case(&plan(seed), index));
    let found = cases.find(|case| fails(case))?;
    let shrunk = found.shrink(ShrinkLimits::default(), &fails);
    assert!(shrunk.minimal, "{} candidates", shrunk.candidates);
    assert!(fails(&shrunk.case), "the finding is still there");
    Some(shrunk.case)
}

#[test]
fn a_case_shrinks_to_the_one_step_and_the_one_operation_that_matter() {
    let traps = |step: &Step| {
        let program = step.program.as_ref();
        program.is_some_and(|program| program.0.iter().any(|op| matches!(op, Op::Trap(_))))
    };
    for seed in 0..20 {
        let case = shrunk(seed, |case| case.steps.iter().any(traps)).expect("there is one");
        let [step] = &case.steps[..] else {
            panic!("{case:?}");
        };
        let place = place(step.request.function().label);
        assert_eq!(step.request, Request::dry_run(place));
        let program = step.program.as_ref().expect("it has one");
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
        let case = shrunk(seed, with_query).expect("there is one");
        let mut sample = Request::dry_run(place("shape_v2"));
        if let Request::ShapeV2(shape) = &mut sample {
            shape.request.query = Some(cc_lb_fuzz::wire::Query(String::new()));
        }
        let expected = Step {
            request: sample,
            program: None,
        };
        assert_eq!(case.steps, [expected]);
    }
}

#[test]
fn numbers_lists_and_texts_shrink_to_the_edge_of_the_finding() {
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
        let case = shrunk(seed, fails).expect("there is one");
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
fn where_numbers_stay_as_they_are_all_else_still_shrinks() {
    let case = case([
        told("sign_v1", [Op::Knock, Op::Flood(1_999), Op::Burn(7)]),
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
        [told("shape_v1", [Op::Flood(1_999)])],
        "at the edge of a measurement a finding would come and go"
    );
    assert!(shrunk.minimal);
}

#[test]
fn shrinking_ends_at_its_limit() {
    let case = case(vec![told("sign_v1", vec![Op::Knock; 8]); 8]);
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
fn behind_its_limit_shrinking_makes_no_candidates_that_nobody_looks_at() {
    // As long as a case may be, and with fields that have thousands of simpler ones.
    let mut step = healthy("shape_v1");
    if let Request::ShapeV1(shape) = &mut step.request {
        shape.request.request_id.0 = "ab".repeat(20_000);
    }
    let long = case(vec![step; 1024]);
    let limits = ShrinkLimits {
        candidates: 1,
        ..ShrinkLimits::default()
    };
    // A copy of the case for each of them would take minutes.
    let shrunk = long.shrink(limits, |_| false);
    assert_eq!((shrunk.candidates, shrunk.case.steps.len()), (1, 1024));
}

#[test]
fn mutation_keeps_cases_readable_and_reaches_everything() {
    use arbitrary::Unstructured;
    let menu = Menu::puppet::<Request>();
    let mut case: Case = nth_case(&plan(5), 20);
    let (mut longer, mut shorter, mut programs, mut requests) = (0, 0, 0, 0);
    for index in 0..1_000 {
        let entropy: Case = nth_case(&plan(6), index);
        let entropy = entropy.to_postcard().expect("it serializes").repeat(4);
        let before = case.clone();
        case.mutate(&menu, &mut Unstructured::new(&entropy[5..]))
            .expect("it mutates");
        longer += u32::from(case.steps.len() > before.steps.len());
        shorter += u32::from(case.steps.len() < before.steps.len());
        let pairs = || before.steps.iter().zip(&case.steps);
        programs += u32::from(pairs().any(|(a, b)| a.program != b.program));
        requests += u32::from(pairs().any(|(a, b)| a.request != b.request));
        assert!(case.steps.len() <= 64);
        let written = case.to_postcard().expect("it serializes");
        assert_eq!(Case::decode(&written).expect("it reads"), case);
    }
    assert!(longer > 50 && shorter > 50 && programs > 50 && requests > 50);
}

#[test]
fn a_program_survives_its_journey_through_the_request() {
    let program = Program(vec![
        Op::Emit(Bytes((0..=255).collect())),
        Op::Return(i32::MIN),
    ]);
    for place in 0..Request::functions().len() {
        let step = Step::<Request> {
            request: Request::dry_run(place),
            program: Some(program.clone()),
        };
        let json = step.told().to_json().expect("it serializes").to_string();
        assert!(json.contains(&program.encode()), "{json}");
    }
}

#[test]
fn json_that_is_nested_too_deep_to_be_written_shrinks_to_the_depth_that_matters() {
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
    let case = shrunk(1, deep).expect("there is one");
    let Request::BuildSignerV1(request) = &case.steps[0].request else {
        panic!("{case:?}");
    };
    assert_eq!(depth(&request.factory_state.0), 110);
}

#[test]
fn the_compact_form_of_format_1_counts_operations_as_it_always_did() {
    let operand = Operand {
        register: Some(1),
        add: -1,
    };
    let ops = [
        Op::Knock,
        Op::Emit("".into()),
        Op::Repeat { byte: 0, times: 0 },
        Op::EmitInput,
        Op::QuoteInput,
        Op::EmitHealthy,
        Op::Publish,
        Op::SetError("".into()),
        Op::Grow(0),
        Op::Burn(0),
        Op::Trap(TrapOp::Memory),
        Op::Spin,
        Op::Stall,
        Op::Return(0),
        Op::Call {
            function: Import::LogError,
            operands: [operand; 2],
            to: 0,
        },
        Op::GrowTable(0),
        Op::Flood(0),
        Op::Fill(0),
        Op::Copy(0),
        Op::BurnTo(0),
        Op::Hold,
    ];
    for (place, op) in ops.iter().enumerate() {
        let bytes = postcard::to_stdvec(op).expect("it serializes");
        assert_eq!(usize::from(bytes[0]), place, "{op:?}");
    }
    for (place, import) in Import::ALL.iter().enumerate() {
        let bytes = postcard::to_stdvec(import).expect("it serializes");
        assert_eq!(bytes, [place as u8], "{import:?}");
    }
}

#[test]
fn brackets_in_a_text_are_no_nesting() {
    let mut shape = case([healthy("shape_v1")]);
    if let Request::ShapeV1(request) = &mut shape.steps[0].request {
        let claims = &mut request.principal.claims.0;
        claims.insert("note".to_owned(), "[\"".repeat(600).into());
    }
    let bytes = shape.to_postcard().expect("it serializes");
    assert_eq!(Case::decode(&bytes).expect("it is a case"), shape);
}
