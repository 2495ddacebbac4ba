//! The leak check: runs a case repeatedly to see whether memory is lost.

use std::time::{Duration, Instant};

use super::dispatch::execute;
use super::memory;
use crate::case::Case;
use crate::host::{HandshakeError, Host};
use crate::record::{CaseRecord, LeakCheck};
use crate::wire::{Function, Vocabulary};

/// The number of runs in each round, on one session.
const REPEATS: u32 = 48;

/// The number of rounds, each on a session of its own. The first one fills caches and is not
/// judged.
const ROUNDS: usize = 4;

/// The slowest dispatch of a case that is checked. A check that takes more than a hundred times as
/// long is abandoned.
const SLOWEST: Duration = Duration::from_millis(20);

/// Checks a case for leaks. Returns `None` if the case is too slow, or the system does not report
/// the resident memory.
pub(crate) fn leak_check<H: Host, R: Vocabulary>(
    host: &H,
    case: &Case<R>,
    record: &CaseRecord,
    heartbeat: &mut dyn FnMut(&'static Function),
) -> Result<Option<LeakCheck>, HandshakeError> {
    let slowest = record.steps.iter().map(|step| step.elapsed).max();
    if slowest.is_none_or(|slowest| slowest > SLOWEST) {
        return Ok(None);
    }
    let start = Instant::now();
    let mut resident = Vec::new();
    for _ in 0..ROUNDS {
        let mut session = host.open()?;
        for _ in 0..REPEATS {
            for seen in &record.steps {
                heartbeat(seen.function);
                execute(
                    case.steps[seen.step_index].request_with_program(),
                    &mut session,
                );
            }
            if start.elapsed() > 100 * SLOWEST {
                return Ok(None);
            }
        }
        drop(session);
        let Some(bytes) = memory::resident() else {
            return Ok(None);
        };
        resident.push(bytes);
    }
    let growth = resident.windows(2);
    let growth = growth.map(|pair| pair[1].saturating_sub(pair[0])).collect();
    Ok(Some(LeakCheck {
        repeats: REPEATS,
        growth,
    }))
}
