//! The schedule: maps a case's index to its phase and its position in that phase.
//!
//! Healthy calls come first. If all phases of a plan are finite, they run one after the other.
//! Otherwise they share rounds of eight cases, as [`ROUND`] says.
//!
//! Bugs in this module look like a case that no index has, or a seed whose cases change between
//! versions.

use super::phase::Phase;
use super::phase::Phase::{Answers, Boundaries, Extremes, Random, Soak, Stateful};
use super::sessions::{CASES_PER_SESSION, Sessions};
use crate::case::Depth;

/// The phases that may have each case of a round: the first one that is in the plan and has a case
/// left gets it.
///
/// Extremes are last in each line, because they take all remaining cases of a plan with neither
/// random cases nor sequences.
const ROUND: [&[Phase]; 8] = [
    // Every other case is a boundary, as long as there are any, because boundaries find the most.
    &[Boundaries, Random, Stateful, Extremes],
    // A quarter are answers: a plan of hosts has them instead of boundaries.
    &[Answers, Random, Stateful, Extremes],
    &[Boundaries, Random, Stateful, Extremes],
    // Random cases and sequences share the rest.
    &[Answers, Stateful, Random, Extremes],
    &[Boundaries, Random, Stateful, Extremes],
    // Extremes are not in every round: see `FIRST_EXTREME_ROUNDS`.
    &[Extremes, Random, Stateful],
    &[Boundaries, Random, Stateful, Extremes],
    // Only the last case of a session is a soak, because what is found after one has a long
    // history.
    &[Soak, Stateful, Random, Extremes],
];

const CASES_PER_ROUND: u64 = ROUND.len() as u64;

// Sessions end with rounds. Otherwise the last case of a session could not be a soak.
const _: () = assert!(CASES_PER_SESSION.is_multiple_of(CASES_PER_ROUND));

/// The number of rounds at the beginning that have an extreme case each.
const FIRST_EXTREME_ROUNDS: u64 = 64;

/// After these, one in this many rounds has an extreme case, because each takes as long as a
/// hundred other cases.
const LATER_ROUNDS_PER_EXTREME: u64 = 128;

/// One in this many cases is thorough: see [`Depth`].
const THOROUGH_ONE_IN: u64 = 16;

/// The last one in this many cases runs repeatedly while memory is measured: see
/// [`LeakCheck`](crate::record::LeakCheck).
const LEAK_CHECK_ONE_IN: u64 = 4096;

/// One in this many extreme cases is thorough. Coprime to the number of kinds that take turns and to
/// that of the largest cases of a function, so that every kind is thorough at some time. The first
/// case of timeouts is not: it would take seconds.
const EXTREMES_THOROUGH_ONE_IN: u64 = 11;

/// Returns whether the case of an index is thorough, whichever phase it belongs to.
pub(crate) fn is_thorough(index: u64) -> bool {
    index.is_multiple_of(THOROUGH_ONE_IN)
}

/// The slot of a case: its phase, and which of that phase's cases it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The healthy call of a function, by its index in the plan.
    Seed(usize),
    /// The soak with this index.
    Soak(usize),
    /// The boundary with this index.
    Boundary(usize),
    /// The changed answer with this index.
    Answer(usize),
    /// The extreme case with this number, which determines its kind.
    Extreme(u64),
    /// A sequence of calls.
    Stateful,
    /// An arbitrary case.
    Random,
}

impl Slot {
    /// Returns the phase.
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Seed(_) => Phase::Seeds,
            Self::Soak(_) => Soak,
            Self::Boundary(_) => Boundaries,
            Self::Answer(_) => Answers,
            Self::Extreme(_) => Extremes,
            Self::Stateful => Stateful,
            Self::Random => Random,
        }
    }
}

/// Decides the slot of each case from the phases of the plan and the sizes of the finite ones.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// The phases of the plan.
    pub(super) phases: Vec<Phase>,
    /// The division of cases into sessions.
    pub(super) sessions: Sessions,
    /// The number of cases of each finite phase; 0 if the plan does not have it. The seeds are the
    /// healthy calls.
    pub(super) seeds: u64,
    pub(super) soaks: u64,
    pub(super) boundaries: u64,
    pub(super) answers: u64,
}

