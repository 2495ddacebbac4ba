//! Modules made from a fuzzer's input.

use arbitrary::{Arbitrary, Unstructured};
use cc_lb_fuzz::wire::{Request, Vocabulary as _};
use wasm_smith::{Config, Module};

#[path = "costly.rs"]
pub mod costly;

/// Exports of generated modules besides wire functions: names that are special to runtimes.
const OTHERS: [&str; 4] = [
    "",
    r#"(func (export "_initialize") unreachable) (memory (export "memory") 1)"#,
    r#"(func (export "__wasm_call_ctors") unreachable) (func (export "hs_init") (param i32 i32) unreachable)"#,
    r#"(table (export "table") 1 funcref)"#,
];

/// Returns the input itself if it is a module, in binary or as text, or else a module generated
/// from it.
pub fn module(input: &[u8]) -> Vec<u8> {
    let is_text = input.trim_ascii_start().starts_with(b"(module");
    if input.starts_with(b"\0asm") || is_text {
        return wat::parse_bytes(input).map_or_else(|_| input.to_vec(), |wasm| wasm.into_owned());
    }
    let u = &mut Unstructured::new(input);
    let made = match u.int_in_range(0..=3) {
        Ok(3) => costly::Counts::arbitrary(u).map(|counts| counts.module()),
        _ => arbitrary_module(u),
    };
    made.unwrap_or_default()
}

fn arbitrary_module(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut config = Config::arbitrary(u)?;
    config.exports = wat::parse_str(exports(u)?).ok();
    // The puppet imports every available function.
    config.available_imports = Some(cc_lb_fuzz::puppet::wasm().to_vec());
    config.max_imports = config.max_imports.min(40);
    config.max_tables = config.max_tables.clamp(1, 17);
    config.max_memories = config.max_memories.clamp(1, 2);
    config.bulk_memory_enabled = true;
    // One in eight may use features that are refused.
    if u.int_in_range(0..=7)? != 7 {
        config.max_memories = 1;
        config.relaxed_simd_enabled = false;
        config.exceptions_enabled = false;
        config.threads_enabled = false;
        config.gc_enabled = false;
        // Including references of the host, which no plugin may use.
        config.reference_types_enabled = false;
        config.memory64_enabled = false;
    }
    let mut module = Module::new(config, u)?;
    // The host limits fuel, and constant traps would hide other behaviour.
    if u.arbitrary()? {
        let _ = module.ensure_termination(10_000);
    }
    Ok(module.to_bytes())
}

/// Returns a module that exports some of the wire functions, with or without the required result.
fn exports(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let mut names: Vec<_> = Request::functions().iter().map(|f| f.name).collect();
    names.sort_unstable();
    names.dedup();
    let mut text = String::from("(module ");
    for name in names {
        let result = *u.choose(&["", "(result i32)", "(result i32)", "(result i32)"])?;
        if u.ratio(1, 3)? {
            text += &format!(r#"(func (export "{name}") {result} unreachable) "#);
        }
    }
    Ok(text + u.choose(&OTHERS)? + ")")
}
