//! Cases for the dispatch session. A crash is a finding; its text ends with the shrunk case as JSON, which
//! `cc-lb-fuzz replay` reads.
#![no_main]

use std::cell::RefCell;

use cc_lb_fuzz::campaign::{FuzzTarget, Verdict, mutate};
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::{puppet, wire::Request};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};

const TOLD_EVERY: u64 = 50_000;

thread_local! {
    static TARGET: RefCell<FuzzTarget<'static, PluginHost, Request>> = {
        let host = Box::leak(Box::new(PluginHost::new(puppet::wasm()).expect("the puppet opens")));
        RefCell::new(FuzzTarget::new(host).expect("the puppet opens"))
    };
}

/// A session outlives the inputs that it runs, which looks like a leak after every one of them, and looking for
/// leaks takes a hundred times longer than running.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    c"detect_leaks=0".as_ptr()
}

fuzz_target!(|input: &[u8]| -> Corpus {
    TARGET.with_borrow_mut(|target| {
        let before = target.dispatches();
        let verdict = target.run(input).expect("the puppet opens");
        // libFuzzer counts inputs, which are many dispatches each.
        if target.dispatches() / TOLD_EVERY > before / TOLD_EVERY {
            eprintln!("{} dispatches", target.dispatches());
        }
        match verdict {
            Verdict::Keep => Corpus::Keep,
            Verdict::Reject => Corpus::Reject,
        }
    })
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::<Request>(data, size, max_size, seed)
});
