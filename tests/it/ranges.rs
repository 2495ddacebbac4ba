//! Programs that store over a range of Extism's memory.

use cc_lb_fuzz::case::Depth;
use cc_lb_fuzz::execute::Runner;
use cc_lb_fuzz::host::{Cause, DispatchOutcome, TrapKind};
use cc_lb_fuzz::puppet::{Ending, Import, Op, Operand};
use cc_lb_fuzz::record::{StepRecord, Subject};

use crate::common::{case, puppet_host, with_program};

fn constant(add: i64) -> Operand {
    Operand {
        register: None,
        add,
    }
}

/// Returns an address in or near the block of register 1.
fn in_block(add: i64) -> Operand {
    Operand {
        register: Some(1),
        add,
    }
}

/// Allocates a block of this many bytes, with its handle in register 1.
fn alloc(bytes: i64) -> Op {
    Op::Call {
        function: Import::Alloc,
        operands: [constant(bytes), constant(0)],
        to: 1,
    }
}

/// Runs a program and then a healthy call in one session, and returns the record of the program.
/// The healthy call must be answered.
fn before_a_healthy_call(ops: impl Into<Vec<Op>>) -> StepRecord {
    let host = puppet_host();
    let mut runner = Runner::new(&host, Subject::Puppet).expect("the puppet opens");
    let steps = [
        with_program("shape_v1", ops),
        with_program("shape_v1", [Op::EmitHealthy]),
    ];
    let record = runner.run(&case(steps), Depth::Light);
    let mut seen = record.expect("the puppet opens").steps;
    assert_eq!(seen[1].call.cause, None, "{:?}", seen[0].call);
    seen.remove(0)
}

#[test]
fn a_range_of_a_block_is_stored_eight_bytes_at_a_time() {
    for (bytes, stored) in [(0, 0), (1, 8), (8, 8), (9, 16), (24, 24)] {
        let seen = before_a_healthy_call([
            alloc(24),
            Op::StoreRange {
                from: in_block(0),
                bytes,
            },
            Op::Call {
                function: Import::OutputSet,
                operands: [in_block(0), constant(24)],
                to: 0,
            },
        ]);
        let expected = [vec![1; stored], vec![0; 24 - stored]].concat();
        assert_eq!(seen.call.output.as_deref(), Some(&expected[..]), "{bytes}");
        let ending = seen
            .prediction
            .expect("the model predicts the puppet")
            .ending;
        assert_eq!(ending, Ending::Unknown, "calls of Extism are not predicted");
    }
}

#[test]
fn storing_over_exactly_a_block_does_not_change_the_answer() {
    let usual = before_a_healthy_call([Op::EmitHealthy]).call.output;
    assert!(usual.is_some());
    for bytes in [8_u32, 200, 4096, 1 << 16] {
        let from = in_block(0);
        let seen = before_a_healthy_call([
            alloc(i64::from(bytes)),
            Op::StoreRange { from, bytes },
            Op::EmitHealthy,
        ]);
        assert_eq!(seen.call.cause, None, "{bytes}");
        assert_eq!(seen.call.output, usual, "{bytes}");
    }
}

#[test]
fn storing_outside_of_a_block_is_a_fallback_and_harms_no_later_call() {
    let kernel = (constant(0), 1 << 16);
    let wraps_around = (constant(-8), 1 << 16);
    let before = (in_block(-16), 64);
    let after = (in_block(0), 64 + 8);
    for (from, bytes) in [kernel, wraps_around, before, after] {
        let seen =
            before_a_healthy_call([alloc(64), Op::StoreRange { from, bytes }, Op::EmitHealthy]);
        let trap = Cause::Trap(TrapKind::Unreachable);
        assert_eq!(seen.call.cause, Some(trap), "{from:?}");
        let outcome = seen.result.outcome().expect("the host does not panic");
        assert!(
            matches!(outcome, DispatchOutcome::Fallback(_)),
            "{from:?}: {outcome:?}"
        );
    }
}
