//! Structural shrinking: removes steps and operations, and resets each field to its dry-run value
//! unless the finding needs it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::shrink_text::Numbers;
use super::{Case, MANY_STEPS, Step, tree};
use crate::wire::{Vocabulary, in_full};

/// Limits of the search for a smaller case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// The most candidates to try.
    pub candidates: u32,
    /// The longest time to search.
    pub time: Duration,
    /// The way to shrink numbers.
    pub numbers: Numbers,
}

impl ShrinkLimits {
    /// The default: 20,000 candidates, 20 seconds, least numbers.
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

/// The result of shrinking.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk<R> {
    /// The smallest case that was found.
    pub case: Case<R>,
    /// The number of candidates that were tried.
    pub candidates: u32,
    /// Whether no smaller candidate was left; otherwise a limit ended the search.
    pub minimal: bool,
}

impl<R: Vocabulary> Case<R> {
    /// Makes the case smaller as long as `fails` returns true for the result.
    ///
    /// The result is the case itself or one that `fails` accepted. Equal steps in a row are merged.
    pub fn shrink(&self, limits: ShrinkLimits, mut fails: impl FnMut(&Self) -> bool) -> Shrunk<R> {
        let Ok(shrunk) = self.try_shrink(limits, |case| Ok::<_, Infallible>(fails(case)));
        shrunk
    }

    /// Shrinks like [`Case::shrink`] with a `fails` that may return an error, which ends the
    /// search.
    ///
    /// # Errors
    /// Returns the first error of `fails`.
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

    /// Shrinks like [`Case::try_shrink`], but only removes whole steps, requests and operations.
    /// This takes few tries.
    ///
    /// # Errors
    /// Returns the first error of `fails`.
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
    /// The error of `fails`, which ends the search.
    error: Option<E>,
    left: u32,
    numbers: Numbers,
    /// The deadline; `None` if there is none.
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

    /// Makes one pass over steps, whole requests and operations. Returns whether the case became
    /// smaller.
    fn structure(&mut self) -> bool {
        self.best.merge();
        let mut smaller = self.only_the_last() || self.fewer_requests();
        self.best.merge();
        smaller |= self.fewer_times();
        smaller |= self.drop_steps();
        for index in self.indices() {
            if self.is_over() {
                break;
            }
            smaller |= self.drop_program(index);
            smaller |= self.first_function(index);
            smaller |= self.drop_operations(index);
        }
        smaller
    }

    /// Makes one pass over the content of requests and operations. Returns whether the case became
    /// smaller.
    fn values(&mut self) -> bool {
        let mut smaller = false;
        for index in self.indices() {
            if self.is_over() {
                break;
            }
            // Equal steps change together.
            let (before, of) = (&self.best.steps[..index], &self.best.steps[index]);
            if self.has_many() && before.iter().any(|step| step.is_same_call(of)) {
                continue;
            }
            smaller |= self.shrink_request(index);
            smaller |= self.shrink_program(index);
        }
        smaller
    }

    /// Returns the current indices of the steps. Shrinking requests and programs does not change
    /// their number.
    fn indices(&self) -> Range<usize> {
        0..self.best.steps.len()
    }

    /// Returns whether a limit is reached. Callers check this before they make a candidate, because
    /// a candidate of a long case takes long to make.
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

    /// Returns whether the finding may need many calls. The steps of such a case shrink without
    /// becoming fewer.
    fn has_many(&self) -> bool {
        self.best.dispatches() >= MANY_STEPS
    }

    /// Reduces many steps to the last few, if that is accepted.
    fn only_the_last(&mut self) -> bool {
        self.has_many()
            && [1, 8, 32].into_iter().any(|few| {
                let last = self.best.last(few);
                self.accepts(last)
            })
    }

    /// Halves the number of distinct steps of a long case, as often as that is accepted, and keeps
    /// the number of dispatches: the finding may need them. The distinct step that ends the session
    /// is tried alone first, because it is often the cause.
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

    /// Returns a number for each step, which is the same for steps that differ only in `times`. The
    /// last step has the largest number.
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

