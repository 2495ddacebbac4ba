//! Extreme cases: the size of a text, a list or an answer, or the number of calls, is a power of
//! two or a round number, or one more or less. Limits of hosts are at such numbers.
//!
//! Bugs in this module look like a size within the bounds of the protocol that no case has.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use arbitrary::Unstructured;
use cc_lb_plugin_wire::wire_function::FallbackPolicy;

use super::arbitrary_case::CaseGenerator;
use super::large_requests::{
    ITEMS, MOST_ITEMS, SIZES, about, full, length, with_large_part, with_largest_body,
};
use super::programs::step_with_program;
use crate::case::{Case, ONCE, Step};
use crate::puppet::{Bytes, Op, Program, TrapOp};
use crate::wire::{Function, Vocabulary};

/// A request that is shorter by less than this counts as equally large.
const SMALL_BYTES: usize = 512;

/// More calls than any usual limit, and more of those that are counted, and of those that fail: they
/// take longer.
const MOST_CALLS: usize = 5001;
const MOST_COUNTED: usize = 257;
const MOST_FAILURES: usize = 1025;

/// Numbers of calls that answer, and of calls that fail, which make an instance unusable.
const CALLS: [usize; 9] = [16, 64, 100, 256, 1000, 1024, 2048, 4096, 5000];
const FAILURES: [usize; 6] = [3, 8, 10, 16, 64, 100];

/// Numbers of loops that a call can burn and still answer: half of the fuel, and nearly all of it.
const BURNT: [u32; 2] = [700_000, 1_150_000];

/// A kind of extreme case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A request with the most items in each list and each object, of the function with this place
    /// in the plan. With one such case of each function first, a limit on the length of a list is
    /// found by every seed.
    FullRequest(usize),
    /// A request with the largest body, of the function with this place in the plan.
    LargestBody(usize),
    /// An answer with the most items in a list, of the first function from this place on that may
    /// have one.
    FullAnswer(usize),
    /// The most calls.
    MostCalls,
    /// The most calls that fail.
    MostFailures,
    LargeAnswer,
    LongList,
    ManyCalls,
    LargeRequest,
    /// Calls that fill memory for a long time before they answer.
    Fills,
    /// Calls that time out.
    Timeouts,
}

/// After the largest of each kind, kinds take turns by number, so that a few cases have all of them.
const TURNS: [Kind; 7] = [
    Kind::LargeAnswer,
    Kind::LargeAnswer,
    Kind::LongList,
    Kind::ManyCalls,
    Kind::ManyCalls,
    Kind::LargeRequest,
    Kind::LargeRequest,
];

/// The last kind in each turn, which also takes turns: fills take long, and each timeout takes the
/// whole wall-clock limit.
const LAST_TURNS: [Kind; 8] = [
    Kind::Fills,
    Kind::LargeRequest,
    Kind::LargeRequest,
    Kind::LargeRequest,
    Kind::LargeRequest,
    Kind::LargeRequest,
    Kind::LargeRequest,
    Kind::Timeouts,
];

impl Kind {
    /// Returns the kind of the extreme case with this number: first the largest of each kind, then
    /// kinds in turns. Without programs, full answers are left out, and other kinds that only a
    /// program can cause are replaced with a large request.
    fn of(number: u64, functions: usize, has_programs: bool) -> Self {
        let first = (0..functions).flat_map(|place| {
            let full = [Self::FullRequest(place), Self::LargestBody(place)];
            let answer = has_programs.then_some(Self::FullAnswer(place));
            full.into_iter().chain(answer)
        });
        let fills = has_programs.then_some(Self::Fills);
        let failures = has_programs.then_some(Self::MostFailures);
        let first = first.chain(fills).chain([Self::MostCalls]);
        let mut first = first.chain(failures);
        let nth = usize::try_from(number).ok().and_then(|nth| first.nth(nth));
        nth.unwrap_or_else(|| Self::in_turns(number, has_programs))
    }

