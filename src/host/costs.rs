//! What a plugin's module costs before any of it runs: memory to compile its functions, time to instantiate it.
//!
//! A discrepancy here is a small module that takes the memory or the time of whoever opens it.

use wasmparser::{ElementItems, FunctionBody, Operator, Payload};

use super::guard::{ELEMENTS_MAX, LOCALS_IN_BLOCKS_MAX, Rejection};

/// Refuses what costs too much.
pub(super) fn check(payload: &Payload<'_>) -> Result<(), Rejection> {
    match payload {
        Payload::CodeSectionEntry(body) => check_function(body),
        Payload::ElementSection(section) => {
            let mut entries = 0;
            for element in section.clone() {
                entries += u64::from(match element?.items {
                    ElementItems::Functions(items) => items.count(),
                    ElementItems::Expressions(_, items) => items.count(),
                });
            }
            if entries > ELEMENTS_MAX {
                Err(Rejection::Elements { entries })
            } else {
                Ok(())
            }
        }
        _ => Ok(()),
    }
}

fn check_function(body: &FunctionBody<'_>) -> Result<(), Rejection> {
    let mut locals = 0u64;
    for group in body.get_locals_reader()? {
        locals += u64::from(group?.0);
    }
    let mut blocks = 1u64;
    for operator in body.get_operators_reader()? {
        let begins = matches!(
            operator?,
            Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::Else
                | Operator::BrIf { .. }
        );
        blocks += u64::from(begins);
    }
    if locals.saturating_mul(blocks) > LOCALS_IN_BLOCKS_MAX {
        Err(Rejection::Function { locals, blocks })
    } else {
        Ok(())
    }
}
