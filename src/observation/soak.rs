//! Running a case again and again, to see whether memory is lost.

use std::time::{Duration, Instant};

use super::react::react;
use super::{CaseRecord, memory};
use crate::case::Case;
use crate::host::{HandshakeError, Host};
use crate::wire::{Function, Vocabulary};

/// How often the case runs in each round, on one session.
const REPEATS: u32 = 48;

/// The rounds, each on a session of its own. The first fills caches and is not judged.
const ROUNDS: usize = 4;

/// Cases with a slower dispatch are not soaked, nor is it gone on with for longer than a hundred times that.
const SLOWEST: Duration = Duration::from_millis(20);

/// What a case came to when it ran again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soak {
    /// How often it ran in each round.
    pub repeats: u32,
    /// By how much the resident memory grew in each round but the first, in bytes. Sessions were closed when
    /// it was measured.
    pub growth: Vec<u64>,
}

/// `None` where the case is too slow for it or the system does not tell the resident memory.
pub(super) fn soak<H: Host, R: Vocabulary>(
    host: &H,
    case: &Case<R>,
    record: &CaseRecord,
    beat: &mut dyn FnMut(&'static Function),
) -> Result<Option<Soak>, HandshakeError> {
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
                beat(seen.function);
                react(case.steps[seen.place].told(), &mut session);
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
    Ok(Some(Soak {
        repeats: REPEATS,
        growth,
    }))
}