    fn in_turns(number: u64, has_programs: bool) -> Self {
        let each = TURNS.len() as u64 + 1;
        let (turn, round) = (number % each, number / each);
        let last = LAST_TURNS[(round % LAST_TURNS.len() as u64) as usize];
        let kind = TURNS.get(turn as usize).copied().unwrap_or(last);
        match kind {
            Self::ManyCalls => kind,
            _ if has_programs => kind,
            _ => Self::LargeRequest,
        }
    }
}

/// The number of calls of one function that time out. Hosts may count to three and act at the next
/// one.
const TIMEOUTS: usize = 4;

/// Numbers of instructions that fill memory before an answer. They take more time than fuel, up to
/// half of the time limit.
const FILLS: [usize; 3] = [128, 256, 512];
const FILLED_BYTES: u32 = (1 << 20) - 1;

/// Returns the step, this many times.
fn repeated<R>(step: Step<R>, count: usize) -> Step<R> {
    let times = u32::try_from(count).ok().and_then(NonZeroU32::new);
    Step {
        times: times.unwrap_or(ONCE),
        ..step
    }
}

/// Returns a healthy call that the guest logs, so that calls beside it are seen.
fn counted<R: Vocabulary>(index: usize) -> Step<R> {
    step_with_program(R::dry_run(index), [Op::LogCall, Op::EmitHealthy])
}

impl CaseGenerator {
    /// Returns the extreme case with this number, which determines its kind.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub(crate) fn extreme<R: Vocabulary>(
        &self,
        number: u64,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Case<R>> {
        let index = *u.choose(&self.functions)?;
        let kind = Kind::of(number, self.functions.len(), self.programs.is_some());
        let steps = match kind {
            Kind::FullRequest(place) => vec![Step::without_program(full(R::dry_run(
                self.functions[place],
            ))?)],
            Kind::LargestBody(place) => vec![Step::without_program(with_largest_body(R::dry_run(
                self.functions[place],
            )))],
            Kind::FullAnswer(place) => vec![self.long_list(place, MOST_ITEMS, u)?],
            Kind::MostCalls => self.most_calls(),
            Kind::MostFailures => self.most_failures(),
            Kind::LargeAnswer => vec![large_answer(index, u)?],
            Kind::LongList => {
                let items = about(&ITEMS, u)?;
                let from = u.choose_index(self.functions.len())?;
                vec![self.long_list(from, items, u)?]
            }
            Kind::ManyCalls => self.many_calls(index, u)?,
            Kind::LargeRequest => self.large_request(index, u)?,
            Kind::Fills => vec![filling(index, u)?],
            Kind::Timeouts => self.timeouts(u)?,
        };
        Ok(Case { steps })
    }

