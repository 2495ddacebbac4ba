//! The generators produce all kinds of values and operations, in the stated proportions.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary as _, Unstructured};
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::generate::{Plan, Wildness};
use cc_lb_fuzz::puppet::{Ending, Op, Prediction, Program, TrapOp, predict};
use cc_lb_fuzz::wire::*;
use cc_lb_plugin_wire::wire_function::WireFunction;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::common::nth_case;

/// The number of values in each statistic.
const VALUES: usize = 4_000;

/// Asserts that each kind has its stated share of the values, give or take half of it: arbitrary
/// values can be realistic by chance.
fn assert_shares<T: FieldDomain>(name: &str, engine: &str, values: impl Iterator<Item = T>) {
    let mut counts = BTreeMap::new();
    for value in values.take(VALUES) {
        *counts.entry(value.kind()).or_insert(0u32) += 1;
    }
    for (kind, share) in ValueClass::SHARES {
        let seen = f64::from(counts.get(&kind).copied().unwrap_or(0)) * 100.0 / VALUES as f64;
        let slack = f64::from(share) / 2.0;
        assert!(
            (seen - f64::from(share)).abs() < slack,
            "{name} by {engine}: {seen:.1} % {kind:?} instead of {share} %"
        );
    }
}

/// Returns the entropy with this index, of a fixed seed.
fn entropy(index: usize) -> Vec<u8> {
    // Any well-mixed bytes would do. This is SplitMix64 (Steele et al. 2014).
    let mut state = index as u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    next();
    (0..64).flat_map(|_| next().to_le_bytes()).collect()
}

macro_rules! every_field {
    ($($field:ident),+ $(,)?) => {
        #[test]
        fn every_field_has_each_kind_of_value_in_its_proportion() {
            $({
                let name = stringify!($field);
                let values = (0..).map(|index| {
                    $field::arbitrary(&mut Unstructured::new(&entropy(index))).expect("it generates")
                });
                assert_shares(name, "arbitrary", values);
                let mut runner = TestRunner::deterministic();
                let strategy = proptest::arbitrary::any::<$field>();
                let values = std::iter::repeat_with(|| {
                    strategy.new_tree(&mut runner).expect("it generates").current()
                });
                assert_shares(name, "proptest", values);
            })+
        }
    };
}

every_field! {
    RequestId, HeaderName, Method, Path, Query, Url, PrincipalId, PrincipalKind, UpstreamId, Label, Timestamp,
    UserAgent, Message, Body, HeaderValue, Json, JsonObject, Status, Count, SmallCount, Share, Confidence,
}

/// Counts the features of the cases of a fixed seed.
fn census() -> BTreeMap<&'static str, u64> {
    let plan = Plan::puppet::<Request>(11, 0);
    let mut census = BTreeMap::new();
    let mut count = |what, times: usize| *census.entry(what).or_insert(0) += times as u64;
    for index in 0..40_000 {
        let case: Case = nth_case(&plan, index);
        count("one step", usize::from(case.steps.len() == 1));
        count("several steps", usize::from(case.steps.len() > 1));
        for step in &case.steps {
            count(
                "steps without a program",
                usize::from(step.program.is_none()),
            );
            let ops = step.program.iter().flat_map(|program| &program.0);
            ops.for_each(|op| count(op_name(op), 1));
            let json = step.request.to_json().expect("it serializes");
            visit(&json, 0, &mut count);
            if let Request::FilterV3(filter) = &step.request {
                let scores = filter
                    .candidates
                    .0
                    .iter()
                    .flat_map(|c| &c.subscription_quotas.0);
                let shares = scores.filter_map(|quota| quota.utilization);
                count(
                    "float: not finite",
                    shares.filter(|share| !share.0.is_finite()).count(),
                );
                count(length_name(filter.candidates.0.len()), 1);
            }
            if let Request::ShapeV1(shape) = &step.request {
                let body = &shape.request.body_base64;
                count("body: not base64", usize::from(!is_base64(&body.0)));
                count(
                    "body: a Messages API request",
                    usize::from(is_messages(&body.0)),
                );
                count("query", usize::from(shape.request.query.is_some()));
                count("no query", usize::from(shape.request.query.is_none()));
            }
        }
    }
    census
}

