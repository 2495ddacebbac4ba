//! The names by which the guard's modules find each other.

use super::start_code::is_reserved;

/// What our own names begin with: a plugin has none of them.
pub(crate) const OWN: &str = "cc-lb-fuzz:";

/// The name under which Extism links the guard.
pub(crate) const GUARD: &str = "cc-lb-fuzz:guard";

/// The name under which Extism links the plugin.
pub(crate) const PLUGIN: &str = "cc-lb-fuzz:plugin";

/// The export that runs the start code of a plugin which has any.
pub const START: &str = "cc-lb-fuzz:start";

/// The export that runs what the published host runs on an instance that answers nothing, before it makes the one that
/// does, and that must succeed. Only few plugins have it: those on which [`START`] does not begin with the same.
pub const LINK: &str = "cc-lb-fuzz:link";

/// The export that tells how large the memory of a plugin which has any is, as its exit code, in pages of 64 KiB.
pub(crate) const MEMORY: &str = "cc-lb-fuzz:memory";

/// The export that does nothing: before it Extism zeroes what the last call left in its memory, which would be at the expense
/// of the next one.
pub(crate) const CLEAR: &str = "cc-lb-fuzz:clear";

/// What the front calls of the guard: before each call of the plugin, and behind each that returned.
pub(crate) const BEGIN: &str = "begin";

pub(crate) const END: &str = "end";

/// The only module that a plugin may import from. It gets the guard's functions of these names.
pub(crate) const KERNEL: &str = "extism:host/env";

/// What the error of a plugin begins with when it comes to the host: 16 letters, as `guard.wat` writes them.
pub const ERROR_MARK: &str = "cc-lb-fuzz:error";

/// The name of an export inside of the plugin's module.
pub(crate) fn inner_name(name: &str) -> String {
    if is_reserved(name) {
        return format!("{OWN}{name}");
    }
    name.to_owned()
}

/// The export by which the plugin's module is told from the others; nobody calls it.
pub(crate) const PLUGIN_MARK: &str = "cc-lb-fuzz:this-is-the-plugin";

/// The name under which Extism links the meter of a plugin that is metered.
pub(crate) const METER: &str = "cc-lb-fuzz:meter";

/// The export that writes to the memory of the meter.
pub(crate) const METER_WRITE: &str = "cc-lb-fuzz:write";

/// The export that reads from the memory of the meter.
pub(crate) const METER_READ: &str = "cc-lb-fuzz:read";

/// What the front takes from the meter, and hands on under these names.
pub(crate) const METER_EXPORTS: [(&str, &str); 2] = [("write", METER_WRITE), ("read", METER_READ)];
