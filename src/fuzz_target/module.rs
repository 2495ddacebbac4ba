//! The body of the fuzz target `plugin`, which runs arbitrary modules as plugins.

use std::time::{Duration, Instant};

use cc_lb_plugin_wire::handshake::HandshakeOffer;
use cc_lb_plugin_wire::limits::HANDSHAKE_WALL_MS;

use super::handshake::{LOAD_MAX, TRIES, load, violation};
use crate::case::{Case, Depth, Step};
use crate::check::{Nature, Violation, may_be_busy};
use crate::execute::{InProcessExecutor, memory};
use crate::host::{Host, Loader};
use crate::record::Subject;
use crate::wire::Request;

/// The most memory that the process may take meanwhile, in bytes: as much as a
/// [worker](crate::worker::Workers).
const LOAD_MEMORY_MAX: u64 = 1 << 30;

/// The longest time for a host to open a session, besides start code, which has the time limit of a
/// call.
const OPEN_MAX: Duration = Duration::from_millis(100);

/// How often each function of a module is called.
const ROUNDS: usize = 2;

/// Runs arbitrary modules as plugins.
pub struct ModuleTarget<L> {
    loader: L,
    offer: HandshakeOffer,
}

impl<L: Loader> ModuleTarget<L> {
    /// Returns a target with the published offer.
    pub fn new(loader: L) -> Self {
        let offer = crate::host::handshake::build_offer(&Default::default());
        Self { loader, offer }
    }

    /// Loads the bytes as a plugin, both unchanged and with a handshake added, within limits of
    /// time and memory. Then calls each of its functions repeatedly on one session. Returns the
    /// number of calls of the plugin with a handshake.
    ///
    /// # Errors
    /// Returns what the host does wrong. Faults of the plugin are ignored.
    pub fn check(&self, wasm: &[u8]) -> Result<usize, Violation> {
        self.run_as_it_is(wasm)?;
        match crate::handshake_case::with_handshake(wasm) {
            Some(wasm) => self.run_as_it_is(&wasm),
            None => Ok(0),
        }
    }

    fn run_as_it_is(&self, wasm: &[u8]) -> Result<usize, Violation> {
        let Some(host) = self.load_within_bounds(wasm)? else {
            return Ok(0);
        };
        opens_in_time(&host)?;
        // A plugin may fail to open a second time if its start code takes long.
        let Ok(mut executor) = InProcessExecutor::<_, Request>::new(&host, Subject::Plugin) else {
            return Ok(0);
        };
        let places = executor.runner().negotiated().repeat(ROUNDS);
        let steps: Vec<Step> = places.into_iter().map(Step::healthy).collect();
        let calls = steps.len();
        let Ok((record, found)) = executor.judge_alone(&Case { steps }, Depth::Thorough) else {
            return Ok(0);
        };
        let of_the_host = |violation: &Violation| {
            is_of_the_host(violation.nature()) && !may_be_busy(violation, &record)
        };
        match found.into_iter().find(of_the_host) {
            Some(violation) => Err(violation),
            None => Ok(calls),
        }
    }

    /// Returns the host of a module; `None` if the module is refused.
    fn load_within_bounds(&self, wasm: &[u8]) -> Result<Option<L::Host>, Violation> {
        let resident = memory::resident().unwrap_or_default();
        let before = memory::peak();
        let load = || {
            load(&self.loader, wasm, &self.offer)
                .map_err(|panic| violation(format!("the host panicked: {panic}")))
        };
        let (mut loaded, mut time) = load()?;
        let peak = memory::peak().filter(|peak| Some(*peak) > before);
        let taken = peak.unwrap_or_default().saturating_sub(resident);
        // On a busy machine it may take longer.
        for _ in 1..TRIES {
            if time > LOAD_MAX {
                (loaded, time) = load()?;
            }
        }
        if time > LOAD_MAX {
            return Err(violation(format!(
                "the host took {time:?} to open the plugin"
            )));
        }
        if taken > LOAD_MEMORY_MAX {
            return Err(violation(format!(
                "the host took {} MiB to open the plugin",
                taken >> 20
            )));
        }
        Ok(loaded.ok())
    }
}

/// Whether what a check of this nature finds is the host's fault, whatever the module is. What the checks of plugins find is
/// not, and the module may also break itself, or fail only now and then.
fn is_of_the_host(nature: Nature) -> bool {
    let may_be_of_the_module = matches!(nature, Nature::HealthyCall | Nature::Agreement);
    !nature.is_of_plugin() && !may_be_of_the_module
}

fn opens_in_time(host: &impl Host) -> Result<(), Violation> {
    // On a busy machine one of them may take longer.
    let opens = (0..TRIES).map(|_| {
        let start = Instant::now();
        let session = host.open();
        let took = start.elapsed();
        drop(session);
        took
    });
    let took = opens.min().unwrap_or_default();
    if took > Duration::from_millis(HANDSHAKE_WALL_MS) + OPEN_MAX {
        return Err(violation(format!(
            "the host took {took:?} to open a session"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::all_checks;

    #[test]
    fn the_host_is_not_blamed_for_what_a_check_of_plugins_finds() {
        let blaming: Vec<_> = all_checks()
            .filter(|check| is_of_the_host(check.nature()))
            .map(|check| check.name())
            .collect();
        for of_plugins in ["plugin_fault", "plugin_limit", "linear_cost", "no_drift"] {
            assert!(!blaming.contains(&of_plugins), "{of_plugins}");
        }
        for of_hosts in ["no_panic", "fallback_policy", "within_fuel", "within_wall"] {
            assert!(blaming.contains(&of_hosts), "{of_hosts}");
        }
    }
}
