//! Openings: identities, handshakes and offers. A crash is a finding; its text ends with the shrunk opening.
#![no_main]

use cc_lb_fuzz::host::Guarded;
use cc_lb_fuzz::opening::{OpeningTarget, mutate};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    if OpeningTarget(Guarded).run(input) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(data, size, max_size, seed)
});
