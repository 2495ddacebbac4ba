//! The names by which the guard's modules refer to each other.

use super::start_code::is_reserved;

/// The prefix of reserved names. A plugin may not export them.
pub(crate) const OWN: &str = "cc-lb-fuzz:";

/// The name under which Extism links the guard.
pub(crate) const GUARD: &str = "cc-lb-fuzz:guard";

/// The name under which Extism links the plugin.
pub(crate) const PLUGIN: &str = "cc-lb-fuzz:plugin";

/// The export that runs the start code of a plugin, if it has any.
pub const START: &str = "cc-lb-fuzz:start";

/// The export that runs the code which the published host runs on another instance before it
/// creates the one that answers requests. It must succeed. Few plugins have it: those on which
/// [`START`] does not begin with the same code.
pub const LINK: &str = "cc-lb-fuzz:link";

/// The export that returns the size of the plugin's memory, if it has one, as the exit code, in
/// pages of 64 KiB.
pub(crate) const MEMORY: &str = "cc-lb-fuzz:memory";

/// The export that does nothing. Before it runs, Extism zeroes what the last call left in its
/// memory, which would otherwise be at the expense of the next call.
pub(crate) const CLEAR: &str = "cc-lb-fuzz:clear";

/// The functions of the guard that the front calls: before each call of the plugin, and after each
/// that returned.
pub(crate) const BEGIN: &str = "begin";

pub(crate) const END: &str = "end";

/// The only module that a plugin may import from. Its imports are linked to the guard's functions
/// of the same names.
pub(crate) const KERNEL: &str = "extism:host/env";

/// The prefix of errors that a plugin sets, as the host sees them: 16 characters, which `guard.wat`
/// writes.
pub const ERROR_MARK: &str = "cc-lb-fuzz:error";

/// Returns the name of an export in the rewritten plugin module.
pub(crate) fn inner_name(name: &str) -> String {
    if is_reserved(name) {
        return format!("{OWN}{name}");
    }
    name.to_owned()
}

/// The export that identifies the plugin's module among the others. It is never called.
pub(crate) const PLUGIN_MARK: &str = "cc-lb-fuzz:this-is-the-plugin";

/// The name under which Extism links the meter of a metered copy.
pub(crate) const METER: &str = "cc-lb-fuzz:meter";

/// The export that writes to the memory of the meter.
pub(crate) const METER_WRITE: &str = "cc-lb-fuzz:write";

/// The export that reads from the memory of the meter.
pub(crate) const METER_READ: &str = "cc-lb-fuzz:read";

/// The exports of the meter, and the names under which the front exports them.
pub(crate) const METER_EXPORTS: [(&str, &str); 2] = [("write", METER_WRITE), ("read", METER_READ)];