fn is_base64(text: &str) -> bool {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    BASE64_STANDARD.decode(text).is_ok()
}

fn is_messages(text: &str) -> bool {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let body = BASE64_STANDARD.decode(text).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    body["messages"].is_array() && body["max_tokens"].is_u64()
}

fn length_name(length: usize) -> &'static str {
    match length {
        0 => "list: empty",
        1 => "list: one",
        2..=4 => "list: a few",
        _ => "list: many",
    }
}

fn op_name(op: &Op) -> &'static str {
    match op {
        Op::LogCall => "op: log_call",
        Op::Emit(_) => "op: emit",
        Op::Repeat { .. } => "op: repeat",
        Op::EmitInput => "op: emit_input",
        Op::QuoteInput => "op: quote_input",
        Op::EmitHealthy => "op: emit_healthy",
        Op::Publish => "op: publish",
        Op::SetError(_) => "op: set_error",
        Op::Grow(_) => "op: grow",
        Op::Burn(_) => "op: burn",
        Op::Trap(TrapOp::Unreachable) => "op: trap unreachable",
        Op::Trap(TrapOp::DivisionByZero) => "op: trap division by zero",
        Op::Trap(TrapOp::DivisionOverflow) => "op: trap division overflow",
        Op::Trap(TrapOp::BadConversion) => "op: trap bad conversion",
        Op::Trap(TrapOp::Memory) => "op: trap memory",
        Op::Trap(TrapOp::Table) => "op: trap table",
        Op::Trap(TrapOp::NullCall) => "op: trap null call",
        Op::Trap(TrapOp::BadSignature) => "op: trap bad signature",
        Op::Trap(TrapOp::StackOverflow) => "op: trap stack overflow",
        Op::Spin => "op: spin",
        Op::Stall => "op: stall",
        Op::Return(0) => "op: return 0",
        Op::Return(_) => "op: return a code",
        Op::Call { .. } => "op: call",
        Op::GrowTable(_) => "op: grow_table",
        Op::Flood(_) => "op: flood",
        Op::BurnTo(_) => "op: burn_to",
        Op::Fill(_) => "op: fill",
        Op::Copy(_) => "op: copy",
        Op::Hold => "op: hold",
        Op::Times(_) => "op: times",
        Op::Line(_) => "op: line",
        Op::Tally => "op: tally",
        Op::In(_) => "op: in",
        Op::StoreRange { .. } => "op: store_range",
    }
}