impl Schedule {
    /// Returns the slot of the case of an index.
    pub(super) fn slot(&self, index: u64) -> Slot {
        let Some(after_seeds) = index.checked_sub(self.seeds) else {
            return Slot::Seed(index as usize);
        };
        if !self.is_infinite() {
            return self.slot_in_phase_order(after_seeds);
        }
        let takers = ROUND[(index % CASES_PER_ROUND) as usize];
        let slot = takers.iter().find_map(|phase| self.take(*phase, index));
        slot.unwrap_or(Slot::Random)
    }

    /// Returns the slot of a case if all phases are finite, by its index after the healthy calls:
    /// phases run one after the other.
    fn slot_in_phase_order(&self, after_seeds: u64) -> Slot {
        let Some(after_soaks) = after_seeds.checked_sub(self.soaks) else {
            return Slot::Soak(after_seeds as usize);
        };
        match after_soaks.checked_sub(self.boundaries) {
            None => Slot::Boundary(after_soaks as usize),
            Some(answer) if answer < self.answers => Slot::Answer(answer as usize),
            // Past the end.
            Some(_) => Slot::Random,
        }
    }

    /// Returns the slot of the case of an index if it belongs to this phase, or `None` if the phase
    /// has no case for it.
    fn take(&self, phase: Phase, index: u64) -> Option<Slot> {
        match phase {
            // Healthy calls precede the first round.
            Phase::Seeds => None,
            Soak => {
                let is_last = index + 1 == self.sessions.session_of(index).end;
                let soak = self.sessions.before(index);
                (is_last && soak < self.soaks).then_some(Slot::Soak(soak as usize))
            }
            Boundaries => {
                let boundary = self.turns_after_seeds(Boundaries, index);
                (boundary < self.boundaries).then_some(Slot::Boundary(boundary as usize))
            }
            Answers => {
                let answer = self.turns_after_seeds(Answers, index);
                (answer < self.answers).then_some(Slot::Answer(answer as usize))
            }
            Extremes => self.extreme(index).map(Slot::Extreme),
            Stateful => self.has(Stateful).then_some(Slot::Stateful),
            Random => self.has(Random).then_some(Slot::Random),
        }
    }

    /// Returns the number of cases between the healthy calls and this index that [`ROUND`] offers to
    /// a phase first.
    fn turns_after_seeds(&self, phase: Phase, index: u64) -> u64 {
        turns_before(phase, index) - turns_before(phase, self.seeds)
    }

    /// Returns the number of the extreme case of an index, if there is one.
    fn extreme(&self, index: u64) -> Option<u64> {
        if !self.has(Extremes) {
            return None;
        }
        if !self.has(Random) && !self.has(Stateful) {
            // Extremes take all cases that no other phase takes.
            let soaks = |index| self.sessions.before(index).min(self.soaks);
            let boundaries = self.turns_after_seeds(Boundaries, index);
            let answers = self.turns_after_seeds(Answers, index);
            let taken = boundaries.min(self.boundaries) + answers.min(self.answers) + soaks(index)
                - soaks(self.seeds);
            return Some(index - self.seeds - taken);
        }
        // The first extremes matter, so the turns that healthy calls have taken do not count.
        let round = self.turns_after_seeds(Extremes, index);
        match round.checked_sub(FIRST_EXTREME_ROUNDS) {
            None => Some(round),
            Some(later) => later
                .is_multiple_of(LATER_ROUNDS_PER_EXTREME)
                .then_some(FIRST_EXTREME_ROUNDS + later / LATER_ROUNDS_PER_EXTREME),
        }
    }

    /// Returns the earlier of the phases of this case and the next, to show as progress. As long as
    /// there are boundaries, one of two adjacent cases is one. The second case of each session is an
    /// answer as long as there are any.
    pub(super) fn phase_to_show(&self, index: u64) -> Phase {
        let [one, other] = [index, index + 1].map(|index| self.slot(index).phase());
        one.min(other)
    }

    /// Returns the depth of the case of an index.
    pub(super) fn depth(&self, index: u64) -> Depth {
        if index % LEAK_CHECK_ONE_IN == LEAK_CHECK_ONE_IN - 1 {
            return Depth::LeakCheck;
        }
        let is_chosen = match self.slot(index) {
            Slot::Extreme(number) => number.is_multiple_of(EXTREMES_THOROUGH_ONE_IN),
            _ => false,
        };
        if is_chosen || is_thorough(index) {
            Depth::Thorough
        } else {
            Depth::Light
        }
    }

