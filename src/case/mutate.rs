//! Structure-aware mutation, for coverage-guided fuzzing.

use arbitrary::Unstructured;

use super::{Case, Menu, Step, tree};
use crate::puppet::{Program, Wildness};
use crate::wire::Vocabulary;

/// The most steps that mutation grows a case to. A fuzzer spends more on each input than on each step, so
/// long cases are tried faster.
const MUTATED_STEPS: usize = 64;

/// The most steps that one mutation adds.
const ADDED_STEPS: usize = 8;

impl<R: Vocabulary> Case<R> {
    /// Changes the case in one place: a step, an operation of a program, or a field of a request. What is
    /// new is drawn from the menu's generators.
    ///
    /// # Errors
    /// Those of `arbitrary`.
    pub fn mutate(&mut self, menu: &Menu, u: &mut Unstructured<'_>) -> arbitrary::Result<()> {
        if self.steps.is_empty() {
            self.steps.push(menu.step(u)?);
            return Ok(());
        }
        let place = u.choose_index(self.steps.len())?;
        match u.int_in_range(0..=9)? {
            0 if self.steps.len() < MUTATED_STEPS => {
                let room = MUTATED_STEPS - self.steps.len();
                for _ in 0..u.int_in_range(1..=room.min(ADDED_STEPS))? {
                    self.steps.insert(place, menu.step(u)?);
                }
            }
            1 if self.steps.len() > 1 => {
                self.steps.remove(place);
            }
            2 if 2 * self.steps.len() <= MUTATED_STEPS => {
                let again = self.steps.clone();
                self.steps.extend(again);
            }
            3 => self.steps.swap(place, 0),
            4 => self.steps[place] = menu.step(u)?,
            5..=6 if menu.programs.is_some() => {
                mutate_program(&mut self.steps[place], menu, u)?;
            }
            _ => mutate_request(&mut self.steps[place], u)?,
        }
        Ok(())
    }
}

/// Replaces one field, or more, by what a fresh request has in its place.
fn mutate_request<R: Vocabulary>(
    step: &mut Step<R>,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let fresh = R::arbitrary_of(step.request.place(), u)?;
    if let (Ok(mut root), Ok(donor)) = (
        serde_json::to_value(&step.request),
        serde_json::to_value(&fresh),
    ) {
        tree::splice(&mut root, &donor, u)?;
        if let Ok(request) = serde_json::from_value(root) {
            step.request = request;
        }
    }
    Ok(())
}

fn mutate_program<R: Vocabulary>(
    step: &mut Step<R>,
    menu: &Menu,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let wildness = menu.programs.unwrap_or(Wildness::Scripted);
    let fresh = Program::arbitrary_for(step.request.function(), wildness, u)?;
    let Some(Program(ops)) = &mut step.program else {
        step.program = Some(fresh);
        return Ok(());
    };
    let at = u.int_in_range(0..=ops.len())?;
    match u.int_in_range(0..=3)? {
        0 => step.program = None,
        1 => *ops = fresh.0,
        2 if at < ops.len() => {
            ops.remove(at);
        }
        // Half of one, half of the other.
        _ => {
            ops.truncate(at);
            ops.extend(fresh.0);
        }
    }
    Ok(())
}
