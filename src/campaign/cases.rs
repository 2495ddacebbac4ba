//! The cases of a plan: the same on every machine, in any order, with any number of workers.

use std::collections::{BTreeMap, HashSet};

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Plan;
use crate::case::{Case, Step, tree};
use crate::wire::{Vocabulary, weighted};

/// How many bytes of entropy a case is made from, with their shares in percent.
const ENTROPY: [(usize, u32); 3] = [(256, 50), (1024, 37), (4096, 13)];

/// The entropy of a sequence, in bytes.
const SEQUENCE_ENTROPY: usize = 8192;

/// From so many arbitrary requests of a function it is learned what its fields may be.
const DONORS: u64 = 384;

/// So many values of each field are tried, at most.
const VALUES_MAX: usize = 64;

/// What a campaign tries, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Phase {
    /// The healthy call of each function
    Seeds,
    /// The dry-run request of each function with one field at a time otherwise
    Boundaries,
    /// Arbitrary requests, a few in a case
    Random,
    /// Sequences of many calls of several functions
    Stateful,
}

impl Phase {
    /// All of them. Behind the seeds every other case is one of the boundaries, as long as there are any; the last two
    /// take turns.
    pub const ALL: [Self; 4] = [Self::Seeds, Self::Boundaries, Self::Random, Self::Stateful];

    /// Its name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seeds => "seeds",
            Self::Boundaries => "boundaries",
            Self::Random => "random",
            Self::Stateful => "stateful",
        }
    }
}

/// The cases of a plan.
#[derive(Clone, Debug)]
pub struct Cases<R> {
    plan: Plan,
    boundaries: Vec<Case<R>>,
}

impl<R: Vocabulary> Cases<R> {
    /// Those of this plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            boundaries: match plan.phases.contains(&Phase::Boundaries) {
                true => boundaries(&plan.menu.functions),
                false => Vec::new(),
            },
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many there are; `None` where there is no end.
    pub fn count(&self) -> Option<u64> {
        match self.is_endless() {
            true => None,
            false => Some(self.seeds() + self.boundaries.len() as u64),
        }
    }

    /// The phase of the case of this index.
    pub fn phase(&self, index: u64) -> Phase {
        if index < self.seeds() {
            Phase::Seeds
        } else if self.boundary(index).is_some() {
            Phase::Boundaries
        } else if self.has(Phase::Stateful) && (index % 4 == 3 || !self.has(Phase::Random)) {
            Phase::Stateful
        } else {
            Phase::Random
        }
    }

    /// The first phase that does not end before this index.
    pub fn leading(&self, index: u64) -> Phase {
        let near = [index, index + 1].map(|index| self.phase(index));
        near.into_iter().min().unwrap_or(Phase::Random)
    }

    /// The case of this index, where it is one of the boundaries.
    fn boundary(&self, index: u64) -> Option<&Case<R>> {
        let behind = usize::try_from(index.checked_sub(self.seeds())?).ok()?;
        match self.is_endless() {
            true if behind % 2 == 0 => self.boundaries.get(behind / 2),
            true => None,
            false => self.boundaries.get(behind),
        }
    }

    fn is_endless(&self) -> bool {
        self.has(Phase::Random) || self.has(Phase::Stateful)
    }

    /// The case of this index.
    pub fn nth(&self, index: u64) -> Case<R> {
        let functions = &self.plan.menu.functions;
        let healthy = |place: usize| Case {
            steps: vec![Step::healthy(functions[place])],
        };
        if let Some(case) = self.boundary(index) {
            return case.clone();
        }
        // The index is the cipher's stream, so that cases do not depend on each other.
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(index);
        let length = *weighted(&ENTROPY, rng.next_u32() % 100);
        let mut entropy = vec![0; length];
        let case = match self.phase(index) {
            Phase::Seeds => return healthy(index as usize),
            Phase::Random | Phase::Boundaries => {
                rng.fill_bytes(&mut entropy);
                self.plan.menu.case(&mut Unstructured::new(&entropy))
            }
            Phase::Stateful => {
                entropy.resize(SEQUENCE_ENTROPY, 0);
                rng.fill_bytes(&mut entropy);
                self.plan.menu.sequence(&mut Unstructured::new(&entropy))
            }
        };
        // `arbitrary` fills up with zeroes when the entropy ends; if it fails all the same, that is a healthy call.
        case.unwrap_or_else(|_| healthy(0))
    }

    fn has(&self, phase: Phase) -> bool {
        self.plan.phases.contains(&phase)
    }

    fn seeds(&self) -> u64 {
        match self.has(Phase::Seeds) {
            true => self.plan.menu.functions.len() as u64,
            false => 0,
        }
    }
}

/// The dry-run request of each function with one field at a time otherwise, as the generators make that field. The
/// first values of all fields come first.
fn boundaries<R: Vocabulary>(functions: &[usize]) -> Vec<Case<R>> {
    let mut rounds: BTreeMap<usize, Vec<Case<R>>> = BTreeMap::new();
    for place in functions {
        let mut values: BTreeMap<String, HashSet<String>> = BTreeMap::new();
        let Ok(sample) = serde_json::to_value(R::dry_run(*place)) else {
            continue;
        };
        for donor in (0..DONORS).filter_map(|index| donor::<R>(*place, index)) {
            for (path, value) in tree::differences(&sample, &donor) {
                let seen = values.entry(path.clone()).or_default();
                if seen.len() >= VALUES_MAX || !seen.insert(value.to_string()) {
                    continue;
                }
                let round = seen.len();
                let mut root = sample.clone();
                if let Some(field) = root.pointer_mut(&path) {
                    *field = value;
                }
                if let Ok(request) = serde_json::from_value(root) {
                    let steps = vec![Step {
                        request,
                        program: None,
                    }];
                    rounds.entry(round).or_default().push(Case { steps });
                }
            }
        }
    }
    rounds.into_values().flatten().collect()
}

/// An arbitrary request of a function, the same whatever the plan is.
pub(super) fn donor<R: Vocabulary>(place: usize, donor: u64) -> Option<Value> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    rng.set_stream(donor);
    let mut entropy = [0; 1024];
    rng.fill_bytes(&mut entropy);
    let request = R::arbitrary_of(place, &mut Unstructured::new(&entropy));
    serde_json::to_value(request.ok()?).ok()
}
