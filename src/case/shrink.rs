//! Structural shrinking: fewer steps, fewer operations, and every field back at its dry-run value unless
//! the finding needs it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::tree::{self, Numbers};
use super::{Case, Step};
use crate::observation::MANY_STEPS;
use crate::wire::{Vocabulary, in_full};

/// When to stop shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// The most candidates to try.
    pub candidates: u32,
    /// The longest time to take.
    pub time: Duration,
    /// How small numbers become.
    pub numbers: Numbers,
}

impl ShrinkLimits {
    /// 20,000 candidates, 20 seconds.
    pub const DEFAULT: Self = Self {
        candidates: 20_000,
        time: Duration::from_secs(20),
        numbers: Numbers::Least,
    };
}

impl Default for ShrinkLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What shrinking came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk<R> {
    /// The smallest case found.
    pub case: Case<R>,
    /// How many candidates were tried.
    pub candidates: u32,
    /// Whether no smaller candidate is left; otherwise a limit ended the search.
    pub minimal: bool,
}

impl<R: Vocabulary> Case<R> {
    /// Makes the case smaller as long as `fails` says that the finding is still there.
    ///
    /// The result is the case itself or one that `fails` accepted, with equal steps in a row written as one.
    pub fn shrink(&self, limits: ShrinkLimits, mut fails: impl FnMut(&Self) -> bool) -> Shrunk<R> {
        let Ok(shrunk) = self.try_shrink(limits, |case| Ok::<_, Infallible>(fails(case)));
        shrunk
    }

    /// The same with a `fails` that may fail itself, which ends the search.
    ///
    /// # Errors
    /// The first of `fails`.
    pub fn try_shrink<E>(
        &self,
        limits: ShrinkLimits,
        fails: impl FnMut(&Self) -> Result<bool, E>,
    ) -> Result<Shrunk<R>, E> {
        let mut search = Search::new(self, limits, fails);
        loop {
            while search.structure() {}
            if !search.values() {
                return search.end(limits);
            }
        }
    }

    /// The same with whole steps, requests and operations only: what is left of the case's structure, in few tries.
    ///
    /// # Errors
    /// As [`Case::try_shrink`].
    pub fn try_shrink_structure<E>(
        &self,
        limits: ShrinkLimits,
        fails: impl FnMut(&Self) -> Result<bool, E>,
    ) -> Result<Shrunk<R>, E> {
        let mut search = Search::new(self, limits, fails);
        while search.structure() {}
        search.end(limits)
    }
}

struct Search<R, F, E> {
    best: Case<R>,
    fails: F,
    /// What `fails` failed with.
    error: Option<E>,
    left: u32,
    numbers: Numbers,
    /// `None` where there is no end of time.
    until: Option<Instant>,
}

impl<R: Vocabulary, E, F: FnMut(&Case<R>) -> Result<bool, E>> Search<R, F, E> {
    fn new(case: &Case<R>, limits: ShrinkLimits, fails: F) -> Self {
        Self {
            best: case.clone(),
            fails,
            error: None,
            left: limits.candidates,
            numbers: limits.numbers,
            until: Instant::now().checked_add(limits.time),
        }
    }

    fn end(mut self, limits: ShrinkLimits) -> Result<Shrunk<R>, E> {
        let minimal = !self.is_over();
        self.best.merge();
        match self.error {
            Some(error) => Err(error),
            None => Ok(Shrunk {
                candidates: limits.candidates - self.left,
                minimal,
                case: self.best,
            }),
        }
    }

    /// One pass over steps, whole requests and operations; whether it made the case smaller.
    fn structure(&mut self) -> bool {
        self.best.merge();
        let mut smaller = self.only_the_last() || self.fewer_requests();
        self.best.merge();
        smaller |= self.fewer_times();
        smaller |= self.drop_steps();
        for place in self.places() {
            if self.is_over() {
                break;
            }
            smaller |= self.drop_program(place);
            smaller |= self.first_function(place);
            smaller |= self.drop_operations(place);
        }
        smaller
    }

