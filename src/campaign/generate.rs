//! Cases from a seed: the same on every machine, in any order, with any number of workers.

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::Plan;
use crate::case::{Case, Step};
use crate::wire::{Vocabulary, weighted};

/// How many bytes of entropy a case is made from, with their shares in percent.
const ENTROPY: [(usize, u32); 3] = [(256, 50), (1024, 37), (4096, 13)];

/// The case of this index: first the healthy call of each function, then arbitrary ones.
pub fn nth_case<R: Vocabulary>(plan: &Plan, index: u64) -> Case<R> {
    let place = usize::try_from(index).ok();
    if let Some(place) = place.and_then(|index| plan.menu.functions.get(index)) {
        return Case {
            steps: vec![Step::healthy(*place)],
        };
    }
    // The index is the cipher's stream, so that cases do not depend on each other.
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    rng.set_stream(index);
    let mut entropy = vec![0; *weighted(&ENTROPY, rng.next_u32() % 100)];
    rng.fill_bytes(&mut entropy);
    let case = plan.menu.case(&mut Unstructured::new(&entropy));
    // `arbitrary` fills up with zeroes when the entropy ends; if it fails all the same, that is a healthy call.
    case.unwrap_or_else(|_| Case {
        steps: vec![Step::healthy(plan.menu.functions[0])],
    })
}