fn visit(json: &Value, depth: usize, count: &mut impl FnMut(&'static str, usize)) {
    match json {
        Value::String(text) => {
            count("text: empty", usize::from(text.is_empty()));
            count("text: NUL", usize::from(text.contains('\0')));
            count("text: not ASCII", usize::from(!text.is_ascii()));
            count("text: long", usize::from(text.len() >= 1024));
            count("text: very long", usize::from(text.len() >= 65_536));
        }
        Value::Number(number) => {
            count("number: 0", usize::from(number.as_u64() == Some(0)));
            count("number: 1", usize::from(number.as_u64() == Some(1)));
            count(
                "number: MAX",
                usize::from(number.as_u64() == Some(u64::MAX)),
            );
            count(
                "number: beyond f64",
                usize::from(number.as_u64() == Some((1 << 53) + 1)),
            );
        }
        Value::Array(items) => {
            count(
                "JSON: nested past the parser's limit",
                usize::from(depth == 128),
            );
            items.iter().for_each(|item| visit(item, depth + 1, count));
        }
        Value::Object(fields) => {
            count(
                "JSON: nested past the parser's limit",
                usize::from(depth == 128),
            );
            fields
                .values()
                .for_each(|value| visit(value, depth + 1, count));
        }
        _ => {}
    }
}

#[test]
fn cases_contain_every_feature() {
    let census = census();
    let expected = [
        "one step",
        "several steps",
        "steps without a program",
        "query",
        "no query",
        "list: empty",
        "list: one",
        "list: a few",
        "list: many",
        "text: empty",
        "text: NUL",
        "text: not ASCII",
        "text: long",
        "text: very long",
        "number: 0",
        "number: 1",
        "number: MAX",
        "number: beyond f64",
        "float: not finite",
        "body: not base64",
        "body: a Messages API request",
        "JSON: nested past the parser's limit",
        "op: log_call",
        "op: emit",
        "op: repeat",
        "op: emit_input",
        "op: quote_input",
        "op: emit_healthy",
        "op: publish",
        "op: set_error",
        "op: grow",
        "op: burn",
        "op: trap unreachable",
        "op: trap division by zero",
        "op: trap division overflow",
        "op: trap bad conversion",
        "op: trap memory",
        "op: trap table",
        "op: trap null call",
        "op: trap bad signature",
        "op: trap stack overflow",
        "op: spin",
        "op: stall",
        "op: return 0",
        "op: return a code",
        "op: call",
        "op: grow_table",
        "op: flood",
        "op: times",
        "op: line",
        "op: tally",
        "op: in",
        "op: store_range",
    ];
    for what in expected {
        let seen = census.get(what).copied().unwrap_or(0);
        // These are rare, because each takes the whole time limit.
        let is_rare = ["op: stall", "op: line"].contains(&what);
        let least = if is_rare { 1 } else { 3 };
        assert!(seen >= least, "{what}: {seen} times");
    }
}

/// The model predicts the answers, so no guest has to run.
#[test]
fn programs_give_valid_answers_and_every_kind_of_invalid_one() {
    let function = &Request::functions()[0];
    let mut seen = BTreeMap::new();
    for index in 0..5_000 {
        let program = Program::arbitrary_for(
            function,
            Wildness::Scripted,
            &mut Unstructured::new(&entropy(index)),
        )
        .expect("it generates");
        let Prediction { ending, output, .. } = predict(program.encode().as_bytes(), b"{}", 0);
        if ending != Ending::Answer {
            continue;
        }
        let what = match std::str::from_utf8(&output).map(serde_json::from_str::<Value>) {
            Err(_) => "not UTF-8",
            Ok(Err(_)) => "not JSON",
            Ok(Ok(Value::Object(mut object))) => match object.remove("_v") {
                None => "no version",
                Some(Value::Number(n)) if n.as_u64() == Some(1) => match function.decode(object) {
                    Ok(_) => "valid",
                    Err(_) => "not the response",
                },
                Some(Value::Number(n)) if n.is_u64() => "another version",
                Some(_) => "no version number",
            },
            Ok(Ok(_)) => "not an object",
        };
        *seen.entry(what).or_insert(0) += 1;
    }
    for what in [
        "not UTF-8",
        "not JSON",
        "not an object",
        "no version",
        "no version number",
        "another version",
        "not the response",
        "valid",
    ] {
        let seen = seen.get(what).copied().unwrap_or(0);
        assert!(seen >= 10, "{what}: {seen} times");
    }
}

#[test]
fn every_dry_run_request_equals_that_of_its_wire_function() {
    struct Samples;

    impl Visitor for Samples {
        type Output = [Value; 2];

        fn visit<F: WireFunction>(self, request: F::Request) -> [Value; 2] {
            [request, F::dry_run_request()]
                .map(|request| serde_json::to_value(request).expect("it serializes"))
        }
    }

    for (index, function) in Request::functions().iter().enumerate() {
        let request = Request::dry_run(index);
        let own = serde_json::to_value(&request).expect("it serializes");
        assert!(own.get(function.label).is_some(), "{own}");
        let [sample, expected] = request.visit(Samples);
        assert_eq!(sample, expected);
    }
}
