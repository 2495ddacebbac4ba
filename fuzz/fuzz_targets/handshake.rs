//! Handshake cases: identities, handshakes and offers. A crash is a finding; its message ends with
//! the shrunk case.
#![no_main]

use cc_lb_fuzz::fuzz_target::{HandshakeTarget, mutate_handshake};
use cc_lb_fuzz::host::Guarded;
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};

fuzz_target!(|input: &[u8]| -> Corpus {
    if HandshakeTarget(Guarded).run(input) {
        Corpus::Keep
    } else {
        Corpus::Reject
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_handshake(data, size, max_size, seed)
});