    /// Returns a case of the steps with these numbers only, in the same order and with as many
    /// dispatches: their `times` are scaled up.
    fn as_many_of(&self, kinds: &[usize], kept: Range<usize>) -> Case<R> {
        let steps = self.best.steps.iter().zip(kinds);
        let steps = steps.filter(|(_, kind)| kept.contains(kind));
        let mut case = Case {
            steps: steps.map(|(step, _)| step.clone()).collect(),
        };
        let (all, left) = (self.best.dispatches() as u64, case.dispatches() as u64);
        let (mut before, mut assigned) = (0, 0);
        for step in &mut case.steps {
            before += u64::from(step.times.get());
            let times = before * all / left - assigned;
            assigned += times;
            let times = u32::try_from(times).ok().and_then(NonZeroU32::new);
            step.times = times.unwrap_or(step.times);
        }
        case.merge();
        case
    }

    /// Reduces the `times` of each step to the least that is accepted, by bisection: thousands of
    /// calls take a dozen tries.
    fn fewer_times(&mut self) -> bool {
        let mut smaller = false;
        for index in self.indices() {
            let mut least = 1;
            while !self.is_over() {
                let times = self.best.steps[index].times.get();
                if least >= times {
                    break;
                }
                let middle = least + (times - least) / 2;
                let mut candidate = self.best.clone();
                if let Some(times) = NonZeroU32::new(middle) {
                    candidate.steps[index].times = times;
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

    fn drop_operations(&mut self, index: usize) -> bool {
        let program = move |case: &Case<R>| case.steps[index].program.clone();
        let operations = move |case: &Case<R>| program(case).map_or(0, |program| program.0.len());
        self.drop_parts(operations, |case, part| {
            let program = case.steps[index].program.as_mut();
            program.is_some_and(|program| program.0.drain(part).count() > 0)
        })
    }

    /// Removes half of the parts, a quarter, …, one. `without` returns whether the rest is a case.
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

    fn drop_program(&mut self, index: usize) -> bool {
        let step = &self.best.steps[index];
        step.program.is_some() && {
            let step = Step {
                program: None,
                ..step.clone()
            };
            self.replace(index, step)
        }
    }

    /// Moves the program into the first function's dry-run request.
    fn first_function(&mut self, index: usize) -> bool {
        let step = &self.best.steps[index];
        step.program.is_some() && step.request.function_index() != 0 && {
            let step = Step {
                request: R::dry_run(0),
                ..step.clone()
            };
            self.replace(index, step)
        }
    }

    /// Replaces the step at `index`; in a long case, all steps equal to it.
    fn replace(&mut self, index: usize, step: Step<R>) -> bool {
        let mut candidate = self.best.clone();
        if self.has_many() {
            let old = &self.best.steps[index];
            let same = candidate.steps.iter_mut();
            for other in same.filter(|other| other.is_same_call(old)) {
                let times = other.times;
                *other = Step {
                    times,
                    ..step.clone()
                };
            }
        } else {
            candidate.steps[index] = step;
        }
        self.accepts(candidate)
    }

    fn shrink_request(&mut self, index: usize) -> bool {
        let request = &self.best.steps[index].request;
        let target = serde_json::to_value(R::dry_run(request.function_index()));
        let (Ok(root), Ok(target)) = (serde_json::to_value(request), target) else {
            return false;
        };
        // Texts are shrunk in full, even if they are in compact form.
        let (root, target) = (in_full(&root), in_full(&target));
        self.shrink_tree(index, root, &target, |step, root| {
            step.request = serde_json::from_value(root).ok()?;
            Some(())
        })
    }

    fn shrink_program(&mut self, index: usize) -> bool {
        let Some(program) = &self.best.steps[index].program else {
            return false;
        };
        let Ok(root) = serde_json::to_value(program) else {
            return false;
        };
        let target = Value::Array(Vec::new());
        self.shrink_tree(index, root, &target, |step, root| {
            step.program = Some(serde_json::from_value(root).ok()?);
            Some(())
        })
    }

    /// Shrinks a part of a step as a JSON tree. `change` puts the tree into the step and returns
    /// `None` if it does not deserialize.
    fn shrink_tree(
        &mut self,
        index: usize,
        mut root: Value,
        target: &Value,
        change: impl Fn(&mut Step<R>, Value) -> Option<()>,
    ) -> bool {
        let mut smaller = false;
        tree::shrink(&mut root, target, self.numbers, &mut |root| {
            if self.is_over() {
                return ControlFlow::Break(());
            }
            let mut step = self.best.steps[index].clone();
            let reads_back = change(&mut step, root.clone()).is_some();
            let accepted = reads_back && self.replace(index, step);
            smaller |= accepted;
            ControlFlow::Continue(accepted)
        });
        smaller
    }
}
