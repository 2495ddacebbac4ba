//! The cases of a plan: the same on every machine, in any order, with any number of workers.
//! `schedule.rs` decides the slot of each.

use std::num::NonZeroU32;

use arbitrary::Unstructured;
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use serde_json::Value;

use super::boundaries::BoundaryCases;
use super::changed_answers::ChangedAnswers;
use super::learned_values::FunctionSamples;
use super::phase::Phase;
use super::plan::Plan;
use super::schedule::{Schedule, Slot};
use super::sessions::Sessions;
use crate::case::{Case, Depth, Step};
use crate::wire::{Vocabulary, weighted};

/// The bytes of entropy that a case is made from, with the share of each amount in percent.
const ENTROPY: [(usize, u32); 3] = [(256, 50), (1024, 37), (4096, 13)];

/// The entropy of a sequence, in bytes.
const SEQUENCE_ENTROPY: usize = 8192;

/// How often a soak makes one request. Short soaks come first, and show most of what a plugin
/// keeps. A long one takes as long as a thousand other cases.
const SHORT_SOAK: NonZeroU32 = NonZeroU32::new(256).unwrap();
const LONG_SOAK: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// The number of calls in a soak with several requests in turns.
const TURNS: usize = 1000;

/// The number of these requests: each is made eight times.
const TAKE_TURNS: usize = TURNS / 8;

/// Returns the soaks: first short ones, with the healthy call of each function and a request with a
/// value in each field; then boundaries in turns; then long ones.
fn soaks<R: Vocabulary>(
    learned: &[FunctionSamples<R>],
    boundaries: &BoundaryCases,
) -> Vec<Soak<R>> {
    let healthy = learned.iter().map(|of| Step::healthy(of.index));
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

/// The calls that one case repeats.
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
    boundaries: BoundaryCases,
    answers: ChangedAnswers,
    /// The soaks.
    soaks: Vec<Soak<R>>,
    /// The slot of each case.
    schedule: Schedule,
}

impl<R: Vocabulary> Cases<R> {
    /// Returns the cases of a plan.
    pub fn new(plan: &Plan) -> Self {
        let has = |phase| plan.phases.contains(&phase);
        let response_dictionary = plan.generator.response_dictionary.iter();
        let response_dictionary: Vec<Value> = response_dictionary
            .filter_map(|object| serde_json::from_str(object).ok())
            .collect();
        let learned: Vec<FunctionSamples<R>> = if has(Phase::Boundaries) || has(Phase::Soak) {
            plan.generator
                .functions
                .iter()
                .copied()
                .map(|index| FunctionSamples::new(index, &response_dictionary))
                .collect()
        } else {
            Vec::new()
        };
        let boundaries = if has(Phase::Boundaries) {
            BoundaryCases::new(&plan.generator, &learned, &response_dictionary)
        } else {
            BoundaryCases::default()
        };
        // Only the puppet gives the answers of a program.
        let answers = if has(Phase::Answers) && plan.generator.programs.is_some() {
            ChangedAnswers::new::<R>(&plan.generator.functions)
        } else {
            ChangedAnswers::default()
        };
        let soaks = if has(Phase::Soak) {
            soaks(&learned, &boundaries)
        } else {
            Vec::new()
        };
        let seeds = if has(Phase::Seeds) {
            plan.generator.functions.len()
        } else {
            0
        };
        Self {
            plan: plan.clone(),
            schedule: Schedule {
                phases: plan.phases.clone(),
                sessions: Sessions::of_plan(plan),
                seeds: seeds as u64,
                soaks: soaks.len() as u64,
                boundaries: boundaries.len() as u64,
                answers: answers.len() as u64,
            },
            soaks,
            boundaries,
            answers,
        }
    }

    /// Returns the plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Returns the number of cases; `None` if it is infinite.
    pub fn count(&self) -> Option<u64> {
        self.schedule.count()
    }

    /// Returns the phase of the case of an index.
    pub fn phase(&self, index: u64) -> Phase {
        self.schedule.slot(index).phase()
    }

    /// Returns the earlier of the phases of this case and the next, to show as progress.
    pub fn phase_to_show(&self, index: u64) -> Phase {
        self.schedule.phase_to_show(index)
    }

    /// Returns the depth of the case of an index.
    pub fn depth(&self, index: u64) -> Depth {
        self.schedule.depth(index)
    }

    /// Returns the case of an index.
    pub fn nth(&self, index: u64) -> Case<R> {
        let functions = &self.plan.generator.functions;
        let healthy = |seed: usize| Case {
            steps: vec![Step::healthy(functions[seed])],
        };
        // The index selects the cipher's stream, so that cases do not depend on each other.
        let mut rng = ChaCha8Rng::seed_from_u64(self.plan.seed);
        rng.set_stream(index);
        let length = *weighted(&ENTROPY, rng.next_u32() % 100);
        let mut entropy = vec![0; length];
        let generator = &self.plan.generator;
        let case = match self.schedule.slot(index) {
            Slot::Seed(seed) => Some(healthy(seed)),
            Slot::Soak(soak) => Some(self.soaks[soak].case()),
            Slot::Boundary(boundary) => self.boundaries.nth(boundary),
            Slot::Answer(answer) => self.answers.nth(answer),
            Slot::Random => {
                rng.fill_bytes(&mut entropy);
                generator.case(&mut Unstructured::new(&entropy)).ok()
            }
            Slot::Stateful => {
                entropy.resize(SEQUENCE_ENTROPY, 0);
                rng.fill_bytes(&mut entropy);
                generator.sequence(&mut Unstructured::new(&entropy)).ok()
            }
            Slot::Extreme(number) => {
                rng.fill_bytes(&mut entropy);
                let mut u = Unstructured::new(&entropy);
                generator.extreme(number, &mut u).ok()
            }
        };
        // `arbitrary` returns zeroes after the end of the entropy. If it fails nevertheless, the
        // case is a healthy call.
        case.unwrap_or_else(|| healthy(0))
    }
}