    /// One pass over what is in requests and operations; whether it made the case smaller.
    fn values(&mut self) -> bool {
        let mut smaller = false;
        for place in self.places() {
            if self.is_over() {
                break;
            }
            // Those that are equal changed together.
            let (before, of) = (&self.best.steps[..place], &self.best.steps[place]);
            if self.has_many() && before.iter().any(|step| step.is_same_call(of)) {
                continue;
            }
            smaller |= self.shrink_request(place);
            smaller |= self.shrink_program(place);
        }
        smaller
    }

    /// The places of the steps. Their number is that of now: requests and programs shrink, steps stay.
    fn places(&self) -> Range<usize> {
        0..self.best.steps.len()
    }

    /// Whether a limit is reached. Asked before a candidate is made: making one of a long case takes long too.
    fn is_over(&self) -> bool {
        self.error.is_some()
            || self.left == 0
            || self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn accepts(&mut self, candidate: Case<R>) -> bool {
        if self.is_over() || candidate == self.best {
            return false;
        }
        self.left -= 1;
        match (self.fails)(&candidate) {
            Ok(true) => self.best = candidate,
            Ok(false) => return false,
            Err(error) => {
                self.error = Some(error);
                return false;
            }
        }
        true
    }

    /// Whether the finding may be one of many calls: these are made smaller without making them fewer.
    fn has_many(&self) -> bool {
        self.best.dispatches() >= MANY_STEPS
    }

    /// Of many steps the last few, if these will do.
    fn only_the_last(&mut self) -> bool {
        self.has_many()
            && [1, 8, 32].into_iter().any(|few| {
                let last = self.best.last(few);
                self.accepts(last)
            })
    }

    /// Of many steps as many, but with half of the different ones, as often as it goes: what comes of many calls may need
    /// their number. What a session ends with is often what it needs, so that it is tried alone first.
    fn fewer_requests(&mut self) -> bool {
        let mut smaller = false;
        while self.has_many() && !self.is_over() {
            let kinds = self.kinds();
            let all = kinds.iter().max().map_or(0, |kind| kind + 1);
            if all < 2 {
                break;
            }
            let parts = [all - 1..all, all / 2..all, 0..all / 2];
            let mut candidates = parts
                .into_iter()
                .map(|part| self.as_many_of(&kinds, part))
                .collect::<Vec<_>>();
            candidates.dedup();
            if !candidates.into_iter().any(|case| self.accepts(case)) {
                break;
            }
            smaller = true;
        }
        smaller
    }

    /// For each step a number, the same for those that are equal but for their times; the last step has the largest.
    fn kinds(&self) -> Vec<usize> {
        let text = |step: &Step<R>| serde_json::to_string(&(&step.request, &step.program)).ok();
        let mut seen = HashMap::new();
        let steps = self.best.steps.iter().rev();
        let numbers = steps.map(|step| {
            let next = seen.len();
            *seen.entry(text(step)).or_insert(next)
        });
        let numbers: Vec<usize> = numbers.collect();
        let numbers = numbers.into_iter().rev();
        numbers.map(|number| seen.len() - 1 - number).collect()
    }

    /// As many dispatches, of these kinds of step alone: each comes where it did, so many times more.
    fn as_many_of(&self, kinds: &[usize], kept: Range<usize>) -> Case<R> {
        let steps = self.best.steps.iter().zip(kinds);
        let steps = steps.filter(|(_, kind)| kept.contains(kind));
        let mut case = Case {
            steps: steps.map(|(step, _)| step.clone()).collect(),
        };
        let (all, left) = (self.best.dispatches() as u64, case.dispatches() as u64);
        let (mut before, mut told) = (0, 0);
        for step in &mut case.steps {
            before += u64::from(step.times.get());
            let times = before * all / left - told;
            told += times;
            let times = u32::try_from(times).ok().and_then(NonZeroU32::new);
            step.times = times.unwrap_or(step.times);
        }
        case.merge();
        case
    }

    /// Each step as few times as will do, found by halving: thousands of calls are a dozen tries.
    fn fewer_times(&mut self) -> bool {
        let mut smaller = false;
        for place in self.places() {
            let mut least = 1;
            while !self.is_over() {
                let times = self.best.steps[place].times.get();
                if least >= times {
                    break;
                }
                let middle = least + (times - least) / 2;
                let mut candidate = self.best.clone();
                if let Some(times) = NonZeroU32::new(middle) {
                    candidate.steps[place].times = times;
                }
                if self.accepts(candidate) {
                    smaller = true
                } else {
                    least = middle + 1
                }
            }
        }
        smaller
    }

    fn drop_steps(&mut self) -> bool {
        let steps = |case: &Case<R>| case.steps.len();
        self.drop_parts(steps, |case, part| {
            case.steps.drain(part);
            case.merge();
            !case.steps.is_empty()
        })
    }

    fn drop_operations(&mut self, place: usize) -> bool {
        let program = move |case: &Case<R>| case.steps[place].program.clone();
        let operations = move |case: &Case<R>| program(case).map_or(0, |program| program.0.len());
        self.drop_parts(operations, |case, part| {
            let program = case.steps[place].program.as_mut();
            program.is_some_and(|program| program.0.drain(part).count() > 0)
        })
    }

    /// Without half of the parts, a quarter, …, one. `without` says whether what is left is a case.
    fn drop_parts(
        &mut self,
        parts: impl Fn(&Case<R>) -> usize,
        without: impl Fn(&mut Case<R>, Range<usize>) -> bool,
    ) -> bool {
        let mut smaller = false;
        let mut chunk = parts(&self.best).div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < parts(&self.best) && !self.is_over() {
                let mut candidate = self.best.clone();
                let end = (start + chunk).min(parts(&candidate));
                if without(&mut candidate, start..end) && self.accepts(candidate) {
                    smaller = true;
                } else {
                    start += chunk;
                }
            }
            chunk /= 2;
        }
        smaller
    }

