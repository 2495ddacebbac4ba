//! A pool of compiled plugins, one for each open session. A call that runs out of time advances the
//! epoch of its engine, which would interrupt the calls of all other sessions on that engine.
//!
//! Bugs in this module look like two sessions on one engine.

use std::sync::{Arc, Mutex, PoisonError};

/// The compiled plugins that no session uses.
pub(super) struct Pool<C>(Arc<Mutex<Vec<C>>>);

impl<C> Pool<C> {
    /// Returns a pool that holds one compiled plugin.
    pub(crate) fn new(compiled: C) -> Self {
        Self(Arc::new(Mutex::new(vec![compiled])))
    }

    /// Returns an empty pool.
    pub(super) fn empty() -> Self {
        Self(Arc::default())
    }

    /// Takes a compiled plugin from the pool for a session, or compiles one if the pool is empty.
    pub(super) fn lease<E>(&self, compile: impl FnOnce() -> Result<C, E>) -> Result<Lease<C>, E> {
        let idle = self.with(Vec::pop);
        let compiled = idle.map_or_else(compile, Ok)?;
        Ok(Lease {
            pool: Self(Arc::clone(&self.0)),
            compiled: Some(compiled),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<C>) -> T) -> T {
        // Code under the lock cannot leave the list in an invalid state.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A compiled plugin that one session uses exclusively. Dropping the lease returns it to the pool.
pub(super) struct Lease<C> {
    pool: Pool<C>,
    /// `None` only during drop.
    compiled: Option<C>,
}

impl<C> Lease<C> {
    /// Returns the compiled plugin.
    pub(crate) fn compiled(&self) -> Option<&C> {
        self.compiled.as_ref()
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        let compiled = self.compiled.take();
        self.pool.with(|idle| idle.extend(compiled));
    }
}
