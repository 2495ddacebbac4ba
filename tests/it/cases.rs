//! Cases are equal after they are written and read, and the cases of a seed are stable.

use cc_lb_fuzz::case::{Case, CaseError, MAX_STEPS, ONCE, ShrinkLimits, Step};
use cc_lb_fuzz::generate::{CaseGenerator, Cases, Phase, Plan};
use cc_lb_fuzz::puppet::{Bytes, Import, Op, Operand, Program, TrapOp};
use cc_lb_fuzz::wire::{Json, Request, Vocabulary};
use sha2::{Digest as _, Sha256};

use crate::common::{case, healthy, nth_case, repeated, with_program};

/// Returns an endless plan for the puppet.
pub fn plan(seed: u64) -> Plan {
    Plan::puppet::<Request>(seed, 0)
}

/// Returns this many nested arrays.
pub fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(serde_json::Value::Null, |inner, _| {
        serde_json::json!([inner])
    })
}

#[test]
fn both_file_forms_are_read_as_they_were_written() {
    for index in 0..3_000 {
        let case: Case = nth_case(&plan(7), index);
        let json = case.to_json().expect("it serializes");
        assert_eq!(
            Case::decode(json.as_bytes()).expect("it can be read"),
            case,
            "{json}"
        );
        let postcard = case.to_postcard().expect("it serializes");
        assert_eq!(
            Case::decode(&postcard).expect("it can be read"),
            case,
            "case {index}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_cases_and_another_seed_gives_others() {
    let cases = |seed| {
        (0..200)
            .map(|index| nth_case(&plan(seed), index))
            .collect::<Vec<Case>>()
    };
    assert_eq!(cases(1), cases(1));
    assert_ne!(cases(1), cases(2));
    // The order of the indices does not matter.
    let backwards: Vec<Case> = (0..200)
        .rev()
        .map(|index| nth_case(&plan(1), index))
        .collect();
    assert_eq!(backwards.into_iter().rev().collect::<Vec<_>>(), cases(1));
}

#[test]
fn the_cases_of_a_seed_are_the_same_on_every_machine() {
    // Other cases are expected only if a generator or the vocabulary changed.
    let plan = plan(1);
    let phases = Cases::<Request>::new(&plan);
    let drawn = (40..).filter(|index| phases.phase(*index) == Phase::Random);
    let mut cases = drawn.map(|index| nth_case(&plan, index));
    let has_program = |case: &Case| case.steps.iter().any(|step| step.program.is_some());
    let case = cases.find(has_program).expect("the cases are endless");
    insta::assert_snapshot!(case.to_json().expect("it serializes"));
}

#[test]
fn an_invalid_case_is_refused_with_a_reason() {
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
        message(br#"{"format":3,"steps":[]}"#),
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
        message(b"cclb\x03"),
        message(&postcard[..postcard.len() / 2]),
    ];
    insta::assert_snapshot!(messages.join("\n"));
    let too_long = case(vec![healthy("observe_v1"); MAX_STEPS + 1]);
    let bytes = too_long.to_postcard().expect("it serializes");
    assert!(matches!(
        Case::<Request>::decode(&bytes),
        Err(CaseError::TooLong { steps }) if steps == MAX_STEPS + 1
    ));
}

#[test]
fn equal_consecutive_steps_are_written_once_with_their_number() {
    let case = case([
        repeated(with_program("sign_v1", [Op::LogCall]), 3),
        healthy("shape_v1"),
        repeated(healthy("sign_v1"), 3_000),
    ]);
    assert_eq!(case.dispatches(), 3_004);
    let json = case.to_json().expect("it serializes");
    assert!(json.contains("\"format\": 2"), "{json}");
    assert!(json.contains("\"times\": 3000"), "{json}");
    assert_eq!(json.matches("\"times\"").count(), 2, "{json}");
    assert_eq!(Case::decode(json.as_bytes()).expect("it can be read"), case);
    let postcard = case.to_postcard().expect("it serializes");
    assert!(postcard.len() < 1024, "{} bytes", postcard.len());
    assert_eq!(Case::decode(&postcard).expect("it can be read"), case);
}

#[test]
fn a_case_without_repeated_steps_is_written_in_format_1() {
    let case = case([healthy("sign_v1"), with_program("sign_v1", [Op::LogCall])]);
    let json = case.to_json().expect("it serializes");
    assert!(json.contains("\"format\": 1"), "{json}");
    assert!(!json.contains("times"), "{json}");
    let postcard = case.to_postcard().expect("it serializes");
    assert_eq!(postcard[..5], *b"cclb\x01");
}

#[test]
fn the_number_of_repetitions_is_checked_when_a_case_is_read() {
    let read = |times: [u32; 2], format: u32| {
        let case = case(times.map(|times| repeated(healthy("shape_v1"), times)));
        let json = case.to_json().expect("it serializes");
        let json = json.replace("\"format\": 2", &format!("\"format\": {format}"));
        Case::<Request>::decode(json.as_bytes())
    };
    let half = MAX_STEPS as u32 / 2;
    assert!(read([half, half], 2).is_ok());
    for times in [[half, half + 1], [u32::MAX, u32::MAX], [1, u32::MAX]] {
        assert!(
            matches!(read(times, 2), Err(CaseError::TooLong { .. })),
            "{times:?}"
        );
        let case = case(times.map(|times| repeated(healthy("shape_v1"), times)));
        let postcard = case.to_postcard().expect("it serializes");
        let read = Case::<Request>::decode(&postcard);
        assert!(matches!(read, Err(CaseError::TooLong { .. })), "{times:?}");
    }
    let error = read([1, 2], 1).expect_err("format 1 has no `times`");
    assert!(error.to_string().contains("`times`"), "{error}");
    let sound = case([repeated(healthy("shape_v1"), 2)]);
    let json = sound.to_json().expect("it serializes");
    for times in ["0", "-1", "1.5", "null", "4294967296"] {
        let json = json.replace("\"times\": 2", &format!("\"times\": {times}"));
        assert!(Case::<Request>::decode(json.as_bytes()).is_err(), "{times}");
    }
}

#[test]
fn a_case_with_too_many_values_is_refused() {
    let objects = "{},".repeat(1 << 20);
    for repeat in ["{}", r#"{"$repeat":[]}"#] {
        let json = format!(r#"{{"format":2,"steps":[{objects}{repeat}]}}"#);
        let error = Case::<Request>::decode(json.as_bytes()).expect_err("it is too large");
        assert_eq!(
            error.to_string(),
            "not a case: it has more than 1048576 values"
        );
    }
}

/// Returns a hash of the cases of a plan: of their JSON, their compact form, and the inputs that
/// guests get.
fn hash_of_cases(plan: &Plan, indices: impl Iterator<Item = u64>) -> String {
    let cases = Cases::<Request>::new(plan);
    let mut hash = Sha256::new();
    for index in indices {
        let case = cases.nth(index);
        hash.update(case.to_json().expect("it serializes"));
        hash.update(case.to_postcard().expect("it serializes"));
        for step in &case.steps {
            let input = step
                .request_with_program()
                .to_json()
                .expect("it serializes");
            // The guest gets it with sorted keys.
            let input = cc_lb_fuzz::host::encode_envelope(&input, 1).expect("it is an object");
            hash.update(input);
        }
    }
    short(hash)
}

/// Returns the first 8 bytes of a hash in hexadecimal digits.
fn short(hash: Sha256) -> String {
    let hash = hash.finalize();
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The workspace package `tests/preserve_order` only turns on the feature of `serde_json` with
/// which objects keep their insertion order. Tested together with it, the hashes must be the same.
/// They may change only if a generator or the vocabulary changed.
#[test]
fn the_cases_of_a_seed_do_not_depend_on_the_order_of_keys() {
    let puppet = hash_of_cases(&plan(1), 0..500);
    let mut plan = Plan::plugin::<Request>(1, 0);
    plan.generator.dictionary = ["x-tenant", "refresh_token", "claude-opus-4-1"]
        .map(String::from)
        .into();
    plan.generator.response_dictionary = vec![
        r#"{"token":"AAAA","expires_at":1767225600,"scopes":["a"],"of":{"b":1,"a":2}}"#.to_owned(),
    ];
    // This covers all phases, and growth.
    let plugin = hash_of_cases(&plan, (0..200).chain((200..60_000).step_by(499)));
    // Shrinking visits the fields in order.
    let mut order = Sha256::new();
    let cases = Cases::<Request>::new(&plan);
    let limits = ShrinkLimits {
        candidates: 200,
        ..ShrinkLimits::default()
    };
    for index in 0..20 {
        let case = cases.nth(2 * index + 1);
        let _ = case.shrink(limits, |case| {
            order.update(case.to_json().expect("it serializes"));
            false
        });
    }
    insta::assert_snapshot!(format!("{puppet} {plugin} {}", short(order)));
}

#[test]
fn a_case_that_cannot_be_read_names_its_file() {
    let folder = tempfile::tempdir().expect("the folder can be created");
    let missing = Case::<Request>::read(&folder.path().join("missing.json"));
    assert!(matches!(missing, Err(CaseError::Read { .. })));
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{").expect("it can be written");
    let error = Case::<Request>::read(&broken)
        .expect_err("it is broken")
        .to_string();
    assert!(error.contains("broken.json: not a case"), "{error}");
}

/// The case has everything that the JSON form writes in a special way.
#[test]
fn the_json_form_is_readable() {
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
        with_program(
            "sign_v2",
            [
                Op::LogCall,
                answer,
                Op::Repeat { byte: 32, times: 9 },
                Op::Return(-1),
            ],
        ),
    ]);
    let json = case.to_json().expect("it serializes");
    assert_eq!(Case::decode(json.as_bytes()).expect("it can be read"), case);
    insta::assert_snapshot!(json);
}

#[test]
fn mutation_keeps_cases_valid_and_changes_every_part() {
    use arbitrary::Unstructured;
    let generator = CaseGenerator::puppet::<Request>();
    let mut case: Case = nth_case(&plan(5), 20);
    let (mut longer, mut shorter, mut programs, mut requests) = (0, 0, 0, 0);
    for index in 0..1_000 {
        let entropy: Case = nth_case(&plan(6), index);
        let entropy = entropy.to_postcard().expect("it serializes").repeat(4);
        let before = case.clone();
        case.mutate(&generator, &mut Unstructured::new(&entropy[5..]))
            .expect("it can be mutated");
        longer += u32::from(case.steps.len() > before.steps.len());
        shorter += u32::from(case.steps.len() < before.steps.len());
        let pairs = || before.steps.iter().zip(&case.steps);
        programs += u32::from(pairs().any(|(a, b)| a.program != b.program));
        requests += u32::from(pairs().any(|(a, b)| a.request != b.request));
        assert!(case.steps.len() <= 64);
        let written = case.to_postcard().expect("it serializes");
        assert_eq!(Case::decode(&written).expect("it can be read"), case);
    }
    assert!(longer > 50 && shorter > 50 && programs > 50 && requests > 50);
}

#[test]
fn a_request_contains_the_encoded_program() {
    let program = Program(vec![
        Op::Emit(Bytes((0..=255).collect())),
        Op::Return(i32::MIN),
    ]);
    for index in 0..Request::functions().len() {
        let step = Step::<Request> {
            request: Request::dry_run(index),
            program: Some(program.clone()),
            times: ONCE,
        };
        let json = step
            .request_with_program()
            .to_json()
            .expect("it serializes")
            .to_string();
        assert!(json.contains(&program.encode()), "{json}");
    }
}

#[test]
fn the_numbers_of_operations_in_the_compact_form_are_permanent() {
    let operand = Operand {
        register: Some(1),
        add: -1,
    };
    let ops = [
        Op::LogCall,
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
        Op::Times(0),
        Op::Line(0),
        Op::Tally,
        Op::In(0),
        Op::StoreRange {
            from: operand,
            bytes: 0,
        },
    ];
    for (number, op) in ops.iter().enumerate() {
        let bytes = postcard::to_stdvec(op).expect("it serializes");
        assert_eq!(usize::from(bytes[0]), number, "{op:?}");
    }
    for (number, import) in Import::ALL.iter().enumerate() {
        let bytes = postcard::to_stdvec(import).expect("it serializes");
        assert_eq!(bytes, [number as u8], "{import:?}");
    }
}

#[test]
fn brackets_in_a_text_do_not_count_as_nesting() {
    let mut shape = case([healthy("shape_v1")]);
    if let Request::ShapeV1(request) = &mut shape.steps[0].request {
        let claims = &mut request.principal.claims.0;
        claims.insert("note".to_owned(), "[\"".repeat(600).into());
    }
    let bytes = shape.to_postcard().expect("it serializes");
    assert_eq!(Case::decode(&bytes).expect("it is a case"), shape);
}
