//! Shrinking leaves nothing that a finding does not need.

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::puppet::Program;
use cc_lb_fuzz::wire::{Request, Vocabulary};
use serde_json::Value;

use super::kill_table::read;
use super::{Tried, first};

/// The cases that are smaller by one step, program, operation, field or item.
fn smaller(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    for place in 0..case.steps.len() {
        let mut without = case.clone();
        without.steps.remove(place);
        if !without.steps.is_empty() {
            smaller.push(without);
        }
        let step = &case.steps[place];
        let mut with = |program: Option<Program>, request: Request| {
            let mut other = case.clone();
            other.steps[place].program = program;
            other.steps[place].request = request;
            smaller.push(other);
        };
        if let Some(program) = &step.program {
            with(None, step.request.clone());
            for op in 0..program.0.len() {
                let mut program = program.clone();
                program.0.remove(op);
                with(Some(program), step.request.clone());
            }
        }
        let json = |request: &Request| serde_json::to_value(request).expect("it serializes");
        let sample = json(&Request::dry_run(step.request.function_index()));
        let request = json(&step.request);
        for path in changes(&request, &sample, String::new()) {
            let mut other = request.clone();
            let target = sample.pointer(&path).cloned().unwrap_or_default();
            *other.pointer_mut(&path).expect("it is there") = target;
            // What does not read back is no request.
            if let Ok(request) = serde_json::from_value(other) {
                with(step.program.clone(), request);
            }
        }
    }
    smaller
}

/// The outermost places in which a value differs from the sample.
fn changes(value: &Value, sample: &Value, path: String) -> Vec<String> {
    match (value, sample) {
        (value, sample) if value == sample => Vec::new(),
        (Value::Object(fields), Value::Object(of_sample)) if fields.keys().eq(of_sample.keys()) => {
            let fields = fields.iter();
            let inner = |(key, field): (&String, &Value)| {
                changes(field, &of_sample[key], format!("{path}/{key}"))
            };
            fields.flat_map(inner).collect()
        }
        _ => vec![path],
    }
}

#[test]
fn a_shrunk_finding_vanishes_without_any_of_its_steps_operations_and_changes() {
    // Of these every try that shows it takes seconds.
    let quick = first().into_iter().filter(|faulty| !faulty.is_slow());
    for faulty in quick {
        let Tried::Case(case) = read(&faulty) else {
            continue;
        };
        let smaller: Vec<_> = smaller(&case).into_iter().map(Tried::Case).collect();
        for (smaller, found) in smaller.iter().zip(faulty.found(&smaller)) {
            let own = found.iter().any(|check| check == faulty.check);
            assert!(!own, "{} is shown by less: {smaller:#?}", faulty.name);
        }
    }
}