    /// Draws a request with one large part, alone or with two programs in turn, of which only the
    /// first one answers validly: a host must not take the second request for the first.
    fn large_request<R: Vocabulary>(
        &self,
        index: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Vec<Step<R>>> {
        let request = with_large_part(R::dry_run(index), u)?;
        let step = Step::without_program(request);
        if self.programs.is_none() || u.arbitrary()? {
            return Ok(vec![step]);
        }
        // Put the program into a part other than the large one.
        let all = length(step.request.clone());
        let first: u8 = u.int_in_range(0..=7)?;
        let with_program = |part: u8, end: Op| {
            step_with_program(step.request.clone(), [Op::In(part), Op::LogCall, end])
        };
        let is_large = |part: &u8| {
            let step = with_program(*part, Op::EmitHealthy);
            length(step.request_with_program()) + SMALL_BYTES > all
        };
        Ok(match (first..first + 8).find(is_large) {
            Some(part) => [Op::EmitHealthy, Op::Emit("x".into())]
                .map(|end| with_program(part, end))
                .into(),
            None => vec![step],
        })
    }

    /// Draws a valid answer with a list of this many items. From this place in the plan on, the
    /// first function whose response may have a list gives it.
    fn long_list<R: Vocabulary>(
        &self,
        from: usize,
        items: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Step<R>> {
        let indices = self.functions.iter().cycle().skip(from);
        for index in indices.take(self.functions.len()) {
            if let Some(answer) = Program::answer_with(function::<R>(*index), items, u)? {
                let answer = Op::Emit(Bytes(answer.into_bytes()));
                return Ok(step_with_program(R::dry_run(*index), [answer]));
            }
        }
        Ok(Step::healthy(self.functions[from]))
    }

    /// Returns a healthy call of each function.
    fn healthy_calls<R: Vocabulary>(&self) -> impl Iterator<Item = Step<R>> {
        self.functions.iter().map(|index| Step::healthy(*index))
    }

    /// Returns the functions that must fail the request if they fail, or all if there are none.
    fn failing<R: Vocabulary>(&self) -> Vec<usize> {
        let fails =
            |index: &usize| matches!(function::<R>(*index).fallback, FallbackPolicy::FailRequest);
        let failing: Vec<usize> = self.functions.iter().copied().filter(fails).collect();
        if failing.is_empty() {
            self.functions.clone()
        } else {
            failing
        }
    }

    /// Returns more healthy calls of one function than any usual limit, and one of each function.
    fn most_calls<R: Vocabulary>(&self) -> Vec<Step<R>> {
        let first = self.functions.first().copied();
        let counted = first.filter(|_| self.programs.is_some()).map(counted);
        let counted = counted.map(|step| repeated(step, MOST_COUNTED));
        let most = first.map(|index| repeated(Step::healthy(index), MOST_CALLS));
        let most = counted.into_iter().chain(most);
        most.chain(self.healthy_calls()).collect()
    }

    /// Returns more failing calls than any usual limit, of a function that must fail the request if
    /// there is one, and a healthy call of each function.
    fn most_failures<R: Vocabulary>(&self) -> Vec<Step<R>> {
        let trap = [Op::Trap(TrapOp::Unreachable)];
        let failing = self.failing::<R>().into_iter().take(1).map(|index| {
            let traps = step_with_program(R::dry_run(index), trap.clone());
            repeated(traps, MOST_FAILURES)
        });
        failing.chain(self.healthy_calls()).collect()
    }

    /// Draws calls that time out: several in a row of one function that must fail the request, all
    /// but the first of which leave the instance half-way, and one of each other function that must
    /// not answer. A healthy call of each function follows.
    fn timeouts<R: Vocabulary>(&self, u: &mut Unstructured<'_>) -> arbitrary::Result<Vec<Step<R>>> {
        let index = *u.choose(&self.failing::<R>())?;
        let held = |index: usize| step_with_program(R::dry_run(index), [Op::Hold, Op::Stall]);
        // A retry can only be counted on an instance that is not half-way.
        let first = step_with_program(R::dry_run(index), [Op::LogCall, Op::Stall]);
        let more = repeated(held(index), TIMEOUTS - 1);
        let mut steps = vec![counted(index), first, more, counted(index)];
        let mut names = BTreeSet::from([function::<R>(index).name]);
        let silent = self.functions.iter().copied().filter(|index| {
            matches!(
                function::<R>(*index).fallback,
                FallbackPolicy::FailRequest | FallbackPolicy::SilentSkip
            )
        });
        let others = silent.filter(|index| names.insert(function::<R>(*index).name));
        steps.extend(others.map(held));
        steps.extend(self.healthy_calls());
        Ok(steps)
    }

    /// Draws one call repeated many times, followed by calls of this and another function, one of
    /// which may take most of the fuel.
    fn many_calls<R: Vocabulary>(
        &self,
        index: usize,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<Vec<Step<R>>> {
        let healthy = Step::healthy(index);
        let again = match u.int_in_range(0..=7)? {
            _ if self.programs.is_none() => healthy.clone(),
            0..=2 => healthy.clone(),
            3 => counted(index),
            4 => step_with_program(R::dry_run(index), [Op::Trap(*u.choose(&TrapOp::ALL)?)]),
            5 => step_with_program(R::dry_run(index), [Op::SetError("unsupported".into())]),
            6 => step_with_program(R::dry_run(index), [Op::Return(*u.choose(&[1, -1])?)]),
            _ => step_with_program(R::dry_run(index), [Op::Emit("x".into())]),
        };
        let fails = again.program.as_ref().is_some_and(|program| {
            let healthily = |op: &Op| matches!(op, Op::LogCall | Op::EmitHealthy);
            !program.0.iter().all(healthily)
        });
        let counts = if fails { &FAILURES[..] } else { &CALLS[..] };
        let again = repeated(again, about(counts, u)?);
        let other = Step::healthy(*u.choose(&self.functions)?);
        let behind = if self.programs.is_some() && u.ratio(1, 3)? {
            step_with_program(
                R::dry_run(index),
                [Op::Burn(*u.choose(&BURNT)?), Op::EmitHealthy],
            )
        } else {
            healthy
        };
        Ok(vec![again, behind, other])
    }
}

fn function<R: Vocabulary>(index: usize) -> &'static Function {
    &R::functions()[index]
}

/// Draws a healthy answer after an amount of memory is filled.
fn filling<R: Vocabulary>(index: usize, u: &mut Unstructured<'_>) -> arbitrary::Result<Step<R>> {
    let fills = vec![Op::Fill(FILLED_BYTES); *u.choose(&FILLS)?];
    let ops = [fills, vec![Op::EmitHealthy]].concat();
    Ok(step_with_program(R::dry_run(index), ops))
}

/// Draws a large healthy answer: with a long text in it, or white space before it.
fn large_answer<R: Vocabulary>(
    index: usize,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<Step<R>> {
    let size = about(&SIZES, u)?;
    let around = Program::around_a_string(function::<R>(index));
    let ops = match around {
        Some((before, behind)) if u.ratio(3, 4)? => {
            let times = size.saturating_sub(before.len() + behind.len()) as u32;
            vec![
                Op::Emit(before.into()),
                Op::Repeat { byte: b'a', times },
                Op::Emit(behind.into()),
            ]
        }
        _ => vec![
            Op::Repeat {
                byte: b' ',
                times: size as u32,
            },
            Op::EmitHealthy,
        ],
    };
    Ok(step_with_program(R::dry_run(index), ops))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Request;

    #[test]
    fn the_largest_of_each_kind_comes_first() {
        let kinds: Vec<_> = (0..9).map(|number| Kind::of(number, 2, true)).collect();
        let expected = [
            Kind::FullRequest(0),
            Kind::LargestBody(0),
            Kind::FullAnswer(0),
            Kind::FullRequest(1),
            Kind::LargestBody(1),
            Kind::FullAnswer(1),
            Kind::Fills,
            Kind::MostCalls,
            Kind::MostFailures,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(Kind::of(9, 2, true), Kind::in_turns(9, true));
        assert_eq!(Kind::of(4, 2, false), Kind::MostCalls);
        assert_eq!(Kind::of(5, 2, false), Kind::in_turns(5, false));
        // All before the extreme cases become rare.
        assert_eq!(
            Kind::of(63, Request::functions().len(), true),
            Kind::Timeouts
        );
    }

    #[test]
    fn the_kinds_of_extreme_cases_take_the_turns_that_they_always_took() {
        for number in 0..200 {
            for has_programs in [false, true] {
                let expected = match number % 8 {
                    7 if has_programs && number % 64 == 63 => Kind::Timeouts,
                    7 if has_programs && number % 64 == 7 => Kind::Fills,
                    0 | 1 if has_programs => Kind::LargeAnswer,
                    2 if has_programs => Kind::LongList,
                    3 | 4 => Kind::ManyCalls,
                    _ => Kind::LargeRequest,
                };
                assert_eq!(Kind::in_turns(number, has_programs), expected, "{number}");
            }
        }
    }
}
