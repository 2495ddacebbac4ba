//! The limits of each call of a plugin: its fuel and its time. `compiled_plugin.rs` passes them to
//! Extism, which enforces them.

use std::time::Duration;

use cc_lb_plugin_wire::limits::{HANDSHAKE_FUEL, HANDSHAKE_WALL_MS};

/// The factor by which a call of a metered copy has more fuel: on the shortest loop, the meter
/// takes twenty times the loop's own fuel.
const METERED_FUEL_TIMES: u64 = 30;

/// The factor by which a call of a metered copy has more time.
const METERED_WALL_TIMES: u32 = 10;

/// The limits of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallLimits {
    /// The most fuel that a call uses.
    pub(super) fuel: u64,
    /// The longest that a call takes.
    pub(super) wall: Duration,
}

impl CallLimits {
    /// Returns the limits of the protocol, or those for a metered copy, which needs more.
    pub(super) fn new(is_metered: bool) -> Self {
        let (fuel_times, wall_times) = if is_metered {
            (METERED_FUEL_TIMES, METERED_WALL_TIMES)
        } else {
            (1, 1)
        };
        Self {
            fuel: fuel_times * HANDSHAKE_FUEL,
            wall: wall_times * Duration::from_millis(HANDSHAKE_WALL_MS),
        }
    }
}