    /// Returns the number of cases; `None` if it is infinite.
    pub(super) fn count(&self) -> Option<u64> {
        let finite = self.seeds + self.soaks + self.boundaries + self.answers;
        (!self.is_infinite()).then_some(finite)
    }

    fn is_infinite(&self) -> bool {
        let infinite = [Random, Stateful, Extremes];
        infinite.into_iter().any(|phase| self.has(phase))
    }

    fn has(&self, phase: Phase) -> bool {
        self.phases.contains(&phase)
    }
}

/// Returns the number of cases before this index that [`ROUND`] offers to a phase first.
fn turns_before(phase: Phase, index: u64) -> u64 {
    let turns = |cases: &[&[Phase]]| {
        let first = cases.iter().map(|phases| phases.first());
        first.filter(|first| *first == Some(&phase)).count() as u64
    };
    let (rounds, rest) = (index / CASES_PER_ROUND, index % CASES_PER_ROUND);
    rounds * turns(&ROUND) + turns(&ROUND[..rest as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a schedule of these phases, with these numbers of cases in the finite ones.
    fn schedule(phases: &[Phase], sessions: Sessions, counts: [u64; 4]) -> Schedule {
        let count = |phase, count| if phases.contains(&phase) { count } else { 0 };
        Schedule {
            phases: phases.to_vec(),
            sessions,
            seeds: count(Phase::Seeds, counts[0]),
            soaks: count(Soak, counts[1]),
            boundaries: count(Boundaries, counts[2]),
            answers: count(Answers, counts[3]),
        }
    }

    /// Implements the same rules in another way: by remainders of the index.
    fn by_remainders(of: &Schedule, index: u64) -> Slot {
        let has = |phase| of.phases.contains(&phase);
        let is_filled = has(Random) || has(Stateful);
        if index < of.seeds {
            return Slot::Seed(index as usize);
        }
        if !is_filled && !has(Extremes) {
            let place = index - of.seeds;
            return if place < of.soaks {
                Slot::Soak(place as usize)
            } else if place < of.soaks + of.boundaries {
                Slot::Boundary((place - of.soaks) as usize)
            } else if place < of.soaks + of.boundaries + of.answers {
                Slot::Answer((place - of.soaks - of.boundaries) as usize)
            } else {
                Slot::Random
            };
        }
        let session = of.sessions.before(index);
        if index + 1 == of.sessions.session_of(index).end && session < of.soaks {
            return Slot::Soak(session as usize);
        }
        let boundary = index / 2 - of.seeds.div_ceil(2).min(index / 2);
        if index.is_multiple_of(2) && boundary < of.boundaries {
            return Slot::Boundary(boundary as usize);
        }
        // Two of eight cases are answers: the second and the fourth.
        let offered = |before: u64| before / 8 * 2 + (before % 8 / 2).min(2);
        let answer = offered(index) - offered(of.seeds);
        if (index % 8 == 1 || index % 8 == 3) && answer < of.answers {
            return Slot::Answer(answer as usize);
        }
        if has(Extremes) && !is_filled {
            let boundaries = (index.div_ceil(2) - of.seeds.div_ceil(2)).min(of.boundaries);
            let soaks = session.min(of.soaks) - of.sessions.before(of.seeds).min(of.soaks);
            let taken = boundaries + answer.min(of.answers) + soaks;
            return Slot::Extreme(index - of.seeds - taken);
        }
        // Healthy calls stand where the first extremes would be.
        let taken = of.seeds.saturating_sub(5).div_ceil(8);
        let first = 512 + 8 * taken;
        if has(Extremes) && index < first && index % 8 == 5 {
            return Slot::Extreme(index / 8 - taken);
        }
        if has(Extremes) && index >= first && (index - first) % 1024 == 5 {
            return Slot::Extreme(64 + (index - first) / 1024);
        }
        if has(Stateful) && (index % 4 == 3 || !has(Random)) {
            Slot::Stateful
        } else {
            Slot::Random
        }
    }

    fn depth_by_remainders(of: &Schedule, index: u64) -> Depth {
        match (index % 4096, index % 16, by_remainders(of, index)) {
            (4095, ..) => Depth::LeakCheck,
            (_, 0, _) => Depth::Thorough,
            (_, _, Slot::Extreme(number)) if number.is_multiple_of(11) => Depth::Thorough,
            _ => Depth::Light,
        }
    }

    /// Returns every combination of phases, in their order.
    fn choices() -> impl Iterator<Item = Vec<Phase>> {
        (0..1u32 << Phase::ALL.len()).map(|chosen| {
            let phases = Phase::ALL.into_iter().enumerate();
            let phases = phases.filter(|(place, _)| (chosen >> *place) & 1 == 1);
            phases.map(|(_, phase)| phase).collect()
        })
    }

    #[test]
    fn every_index_of_every_choice_of_phases_is_what_it_always_was() {
        let ranges = [0..3_000u64, 4_080..4_112, 8_180..8_200, 99_990..100_010];
        let counts = [
            [7, 30, 700, 600],
            [8, 2, 0, 3],
            [9, 500, 6_000, 2_000],
            [100, 0, 1, 0],
        ];
        for phases in choices() {
            for (counts, long) in counts.into_iter().flat_map(|of| [(of, false), (of, true)]) {
                let schedule = schedule(&phases, Sessions { long }, counts);
                for index in ranges.clone().into_iter().flatten() {
                    let seen = (schedule.slot(index), schedule.depth(index));
                    let expected = (
                        by_remainders(&schedule, index),
                        depth_by_remainders(&schedule, index),
                    );
                    assert_eq!(seen, expected, "{phases:?}, {counts:?}, {long}: {index}");
                }
            }
        }
    }

    /// Returns a letter for each of the first 64 cases. A soak is an O, because sequences have the
    /// S.
    fn letters(schedule: &Schedule) -> String {
        let letter = |index| match schedule.slot(index).phase() {
            Phase::Seeds => 's',
            Soak => 'O',
            Boundaries => 'B',
            Answers => 'A',
            Random => 'R',
            Stateful => 'S',
            Extremes => 'X',
        };
        (0..64).map(letter).collect()
    }

    #[test]
    fn the_first_rounds_of_the_usual_plans_are_these() {
        let puppet = [Phase::Seeds, Answers, Random, Extremes];
        let puppet = schedule(&puppet, Sessions { long: false }, [7, 0, 0, 10]);
        assert_eq!(
            letters(&puppet),
            "sssssssRRARARXRRRARARXRRRARARXRRRARARXRRRARARXRRRRRRRXRRRRRRRXRR"
        );
        let plugin = schedule(&Phase::OF_PLUGINS, Sessions { long: true }, [7, 30, 20, 0]);
        assert_eq!(
            letters(&plugin),
            "sssssssSBRBSBRBSBRBSBRBSBRBSBRBSBRBSBRBSBRBSBRBSRRRSRRRSRRRSRRRO"
        );
        assert_eq!(plugin.phase_to_show(6), Phase::Seeds);
        assert_eq!(plugin.phase_to_show(45), Boundaries);
        assert_eq!(plugin.phase_to_show(62), Soak);
    }

    #[test]
    fn no_extreme_case_is_lost_to_another_phase() {
        for phases in choices().filter(|phases| phases.contains(&Extremes)) {
            let schedule = schedule(&phases, Sessions { long: false }, [13, 2, 20, 20]);
            let numbers = (0..400).filter_map(|index| match schedule.slot(index) {
                Slot::Extreme(number) => Some(number),
                _ => None,
            });
            let numbers: Vec<u64> = numbers.collect();
            let expected: Vec<u64> = (0..numbers.len() as u64).collect();
            assert_eq!(numbers, expected, "{phases:?}");
        }
    }

    #[test]
    fn a_plan_of_finite_phases_has_each_of_their_cases_once() {
        let finite = [Phase::Seeds, Soak, Boundaries, Answers];
        let schedule = schedule(&finite, Sessions { long: true }, [2, 1, 2, 2]);
        assert_eq!(schedule.count(), Some(7));
        let slots: Vec<_> = (0..7).map(|index| schedule.slot(index)).collect();
        let expected = [
            Slot::Seed(0),
            Slot::Seed(1),
            Slot::Soak(0),
            Slot::Boundary(0),
            Slot::Boundary(1),
            Slot::Answer(0),
            Slot::Answer(1),
        ];
        assert_eq!(slots, expected);
    }
}
