//! The lease of a session on a compiled plugin.

use std::sync::Arc;

use cc_lb_plugin_wire::augmented_metadata::AugmentedMetadata;

use super::compiled_plugin::{Compiled, Instance, InstanceError, Source};
use super::pool::{self, Pool};

pub(super) struct Shared {
    pub(super) source: Arc<Source>,
    pub(crate) metadata: AugmentedMetadata,
    pub(super) idle: Pool<Compiled>,
    /// Compiled copies with the meter.
    pub(super) metered: Pool<Compiled>,
}

/// A session's lease on a compiled plugin.
pub(super) struct Lease {
    shared: Arc<Shared>,
    of: pool::Lease<Compiled>,
}

impl Lease {
    pub(crate) fn take(shared: Arc<Shared>) -> Result<Self, String> {
        let of = shared.idle.lease(|| Compiled::new(&shared.source))?;
        Ok(Self { shared, of })
    }

    pub(super) fn take_metered(shared: Arc<Shared>) -> Result<Self, String> {
        let of = shared.metered.lease(|| Compiled::metered(&shared.source))?;
        Ok(Self { shared, of })
    }

    /// Instantiates the plugin.
    pub(super) fn instance(&self) -> Result<Instance, InstanceError> {
        let closed = || InstanceError::Runtime("the session is closed".to_owned());
        Instance::new(self.of.compiled().ok_or_else(closed)?)
    }

    pub(crate) fn metadata(&self) -> &AugmentedMetadata {
        &self.shared.metadata
    }
}
