//! Helpers that several tests use.

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

/// Returns the guarded host of the puppet, which is compiled once for all tests.
pub fn puppet_host() -> PluginHost {
    static HOST: OnceLock<PluginHost> = OnceLock::new();
    let host = || PluginHost::new(puppet::wasm()).expect("the puppet opens");
    HOST.get_or_init(host).clone()
}

/// Returns the index of the function with this label.
pub fn function_index(label: &str) -> usize {
    let mut functions = Request::functions().iter();
    functions
        .position(|function| function.label == label)
        .expect("the function exists")
}

/// Returns a step with a dry-run request and this program.
pub fn with_program(label: &str, ops: impl Into<Vec<Op>>) -> Step {
    Step {
        request: Request::dry_run(function_index(label)),
        program: Some(Program(ops.into())),
        times: ONCE,
    }
}

/// Returns a step with a dry-run request and no program.
pub fn healthy(label: &str) -> Step {
    Step::healthy(function_index(label))
}

/// Returns the step, repeated this many times.
pub fn repeated(step: Step, times: u32) -> Step {
    Step {
        times: NonZeroU32::new(times).expect("it is not zero"),
        ..step
    }
}

/// Returns a case with these steps.
pub fn case(steps: impl Into<Vec<Step>>) -> Case {
    Case {
        steps: steps.into(),
    }
}

/// Returns the case of a plan with this index.
pub fn nth_case(plan: &Plan, index: u64) -> Case {
    thread_local! {
        /// The cases of the latest plan. Making them is costly, because of thousands of changed
        /// answers.
        static LATEST: RefCell<Option<Cases<Request>>> = const { RefCell::new(None) };
    }
    LATEST.with_borrow_mut(|latest| match latest {
        Some(cases) if cases.plan() == plan => cases.nth(index),
        latest => latest.insert(Cases::new(plan)).nth(index),
    })
}

/// The time that opening a plugin may take besides its start code, because it is compiled.
pub const OPENING_SLACK: Duration = Duration::from_secs(1);

/// Asserts that one of 50 calls takes at most the time limit of a guest and this slack. On a busy
/// machine the others may take longer.
pub fn assert_in_time(slack: Duration, mut call: impl FnMut()) {
    let limit = Duration::from_millis(HANDSHAKE_WALL_MS) + slack;
    let in_time = (0..50).any(|_| {
        let start = Instant::now();
        call();
        start.elapsed() <= limit
    });
    assert!(in_time, "all calls took longer than {limit:?}");
}

/// Returns the number of cases that a test runs: `CC_LB_FUZZ_CASES` if it is set.
pub fn cases(default: u64) -> u64 {
    let set = std::env::var("CC_LB_FUZZ_CASES").ok();
    set.map_or(default, |n| {
        n.parse().expect("CC_LB_FUZZ_CASES is a number")
    })
}

/// The parts of a small plugin that tests change.
pub struct Guest {
    /// The texts of the identity sections.
    pub identities: Vec<String>,
    /// The answer of the handshake.
    pub handshake: String,
    /// WebAssembly text of further imports.
    pub imports: String,
    /// WebAssembly text of further functions and exports.
    pub functions: String,
}

impl Guest {
    /// Returns a plugin that implements `shape` and always returns `answer`.
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

    /// Returns the module in the binary format.
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

/// Returns the text of an answer of the handshake.
pub fn accept(chosen: &str, supported: &str, implemented: &str, capabilities: &str) -> String {
    format!(
        r#"{{"handshake_schema_version":1,"envelope_version":1,"chosen_versions":{{{chosen}}},"plugin_supported":{{{supported}}},"implemented_functions":[{implemented}],"required_capabilities":[{capabilities}]}}"#
    )
}

/// Returns instructions that set the output to this text.
pub fn set_output(text: &str) -> String {
    let length = text.len();
    format!(
        "{} (call $output_set (global.get $block) (i64.const {length}))",
        block(text)
    )
}

/// Returns instructions that set the error to this text.
pub fn set_error(text: &str) -> String {
    format!("{} (call $error_set (global.get $block))", block(text))
}

/// Returns instructions that store this text in a new block and its handle in `$block`. They store
/// eight bytes at a time, because short code compiles faster.
pub fn block(text: &str) -> String {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let to = |at: usize| format!("(i64.add (global.get $block) (i64.const {at}))");
    let words = words.iter().enumerate().map(|(at, word)| {
        let word = i64::from_le_bytes(*word);
        format!("(call $store_u64 {} (i64.const {word}))", to(8 * at))
    });
    let rest_at = text.len() - rest.len();
    let rest = rest
        .iter()
        .enumerate()
        .map(|(at, byte)| format!("(call $store_u8 {} (i32.const {byte}))", to(rest_at + at)));
    let stores: String = words.chain(rest).collect();
    format!(
        "(global.set $block (call $alloc (i64.const {}))) {stores}",
        text.len(),
    )
}

/// Returns a text escaped for a data segment.
pub fn escape(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}
