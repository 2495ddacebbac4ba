//! What several tests need.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cc_lb_fuzz::case::{Case, ONCE, Step};
use cc_lb_fuzz::generate::{Cases, Plan};
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::puppet::{self, Op, Program};
use cc_lb_fuzz::wire::{Request, Vocabulary};
use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;

/// The host of the puppet, which is compiled once for all tests.
pub fn puppet_host() -> PluginHost {
    static HOST: OnceLock<PluginHost> = OnceLock::new();
    let host = || PluginHost::new(puppet::wasm()).expect("the puppet opens");
    HOST.get_or_init(host).clone()
}

/// The place of a function, by its label.
pub fn place(label: &str) -> usize {
    let mut functions = Request::functions().iter();
    functions
        .position(|function| function.label == label)
        .expect("there is such a function")
}

/// A dry-run request with this program in it.
pub fn told(label: &str, ops: impl Into<Vec<Op>>) -> Step {
    Step {
        request: Request::dry_run(place(label)),
        program: Some(Program(ops.into())),
        times: ONCE,
    }
}

/// A dry-run request without a program.
pub fn healthy(label: &str) -> Step {
    Step::healthy(place(label))
}

/// A step so many times.
pub fn often(step: Step, times: u32) -> Step {
    Step {
        times: NonZeroU32::new(times).expect("it is no zero"),
        ..step
    }
}

/// A case of these steps.
pub fn case(steps: impl Into<Vec<Step>>) -> Case {
    Case {
        steps: steps.into(),
    }
}

/// The case of an index of a plan.
pub fn nth_case(plan: &Plan, index: u64) -> Case {
    thread_local! {
        /// Those of the plan that was asked for last: there are thousands of changed answers to make.
        static LATEST: RefCell<Option<Cases<Request>>> = const { RefCell::new(None) };
    }
    LATEST.with_borrow_mut(|latest| match latest {
        Some(cases) if cases.plan() == plan => cases.nth(index),
        latest => latest.insert(Cases::new(plan)).nth(index),
    })
}

/// What opening a plugin may take beside the start code that it may run: it is compiled.
pub const OPENING_SLACK: Duration = Duration::from_secs(1);

/// Asserts that one of some calls of a guest is over in time, but for what it takes beside the guest. On a busy machine
/// the others may not be.
pub fn is_in_time(slack: Duration, mut call: impl FnMut()) {
    let limit = Duration::from_millis(HANDSHAKE_WALL_MS) + slack;
    let in_time = (0..50).any(|_| {
        let start = Instant::now();
        call();
        start.elapsed() <= limit
    });
    assert!(in_time, "every one took longer than {limit:?}");
}

/// How many cases a suite runs: `CC_LB_FUZZ_CASES` where that is set.
pub fn cases(default: u64) -> u64 {
    let set = std::env::var("CC_LB_FUZZ_CASES").ok();
    set.map_or(default, |n| {
        n.parse().expect("CC_LB_FUZZ_CASES is a number")
    })
}

/// Everything about a small plugin that a test wants to have otherwise.
pub struct Guest {
    /// The text of the identity section, once for each section.
    pub identities: Vec<String>,
    /// What the handshake answers.
    pub handshake: String,
    /// WebAssembly text of further imports.
    pub imports: String,
    /// WebAssembly text of further functions and exports.
    pub functions: String,
}

impl Guest {
    /// A plugin that implements `shape` and answers it with `answer`.
    pub fn shape(answer: &str) -> Self {
        Self {
            identities: vec![
                r#"{"magic":[204,27,112,16,0,1,0,0],"abi_envelope":1,"plugin_name":"guest","plugin_version":"1.0.0"}"#
                    .to_owned(),
            ],
            handshake: accept(r#""shape":1"#, r#""shape":[1]"#, r#""shape""#, ""),
            imports: String::new(),
            functions: format!(
                r#"(func (export "shape") (result i32) {} (i32.const 0))"#,
                set_output(answer)
            ),
        }
    }

    /// The module.
    pub fn wasm(&self) -> Vec<u8> {
        let identities = self
            .identities
            .iter()
            .map(|identity| format!("(@custom \"cc_lb.plugin.v1\" \"{}\")", escape(identity)));
        let text = format!(
            r#"(module
                (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
                (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
                (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
                (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
                (import "extism:host/env" "error_set" (func $error_set (param i64)))
                (import "extism:host/env" "input_length" (func $input_length (result i64)))
                (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
                {}
                (global $block (mut i64) (i64.const 0))
                {}
                (func (export "cc_lb_handshake") (result i32) {} (i32.const 0))
                {})"#,
            self.imports,
            identities.collect::<String>(),
            set_output(&self.handshake),
            self.functions,
        );
        wat::parse_str(text).expect("the guest is valid")
    }
}

/// The text of a handshake's answer.
pub fn accept(chosen: &str, supported: &str, implemented: &str, capabilities: &str) -> String {
    format!(
        r#"{{"handshake_schema_version":1,"envelope_version":1,"chosen_versions":{{{chosen}}},"plugin_supported":{{{supported}}},"implemented_functions":[{implemented}],"required_capabilities":[{capabilities}]}}"#
    )
}

/// Instructions that set the output to this text.
pub fn set_output(text: &str) -> String {
    let length = text.len();
    format!(
        "{} (call $output_set (global.get $block) (i64.const {length}))",
        block(text)
    )
}

/// Instructions that set the error to this text.
pub fn set_error(text: &str) -> String {
    format!("{} (call $error_set (global.get $block))", block(text))
}

/// Instructions that leave the handle of a new block with this text in `$block`. Eight bytes at a time: what is short is
/// compiled sooner.
pub fn block(text: &str) -> String {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let to = |at: usize| format!("(i64.add (global.get $block) (i64.const {at}))");
    let words = words.iter().enumerate().map(|(at, word)| {
        let word = i64::from_le_bytes(*word);
        format!("(call $store_u64 {} (i64.const {word}))", to(8 * at))
    });
    let behind = text.len() - rest.len();
    let rest = rest
        .iter()
        .enumerate()
        .map(|(at, byte)| format!("(call $store_u8 {} (i32.const {byte}))", to(behind + at)));
    let stores: String = words.chain(rest).collect();
    format!(
        "(global.set $block (call $alloc (i64.const {}))) {stores}",
        text.len(),
    )
}

/// A text as it is written in a data segment.
pub fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}
