//! Cases for the dispatch session. A crash is a finding; its text holds the shrunk case as JSON, and
//! `cc-lb-fuzz replay` reads the artifact as it is.
#![no_main]

use std::cell::RefCell;

use cc_lb_fuzz::campaign::{FuzzTarget, Verdict, mutate};
use cc_lb_fuzz::host::PluginHost;
use cc_lb_fuzz::{puppet, wire::Request};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};

thread_local! {
    static TARGET: RefCell<FuzzTarget<'static, PluginHost, Request>> = {
        let host = Box::leak(Box::new(PluginHost::new(puppet::wasm()).expect("the puppet opens")));
        RefCell::new(FuzzTarget::new(host).expect("the puppet opens"))
    };
}

fuzz_target!(|input: &[u8]| -> Corpus {
    match TARGET.with_borrow_mut(|target| target.run(input)).expect("the puppet opens") {
        Verdict::Keep => Corpus::Keep,
        Verdict::Reject => Corpus::Reject,
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::<Request>(data, size, max_size, seed)
});
