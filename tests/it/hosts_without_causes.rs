//! Hosts that do not report why a call fell back: a plugin that never answers an ordinary request
//! is a finding on these too.

use std::cell::Cell;

use cc_lb_fuzz::campaign::findings;
use cc_lb_fuzz::check::{CheckRef, PluginFault};
use cc_lb_fuzz::execute::{Executor as _, InProcessExecutor};
use cc_lb_fuzz::exit_code;
use cc_lb_fuzz::generate::Plan;
use cc_lb_fuzz::host::{
    DispatchOutcome, HandshakeError, Host, Observed, PluginHost, PluginSession, Session,
};
use cc_lb_fuzz::record::Subject;
use cc_lb_fuzz::wire::Request;
use cc_lb_plugin_wire::wire_function::WireFunction;

use crate::cli::{code, folder, text, tool};
use crate::common::{Guest, case, healthy, set_output};

const ANSWER: &str = r#"{"_v":1,"body_base64":"","headers":[],"method":"POST","url":""}"#;

/// Returns a plugin whose `shape` has this body.
fn shape(body: &str) -> Vec<u8> {
    let mut guest = Guest::shape("");
    guest.functions =
        format!(r#"(memory 1) (func (export "shape") (result i32) {body} (i32.const 0))"#);
    guest.wasm()
}

/// Returns plugins that answer no request, each for another reason.
fn silent() -> [Vec<u8>; 3] {
    [
        shape("(unreachable)"),
        shape("(return (i32.const 3))"),
        shape(&set_output("rubbish")),
    ]
}

/// Returns a plugin that answers the dry-run request, and traps on a request of another length.
fn picky() -> Vec<u8> {
    let dry_run = cc_lb_plugin_wire::v1::shape::ShapeFn::dry_run_request();
    let length = serde_json::to_string(&dry_run)
        .expect("it serializes")
        .len()
        + r#","_v":1"#.len();
    let trap =
        format!("(if (i64.ne (call $input_length) (i64.const {length})) (then (unreachable)))");
    shape(&format!("{trap} {}", set_output(ANSWER)))
}

#[test]
fn a_plugin_that_answers_nothing_on_the_published_host_is_one_finding_that_replays() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("silent.wasm"), shape("(unreachable)")).expect("it can be written");
    let run = [
        "run",
        "silent.wasm",
        "--host",
        "reference",
        "--cases",
        "16",
        "--seed",
        "1",
    ];
    let output = tool(at, &run);
    let printed = text(&output.stdout);
    assert_eq!(code(&output), exit_code::FINDINGS, "{printed}");
    assert!(
        printed.contains("plugin_fault in shape (no answer)"),
        "{printed}"
    );
    assert!(printed.contains("the dry-run sample"), "{printed}");
    assert!(printed.contains("1 finding in"), "{printed}");
    let (_, replay) = printed
        .split_once("replay: ")
        .expect("a replay command is printed");
    let replay = replay
        .lines()
        .next()
        .expect("the command is one line")
        .split(' ');
    let replay: Vec<&str> = replay.skip(1).collect();
    let output = tool(at, &replay);
    let printed = text(&output.stdout);
    assert_eq!(code(&output), exit_code::FINDINGS, "{printed}");
    assert!(printed.contains("no answer"), "{printed}");
}

#[test]
fn a_plugin_that_answers_the_dry_run_request_on_the_published_host_has_no_finding() {
    let folder = folder();
    std::fs::write(folder.path().join("picky.wasm"), picky()).expect("it can be written");
    let run = [
        "run",
        "picky.wasm",
        "--host",
        "reference",
        "--cases",
        "30",
        "--seed",
        "1",
    ];
    let output = tool(folder.path(), &run);
    let printed = text(&output.stdout);
    assert_eq!(code(&output), exit_code::CLEAN, "{printed}");
}

/// The guarded host without the causes of fallbacks. Its first sessions may answer nothing.
struct Quiet {
    host: PluginHost,
    /// The number of sessions from now on that answer nothing.
    busy: Cell<u32>,
}

struct QuietSession {
    session: PluginSession,
    is_busy: bool,
}

impl Host for Quiet {
    type Session = QuietSession;

    fn open(&self) -> Result<QuietSession, HandshakeError> {
        let busy = self.busy.get();
        self.busy.set(busy.saturating_sub(1));
        Ok(QuietSession {
            session: self.host.open()?,
            is_busy: busy > 0,
        })
    }

    fn negotiated(&self, function: &str) -> Option<u32> {
        self.host.negotiated(function)
    }
}

impl Session for QuietSession {
    fn dispatch<F: WireFunction>(&mut self, request: F::Request) -> Observed<F::Response> {
        if self.is_busy {
            return DispatchOutcome::Fallback(F::FALLBACK).into();
        }
        self.session.dispatch::<F>(request).into()
    }
}

fn quiet(wasm: &[u8], busy: u32) -> Quiet {
    Quiet {
        host: PluginHost::new(wasm).expect("it opens"),
        busy: Cell::new(busy),
    }
}

#[test]
fn a_plugin_that_never_answers_is_one_finding_shrunk_to_the_sample_whatever_the_reason() {
    for wasm in silent() {
        let host = quiet(&wasm, 0);
        let found = findings::<_, Request>(&host, Subject::Plugin, &Plan::plugin::<Request>(1, 8));
        let found = found.expect("it opens");
        let keys: Vec<_> = found.iter().map(|finding| finding.key()).collect();
        assert_eq!(keys, ["plugin_fault-shape-no answer-"]);
        assert_eq!(found[0].case.steps.len(), 1);
        assert!(
            found[0].case.steps == [healthy("shape_v1")]
                || found[0].case.steps == [healthy("shape_v2")]
        );
    }
}

#[test]
fn a_plugin_is_not_blamed_for_what_a_busy_machine_did_not_answer_once() {
    let wasm = shape(&set_output(ANSWER));
    for busy in 0..4 {
        let host = quiet(&wasm, busy);
        let mut executor =
            InProcessExecutor::<_, Request>::new(&host, Subject::Plugin).expect("it opens");
        let case = case([healthy("shape_v1")]);
        let found = executor
            .judge_repeatedly(&case, CheckRef::new(&PluginFault))
            .expect("it opens");
        assert_eq!(found, [], "{busy} sessions did not answer");
    }
}

/// Returns a plugin that is not ready in its first call.
fn exits_in_its_first_call() -> Vec<u8> {
    let mut guest = Guest::shape("");
    let at_first = "(if (i32.eqz (global.get $ready)) (then (global.set $ready (i32.const 1)) (return (i32.const 3))))";
    guest.functions = format!(
        r#"(global $ready (mut i32) (i32.const 0))
           (func (export "shape") (result i32) {at_first} {} (i32.const 0))"#,
        set_output(ANSWER)
    );
    guest.wasm()
}

#[test]
fn a_plugin_that_does_not_answer_the_first_request_of_a_session_is_reported() {
    let host = quiet(&exits_in_its_first_call(), 0);
    let found = findings::<_, Request>(&host, Subject::Plugin, &Plan::plugin::<Request>(1, 16));
    let found = found.expect("it opens");
    let keys: Vec<_> = found.iter().map(|finding| finding.key()).collect();
    assert_eq!(keys, ["plugin_fault-shape-no answer-"], "{found:#?}");
}
