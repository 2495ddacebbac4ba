//! Structural shrinking: fewer steps, fewer operations, and every field back at its dry-run value unless
//! the finding needs it.

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

impl Default for ShrinkLimits {
    /// 20,000 candidates, 20 seconds.
    fn default() -> Self {
        Self {
            candidates: 20_000,
            time: Duration::from_secs(20),
            numbers: Numbers::Least,
        }
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
    /// The result is the case itself or one that `fails` accepted.
    pub fn shrink(&self, limits: ShrinkLimits, fails: impl FnMut(&Self) -> bool) -> Shrunk<R> {
        let mut search = Search::new(self, limits, fails);
        loop {
            while search.structure() {}
            if !search.values() {
                return search.end(limits);
            }
        }
    }

    /// The same with whole steps, requests and operations only: what is left of the case's structure, in few tries.
    pub fn shrink_structure(
        &self,
        limits: ShrinkLimits,
        fails: impl FnMut(&Self) -> bool,
    ) -> Shrunk<R> {
        let mut search = Search::new(self, limits, fails);
        while search.structure() {}
        search.end(limits)
    }
}

struct Search<R, F> {
    best: Case<R>,
    fails: F,
    left: u32,
    numbers: Numbers,
    /// `None` where there is no end of time.
    until: Option<Instant>,
}

impl<R: Vocabulary, F: FnMut(&Case<R>) -> bool> Search<R, F> {
    fn new(case: &Case<R>, limits: ShrinkLimits, fails: F) -> Self {
        Self {
            best: case.clone(),
            fails,
            left: limits.candidates,
            numbers: limits.numbers,
            until: Instant::now().checked_add(limits.time),
        }
    }

    fn end(self, limits: ShrinkLimits) -> Shrunk<R> {
        Shrunk {
            candidates: limits.candidates - self.left,
            minimal: !self.is_over(),
            case: self.best,
        }
    }

    /// One pass over steps, whole requests and operations; whether it made the case smaller.
    fn structure(&mut self) -> bool {
        let mut smaller = self.only_the_last() || self.fewer_requests();
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
            if self.has_many() && before.contains(of) {
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
        self.left == 0 || self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn accepts(&mut self, candidate: Case<R>) -> bool {
        if self.is_over() || candidate == self.best {
            return false;
        }
        self.left -= 1;
        let accepted = (self.fails)(&candidate);
        if accepted {
            self.best = candidate;
        }
        accepted
    }

    /// Whether the finding may be one of many calls: these are made smaller without making them fewer.
    fn has_many(&self) -> bool {
        self.best.steps.len() >= MANY_STEPS
    }

    /// Of many steps the last few, if these will do.
    fn only_the_last(&mut self) -> bool {
        self.has_many()
            && [1, 8, 32].into_iter().any(|few| {
                let steps = &self.best.steps;
                let last = Case {
                    steps: steps[steps.len() - few..].to_vec(),
                };
                self.accepts(last)
            })
    }

    /// Of many steps as many, but with half of the different ones, as often as it goes: what comes of many calls may need
    /// their number.
    fn fewer_requests(&mut self) -> bool {
        let mut smaller = false;
        while self.has_many() && !self.is_over() {
            let steps = &self.best.steps;
            let mut different: Vec<&Step<R>> = Vec::new();
            for step in steps {
                if !different.contains(&step) {
                    different.push(step);
                }
            }
            if different.len() == 1 || 2 * different.len() > steps.len() {
                break;
            }
            let (one, other) = different.split_at(different.len() / 2);
            let halves = [one, other].map(|half| {
                let in_turns = half.iter().copied().cycle().take(steps.len());
                Case {
                    steps: in_turns.cloned().collect(),
                }
            });
            if !halves.into_iter().any(|half| self.accepts(half)) {
                break;
            }
            smaller = true;
        }
        smaller
    }

    fn drop_steps(&mut self) -> bool {
        let steps = |case: &Case<R>| case.steps.len();
        self.drop_parts(steps, |case, part| {
            case.steps.drain(part);
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
                program: step.program.clone(),
            };
            self.replace(place, step)
        }
    }

    /// Another step in this place; of many steps, in the place of all that are equal to it.
    fn replace(&mut self, place: usize, step: Step<R>) -> bool {
        let mut candidate = self.best.clone();
        if self.has_many() {
            let old = &self.best.steps[place];
            for other in candidate.steps.iter_mut().filter(|other| *other == old) {
                *other = step.clone();
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
