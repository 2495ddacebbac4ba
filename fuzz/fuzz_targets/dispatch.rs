//! Cases for the dispatch session. A crash is a finding; its message ends with the shrunk case as
//! JSON, which `cc-lb-fuzz replay` reads. `CC_LB_FUZZ_HOST=reference` fuzzes the published host.
#![no_main]

use std::cell::RefCell;
use std::time::{Duration, Instant};

use cc_lb_fuzz::fuzz_target::{FuzzTarget, Verdict, mutate_case};
use cc_lb_fuzz::handshake::build_offer;
use cc_lb_fuzz::host::{Guarded, Loader, Reference};
use cc_lb_fuzz::puppet;
use cc_lb_fuzz::wire::Request;
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target};

const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Runs an input, and returns what to do with it and how many dispatches there were.
type Target = Box<dyn FnMut(&[u8]) -> (Verdict, u64)>;

thread_local! {
    static TARGET: RefCell<Target> = RefCell::new(match std::env::var("CC_LB_FUZZ_HOST").as_deref() {
        Ok("reference") => target(Reference::default()),
        Err(_) | Ok("guarded") => target(Guarded),
        Ok(other) => panic!("CC_LB_FUZZ_HOST is guarded or reference, not {other}"),
    });
}

fn target<L: Loader>(loader: L) -> Target
where
    L::Host: 'static,
{
    let host = loader.load(puppet::wasm(), &build_offer(&Default::default()));
    let host = Box::leak(Box::new(host.expect("the puppet opens")));
    let mut target = FuzzTarget::<_, Request>::new(host).expect("the puppet opens");
    Box::new(move |input| {
        let verdict = target.run(input).expect("the puppet opens");
        (verdict, target.dispatches())
    })
}

/// A session outlives the inputs that it runs, which looks like a leak after each of them, and
/// searching for leaks takes a hundred times longer than running. Recording allocations takes a
/// tenth of the time, and keeping freed memory takes most of the memory. So all of these are
/// limited.
#[unsafe(no_mangle)]
extern "C" fn __asan_default_options() -> *const std::ffi::c_char {
    c"detect_leaks=0:malloc_context_size=2:quarantine_size_mb=16".as_ptr()
}

thread_local! {
    static REPORTED_AT: RefCell<Instant> = RefCell::new(Instant::now());
}

fuzz_target!(|input: &[u8]| -> Corpus {
    let (verdict, dispatches) = TARGET.with_borrow_mut(|target| target(input));
    // libFuzzer counts inputs, which are many dispatches each.
    REPORTED_AT.with_borrow_mut(|reported_at| {
        if reported_at.elapsed() >= REPORT_EVERY {
            *reported_at = Instant::now();
            eprintln!("{dispatches} dispatches");
        }
    });
    match verdict {
        Verdict::Keep => Corpus::Keep,
        Verdict::Reject => Corpus::Reject,
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate_case::<Request>(data, size, max_size, seed)
});
