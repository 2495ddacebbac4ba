//! Shrunk cases contain nothing that their finding does not need.

use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::puppet::Program;
use cc_lb_fuzz::wire::{Request, Vocabulary};
use serde_json::Value;

use super::kill_table::read_smallest;
use super::{TestInput, first};

/// Returns the cases that are smaller by one step, program, operation or changed field.
fn smaller(case: &Case) -> Vec<Case> {
    let mut smaller = Vec::new();
    for index in 0..case.steps.len() {
        let mut without = case.clone();
        without.steps.remove(index);
        if !without.steps.is_empty() {
            smaller.push(without);
        }
        let step = &case.steps[index];
        let mut with = |program: Option<Program>, request: Request| {
            let mut other = case.clone();
            other.steps[index].program = program;
            other.steps[index].request = request;
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
        let json = |request: &Request| serde_json::to_value(request).expect("a request serializes");
        let sample = json(&Request::dry_run(step.request.function_index()));
        let request = json(&step.request);
        for path in changes(&request, &sample, String::new()) {
            let mut other = request.clone();
            let target = sample.pointer(&path).cloned().unwrap_or_default();
            *other.pointer_mut(&path).expect("the path was found in it") = target;
            // Skip changes that do not deserialize as a request.
            if let Ok(request) = serde_json::from_value(other) {
                with(step.program.clone(), request);
            }
        }
    }
    smaller
}

/// Returns the outermost JSON pointers at which a value differs from the sample.
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
fn a_shrunk_case_needs_each_of_its_steps_operations_and_changes() {
    // Every run that shows a slow one takes seconds.
    let quick = first().into_iter().filter(|faulty| !faulty.is_slow());
    for faulty in quick {
        let TestInput::Case(case) = read_smallest(&faulty) else {
            continue;
        };
        let smaller: Vec<_> = smaller(&case).into_iter().map(TestInput::Case).collect();
        for (smaller, found) in smaller.iter().zip(faulty.run_checks(&smaller)) {
            let own = found.iter().any(|check| check == faulty.check);
            assert!(
                !own,
                "{}: a smaller case shows it too: {smaller:#?}",
                faulty.name
            );
        }
    }
}
