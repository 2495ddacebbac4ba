//! The cases of a plan: the same on every machine, in any order, with any number of workers.

use std::num::NonZeroU32;

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Plan;
use super::boundaries::Boundaries;
use super::values::Learned;
use crate::case::{Case, Step};
use crate::wire::{Vocabulary, weighted};

/// How many bytes of entropy a case is made from, with their shares in percent.
const ENTROPY: [(usize, u32); 3] = [(256, 50), (1024, 37), (4096, 13)];

/// The entropy of a sequence, in bytes.
const SEQUENCE_ENTROPY: usize = 8192;

/// How often a soak makes one request. The short ones come first, and most of what a plugin keeps shows in them: the long
/// ones take as long as a thousand other cases each.
const SHORT_SOAK: NonZeroU32 = NonZeroU32::new(256).unwrap();
const LONG_SOAK: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// How many calls a soak of many requests in turns makes.
const TURNS: usize = 1000;

/// So many requests take turns in it: each comes eight times.
const TAKE_TURNS: usize = TURNS / 8;

/// What a campaign tries, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum Phase {
    /// The healthy call of each function
    Seeds,
    /// The healthy call of each function, and one with something in each field, hundreds and at last thousands of times in a
    /// row; boundaries in turns
    Soak,
    /// The dry-run request of each function with one field at a time otherwise, or growing, then two
    Boundaries,
    /// Arbitrary requests, a few in a case
    Random,
    /// Sequences of many calls of several functions
    Stateful,
}

impl Phase {
    /// All of them. Behind the seeds every other case is one of the boundaries, as long as there are any; the last two
    /// take turns. The last case of each of the first sessions is a soak.
    pub const ALL: [Self; 5] = [
        Self::Seeds,
        Self::Soak,
        Self::Boundaries,
        Self::Random,
        Self::Stateful,
    ];

    /// Its name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seeds => "seeds",
            Self::Soak => "soak",
            Self::Boundaries => "boundaries",
            Self::Random => "random",
            Self::Stateful => "stateful",
        }
    }
}

/// What is called again and again: the healthy call of each function and one with something in each field, first a short
/// while, and at last a long one; in between boundaries in turns.
fn soaks<R: Vocabulary>(learned: &[Learned<R>], boundaries: &Boundaries) -> Vec<Soak<R>> {
    let healthy = learned.iter().map(|of| Step::healthy(of.place));
    let filled = learned.iter().flat_map(|of| of.filled.clone());
    let alone = healthy.chain(filled.map(Step::without_program));
    let repeated = |times| {
        let alone = alone.clone();
        alone.map(move |step| Soak::Alone(Step { times, ..step }))
    };
    let in_turns = boundaries.soaked();
    let in_turns = in_turns.chunks(TAKE_TURNS);
    let in_turns = in_turns.map(|steps| Soak::InTurns(steps.to_vec()));
    let short = repeated(SHORT_SOAK).chain(in_turns);
    short.chain(repeated(LONG_SOAK)).collect()
}

/// What one case calls again and again.
#[derive(Clone, Debug)]
enum Soak<R> {
    Alone(Step<R>),
    InTurns(Vec<Step<R>>),
}

impl<R: Vocabulary> Soak<R> {
    fn case(&self) -> Case<R> {
        let steps = match self {
            Self::Alone(step) => vec![step.clone()],
            Self::InTurns(steps) => steps.iter().cycle().take(TURNS).cloned().collect(),
        };
        Case { steps }
    }
}

/// The cases of a plan.
#[derive(Clone, Debug)]
pub struct Cases<R> {
    plan: Plan,
    boundaries: Boundaries,
    /// What is called again and again, in turns.
    soaks: Vec<Soak<R>>,
}