    fn drop_program(&mut self, place: usize) -> bool {
        let step = &self.best.steps[place];
        step.program.is_some() && {
            let step = Step {
                program: None,
                ..step.clone()
            };
            self.replace(place, step)
        }
    }

    /// The program in the first function's dry-run request.
    fn first_function(&mut self, place: usize) -> bool {
        let step = &self.best.steps[place];
        step.program.is_some() && step.request.place() != 0 && {
            let step = Step {
                request: R::dry_run(0),
                ..step.clone()
            };
            self.replace(place, step)
        }
    }

    /// Another step in this place; of many steps, in the place of all that are equal to it.
    fn replace(&mut self, place: usize, step: Step<R>) -> bool {
        let mut candidate = self.best.clone();
        if self.has_many() {
            let old = &self.best.steps[place];
            let same = candidate.steps.iter_mut();
            for other in same.filter(|other| other.is_same_call(old)) {
                let times = other.times;
                *other = Step {
                    times,
                    ..step.clone()
                };
            }
        } else {
            candidate.steps[place] = step;
        }
        self.accepts(candidate)
    }

    fn shrink_request(&mut self, place: usize) -> bool {
        let request = &self.best.steps[place].request;
        let target = serde_json::to_value(R::dry_run(request.place()));
        let (Ok(root), Ok(target)) = (serde_json::to_value(request), target) else {
            return false;
        };
        // Texts shrink as texts, however they are written.
        let (root, target) = (in_full(&root), in_full(&target));
        self.shrink_tree(place, root, &target, |step, root| {
            step.request = serde_json::from_value(root).ok()?;
            Some(())
        })
    }

    fn shrink_program(&mut self, place: usize) -> bool {
        let Some(program) = &self.best.steps[place].program else {
            return false;
        };
        let Ok(root) = serde_json::to_value(program) else {
            return false;
        };
        let target = Value::Array(Vec::new());
        self.shrink_tree(place, root, &target, |step, root| {
            step.program = Some(serde_json::from_value(root).ok()?);
            Some(())
        })
    }

    /// Shrinks a part of a step as a tree of JSON. `change` puts it into the step, if it reads back.
    fn shrink_tree(
        &mut self,
        place: usize,
        mut root: Value,
        target: &Value,
        change: impl Fn(&mut Step<R>, Value) -> Option<()>,
    ) -> bool {
        let mut smaller = false;
        tree::shrink(&mut root, target, self.numbers, &mut |root| {
            if self.is_over() {
                return ControlFlow::Break(());
            }
            let mut step = self.best.steps[place].clone();
            let reads_back = change(&mut step, root.clone()).is_some();
            let accepted = reads_back && self.replace(place, step);
            smaller |= accepted;
            ControlFlow::Continue(accepted)
        });
        smaller
    }
}
