//! Structural shrinking: fewer steps, fewer operations, and every field back at its dry-run value unless
//! the finding needs it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Case, Step, tree};
use crate::puppet::Program;
use crate::wire::Vocabulary;

/// When to stop shrinking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShrinkLimits {
    /// The most candidates to try.
    pub candidates: u32,
    /// The longest time to take.
    pub time: Duration,
}

impl Default for ShrinkLimits {
    /// 20,000 candidates, 20 seconds.
    fn default() -> Self {
        Self {
            candidates: 20_000,
            time: Duration::from_secs(20),
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
        let mut search = Search {
            best: self.clone(),
            fails,
            left: limits.candidates,
            until: Instant::now().checked_add(limits.time),
        };
        while search.pass() {}
        Shrunk {
            candidates: limits.candidates - search.left,
            minimal: search.left > 0 && !search.is_late(),
            case: search.best,
        }
    }
}

struct Search<R, F> {
    best: Case<R>,
    fails: F,
    left: u32,
    /// `None` where there is no end of time.
    until: Option<Instant>,
}

impl<R: Vocabulary, F: FnMut(&Case<R>) -> bool> Search<R, F> {
    /// One pass over everything; whether it made the case smaller.
    fn pass(&mut self) -> bool {
        let mut smaller = self.drop_steps();
        for place in 0..self.best.steps.len() {
            smaller |= self.drop_program(place);
            smaller |= self.shrink_request(place);
            smaller |= self.shrink_program(place);
        }
        smaller
    }

    fn is_late(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn accepts(&mut self, candidate: Case<R>) -> bool {
        if self.left == 0 || self.is_late() || candidate == self.best {
            return false;
        }
        self.left -= 1;
        let accepted = (self.fails)(&candidate);
        if accepted {
            self.best = candidate;
        }
        accepted
    }

    /// Without half of the steps, a quarter, …, one.
    fn drop_steps(&mut self) -> bool {
        let mut smaller = false;
        let mut chunk = self.best.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut start = 0;
            while start < self.best.steps.len() && self.best.steps.len() > 1 {
                let mut candidate = self.best.clone();
                let end = (start + chunk).min(candidate.steps.len());
                candidate.steps.drain(start..end);
                if !candidate.steps.is_empty() && self.accepts(candidate) {
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

    fn replace(&mut self, place: usize, step: Step<R>) -> bool {
        let mut candidate = self.best.clone();
        candidate.steps[place] = step;
        self.accepts(candidate)
    }

    fn shrink_request(&mut self, place: usize) -> bool {
        let request = &self.best.steps[place].request;
        let target = serde_json::to_value(R::dry_run(request.place()));
        let (Ok(mut root), Ok(target)) = (serde_json::to_value(request), target) else {
            return false;
        };
        tree::shrink(&mut root, &target, &mut |root| {
            let Ok(request) = serde_json::from_value::<R>(root.clone()) else {
                return false;
            };
            let program = self.best.steps[place].program.clone();
            self.replace(place, Step { request, program })
        })
    }

    fn shrink_program(&mut self, place: usize) -> bool {
        let Some(program) = &self.best.steps[place].program else {
            return false;
        };
        let Ok(mut root) = serde_json::to_value(program) else {
            return false;
        };
        tree::shrink(&mut root, &Value::Array(Vec::new()), &mut |root| {
            let Ok(program) = serde_json::from_value::<Program>(root.clone()) else {
                return false;
            };
            let request = self.best.steps[place].request.clone();
            let program = Some(program);
            self.replace(place, Step { request, program })
        })
    }
}
