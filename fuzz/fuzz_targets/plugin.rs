//! Modules as plugins: raw bytes, text, modules with many items of a kind, or what wasm-smith makes
//! of the input. A crash is a finding.
#![no_main]

mod modules;

use cc_lb_fuzz::fuzz_target::ModuleTarget;
use cc_lb_fuzz::host::Guarded;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let wasm = modules::module(input);
    if let Err(violation) = ModuleTarget::new(Guarded).check(&wasm) {
        panic!("{violation:#?}");
    }
});
