//! Modules from a fuzzer's input.

use arbitrary::{Arbitrary, Unstructured};
use wasm_smith::{Config, Module};

/// What generated modules export: some or all wire functions, and names that runtimes call by themselves.
const EXPORTS: [&str; 4] = [
    r#"(func (export "shape") (result i32) unreachable)"#,
    r#"(func (export "shape") unreachable) (memory (export "memory") 1)
       (func (export "_initialize") unreachable)"#,
    r#"(func (export "sign") (result i32) unreachable) (func (export "build_signer") (result i32) unreachable)
       (func (export "__wasm_call_ctors") unreachable) (func (export "hs_init") (param i32 i32) unreachable)
       (table (export "table") 1 funcref)"#,
    r#"(func (export "shape") (result i32) unreachable) (func (export "filter") unreachable)
       (func (export "observe") (result i32) unreachable) (func (export "on_unauthorized") (result i32) unreachable)
       (func (export "normalize_error") (result i32) unreachable)"#,
];

/// A module as it is, in binary or as text, or else one that the bytes decide.
pub fn module(input: &[u8]) -> Vec<u8> {
    let is_text = input.trim_ascii_start().starts_with(b"(module");
    if input.starts_with(b"\0asm") || is_text {
        return wat::parse_bytes(input).map_or_else(|_| input.to_vec(), |wasm| wasm.into_owned());
    }
    arbitrary_module(&mut Unstructured::new(input)).unwrap_or_default()
}

fn arbitrary_module(u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut config = Config::arbitrary(u)?;
    config.exports = wat::parse_str(format!("(module {})", u.choose(&EXPORTS)?)).ok();
    // The puppet imports all there is.
    config.available_imports = Some(cc_lb_fuzz::puppet::wasm().to_vec());
    config.max_imports = config.max_imports.min(40);
    config.max_tables = config.max_tables.clamp(1, 17);
    config.max_memories = config.max_memories.clamp(1, 2);
    config.bulk_memory_enabled = true;
    // One in eight may be refused for what it uses.
    if u.int_in_range(0..=7)? != 7 {
        config.max_memories = 1;
        config.relaxed_simd_enabled = false;
        config.exceptions_enabled = false;
        config.threads_enabled = false;
        config.gc_enabled = false;
        config.memory64_enabled = false;
    }
    let mut module = Module::new(config, u)?;
    // Fuel is the host's business, but a trap at every turn shows little.
    if u.arbitrary()? {
        let _ = module.ensure_termination(10_000);
    }
    Ok(module.to_bytes())
}
