//! The guarded session has the same outcomes as that of `cc-lb-plugin-conformance` 0.1.0.

use std::collections::BTreeSet;

use cc_lb_fuzz::case::{Case, Step};
use cc_lb_fuzz::execute::dispatch;
use cc_lb_fuzz::generate::{Phase, Plan, Wildness};
use cc_lb_fuzz::host::{
    Call, DispatchOutcome, HandshakeError, Host, Observed, PluginSession, Session,
};
use cc_lb_fuzz::puppet::{self, Ending, Op, predict};
use cc_lb_fuzz::wire::{Request, Vocabulary};
use cc_lb_plugin_conformance::dispatch as reference;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::common::{cases, nth_case, puppet_host};

/// The number of cases that share a session. The reference takes milliseconds to open one.
const CASES_PER_SESSION: u64 = 256;

struct ReferenceSession(reference::PluginSession);

impl Session for ReferenceSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        let outcome = match self.0.dispatch::<F>(request) {
            reference::DispatchOutcome::Ok(response) => DispatchOutcome::Ok(response),
            reference::DispatchOutcome::Fallback(policy) => DispatchOutcome::Fallback(policy),
            _ => unreachable!("the reference has these two outcomes"),
        };
        Observed {
            outcome,
            call: Call::default(),
        }
    }
}

/// Returns whether the result of the step may depend on the bound of the puppet's memory: only the
/// guard has one. `guard.rs` tests it, and the intended differences for guests that misuse Extism.
fn memory_decides(step: &Step) -> bool {
    const SCRATCH_BYTES: u32 = 1 << 20;
    let program = step.program.iter().flat_map(|program| &program.0);
    let mut sizes = program.filter_map(|op| match op {
        Op::Fill(bytes) | Op::Copy(bytes) => Some(*bytes),
        _ => None,
    });
    sizes.any(|bytes| bytes >= SCRATCH_BYTES)
}

/// Returns whether the result of the step may depend on a little more or less fuel. The guard
/// itself uses some.
fn fuel_decides(step: &Step) -> bool {
    let mut input = step.request_with_program().to_json().unwrap_or_default();
    input["_v"] = 1.into();
    predict(input.to_string().as_bytes(), b"{}", 1 << 22).ending == Ending::Unknown
}

#[test]
fn both_sessions_have_the_same_outcomes() {
    let cases = cases(2_000);
    let mut plan = Plan::puppet::<Request>(1, cases);
    // Large requests use almost all the fuel, and the hosts themselves use different amounts.
    plan.phases.retain(|phase| *phase != Phase::Extremes);
    // Wild programs crash the reference.
    plan.generator.programs = Some(Wildness::Scripted);
    let host = puppet_host();
    let (mut dispatches, mut ok) = (0u64, 0u64);
    let (mut by_fuel, mut by_memory) = (0u64, 0u64);
    let mut own: Option<PluginSession> = None;
    let mut theirs = None;
    for index in 0..cases {
        if index % CASES_PER_SESSION == 0 {
            own = Some(host.open().expect("the puppet opens"));
            theirs = Some(ReferenceSession(
                reference::PluginSession::new(puppet::wasm()).expect("the puppet opens"),
            ));
        }
        let (Some(own), Some(theirs)) = (&mut own, &mut theirs) else {
            unreachable!("the first case opens sessions");
        };
        let case: Case = nth_case(&plan, index);
        for (step_index, step) in case.steps.iter().enumerate() {
            let one = dispatch(step.request_with_program(), own).outcome;
            let other = dispatch(step.request_with_program(), theirs).outcome;
            dispatches += 1;
            ok += u64::from(matches!(one, DispatchOutcome::Ok(_)));
            if one != other && memory_decides(step) {
                by_memory += 1;
                continue;
            }
            if one != other && fuel_decides(step) {
                by_fuel += 1;
                continue;
            }
            assert_eq!(
                one, other,
                "case {index} of seed 1, step {step_index}: {step:?}"
            );
        }
    }
    println!(
        "{cases} cases, {dispatches} dispatches, {ok} ok: the sessions agree, except for {by_fuel} by fuel and {by_memory} by memory"
    );
    assert!(by_memory <= 2 + dispatches / 1_000, "{by_memory}");
    assert!(by_fuel <= 2 + dispatches / 10_000, "{by_fuel}");
    assert!(ok > 0 && ok < dispatches, "both outcomes must occur");
}

/// Returns the result of `PluginSession::new` as text, without the text of reasons.
fn verdict(result: Result<(), (String, String)>) -> String {
    match result {
        Ok(()) => "a session".to_owned(),
        Err((variant, _)) => variant,
    }
}

/// Returns the variant of an error with its fields up to the reason, and its whole `Debug` text.
fn variant(error: &dyn std::fmt::Debug) -> (String, String) {
    let text = format!("{error:?}");
    let fields = text.split("reason: ").next().unwrap_or_default();
    (fields.to_owned(), text.clone())
}

/// Opens a module on both hosts with these capabilities. Asserts that the results agree, and
/// returns that of the guarded host.
pub fn open_on_both(wasm: &[u8], capabilities: &[&str]) -> Result<(), HandshakeError> {
    let capabilities: BTreeSet<String> = capabilities.iter().map(|c| (*c).to_owned()).collect();
    let own = PluginSession::new_with_caps(wasm, &capabilities).map(|_| ());
    let theirs = reference::PluginSession::new_with_caps(wasm, &capabilities).map(|_| ());
    let theirs = theirs.map_err(|error| variant(&error));
    let verdict_here = verdict(own.clone().map_err(|error| variant(&error)));
    assert_eq!(verdict_here, verdict(theirs.clone()), "{own:?}\n{theirs:?}");
    own
}
