//! Compiled plugins, one for each session that is open. A call that runs out of time moves the clock of its engine,
//! and would interrupt the calls of every other session on the same one.
//!
//! A discrepancy here is two sessions on one engine.

use std::sync::{Arc, Mutex, PoisonError};

/// Compiled plugins that no session uses.
pub(super) struct Pool<C>(Arc<Mutex<Vec<C>>>);

impl<C> Pool<C> {
    /// The one that there is already.
    pub(super) fn new(compiled: C) -> Self {
        Self(Arc::new(Mutex::new(vec![compiled])))
    }

    /// None yet.
    pub(super) fn empty() -> Self {
        Self(Arc::default())
    }

    /// One for a session, which is compiled where none is left.
    pub(super) fn lease<E>(&self, compile: impl FnOnce() -> Result<C, E>) -> Result<Lease<C>, E> {
        let idle = self.with(Vec::pop);
        let compiled = idle.map_or_else(compile, Ok)?;
        Ok(Lease {
            pool: Self(Arc::clone(&self.0)),
            compiled: Some(compiled),
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<C>) -> T) -> T {
        // Nothing that holds the lock can leave the list half-way.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A session's hold on compiled code that no other session uses meanwhile.
pub(super) struct Lease<C> {
    pool: Pool<C>,
    /// `None` only while it is being dropped.
    compiled: Option<C>,
}

impl<C> Lease<C> {
    /// What is held.
    pub(super) fn compiled(&self) -> Option<&C> {
        self.compiled.as_ref()
    }
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        let compiled = self.compiled.take();
        self.pool.with(|idle| idle.extend(compiled));
    }
}