impl<R: Vocabulary> Cases<R> {
    /// Those of this plan.
    pub fn of(plan: &Plan) -> Self {
        let has = |phase| plan.phases.contains(&phase);
        let objects = plan.menu.objects.iter();
        let objects: Vec<Value> = objects
            .filter_map(|object| serde_json::from_str(object).ok())
            .collect();
        let learned: Vec<Learned<R>> = if has(Phase::Boundaries) || has(Phase::Soak) {
            plan.menu
                .functions
                .iter()
                .copied()
                .map(|place| Learned::of(place, &objects))
                .collect()
        } else {
            Vec::new()
        };
        let boundaries = if has(Phase::Boundaries) {
            Boundaries::of(&plan.menu, &learned, &objects)
        } else {
            Boundaries::default()
        };
        Self {
            plan: plan.clone(),
            soaks: if has(Phase::Soak) {
                soaks(&learned, &boundaries)
            } else {
                Vec::new()
            },
            boundaries,
        }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many there are; `None` where there is no end.
    pub fn count(&self) -> Option<u64> {
        if self.is_endless() {
            None
        } else {
            Some(self.healthy() + self.boundaries.len() as u64)
        }
    }

    /// The phase of the case of this index.
    pub fn phase(&self, index: u64) -> Phase {
        if index < self.of_each(Phase::Seeds) {
            Phase::Seeds
        } else if self.soak(index).is_some() {
            Phase::Soak
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

    /// Which soak the case of this index is. Where there is more to come it is the last of a session: what is
    /// found behind it would have a long history.
    fn soak(&self, index: u64) -> Option<usize> {
        let place = if !self.is_endless() {
            index.checked_sub(self.of_each(Phase::Seeds))?
        } else if index + 1 == self.plan.session_of(index).end {
            self.plan.sessions_before(index)
        } else {
            return None;
        };
        let place = usize::try_from(place).ok()?;
        (place < self.soaks.len()).then_some(place)
    }

    /// Which of the boundaries the case of this index is.
    fn boundary(&self, index: u64) -> Option<usize> {
        let seeds = self.of_each(Phase::Seeds);
        let place = if !self.is_endless() {
            index.checked_sub(self.healthy())?
        } else if index.is_multiple_of(2) {
            // A soak's index is odd.
            index.checked_sub(seeds.next_multiple_of(2))? / 2
        } else {
            return None;
        };
        let place = usize::try_from(place).ok()?;
        (place < self.boundaries.len()).then_some(place)
    }

    fn is_endless(&self) -> bool {
        self.has(Phase::Random) || self.has(Phase::Stateful)
    }

    /// The case of this index.
    pub fn nth(&self, index: u64) -> Case<R> {
        let functions = &self.plan.menu.functions;
        let healthy = |place: u64| Case {
            steps: vec![Step::healthy(functions[place as usize])],
        };
        // The index is the cipher's stream, so that cases do not depend on each other.
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(index);
        let length = *weighted(&ENTROPY, rng.next_u32() % 100);
        let mut entropy = vec![0; length];
        let menu = &self.plan.menu;
        let case = match self.phase(index) {
            Phase::Seeds => Some(healthy(index)),
            Phase::Soak => self.soak(index).map(|place| self.soaks[place].case()),
            Phase::Boundaries => {
                let place = self.boundary(index);
                place.and_then(|place| self.boundaries.nth(place))
            }
            Phase::Random => {
                rng.fill_bytes(&mut entropy);
                menu.case(&mut Unstructured::new(&entropy)).ok()
            }
            Phase::Stateful => {
                entropy.resize(SEQUENCE_ENTROPY, 0);
                rng.fill_bytes(&mut entropy);
                menu.sequence(&mut Unstructured::new(&entropy)).ok()
            }
        };
        // `arbitrary` fills up with zeroes when the entropy ends; if it fails all the same, that is a healthy call.
        case.unwrap_or_else(|| healthy(0))
    }

    fn has(&self, phase: Phase) -> bool {
        self.plan.phases.contains(&phase)
    }

    /// How many cases a phase has that has one for each function.
    fn of_each(&self, phase: Phase) -> u64 {
        if self.has(phase) {
            self.plan.menu.functions.len() as u64
        } else {
            0
        }
    }

    /// How many cases there are of healthy calls alone.
    fn healthy(&self) -> u64 {
        self.of_each(Phase::Seeds) + self.soaks.len() as u64
    }
}
