//! The body of the fuzz target, with fixed seeds: what libFuzzer calls is covered without it.

use cc_lb_fuzz::campaign::{FuzzTarget, Verdict, mutate};
use cc_lb_fuzz::case::Case;
use cc_lb_fuzz::puppet::Op;
use cc_lb_fuzz::wire::Request;

use crate::common::{case, cases, healthy, puppet_host, told};

#[test]
fn mutated_cases_run_and_hold() {
    let host = puppet_host();
    let mut target = FuzzTarget::<_, Request>::new(&host).expect("the puppet opens");
    let mut data = vec![0; 64 * 1024];
    let mut size = 0;
    let mut kept = 0;
    for seed in 0..cases(400) as u32 {
        size = mutate::<Request>(&mut data, size, 16 * 1024, seed);
        assert!((1..=16 * 1024).contains(&size), "{size}");
        kept += u64::from(target.run(&data[..size]).expect("the puppet opens") == Verdict::Keep);
    }
    assert!(kept > 0);
}

#[test]
fn inputs_that_are_no_case_or_take_everything_are_not_built_upon() {
    let host = puppet_host();
    let mut target = FuzzTarget::<_, Request>::new(&host).expect("the puppet opens");
    let mut verdict = |input: &[u8]| target.run(input).expect("the puppet opens");
    let encode = |case: Case| case.to_postcard().expect("it serializes");
    assert_eq!(verdict(b"no case"), Verdict::Reject);
    assert_eq!(
        verdict(&encode(case([told("sign_v1", [Op::Spin])]))),
        Verdict::Reject
    );
    assert_eq!(
        verdict(&encode(case([told("sign_v1", [Op::Return(1)])]))),
        Verdict::Keep
    );
    let json = case([healthy("sign_v1")]).to_json().expect("it serializes");
    assert_eq!(verdict(json.as_bytes()), Verdict::Keep);
}

#[test]
fn a_mutation_that_does_not_fit_leaves_the_input_as_it_is() {
    let input = case([healthy("filter_v3")])
        .to_postcard()
        .expect("it serializes");
    for seed in 0..50 {
        let mut data = input.clone();
        let size = mutate::<Request>(&mut data, input.len(), 8, seed);
        assert_eq!((size, &data), (input.len(), &input));
    }
}
