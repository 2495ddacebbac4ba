//! Structure-aware mutation, for coverage-guided fuzzing.

use arbitrary::Unstructured;

use super::arbitrary_case::CaseGenerator;
use super::programs::Wildness;
use crate::case::{Case, Step, tree};
use crate::puppet::Program;
use crate::wire::Vocabulary;

/// The most steps to which mutation grows a case. For a fuzzer an input costs more than a step, so
/// long cases try more in the same time.
const MUTATED_STEPS: usize = 64;

/// The most steps that one mutation adds.
const ADDED_STEPS: usize = 8;

impl<R: Vocabulary> Case<R> {
    /// Mutates the case at one point: a step, an operation of a program, or a field of a request.
    /// New parts come from the generator.
    ///
    /// # Errors
    /// Returns the errors of `arbitrary`.
    pub fn mutate(
        &mut self,
        generator: &CaseGenerator,
        u: &mut Unstructured<'_>,
    ) -> arbitrary::Result<()> {
        if self.steps.is_empty() {
            self.steps.push(generator.step(u)?);
            return Ok(());
        }
        let index = u.choose_index(self.steps.len())?;
        match u.int_in_range(0..=9)? {
            0 if self.steps.len() < MUTATED_STEPS => {
                let room = MUTATED_STEPS - self.steps.len();
                for _ in 0..u.int_in_range(1..=room.min(ADDED_STEPS))? {
                    self.steps.insert(index, generator.step(u)?);
                }
            }
            1 if self.steps.len() > 1 => {
                self.steps.remove(index);
            }
            2 if 2 * self.steps.len() <= MUTATED_STEPS => {
                let again = self.steps.clone();
                self.steps.extend(again);
            }
            3 => self.steps.swap(index, 0),
            4 => self.steps[index] = generator.step(u)?,
            5..=6 if generator.programs.is_some() => {
                mutate_program(&mut self.steps[index], generator, u)?;
            }
            _ => mutate_request(&mut self.steps[index], u)?,
        }
        Ok(())
    }
}

/// Replaces one or more fields with those of a fresh request.
fn mutate_request<R: Vocabulary>(
    step: &mut Step<R>,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let fresh = R::arbitrary_of(step.request.function_index(), u)?;
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
    generator: &CaseGenerator,
    u: &mut Unstructured<'_>,
) -> arbitrary::Result<()> {
    let wildness = generator.programs.unwrap_or(Wildness::Scripted);
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
        // The start of the old program and the whole of the fresh one.
        _ => {
            ops.truncate(at);
            ops.extend(fresh.0);
        }
    }
    Ok(())
}
